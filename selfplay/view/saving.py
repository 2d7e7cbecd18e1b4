"""Figures as files: in the format that a suffix names, and with the same bytes whenever they are drawn."""

from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

FORMATS = {  # by suffix, with what would put the time of day into the file
    ".png": {},
    ".svg": {"Date": None},
    ".pdf": {"CreationDate": None},
}  # fmt: skip


def save(figure: Figure, path: Path) -> None:
    """Writes `figure` in the format that the suffix of `path` names. ValueError for another suffix."""
    suffix = path.suffix.lower()
    if suffix not in FORMATS:
        raise ValueError(f"{path.name}: a plot is written as {', '.join(FORMATS)}")
    with matplotlib.rc_context({"svg.hashsalt": "selfplay"}):  # ids of an SVG are random without one
        figure.savefig(path, format=suffix[1:], metadata=FORMATS[suffix])
