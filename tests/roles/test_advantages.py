"""Advantages: hand-worked groups, flat groups, strata of second looks, and banked groups."""

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roles.pay.advantages import (
    group_advantages,
    has_signal,
    second_look_advantages,
    second_look_rewards,
    shared_advantages,
)

REWARDS = st.lists(st.sampled_from([-0.5, -0.1, 0.0, 0.3, 0.75, 1.0]), min_size=2, max_size=16)
PAIRS = st.lists(st.tuples(st.sampled_from([0.0, 1.0]), st.sampled_from([0.0, 1.0])), min_size=1, max_size=12)


def no_estimate(was_right: bool) -> float:
    """A rate that may not be asked for."""
    raise AssertionError(f"the estimate was asked for, after {'right' if was_right else 'wrong'}")


def test_centred_subtracts_the_mean_and_does_not_divide() -> None:
    assert group_advantages([1.0, 0.0, 0.0, 0.0], "centred") == [0.75, -0.25, -0.25, -0.25]


def test_rloo_subtracts_the_mean_of_the_others() -> None:
    assert group_advantages([1.0, 0.0, 0.0, 1.0, 1.0], "rloo") == pytest.approx([0.5, -0.75, -0.75, 0.5, 0.5])


def test_a_lone_success_is_not_amplified() -> None:
    lone = [1.0] + [0.0] * 15
    assert group_advantages(lone, "centred")[0] == 0.9375  # dividing by the deviation would make it 3.87
    assert group_advantages(lone, "rloo")[0] == 1.0


@given(REWARDS)
def test_rloo_is_the_reward_less_the_mean_of_the_other_rewards(rewards: list[float]) -> None:
    others = [(sum(rewards) - r) / (len(rewards) - 1) for r in rewards]
    expected = [r - mean for r, mean in zip(rewards, others, strict=True)]
    assert group_advantages(rewards, "rloo") == pytest.approx(expected, abs=1e-12)


@given(REWARDS, st.sampled_from(["centred", "rloo"]))
def test_advantages_of_a_group_sum_to_nothing_and_keep_the_order(rewards: list[float], rule: str) -> None:
    advantages = group_advantages(rewards, rule)  # type: ignore[arg-type]
    assert sum(advantages) == pytest.approx(0.0, abs=1e-9)
    for r, a in zip(rewards, advantages, strict=True):
        for other_r, other_a in zip(rewards, advantages, strict=True):
            assert (r > other_r) == (a > other_a)


@given(st.floats(-20.0, 20.0), st.integers(1, 40), st.sampled_from(["centred", "rloo"]))
def test_a_flat_group_has_no_signal_whatever_it_was_paid(reward: float, size: int, rule: str) -> None:
    advantages = group_advantages([reward] * size, rule)  # type: ignore[arg-type]
    assert advantages == [0.0] * size
    assert not has_signal(advantages)


def test_the_rounded_mean_of_equal_rewards_is_no_signal() -> None:
    assert sum([-0.1] * 6) / 6 != -0.1  # why flatness is not decided by the mean, however exactly Python sums
    assert group_advantages([-0.1] * 6, "centred") == [0.0] * 6


def test_a_mixed_group_has_a_signal() -> None:
    assert has_signal(group_advantages([0.0, 0.0, 1.0], "centred"))


def test_no_rewards_give_no_advantages() -> None:
    assert group_advantages([], "rloo") == []
    assert not has_signal([])


def test_keeping_an_answer_right_is_not_punished_beside_one_that_was_mended() -> None:
    pairs = [(1.0, 1.0)] * 7 + [(0.0, 1.0)]
    paid = second_look_rewards(pairs, alpha=10.0)
    assert paid == [1.0] * 7 + [11.0]
    assert group_advantages(paid, "centred") == [-1.25] * 7 + [8.75]  # what one mean for all would do
    rates = {False: 0.25}  # of second looks after a wrong first try
    advantages = second_look_advantages(pairs, 10.0, "centred", rates.__getitem__)
    assert advantages == [0.0] * 7 + [7 / 8 * 8.25]  # 11 - 0.25 * 11, at the weight of a group of eight


def test_a_lone_broken_answer_is_compared_with_what_was_expected_of_it() -> None:
    rates = {True: 0.9}
    # expected: 0.9 * 1 + 0.1 * -10 = -0.1
    assert second_look_advantages([(1.0, 0.0)], 10.0, "rloo", rates.__getitem__) == pytest.approx([-9.9])


def test_strata_are_compared_within_themselves_and_stay_in_order() -> None:
    pairs = [(0.0, 1.0), (1.0, 1.0), (0.0, 0.0), (1.0, 0.0)]
    assert second_look_advantages(pairs, 10.0, "centred", no_estimate) == [8.25, 8.25, -8.25, -8.25]  # 3/4 of rloo's
    assert second_look_advantages(pairs, 10.0, "rloo", no_estimate) == [11.0, 11.0, -11.0, -11.0]


@given(PAIRS, st.floats(0.01, 0.99))
def test_a_second_look_that_turned_right_is_never_pushed_below_one_that_did_not(
    pairs: list[tuple[float, float]], rate: float
) -> None:
    for (_, after), advantage in zip(
        pairs, second_look_advantages(pairs, 10.0, "centred", lambda _: rate), strict=True
    ):
        assert advantage >= 0.0 if after else advantage <= 0.0


@given(PAIRS, st.sampled_from(["centred", "rloo"]))
def test_other_strata_change_a_stratum_by_the_groups_size_alone(pairs: list[tuple[float, float]], rule: str) -> None:
    together = second_look_advantages(pairs, 2.0, rule, lambda _: 0.5)  # type: ignore[arg-type]
    for first in (0.0, 1.0):
        own = [pair for pair in pairs if pair[0] == first]
        alone = second_look_advantages(own, 2.0, "rloo", lambda _: 0.5)
        c = 1.0 if rule == "rloo" else max(1, len(pairs) - 1) / len(pairs) if len(pairs) > 1 else 1.0
        found = [a for p, a in zip(pairs, together, strict=True) if p[0] == first]
        assert found == pytest.approx([c * a for a in alone])


@pytest.mark.parametrize(("rule", "c"), [("rloo", 1.0), ("centred", 3 / 4)])
@pytest.mark.parametrize("num_right", [0, 1, 2, 3, 4])
def test_every_stratum_has_the_same_share_of_the_exact_gradient(rule: str, c: float, num_right: int) -> None:
    """Case 6. Second looks right with p = 0.3 after a wrong first try, 0.8 after a right one: over all 16 outcomes of a
    group of four, E[sum of A (y - p)] / (p (1 - p)) of a stratum of n is c n (reward if right - reward if wrong)."""
    firsts = [1.0] * num_right + [0.0] * (4 - num_right)
    chances = {1.0: 0.8, 0.0: 0.3}
    slopes = {1.0: 0.0, 0.0: 0.0}
    for outcome in itertools.product((0.0, 1.0), repeat=4):
        pairs = list(zip(firsts, outcome, strict=True))
        weight = math.prod(chances[first] if y else 1 - chances[first] for first, y in pairs)
        advantages = second_look_advantages(pairs, 2.0, rule, lambda right: chances[float(right)])  # type: ignore[arg-type]
        for (first, y), advantage in zip(pairs, advantages, strict=True):
            p = chances[first]
            slopes[first] += weight * advantage * (y - p) / (p * (1 - p))
    for first, slope in slopes.items():
        gap = second_look_rewards([(first, 1.0)], 2.0)[0] - second_look_rewards([(first, 0.0)], 2.0)[0]
        assert slope == pytest.approx(c * firsts.count(first) * gap)


def test_looks_share_their_first_try_which_is_no_baseline_of_its_own() -> None:
    """Case 6. Four first tries, one right, two looks at each."""
    owners, rewards = [0, 0, 1, 1, 2, 2, 3, 3], [1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]
    assert shared_advantages(owners, rewards, "rloo") == pytest.approx([1.0] * 2 + [-1 / 3] * 6)  # was 0.857, -0.286
    assert shared_advantages(owners, rewards, "centred") == [0.75] * 2 + [-0.25] * 6
    paid_by_the_last_turn = [1.0, 0.0, 0.0, 0.0]
    assert shared_advantages([0, 0, 1, 1], paid_by_the_last_turn, "rloo") == [0.5, 0.5, -0.5, -0.5]
    assert shared_advantages([0, 1, 1], [1.0, 0.0, 0.0], "centred") == [0.5, -0.5, -0.5], "one look was not judged"
