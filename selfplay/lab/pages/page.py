"""The page of an experiment, docs/lab/<name>.md with its pictures; and its figures as JSON.

A page is made of three things: the experiment, which stood before the run; its rows; and docs/lab/<name>.seen.md, what
somebody wrote about them after the run.
"""

import math
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selfplay.evaluation.formats import read_reports
from selfplay.lab.experiments.experiment import Column, Experiment
from selfplay.lab.pages import picture
from selfplay.lab.pages.findings import ArmFindings, Findings, find
from selfplay.lab.rows import Row, rounded
from selfplay.lab.verdict.criteria import MIN_SEEDS, Judged
from selfplay.lab.verdict.curves import Curves, DrawnPanel, drawn_panels
from selfplay.stats.calibration import Bin, reliability_bins

WIDTH = 120
ABSENT = "-"
RULE = (
    "Gated ones stood in the file before the run. One passes when the bound of its 95% interval nearest to failure is"
    " on the right side of the threshold and every seed alone has the right sign, or, where zero would pass, is on the"
    f" right side too. Intervals are of Student's t over seeds crossed with problems"
    " (`selfplay/lab/verdict/intervals.py`, [coverage](coverage.md)); they are symmetric and may end beyond what a"
    f" measure can be. The verdict needs {MIN_SEEDS} seeds and a positive control that passes; a criterion that failed"
    " while its interval holds the threshold and is wider than the design allows makes it inconclusive"
    " (`selfplay/lab/verdict/criteria.py`)."
)
ONE_SEED = "There is one seed: intervals are over problems alone and say nothing of what another seed would give."
CURVES = "## Curves\n"  # in <name>.seen.md: what follows belongs to the second picture


@dataclass(frozen=True, slots=True)
class Seen:
    """What the figures say beyond the criteria, in paragraphs, written after the run: of all, and of the curves."""

    paragraphs: tuple[str, ...] = ()
    curves: str = ""


def read_seen(name: str, folder: Path) -> Seen:
    """<name>.seen.md of `folder`; nothing where there is no such file."""
    path = folder / f"{name}.seen.md"
    text, _, curves = (path.read_text(encoding="utf-8") if path.exists() else "").partition(CURVES)
    return Seen(tuple(each for each in text.split("\n\n") if each.strip()), curves.strip())


def report_json(experiment: Experiment, rows: Sequence[Row]) -> dict[str, Any]:
    """The verdict with its figures; None for what was not measured or is not finite. ValueError as in `find`."""
    findings = find(experiment, rows)
    return {
        "name": experiment.name,
        "verdict": findings.verdict,
        "commit": ", ".join(_commits(findings)),
        "seeds": list(findings.seeds),
        "criteria": [
            {
                "name": each.name,
                "threshold": each.threshold,
                "value": _plain(each.value),
                "interval": [_plain(bound) for bound in each.interval or (None, None)],
                "passed": each.passed,
            }
            for each in findings.criteria
        ],
        "arms": {
            name: {
                str(seed): {title: _plain(value) for title, value in values.items()}
                for seed, values in arm.per_seed.items()
            }
            for name, arm in findings.arms.items()
        },
    }


def write_page(experiment: Experiment, rows: Sequence[Row], folder: Path) -> Path:
    """Write <name>.md and its pictures to `folder`, where <name>.seen.md is read; the page's path.

    Pictures: <name>.png; <name>-reliability.png where there are reports; <name>-curves.png where the experiment has
    curves and there is something to draw. ValueError as in `find`.
    """
    findings = find(experiment, rows)
    folder.mkdir(parents=True, exist_ok=True)
    picture.draw(experiment, findings, folder / f"{experiment.name}.png")
    panels = reliability_panels(findings, experiment.sets)
    if panels:
        picture.draw_reliability(panels, folder / f"{experiment.name}-reliability.png")
    curves = experiment.curves
    drawn = curve_panels(experiment, findings)
    if curves is not None and drawn:
        picture.draw_curves(curves.title, drawn, folder / f"{experiment.name}-curves.png")
    path = folder / f"{experiment.name}.md"
    seen = read_seen(experiment.name, folder)
    text = page_text(experiment, findings, seen, has_reliability=bool(panels), has_curves=bool(drawn))
    path.write_text(text, encoding="utf-8")
    return path


def page_text(
    experiment: Experiment,
    findings: Findings,
    seen: Seen = Seen(),
    has_reliability: bool = False,
    has_curves: bool = False,
) -> str:
    """The whole page as Markdown."""
    parts = [
        f"# {experiment.title}",
        _wrapped(f"Claim: {experiment.claim}"),
        _wrapped(f"**Verdict: {findings.verdict}.** {findings.reason[:1].upper()}{findings.reason[1:]}"),
        *(_wrapped(note) for note in experiment.notes),
        *_warnings(findings),
        "## Criteria",
        _wrapped(RULE),
        *([_wrapped(ONE_SEED)] if len(findings.seeds) == 1 else []),
        _criteria_table(findings),
        _wrapped(_multiplicity(findings.criteria)),
        _wrapped(_control(findings.control)),
        _wrapped(_smallest(experiment, findings)),
        "## Arms",
        _wrapped("At the end of training, mean over seeds with its 95% interval."),
        _arms_table(experiment.columns, findings),
        *_arm_notes(experiment),
        *(["## What was seen", *(_wrapped(each) for each in seen.paragraphs)] if seen.paragraphs else []),
        f"![{experiment.title}]({experiment.name}.png)",
        *(_curves(experiment.name, experiment.curves, seen.curves) if experiment.curves and has_curves else []),
        *([f"![Stated confidence against accuracy]({experiment.name}-reliability.png)"] if has_reliability else []),
        "## How it was made",
        *_origin(experiment, findings),
    ]
    return "\n\n".join(parts) + "\n"


def reliability_panels(findings: Findings, sets: Sequence[str]) -> list[tuple[str, list[Bin]]]:
    """(arm, bins) of each arm whose cells report at the end, their seeds and sets pooled."""
    panels = []
    for name, arm in findings.arms.items():
        pairs = [
            pair
            for row in arm.rows
            for set_name, by_moment in sorted(row.reports.items())
            if not sets or set_name in sets
            for pair in read_reports(by_moment["end"])
        ]
        read = [(right, value) for right, value in pairs if value is not None]
        if read:
            panels.append((name, reliability_bins([right for right, _ in read], [value for _, value in read])))
    return panels


def curve_panels(experiment: Experiment, findings: Findings) -> list[DrawnPanel]:
    """What the experiment's second picture shows; empty where it has none or its arms have not what it needs."""
    rows = [row for arm in findings.arms.values() for row in arm.rows]
    return drawn_panels(experiment.curves, rows, experiment.sets) if experiment.curves else []


def figure(value: float | None, is_signed: bool = False) -> str:
    """At most three digits after zeros: 0.123, 4.56, +0.030; "-" for what was not measured."""
    if value is None or math.isnan(value):
        return ABSENT
    sign = "+" if is_signed else ""
    if math.isinf(value):
        return f"{value:{sign}}"
    size = abs(value)
    if 0 < size < 0.001:
        return f"{value:{sign}.1g}"
    digits = 3 if size < 1 else 2 if size < 10 else 1 if size < 100 else 0
    return f"{value:{sign},.{digits}f}"


def _warnings(findings: Findings) -> list[str]:
    kinds = (
        ("Cells that are not there yet", findings.missing),
        ("Made with other overrides than the experiment has now", findings.stale),
        ("Left out, their arms are not of this experiment", findings.foreign),
    )
    return [_wrapped(f"{said}: {', '.join(f'`{name}`' for name in names)}.") for said, names in kinds if names]


def _criteria_table(findings: Findings) -> str:
    header = ("criterion", "threshold", "value [95%]", "each seed", "passed")
    return _table(header, [_criterion_row(each) for each in findings.criteria])


def _criterion_row(each: Judged) -> tuple[str, ...]:
    seeds = ", ".join(figure(value, each.is_signed) for value in each.per_seed.values())
    passed = "yes" if each.passed else "**no**"
    if not each.is_gated:
        passed = f"{passed if each.interval else 'not measured'} (not gated)"
    return f"{each.name}: {each.statement}", _threshold(each), _judged_value(each), seeds or ABSENT, passed


def _threshold(each: Judged) -> str:
    return f"{'≥' if each.direction == '>=' else '≤'} {each.threshold:{'+' if each.is_signed else ''}.3g}"


def _judged_value(each: Judged) -> str:
    bounds = (None, None) if each.interval is None else each.interval
    return _with_interval((each.value, *bounds), each.is_signed)


def _with_interval(found: tuple[float | None, float | None, float | None], is_signed: bool) -> str:
    value, low, high = (figure(each, is_signed) for each in found)
    return value if value == ABSENT or low == ABSENT else f"{value} [{low}, {high}]"


def _multiplicity(criteria: Sequence[Judged]) -> str:
    gated = sum(each.is_gated for each in criteria)
    return (
        f"{len(criteria)} criteria are judged at 95% each, {gated} of them gated, and nothing is corrected for their"
        " number. A positive verdict needs all gated ones, so it is not likelier for there being many; but of"
        f" {len(criteria)} intervals {0.05 * len(criteria):.2g} miss the truth on average, of those below likewise."
    )


def _control(control: Judged) -> str:
    said = "passed" if control.passed else "**not passed**"
    found = f"{_judged_value(control)}, threshold {_threshold(control)}: {said}."
    return f"Positive control, {control.name}: {control.statement} {found}"


def _smallest(experiment: Experiment, findings: Findings) -> str:
    main = findings.criteria[0]
    seen = f"it was {figure(main.half_width)}" if main.half_width is not None else "it was not measured"
    blind = [each.name for each in findings.criteria if each.is_blind]
    said = f" Too wide to decide: {', '.join(blind)}." if blind else ""
    return (
        "The smallest effect that the design can see is the half-width of the main criterion's interval:"
        f" {figure(main.smallest_effect)} at most was declared, {seen}.{said}"
    )


def _arms_table(columns: Sequence[Column], findings: Findings) -> str:
    header = ("arm", "seeds", *(column.title for column in columns))
    return _table(header, [_arm_row(name, arm, columns) for name, arm in findings.arms.items()])


def _arm_row(name: str, arm: ArmFindings, columns: Sequence[Column]) -> tuple[str, ...]:
    figures = (_with_interval(arm.figures[column.title], column.is_signed) for column in columns)
    return f"`{name}`", str(len(arm.rows)), *figures


def _arm_notes(experiment: Experiment) -> list[str]:
    items = [_item(f"`{name}`: {arm.note}") for name, arm in experiment.arms.items() if arm.note]
    return ["\n".join(items)] if items else []


def _curves(name: str, curves: Curves, seen: str) -> list[str]:
    caption = f"{curves.caption} {seen}".strip()
    return [f"![{curves.title}]({name}-curves.png)", *([_wrapped(caption)] if caption else [])]


def _origin(experiment: Experiment, findings: Findings) -> list[str]:
    rows = [row for arm in findings.arms.values() for row in arm.rows]
    seconds = sum(row.seconds for row in rows)
    facts = (
        f"Commit {', '.join(f'`{each}`' for each in _commits(findings)) or ABSENT} (with a + where files had changed)."
        f" {len(rows)} cells, {len(findings.seeds)} seeds compared ({', '.join(map(str, findings.seeds)) or 'none'}),"
        f" {seconds:,.0f} seconds in all. Base configuration: `{experiment.base_config}`."
        f" Machine: {'; '.join(sorted({row.fingerprint for row in rows})) or ABSENT}."
    )
    name = experiment.name
    commands = {
        f"run {name}": "what is not done yet, then this page",
        **({f"run {name} --full": "also what decides nothing"} if _has_more(experiment) else {}),
        f"run {name} --arm {experiment.gated[0]} --seed {experiment.seeds[0]}": "one cell",
        f"report {name}": "this page, its tables and its pictures, from the rows",
        f"report {name} --json": "its figures",
    }
    longest = max(map(len, commands))
    lines = [f"$ python -m selfplay.lab {command:{longest}}  # {what}" for command, what in commands.items()]
    return [_wrapped(facts), "\n".join(["```console", *lines, "```"]), _overrides_list(findings)]


def _has_more(experiment: Experiment) -> bool:
    return experiment.second_family is not None or len(experiment.gated) < len(experiment.arms)


def _overrides_list(findings: Findings) -> str:
    """For each arm, the settings that its cells were made with."""
    items = []
    for name, arm in findings.arms.items():
        used = dict.fromkeys(row.config for row in arm.rows)
        said = "; or ".join(" ".join(f"`{each}`" for each in config) for config in used)
        steps = "/".join(str(each) for each in sorted({row.steps for row in arm.rows}))
        seconds = sum(row.seconds for row in arm.rows) / len(arm.rows)
        items.append(_item(f"`{name}`, {steps} steps, {seconds:,.0f} seconds a cell: {said}"))
    return "\n".join(items)


def _commits(findings: Findings) -> list[str]:
    return sorted({row.commit for arm in findings.arms.values() for row in arm.rows})


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def _item(text: str) -> str:
    return _wrapped(text, "- ")


def _wrapped(text: str, lead: str = "") -> str:
    return textwrap.fill(
        text, WIDTH, initial_indent=lead, subsequent_indent=" " * len(lead), break_long_words=False,
        break_on_hyphens=False,
    )  # fmt: skip


def _plain(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else rounded(value)
