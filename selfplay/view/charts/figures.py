"""Charts of the figures that every step stores, by the names of docs/metrics.md."""

import re
from collections import defaultdict
from dataclasses import dataclass

from selfplay import metrics
from selfplay.view.charts.chart import Chart, Kind, series
from selfplay.view.charts.source import Source
from store.records import Fate


@dataclass(frozen=True, slots=True)
class Figures:
    """A chart of stored figures. `names`: (the figure's name, or a pattern with one group, what it is called).

    What a pattern's group matched stands for the `{}` of its title.
    """

    key: str
    title: str
    help: str
    y_label: str
    names: tuple[tuple[str, str], ...]
    kind: Kind = "lines"
    y_range: tuple[float, float] | None = None
    is_smoothed: bool = True

    def chart(self, source: Source, run: str = "", group: int = 0) -> Chart:
        """`run`: in front of the names, where runs are compared; they have the colour `group` then."""
        stored = sorted({name for row in source.steps for name in row.metrics})
        drawn = [(name, title) for pattern, title in self.names for name, title in _matching(pattern, title, stored)]
        lines = []
        for i, (name, title) in enumerate(drawn):
            points = [(row.step, row.metrics.get(name)) for row in source.steps]
            if self.kind == "stack" and not any(value for _, value in points):
                continue
            style = "solid" if not run or i == 0 else "dashed" if i == 1 else "points"
            called = f"{run}: {title}" if run else title
            lines.append(series(called, points, group if run else i, style=style))
        return Chart(
            key=self.key,
            title=self.title,
            help=self.help,
            y_label=self.y_label,
            kind=self.kind,
            series=tuple(lines),
            y_range=self.y_range,
            is_smoothed=self.is_smoothed and self.kind == "lines",
        )


def _matching(pattern: str, title: str, stored: list[str]) -> list[tuple[str, str]]:
    found = [(name, re.fullmatch(pattern, name)) for name in stored]
    return [(name, title.format(*match.groups())) for name, match in found if match is not None]


def _named(name: str) -> str:
    """A figure's name as a pattern; of a name with braces, what may stand there is the group."""
    return re.sub(r"\\\{\w+\\\}", "(.+)", re.escape(name))


SHARES = (0.0, 1.0)
ALL = (
    Figures(
        "signal",
        "Is there something to learn from",
        "Share of the step's groups of attempts of which something was learned (with a signal), and of those whose "
        "first tries were some right and some wrong (mixed). Below 0.3, most of the sampling teaches nothing.",
        "share of groups",
        ((_named(metrics.SIGNAL_SHARE), "with a signal"), (_named(metrics.MIXED_SHARE), "mixed first tries")),
        y_range=SHARES,
    ),
    Figures(
        "solved",
        "What was solved in training",
        "Share of sampled first tries and last answers that were right, of wrong first tries that the second look "
        "mended (fixed), and of right ones that it broke. The curriculum holds the first near the middle, so it is no "
        "measure of progress: the held-out sets are.",
        "share",
        (
            (_named(metrics.PASS_RATE), "first tries right"),
            (_named(metrics.LAST_PASS_RATE), "last answers right"),
            (_named(metrics.FIXED_SHARE), "fixed"),
            (_named(metrics.BROKEN_SHARE), "broken"),
        ),
        y_range=SHARES,
    ),
    Figures(
        "fates",
        "What became of the proposals",
        "Proposals of the challenger by their fate. ACCEPTED ones became problems; SURPLUS ones were valid and new, "
        "but the step had no room. The others were refused, by name.",
        "proposals",
        tuple((_named(metrics.fate_count(fate)), fate.value) for fate in Fate),
        kind="stack",
    ),
    Figures(
        "parts",
        "Parts of the reward",
        "Mean share of each part in what a turn was paid. A part that rises while fewer answers are right is what the "
        "model learns in place of solving.",
        "reward a turn",
        ((_named(metrics.PART_MEAN), "{}"),),
    ),
    Figures(
        "entropy",
        "Entropy",
        "How undecided the model is, as the mean -log p of the tokens that were trained. A fall to 0 is a collapse.",
        "nats a token",
        ((_named(metrics.ENTROPY), "entropy"),),
    ),
    Figures(
        "kl",
        "Distance from the start",
        "KL divergence of the policy from the start model, of those who speak that are held to it (train.kl_coef; 0 "
        "holds nobody).",
        "nats a token",
        ((_named(metrics.KL), "{}"),),
    ),
    Figures(
        "clipping",
        "Clipped and cut tokens",
        "Share of trained tokens whose probability ratio was clipped, and of those whose importance weight was cut.",
        "share of tokens",
        ((_named(metrics.CLIP_RATIO), "ratio clipped"), (_named(metrics.TRUNCATED_SHARE), "weight cut")),
    ),
    Figures(
        "gradient",
        "Gradient norm",
        "L2 norm of the gradient before clipping. A step without one had nothing that pushed.",
        "norm",
        ((_named(metrics.GRAD_NORM), "gradient norm"),),
    ),
    Figures(
        "gap",
        "Sampler against trainer",
        "Distance of the two log-probabilities of a token: what sampled it, and what trains on it. A mean above 0.05 "
        "says that they do not run the same weights.",
        "nats",
        ((_named(metrics.MISMATCH_MEAN), "mean"), (_named(metrics.MISMATCH_MAX), "largest")),
    ),
    Figures(
        "tokens",
        "Tokens computed",
        "Tokens that went through the model, and what the same samples need one by one in a flat batch. The distance "
        "is what the tree saves.",
        "tokens a step",
        ((_named(metrics.TOKENS_COMPUTED), "computed"), (_named(metrics.TOKENS_FLAT), "a flat batch's")),
    ),
    Figures(
        "seconds",
        "Seconds by phase",
        "Wall time of each phase of a step.",
        "seconds",
        ((_named(metrics.PHASE_SECONDS), "{}"),),
        kind="stack",
    ),
)
BY_KEY = {each.key: each for each in ALL}


def rewards(source: Source, run: str = "", group: int = 0) -> Chart:
    """What the solver's turns and the challenger's proposals were paid, in the mean."""
    by_turn: dict[int, list[tuple[float, float | None]]] = defaultdict(list)
    for each in source.turn_means:
        by_turn[each.turn].append((each.step, each.reward))
    name = f"{run}: " if run else ""
    lines = [
        series(f"{name}{turn_name(turn)}", points, group if run else turn, style="solid" if turn == 0 else "dashed")
        for turn, points in sorted(by_turn.items())
    ]
    paid = [(row.step, row.metrics.get(metrics.CHALLENGER_REWARD)) for row in source.steps]
    if any(row.metrics.get(metrics.PROPOSALS) for row in source.steps):
        lines.append(series(f"{name}challenger", paid, group if run else len(by_turn), style="points"))
    return Chart(
        key="rewards",
        title="Rewards by role",
        help="Mean of what first tries, second looks and the challenger's proposals were paid in each step.",
        y_label="reward",
        series=tuple(lines),
        is_smoothed=True,
    )


def turn_name(turn: int) -> str:
    """What a turn of an attempt is called."""
    return {0: "first try", 1: "second look"}.get(turn, f"look {turn + 1}")
