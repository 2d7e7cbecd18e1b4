"""From plain values to HTML: Jinja2 with autoescape, and a few words of its own for texts and figures."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote, urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from selfplay.machine.outlet import spelled
from selfplay.view import tables
from selfplay.view.database.drawing import drawing
from store.sql import relations

NONE = "\N{EN DASH}"  # of what was not measured
TEMPLATES = Path(__file__).parent / "templates"
_MINUTE, _HOUR, _DAY = 60, 3600, 86400


def environment() -> Environment:
    """Templates with what they use. A name that is not there is an error and no empty text."""
    made = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    made.filters |= {
        "shown": shown,
        "line": line,
        "is_plain": lambda text: spelled(text) == text,
        "share": share,
        "signed": signed,
        "number": number,
        "age": age,
        "bytes": size,
        "duration": duration,
        "segment": segment,
        "spark": spark,
        "minute": minute,
        "pair_run": lambda name: ("run", name),
    }
    made.globals["query"] = query
    made.globals["database_drawing"] = lambda: Markup(
        drawing(relations.tables())
    )  # of our own schema, and nobody's text
    return made


def shown(text: object) -> str:
    """A text of anybody's, of several lines: control characters and bidirectional overrides are spelled out."""
    return spelled(str(text), "\n\t").strip("\n")


def line(text: object, longest: int = 120) -> str:
    """The same on one line, cut where it is long."""
    flat = " ".join(spelled(str(text), "\n\t").split())
    return flat if len(flat) <= longest else f"{flat[: longest - 1]}…"


def share(value: float | None) -> str:
    """0.254 -> 25%; nothing measured is a dash."""
    return NONE if value is None else f"{100 * value:.0f}%"


def signed(value: float | None, digits: int = 2) -> str:
    """+0.25; what is rounded to nothing is +0.00, never -0.00."""
    return NONE if value is None else f"{round(value, digits) + 0.0:+.{digits}f}"


def number(value: float | None) -> str:
    """Thousands apart; as many digits as tell something."""
    if value is None:
        return NONE
    if value == int(value):
        return f"{int(value):,}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def age(then: float) -> str:
    """How long ago, from seconds since 1970."""
    passed = max(0.0, datetime.now(UTC).timestamp() - then)
    for limit, unit, name in ((90, 1, "s"), (90 * _MINUTE, _MINUTE, "min"), (36 * _HOUR, _HOUR, "h")):
        if passed < limit:
            return f"{passed / unit:.0f} {name} ago"
    return f"{passed / _DAY:.0f} days ago"


def size(value: float) -> str:
    """Bytes as people read them."""
    for limit, unit in ((1e3, "B"), (1e6, "kB"), (1e9, "MB")):
        if value < limit:
            return f"{value / limit * 1e3:.0f} {unit}"
    return f"{value / 1e9:.1f} GB"


def duration(seconds: float) -> str:
    """596 -> 9 min 56 s."""
    whole = round(seconds)
    if whole < 2 * _MINUTE:
        return f"{whole} s"
    if whole < 2 * _HOUR:
        return f"{whole // _MINUTE} min {whole % _MINUTE} s"
    return f"{whole // _HOUR} h {whole % _HOUR // _MINUTE} min"


def minute(time: str | None) -> str:
    """2026-01-31T12:00:05+00:00 -> 2026-01-31 12:00 UTC."""
    return NONE if time is None else f"{tables.minute(time)} UTC"


def segment(text: object) -> str:
    """A text as one segment of a path."""
    return quote(str(text), safe="")


def query(**given: object) -> str:
    """?a=b&c=d of what is neither None nor empty; nothing at all where nothing is left."""
    kept = {name: str(value) for name, value in given.items() if value not in (None, "")}
    return f"?{urlencode(kept)}" if kept else ""


def spark(points: Sequence[tuple[float, float]], width: int = 90, height: int = 22) -> str:
    """Points (step, share) as the points of an SVG polyline in a box of that size: 0 at the bottom, 1 at the top."""
    if not points:
        return ""
    first, last = points[0][0], points[-1][0]
    span = max(1.0, last - first)
    placed = ((2 + (x - first) / span * (width - 4), 2 + (1 - y) * (height - 4)) for x, y in points)
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in placed)
