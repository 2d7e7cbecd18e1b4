"""Tables as CSV that a spreadsheet shows and does not compute."""

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

from selfplay.machine.outlet import spelled

_FORMULA = "=+-@\t\r"  # a cell that begins with one of these is a formula to a spreadsheet


def csv_text(rows: Sequence[Mapping[str, Any]], columns: Sequence[str] = ()) -> str:
    """A header and a line for each row; columns are those given, or the keys in order of first appearance.

    Numbers stand as they are. In text, control characters are spelled out, and what a spreadsheet would take for a
    formula gets an apostrophe in front, as OWASP's page on CSV injection has it.
    """
    columns = columns or list(dict.fromkeys(key for row in rows for key in row))
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([_cell(column) for column in columns])
    writer.writerows([_cell(row.get(column)) for column in columns] for row in rows)
    return out.getvalue()


def _cell(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    begins = value.lstrip(" ")[:1]
    return ("'" if begins and begins in _FORMULA else "") + spelled(value)
