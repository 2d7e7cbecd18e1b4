"""Which format an answer has: the way in which it is said, whatever it says.

Formats are told by plain rules on a text, as in the study of how training leaves one of several formats (Zhao et al.,
"Echo Chamber", arXiv 2504.07912): by texts that a user names, each of which marks a format, or else by shape. No rule
is a pattern of the user's, since a model's text could keep one busy for hours.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from store.records import Problem

OTHER = "other"  # of what has none of the formats that are named
SHAPES = ("empty", "code", "boxed", "steps", "equation", "value", "words")
MOST_FORMATS = 16  # each has two figures in every step
_NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")  # part of a figure's name
_CODE = re.compile(r"(?:def|import|return) |print\(|```")
_WORD = re.compile(r"[^\W\d_]{2,}")


def shape_of(text: str) -> str:
    """One of SHAPES, the first that holds: nothing visible; a line that begins as code does; a \\boxed{}; several lines
    or several signs of equality; one such sign; fewer than two words, as in a number or a list; words."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines:
        return "empty"
    if any(_CODE.match(line) for line in lines):
        return "code"
    if "\\boxed{" in text:
        return "boxed"
    signs = text.count("=")
    if len(lines) > 1 or signs > 1:
        return "steps"
    if signs:
        return "equation"
    return "value" if len(_WORD.findall(lines[0])) < 2 else "words"


def is_format_name(name: object) -> bool:
    """Whether a format may be called so: a small letter, then up to 31 small letters, digits and underscores."""
    return isinstance(name, str) and _NAME.fullmatch(name) is not None


@dataclass(frozen=True, slots=True)
class Formats:
    """`told` tells the format of a text that answers a problem. `names`: every format that a text may have, each
    different; OTHER among them where `told` may say what is none of them."""

    names: tuple[str, ...]
    told: Callable[[Problem, str], str]

    def of(self, problem: Problem, text: str) -> str:
        """One of `names`; OTHER for what is told and has no name."""
        found = self.told(problem, text)
        return found if found in self.names else OTHER


def formats_by_mark(marks: Mapping[str, str]) -> Formats:
    """A text has the first format, in the order of `marks`, whose mark stands in it; else OTHER. Names -> texts, none
    empty."""

    def told(problem: Problem, text: str) -> str:
        return next((name for name, mark in marks.items() if mark in text), OTHER)

    return Formats(with_other(marks), told)


def with_other(names: Iterable[str]) -> tuple[str, ...]:
    """The names, and OTHER as the last where it is none of them."""
    return tuple(dict.fromkeys((*names, OTHER)))
