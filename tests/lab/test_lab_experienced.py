"""Chains of which some sizes are posed and all are measured."""

import random

import pytest

from curriculum.domains.protocol import Statement
from curriculum.domains.seed_files import DomainError
from selfplay.lab.experienced import DrawnChains


def test_some_sizes_are_posed_and_all_are_measured() -> None:
    domain = DrawnChains(drawn=[3])
    assert list(domain.levels) == [3]
    assert set(domain.evaluation_sets()) == {"chain2", "chain3", "chain4"}
    assert {domain.draw(random.Random(i), domain.levels[0]).level for i in range(20)} == {3}
    assert isinstance(domain.parse("3*2+4*2+3"), Statement)  # a challenger's, of four


@pytest.mark.parametrize("drawn", [[], [5], ["3"]])
def test_sizes_that_there_are_not_are_refused(drawn: list[int]) -> None:
    with pytest.raises(DomainError, match="drawn are sizes from 2 to 4"):
        DrawnChains(drawn=drawn)
