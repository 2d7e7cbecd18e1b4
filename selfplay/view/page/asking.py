"""What the address of a page asks for, read out of its query. Whoever types an address may type anything."""

from collections.abc import Mapping
from enum import StrEnum
from typing import TypeVar

from selfplay.view.queries import NotFound
from store.overview.records import Place, ProblemOrder, ProblemQuery
from store.records import Fate, Origin, ProblemState

MOST_TEXT = 200
MOST_LINES = 200
_NUMERIC = (ProblemOrder.RATE, ProblemOrder.ATTEMPTS, ProblemOrder.ADMITTED, ProblemOrder.LAST, ProblemOrder.LEVEL)
_LARGEST = 2**53
Choice = TypeVar("Choice", bound=StrEnum)


def problem_query(asked: Mapping[str, str]) -> ProblemQuery:
    """The filters, order and place of a table of problems. NotFound, naming it, for a value that is none."""
    order = choice(ProblemOrder, asked, "sort") or ProblemOrder.ADMITTED
    return ProblemQuery(
        text=asked.get("q", "")[:MOST_TEXT],
        domain=asked.get("domain", "")[:MOST_TEXT],
        family=asked.get("family", "")[:MOST_TEXT],
        state=choice(ProblemState, asked, "state"),
        origin=choice(Origin, asked, "origin"),
        min_rate=number(asked, "min_rate"),
        max_rate=number(asked, "max_rate"),
        step=whole(asked, "step"),
        order=order,
        is_descending=asked.get("dir", "desc") != "asc",
        after=_place(asked, order),
        limit=min(MOST_LINES, max(1, whole(asked, "limit") or 50)),
    )


def fates(asked: Mapping[str, str]) -> tuple[Fate, ...]:
    """The fate that proposals are filtered by, if any."""
    found = choice(Fate, asked, "fate")
    return () if found is None else (found,)


def whole(asked: Mapping[str, str], name: str) -> int | None:
    """A whole number that a database can hold; None where nothing was given."""
    found = number(asked, name)
    if found is None:
        return None
    if found != int(found) or abs(found) > _LARGEST:
        raise NotFound(f"{name}={asked[name][:40]} is no whole number")
    return int(found)


def number(asked: Mapping[str, str], name: str) -> float | None:
    """A finite number; None where nothing was given."""
    text = asked.get(name, "").strip()
    if not text:
        return None
    try:
        found = float(text)
    except ValueError:
        found = float("nan")
    if not abs(found) <= _LARGEST:
        raise NotFound(f"{name}={text[:40]} is no number")
    return found


def choice(kind: type[Choice], asked: Mapping[str, str], name: str) -> Choice | None:
    """One of a list of names; None where nothing was given."""
    text = asked.get(name, "")
    if not text:
        return None
    try:
        return kind(text)
    except ValueError:
        raise NotFound(f"{name}={text[:40]} is none of {', '.join(each.value for each in kind)}") from None


def _place(asked: Mapping[str, str], order: ProblemOrder) -> Place | None:
    if "after_id" not in asked:
        return None
    if order in _NUMERIC:
        return number(asked, "after") or 0.0, asked["after_id"][:MOST_TEXT]
    return asked.get("after", ""), asked["after_id"][:MOST_TEXT]
