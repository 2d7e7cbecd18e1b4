"""What a step's record takes from what was said."""

from dataclasses import replace

from scripted_roles import DOMAIN, PARAMS, ScriptedEngine, problem

from curriculum.domains.abilities import ability
from curriculum.domains.protocol import Prompted
from roles.judging.groups import JudgeSettings, judge_group
from roles.prompts import PromptStyle
from roles.requests import Sampled
from roles.solver import SolverSettings, attempt
from selfplay.run.record import oldest_version


def test_a_pass_rate_is_of_the_oldest_weights_that_said_any_of_it() -> None:
    """D6: completions say which version said them, also where sampling and training do not take turns."""
    style, versions = PromptStyle(ability(DOMAIN, Prompted)), iter([5, 4, 7, 6])
    engine = ScriptedEngine({"solver/0": [" 68\n"] * 2, "solver/1": [" 68\n"] * 2})
    group = judge_group(
        engine.drive(attempt(problem("23 + 45"), style, SolverSettings(2, 2, PARAMS), 1)),
        DOMAIN,
        style.visible,
        JudgeSettings(),
        1,
    )

    def later(sampled: Sampled) -> Sampled:
        version = next(versions)
        return replace(sampled, completion=replace(sampled.completion, first_version=version, last_version=version + 1))

    attempts = tuple(
        replace(each, turns=tuple(replace(turn, sampled=later(turn.sampled)) for turn in each.turns))
        for each in group.attempts
    )
    assert oldest_version(replace(group, attempts=attempts)) == 4
