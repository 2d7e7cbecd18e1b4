"""The text of a word problem: which numbers it names, what kind of story it tells, and why it may be none.

A text is a hostile one: its writer is paid for problems that pass. So what is not understood is a flaw, and no guess.
What cannot be told here is whether the story means what the program computes (docs/safety.md).
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise

from curriculum.domains.words.program import Program, numbers, operators
from curriculum.domains.words.vocabulary import (
    ASKING,
    CALLS_FOR,
    CONSTANTS,
    KINDS,
    LARGER,
    META,
    NEEDS,
    SPOKEN_OPERATORS,
    TENS,
    UNITS,
)

LEAST_WORDS = 6
_PLAIN = re.compile(r"[A-Za-z0-9 .,?!'$\-]+")  # ASCII: a digit of another script looks like another number
_SENTENCE_END = re.compile(r"[.!]")
_EDGES = ".,?!'"


class Flaw(StrEnum):
    """Why a line is no word problem."""

    FORM = "not one text and one program with a bar between them"
    CHARACTERS = "the text has a character that no story needs"
    TOO_LARGE = "the text, the program or a number in it is too large"
    NO_OPERATION = "the program computes nothing"
    NO_QUESTION = "the text does not end in a question"
    TWO_QUESTIONS = "the text asks for more than one thing"
    NO_STORY = "the text is too short"
    META = "the text speaks of the task"
    UNCLEAR_NUMBER = "a number of the text cannot be read"
    NUMBERS_DIFFER = "the text does not name the numbers that the program uses, each as often"
    GIVES_PROGRAM = "the text says what to compute"
    GIVES_ANSWER = "the text names the answer"
    WRONG_STORY = "the words of the text do not go with the operations of the program"
    NO_VALUE = "the program, or a step of it, has no value that is whole and not negative"


@dataclass(frozen=True, slots=True)
class Number:
    """A number that the text names, and the place of its first word. `is_constant`: a word of CONSTANTS."""

    value: int
    at: int
    is_constant: bool = False


@dataclass(frozen=True, slots=True)
class Story:
    """A text as it was read: its words in lower case, without punctuation, and its numbers."""

    words: tuple[str, ...]
    numbers: tuple[Number, ...]

    @property
    def kinds(self) -> list[str]:
        """The kinds that it has a cue of, in the order of KINDS."""
        said = set(self.words)
        return [kind for kind, cues in KINDS.items() if not said.isdisjoint(cues)]

    def names(self, value: int) -> bool:
        """Whether it names this number."""
        return any(number.value == value for number in self.numbers)


def read_story(text: str) -> Story | Flaw:
    """The story that `text` tells, whatever the program."""
    if _PLAIN.fullmatch(text) is None:
        return Flaw.CHARACTERS
    if not text.endswith("?"):
        return Flaw.NO_QUESTION
    words = _words(text)
    asking = [word for word in words if word in ASKING]
    if text.count("?") > 1 or len(asking) > 1:
        return Flaw.TWO_QUESTIONS
    if ASKING.isdisjoint(_words(_SENTENCE_END.split(text)[-1])):
        return Flaw.NO_QUESTION
    if len(words) < LEAST_WORDS:
        return Flaw.NO_STORY
    if not META.isdisjoint(words):
        return Flaw.META
    found = _numbers(words)
    return Flaw.UNCLEAR_NUMBER if found is None else Story(tuple(words), tuple(found))


def misfit(story: Story, program: Program) -> Flaw | None:
    """Why `program` is not the program of `story`; None where nothing speaks against it."""
    used = Counter(int(number) for number in numbers(program))
    named = Counter(number.value for number in story.numbers if not number.is_constant)
    allowed = Counter(number.value for number in story.numbers)
    if named - used or used - allowed:
        return Flaw.NUMBERS_DIFFER
    if _is_spoken(story):
        return Flaw.GIVES_PROGRAM
    kinds, signs = set(story.kinds), set(operators(program))
    lacks_cue = any(sign in NEEDS and kinds.isdisjoint(NEEDS[sign]) for sign in signs)
    lacks_sign = any(kind in CALLS_FOR and signs.isdisjoint(CALLS_FOR[kind]) for kind in kinds)
    return Flaw.WRONG_STORY if lacks_cue or lacks_sign else None


def _words(text: str) -> list[str]:
    """In lower case; parts of a hyphenated word are words. A token with a digit is kept whole."""
    words: list[str] = []
    for token in text.lower().split():
        bare = token.strip(_EDGES).removesuffix("'s")
        has_digit = any(character.isdigit() for character in bare)
        words += [bare.removeprefix("$")] if has_digit else [part for part in re.split("[-$']", bare) if part]
    return words


def _numbers(words: Sequence[str]) -> list[Number] | None:
    """Every number of the text, in order; None where one is not clear, such as 3.5, 1,000, 007, 3rd or a hundred."""
    found: list[Number] = []
    for at, word in enumerate(words):
        if any(character.isdigit() for character in word):
            if not word.isdigit() or (word[0] == "0" and word != "0"):
                return None
            found.append(Number(int(word), at))
        elif word in LARGER:
            return None
        elif word in UNITS and 0 < UNITS[word] < 10 and at > 0 and words[at - 1] in TENS:
            continue  # the second half of twenty-one
        elif word in CONSTANTS:
            found.append(Number(CONSTANTS[word], at, is_constant=True))
        elif word in TENS:
            unit = UNITS.get(words[at + 1], 0) if at + 1 < len(words) else 0
            found.append(Number(TENS[word] + (unit if unit < 10 else 0), at))
        elif word in UNITS:
            found.append(Number(UNITS[word], at))
    return found


def _is_spoken(story: Story) -> bool:
    """Whether two numbers stand side by side, or with nothing but spoken operators between them."""
    places = [number.at for number in story.numbers if not number.is_constant]
    between = [set(story.words[a + 1 : b]) for a, b in pairwise(places)]
    return any(words <= SPOKEN_OPERATORS | set(UNITS) for words in between)
