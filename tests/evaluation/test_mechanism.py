"""Second looks at old mistakes and at new ones, and how far mistakes have moved: counted by hand."""

from collections import Counter
from collections.abc import Sequence

import pytest
from scripted_roles import DOMAIN, PARAMS, ScriptedEngine, problem

from curriculum.domains.abilities import ability
from curriculum.domains.protocol import Prompted
from roles.judging.groups import JudgedGroup, JudgeSettings, judge_group
from roles.prompts import PromptStyle
from roles.solver import SolverSettings, attempt
from selfplay.evaluation.alarms import first_try_alarm
from selfplay.evaluation.mechanism import mechanism_metrics, total_variation
from selfplay.run.figures import copying_metrics

STYLE = PromptStyle(ability(DOMAIN, Prompted))


def group_of(firsts: Sequence[str], lasts: Sequence[str]) -> JudgedGroup:
    """One group at 23 + 45 with these answers."""
    script = {"solver/0": [f" {a}\n" for a in firsts], "solver/1": [f" {a}\n" for a in lasts]}
    said = ScriptedEngine(script).drive(
        attempt(problem("23 + 45"), STYLE, SolverSettings(len(firsts), 2, PARAMS), step=1)
    )
    return judge_group(said, STYLE.domain, STYLE.visible, JudgeSettings(), step=1)


def test_the_mechanism_by_hand() -> None:
    at_start = group_of(["67", "67", "58", "68"], ["68", "67", "68", "68"])
    at_own = group_of(["69", "68", "69", "68"], ["69", "68", "69", "1"])
    found = mechanism_metrics([at_start], [at_own])
    assert found["fix_start"] == pytest.approx(2 / 3) and found["break_start"] == 0.0
    assert found["fix_own"] == 0.0 and found["break_own"] == 0.5
    # even samples: start {67, 58}, own {69, 69}: apart. odd: start {67}, own none at all
    assert found["error_distance"] == 1.0
    assert found["error_floor"] == pytest.approx(0.5)  # {67, 58} against {67}


def test_the_start_model_is_at_its_own_floor() -> None:
    group = group_of(["67", "67", "58", "58"], ["67"] * 4)
    found = mechanism_metrics([group], [group])
    assert found["error_distance"] == found["error_floor"] == 0.0
    assert found["fix_own"] == found["fix_start"] == 0.0


def test_total_variation_by_hand() -> None:
    one, other = Counter({("p", "1"): 3, ("p", "2"): 1}), Counter({("p", "1"): 1, ("q", None): 1})
    assert total_variation(one, other) == pytest.approx((0.25 + 0.25 + 0.5) / 2)
    assert total_variation(one, Counter()) == total_variation(Counter(), one) == 1.0
    assert total_variation(Counter(), Counter()) == 0.0


def test_a_first_try_that_falls_raises_the_alarm() -> None:
    start = "2" * 60 + "0" * 40
    fallen = first_try_alarm(start, "2" * 40 + "1" * 20 + "0" * 40)
    assert (fallen["first_try_change"], fallen["alarm_first_try"]) == (-0.2, 1.0)
    assert fallen["first_try_change_low"] < -0.2 < fallen["first_try_change_high"] < 0.0
    assert first_try_alarm(start, "00" + "2" * 58 + "0" * 40)["alarm_first_try"] == 0.0  # two points: not more
    three = first_try_alarm(start, "000" + "2" * 57 + "0" * 39 + "2")
    assert three["alarm_first_try"] == 0.0  # three lost, one won: by chance in 5 of 8 cases
    assert first_try_alarm(start, "2" * 100)["alarm_first_try"] == 0.0
    assert first_try_alarm(start, "2" * 50)["first_try_change"] == 0.0  # its first 50 problems were right at the start


def test_small_sets_raise_the_alarm_by_an_exact_test() -> None:
    """Case 17: add1 fell from 0.93 to 0.63 of 27 problems, and nothing was said."""
    start = "2" * 25 + "0" * 2
    assert first_try_alarm(start, "0" * 8 + "2" * 17 + "00")["alarm_first_try"] == 1.0  # 2 / 2^8
    assert first_try_alarm(start, "0" * 6 + "2" * 19 + "00")["alarm_first_try"] == 1.0  # 2 / 2^6 = 0.03
    assert first_try_alarm(start, "0" * 5 + "2" * 20 + "00")["alarm_first_try"] == 0.0  # 2 / 2^5 = 0.06
    assert first_try_alarm(start, "0" * 6 + "2" * 21)["alarm_first_try"] == 0.0  # two gained meanwhile


def test_copies_raise_the_alarm_when_there_are_mistakes_to_mend() -> None:
    copies = [group_of(["67"] * 8, ["67"] * 8)] * 2
    found = copying_metrics(copies)
    assert (found["alarm/copies"], found["solver/edit_ratio_mean"], found["solver/edit_ratio_0.0"]) == (1.0, 0.0, 1.0)
    assert copying_metrics(copies[:1])["alarm/copies"] == 0.0  # eight are too few
    assert copying_metrics([group_of(["68"] * 16, ["68"] * 16)])["alarm/copies"] == 0.0  # right answers may be kept
    assert copying_metrics([group_of(["?"] * 16, ["?"] * 16)])["alarm/copies"] == 0.0  # a random model has no answers
    changed = copying_metrics([*copies[:1], group_of(["67"] * 8, ["67"] * 6 + ["68"] * 2)])
    assert changed["alarm/copies"] == 0.0 and changed["solver/edit_ratio_mean"] > 0.0
    assert sum(v for name, v in changed.items() if "edit_ratio_0" in name) == pytest.approx(1.0)
