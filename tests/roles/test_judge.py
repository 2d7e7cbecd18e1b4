"""The judge: verdicts, what is left out of everything, control rewards, pass rates, records, values on nodes."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scripted_roles import DOMAIN, completion, problem, unjudgeable

from curriculum.domains.abilities import ability
from curriculum.domains.protocol import Prompted
from roles.judging.groups import JudgedGroup, JudgeSettings, attempt_record, judge_group, node_values, pass_rate
from roles.judging.rewards import entries, load
from roles.prompts import PromptStyle
from roles.requests import Sampled
from roles.solver import SolvedGroup
from roles.tree import ROOT
from store.records import Finish, Outcome, PassRate, Problem

STYLE = PromptStyle(ability(DOMAIN, Prompted))
PROBLEM = problem("23 + 45")
FORMAT, COINS = (load(entries([{"part": part}]), 1.0) for part in ("format", "random"))


def judged(
    attempts: Sequence[Sequence[str]], settings: JudgeSettings | None = None, of: Problem = PROBLEM
) -> JudgedGroup:
    """Attempts given by their texts, judged; nodes do not matter here."""
    said = tuple(tuple(Sampled(0, completion(text)) for text in turns) for turns in attempts)
    return judge_group(SolvedGroup(of, said), STYLE.domain, STYLE.visible, settings or JudgeSettings(), step=1)


def outcomes(group: JudgedGroup) -> list[list[Outcome]]:
    return [[turn.outcome for turn in attempt.turns] for attempt in group.attempts]


@pytest.mark.parametrize(
    ("text", "outcome", "answer"),
    [
        (" 68\n", Outcome.CORRECT, "68"),
        (" 67\n", Outcome.INCORRECT, "67"),
        (" 68\n67", Outcome.CORRECT, "68"),  # a stop token may hold more than the stop
        (" sixty-eight\n", Outcome.UNPARSED, None),
        (" 68 or 67\n", Outcome.UNPARSED, None),
        ("\n", Outcome.UNPARSED, None),
        (" __import__('os')\n", Outcome.UNPARSED, None),
        (" 68", Outcome.TRUNCATED, None),  # right so far, but cut: it may have gone on
        ("", Outcome.TRUNCATED, None),
    ],
)
def test_verdicts(text: str, outcome: Outcome, answer: str | None) -> None:
    [[turn]] = [attempt.turns for attempt in judged([[text]]).attempts]
    assert (turn.outcome, turn.answer) == (outcome, answer)
    assert turn.reward == (1.0 if outcome is Outcome.CORRECT else 0.0)


def test_one_unjudged_turn_takes_its_attempt_out_of_everything() -> None:
    group = judged([["what\n", "5\n"], ["what\n", "hm\n"]], of=unjudgeable())
    assert outcomes(group) == [[Outcome.UNPARSED, Outcome.UNJUDGED], [Outcome.UNPARSED, Outcome.UNPARSED]]
    assert [a.index for a in group.judged] == [1]
    assert pass_rate(group, 1) == PassRate("broken", 1, attempts=1, successes=0, missed=1)


def test_second_looks_are_counted_by_how_the_first_went() -> None:
    right, wrong = " 68\n", " 67\n"
    kept, broken, fixed, missed = [right, right], [right, wrong], [wrong, right], [wrong, wrong]
    group = judged([kept] * 1 + [broken] * 2 + [fixed] * 4 + [missed] * 3)
    counted = PassRate(PROBLEM.problem_id, 9, attempts=10, successes=3, kept=1, broken=2, fixed=4, missed=3)
    assert pass_rate(group, 9) == counted


def test_a_group_that_nobody_could_judge_has_no_pass_rate() -> None:
    assert pass_rate(judged([["5\n"], ["6\n"]], of=unjudgeable()), 1) is None


def test_what_a_cut_completion_earns_is_a_setting() -> None:
    attempts = [[" 68\n", " 68"], [" 68\n", " 68\n"]]
    paid = judged(attempts, JudgeSettings(truncated="zero"))
    assert [a.rewards() for a in paid.judged] == [(1.0, 0.0), (1.0, 1.0)]
    left_out = judged(attempts, JudgeSettings(truncated="unjudged"))
    assert [a.index for a in left_out.judged] == [1]
    assert pass_rate(left_out, 1) == PassRate(PROBLEM.problem_id, 1, attempts=1, successes=1, kept=1)


def test_format_rewards_pay_whatever_can_be_read() -> None:
    group = judged([[" 68\n"], [" 67\n"], [" no\n"], [" 68"]], JudgeSettings(FORMAT))
    assert [a.rewards() for a in group.judged] == [(1.0,), (1.0,), (0.0,), (0.0,)]


def test_random_rewards_are_fair_coins_that_do_not_know_the_answer() -> None:
    right = judged([[" 68\n", " 68\n"]] * 500, JudgeSettings(COINS, seed=3))
    wrong = judged([[" 67\n", " no\n"]] * 500, JudgeSettings(COINS, seed=3))
    coins = [a.rewards() for a in right.judged]
    assert coins == [a.rewards() for a in wrong.judged]
    assert 195 < sum(first for first, _ in coins) < 305  # of 500, five standard deviations
    assert 195 < sum(first != second for first, second in coins) < 305  # turns have coins of their own
    other_seed = judged([[" 68\n", " 68\n"]] * 500, JudgeSettings(COINS, seed=4))
    assert coins != [a.rewards() for a in other_seed.judged]


def test_control_rewards_do_not_change_what_is_counted() -> None:
    attempts = [[" 68\n", " 68\n"], [" 67\n", " 68\n"], [" 68\n", " no\n"], [" 1\n", " 2\n"]]
    expected = PassRate(PROBLEM.problem_id, 1, attempts=4, successes=2, kept=1, broken=1, fixed=1, missed=1)
    for control in (JudgeSettings(FORMAT), JudgeSettings(COINS), JudgeSettings()):
        assert pass_rate(judged(attempts, control), 1) == expected


def test_an_unjudged_turn_is_unpaid_under_control_rewards_too() -> None:
    for control in (JudgeSettings(FORMAT), JudgeSettings(COINS)):
        assert judged([["5\n"]], control, of=unjudgeable()).judged == []


def test_an_attempt_is_recorded_with_what_it_was_paid_and_the_versions_it_spans() -> None:
    group = judged([[" 68\n", " 67\n"]])
    [only] = group.attempts
    turns = tuple(
        replace(turn, sampled=Sampled(0, completion(turn.sampled.completion.text, versions)))
        for turn, versions in zip(only.turns, [(4, 5), (5, 6)], strict=True)
    )
    record = attempt_record(group, replace(only, turns=turns), [1.0, -10.0], [{"verdict": 1.0}, {"correction": -10.0}])
    assert (record.problem_id, record.attempt) == (PROBLEM.problem_id, 0)
    assert (record.first_version, record.last_version) == (4, 6)
    assert [(t.text, t.answer, t.outcome, t.reward, t.score, t.parts) for t in record.turns] == [
        (" 68\n", "68", Outcome.CORRECT, 1.0, 1.0, {"verdict": 1.0}),
        (" 67\n", "67", Outcome.INCORRECT, -10.0, 0.0, {"correction": -10.0}),
    ]
    assert [(t.num_tokens, t.finish) for t in record.turns] == [(4, Finish.STOP)] * 2


def test_values_of_a_small_tree() -> None:
    #  0 - 1 - 2        three samples: two right ones end at 2, a wrong one at 3; node 4 leads nowhere
    #      1 - 3
    values = node_values([ROOT, 0, 1, 1, 0], {2: [1.0, 1.0], 3: [0.0]})
    assert values == {ROOT: 2 / 3, 0: 2 / 3, 1: 2 / 3, 2: 1.0, 3: 0.0}


@st.composite
def trees_with_leaf_rewards(draw: st.DrawFn) -> tuple[list[int], dict[int, list[float]]]:
    size = draw(st.integers(1, 25))
    parents = [draw(st.integers(ROOT, i - 1)) for i in range(size)]
    leaves = [node for node in range(size) if node not in parents]
    outcome = st.lists(st.sampled_from([0.0, 1.0]), min_size=1, max_size=4)
    return parents, {leaf: draw(outcome) for leaf in leaves}


def path_to(node: int, parents: list[int]) -> list[int]:
    """From ROOT to `node`, both included."""
    return [*path_to(parents[node], parents), node] if node != ROOT else [ROOT]


@given(trees_with_leaf_rewards())
def test_a_value_is_the_mean_over_the_samples_below(tree: tuple[list[int], dict[int, list[float]]]) -> None:
    parents, rewards = tree
    values = node_values(parents, rewards)
    assert set(values) == {ROOT, *range(len(parents))}
    for node, value in values.items():
        below = [r for leaf, paid in rewards.items() if node in path_to(leaf, parents) for r in paid]
        assert value == sum(below) / len(below)


@given(trees_with_leaf_rewards())
def test_differences_of_values_telescope_along_every_path(tree: tuple[list[int], dict[int, list[float]]]) -> None:
    parents, rewards = tree
    values = node_values(parents, rewards)
    for leaf, paid in rewards.items():
        path = path_to(leaf, parents)
        gains = sum(values[node] - values[parent] for parent, node in pairwise(path))
        assert gains == pytest.approx(sum(paid) / len(paid) - values[ROOT], abs=1e-9)
