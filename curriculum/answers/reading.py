"""Finds the answer in what a solver wrote. Where a text gives two different ones, or none, there is no answer.

Only the format that the problem asks for is read: a second place to look in would let a solver give two answers and be
right by one of them. Every rule reads a text of n characters in O(n).
"""

import re
import unicodedata
from collections.abc import Iterator
from typing import Literal, get_args

AnswerRule = Literal["text", "last_line", "boxed", "tag", "hashes", "last_number", "choice"]
RULES: tuple[AnswerRule, ...] = get_args(AnswerRule)
LONGEST_TEXT = 100_000  # characters that are looked at: of a longer text, the last ones
LONGEST_ANSWER = 1_000  # a longer answer is none

_BOX = re.compile(r"\\(?:boxed|fbox)\{")
_BRACE = re.compile(r"[{}]")
_OPEN, _CLOSE = "<answer>", "</answer>"
_HASHES = "####"
_NUMBER = re.compile(r"[-+]?\$?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:/\d+)?%?", re.ASCII)
_CHOICE = re.compile(r"(?:^|answer(?: is|:)\s*)\(?([A-Z])\)?(?=$|[\s.,:)])", re.ASCII | re.MULTILINE)


def read_answer(text: str, rule: AnswerRule) -> str | None:
    """The answer in `text` by one of these rules; None where there is none, or more than one that differ.

    text         all of it
    last_line    the last line that is not empty
    boxed        what stands in \\boxed{...}, as MATH has it
    tag          what stands in <answer>...</answer>
    hashes       what follows #### on its line, as GSM8K has it
    last_number  the last number: the only rule that takes one of several
    choice       one capital letter: alone, at the start of a line, or behind "answer is" or "answer:"
    """
    text = unicodedata.normalize("NFKC", text[-LONGEST_TEXT:])
    match rule:
        case "text":
            found = {text.strip()}
        case "last_line":
            found = {next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "")}
        case "boxed":
            found = set(_boxed(text))
        case "tag":
            found = set(_tagged(text))
        case "hashes":
            found = {part.split("\n", 1)[0].strip() for part in text.split(_HASHES)[1:]}
        case "last_number":
            numbers = _NUMBER.findall(text)
            found = {numbers[-1]} if numbers else set()
        case "choice":
            found = set(_CHOICE.findall(text))
    if len(found) != 1:
        return None
    [answer] = found
    return answer if 0 < len(answer) <= LONGEST_ANSWER else None


def _boxed(text: str) -> Iterator[str]:
    """The content of every box, outermost ones only; "" for one whose brace is not closed, after which nothing is
    read."""
    end = 0
    for box in _BOX.finditer(text):
        if box.start() < end:
            continue  # inside another one
        closing = _closing(text, box.end())
        if closing is None:
            yield ""
            return
        end = closing
        yield text[box.end() : end].strip()


def _closing(text: str, start: int) -> int | None:
    """Where the brace that was opened before `start` is closed."""
    depth = 1
    for brace in _BRACE.finditer(text, start):
        depth += 1 if brace[0] == "{" else -1
        if depth == 0:
            return brace.start()
    return None


def _tagged(text: str) -> Iterator[str]:
    """The content of every tag; "" for one that is not closed before the next is opened."""
    for part in text.split(_OPEN)[1:]:
        content, closed, _ = part.partition(_CLOSE)
        yield content.strip() if closed else ""
