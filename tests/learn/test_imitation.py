"""Which of a group's turns each rule copies, and where."""

import pytest
from scripted_roles import DOMAIN, PARAMS, ScriptedEngine, problem

from roles.judging.groups import JudgedGroup, JudgeSettings, judge_group
from roles.prompts import PromptStyle
from roles.solver import SolverSettings, attempt
from selfplay.learn.batch import build_batch
from selfplay.learn.imitation import ImitationRule, imitated

STYLE = PromptStyle(DOMAIN)


def encode(text: str, after: int | None) -> list[int]:
    """As the scripted engine does."""
    return [ord(character) for character in text]


RIGHT, WRONG, OTHER = " 68\n", " 67\n", "68\n"


@pytest.fixture
def spoken() -> tuple[ScriptedEngine, JudgedGroup]:
    """Four attempts: mended, kept right, broken, missed."""
    engine = ScriptedEngine({"solver/0": [WRONG, RIGHT, OTHER, WRONG], "solver/1": [RIGHT, RIGHT, WRONG, WRONG]})
    group = engine.drive(attempt(problem("23 + 45"), STYLE, SolverSettings(4, 2, PARAMS), step=1))
    return engine, judge_group(group, STYLE, JudgeSettings(), step=1)


MENDED, KEPT = (WRONG, RIGHT), (RIGHT, RIGHT)  # of star: (what was said before, what is copied)


@pytest.mark.parametrize(
    ("rule", "looks"),
    [
        ("rft", [MENDED, KEPT]),
        ("star", [MENDED]),
        ("pair_sft", [(WRONG, RIGHT), (WRONG, OTHER)]),
        ("pair_sft_plus", [(WRONG, RIGHT), (RIGHT, OTHER), (OTHER, RIGHT), (WRONG, OTHER)]),
        ("truth", [(before, RIGHT) for before in (WRONG, RIGHT, OTHER, WRONG)]),
    ],
)
def test_each_rule_copies_its_own_turns(
    spoken: tuple[ScriptedEngine, JudgedGroup], rule: ImitationRule, looks: list[tuple[str, str]]
) -> None:
    engine, group = spoken
    firsts, found = [], []
    for sample in imitated(engine.tree, group, rule, encode):
        text = engine.text_to(sample.node)
        before, said = text[: -sample.num_tokens], text[-sample.num_tokens :]
        assert sample.advantage == 1.0 and before.endswith("23 + 45 =")
        if sample.label == "solver/0":
            firsts.append(said)
        else:
            found.append((before.split("23 + 45 =")[-2].removesuffix("Recheck: "), said))
    assert firsts == [RIGHT, OTHER]  # whatever else is copied
    assert found == looks


def test_a_grafted_pair_can_be_trained(spoken: tuple[ScriptedEngine, JudgedGroup]) -> None:
    engine, group = spoken
    samples = imitated(engine.tree, group, "pair_sft", encode)
    batch = build_batch(engine.tree, samples, {"solver/0": 1.0, "solver/1": 1.0})
    assert set(batch.label_names) == {"solver/0", "solver/1"}
    assert batch.positive.sum() == pytest.approx(2.0) and not batch.negative.any()


def test_nothing_right_nothing_copied() -> None:
    engine = ScriptedEngine({"solver/0": [WRONG, WRONG], "solver/1": [WRONG, WRONG]})
    said = engine.drive(attempt(problem("23 + 45"), STYLE, SolverSettings(2, 2, PARAMS), step=1))
    group = judge_group(said, STYLE, JudgeSettings(), step=1)
    rules: tuple[ImitationRule, ...] = ("rft", "star", "pair_sft", "pair_sft_plus")
    assert [imitated(engine.tree, group, rule, encode) for rule in rules] == [()] * 4
