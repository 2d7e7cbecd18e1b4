"""What a value must be: rules of one key, made by the constructors here and attached to their keys in keys.py."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from curriculum.answers.formats import MOST_FORMATS, is_format_name

MOST = 2**31 - 1  # of any count: larger ones overflow what they are handed to
MOST_TOKENS = 2**17  # of a completion: its random numbers are drawn at once, before the first token


@dataclass(frozen=True, slots=True)
class Rule:
    """`wanted` ends the sentence "it must be ..."."""

    wanted: str
    test: Callable[[Any], bool]

    def holds(self, value: Any) -> bool:
        """False also where the test cannot even be asked, of a list in a list for one."""
        try:
            return self.test(value)
        except (TypeError, ValueError, AttributeError):
            return False


def one_of(*values: str) -> Rule:
    return Rule(f"one of {', '.join(values)}", lambda value: value in values)


def some_of(*values: str) -> Rule:
    """A list of them, none twice."""

    def are_some(chosen: Any) -> bool:
        return all(each in values for each in chosen) and len(set(chosen)) == len(chosen)

    return Rule(f"a list of some of {', '.join(values)}, each once, such as [{values[0]}]", are_some)


def at_least(low: float) -> Rule:
    return Rule(f"at least {low}", lambda value: value >= low)


def from_to(low: float, high: float) -> Rule:
    return Rule(f"from {low} to {high}", lambda value: low <= value <= high)


def count(low: int, high: int = MOST) -> Rule:
    """A whole number from `low` on."""
    return from_to(low, high)


def share_below_one() -> Rule:
    return Rule("from 0 to below 1", lambda value: 0 <= value < 1)


def positive() -> Rule:
    return Rule("above 0", lambda value: value > 0)


def given(what: str) -> Rule:
    """A text that is not empty."""
    return Rule(what, bool)


def run_name() -> Rule:
    """A folder of its own, and something `--resume NAME` can tell from an option and from a file."""

    def is_run_name(name: str) -> bool:
        is_plain = re.fullmatch(r"[A-Za-z0-9._-]{1,64}", name) is not None and name.strip(".") != ""
        return is_plain and not name.startswith("-") and not name.endswith((".yaml", ".yml"))

    return Rule("1 to 64 of A-Z a-z 0-9 . _ -, not only dots, no - in front, no .yaml or .yml at the end", is_run_name)


def project_name() -> Rule:
    """What every tracker takes."""
    pattern = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,63}")
    return Rule("1 to 64 of A-Z a-z 0-9 _ -, no - in front", lambda name: pattern.fullmatch(name) is not None)


def server_address() -> Rule:
    """Of a server that is not on the web, or nothing."""
    pattern = re.compile(r"tcp://(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9.-]+):([0-9]{1,5})")

    def is_address(address: str) -> bool:
        found = pattern.fullmatch(address)
        return not address or (found is not None and 0 < int(found[2]) < 1 << 16)

    return Rule("tcp://HOST:PORT, such as tcp://127.0.0.1:8011, or empty", is_address)


def hash_key() -> Rule:
    """What curriculum/holdout.py can key its hash with."""
    return Rule("1 to 64 bytes", lambda value: 1 <= len(value.encode()) <= 64)


def digest_or_empty() -> Rule:
    return Rule("32 of 0-9 a-f, or empty", lambda digest: re.fullmatch(r"([0-9a-f]{32})?", digest) is not None)


def formats_by_text() -> Rule:
    """Of formats, by the text that marks each."""

    def are_formats(marks: Any) -> bool:
        return len(marks) <= MOST_FORMATS and all(is_format_name(name) and mark for name, mark in marks.items())

    return Rule(
        f"up to {MOST_FORMATS} names of small letters, digits and underscores, each with a text, such as "
        "{code: 'def ', boxed: '\\boxed'}",
        are_formats,
    )


def list_of_parts() -> Rule:
    """Of a reward; what each part takes is checked where the parts are (roles/judging/rewards.py)."""

    def is_list_of_parts(parts: Any) -> bool:
        return len(parts) > 0 and all(isinstance(part.get("part"), str) for part in parts)

    return Rule("a list of parts, such as [{part: verdict, weight: 1}]", is_list_of_parts)


def two_betas() -> Rule:
    return Rule("two numbers from 0 to below 1", lambda betas: len(betas) == 2 and all(0 <= beta < 1 for beta in betas))


def between_zero_and_one() -> Rule:
    return Rule("above 0 and below 1", lambda value: 0 < value < 1)


def above_zero_to_one() -> Rule:
    return Rule("above 0, and at most 1", lambda value: 0 < value <= 1)
