"""The challenger's gate, by its table: which fate is paid how, from strict to none."""

import pytest

from roles.pay.gate import Gate, GateRule
from store.records import Fate

KNOWN = {Fate.DUPLICATE, Fate.TRIVIAL_EDIT, Fate.HELD_OUT}


@pytest.mark.parametrize(
    ("rule", "paid"),
    [
        ("strict", set()),
        ("standard", set()),
        ("loose", KNOWN),
        ("none", KNOWN | {Fate.INVALID, Fate.TOO_LARGE}),
    ],
)
def test_what_was_not_measured_is_paid_behind_a_looser_gate(rule: GateRule, paid: set[Fate]) -> None:
    assert {fate for fate in Fate if Gate(rule).pays_unmeasured(fate)} == paid
    assert Gate(rule).wants_new == (not paid)


@pytest.mark.parametrize(
    ("rate", "verified", "passes"),
    [(0.1, True, True), (0.9, True, True), (0.05, True, False), (0.95, True, False), (0.5, False, False)],
)
def test_a_strict_gate_wants_a_solvable_problem_with_an_answer_that_holds(
    rate: float, verified: bool, passes: bool
) -> None:
    assert Gate("strict", 0.1, 0.9).passes(rate, verified) == passes
    assert Gate("standard", 0.1, 0.9).passes(rate, verified)
