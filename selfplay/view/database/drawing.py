"""The tables of a run's database as a drawing: each with its keys, and a line to every table whose rows it names.

It is an SVG that stands alone, with colours for light and for dark, in which each box is a link to what the table has.
A table stands right of all that it refers to. Left out: columns that refer to nothing, which a list shows better.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from store.sql.relations import Relation, ShownColumn

_WIDTH, _GAP = 192, 74  # of a box, and between two columns of them
_TITLE, _ROW, _BETWEEN, _EDGE = 24, 17, 16, 14
_INKS = ("#0072b2", "#b34700", "#00795a", "#9c3f7e", "#7a6000", "#4b5563")
_LIGHT_INKS = ("#58b1f0", "#ff9452", "#36d2a0", "#e394c6", "#d5bd5a", "#9aa4b1")
_STYLE = """
.database { --box: #f7f8fa; --head: #e4e8ed; --edge: #8b949e; --ink: #1b1f24; --soft: #57606a; --mark: #0a5fb0;
font: 12px ui-monospace, "DejaVu Sans Mono", monospace; }
.database rect { fill: var(--box); stroke: var(--edge); } .database .head { fill: var(--head); }
.database text { fill: var(--ink); } .database .title { font-weight: bold; } .database .soft { fill: var(--soft); }
.database path { fill: none; stroke-width: 1.4; stroke-opacity: .8; }
.database a:focus-visible { outline: none; } .database a:hover .whole, .database a:focus .whole
{ stroke: var(--mark); stroke-width: 3; }
"""
_DARK = (
    ".database { --box: #1d2127; --head: #2b323b; --edge: #6b7682; --ink: #e7eaee; --soft: #a3adb8; --mark: #7cb8f2; }"
)


@dataclass(frozen=True, slots=True)
class _Box:
    """Where a table stands, by its upper left corner, and the columns that are shown of it."""

    table: Relation
    x: int
    y: int
    rows: tuple[ShownColumn, ...]

    @property
    def height(self) -> int:
        return _TITLE + _ROW * (len(self.rows) + (len(self.rows) < len(self.table.columns))) + 6

    def row_y(self, index: int) -> float:
        """The middle of a row."""
        return self.y + _TITLE + _ROW * (index + 0.5) + 3


def drawing(tables: Sequence[Relation], link: str = "#{}") -> str:
    """An SVG document. `link`: the address of a table's box, with {} for its name."""
    boxes = _placed(tables)
    width = max(box.x + _WIDTH for box in boxes) + _EDGE
    height = max(box.y + box.height for box in boxes) + _EDGE
    targets = sorted({c.refers_to for table in tables for c in table.columns if c.refers_to})
    inks = {name: index % len(_INKS) for index, name in enumerate(targets)}
    by_name = {box.table.name: box for box in boxes}
    lines = [_line(box, index, by_name[row.refers_to], inks[row.refers_to], boxes)
             for box in boxes for index, row in enumerate(box.rows)
             if row.refers_to and row.refers_to != box.table.name]  # fmt: skip
    style = _STYLE + "".join(f".database .i{n} {{ stroke: {ink}; }}\n" for n, ink in enumerate(_INKS))
    dark = _DARK + "".join(f" .database .i{n} {{ stroke: {ink}; }}" for n, ink in enumerate(_LIGHT_INKS))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="database" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}">\n'
        f"<style>{style}@media (prefers-color-scheme: dark) {{ {dark} }}</style>\n"
        + "".join(f"{each}\n" for each in lines)
        + "".join(_drawn(box, link.format(box.table.name)) for box in boxes)
        + "</svg>\n"
    )


def _placed(tables: Sequence[Relation]) -> list[_Box]:
    """In columns by how long a chain of references is below a table; in a column near what it refers to."""
    layers: dict[int, list[Relation]] = {}
    depths = _depths(tables)
    for table in tables:
        layers.setdefault(depths[table.name], []).append(table)
    middle: dict[str, float] = {}
    columns: list[list[_Box]] = []
    for depth in sorted(layers):

        def near(table: Relation) -> float:
            found = [middle[name] for name in _referred(table) if name in middle]
            return sum(found) / len(found) if found else float("inf")

        ordered, y, column = sorted(layers[depth], key=near), _EDGE, []
        for table in ordered:
            rows = tuple(each for each in table.columns if each.is_key or each.refers_to)
            column.append(_Box(table, _EDGE + depth * (_WIDTH + _GAP), y, rows))
            y += column[-1].height + _BETWEEN
            middle[table.name] = column[-1].y + column[-1].height / 2
        columns.append(column)
    tallest = max(column[-1].y + column[-1].height for column in columns)
    return [
        _Box(box.table, box.x, box.y + (tallest - column[-1].y - column[-1].height) // 2, box.rows)
        for column in columns
        for box in column
    ]


def _depths(tables: Sequence[Relation]) -> Mapping[str, int]:
    """The longest chain of references from each table. A circle of them would have no end, and is cut."""
    by_name = {table.name: table for table in tables}
    known: dict[str, int] = {}

    def depth(name: str, above: frozenset[str]) -> int:
        if name not in known:
            below = [each for each in _referred(by_name[name]) if each not in above]
            known[name] = max((depth(each, above | {name}) + 1 for each in below), default=0)
        return known[name]

    return {table.name: depth(table.name, frozenset({table.name})) for table in tables}


def _referred(table: Relation) -> set[str]:
    return {column.refers_to for column in table.columns if column.refers_to not in ("", table.name)}


def _line(box: _Box, index: int, target: _Box, ink: int, boxes: Sequence[_Box]) -> str:
    """From a column to the table whose rows it names. Columns of boxes that lie between are crossed where none is."""
    x, y, end_x, end_y = float(box.x), box.row_y(index), target.x + _WIDTH, target.y + _TITLE / 2
    said = [f"M{x:g} {y:g}"]
    for between in sorted({each.x for each in boxes if target.x < each.x < box.x}, reverse=True):
        free = _free(y + (end_y - y) * (x - between) / (x - end_x), [each for each in boxes if each.x == between])
        said.append(f"{_curve(x, y, between + _WIDTH, free)} L{between} {free:g}")
        x, y = between, free
    return f'<path class="i{ink}" d="{" ".join(said)} {_curve(x, y, end_x, end_y)}"/>'


def _free(wanted: float, column: Sequence[_Box]) -> float:
    """The height nearest to the wanted one at which a line crosses a column of boxes between two, or beside all."""
    ends = [each.y + each.height for each in column]
    gaps = [(end + each.y) / 2 for end, each in zip(ends, column[1:], strict=False)]
    return min([column[0].y - _BETWEEN / 2, *gaps, ends[-1] + _BETWEEN / 2], key=lambda height: abs(height - wanted))


def _curve(x1: float, y1: float, x2: float, y2: float) -> str:
    bend = (x1 - x2) * 0.6
    return f"C{x1 - bend:g} {y1:g} {x2 + bend:g} {y2:g} {x2:g} {y2:g}"


def _drawn(box: _Box, address: str) -> str:
    x, y, name = box.x, box.y, escape(box.table.name)
    said = [f'<rect class="whole" x="{x}" y="{y}" width="{_WIDTH}" height="{box.height}" rx="5"/>',
            f'<rect class="head" x="{x}" y="{y}" width="{_WIDTH}" height="{_TITLE}" rx="5"/>',
            f'<text class="title" x="{x + 9}" y="{y + 16}">{name}</text>']  # fmt: skip
    for index, row in enumerate(box.rows):
        is_own = row.refers_to == box.table.name
        text = escape(row.name) + (" (its own)" if is_own else "")
        kind = "" if row.is_key else ' class="soft"'
        said.append(f'<text{kind} x="{x + 9}" y="{box.row_y(index) + 4:g}">{text}</text>')
    if more := len(box.table.columns) - len(box.rows):
        said.append(f'<text class="soft" x="{x + 9}" y="{box.row_y(len(box.rows)) + 4:g}">and {more} more</text>')
    return (
        f'<a href="{escape(address)}"><title>{name}: {escape(box.table.description)}</title>' + "".join(said) + "</a>\n"
    )
