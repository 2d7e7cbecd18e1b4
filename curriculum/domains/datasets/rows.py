"""Rows of a file as problems: which key holds what, and what the right answer is."""

import re
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from curriculum.answers.comparing import is_same_answer, normalised
from curriculum.answers.reading import read_answer
from curriculum.domains.datasets.jsonl import Row
from curriculum.domains.datasets.programs import NoValue, Program, read_program, spelled, value_of
from curriculum.domains.protocol import Statement
from curriculum.domains.seed_files import DomainError
from store.records import Problem

QUESTION_KEYS = ("question", "problem", "prompt", "input", "text")
ANSWER_KEYS = ("answer", "answerKey", "solution", "target", "output", "label")
PROGRAM_KEYS = ("program", "code", "solution_code", "python")  # looked for where there is no answer
CHOICE_KEYS = ("choices", "options")
FAMILY_KEYS = ("family", "type", "subject", "category")
LEVEL_KEYS = ("level", "difficulty")
KINDS = ("question", "answer", "program", "choices", "family", "level")  # each is named by domain_options.KIND_key
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
BAR = " | "  # between a question and its program, where a challenger poses
MOST_LEVEL = 99

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Keys:
    """Where in a row things stand; "" for what is not there."""

    question: str
    answer: str
    program: str
    choices: str
    family: str
    level: str


def read_statements(
    rows: Sequence[Row], named: Mapping[str, str], is_posed: bool, may_lack_program: bool = False
) -> tuple[list[Statement], dict[str, str], Keys]:
    """Every row as a problem, where each stands, by canonical form, and the keys. `named`: a key for each of KINDS, or
    "". `is_posed`: a text is one line, with its program where there is one. `may_lack_program`: where no row has the
    column of programs that is named, the answers count.

    DomainError for a row without question or answer, a program without a value, and a row that an earlier one
    contradicts."""
    if may_lack_program and not any(named["program"] in row.values for row in rows):
        named = {**named, "program": ""}
    for kind in ("program", "choices", "family", "level"):
        if named[kind] and not any(named[kind] in row.values for row in rows):
            raise DomainError(f"domain_options.{kind}_key is {named[kind]!r:.80}: no row of {rows[0].place} on has it")
    keys = _keys_of(rows, named)
    found: dict[str, Statement] = {}
    places: dict[str, str] = {}
    for row in rows:
        statement = _statement(row, keys, is_posed)
        earlier = found.get(statement.canonical)
        if earlier is not None and not is_same_answer(earlier.answer, statement.answer):
            raise DomainError(
                f"{row.place}: the same question as {places[statement.canonical]} with another answer: correct one"
            )
        found.setdefault(statement.canonical, statement)
        places.setdefault(statement.canonical, row.place)
    return list(found.values()), places, keys


def with_program(question: str, program: Program) -> str:
    """Both in one line; the question alone where the program has no form in one line, or has the bar in it."""
    line = program.in_one_line()
    return question if line is None or BAR in line else f"{question}{BAR}{line}"


def question_of(stated: Statement | Problem) -> str:
    """The text of a posed problem without its program."""
    return stated.text.partition(BAR)[0] if stated.answer_source == "executed" else stated.text


def level_of(program: Program) -> int:
    """How many operations it has, from 1 to MOST_LEVEL."""
    return max(1, min(MOST_LEVEL, program.operations))


def _keys_of(rows: Sequence[Row], named: Mapping[str, str]) -> Keys:
    """What every row must have is looked for in the first row, what some may have in all."""
    row, everywhere = rows[0], {name for each in rows for name in each.values}

    def key(kind: str, usual: Sequence[str], among: Container[str] = row.values) -> str:
        return named[kind] or next((name for name in usual if name in among and name != named["program"]), "")

    question, answer, program = key("question", QUESTION_KEYS), key("answer", ANSWER_KEYS), named["program"]
    if not answer and not program:
        program = key("program", PROGRAM_KEYS)
    for kind, found, usual in (("question", question, QUESTION_KEYS), ("answer", answer or program, ANSWER_KEYS)):
        if not found:
            programs = ", and none of " + ", ".join(PROGRAM_KEYS) if kind == "answer" else ""
            raise DomainError(
                f"{row.place}: none of {', '.join(usual)} is a key{programs}: say which is the {kind}, with "
                f"domain_options.{kind}_key=... (keys: {', '.join(map(str, row.values))[:200]})"
            )
    return Keys(
        question=question,
        answer=answer,
        program=program,
        choices=key("choices", CHOICE_KEYS, everywhere),
        family=key("family", FAMILY_KEYS, everywhere),
        level=key("level", LEVEL_KEYS, everywhere),
    )


def _statement(row: Row, keys: Keys, is_posed: bool) -> Statement:
    question = row.text(keys.question)
    if is_posed:
        question = " ".join(question.split())
    text, level, source = question, 1, "dataset"
    if keys.choices and keys.choices in row.values:
        if keys.program or is_posed:
            what = f"domain_options.program_key={keys.program}" if keys.program else "domain_options.posed=true"
            raise DomainError(f"{row.place}: it has choices, which {what} does not go with: leave that option out")
        choices, answer = _choices(row, keys)
        lines = [question, *(f"{LETTERS[i]}. {choice}" for i, choice in enumerate(choices))]
        text = question = row.text_of(keys.choices, "\n".join(lines))
    elif keys.program:
        program, answer = _executed(row, keys)
        level, source = level_of(program), "executed"
        if is_posed:
            text = _posed(row, question, program)
    else:
        answer = final_of(row.text(keys.answer))
        if not answer:
            raise DomainError(f"{row.place}: {keys.answer} has no answer that can be read")
    said = re.search(r"\d+", str(row.values.get(keys.level, "")), re.ASCII)
    return Statement(
        text=text,
        canonical=normalised(question),
        family=row.text(keys.family)[:64] if row.values.get(keys.family) else "dataset",
        level=max(1, min(MOST_LEVEL, int(said[0][:2]))) if said else level,
        answer=answer,
        answer_source=source,
    )


def _executed(row: Row, keys: Keys) -> tuple[Program, str]:
    """The row's program, and its value. Where the row says an answer too, both have to be the same."""
    program = _found(row, keys, read_program(row.text(keys.program)))
    value = _found(row, keys, value_of(program))
    if row.values.get(keys.answer) is not None:
        said = row.values[keys.answer]
        given = spelled(said) if isinstance(said, float) else final_of(row.text(keys.answer))
        if given is None or not is_same_answer(value, given, as_mathematics=True):
            raise DomainError(
                f"{row.place}: {keys.program} gives {value!r:.80}, and {keys.answer} says {str(said)!r:.80}: correct "
                "one of them, or say where the answer stands (domain_options.answer_key)"
            )
    return program, value


def _found(row: Row, keys: Keys, given: T | NoValue) -> T:
    if isinstance(given, NoValue):
        raise DomainError(f"{row.place}: {keys.program} computes no answer ({given.reason}): correct or remove the row")
    return given


def _posed(row: Row, question: str, program: Program) -> str:
    if BAR in f"{question} ":  # a bar at its end would stand before the one that follows
        raise DomainError(
            f"{row.place}: the question has {BAR!r} in it, which stands between a question and its program where "
            "domain_options.posed=true: write it otherwise"
        )
    return with_program(question, program)


def final_of(answer: str) -> str:
    """The answer itself: behind GSM8K's ####, in MATH's box, or all of it."""
    for rule, mark in (("hashes", "####"), ("boxed", "\\boxed{")):
        if mark in answer:
            return read_answer(answer, rule) or ""  # type: ignore[arg-type]
    return normalised(answer)


def _choices(row: Row, keys: Keys) -> tuple[list[str], str]:
    """(texts of the choices, letter of the right one). The answer is a letter, a place from 0 on, or the text
    itself."""
    given: Any = row.values[keys.choices]
    labels: Any = None
    if isinstance(given, dict):  # ARC's form: {"text": [...], "label": [...]}
        given, labels = given.get("text"), given.get("label")
    if not isinstance(given, list) or not 2 <= len(given) <= len(LETTERS):
        raise DomainError(f"{row.place}: {keys.choices} must be a list of 2 to {len(LETTERS)} texts")
    if not all(isinstance(choice, str | int | float) for choice in given):
        raise DomainError(f"{row.place}: {keys.choices} has {str(given)[:80]!r}: a choice is a text or a number")
    choices = [str(choice) for choice in given]
    answer = row.values.get(keys.answer)
    if isinstance(labels, list) and len(labels) == len(choices) and labels.count(answer) == 1:
        return choices, LETTERS[labels.index(answer)]
    if isinstance(answer, int) and not isinstance(answer, bool) and 0 <= answer < len(choices):
        if answer in given and given[answer] != answer:
            raise DomainError(
                f"{row.place}: {keys.answer} is {answer}, which is one of the choices, and the place (from 0 on) of "
                f"{choices[answer]!r:.80}: write the letter of the right one"
            )
        return choices, LETTERS[answer]
    said = normalised(str(answer))
    if len(said) == 1 and said in LETTERS[: len(choices)]:
        return choices, said
    if choices.count(str(answer)) == 1:
        return choices, LETTERS[choices.index(str(answer))]
    raise DomainError(f"{row.place}: {keys.answer} is {str(answer)[:80]!r}, and names none of the choices")
