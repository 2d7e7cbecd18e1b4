"""Which of a group's turns each rule copies, and where."""

import numpy as np
import pytest
from chat_templates import CHATML, tokenizer
from scripted_roles import DOMAIN, PARAMS, ScriptedEngine, problem

from curriculum.domains.abilities import ability
from curriculum.domains.protocol import Prompted
from curriculum.settings import CurriculumSettings
from curriculum.tracking.difficulty import Tracker
from roles.judging.groups import JudgedGroup, JudgeSettings, judge_group
from roles.prompts import PromptStyle
from roles.solver import SolverSettings, attempt
from selfplay.learn.batch import TrainBatch, build_batch
from selfplay.learn.copies.imitation import ImitationRule, imitated
from selfplay.learn.settings import LearningSettings, Objective, TeachingSettings
from selfplay.learn.teacher import Teacher
from selfplay.play.step import Judged, Played, Posed
from selfplay.prompting.chat import chat_style
from selfplay.prompting.codec import Encoder

STYLE = PromptStyle(ability(DOMAIN, Prompted))
LEARNING = LearningSettings("rloo", 1.0, "one_minus", -0.1)


def spell(answer: str, after: int) -> list[int]:
    """As the scripted engine reads what is said in few-shot text."""
    return [ord(character) for character in STYLE.completion(answer)]


RIGHT, WRONG, OTHER = " 68\n", " 67\n", "68\n"


@pytest.fixture
def spoken() -> tuple[ScriptedEngine, JudgedGroup]:
    """Four attempts: mended, kept right, broken, missed."""
    engine = ScriptedEngine({"solver/0": [WRONG, RIGHT, OTHER, WRONG], "solver/1": [RIGHT, RIGHT, WRONG, WRONG]})
    group = engine.drive(attempt(problem("23 + 45"), STYLE, SolverSettings(4, 2, PARAMS), step=1))
    return engine, judge_group(group, STYLE.domain, STYLE.visible, JudgeSettings(), step=1)


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
    for sample in imitated(engine.tree, group, rule, spell):
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
    samples = imitated(engine.tree, group, "pair_sft", spell)
    batch = build_batch(engine.tree, samples, {"solver/0": 1.0, "solver/1": 1.0})
    assert set(batch.label_names) == {"solver/0", "solver/1"}
    assert batch.positive.sum() == pytest.approx(2.0) and not batch.negative.any()
    is_copied = np.isnan(batch.sampler_logprobs)
    is_look = batch.labels == batch.label_names.index("solver/1")
    assert is_copied.sum() == len("68\n") and not (is_copied & ~is_look).any()  # the other pair's answer was said there
    assert TrainBatch.from_arrays(batch.arrays()).arrays().keys() == batch.arrays().keys()  # and a journal may hold it


def test_the_truth_is_told_as_a_chat_says_it(spoken: tuple[ScriptedEngine, JudgedGroup]) -> None:
    """D3: no space in front of it, and the token that ends the turn behind it."""
    engine, group = spoken
    made = tokenizer(CHATML)
    style = chat_style(DOMAIN, made, "mine", thinking=False, feedback=False)
    settings = TeachingSettings(LEARNING, {2: Objective({"solver/0": 1.0, "solver/1": 1.0}, {})}, imitation="truth")
    teacher = Teacher(settings, Tracker(CurriculumSettings()), style, Encoder(made, 100_000))
    taught = teacher.teach(engine.tree, Played(Posed((group.problem,), ()), Judged((group,)), {}), [])
    looks = [each for each in taught.lessons[0].samples if each.label == "solver/1"]
    told = [[engine.tree.tokens[node] for node in engine.tree.tail(each.node, each.num_tokens)] for each in looks]
    assert told == [made.encode("68<|im_end|>", add_special_tokens=False)] * 4


def test_nothing_right_nothing_copied() -> None:
    engine = ScriptedEngine({"solver/0": [WRONG, WRONG], "solver/1": [WRONG, WRONG]})
    said = engine.drive(attempt(problem("23 + 45"), STYLE, SolverSettings(2, 2, PARAMS), step=1))
    group = judge_group(said, STYLE.domain, STYLE.visible, JudgeSettings(), step=1)
    rules: tuple[ImitationRule, ...] = ("rft", "star", "pair_sft", "pair_sft_plus")
    assert [imitated(engine.tree, group, rule, spell) for rule in rules] == [()] * 4
