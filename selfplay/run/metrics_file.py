"""metrics.jsonl: a line per step, evaluation and pick, rebuilt from the store on resume, appended to while a run goes.

The store is the truth; the file is for tools that read lines. docs/metrics.md says how to read each name.
"""

from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

from selfplay.trackers.lines import Line
from selfplay.trackers.lines import lines as lines_of
from store.errors import translated
from store.records import Evaluation, Pick, StepRow
from store.store import Store

_BLOCK = 1 << 20  # bytes read at once
_COMPARED = 1000  # steps whose lines are compared: of older ones only their number, or a start would read all of them


def lines(steps: Iterable[StepRow], evaluations: Iterable[Evaluation], picks: Iterable[Pick]) -> Iterator[str]:
    """The whole file: steps in order, each followed by its evaluations, and by its pick."""
    for line in lines_of(steps, evaluations, picks):
        yield f"{line.as_json()}\n"


def is_whole(path: Path, store: Store) -> bool:
    """Whether the file has as many lines as the store has rows, and ends with the lines of the newest ones."""
    head, evaluations, picks = store.head().step, store.evaluations(), store.picks()
    older = max(-1, head - _COMPARED)
    newest = [each for each in evaluations if each.step > older]
    ending = "".join(lines(store.steps(after=older), newest, picks)).encode()
    try:
        if not path.is_file() or path.is_symlink():
            return False
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - len(ending)))
            if file.read() != ending:
                return False
            file.seek(0)
            num_lines = sum(block.count(b"\n") for block in iter(partial(file.read, _BLOCK), b""))
    except OSError:
        return False  # it is written anew, which says what is wrong
    return num_lines == head + len(evaluations) + len(picks)


def append(path: Path, line: Line) -> None:
    """Add one line. Not synced: what a crash loses here is rebuilt."""
    with translated(path), path.open("a") as file:
        file.write(f"{line.as_json()}\n")
