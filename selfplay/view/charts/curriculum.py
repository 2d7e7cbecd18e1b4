"""The curriculum as pictures: how hard what was posed is, where problems come from, and where they stand."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator

from curriculum.tracking.families import FRONTIER_VERSIONS, LevelMemory
from selfplay import metrics
from selfplay.view.charts.chart import Chart, Heat, Series, series
from selfplay.view.charts.source import Source
from store.overview.records import Measured
from store.records import Origin, ProblemState

BINS = 10
MOST_FAMILIES = 8
KNOWN, TRIED = "known", "tried"
_ORIGINS = {  # (origin, is this the first step that tries it) -> what it is called
    (Origin.CHALLENGER, True): "new, by the challenger",
    (Origin.CHALLENGER, False): "the challenger's, again",
    (Origin.PROCEDURAL, True): "new, drawn by the domain",
    (Origin.PROCEDURAL, False): "drawn ones, again",
    (Origin.SEED, True): "seeds, the first time",
    (Origin.SEED, False): "seeds, again",
}


def pass_rates(source: Source, of: str = TRIED, family: str = "") -> Chart:
    """How many problems have which pass rate, step by step.

    `of` TRIED: those that the step tried, by the share of its first tries that were right. KNOWN: all that were ever
    tried, by the pass rate that the curriculum foretold of each when it was last tried.
    """
    rows = [row for row in source.measured if not family or source.problems[row.problem_id].family == family]
    by_step = _known(rows) if of == KNOWN else _tried(rows)
    columns = {step: Counter(min(BINS - 1, int(rate * BINS)) for rate in rates) for step, rates in by_step}
    band = (source.settings.band_low, source.settings.band_high)
    heat = Heat(
        columns=tuple(columns),
        rows=tuple(i / BINS for i in range(BINS)),
        row_width=1 / BINS,
        counts=tuple(tuple(columns[step][i] or None for step in columns) for i in range(BINS)),
        band=band,
    )
    what = (
        "all problems tried so far, by the pass rate that the curriculum foretold of each when it was last tried"
        if of == KNOWN
        else "the problems that the step tried, by the share of first tries that were right"
    )
    return Chart(
        key="curriculum",
        title="Pass rates of problems" + (f" of family {family}" if family else ""),
        help=f"Each column is a step: {what}. The darker, the more problems. Between the lines "
        f"({band[0]:g} to {band[1]:g}) a problem can be learned from; at the top it is always solved, at the bottom "
        "never.",
        y_label="pass rate",
        kind="heat",
        heat=heat,
        y_range=(0.0, 1.0),
        empty="No problem was tried yet.",
    )


def _tried(rows: Iterable[Measured]) -> Iterator[tuple[int, list[float]]]:
    found: dict[int, list[float]] = defaultdict(list)
    for row in rows:
        if row.attempts:
            found[row.step].append(row.successes / row.attempts)
    yield from found.items()


def _known(rows: Iterable[Measured]) -> Iterator[tuple[int, list[float]]]:
    newest: dict[str, float] = {}
    by_step: dict[int, dict[str, float]] = defaultdict(dict)
    for row in rows:
        if row.rate is not None:
            by_step[row.step][row.problem_id] = row.rate
    for step, rates in by_step.items():
        newest |= rates
        yield step, list(newest.values())


def frontier(source: Source, run: str = "", group: int = 0) -> Chart:
    """The frontier, and the mean level of what was posed."""
    levels = [(row.step, row.metrics[metrics.LEVEL_MEAN]) for row in source.steps if metrics.LEVEL_MEAN in row.metrics]
    name = f"{run}: " if run else ""
    return Chart(
        key="frontier",
        title="Frontier",
        help="The frontier is the highest level (size of a problem, as the domain counts it) of which half of the "
        f"recent first tries are right, over the last {FRONTIER_VERSIONS} updates. Dashed: mean level of what was "
        "posed.",
        y_label="level",
        series=(
            series(f"{name}frontier", frontiers(source), group, style="stairs"),
            series(f"{name}mean level posed", levels, group if run else 1, style="dashed"),
        ),
    )


def frontiers(source: Source) -> list[tuple[int, int]]:
    """(step, frontier) of every step, as `Tracker.frontier` would have it after that step."""
    settings, levels = source.settings, defaultdict[int, LevelMemory](LevelMemory)
    by_step: dict[int, list[Measured]] = defaultdict(list)
    for row in source.measured:
        by_step[row.step].append(row)
    found = []
    for step in source.steps:
        for row in by_step[step.step]:
            level = levels[source.problems[row.problem_id].level]
            level.add(row.policy_version, row.attempts, row.successes, settings.family_forgetting, settings.group_size)
        reached = [
            level for level, memory in levels.items() if memory.is_reached(step.policy_version, settings.group_size)
        ]
        found.append((step.step, max(reached, default=0)))
    return found


def families(source: Source) -> Chart:
    """The share of right first tries of the families that were tried most."""
    counts: dict[str, dict[int, list[int]]] = defaultdict(lambda: defaultdict(lambda: [0, 0]))
    for row in source.measured:
        of_step = counts[source.problems[row.problem_id].family][row.step]
        of_step[0] += row.attempts
        of_step[1] += row.successes
    most = sorted(counts.items(), key=lambda item: -sum(n for n, _ in item[1].values()))[:MOST_FAMILIES]
    return Chart(
        key="families",
        title="Pass rates of families",
        help=f"Share of right first tries, of the {MOST_FAMILIES} families that were tried most. Problems of a family "
        "are chosen anew in every step, the harder ones too, so a line that stays level may be progress.",
        y_label="pass rate",
        y_range=(0.0, 1.0),
        series=tuple(
            series(family, [(step, k / n if n else None) for step, (n, k) in of_steps.items()], group)
            for group, (family, of_steps) in enumerate(most)
        ),
        is_smoothed=True,
        empty="No problem was tried yet.",
    )


def origins(source: Source) -> Chart:
    """Who posed the problems of each step, and whether it was the first step that tried them."""
    counts: dict[int, Counter[str]] = defaultdict(Counter)
    seen: set[str] = set()
    for row in source.measured:  # in the order of steps
        is_new = row.problem_id not in seen
        counts[row.step][_ORIGINS[source.problems[row.problem_id].origin, is_new]] += 1
        seen.add(row.problem_id)
    return Chart(
        key="origins",
        title="Who posed the problems",
        help="Of the problems of each step: how many were tried for the first time, by who made them up (the "
        "challenger, the domain, or the seeds that a run begins with), and how many were tried before.",
        y_label="problems",
        kind="stack",
        series=tuple(_stack(counts, [name for name in _ORIGINS.values() if any(counts[s][name] for s in counts)])),
    )


def states(source: Source) -> Chart:
    """Where all known problems stand after each step."""
    admitted: Counter[int] = Counter(each.admitted_step for each in source.problems.values())
    by_step: dict[int, list[Measured]] = defaultdict(list)
    for row in source.measured:
        by_step[row.step].append(row)
    standing: dict[str, ProblemState] = {}
    known, counts = admitted[0], {}
    now: Counter[str] = Counter()
    for step in (row.step for row in source.steps):
        known += admitted[step]
        for row in by_step[step]:
            if row.state is not None:
                now[row.state.value] += 1
                before = standing.get(row.problem_id)
                if before is not None:
                    now[before.value] -= 1
                standing[row.problem_id] = row.state
        counts[step] = Counter(now)
        counts[step][ProblemState.NEW.value] += known - len(standing)
    names = [state.value for state in ProblemState if any(counts[step][state.value] for step in counts)]
    return Chart(
        key="states",
        title="Where the known problems stand",
        help="NEW: not tried enough. ACTIVE: practised. MASTERED: nearly always solved. TOO_HARD: never solved so far. "
        "RETIRED: mastered long ago.",
        y_label="problems",
        kind="stack",
        series=tuple(_stack(counts, names)),
    )


def _stack(counts: dict[int, Counter[str]], names: list[str]) -> Iterator[Series]:
    for group, name in enumerate(names):
        yield series(name, [(step, counts[step][name]) for step in sorted(counts)], group)
