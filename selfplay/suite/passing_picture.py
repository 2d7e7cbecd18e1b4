"""pass@k as a picture: a panel a set, a curve a model, with 95% bands."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from selfplay.stats.pass_at_k import doubling, mean_pass_at_k
from selfplay.suite.passing import SampledSet, by_model
from selfplay.view.picture import BLUE, GREEN, PURPLE, RED
from selfplay.view.saving import save
from selfplay.view.terminal import plain

_COLOURS = (BLUE, RED, GREEN, PURPLE)
_IN_A_ROW = 3


def draw_passing(found: Sequence[SampledSet], path: Path) -> None:
    """In the format that the suffix of `path` names; ValueError for another suffix."""
    names = list(dict.fromkeys(each.set_name for each in found))
    rows, columns = math.ceil(len(names) / _IN_A_ROW), min(_IN_A_ROW, len(names))
    figure = Figure(figsize=(4.6 * columns, 3.6 * rows), dpi=110, layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).flat
    for name, axis in zip(names, panels, strict=False):
        _panel(axis, name, [each for each in found if each.set_name == name], [m[0].named for m in by_model(found)])
    for axis in list(figure.axes)[len(names) :]:
        axis.set_visible(False)
    figure.axes[0].legend(fontsize=8)
    save(figure, path)


def _panel(axis: Any, name: str, found: Sequence[SampledSet], models: Sequence[str]) -> None:
    for each in found:
        ks = doubling(each.samples)
        values = [mean_pass_at_k(list(each.right.values()), each.samples, k) for k in ks]
        colour = _COLOURS[models.index(each.named) % len(_COLOURS)]
        axis.plot(ks, [value.value for value in values], color=colour, marker="o", markersize=3)
        axis.fill_between(ks, [v.low for v in values], [v.high for v in values], color=colour, alpha=0.15, linewidth=0)
        axis.lines[-1].set_label(plain(each.named).replace("$", r"\$"))
    axis.set_title(plain(f"{name}, {len(found[0].right)} problems").replace("$", r"\$"), fontsize=10)
    axis.set_xscale("log", base=2)
    axis.set_ylim(0, 1)
    axis.set_xlabel("k")
    axis.set_ylabel("pass@k")
    axis.grid(alpha=0.3)
