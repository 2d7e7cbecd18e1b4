"""Word problems: a text, and beside it the program that computes its answer.

    Tom has 3 apples and buys 4 more. How many apples does Tom have? | 3 + 4

The solver is shown the text. The answer is what the program gives in the sandbox, so a label is executed and not
believed. That the text tells what the program computes cannot be executed: the text has to name the numbers that the
program uses, each as often, and its words have to go with the operations (text.py). Left out: decimals, units, answers
in words.
"""

import random
import re
from collections.abc import Mapping, Sequence
from fractions import Fraction
from functools import cached_property
from pathlib import Path

from curriculum.answers.comparing import is_same_answer, side_of
from curriculum.domains.options import require_integer
from curriculum.domains.protocol import Statement
from curriculum.domains.seed_files import DomainError, read_seeds
from curriculum.domains.words import drawing
from curriculum.domains.words.program import (
    Operation,
    Program,
    after_one_step,
    canonical_form,
    numbers,
    operators,
    parse_program,
    spelled,
    value_of,
)
from curriculum.domains.words.text import Flaw, Story, misfit, read_story
from store.records import Fate, Outcome, Problem

BAR = "|"
LONGEST_LINE = 400  # characters
_SHIPPED_SEEDS = Path(__file__).parents[1] / "seeds" / "words.jsonl"
_WORKING = r"(?:[0-9+\-*/() ]{1,60}=){0,4}"  # it is not checked: what stands behind the last sign of equality counts
_ANSWER = re.compile(rf"[ \t\r\n]*{_WORKING} *(-?[0-9]{{1,18}}(?:\.[0-9]{{1,18}})?)\.?[ \t\r\n]*")
_NUMBER = re.compile("[0-9]+")
_FATES: Mapping[Flaw, Fate] = {Flaw.FORM: Fate.UNPARSED, Flaw.TOO_LARGE: Fate.TOO_LARGE}  # any other is INVALID


class WordsDomain:
    """Programs of 1 to `max_operations` operations on numbers of up to `max_digits` digits, with an answer below
    `max_value`. `seeds_path` names a JSONL file of one's own, {"text": "... | 3 + 4"} a line."""

    name = "words"
    step_ends: Sequence[str] = ()
    # With the working in front SmolLM2-135M gets most problems of level 1 right; with the number alone it says the same
    # number to all (docs/words.md).
    solver_examples: Sequence[tuple[str, str]] = (
        ("Mary has 5 pens and finds 2 more. How many pens does Mary have? Answer:", "5 + 2 = 7"),
        ("There are 3 bags with 4 nuts in each bag. How many nuts are there? Answer:", "3 * 4 = 12"),
        ("Jack had 9 coins and lost 6. How many coins are left? Answer:", "9 - 6 = 3"),
        ("A shop has 14 red hats and 23 blue hats. How many hats does it have? Answer:", "14 + 23 = 37"),
    )
    # The same story with other numbers: asked for stories of its own, SmolLM2-135M wrote none of 24 that is a problem.
    escalation_examples: Sequence[tuple[str, str]] = (
        (
            "Mary has 5 pens and finds 2 more. How many pens does Mary have? | 5 + 2",
            "Mary has 15 pens and finds 8 more. How many pens does Mary have? | 15 + 8",
        ),
        (
            "Jack had 9 coins and lost 6. How many coins are left? | 9 - 6",
            "Jack had 24 coins and lost 7. How many coins are left? | 24 - 7",
        ),
        (
            "There are 3 bags with 4 nuts in each bag. How many nuts are there? | 3 * 4",
            "There are 6 bags with 7 nuts in each bag. How many nuts are there? | 6 * 7",
        ),
        (
            "A shop has 14 red hats and 23 blue hats. How many hats does it have? | 14 + 23",
            "A shop has 14 red hats, 23 blue hats and 5 black hats. How many hats does it have? | 14 + 23 + 5",
        ),
    )
    solver_instruction = "Solve the problem. Answer with the calculation only, such as 3 + 4 = 7."
    recheck_instruction = "Solve it once more, carefully, and answer with the calculation only."
    challenger_instruction = (
        "Write one word problem that is a little harder than the given one, in one line: the story, a question that "
        "ends in a question mark, a bar, and the arithmetic that gives the answer. Use +, -, * and / on the whole "
        "numbers that the story names, each as often as it names it. The answer must not stand in the story."
    )

    def __init__(
        self, max_operations: int = 4, max_digits: int = 3, max_value: int = 10_000, seeds_path: str | None = None
    ) -> None:
        for option, value, low, high in (
            ("max_operations", max_operations, 2, 6),
            ("max_digits", max_digits, 2, 6),
            ("max_value", max_value, 100, 10**12),
        ):
            require_integer(option, value, low, high)
        if not isinstance(seeds_path, str | None):
            raise DomainError(f"domain_options.seeds_path is {seeds_path!r}: it must be the path of a JSONL file")
        self.max_operations = max_operations
        self.max_digits = max_digits
        self.max_value = max_value
        self.levels = list(drawing.LEVELS)
        self._seeds_path = _SHIPPED_SEEDS if seeds_path is None else Path(seeds_path)

    def parse(self, text: str) -> Statement | Fate:
        """UNPARSED unless it is one line of a text, a bar and a program; TOO_LARGE beyond the limits; INVALID for any
        other Flaw."""
        found = self.read(text)
        return _FATES.get(found, Fate.INVALID) if isinstance(found, Flaw) else found

    def read(self, text: str) -> Statement | Flaw:
        """As `parse`, with what exactly is wrong."""
        told, bar, written = text.strip(" \t\r\n").partition(BAR)
        if not bar or BAR in written or "\n" in text.strip(" \t\r\n"):
            return Flaw.FORM
        if len(text) > LONGEST_LINE:
            return Flaw.TOO_LARGE
        program = parse_program(written)
        if program is None:
            return Flaw.FORM
        story = read_story(" ".join(told.split()))
        if isinstance(story, Flaw):
            return story
        return self._flaw(story, program) or self._stated(" ".join(told.split()), story, program)

    def is_trivial_edit(self, parent: Problem, child: Statement) -> bool:
        """Whether the child has the parent's program, up to order, whatever its text says: other names, things, verbs
        and blanks are nothing new."""
        before, after = _program_of(parent.text), _program_of(child.text)
        return before is not None and after is not None and canonical_form(before) == canonical_form(after)

    def judge(self, problem: Problem, text: str) -> tuple[Outcome, str | None]:
        """The program is executed, and its value compared with the number that `text` ends in. Before it may stand the
        working, "3 + 4 = 7", and nothing else."""
        found = _ANSWER.fullmatch(text)
        if found is None:
            return Outcome.UNPARSED, None
        program = _program_of(problem.text)
        value = None if program is None else value_of(program)
        if value is None:
            return Outcome.UNJUDGED, found[1]
        return (Outcome.CORRECT if is_same_answer(found[1], str(value)) else Outcome.INCORRECT), found[1]

    def observation(self, problem: Problem, text: str) -> str:
        """How the number compares with the value: "too low", "too high" or "equal"; "no number" without one."""
        found = _ANSWER.fullmatch(text)
        return "no number" if found is None else side_of(Fraction(found[1]), int(problem.answer))

    def question(self, problem: Problem) -> str:
        """The text without the program."""
        return f"{problem.text.partition(BAR)[0].strip()} Answer:"

    def hints(self, problem: Problem) -> Sequence[str]:
        """The program, then what is left of it after each operation: "2 * 3 + 4", then "6 + 4"."""
        left = _program_of(problem.text)
        found = []
        while left is not None and not isinstance(left, str):
            found.append(spelled(left))
            left = after_one_step(left)
        return found

    def signature(self, problem: Problem) -> str:
        """Its program, with an n for each number: the same story with other numbers is solved alike."""
        return _NUMBER.sub("n", problem.text.partition(BAR)[2].strip())

    def seeds(self) -> Sequence[Statement]:
        return self._seeds

    def shown_examples(self) -> Sequence[Statement]:
        found = [self.parse(text) for pair in self.escalation_examples for text in pair]
        return [each for each in found if isinstance(each, Statement)]

    def draw(self, rng: random.Random, level: int) -> Statement:
        """Uniform over the templates of the level, then over which numbers have two digits, then over numbers."""
        if level not in self.levels:
            raise ValueError(f"words has no problem of level {level}: the levels are 1 to {self.levels[-1]}")
        return drawing.drawn(rng, level, self.parse)

    def evaluation_sets(self) -> Mapping[str, Sequence[Statement]]:
        """words1 and words2: one operation, and two (drawing.py)."""
        return self._evaluation_sets

    @cached_property
    def _seeds(self) -> tuple[Statement, ...]:
        return read_seeds(self._seeds_path, self.parse)

    @cached_property
    def _evaluation_sets(self) -> Mapping[str, Sequence[Statement]]:
        return drawing.evaluation_sets(self.parse)

    def _flaw(self, story: Story, program: Program) -> Flaw | None:
        """What is wrong before anything is executed."""
        if isinstance(program, str):
            return Flaw.NO_OPERATION
        if len(operators(program)) > self.max_operations or max(map(len, numbers(program))) > self.max_digits:
            return Flaw.TOO_LARGE
        return misfit(story, program)

    def _stated(self, told: str, story: Story, program: Program) -> Statement | Flaw:
        value = value_of(program)
        if value is None:
            return Flaw.NO_VALUE
        if value >= self.max_value:
            return Flaw.TOO_LARGE
        if story.names(value):
            return Flaw.GIVES_ANSWER
        kind = next(iter(story.kinds), "have")
        return Statement(
            text=f"{told} {BAR} {spelled(program)}",
            canonical=f"{kind}: {canonical_form(program)}",
            family=f"{kind} {operators(program)}",
            level=level_of(program),
            answer=str(value),
            answer_source="executed",
        )


def level_of(program: Operation | str) -> int:
    """Operations, and digits beyond one of every number: 1 of 3 + 4, 3 of 13 + 24, 2 of 3 + 4 + 5."""
    return len(operators(program)) + sum(len(number) - 1 for number in numbers(program))


def _program_of(line: str) -> Program | None:
    return parse_program(line.partition(BAR)[2])
