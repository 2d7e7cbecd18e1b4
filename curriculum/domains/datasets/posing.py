"""Questions that a challenger writes in a file's own form: the file is then seeds and evaluation.

    Tom has 3 pens and buys 4. How many has he? | 3 + 4        where the rows have programs
    Tom has 3 pens and buys 4. How many has he?                where they have none: nobody knows the answer

A proposal is one line. A program is executed for the label; without one the answer is left open, for a majority or a
model to judge by. A proposal that a row states, up to case, blanks and marks of punctuation, is that row, so that the
gates for what is known or held out see it. Whether a question makes sense, and means what its program computes, is not
looked at.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

from rapidfuzz import fuzz, process

from curriculum.answers.comparing import normalised, number_of
from curriculum.domains.datasets.jsonl import LONGEST_TEXT
from curriculum.domains.datasets.programs import NoValue, Program, read_program, value_of
from curriculum.domains.datasets.rows import BAR, MOST_LEVEL, level_of, question_of, with_program
from curriculum.domains.protocol import Statement
from store.records import Fate, Problem

LOOKED_AT = 10_000  # practised rows among which the one is looked for that is most like a proposal
_RARE = 0.05  # share of a file's rows: what fewer of them do is an accident
_MARKS = ".,;:?!'\""
_NUMBER = re.compile(r"\d+(?:,\d{3})*(?:\.\d+)?", re.ASCII)
_OF_PROMPTS = re.compile(r"\b(?:question|answer|easy|harder|recheck):", re.IGNORECASE)  # as roles/prompts.py has them


@dataclass(frozen=True, slots=True)
class File:
    """The rows of a file, by use. `shown`: those that the solver sees as examples. At least one is `practised`."""

    practised: Sequence[Statement]
    shown: Sequence[Statement]
    held_out: Sequence[Statement]


class Posing:
    """Reads proposals. `has_programs`: each has to have one. `has_levels`: the rows' levels are those of a column. A
    proposal has at most `max_chars` characters. `is_readable`: whether the domain reads a text as an answer."""

    def __init__(
        self, file: File, has_programs: bool, has_levels: bool, max_chars: int, is_readable: Callable[[str], bool]
    ) -> None:
        self.has_programs, self.has_levels = has_programs, has_levels
        self.max_chars, self.is_readable = max_chars, is_readable
        self.practised = file.practised
        self._shown = {each.canonical for each in file.shown}
        rows = [*file.held_out, *file.shown, *file.practised]  # of rows that are alike the first one counts
        self._rows = {same_words(each.canonical): each for each in reversed(rows)}
        self._rows |= {each.canonical: each for each in rows}
        self._numbers = _Numbers([each for each in rows if BAR in each.text] if has_programs else [])
        self._ends = {_end_of(question_of(each)) for each in rows}
        families, levels = {each.family for each in file.practised}, {each.level for each in file.practised}
        self._are_alike = len(families) == 1 and (len(levels) == 1 or not has_levels)
        self._practised_questions = [question_of(each) for each in file.practised[:LOOKED_AT]]

    def parse(self, text: str) -> Statement | Fate:
        """A row of the file, or a new problem. UNPARSED unless it is one line, a question that ends as one of the file
        does and, where the rows have programs, a bar and a program; TOO_LARGE beyond the limit; INVALID for a question
        with a mark of the prompts in it, a row that the solver is shown, and a program that computes nothing, fails,
        gives no answer that the domain reads, or does not go with the numbers of its question (`_Numbers`)."""
        if len(text) > 2 * LONGEST_TEXT:
            return Fate.TOO_LARGE
        said = text.strip()
        question, *programs = said.split(BAR) if self.has_programs else [said]
        if len(said.splitlines()) != 1 or len(programs) > 1:
            return Fate.UNPARSED
        row = self._rows.get(normalised(question)) or self._rows.get(same_words(question))
        if row is not None:
            return Fate.INVALID if row.canonical in self._shown else row
        if len(said) > self.max_chars:
            return Fate.TOO_LARGE
        question = " ".join(question.split())
        is_question = any(each.isalnum() for each in question) and _end_of(question) in self._ends
        if not said.isprintable() or not is_question or len(programs) != int(self.has_programs):
            return Fate.UNPARSED
        if _OF_PROMPTS.search(question):
            return Fate.INVALID
        return self._computed(question, programs[0]) if programs else self._open(question)

    def is_trivial_edit(self, parent: Problem, child: Statement) -> bool:
        """Whether the child has the parent's words, up to case, blanks and marks of punctuation, or its program."""
        if self.has_programs and BAR in parent.text and parent.text.partition(BAR)[2] == child.text.partition(BAR)[2]:
            return True
        return same_words(parent.canonical) == same_words(child.canonical)

    def examples(self, count: int) -> list[tuple[str, str]]:
        """At most `count` pairs of practised rows, an easier and a harder one. Where a column says levels, of
        neighbouring ones, the lowest first; else the harder one has no fewer operations. Of those that it may be, the
        harder one is the most like the other: a small model is better at the same question with other numbers than at a
        question of its own (docs/words.md)."""
        free = [each for each in self.practised if len(each.text) <= self.max_chars]
        if self.has_programs:
            free = [each for each in free if BAR in each.text]
        steps = list(pairwise(sorted({each.level for each in free}))) if self.has_levels else []
        found: list[tuple[str, str]] = []
        for step in (steps * count)[:count] if steps else [None] * count:
            pair = _pair(free, step)
            if pair is not None:
                found.append((pair[0].text, pair[1].text))
                free = [each for each in free if each not in pair]
        return found

    def _computed(self, question: str, written: str) -> Statement | Fate:
        program = read_program(written)
        if isinstance(program, NoValue):
            return Fate.INVALID if program.is_program else Fate.UNPARSED
        text = with_program(question, program)
        if len(text) > self.max_chars:  # spelled with blanks it is longer
            return Fate.TOO_LARGE
        value = value_of(program) if program.operations and BAR in text else NoValue("it computes nothing")
        if isinstance(value, NoValue) or not self.is_readable(value):
            return Fate.INVALID
        if not self._numbers.go_together(question, program, value):
            return Fate.INVALID
        like = self._like(question)
        level = like.level if self.has_levels else level_of(program)
        return Statement(text, same_words(question), like.family, level, value, answer_source="executed")

    def _open(self, question: str) -> Statement:
        like = self._like(question)
        return Statement(question, same_words(question), like.family, like.level, answer="", answer_source="none")

    def _like(self, question: str) -> Statement:
        """The practised row that is most like the question: a proposal is of its family and its level."""
        if self._are_alike:
            return self.practised[0]
        return self.practised[_most_like(question, self._practised_questions)]


def same_words(text: str) -> str:
    """Equal for texts that differ by case, blanks and marks of punctuation at the ends of words alone."""
    words = (word.strip(_MARKS).casefold() for word in normalised(text).split())
    return " ".join(word for word in words if word)


class _Numbers:
    """Which numbers a question and its program may have, after the rows of a file. The program uses no number that the
    question does not name, but those with which a row does the same: 60, of minutes and hours. Where nearly every row
    uses all the numbers that it names, a program has to. Where hardly a row names its answer, no question may."""

    def __init__(self, rows: Sequence[Statement]) -> None:
        self._unnamed: set[Fraction | None] = set()
        unused = answers = 0
        for row in rows:
            program = read_program(row.text.partition(BAR)[2])
            if isinstance(program, Program):
                named, used = _named(question_of(row)), _used(program)
                self._unnamed |= used - named
                unused += not named <= used
                answers += number_of(row.answer) in named
        self._may_be_unused, self._may_be_answer = (count > _RARE * len(rows) for count in (unused, answers))

    def go_together(self, question: str, program: Program, value: str) -> bool:
        named, used = _named(question), _used(program)
        is_used = self._may_be_unused or named <= used
        is_given_away = not self._may_be_answer and number_of(value) in named
        return used - named <= self._unnamed and is_used and not is_given_away


def _named(question: str) -> set[Fraction | None]:
    return {number_of(each) for each in _NUMBER.findall(question)}


def _used(program: Program) -> set[Fraction | None]:
    """None stands for a number that no question could name."""
    return {number_of(each) for each in program.numbers}


def _end_of(question: str) -> str:
    """The mark that it ends in; "a" for any letter or digit."""
    return "a" if question[-1:].isalnum() else question[-1:]


def _pair(rows: Sequence[Statement], levels: tuple[int, int] | None) -> tuple[Statement, Statement] | None:
    """The first row, of the lower level if levels are given, with the one most like it that may be the harder one."""
    for easier in rows if levels is None else [each for each in rows if each.level == levels[0]]:
        low, high = (easier.level, MOST_LEVEL) if levels is None else (levels[1], levels[1])
        others = [each for each in rows if each != easier and low <= each.level <= high]
        if others:
            return easier, others[_most_like(easier.text, [each.text for each in others])]
    return None


def _most_like(text: str, others: Sequence[str]) -> int:
    """The place of the one that takes the fewest insertions and deletions, by length; of several, the first."""
    _, _, place = process.extractOne(text, others, scorer=fuzz.ratio)
    return int(place)
