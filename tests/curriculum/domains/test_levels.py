"""What the control without a challenger poses: every level of a domain as often as any other."""

import random
from collections import Counter

import pytest

from curriculum.domains.arithmetic.domain import ArithmeticDomain
from curriculum.domains.chains import ChainsDomain
from curriculum.domains.countdown import CountdownDomain
from curriculum.domains.factors import FactorsDomain
from curriculum.domains.protocol import Domain, Statement
from curriculum.domains.sorting import SortingDomain
from curriculum.domains.sums import SumsDomain
from curriculum.validation import validate_domain

BARE = [
    (ChainsDomain(), [2, 3, 4]),
    (CountdownDomain(), [3, 4]),
    (FactorsDomain(), [1, 2, 3]),
    (SortingDomain(), [4, 5, 6, 7, 8]),
    (SumsDomain(), [1, 2, 3, 4]),
]
OURS = [*BARE, (ArithmeticDomain(), [1, 2, 3, 4, 5, 6, 7, 8]), (ArithmeticDomain(2, 1), [1, 2])]


@pytest.mark.parametrize(("domain", "levels"), OURS, ids=lambda each: getattr(each, "name", ""))
def test_a_problem_is_drawn_of_the_level_that_was_asked_for(domain: Domain, levels: list[int]) -> None:
    assert list(domain.levels) == levels
    assert [domain.draw(random.Random(0), level).level for level in levels] == levels


@pytest.mark.parametrize(("domain", "levels"), BARE, ids=lambda each: getattr(each, "name", ""))
def test_a_level_that_is_not_there_is_refused(domain: Domain, levels: list[int]) -> None:
    for level in (levels[0] - 1, levels[-1] + 1):
        with pytest.raises(ValueError, match=rf"no problem of level {level}: the levels are {levels[0]}, "):
            domain.draw(random.Random(0), level)


def test_levels_drawn_evenly_give_each_size_its_share() -> None:
    """D4: three sizes had 3, 3 and 2 in eight."""
    domain, rng = ChainsDomain(2, 4), random.Random(0)
    sizes = Counter(domain.draw(rng, rng.choice(domain.levels)).family for _ in range(3000))
    assert sizes.keys() == {"2s", "3s", "4s"} and all(abs(count - 1000) < 100 for count in sizes.values())


class Disordered(ArithmeticDomain):
    def __init__(self) -> None:
        super().__init__()
        self.levels = [2, 1]


class Higher(SumsDomain):
    def draw(self, rng: random.Random, level: int) -> Statement:
        return super().draw(rng, min(level + 1, 4))


@pytest.mark.parametrize(
    ("domain", "detail"),
    [
        (Disordered(), "levels are [2, 1]: give integers from 1 on, rising"),
        (Higher(), "has level 2, which is above it"),
    ],
)
def test_validate_domain_looks_at_the_levels(domain: Domain, detail: str) -> None:
    failed = {check.name: check.detail for check in validate_domain(domain) if not check.passed}
    assert failed.keys() == {"draw works and is deterministic"} and detail in failed.popitem()[1]
