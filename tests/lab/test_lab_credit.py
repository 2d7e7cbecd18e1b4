"""Whether a run's dense rewards told good steps from bad ones, on rows that nobody searched for."""

from collections.abc import Sequence
from pathlib import Path

from store_samples import SEED, create, step_commit

from curriculum.domains.chains import ChainsDomain
from curriculum.domains.countdown import CountdownDomain
from curriculum.domains.protocol import Domain, Statement, problem_of
from curriculum.domains.sorting import SortingDomain
from selfplay.lab.credit import credit_auroc
from store.records import Origin, Outcome, Problem, SearchNode
from store.store import Store

CHAINS = ChainsDomain()
Said = tuple[int, str, float | None]  # what a step continues, its text, and what it was paid
# 45*7+5 modulo 97: the good steps are 24 and, after it, 29
TREE: Sequence[Said] = ((0, " 24,", 0.5), (0, " 25,", -0.5), (1, "29,", 0.25), (1, "30,", 0.75), (2, "30,", 0.0))


def _problem(domain: Domain, text: str) -> Problem:
    statement = domain.parse(text)
    assert isinstance(statement, Statement)
    return problem_of(statement, domain.name, Origin.SEED)


def _searched(path: Path, problem: Problem, said: Sequence[Said], outcomes: Sequence[Outcome | None] = ()) -> Store:
    """A run of one step in which this tree was searched."""
    ends = [*outcomes, *[None] * (len(said) - len(outcomes))]
    nodes = [SearchNode(problem.problem_id, 0, None, problem.text, 0, 0.0, 0, 9, 0.5, 4, 2, 0)]
    for i, ((parent, text, paid), outcome) in enumerate(zip(said, ends, strict=True), 1):
        node = SearchNode(
            problem.problem_id, i, parent, text, 3, -0.5, 1, 1, 0.5, 1, 0, 0, outcome=outcome, advantage=paid
        )
        nodes.append(node)
    store = create(path, seeds=(SEED, problem))
    store.commit_step(step_commit(1, search_nodes=tuple(nodes)))
    return store


def test_by_hand(tmp_path: Path) -> None:
    """Good steps were paid 0.5 and 0.25, bad ones -0.5, 0.75 and 0: four of the six pairs are in order."""
    store = _searched(tmp_path / "run.db", _problem(CHAINS, "45*7+5*3"), TREE)
    assert credit_auroc(store, CHAINS, {1}) == {"credit_auroc": 4 / 6}
    assert credit_auroc(store, CHAINS, {2}) == {}  # another step of the run


def test_the_domain_of_the_run_says_what_is_good(tmp_path: Path) -> None:
    """Modulo 89 45 * 7 is 48: no step is good."""
    store = _searched(tmp_path / "run.db", _problem(CHAINS, "45*7+5*3"), TREE)
    assert credit_auroc(store, ChainsDomain(modulus=89), {1}) == {}
    assert credit_auroc(store, SortingDomain(), {1}) == {}


def test_steps_that_nobody_paid_or_that_end_the_answer_do_not_count(tmp_path: Path) -> None:
    problem = _problem(CHAINS, "45*7+5")
    unpaid = _searched(tmp_path / "unpaid.db", problem, [(parent, text, None) for parent, text, _ in TREE])
    assert credit_auroc(unpaid, CHAINS, {1}) == {}
    ended = _searched(tmp_path / "ended.db", problem, TREE, [None, None, Outcome.CORRECT, Outcome.INCORRECT])
    assert credit_auroc(ended, CHAINS, {1}) == {"credit_auroc": 1.0}  # 0.5 against -0.5 and 0


def test_a_step_of_countdown_is_good_while_the_target_can_be_reached(tmp_path: Path) -> None:
    """3 + 5 leaves 8 and 8, which make 16; 3 * 5 leaves 8 and 15, which make 23, 120 and 7."""
    domain = CountdownDomain()
    said: Sequence[Said] = ((0, " 3+5=8,", 0.5), (0, " 3*5=15,", 0.25), (0, " 3+5=9,", 0.5))
    store = _searched(tmp_path / "run.db", _problem(domain, "3 5 8: 16"), said)
    assert credit_auroc(store, domain, {1}) == {"credit_auroc": 0.75}  # above one, level with the other
