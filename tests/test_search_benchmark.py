"""The benchmark of tree search compares equal work: both of its engines grow the same trees."""

import pytest

from benchmarks.search_sides import GenerateEngine, Run, ShownCountdown, Work, run
from curriculum.domains.countdown import CountdownDomain
from curriculum.domains.protocol import Statement, problem_of
from selfplay.engine.tree_engine import TreeEngine
from selfplay.model.weights.loading import load_model
from store.records import Origin, Outcome


class ManySteps(CountdownDomain):
    """Bytes above 127 end a step, so that the random model's answers have several."""

    step_ends = ("\N{REPLACEMENT CHARACTER}",)


@pytest.fixture(scope="module")
def work() -> Work:
    return Work.of(load_model("tiny-llama", "float32"), ManySteps(), problems=3, nodes=12, max_tokens=16)


@pytest.fixture(scope="module")
def ours(work: Work) -> Run:
    return run(work, TreeEngine(work.policy, 0), work.search, {})


def test_both_engines_grow_the_same_search_tree(work: Work, ours: Run) -> None:
    theirs = run(work, GenerateEngine(work.policy, 0), work.search, {})
    assert theirs.grown() == ours.grown()
    assert (theirs.tree.parents, theirs.tree.tokens) == (ours.tree.parents, ours.tree.tokens)
    assert theirs.equal_steps(ours) == 1.0
    assert all(max(node.depth for node in each.tree) >= 3 for each in ours.found)
    lengths = {len(said.ids) for wave in ours.waves.values() for said in wave.completions}
    assert len(lengths) > 3  # rows of a wave end at different times


def test_generate_computes_every_row_with_its_padding(work: Work, ours: Run) -> None:
    theirs = run(work, GenerateEngine(work.policy, 0), work.search, {})
    assert theirs.flat == ours.flat
    assert ours.computed < ours.flat - ours.samples < theirs.computed


def test_a_script_is_said_by_generate_and_compared_with_its_own_draws(work: Work, ours: Run) -> None:
    same, other = (GenerateEngine(work.policy, seed) for seed in (0, 1))
    for engine in (same, other):
        assert run(work, engine, work.search, ours.waves).grown() == ours.grown()
        assert engine.drawn == ours.sampled
    assert same.agreed == same.drawn
    assert 0.0 < same.apart < 1e-4
    assert other.agreed < other.drawn


def test_the_problems_that_are_shown_solved_are_solved() -> None:
    domain = ShownCountdown(3, 4)
    for question, answer in domain.solver_examples:
        stated = domain.parse(question.removesuffix(" ="))
        assert isinstance(stated, Statement)
        assert domain.judge(problem_of(stated, domain.name, Origin.SEED), answer) == (Outcome.CORRECT, answer)
