"""What pays the challenger: a gate, the pass rate shaped by novelty and aim, and what the family has learned."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from scripted_roles import DOMAIN, PARAMS, ScriptedEngine, problem

from curriculum.domains.abilities import ability
from curriculum.domains.protocol import ComparesProblems, Prompted
from curriculum.selection.aim import Targets
from curriculum.selection.archive import Archive
from curriculum.settings import CurriculumSettings
from curriculum.tracking.difficulty import Tracker
from curriculum.tracking.learned import BOOKED
from roles.challenger import ProposedGroup, propose
from roles.pay.gate import Gate, GateRule
from roles.pay.shaping import Shaping
from roles.prompts import PromptStyle
from selfplay.learn.proposals import PaidProposal, ProposalPay, challenger_samples
from selfplay.learn.settings import LearningSettings
from selfplay.play.step import Posed, TriagedProposal
from store.records import Fate, Origin, PassRate, Problem, StepHistory

STYLE = PromptStyle(ability(DOMAIN, Prompted))
COMPARED = ability(DOMAIN, ComparesProblems)
SETTINGS = LearningSettings(
    advantage="centred", correction_bonus=0.0, challenger_reward="learnability", invalid_reward=-0.5
)
PARENT = problem("3 + 4")


def posed(*said: tuple[str, Fate], parent: Problem = PARENT) -> Posed:
    """One parent's proposals, each with its fate. What is ACCEPTED or DUPLICATE names its problem."""
    engine = ScriptedEngine({"challenger": [f" {text}\n" for text, _ in said]})
    group = engine.drive(propose(parent, 0, STYLE, len(said), PARAMS, 1))
    assert isinstance(group, ProposedGroup)
    new, proposals = {}, []
    for index, ((text, fate), sampled) in enumerate(zip(said, group.proposals, strict=True)):
        named = replace(problem(text), origin=Origin.CHALLENGER) if fate in (Fate.ACCEPTED, Fate.DUPLICATE) else None
        if fate is Fate.ACCEPTED and named is not None:
            new[named.problem_id] = named
        problem_id = None if named is None else named.problem_id
        proposals.append(TriagedProposal(parent, 0, index, sampled, fate, problem_id))
    return Posed(tuple(new.values()), (), tuple(proposals))


def rewards(paid: Sequence[PaidProposal]) -> list[float | None]:
    return [each.reward for each in paid]


ALL = [
    ("12 + 34", Fate.ACCEPTED),  # half of the tries right
    ("23 + 45", Fate.ACCEPTED),  # none
    ("7 - 2", Fate.ACCEPTED),  # unjudged
    ("12 + 34", Fate.DUPLICATE),  # of the first, measured in this step
    ("6 * 7", Fate.DUPLICATE),  # of one that was known before, foretold 3/4
    ("9 - 4", Fate.SURPLUS),
    ("4 + 3", Fate.TRIVIAL_EDIT),
    ("2 - 7", Fate.INVALID),
    ("what", Fate.UNPARSED),
]
KNOWN = problem("6 * 7").problem_id
RATES = {problem("12 + 34").problem_id: 0.5, problem("23 + 45").problem_id: 0.0, problem("7 - 2").problem_id: None}


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("strict", [1.0, -0.5, None, -0.5, -0.5, None, -0.5, -0.5, -0.5]),
        ("standard", [1.0, 0.0, None, -0.5, -0.5, None, -0.5, -0.5, -0.5]),
        ("loose", [1.0, 0.0, None, 1.0, 0.75, None, 0.36, -0.5, -0.5]),  # the parent is foretold 1/10
        ("none", [1.0, 0.0, None, 1.0, 0.75, None, 0.36, 0.36, -0.5]),
    ],
)
def test_every_gate_pays_what_its_table_says(rule: GateRule, expected: list[float | None]) -> None:
    pay = ProposalPay(SETTINGS, Gate(rule), foretold=lambda known, parent: {KNOWN: 0.75}.get(known, 0.1))
    paid = pay.paid(posed(*ALL), RATES)
    assert [each if each is None else round(each, 9) for each in rewards(paid)] == expected
    assert [each.is_gated for each in paid] == [False, rule == "strict", *[False] * 7]


def test_a_strict_gate_pays_no_answer_that_other_means_contradict() -> None:
    pay = ProposalPay(SETTINGS, Gate("strict"), verified=lambda each: each.text != "12 + 34")
    assert rewards(pay.paid(posed(*ALL[:2]), {**RATES, problem("23 + 45").problem_id: 0.5})) == [-0.5, 1.0]


def test_what_is_said_twice_is_credited_to_nobody_only_where_new_is_wanted() -> None:
    said = posed(("12 + 34", Fate.ACCEPTED), ("12 + 34", Fate.DUPLICATE), ("2 - 7", Fate.INVALID))
    loose = ProposalPay(SETTINGS, Gate("loose")).paid(said, RATES)
    assert rewards(loose) == [1.0, 1.0, -0.5]
    found = challenger_samples(loose, "centred", -0.5, is_marginal=False)
    assert [each.advantage for each in found] == pytest.approx([0.5, 0.5, -1.0])
    assert challenger_samples(loose, "centred", -0.5)[0].advantage < 0.5


def knowing(*texts: str) -> Tracker:
    tracker = Tracker(CurriculumSettings())
    tracker.observe(StepHistory(0, 0, tuple(map(problem, texts)), (), ()))
    return tracker


def test_novelty_and_aim_take_from_a_reward_and_never_add_to_nothing() -> None:
    tracker = knowing("3 + 4", "12 + 39", "12 + 38", "12 + 37")
    shaping = Shaping(
        tracker,
        novelty=0.5,
        aim=0.4,
        archive=Archive(tracker, COMPARED),
        targets=Targets((problem("5 + 1"),), COMPARED),
    )
    said = posed(("12 + 34", Fate.ACCEPTED), ("23 + 45", Fate.ACCEPTED), ("8 * 9", Fate.ACCEPTED))
    half = {each.problem_id: 0.5 for each in said.new}
    paid = ProposalPay(SETTINGS, shaping=shaping).paid(said, half)
    near, nowhere, product = (each.shaped for each in paid)
    assert near.novelty == 0.5 and nowhere.novelty == 1.0, "three differ in one digit: 1 / sqrt(1 + 3)"
    assert near.aim == nowhere.aim == pytest.approx(5 / 7 * 4 / 6) and near.learned is None
    assert product.aim is not None and product.aim == pytest.approx(3 / 5), "+d*d and +d +d"
    assert rewards(paid) == pytest.approx(
        [(1 - 0.5 * (1 - each.novelty)) * (1 - 0.4 * (1 - each.aim)) for each in (near, nowhere, product)]  # type: ignore[operator]
    )
    unsolved = ProposalPay(SETTINGS, shaping=shaping).paid(said, dict.fromkeys(half, 0.0))
    assert rewards(unsolved) == [0.0, 0.0, 0.0]


def test_what_a_family_has_learned_is_shared_among_its_proposals_of_the_step() -> None:
    tracker = knowing("3 + 4")
    for step, right in enumerate([2, 2, 2, 2, 8, 8], start=1):
        new = problem(f"{10 + step} + 10")
        tracker.observe(StepHistory(step, step, (new,), (), (PassRate(new.problem_id, step, 8, right),)))
    credit = tracker.credit("dd+dd")
    assert credit > 0.2
    said = posed(
        ("12 + 34", Fate.ACCEPTED), ("23 + 45", Fate.ACCEPTED), ("8 * 9", Fate.ACCEPTED), ("2 - 7", Fate.INVALID)
    )
    rates = dict(zip([each.problem_id for each in said.new], [0.5, 0.0, 0.5], strict=True))
    paid = ProposalPay(SETTINGS, shaping=Shaping(tracker, learned=3.0)).paid(said, rates)
    share = 3.0 * BOOKED * credit / 2
    assert rewards(paid) == pytest.approx([1.0 + share, share, 1.0, -0.5]), "an unseen family has learned nothing"
