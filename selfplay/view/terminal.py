"""Tables and lines for a terminal, where text of a model is shown and never obeyed.

Every string goes out as a rich Text with control, format and unprintable characters spelled out, so that neither rich
markup nor an escape sequence in it does anything. How it gets out: selfplay/machine/outlet.py. Left out: the live line
of a run (selfplay/view/progress.py).
"""

import json
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Annotated, Any, TextIO, TypeVar

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text
from rich.tree import Tree
from typer.core import TyperGroup

from selfplay.machine.outlet import Drawing, Outlet, spelled, tell

LONGEST_CELL = 300  # a completion may be huge: --json has it whole
WHOLE = 2**63  # for what is not to be cut
LONGEST_LINE = 2000  # a line is ours, and may hold several texts of a model's
PIPE_WIDTH = 160  # a pipe has no width of its own
WIDE = 100  # columns of a terminal with room for space between those of a table
LONGEST_WORD = 24  # a column of words no longer than this is not folded

Node = TypeVar("Node")
AsJson = Annotated[bool, typer.Option("--json", help="One JSON value on standard output, nothing else.")]


def drawn(width: int | None, soft_wrap: bool = False, file: TextIO | None = None) -> Console:
    """Standard output or `file`, drawn on by rich: no markup, no emoji, no colours of its own choice."""
    out: Any = Drawing() if file is None else Outlet(file)
    return Console(file=out, width=width, soft_wrap=soft_wrap, highlight=False, markup=False, emoji=False)


console = drawn(None if Drawing().isatty() else PIPE_WIDTH)


class _Commands(TyperGroup):
    """Names each command with the whole of its first paragraph, which is otherwise cut at the line's end."""

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        found = super().get_command(ctx, cmd_name)
        if found is not None and found.help and not found.short_help:
            found.short_help = " ".join(found.help.split("\n\n")[0].split())
        return found


def command_line(module: str, about: str | None) -> typer.Typer:
    """An application without commands yet: plain help, plain errors, nothing of a shell's."""
    return typer.Typer(
        cls=_Commands, name=f"python -m {module}", help=about, no_args_is_help=True, add_completion=False,
        pretty_exceptions_enable=False, rich_markup_mode=None,
    )  # fmt: skip


def plain(text: str, longest: int = LONGEST_CELL) -> str:
    """Without control characters, bidirectional overrides and the like: each is spelled as its Python escape.

    What is longer than `longest` characters is cut, and how long it was is said.
    """
    return spelled(text) if len(text) <= longest else f"{spelled(text[:longest])}... ({len(text)} characters)"


def say(line: str, on: Console | None = None) -> None:
    """One line of text."""
    (on or console).print(Text(plain(line, LONGEST_LINE)), soft_wrap=True)


def say_lines(text: str) -> None:
    """A text of several lines, whole, each of its lines as one."""
    for line in text.split("\n"):
        console.print(Text(plain(line, WHOLE)), soft_wrap=True)


def say_json(value: Any) -> None:
    """One JSON value on standard output. ASCII only, so that it reaches any pipe whole."""
    tell(json.dumps(value) + "\n")


def say_table(
    rows: Sequence[Mapping[str, Any]],
    title: str,
    longest: int = LONGEST_CELL,
    formats: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Columns are the keys of the rows in order of first appearance; without rows the title alone is shown.

    Numbers are set flush right. Where room is short, sentences are folded; numbers and single words stay whole.
    A text of more than `longest` characters is cut. `formats`: column -> how Python's `format` writes its numbers.
    """
    if not rows:
        return say(f"{title}: none")
    table = Table(
        box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0) if console.width >= WIDE else 0,
    )  # fmt: skip
    columns = list(dict.fromkeys(key for row in rows for key in row))
    for column in columns:
        values = [row[column] for row in rows if row.get(column) is not None]
        is_numeric = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
        cells = [_cell(value, formats.get(column)) for value in values]
        is_short = all(len(cell) <= LONGEST_WORD and " " not in cell for cell in cells)
        table.add_column(
            Text(plain(column)), overflow="ellipsis" if is_short else "fold", no_wrap=is_short,
            justify="right" if is_numeric and values else "left",
        )  # fmt: skip
    for row in rows:
        table.add_row(*(Text(plain(_cell(row.get(column), formats.get(column)), longest)) for column in columns))
    console.print(Text(plain(title), style="bold"), soft_wrap=True)  # a table's own would be folded to its width
    return console.print(table)


def say_tree(root: Node, label: Callable[[Node], str], children: Callable[[Node], Sequence[Node]]) -> None:
    """A line for each node, drawn with guides; as deep as it may be."""
    top = Tree(Text(plain(label(root))))
    growing = [(top, root)]
    while growing:
        branch, node = growing.pop()
        growing += [(branch.add(Text(plain(label(child)))), child) for child in children(node)]
    console.print(top)


def _cell(value: Any, written_as: str | None = None) -> str:
    if value is None:
        return ""
    if written_as is not None:
        return format(value, written_as)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.2f}"
    return str(value)
