"""The product rule by hand, and how often chance alone makes a fall of two standard errors."""

import math
import random

import pytest

from selfplay.stats.product_rule import Answers, best_of, fall, product, rate


def answers(hard: str, easy: str) -> Answers:
    """Of "+" and "-", one a probe."""
    return Answers(tuple(each == "+" for each in hard), tuple(each == "+" for each in easy))


def test_rates_are_those_of_the_papers_and_of_the_posterior() -> None:
    assert rate(0, 0) == 1 / 2 and rate(3, 4) == 4 / 6
    assert rate(0, 0, "plus_one") == 1 and rate(3, 4, "plus_one") == 4 / 5
    assert product(answers("+---", "++++")) == (2 / 6) * (5 / 6)
    assert product(answers("+---", "++++"), "plus_one") == (2 / 5) * (5 / 5)


def test_neither_the_hard_nor_the_easy_probes_decide_alone() -> None:
    versions = {"bold": answers("++++", "----"), "timid": answers("----", "++++"), "able": answers("++--", "+++-")}
    assert best_of(versions) == "able"  # 3/6 4/6, beside 5/6 1/6 twice


def test_of_equals_the_last_one_is_kept() -> None:
    assert best_of({1: answers("+-", "+"), 2: answers("-+", "+"), 3: answers("--", "+")}) == 2
    assert best_of({1: answers("", ""), 2: answers("", "")}) == 2


def test_versions_with_other_probes_are_not_compared() -> None:
    with pytest.raises(ValueError, match="same probes"):
        best_of({1: answers("+", "+"), 2: answers("++", "+")})
    with pytest.raises(ValueError):
        fall(answers("+", "+"), answers("++", "+"))
    with pytest.raises(ValueError, match="no version"):
        best_of({})


@pytest.mark.parametrize("rule", ["posterior_mean", "plus_one"])
def test_the_fall_is_the_difference_of_products(rule: str) -> None:
    before, now = answers("++-+", "+++++-"), answers("-+--", "++--+-")
    found = fall(before, now, rule)  # type: ignore[arg-type]
    assert found.by == pytest.approx(product(before, rule) - product(now, rule))  # type: ignore[arg-type]
    back = fall(now, before, rule)  # type: ignore[arg-type]
    assert back.by == pytest.approx(-found.by) and back.standard_error == pytest.approx(found.standard_error)


def test_the_standard_error_by_hand() -> None:
    """Four hard probes of which two are lost and one gained; of two easy ones one is lost."""
    found = fall(answers("++--", "++"), answers("--+-", "+-"))
    m_easy, m_hard = (3 / 4 + 2 / 4) / 2, (3 / 6 + 2 / 6) / 2
    v_hard, v_easy = 2 + 1 + 1 - 1 / 6, 1 + 1 - 1 / 4
    expected = math.sqrt(m_easy**2 * v_hard / 6**2 + m_hard**2 * v_easy / 4**2)
    assert found.standard_error == pytest.approx(expected)
    assert found.by == pytest.approx(m_easy * 1 / 6 + m_hard * 1 / 4)


def test_one_lost_probe_is_no_fall_and_many_are() -> None:
    assert not fall(answers("-", "+"), answers("-", "-")).is_beyond(2)
    assert fall(answers("-" * 8, "+" * 8), answers("-" * 8, "-" * 8)).is_beyond(2)
    assert not fall(answers("++--", "+-"), answers("++--", "+-")).is_beyond(0)
    assert not fall(answers("", ""), answers("", "")).is_beyond(0)


@pytest.mark.parametrize("n", [8, 32])
def test_chance_alone_seldom_makes_a_fall_of_two_standard_errors(n: int) -> None:
    """Two versions that are as good as each other; each solves a hard probe with 0.2, an easy one with 0.8."""
    rng = random.Random(2026)

    def drawn() -> Answers:
        return Answers(*(tuple(rng.random() < p for _ in range(n)) for p in (0.2, 0.8)))

    falls = sum(fall(drawn(), drawn()).is_beyond(2) for _ in range(4000))
    assert falls / 4000 < 0.03  # 0.023 of a normal distribution
