"""docs/database.md, with its lists of views and tables made of the code, and its drawing.

`python -m selfplay.view.database.document docs/database.md` writes both anew.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from selfplay.view.database.drawing import drawing
from store.sql.relations import Relation, tables, views

DRAWING = "images/database.svg"  # from the page
BEGIN, END = "<!-- {}: made of store/sql -->", "<!-- end -->"


def page(text: str) -> str:
    """The page with its lists made anew; what stands around them is kept."""
    for name, of in (("views", views()), ("tables", tables())):
        before, found, rest = text.partition(BEGIN.format(name))
        _, ended, after = rest.partition(END)
        if not found or not ended:
            raise ValueError(f"the page has no place for {name}: {BEGIN.format(name)} ... {END}")
        text = f"{before}{found}\n\n{_lists(of)}\n{ended}{after}"
    return text


def picture() -> str:
    """The drawing for the page. A picture in a page has no links that lead anywhere."""
    return drawing(tables())


def _lists(relations: Sequence[Relation]) -> str:
    return "\n".join(_list(each) for each in relations)


def _list(relation: Relation) -> str:
    rows = "".join(
        f"| `{each.name}`{' (key)' if each.is_key else ''} | {each.kind.value} | {each.description} |\n"
        for each in relation.columns
    )
    return f"### {relation.name}\n\n{relation.description}.\n\n| column | kind | what it is |\n|---|---|---|\n{rows}"


if __name__ == "__main__":
    _path = Path(sys.argv[1])
    _path.write_text(page(_path.read_text()))
    (_path.parent / DRAWING).write_text(picture())
