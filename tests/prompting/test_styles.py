"""Which way of asking a run takes by itself, and few-shot text whose answers end otherwise than with their line."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from chat_templates import CHATML, tokenizer
from odd_models import bytewise

from curriculum.domains.datasets.domain import DatasetDomain
from curriculum.domains.protocol import problem_of
from curriculum.domains.seed_files import DomainError
from roles.prompts import PromptStyle
from selfplay.config.files import load, resumed, to_yaml
from selfplay.machine.errors import ModelError, Refused
from selfplay.prompting.checks import check_stops
from selfplay.prompting.codec import Encoder, ends, stop_tokens, text_of
from selfplay.run.build import prompt_style
from store.records import Completion, Finish, Origin, Problem

ROOT = Path(__file__).resolve().parents[2]
SPECIAL = ["<bos>", "<eos>", "<|im_start|>", "<|im_end|>"]


@pytest.fixture
def lines(tmp_path: Path) -> Path:
    """Questions whose answers have two lines."""
    path = tmp_path / "rows.jsonl"
    rows = [{"question": f"Count from {n}.", "answer": f"\\boxed{{{n},\n{n + 1}}}"} for n in range(1, 9)]
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


def style_of(domain: Any, made: Any, *overrides: str) -> tuple[PromptStyle, list[str]]:
    said: list[str] = []
    config = load(None, ["model.name=mine", *overrides])
    return prompt_style(config, domain, made, said.append), said


def domain_of(path: Path, **options: Any) -> tuple[DatasetDomain, Problem]:
    domain = DatasetDomain(str(path), answer_rule="boxed", examples=2, **options)
    return domain, problem_of(domain.seeds()[0], domain.name, Origin.SEED)


@pytest.mark.parametrize(
    ("template", "overrides", "is_chat", "line"),
    [
        (
            CHATML, (), True,
            "the chat template of mine, which its tokenizer has; prompts.style=few_shot asks by examples",
        ),
        (None, (), False, "few-shot text, since the tokenizer of mine has no chat template"),
        (
            "{{ raise_exception('no') }}", (), False,
            "few-shot text, since the chat template of mine fails on a conversation of user (no)",
        ),
        (CHATML, ("prompts.style=few_shot",), False, "few-shot text, by prompts.style=few_shot"),
        (CHATML, ("prompts.style=chat",), True, "the chat template of mine, by prompts.style=chat"),
        (CHATML, ("prompts.thinking=true",), True, "the chat template of mine, by prompts.thinking=true"),
    ],
)  # fmt: skip
def test_a_run_says_how_it_asks_and_why(
    lines: Path, template: str | None, overrides: Sequence[str], is_chat: bool, line: str
) -> None:
    domain, asked = domain_of(lines)
    style, said = style_of(domain, bytewise(SPECIAL, "<eos>", template), *overrides)
    assert said == [f"prompts: {line}"]
    assert ("<|im_start|>user" in style.solver(asked)) is is_chat


def test_thoughts_are_not_given_up_without_a_word(lines: Path) -> None:
    with pytest.raises(Refused, match="mine has no chat template"):
        style_of(domain_of(lines)[0], bytewise(SPECIAL, "<eos>"), "prompts.thinking=true")


def test_the_jobs_of_the_default_model_and_runs_of_before_keep_their_way_of_asking() -> None:
    for name in ("default", "dataset"):
        assert load(ROOT / "configs" / f"{name}.yaml", []).prompts.style == "few_shot"
    stored = to_yaml(load(None, ["prompts.style=few_shot"]))
    assert resumed(stored, []).prompts.style == "few_shot"
    assert load(None, []).prompts.style == "auto"


STOPS: list[tuple[Any, tuple[str, ...], str]] = [
    ("###", ("###",), "###"),  # of several tokens
    (["\n\n", "Question:"], ("\n\n", "Question:"), "\n\n"),
    ([], (), "\n\n"),
]


@pytest.mark.parametrize(("option", "stops", "separator"), STOPS)
def test_answers_of_several_lines_end_where_the_domain_says(
    lines: Path, option: Any, stops: tuple[str, ...], separator: str
) -> None:
    domain, asked = domain_of(lines, stop=option)
    made = bytewise(SPECIAL, "<eos>")
    style, _ = style_of(domain, made)
    assert style.stop == stops
    assert style.solver(asked).startswith(f"Question: Count from 1.\nAnswer: \\boxed{{1,\n2}}{separator}Question: ")
    encode = Encoder(made, 1000)
    check_stops(style, encode, [asked], "mine")
    for end in [*stops, "<eos>"]:
        ids = encode(f" First\n\\boxed{{{asked.answer}}}{end}", encode("=", None)[-1])
        found = [at for at in range(1, len(ids) + 1) if ends(made, ids[:at], style.stop)]
        assert found[0] == len(ids), "neither before its end nor behind it"
        said = Completion(
            tuple(ids), (0.0,) * len(ids), text_of(made, ids, stop_tokens(made, stops)), Finish.STOP, 0, 0
        )
        text = style.visible(said.text)
        assert text == f" First\n\\boxed{{{asked.answer}}}"
        assert domain.judge(asked, text)[1] == asked.answer
        assert style.recheck(asked, said).startswith("Recheck:" if end == separator else f"{separator}Recheck:")
    *_, last = encode(style.completion(asked.answer), encode("=", None)[-1])
    assert ends(made, [last], style.stop) or ends(made, encode(style.completion(asked.answer), 5), style.stop)


def test_in_chat_an_answer_of_several_lines_ends_with_the_turn(lines: Path) -> None:
    domain, asked = domain_of(lines)  # its stop is a line end, which few-shot text alone reads
    made = tokenizer(CHATML)
    style, _ = style_of(domain, made)
    ids = made.encode(f"First\n\\boxed{{{asked.answer}}}<|im_end|>", add_special_tokens=False)
    assert [at for at in range(1, len(ids) + 1) if ends(made, ids[:at], style.stop)] == [len(ids)]
    assert domain.judge(asked, style.visible(text_of(made, ids, stop_tokens(made, style.stop))))[1] == asked.answer


def test_no_stop_and_no_end_of_sequence_is_one_line(lines: Path) -> None:
    domain, asked = domain_of(lines, stop=[])
    made = bytewise(SPECIAL, None)
    style, _ = style_of(domain, made)
    with pytest.raises(ModelError, match="no end of sequence, and dataset names no stop"):
        check_stops(style, Encoder(made, 1000), [asked], "mine")


def test_a_stop_inside_the_answers_is_one_line(lines: Path) -> None:
    domain, asked = domain_of(lines)
    made = bytewise(SPECIAL, "<eos>")
    style, _ = style_of(domain, made)
    with pytest.raises(DomainError, match=r"ends a completion, and an answer has it: .* Give the domain another stop"):
        check_stops(style, Encoder(made, 1000), [asked], "mine")
