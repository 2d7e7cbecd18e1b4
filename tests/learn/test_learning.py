"""From verdicts to trained samples: which groups push, what they are paid, and that the stop token is trained."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from scripted_roles import DOMAIN, PARAMS, ScriptedEngine, completion, problem, unjudgeable

from curriculum.domains.abilities import ability
from curriculum.domains.protocol import Prompted
from curriculum.settings import CurriculumSettings
from curriculum.tracking.difficulty import Tracker
from roles.challenger import ProposedGroup, propose
from roles.judging.groups import JudgedGroup, JudgeSettings, judge_group, pass_rate
from roles.prompts import PromptStyle
from roles.requests import Sampled
from roles.solver import SolvedGroup, SolverSettings, attempt
from selfplay.learn.batch import TrainSample, build_batch
from selfplay.learn.lessons import SolverLesson, solver_lesson
from selfplay.learn.proposals import PaidProposal, challenger_samples, marginal_rewards, proposal_reward
from selfplay.learn.settings import LearningSettings, Objective, TeachingSettings
from selfplay.learn.teacher import Teacher
from selfplay.play.step import Judged, Played, Posed, TriagedProposal
from selfplay.stats.intervals import share
from store.records import Fate, PassRate, Problem, StepHistory

STYLE = PromptStyle(ability(DOMAIN, Prompted))
PROBLEM = problem("23 + 45")
SETTINGS = LearningSettings(
    advantage="centred", correction_bonus=10.0, challenger_reward="learnability", invalid_reward=-0.5
)
RIGHT, WRONG = " 68\n", " 67\n"


def judged(attempts: Sequence[Sequence[str]], of: Problem = PROBLEM, truncated: str = "zero") -> JudgedGroup:
    """Attempts by their texts; turn k of attempt i ends at node 10 i + k."""
    said = tuple(
        tuple(Sampled(10 * i + k, completion(text)) for k, text in enumerate(turns)) for i, turns in enumerate(attempts)
    )
    settings = JudgeSettings(truncated=truncated)  # type: ignore[arg-type]
    return judge_group(SolvedGroup(of, said), STYLE.domain, STYLE.visible, settings, step=1)


def lesson(
    group: JudgedGroup, banked: bool = False, estimate: float = 0.5, settings: LearningSettings = SETTINGS
) -> SolverLesson:
    return solver_lesson(group, banked, lambda problem_id, was_right: estimate, settings)


def pushes(found: Sequence[TrainSample], label: str) -> dict[int, float]:
    """node -> advantage of one label's samples."""
    return {sample.node: sample.advantage for sample in found if sample.label == label}


def test_first_tries_are_compared_with_their_group() -> None:
    found = lesson(judged([[RIGHT], [WRONG], [WRONG], [RIGHT]]))
    assert pushes(found.samples, "solver/0") == {0: 0.5, 10: -0.5, 20: -0.5, 30: 0.5}
    assert found.paid == ((1.0,), (0.0,), (0.0,), (1.0,))
    assert (found.is_mixed, found.is_kept) == (True, True)


@pytest.mark.parametrize("text", [RIGHT, WRONG])
def test_a_group_that_all_went_alike_pushes_nothing(text: str) -> None:
    found = lesson(judged([[text]] * 8))
    assert found.samples == ()
    assert (found.is_mixed, found.is_kept) == (False, False)


def test_first_tries_of_a_banked_group_are_not_trained_and_its_second_looks_are() -> None:
    group = judged([[RIGHT, RIGHT], [WRONG, RIGHT], [WRONG, WRONG], [WRONG, WRONG]])
    found = lesson(group, banked=True)
    assert pushes(found.samples, "solver/0") == {}
    assert pushes(found.samples, "solver/1") != {}
    assert found.is_mixed
    assert pushes(lesson(group, banked=False).samples, "solver/0") != {}


def test_a_banked_group_of_first_tries_alone_is_not_kept() -> None:
    found = lesson(judged([[RIGHT]] + [[WRONG]] * 7), banked=True)
    assert (found.samples, found.is_mixed, found.is_kept) == ((), True, False)


def test_seven_kept_right_beside_one_mended() -> None:
    """One mean for all would give the seven -1.25 each for being right twice."""
    found = lesson(judged([[RIGHT, RIGHT]] * 7 + [[WRONG, RIGHT]]), estimate=0.25)
    looks = pushes(found.samples, "solver/1")
    assert [looks[10 * i + 1] for i in range(7)] == [0.0] * 7
    assert looks[71] == pytest.approx(
        7 / 8 * (11.0 - 0.25 * 11.0)
    )  # at the weight of a group of eight: its reward less what the running estimate expects
    assert found.paid == ((1.0, 1.0),) * 7 + ((0.0, 11.0),)
    firsts = pushes(found.samples, "solver/0")
    assert firsts == {10 * i: 0.125 for i in range(7)} | {70: -0.875}


def test_a_new_problems_lone_second_look_is_compared_with_all_problems_second_looks() -> None:
    """Case 5: not with even odds, which nothing was ever measured to be."""
    tracker = Tracker(CurriculumSettings())
    tracker.observe(StepHistory(0, 0, (problem("1 + 2"),), (), ()))
    seen = PassRate(problem("1 + 2").problem_id, 0, 16, 8, kept=8, broken=0, fixed=1, missed=7)
    tracker.observe(StepHistory(1, 1, (), (), (seen,)))
    objective = Objective({"solver/0": 1.0, "solver/1": 1.0}, {})
    settings = TeachingSettings(replace(SETTINGS, advantage="rloo"), {2: objective})
    engine = ScriptedEngine({"solver/0": [RIGHT] * 7 + [WRONG], "solver/1": [RIGHT] * 8})
    group = judge_group(
        engine.drive(attempt(PROBLEM, STYLE, SolverSettings(8, 2, PARAMS), 1)),
        STYLE.domain,
        STYLE.visible,
        JudgeSettings(),
        1,
    )
    played = Played(Posed((PROBLEM,), ()), Judged((group,)), {})
    taught = Teacher(settings, tracker, STYLE, lambda text, after: []).teach(engine.tree, played, [])
    assert not tracker.knows(PROBLEM.problem_id)
    looks = [each.advantage for each in taught.lessons[0].samples if each.label == "solver/1"]
    pooled = (1 + 0.9 * 1) / (2 + 0.9 * 8)  # a version ago, so worth 0.9 each
    assert looks == pytest.approx([0.0] * 7 + [11.0 * (1 - pooled)])


def test_the_estimate_is_asked_for_this_problem_and_this_first_try() -> None:
    asked = []

    def rate(problem_id: str, was_right: bool) -> float:
        asked.append((problem_id, was_right))
        return 0.5

    solver_lesson(judged([[RIGHT, RIGHT]] * 3 + [[WRONG, WRONG]]), False, rate, SETTINGS)
    assert asked == [(PROBLEM.problem_id, False)]


def test_the_bonus_is_for_the_second_turns_tokens_only() -> None:
    attempts = [[WRONG, RIGHT], [WRONG, WRONG], [RIGHT, RIGHT], [RIGHT, WRONG]]
    found = lesson(judged(attempts))
    assert pushes(found.samples, "solver/0") == {0: -0.5, 10: -0.5, 20: 0.5, 30: 0.5}
    assert pushes(found.samples, "solver/1") == {1: 8.25, 11: -8.25, 21: 8.25, 31: -8.25}
    assert found.paid == ((0.0, 11.0), (0.0, 0.0), (1.0, 1.0), (1.0, -10.0))


def test_what_nobody_could_judge_is_in_no_group_and_unpaid() -> None:
    group = judged([["what\n", "5\n"], ["what\n", "hm\n"]], of=unjudgeable())
    found = lesson(group)
    assert found.paid == ((None, None), (0.0, 0.0))
    assert {sample.node for sample in found.samples} <= {10, 11}
    assert group.first_try_rate == 0.0
    assert judged([["5\n"]], of=unjudgeable()).first_try_rate is None


def test_an_attempt_cut_by_length_can_be_left_out() -> None:
    attempts = [[RIGHT], [WRONG], [" 6"]]
    left_out = lesson(judged(attempts, truncated="unjudged"))
    assert pushes(left_out.samples, "solver/0") == {0: 0.5, 10: -0.5}
    assert left_out.paid == ((1.0,), (0.0,), (None,))
    counted = lesson(judged(attempts, truncated="zero"))
    assert pushes(counted.samples, "solver/0") == pytest.approx({0: 2 / 3, 10: -1 / 3, 20: -1 / 3})


def test_the_stop_token_is_trained() -> None:
    engine = ScriptedEngine({"solver/0": [RIGHT, WRONG], "solver/1": [RIGHT, WRONG]})
    solved = engine.drive(attempt(PROBLEM, STYLE, SolverSettings(2, 2, PARAMS), 1))
    group = judge_group(solved, STYLE.domain, STYLE.visible, JudgeSettings(), 1)
    batch = build_batch(engine.tree, lesson(group).samples, {"solver/0": 1.0, "solver/1": 1.0})
    trained = "".join(chr(c) for c in batch.ids[batch.targets])
    assert trained.count("\n") == 4  # one stop for every turn
    assert sorted(trained) == sorted(" 68\n7\n" + " 68\n" + " 67\n")  # only what was said: no prompt, no question
    stops = batch.targets[batch.ids[batch.targets] == ord("\n")]
    assert np.all(np.isin(stops, batch.targets))


@pytest.mark.parametrize(
    ("fate", "rate", "expected"),
    [
        (Fate.ACCEPTED, 0.25, 0.75),
        (Fate.ACCEPTED, 0.0, 0.0),
        (Fate.ACCEPTED, 1.0, 0.0),
        (Fate.ACCEPTED, None, None),
        (Fate.SURPLUS, None, None),
        (Fate.UNPARSED, None, -0.5),
        (Fate.HELD_OUT, None, -0.5),
        (Fate.DUPLICATE, 0.5, -0.5),  # of a problem in the same step: its rate is another's merit
        (Fate.TRIVIAL_EDIT, None, -0.5),
    ],
)
def test_what_a_proposal_is_paid(fate: Fate, rate: float | None, expected: float | None) -> None:
    assert proposal_reward(fate, rate, SETTINGS) == expected


def proposed(group: int, texts: Sequence[str]) -> ProposedGroup:
    engine = ScriptedEngine({"challenger": texts})
    made = engine.drive(propose(PROBLEM, group, STYLE, len(texts), PARAMS, 1))
    assert isinstance(made, ProposedGroup)
    return made


def paid(
    group: ProposedGroup, rewards: Sequence[float | None], fates: Sequence[tuple[Fate, str | None]] = ()
) -> list[PaidProposal]:
    """Proposals with what they were paid; without `fates` all were taken, and no two say the same."""
    given = fates or [(Fate.ACCEPTED, f"problem-{group.group}-{i}") for i in range(len(rewards))]
    return [
        PaidProposal(TriagedProposal(group.parent, group.group, i, sampled, fate, problem_id), reward)
        for i, (sampled, reward, (fate, problem_id)) in enumerate(zip(group.proposals, rewards, given, strict=True))
    ]


def test_each_parent_is_a_group_with_its_own_baseline() -> None:
    groups = [proposed(0, [" 1 + 2\n", " 3 + 4\n"]), proposed(1, [" 5 + 6\n", " 7 + 8\n"])]
    found = challenger_samples([*paid(groups[0], [1.0, 0.0]), *paid(groups[1], [0.75, 0.75])], "centred", 0.0)
    nodes = [said.node for said in groups[0].proposals]
    assert [(s.label, s.node, s.num_tokens, s.advantage) for s in found] == [
        ("challenger", nodes[0], 7, 0.5),
        ("challenger", nodes[1], 7, -0.5),
    ]


def test_an_unmeasured_proposal_is_in_no_group() -> None:
    group = proposed(0, [" 1 + 2\n", " 3 + 4\n", " 5 + 6\n"])
    found = challenger_samples(paid(group, [1.0, None, 0.5]), "centred", 0.0)
    assert [(s.node, s.advantage) for s in found] == [
        (group.proposals[0].node, 0.25),
        (group.proposals[2].node, -0.25),
    ]
    assert challenger_samples(paid(group, [1.0, None, None]), "rloo", 0.0) == []


def test_what_is_said_twice_in_a_step_is_credited_to_nobody() -> None:
    """Four proposals of one parent say the same, two something else: pushed up is only what would be missed."""
    first = proposed(0, [" 1 + 2\n", " 1 + 2\n", " 2 + 1\n", " 1 + 2\n", " 3 + 4\n", " 4 3\n"])
    same = [(Fate.DUPLICATE, "a")] * 3
    ours = paid(
        first,
        [1.0, 0.0, 0.0, 0.0, 0.6, 0.0],
        [(Fate.ACCEPTED, "a"), *same, (Fate.ACCEPTED, "b"), (Fate.UNPARSED, None)],
    )
    others = paid(proposed(1, [" 5 + 6\n", " 7 + 8\n"]), [None, None], [(Fate.SURPLUS, None), (Fate.ACCEPTED, "c")])
    assert marginal_rewards([*ours, *others], 0.0) == [0.0, 0.0, 0.0, 0.0, 0.6, 0.0, None, None]
    advantages = [sample.advantage for sample in challenger_samples([*ours, *others], "centred", 0.0)]
    assert advantages == pytest.approx([-0.1, -0.1, -0.1, -0.1, 0.5, -0.1])


def test_what_is_said_twice_is_worth_what_a_rejection_costs() -> None:
    """Case 6. Three say the same, paid 1, -0.5, -0.5: 0 in all, and 0.5 without any one of them. So each costs 0.5."""
    group = proposed(0, [" 1 + 2\n", " 1 + 2\n", " 2 + 1\n", " 3 + 4\n"])
    fates = [(Fate.ACCEPTED, "a"), (Fate.DUPLICATE, "a"), (Fate.DUPLICATE, "a"), (Fate.ACCEPTED, "b")]
    assert marginal_rewards(paid(group, [1.0, -0.5, -0.5, 0.6], fates), -0.5) == [-0.5, -0.5, -0.5, 0.6]


def test_a_held_label_gives_its_kl_every_token_and_the_loss_only_kept_groups() -> None:
    pulled = replace(SETTINGS, kl_labels=frozenset({"solver/0", "challenger"}))
    flat = lesson(judged([[WRONG, WRONG], [WRONG, WRONG]]), settings=pulled)
    assert [(s.label, s.node, s.advantage, s.is_kept) for s in flat.samples] == [
        ("solver/0", 0, 0.0, False),
        ("solver/0", 10, 0.0, False),
    ]
    assert not flat.is_kept and lesson(judged([[WRONG, WRONG], [WRONG, WRONG]])).samples == ()
    group = proposed(0, [" 1 + 2\n", " 3 + 4\n", " 5 + 6\n"])
    found = challenger_samples(paid(group, [1.0, None, 0.5]), "centred", 0.0, pulled.kl_labels)
    assert [(s.advantage, s.is_kept) for s in found] == [(0.25, True), (-0.25, True), (0.0, False)]


def test_looks_at_one_first_try_are_each_others_baseline() -> None:
    said = judged([[WRONG, RIGHT], [WRONG, WRONG], [WRONG, WRONG], [WRONG, WRONG], [RIGHT, RIGHT], [RIGHT, WRONG]])
    group = replace(said, looks=2)
    found = lesson(group, settings=replace(SETTINGS, correction_bonus=0.0))
    assert pushes(found.samples, "solver/1") == pytest.approx(
        {1: 5 / 6, 11: -5 / 6, 21: 0, 31: 0, 41: 5 / 6, 51: -5 / 6}
    )
    assert group.first_try_rate == pytest.approx(1 / 3)  # three first tries, not six
    rates = pass_rate(group, 7)
    assert rates is not None and (rates.attempts, rates.successes, rates.fixed, rates.missed) == (3, 1, 1, 3)
    with_strata = lesson(said, settings=replace(SETTINGS, correction_bonus=0.0))
    assert pushes(with_strata.samples, "solver/1")[21] == pytest.approx(5 / 6 * -1 / 3)  # among all that began wrong


def test_the_last_turns_reward_can_pay_the_first() -> None:
    group = judged([[WRONG, RIGHT], [RIGHT, RIGHT], [RIGHT, WRONG], [WRONG, WRONG]])
    own = lesson(group, settings=replace(SETTINGS, correction_bonus=0.0))
    last = lesson(group, settings=replace(SETTINGS, correction_bonus=0.0, first_turn_reward="last"))
    assert pushes(own.samples, "solver/0") == {0: -0.5, 10: 0.5, 20: 0.5, 30: -0.5}
    assert pushes(last.samples, "solver/0") == {0: 0.5, 10: 0.5, 20: -0.5, 30: -0.5}
    assert [paid[0] for paid in last.paid] == [1.0, 1.0, 0.0, 0.0]
    assert pushes(own.samples, "solver/1") == pushes(last.samples, "solver/1")


def test_a_share() -> None:
    assert share([True, False, False, True]) == 0.5
    assert share([]) == 0.0
