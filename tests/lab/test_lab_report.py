"""From rows of finished cells to a page: rows, criteria, each branch of the verdict, Markdown and JSON."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from lab_rows import SETS, made_row, made_rows, reporting

from selfplay.lab.cells import ROWS
from selfplay.lab.experiments.experiment import Arm, Column, Experiment
from selfplay.lab.experiments.registry import EXPERIMENTS
from selfplay.lab.pages.findings import find
from selfplay.lab.pages.page import (
    curve_panels,
    figure,
    page_text,
    read_seen,
    reliability_panels,
    report_json,
    write_page,
)
from selfplay.lab.pages.picture import series_lines
from selfplay.lab.rows import RowError, read_row, read_rows, row_path, write_row
from selfplay.lab.verdict.criteria import Criterion, Direction, Judged, explained, judge
from selfplay.lab.verdict.measures import (
    acc_t1,
    between,
    calibrated,
    delta,
    from_metrics,
    of,
)
from selfplay.lab.verdict.views import cell_views

PNG = b"\x89PNG\r\n"


def criterion(threshold: float = 0.03, direction: Direction = ">=", arm: str = "full") -> Criterion:
    return Criterion(
        "gain", "Delta is above base's.", threshold, direction, between(arm, "base", delta), is_signed=True
    )


def fake(criteria: Sequence[Criterion] = (criterion(),), arms: Mapping[str, Arm] | None = None) -> Experiment:
    return Experiment(
        name="fake",
        title="Second looks | mended",
        claim="A model that is paid for mending mends.",
        base_config="configs/tiny.yaml",
        arms=arms
        or {
            "base": Arm(("solver.bonus=0.0",)),
            "full": Arm(("solver.bonus=0.5",), note="The method."),
            "told": Arm(("solver.bonus=0.9",), note="It is told which tries were wrong."),
            "extra": Arm(is_gated=False),
        },
        criteria=tuple(criteria),
        control=replace(criterion(0.1, arm="told"), name="told", statement="The arm that is told gains."),
        smallest_effect=0.03,
        columns=(Column("Acc@t1", acc_t1), Column("Delta", delta, is_signed=True), Column("tokens", from_metrics("n"))),
        notes=("Synthetic rows.",),
        plotted="Delta",
    )


def found(value: float, low: float, high: float, passed: bool, seeds: int = 3, threshold: float = 0.03) -> Judged:
    per_seed = dict.fromkeys(range(seeds), value)
    return Judged("it", "It.", threshold, ">=", value, (low, high), per_seed, passed, smallest_effect=0.02)


# rows


def test_a_row_comes_back_as_it_was_but_for_rounding(tmp_path: Path) -> None:
    row = reporting(made_row("full", 0, 1 / 3), np.random.default_rng(0))
    path = write_row(tmp_path / "fake", row)
    assert path == row_path(tmp_path / "fake", "full", 0) == tmp_path / "fake" / "full-seed0.json"
    back = read_row(path)
    assert back.series["easy"]["fix_own"] == [(0, 0.0), (200, 0.333333)]
    assert replace(back, series=row.series) == row
    text = path.read_text()
    assert text.endswith("}\n") and list(json.loads(text)) == sorted(json.loads(text))
    assert write_row(tmp_path / "fake", back).read_text() == text
    assert [each.name for each in (tmp_path / "fake").iterdir()] == ["full-seed0.json"]


def test_rows_are_read_by_arm_and_seed(tmp_path: Path) -> None:
    for row in reversed(made_rows(0.3, seeds=(0, 2, 10))):
        write_row(tmp_path, row)
    (tmp_path / ".base-seed0.json.17").write_text("half a ro")
    assert [(row.arm, row.seed) for row in read_rows(tmp_path)] == [
        (a, s) for a in ("base", "full", "told") for s in (0, 2, 10)
    ]
    assert read_rows(tmp_path / "none") == []


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        (("seed",), None, "seed: missing"),
        (("seed",), True, "seed: not a whole number"),
        (("steps",), 1.5, "steps: not a whole number"),
        (("config",), ["a=1", 2], "config.1: not a string"),
        (("more",), 1, "more: unknown"),
        (("end", "hard", "n"), "300", "end.hard.n: not a finite number"),
        (("end", "hard", "n"), math.inf, "end.hard.n: not a finite number"),
        (("start",), {}, "start: sets"),
        (("outcomes", "easy", "end"), "0129", "outcomes.easy.end: needs digits"),
        (("outcomes", "easy", "end"), "012", "outcomes.easy: 300 problems at the start, 3 at the end"),
        (("outcomes", "easy", "end"), None, "outcomes.easy: needs start and end"),
        (("reports", "easy"), {"end": "1:0.5"}, "reports.easy.end: 1 reports on 300 problems"),
        (("reports", "easy"), {"end": "1:70"}, "reports.easy.end: '1:70' is no report"),
        (("reports", "easy"), {"start": ""}, "reports.easy: needs end"),
        (("reports", "odd"), {"end": "1:1"}, "reports.odd: no such set"),
        (("searches",), "34/7/-/-/0", "searches: not an object"),
        (("searches", "easy"), {"end": "34/7/-/-/0"}, "searches.easy.end: 1 searches on 300 problems"),
        (("searches", "easy"), {"end": "34/7/-/0"}, "searches.easy.end: '34/7/-/0' is no search"),
        (("searches", "easy"), {"end": 34}, "searches.easy.end: not a string"),
        (("searches", "easy"), {"start": "34/7/-/-/0"}, "searches.easy: needs end"),
        (("searches", "odd"), {"end": "34/7/-/-/0"}, "searches.odd: no such set"),
        (("samples",), {"easy": {"end": "3/256"}}, "samples.easy.end: 1 samples on 300 problems"),
        (("samples",), {"easy": {"end": "3/2"}}, "samples.easy.end: '3/2' is no count"),
        (("samples",), {"easy": {"end": "1/2 1/4"}}, "samples.easy.end: problems have different numbers of samples"),
        (("samples",), {"odd": {"end": "3/256"}}, "samples.odd: no such set"),
        (("series", "easy", "fix_own"), [[0]], "series.easy.fix_own.0: needs [step, value]"),
    ],
)
def test_a_damaged_row_names_file_and_key(tmp_path: Path, key: tuple[str, ...], value: object, said: str) -> None:
    raw = json.loads(made_row("full", 0, 0.3).to_json())
    inner = raw
    for name in key[:-1]:
        inner = inner[name]
    inner[key[-1]] = value
    if value is None:
        del inner[key[-1]]
    path = row_path(tmp_path, "full", 0)
    path.write_text(json.dumps(raw))
    with pytest.raises(ValueError) as caught:
        read_rows(tmp_path)
    assert str(path) in str(caught.value) and said in str(caught.value)


def test_what_is_no_row_at_all_is_named_too(tmp_path: Path) -> None:
    path = row_path(tmp_path, "full", 1)
    for content in (b"{", b"\xff", b"[]", made_row("full", 0, 0.3).to_json().encode()):
        path.write_bytes(content)
        with pytest.raises(RowError, match=r"full-seed1\.json"):
            read_row(path)


def test_a_number_that_is_not_finite_is_not_written(tmp_path: Path) -> None:
    row = made_row("full", 0, 0.3)
    with pytest.raises(RowError, match=r"full-seed0\.end\.easy\.n: nan"):
        write_row(tmp_path, replace(row, end={"easy": {"n": math.nan}}))
    assert list(tmp_path.iterdir()) == []


# criteria and the verdict


@pytest.mark.parametrize(
    ("direction", "threshold", "bounds", "seeds", "passed"),
    [
        (">=", 0.03, (0.03, 0.2), (0.1, 0.1, 0.001), True),
        (">=", 0.03, (0.03, 0.2), (0.1, 0.1, 0.0), False),
        (">=", 0.03, (0.029, 0.2), (0.1, 0.1, 0.1), False),
        (">=", -0.01, (-0.01, 0.2), (-0.01, 0.0, 0.1), True),
        (">=", -0.01, (-0.01, 0.2), (-0.02, 0.0, 0.1), False),
        ("<=", 0.10, (0.02, 0.10), (0.09, 0.10, 0.01), True),
        ("<=", 0.10, (0.02, 0.11), (0.09, 0.10, 0.01), False),
        ("<=", 0.10, (0.02, 0.10), (0.12, 0.05, 0.01), False),
        ("<=", -0.05, (-0.3, -0.05), (-0.01, -0.2, -0.2), True),
        ("<=", 0.0, (-0.3, 0.0), (0.01, -0.2, -0.2), False),
    ],
)
def test_a_criterion_by_its_bound_and_its_seeds(
    direction: Direction, threshold: float, bounds: tuple[float, float], seeds: tuple[float, ...], passed: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr("selfplay.lab.verdict.criteria.interval", lambda *_: (sum(seeds) / 3, *bounds))
    cells = cell_views([made_row("full", seed, 0.3, n=2) for seed in range(3)])
    case = Criterion("it", "It.", threshold, direction, lambda cells: np.array(seeds[min(cells["full"])]))
    judged = judge(case, cells, 0.02)
    assert judged.passed == passed and judged.per_seed == dict(enumerate(seeds))
    alone = judge(replace(case, every_seed=False), cells, 0.02)
    assert alone.passed == (bounds[0] >= threshold if direction == ">=" else bounds[1] <= threshold)


def test_each_branch_of_the_verdict() -> None:
    good, control = found(0.1, 0.05, 0.15, passed=True), found(0.5, 0.4, 0.6, passed=True)
    bad = found(0.0, -0.01, 0.01, passed=False)
    narrow = found(0.03, 0.02, 0.04, passed=False)
    blind = found(0.03, -0.05, 0.11, passed=False)
    unmeasured = replace(bad, value=None, interval=None, per_seed={})
    assert explained([good, good], control)[0] == "positive"
    assert explained([good, bad], control)[0] == "negative"
    assert explained([narrow], control)[0] == "negative"
    assert explained([good, blind], control)[0] == "inconclusive"
    assert explained([good], replace(control, passed=False))[0] == "inconclusive"
    assert explained([good], replace(control, interval=None))[0] == "inconclusive"
    assert explained([found(0.1, 0.05, 0.15, passed=True, seeds=2)], control)[0] == "inconclusive"
    assert explained([good, unmeasured], control)[0] == "inconclusive"
    assert explained([good, replace(bad, is_gated=False)], control)[0] == "positive"
    assert not replace(blind, passed=True).is_blind and not found(0.0, -0.1, 0.02, passed=False).is_blind
    assert "could not have seen it: it" in explained([blind], control)[1]


def test_a_big_effect_is_positive_and_none_is_negative() -> None:
    positive = find(fake(), made_rows(0.5))
    assert positive.verdict == "positive" and positive.criteria[0].interval is not None
    assert positive.criteria[0].interval[0] > 0.1
    negative = find(fake(), made_rows(0.0))
    assert negative.verdict == "negative" and negative.control.passed


def test_few_problems_are_inconclusive_and_so_is_a_control_that_fails() -> None:
    small = find(fake([criterion(0.1)]), made_rows(0.25, n=8))
    assert small.control.passed and small.criteria[0].is_blind
    assert small.verdict == "inconclusive"
    blind = replace(fake(), control=replace(criterion(0.9, arm="told"), name="told"))
    assert find(blind, made_rows(0.5)).verdict == "inconclusive"


def test_only_seeds_that_every_gated_arm_has_are_compared() -> None:
    rows = [row for row in made_rows(0.5, seeds=(0, 1, 2, 7)) if (row.arm, row.seed) not in (("told", 1), ("full", 7))]
    result = find(fake(), [*rows, made_row("gone", 0, 0.1)])
    assert result.seeds == (0, 2) and result.missing == ("told-seed1",) and result.foreign == ("gone-seed0",)
    assert result.verdict == "inconclusive" and "2 of at least 3 seeds" in result.reason
    nothing = find(fake(), [row for row in rows if row.arm != "told"])
    assert nothing.seeds == () and nothing.criteria[0].value is None and nothing.verdict == "inconclusive"
    assert set(nothing.arms) == {"base", "full"}


def test_a_criterion_on_an_arm_that_is_not_gated_is_an_error() -> None:
    with pytest.raises(ValueError, match="criterion gain needs arm 'extra'"):
        find(fake([criterion(arm="extra")]), made_rows(0.5))


def test_a_criterion_that_is_not_gated_waits_for_the_arms_of_full() -> None:
    waiting = replace(criterion(arm="extra"), name="more", is_gated=False)
    experiment = fake([criterion(), waiting])
    absent = find(experiment, made_rows(0.5))
    assert absent.criteria[1].value is None and "not measured (not gated)" in page_text(experiment, absent)
    there = find(experiment, [*made_rows(0.5), *(made_row("extra", seed, 0.5) for seed in (0, 1, 2))])
    assert there.criteria[1].value == pytest.approx(there.criteria[0].value, abs=0.05)
    assert absent.verdict == there.verdict


def test_a_criterion_on_what_no_cell_has_is_not_measured() -> None:
    absent = replace(criterion(), name="ece", measure=of("full", calibrated("ece")))
    result = find(fake([criterion(), absent]), made_rows(0.5))
    assert result.verdict == "inconclusive" and result.reason == "not measured: ece."


def test_an_experiment_must_fit_together() -> None:
    experiment = fake()
    for changes in ({"criteria": ()}, {"columns": ()}, {"plotted": "speed"}, {"series_arms": ("gone",)}):
        with pytest.raises(ValueError, match="fake"):
            replace(experiment, **changes)
    with pytest.raises(ValueError, match="columns need titles of their own"):
        replace(experiment, columns=experiment.columns * 2)


# the page and the JSON


def test_the_page(tmp_path: Path) -> None:
    rows = made_rows(0.5)
    path = write_page(fake(), rows, tmp_path)
    text = path.read_text()
    assert path == tmp_path / "fake.md" and text.startswith("# Second looks | mended\n\nClaim: A model")
    assert "**Verdict: positive.** Every criterion passes" in text and "Synthetic rows." in text
    assert "| criterion | threshold | value [95%] | each seed | passed |\n| --- | --- | --- | --- | --- |" in text
    line = next(
        each for each in text.splitlines() if each.startswith("| gain: Delta is above base's. | ≥ +0.03 | +0.2")
    )
    assert line.endswith("| yes |") and line.count("+0.") == 7
    assert "| arm | seeds | Acc@t1 | Delta | tokens |" in text and "| `told` | 3 | 0.6" in text
    assert "Positive control, told: The arm that is told gains. +0.3" in text and "threshold ≥ +0.1: passed." in text
    assert "0.030 at most was declared, it was 0.0" in text.replace("\n", " ") and "beside its interval" not in text
    assert "- `full`: The method." in text and "](fake.png)" in text and "reliability" not in text
    assert "Commit `abc1234`" in text and "9 cells, 3 seeds compared (0, 1, 2), 734 seconds in all" in text
    assert "$ python -m selfplay.lab run fake " in text and "--arm base --seed 0" in text
    assert "- `full`, 200 steps, 82 seconds a cell: `configs/tiny.yaml@12345678` `solver.bonus=0.5`" in text
    assert "other overrides" not in text and "not there yet" not in text
    prose = [each for each in text.splitlines() if not each.startswith("|")]
    assert max(map(len, prose)) <= 120
    assert (tmp_path / "fake.png").read_bytes().startswith(PNG) and len(list(tmp_path.iterdir())) == 2
    before = {each.name: each.read_bytes() for each in tmp_path.iterdir()}
    write_page(fake(), rows[::-1], tmp_path)
    assert {each.name: each.read_bytes() for each in tmp_path.iterdir()} == before


def test_the_page_says_how_many_criteria_are_judged_and_what_one_seed_can_tell(tmp_path: Path) -> None:
    """Case 9: nothing is corrected for their number; one seed has intervals over problems alone."""
    text = write_page(fake([criterion(), replace(criterion(), name="more", is_gated=False)]), made_rows(0.5), tmp_path)
    said = text.read_text().replace("\n", " ")
    assert "2 criteria are judged at 95% each, 1 of them gated" in said and "of 2 intervals 0.1 miss" in said
    assert "There is one seed" not in said
    one = page_text(fake(), find(fake(), made_rows(0.5, seeds=(4,))))
    assert "There is one seed: intervals are over problems alone" in one and "**Verdict: inconclusive.**" in one


def test_a_control_that_only_the_range_of_seeds_supports_does_not_pass() -> None:
    """Case 9: post-completion's control was +0.073 [0.034, 0.149] by its three values, and is [-0.089, +0.236]."""
    rows = read_rows(Path(__file__).parents[2] / "docs" / "lab" / "post-completion")
    result = find(EXPERIMENTS["post-completion"], [row for row in rows if row.arm != "light"])
    assert result.verdict == "inconclusive" and not result.control.passed
    assert result.control.interval == pytest.approx((-0.089, 0.236), abs=1e-3)


def test_the_page_of_an_unfinished_experiment_says_so(tmp_path: Path) -> None:
    rows = [*made_rows(0.3)[:5], made_row("gone", 0, 0.1)]
    text = write_page(fake(), rows, tmp_path).read_text()
    assert "**Verdict: inconclusive.** Not measured: gain, told." in text
    assert "not there yet: `full-seed2`, `told-seed0`, `told-seed1`, `told-seed2`." in text
    assert "now: `full-seed0`, `full-seed1`." in text and "experiment: `gone-seed0`." in text
    assert "| ≥ +0.03 | - | - | **no** |" in text and "it was not measured" in text
    assert "**Verdict: inconclusive.**" in write_page(fake(), [], tmp_path).read_text()


def test_reports_bring_a_reliability_picture(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    experiment = replace(fake(), columns=(Column("ECE", calibrated("ece")),), plotted="", series=())
    text = write_page(experiment, [reporting(row, rng) for row in made_rows(0.5)], tmp_path).read_text()
    assert "](fake-reliability.png)" in text and "| `base` | 3 | 0.0" in text
    assert (tmp_path / "fake-reliability.png").read_bytes().startswith(PNG)


def test_series_are_means_over_seeds_and_sets_where_all_have_a_step() -> None:
    one, other = made_row("full", 0, 0.2), made_row("full", 1, 0.4)
    longer = {
        name: dict(by_metric) | {"fix_own": [(0, 0.5), (0, 0.0), (100, 1.0), (200, 0.4)]}
        for name, by_metric in other.series.items()
    }
    experiment = replace(fake(), series_arms=("full", "told"))
    lines = series_lines(experiment, find(experiment, [one, replace(other, series=longer)]))
    assert list(lines) == [("full", "fix_own"), ("full", "fix_start")]
    assert lines["full", "fix_own"] == [(0, 0.0), (200, pytest.approx(0.3))]


def test_the_json_has_these_keys_and_no_others() -> None:
    rows = made_rows(0.5)
    rows[0] = replace(rows[0], end={name: {"change_rate": 0.5} for name in SETS})
    said = report_json(fake(), rows)
    assert list(said) == ["name", "verdict", "commit", "seeds", "criteria", "arms"]
    assert (said["name"], said["verdict"], said["commit"], said["seeds"]) == ("fake", "positive", "abc1234", [0, 1, 2])
    (only,) = said["criteria"]
    assert list(only) == ["name", "threshold", "value", "interval", "passed"]
    assert only["name"] == "gain" and only["threshold"] == 0.03 and only["passed"] is True
    assert only["interval"][0] < only["value"] < only["interval"][1]
    assert set(said["arms"]) == {"base", "full", "told"} and set(said["arms"]["full"]) == {"0", "1", "2"}
    assert set(said["arms"]["full"]["2"]) == {"Acc@t1", "Delta", "tokens"}
    assert said["arms"]["base"]["0"]["tokens"] is None and said["arms"]["base"]["1"]["tokens"] == 300.0
    assert json.loads(json.dumps(said, allow_nan=False)) == said
    empty = report_json(fake(), [])
    assert empty["criteria"][0]["interval"] == [None, None] and empty["arms"] == {} and empty["seeds"] == []


@pytest.mark.parametrize(
    ("value", "is_signed", "said"),
    [
        (0.12345, False, "0.123"), (0.03, True, "+0.030"), (-0.5, False, "-0.500"), (4.567, True, "+4.57"),
        (81.53, False, "81.5"), (12345.6, False, "12,346"), (0.0, True, "+0.000"), (0.00042, False, "0.0004"),
        (math.nan, True, "-"), (None, True, "-"), (math.inf, False, "inf"),
    ],
)  # fmt: skip
def test_figures_are_short(value: float | None, is_signed: bool, said: str) -> None:
    assert figure(value, is_signed) == said


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_the_pages_in_the_repository_are_what_their_rows_make(name: str) -> None:
    """What was seen stands in a file of its own, and the page has it word for word."""
    experiment = EXPERIMENTS[name]
    findings = find(experiment, read_rows(ROWS / name))
    has_reliability = bool(reliability_panels(findings, experiment.sets))
    has_curves = bool(curve_panels(experiment, findings))
    seen = read_seen(name, ROWS)
    assert seen.paragraphs
    assert page_text(experiment, findings, seen, has_reliability, has_curves) == (ROWS / f"{name}.md").read_text()
