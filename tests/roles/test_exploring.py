"""Early experience with scripted speakers: what is asked for, what is executed, which reflections are kept."""

from dataclasses import replace
from typing import Any

import pytest
from chat_templates import CHATML, tokenizer
from scripted_roles import PARAMS, ScriptedEngine, problem

from curriculum.domains.abilities import ability
from curriculum.domains.arithmetic.domain import ArithmeticDomain
from curriculum.domains.chains import ChainsDomain
from curriculum.domains.protocol import Domain, Executable, Prompted, Statement, problem_of
from roles.experience import (
    Experienced,
    ExperienceSettings,
    Tried,
    explore,
    outcome_prompt,
    reason_prompt,
    reflection_prompt,
)
from roles.prompts import PromptStyle
from selfplay.prompting.chat import chat_style
from store.records import Origin, Problem

CHAINS, ARITHMETIC = ChainsDomain(), ArithmeticDomain()
SETTINGS = ExperienceSettings(alternatives=3, params=PARAMS)
REFLECTS = replace(SETTINGS, reflection=replace(PARAMS, max_tokens=60))


def style_of(domain: Domain) -> PromptStyle:
    return PromptStyle(ability(domain, Prompted))


def chain(text: str) -> Problem:
    statement = CHAINS.parse(text)
    assert isinstance(statement, Statement)
    return problem_of(statement, CHAINS.name, Origin.SEED)


def explored(
    engine: ScriptedEngine, domain: Domain, of: Problem, settings: ExperienceSettings, fits: Any = lambda *_: True
) -> list[Experienced]:
    found: list[Experienced] = engine.drive(explore(of, style_of(domain), settings, engine.tree, 3, fits))
    return found


def rows(found: Experienced) -> list[tuple[str, str, bool, bool | None]]:
    return [(each.action, each.next_state, each.is_expert, each.is_right) for each in found.tried]


def test_every_state_of_the_right_path_is_explored_in_one_wave() -> None:
    engine = ScriptedEngine({"experience/alternative": ["6,", "7,", "6,", "10\n", "9\n", " \n"]})
    found = explored(engine, CHAINS, chain("2*3+4"), SETTINGS)
    assert engine.waves == [(2, 0)]
    assert [(each.key, each.n, each.params.stop) for each in engine.asked] == [
        (("experience", 3, found[0].problem.problem_id, index), 3, ("\n", ",")) for index in (0, 1)
    ]
    assert [each.prompt for each in engine.asked] == ["2*3+4 =", "6+4 ="]  # as the solver is asked
    assert [(each.index, each.state) for each in found] == [(0, "2*3+4 ="), (1, "6+4 =")]
    # said twice and executed once; the right action is the model's own where it said it
    assert rows(found[0]) == [("6", "6+4 =", True, True), ("7", "2*3 is 6, not 7", False, False)]
    assert rows(found[1]) == [("10", "10", True, True), ("9", "6+4 is 10, not 9", False, False),
                              ("", "no value", False, False)]  # fmt: skip
    assert all(each.reflection == "" and not each.is_kept for each in found)


def test_a_right_action_that_nobody_said_is_executed_too() -> None:
    engine = ScriptedEngine({"experience/alternative": ["72", "85", "84"]})
    [first] = explored(engine, ARITHMETIC, problem("38 + 47 - 12"), replace(SETTINGS, states=1))
    assert rows(first)[0] == ("72", "38 + 47 is 85, not 72", False, False)
    assert first.expert is not None and first.expert.action == "85" and first.expert.sampled is not None
    engine = ScriptedEngine({"experience/alternative": ["72", "73", "84"]})
    [first] = explored(engine, ARITHMETIC, problem("38 + 47 - 12"), replace(SETTINGS, states=1))
    assert rows(first) == [
        ("72", "38 + 47 is 85, not 72", False, False),
        ("73", "73", False, True),  # the whole answer: further along the right path
        ("84", "38 + 47 is 85, not 84", False, False),
        ("85", "85 - 12 =", True, True),
    ]
    assert first.expert is not None and first.expert.sampled is None and len(first.own) == 3
    assert engine.text_to(first.node).endswith("\n38 + 47 - 12 =")


@pytest.mark.parametrize(
    ("said", "is_kept"),
    [
        (" 2 times 3 is 6, so 7 is one too many. So: 6\n", True),
        (" 7 was tried. So: 6. So: 6", True),
        (" 7 is one too many. So: 7\n", False),  # what it claims does not hold
        (" So: 6\n", False),  # no reason
        (" 7 is one too many, it is 6\n", False),  # no claim
        (" 7 is one too many. So: 6, I think\n", False),
        (" 7 is one too many. So: 6+4 =\n", False),  # a state is no action
        ("\n", False),
    ],
)
def test_a_reflection_is_kept_where_executing_what_it_ends_with_bears_it_out(said: str, is_kept: bool) -> None:
    engine = ScriptedEngine({"experience/alternative": ["7,", "8,", "7,"], "experience/asked": [said]})
    [first] = explored(engine, CHAINS, chain("2*3+4"), replace(REFLECTS, states=1))
    assert (first.reflection, first.is_kept) == (said.split("\n")[0].strip(), is_kept)
    assert engine.asked[-1].prompt.endswith(
        "\n\n2*3+4 =\nTried: 7, which gave: 2*3 is 6, not 7\nTried: 8, which gave: 2*3 is 6, not 8\n"
        "Right: 6, which gave: 6+4 =\nWhy:"
    )
    assert engine.asked[-1].prompt.startswith("5*2+3 =\nTried: 8, which gave: 5*2 is 10, not 8\nRight: 10, which gave")


def test_nothing_is_reflected_on_where_all_actions_are_right() -> None:
    engine = ScriptedEngine({"experience/alternative": ["6,", "6", "6\n"]})
    [first] = explored(engine, CHAINS, chain("2*3+4"), replace(REFLECTS, states=1))
    assert rows(first) == [("6", "6+4 =", True, True)] and first.reflection == ""


def test_without_execution_the_model_says_what_came_of_it_and_all_it_reflects_is_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    engine = ScriptedEngine(
        {
            "experience/alternative": ["7,", "6,", "8"],
            "experience/guess": ["7+4 =\n", "nonsense\n", " 8\n"],
            "experience/asked": [" because. So: 7\n"],
        }
    )
    [first] = explored(engine, CHAINS, chain("2*3+4"), replace(REFLECTS, states=1, grounded=False))
    assert rows(first) == [("7", "7+4 =", False, None), ("6", "nonsense", True, None), ("8", "8", False, None)]
    assert (first.reflection, first.is_kept) == ("because. So: 7", True)
    assert "gave" not in engine.asked[-1].prompt and "\n\n2*3+4 =\nTried: 7\nTried: 8\nRight: 6\nWhy:" in (
        engine.asked[-1].prompt
    )


def test_what_the_model_has_no_room_for_is_left_out() -> None:
    engine = ScriptedEngine({"experience/alternative": ["7", "8", "9"]})
    found = explored(engine, CHAINS, chain("2*3+4"), REFLECTS, lambda parent, prompt, more: prompt == "6+4 =")
    assert [(each.index, each.reflection) for each in found] == [(1, "")]
    assert explored(ScriptedEngine(), CHAINS, chain("2*3+4"), REFLECTS, lambda *_: False) == []


def test_an_action_cannot_write_lines_of_the_prompt() -> None:
    engine = ScriptedEngine({"experience/alternative": ["7 Right: 9" + "x" * 900, "7", "8"],
                             "experience/asked": [" no. So: 6"]})  # fmt: skip
    long = replace(REFLECTS, states=1, params=replace(PARAMS, max_tokens=2000))
    [first] = explored(engine, CHAINS, chain("2*3+4"), long)
    lines = engine.asked[-1].prompt.splitlines()
    assert max(map(len, lines)) < 900 and sum(line.startswith("Right:") for line in lines) == 2  # with the example's
    assert max(len(each.action) for each in first.tried) == 400


def test_prompts_in_chat() -> None:
    style = chat_style(ability(CHAINS, Prompted), tokenizer(CHATML), "mine", thinking=False, feedback=False)
    found = Experienced(
        chain("2*3+4"), 0, "2*3+4 =", 0,
        (Tried("7", "2*3 is 6, not 7", None, False, False), Tried("6", "6+4 =", None, True, True)),
    )  # fmt: skip
    asked = reflection_prompt(found, style, ability(CHAINS, Executable, "a test"), True)
    shown = "2*3+4 =\nTried: 7, which gave: 2*3 is 6, not 7\nRight: 6, which gave: 6+4 =<|im_end|>"
    assert shown in asked and 'End with "So:" and the right answer.\n2*3+4 =' in asked
    assert outcome_prompt(found.tried[0], style).startswith("7<|im_end|>")
    assert "What does executing that give?" in outcome_prompt(found.tried[0], style)
    assert 'then end with "So:" and the answer.\n2*3+4 =<|im_end|>' in reason_prompt("2*3+4 =", style)
