"""All charts of a run, by key, in the order in which a page shows them."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from selfplay.view.charts import calibration, correction, curriculum, figures
from selfplay.view.charts.alarms import alarms
from selfplay.view.charts.chart import Chart
from selfplay.view.charts.evaluations import evaluation, set_names
from selfplay.view.charts.source import Source
from selfplay.view.queries import NotFound

SECTIONS: Mapping[str, tuple[str, ...]] = {  # title -> keys of charts
    "Held-out accuracy": ("evaluation", calibration.KEY),
    "The curriculum": ("curriculum", "frontier", "families", "states", "origins"),
    "What was tried": ("signal", "solved", "fates"),
    "Second looks": (correction.KEY,),
    "Rewards": ("rewards", "parts"),
    "The update": ("entropy", "kl", "gradient", "clipping", "gap"),
    "What it took": ("tokens", "seconds"),
}
COMPARED = ("frontier", "signal", "solved", correction.KEY, "rewards", "entropy", "gradient", "gap", "tokens")
KEYS = tuple(key for keys in SECTIONS.values() for key in keys)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What of a chart: `set_name` of "evaluation" and "correction", of which "" is training; `of` and `family` of
    "curriculum"."""

    key: str
    set_name: str = ""
    of: str = curriculum.TRIED
    family: str = ""


def chart(source: Source, wanted: Wanted) -> Chart:
    """A chart of a run, with its alarms where it has steps. NotFound for a key, a set or a family that there is not."""
    made = _chart(source, wanted)
    return made if made.x_range is not None else replace(made, marks=alarms(source))


def drawn(source: Source, key: str) -> list[Chart]:
    """All charts of a key. NotFound for a key that there is not, and of "evaluation" before the first."""
    found = [chart(source, wanted) for wanted in wanted_of(source, key)]
    _require(bool(found), "nothing was evaluated yet", ())
    return found


def wanted_of(source: Source, key: str) -> list[Wanted]:
    """What is drawn for a key: of "evaluation" each held-out set, of "correction" training and each set that second
    looks were taken at."""
    if key == "evaluation":
        return [Wanted(key, set_name=name) for name in set_names(source)]
    looked = [name for name in set_names(source) if key == correction.KEY and correction.has_second_looks(source, name)]
    return [Wanted(key), *(Wanted(key, set_name=name) for name in looked)]


def overlaid(sources: Mapping[str, Source], wanted: Wanted) -> Chart:
    """One chart of several runs: each has a colour of its own. `sources`: by the name of the run."""
    _require(wanted.key in (*COMPARED, "evaluation"), f"a comparison has no chart {wanted.key!r}", COMPARED)
    charts = [_chart(source, wanted, name, group) for group, (name, source) in enumerate(sources.items())]
    return replace(charts[0], series=tuple(line for each in charts for line in each.series))


def _chart(source: Source, wanted: Wanted, run: str = "", group: int = 0) -> Chart:
    match wanted.key:
        case "evaluation":
            if not run:
                _require(wanted.set_name in set_names(source), f"no set {wanted.set_name!r}", set_names(source))
            return evaluation(source, wanted.set_name, run, group)
        case "curriculum":
            return _pass_rates(source, wanted)
        case calibration.KEY:
            return calibration.calibration(source)
        case correction.KEY if wanted.set_name and not run:
            _require(wanted.set_name in set_names(source), f"no set {wanted.set_name!r}", set_names(source))
            return correction.held_out(source, wanted.set_name)
        case correction.KEY:
            return correction.in_training(source, run, group)
        case "frontier":
            return curriculum.frontier(source, run, group)
        case "families":
            return curriculum.families(source)
        case "states":
            return curriculum.states(source)
        case "origins":
            return curriculum.origins(source)
        case "rewards":
            return figures.rewards(source, run, group)
        case key:
            _require(key in figures.BY_KEY, f"there is no chart {key!r}", KEYS)
            return figures.BY_KEY[key].chart(source, run, group)


def _pass_rates(source: Source, wanted: Wanted) -> Chart:
    known = sorted({each.family for each in source.problems.values()})
    _require(wanted.family in ("", *known), f"no family {wanted.family!r}", known)
    kinds = (curriculum.TRIED, curriculum.KNOWN)
    _require(wanted.of in kinds, f"of={wanted.of!r} is none of the choices", kinds)
    return curriculum.pass_rates(source, wanted.of, wanted.family)


def _require(is_there: bool, what: str, choices: object) -> None:
    if not is_there:
        named = ", ".join(map(str, choices)) if isinstance(choices, list | tuple) else ""
        raise NotFound(f"{what}; there are: {named or 'none'}")
