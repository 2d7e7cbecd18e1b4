"""SCoRe's stages from stored figures: when stage I ends, and that it never comes back."""

from hypothesis import given
from hypothesis import strategies as st

from selfplay.learn.stages import StageFacts, StageSettings, stage_after, stage_facts

RISING = [StageFacts(step / 100, 0.0) for step in range(100)]
FLAT = [StageFacts(0.5, 0.0)] * 100


def stages(facts: list[StageFacts], settings: StageSettings) -> list[int]:
    """Of every step of a run with these facts."""
    return [stage_after(facts[:n], settings) for n in range(len(facts))]


def test_without_a_limit_there_is_no_stage_one() -> None:
    assert set(stages(FLAT, StageSettings())) == {2}


def test_stage_one_ends_at_its_limit() -> None:
    assert stages(RISING, StageSettings(max_steps=7)) == [1] * 7 + [2] * 93


def test_a_plateau_ends_it() -> None:
    settings = StageSettings(max_steps=80, plateau_window=10, plateau_gain=0.02)
    assert stages(FLAT, settings) == [1] * 20 + [2] * 80  # the first time that two windows can be compared
    assert stages(RISING, settings).index(2) == 80  # 0.1 a window: no plateau
    assert (
        stages(RISING[:30] + [RISING[29]] * 70, settings).index(2) == 44
    )  # the earlier window has five that still rose: 0.015 a window


def test_the_first_tries_own_distance_ends_it() -> None:
    facts = [*RISING[:5], StageFacts(0.05, 0.3), *RISING[6:]]
    assert stages(facts, StageSettings(max_steps=50, kl_budget=0.2)).index(2) == 6
    assert stages(facts, StageSettings(max_steps=50, kl_budget=0.4)).index(2) == 50


@given(
    rates=st.lists(st.floats(0, 1), max_size=40),
    window=st.integers(0, 6),
    gain=st.floats(0, 0.2),
)
def test_once_over_it_never_returns(rates: list[float], window: int, gain: float) -> None:
    found = stages([StageFacts(rate, 0.0) for rate in rates], StageSettings(30, window, gain))
    assert found == sorted(found)


def test_the_facts_are_a_steps_metrics() -> None:
    metrics = {"solver/last_pass_rate": 0.4, "kl/solver/0": 0.02, "kl/solver/1": 0.5}
    assert stage_facts(metrics) == StageFacts(0.4, 0.02)
    assert stage_facts({}) == StageFacts(0.0, 0.0)  # a run from before these were kept
