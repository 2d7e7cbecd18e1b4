"""What an evaluation stores of each problem, as text: outcomes, reports and searches, in both directions.

All three have one entry for each problem, in the order of its set. Readers raise ValueError for any other form, since
what they read may be another's file.
"""

import math
import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from selfplay.stats.intervals import paired_interval

_OUTCOMES = re.compile(r"[0-3]*")
_REPORT = re.compile(r"([01]):(-|[0-9.e+-]+)")
_SEARCH = re.compile(r"((-/-|[0-9]+/[0-9]+)/){2}[01]")
_NONE = "-"


def outcomes_text(pairs: Iterable[tuple[bool, bool]]) -> str:
    """(first try right, last turn right) of each problem -> one digit each: 2 for the first and 1 for the last."""
    return "".join(str(2 * first + last) for first, last in pairs)


def read_outcomes(text: str) -> list[tuple[bool, bool]]:
    """The inverse of `outcomes_text`."""
    if not _OUTCOMES.fullmatch(text):
        raise ValueError("outcomes are digits from 0 to 3")
    return [(digit in "23", digit in "13") for digit in text]


def gained_and_lost(before: str, after: str, turn: int) -> tuple[int, int]:
    """How many problems were wrong before and right after at `turn` (0 or 1), and the reverse, from two outcomes."""
    pairs = zip(read_outcomes(before), read_outcomes(after), strict=True)
    changes = [new[turn] - old[turn] for old, new in pairs]
    return changes.count(1), changes.count(-1)


def paired_change(before: str, after: str, turn: int) -> tuple[float, float, float]:
    """(change, low, high) of the accuracy at `turn`, problem by problem, from two outcomes: see `paired_interval`."""
    return paired_interval(*gained_and_lost(before, after, turn), len(before))


Report = tuple[bool, float | None]  # whether the answer was right, and the stated P(right); None: it could not be read


def reports_text(reports: Iterable[Report]) -> str:
    """Example: [(True, 0.7), (False, None)] -> "1:0.7 0:-"."""
    return " ".join(f"{right:d}:{_NONE if stated is None else f'{stated:.4g}'}" for right, stated in reports)


def read_reports(text: str) -> list[Report]:
    """The inverse of `reports_text`, with four digits of what was stated."""
    found = []
    for part in text.split():
        match = _REPORT.fullmatch(part)
        value = None if match is None or match[2] == _NONE else float(match[2])
        if match is None or (value is not None and not 0.0 <= value <= 1.0):
            raise ValueError(f"{part!r} is no report like 1:0.7 or 0:-")
        found.append((match[1] == "1", value))
    return found


class SearchedProblem(NamedTuple):
    """Tokens, and different steps, until a search and until best-of-N was right, infinite where never; and whether the
    vote was right."""

    search_tokens: float
    search_nodes: float
    best_of_tokens: float
    best_of_nodes: float
    vote: bool


def searches_text(problems: Sequence[SearchedProblem]) -> str:
    """Example: [(34, 7, inf, inf, False)] -> "34/7/-/-/0"."""
    return " ".join(
        "/".join([*(_NONE if math.isinf(number) else str(int(number)) for number in spent), str(int(vote))])
        for *spent, vote in problems
    )


def read_searches(text: str) -> list[SearchedProblem]:
    """The inverse of `searches_text`."""
    found = []
    for part in text.split():
        if not _SEARCH.fullmatch(part):
            raise ValueError(f"{part!r} is no search like 34/7/-/-/0")
        tokens, nodes, best_tokens, best_nodes, vote = part.split("/")
        found.append(
            SearchedProblem(_spent(tokens), _spent(nodes), _spent(best_tokens), _spent(best_nodes), vote == "1")
        )
    return found


def _spent(text: str) -> float:
    return math.inf if text == _NONE else float(text)
