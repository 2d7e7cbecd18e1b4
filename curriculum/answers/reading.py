"""Finds the answer in what a solver wrote. Where a text gives two different ones, or none, there is no answer.

Only the format that the problem asks for is read: a second place to look in would let a solver give two answers and be
right by one of them. Every rule reads a text of n characters in O(n).
"""

import re
from collections.abc import Iterator
from typing import Literal, get_args

from curriculum.answers.characters import folded

AnswerRule = Literal["text", "last_line", "boxed", "tag", "hashes", "last_number", "choice"]
RULES: tuple[AnswerRule, ...] = get_args(AnswerRule)
LONGEST_TEXT = 100_000  # characters that are looked at: of a longer text, the last ones
LONGEST_ANSWER = 1_000  # a longer answer is none

THOUGHT_START, THOUGHT_END = "<think>", "</think>"

_BOX = re.compile(r"\\(?:boxed|fbox)\{")
_BRACE = re.compile(r"[{}]")
_OPEN, _CLOSE = "<answer>", "</answer>"
_HASHES = "####"
_NUMBER = re.compile(
    r"(?:(?<![\w.,)])[-+])?(?<![\w.,])\$?(?:\d{1,3}(?:,\d{3})+|\d+)?(?:\.\d+|(?<=\d))(?:/\d+)?%?(?![\w^\u00b2\u00b3\u00b9\u00bc-\u00be\u2070-\u2079]|[.,/]\d)",
    re.ASCII,
)
_FIRST_CHOICE = re.compile(r"[\s(*]*([A-Z])(?:[.):*]|\s*$)", re.ASCII)
_SAID_CHOICE = re.compile(r"[Aa]nswer(?: is|:)\s*[(*]*([A-Z])\b", re.ASCII)
_LETTER = re.compile(r"\b([B-HJ-Z])\b|\bA\b(?! (?!or\b|and\b)[a-z])", re.ASCII)  # alone, and not "I" or the article


def read_answer(text: str, rule: AnswerRule) -> str | None:
    """The answer in `text` by one of these rules; None where there is none, or more than one that differ.

    text         all of it
    last_line    the last line that is not empty
    boxed        what stands in \\boxed{...}, as MATH has it
    tag          what stands in <answer>...</answer>
    hashes       what follows #### on its line, as GSM8K has it
    last_number  the last number: the only rule that takes one of several
    choice       one capital letter: alone, first with a mark behind it, or behind "answer is" or "answer:"; none where
                 another letter stands alone in the text

    A thought is no part of the answer: what is read stands behind the last </think>, and there is nothing to read where
    a <think> is still open. What stands around a box or a tag is not read.
    """
    text = folded(spoken(text[-LONGEST_TEXT:]))
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
            found = set(_choices(text))
    if len(found) != 1:
        return None
    [answer] = found
    return answer if 0 < len(answer) <= LONGEST_ANSWER else None


def spoken(text: str) -> str:
    """`text` behind its thought; empty where the thought does not end."""
    _, _, after = text.rpartition(THOUGHT_END)
    return "" if THOUGHT_START in after else after


def _choices(text: str) -> Iterator[str]:
    """Every letter that the text may choose."""
    if first := _FIRST_CHOICE.match(text):
        yield first[1]
    yield from _SAID_CHOICE.findall(text)
    if first or _SAID_CHOICE.search(text):
        yield from (letter[0] for letter in _LETTER.finditer(text))


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
