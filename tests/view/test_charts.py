"""Charts are right in their numbers: worked by hand, or compared with what the curriculum itself says."""

import csv
import io
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from store_samples import SEED, create, step_commit

from curriculum.tracking.difficulty import Tracker
from curriculum.tracking.forecasts import scored
from selfplay import metrics
from selfplay.machine.run_folder import DATABASE
from selfplay.stats.intervals import beta_interval, paired_interval, wilson
from selfplay.view.charts import curriculum
from selfplay.view.charts.alarms import alarms
from selfplay.view.charts.blocks import step_blocks
from selfplay.view.charts.catalogue import COMPARED, KEYS, Wanted, chart, drawn, overlaid
from selfplay.view.charts.chart import Chart, as_rows, series
from selfplay.view.charts.csv_text import csv_text
from selfplay.view.charts.posterior import posterior
from selfplay.view.charts.source import Source
from selfplay.view.queries import NotFound
from store.overview.records import Measured
from store.overview.store import OverviewStore
from store.records import (
    Alarm,
    AlarmEvent,
    Attempt,
    Evaluation,
    Finish,
    Outcome,
    PassRate,
    ProblemState,
    Standing,
    Turn,
)

CONFIG = "curriculum:\n  band_low: 0.2\n  band_high: 0.8\nsolver:\n  group_size: 4\nrun:\n  steps: 6\n"


def made(path: Path, steps: int = 6) -> Path:
    """A run with problems of three levels whose pass rates are drawn."""
    rng = random.Random(0)
    seeds = tuple(
        replace(SEED, problem_id=f"s-{i}", canonical=f"s{i}", text=f"seed {i}", level=i % 3 + 1) for i in range(6)
    )
    with create(path, seeds=seeds, config_yaml=CONFIG) as store:
        tracker = Tracker(Source(store).settings)  # type: ignore[arg-type]
        tracker.observe(next(store.history()))
        for step in range(1, steps + 1):
            chosen = rng.sample(seeds, 4)
            rates = tuple(PassRate(each.problem_id, step - 1, 4, rng.randint(0, 4)) for each in chosen)
            standings = {
                rate.problem_id: Standing(ProblemState.ACTIVE, 0.05 + 0.225 * rate.successes) for rate in rates
            }
            figures = {metrics.LEVEL_MEAN: 2.0, metrics.MISMATCH_MEAN: 0.01 if step < 4 else 0.2}
            said = AlarmEvent.RAISED if step % 2 else AlarmEvent.OVER
            copies = (Alarm("copies", said, 1.0, 0.99, "second looks repeat the first answer", ""),)
            empty = {
                "alarms": copies if step > 4 else (),
                "problems": (),
                "proposals": (),
                "attempts": (),
                "search_nodes": (),
            }
            store.commit_step(step_commit(step, pass_rates=rates, standings=standings, metrics=figures, **empty))
    return path


@pytest.fixture
def source(tmp_path: Path):  # type: ignore[no-untyped-def]
    with OverviewStore.open_readonly(made(tmp_path / "selfplay.db")) as store:
        yield Source(store)


def test_the_frontier_is_the_curriculums_own(tmp_path: Path) -> None:
    with OverviewStore.open_readonly(made(tmp_path / "long.db", steps=40)) as store:
        source, wanted = Source(store), []
        tracker = Tracker(source.settings)
        for history in store.history():
            tracker.observe(history)
            wanted += [(history.step, tracker.frontier())] if history.step else []
        assert curriculum.frontiers(source) == wanted and len({level for _, level in wanted}) > 1


def test_pass_rates_count_every_problem_of_a_step_once(source: Source) -> None:
    drawn = curriculum.pass_rates(source)
    assert drawn.heat is not None and drawn.heat.band == (0.2, 0.8)
    totals = [sum(row[i] or 0 for row in drawn.heat.counts) for i in range(6)]
    assert totals == [4] * 6
    at_first = [row for row in source.measured if row.step == 1]
    assert (drawn.heat.counts[-1][0] or 0) == sum(row.successes == 4 for row in at_first)  # 1.0 is in the last bin
    known = curriculum.pass_rates(source, of=curriculum.KNOWN)
    assert known.heat is not None
    seen = [len({row.problem_id for row in source.measured if row.step <= step}) for step in range(1, 7)]
    assert [sum(row[i] or 0 for row in known.heat.counts) for i in range(6)] == seen


def test_states_of_all_known_problems_are_counted_untried_ones_as_new(source: Source) -> None:
    by_name = {each.name: each.y for each in curriculum.states(source).series}
    tried = [len({row.problem_id for row in source.measured if row.step <= step}) for step in range(1, 7)]
    assert list(by_name["ACTIVE"]) == tried
    assert list(by_name.get("NEW", [0] * 6)) == [6 - number for number in tried]


def test_a_problem_is_new_in_the_first_step_that_tries_it(source: Source) -> None:
    by_name = {each.name: each.y for each in curriculum.origins(source).series}
    tried = [{row.problem_id for row in source.measured if row.step == step} for step in (1, 2)]
    assert by_name["seeds, the first time"][:2] == (4, len(tried[1] - tried[0]))
    assert by_name["seeds, again"][:2] == (0, len(tried[1] & tried[0])) != (0, 0)


def test_alarms_begin_where_what_they_are_of_begins(source: Source) -> None:
    found = [(mark.x, mark.text.split()[0]) for mark in alarms(source)]
    assert found == [(4, "sampler"), (5, "second")]  # and at 6 it is over


def test_a_fall_of_held_out_accuracy_says_when_it_was_over(tmp_path: Path) -> None:
    made(tmp_path / "selfplay.db")
    with OverviewStore.open(tmp_path / "selfplay.db") as store:
        for step, name, has_fallen in ((2, "a", 1.0), (3, "b", 1.0), (4, "a", 1.0), (4, "b", 0.0), (6, "b", 1.0)):
            figures = {metrics.ACC_T1: 0.5, metrics.FIRST_TRY_CHANGE: -0.4, metrics.FIRST_TRY_ALARM: has_fallen}
            store.commit_evaluation(Evaluation(step, name, "full", figures, "2000"))
        found = [(mark.x, mark.text) for mark in alarms(Source(store)) if mark.text.startswith("first")]
    fell = "first tries at {} fell since the start (-0.40)"
    over = f"{fell.format('b')}; no longer at step 4"
    assert found == [(2, fell.format("a")), (3, over), (4, fell.format("a")), (6, fell.format("b"))]


def test_every_chart_of_the_catalogue_is_made_and_has_its_alarms(source: Source) -> None:
    for key in KEYS:
        if key == "evaluation":
            with pytest.raises(NotFound, match="no set"):
                chart(source, Wanted(key, set_name="nowhere"))
        else:
            drawn = chart(source, Wanted(key))
            assert drawn.help and drawn.title and len(drawn.marks) == (0 if key == "calibration" else 2)
            assert drawn.is_empty or as_rows(drawn)
    for wrong in (Wanted("beauty"), Wanted("curriculum", family="?"), Wanted("curriculum", of="?")):
        with pytest.raises(NotFound, match="there are"):
            chart(source, wrong)


def test_compared_runs_have_a_colour_each(source: Source, tmp_path: Path) -> None:
    with OverviewStore.open_readonly(made(tmp_path / "other.db", steps=3)) as other:
        for key in COMPARED:
            drawn = overlaid({"a": source, "b": Source(other)}, Wanted(key))
            assert {each.group for each in drawn.series} <= {0, 1}
            assert all(each.name.startswith(("a: ", "b: ")[each.group]) for each in drawn.series)


def test_evaluations_keep_the_full_one_of_two_at_a_step(tmp_path: Path) -> None:
    made(tmp_path / "selfplay.db", steps=2)
    figures = {metrics.ACC_T1: 0.5, metrics.low(metrics.ACC_T1): 0.3, metrics.high(metrics.ACC_T1): 0.7, metrics.N: 4}
    with OverviewStore.open(tmp_path / "selfplay.db") as store:
        for step, kind, value in ((0, "full", 0.25), (2, "interim", 0.0), (2, "full", 0.75)):
            store.commit_evaluation(Evaluation(step, "add1", kind, figures | {metrics.ACC_T1: value}, "2000"))
        (line,) = chart(Source(store), Wanted("evaluation", set_name="add1")).series
    assert (line.x, line.y, line.low, line.style) == ((0, 2), (0.25, 0.75), (0.3, 0.3), "solid")


def test_calibration_is_of_stated_confidence_where_there_is_any(source: Source, tmp_path: Path) -> None:
    made(tmp_path / "reports.db", steps=2)
    said = {0: "0:0.9 1:0.9 0:0.9 1:0.9 0:-", 2: "1:0.9 1:0.9 1:0.2 0:0.2"}
    with OverviewStore.open(tmp_path / "reports.db") as store:
        for step, reports in said.items():
            store.commit_evaluation(Evaluation(step, "add1", "full", {metrics.ACC_T1: 0.5}, "2000", reports))
        drawn = chart(Source(store), Wanted("calibration"))
    before, after, line = drawn.series
    assert drawn.title.startswith("Stated confidence")
    assert (before.name, before.x, before.y) == ("after step 0: ECE 0.400, 4 answers", pytest.approx((0.9,)), (0.5,))
    assert after.name == "after step 2: ECE 0.200, 4 answers"  # (2 |0.5 - 0.2| + 2 |1 - 0.9|) / 4
    assert after.x == pytest.approx((0.2, 0.9)) and after.y == (0.5, 1.0)
    assert after.low == pytest.approx(tuple(wilson(k, 2)[0] for k in (1, 2)))
    assert line.y == (0.0, 1.0) and not drawn.marks


def test_calibration_is_of_the_curriculums_forecasts_elsewhere(source: Source) -> None:
    drawn = chart(source, Wanted("calibration"))
    assert drawn.title.startswith("Pass rates that the curriculum foretold")
    groups = list(scored(source.store.history(), source.settings))
    untried, tried, _ = drawn.series
    firsts = [each for each in groups if each.is_first]
    assert untried.name.endswith(f"{len(firsts)} groups") and tried.name.endswith(f"{len(groups) - len(firsts)} groups")
    counts = [int(note.split()[0]) for note in untried.notes]
    rates = [each.right / each.tries for each in firsts]
    assert sum(n * y for n, y in zip(counts, untried.y, strict=True)) == pytest.approx(sum(rates))
    means = [each.beta.mean for each in firsts]
    assert sum(n * x for n, x in zip(counts, untried.x, strict=True)) == pytest.approx(sum(means))


def looked(path: Path, of_steps: list[list[tuple[int, int, int, int]]]) -> Path:
    """A run whose steps measured problems with so many second looks that kept, broke, fixed and missed."""
    seeds = tuple(replace(SEED, problem_id=f"s-{i}", canonical=f"s{i}", text=f"seed {i}") for i in range(3))
    with create(path, seeds=seeds, config_yaml=CONFIG) as store:
        for step, counts in enumerate(of_steps, 1):
            rates = tuple(
                PassRate(seed.problem_id, step - 1, sum(each), each[0] + each[1], *each)
                for seed, each in zip(seeds, counts, strict=False)
            )
            empty = {"problems": (), "proposals": (), "attempts": (), "search_nodes": ()}
            store.commit_step(step_commit(step, pass_rates=rates, standings={}, **empty))
    return path


def test_second_looks_in_training_are_shares_of_attempts_with_intervals_over_problems(tmp_path: Path) -> None:
    counts = [[(1, 1, 2, 0), (0, 0, 1, 3)], [(4, 0, 0, 0), (0, 1, 3, 0), (4, 0, 0, 0)]]
    with OverviewStore.open_readonly(looked(tmp_path / "selfplay.db", counts)) as store:
        drawn = chart(Source(store), Wanted("correction"))
        compared = overlaid({"a": Source(store)}, Wanted("correction"))
    mended, broken, delta = drawn.series
    assert mended.x == (1, 2) and mended.y == (3 / 8, 3 / 12) and broken.y == (1 / 8, 1 / 12)
    assert (mended.low[1], mended.high[1]) == wilson(3 / 4, 3)  # three problems, whose attempts are alike
    assert delta.y == (2 / 8, 2 / 12) and (delta.low[0], delta.high[0]) == paired_interval(0, 0, 2)[1:]
    half = 4.3027 / 6  # t of two degrees times sqrt(3 / 2 (4 + 16 + 4) / 9) / 12
    assert (delta.low[1], delta.high[1]) == pytest.approx((2 / 12 - half, 2 / 12 + half), abs=1e-4)
    (line,) = compared.series
    assert line.y == delta.y and line.name.startswith("a: ")


def test_a_long_run_has_points_of_several_steps_together(tmp_path: Path) -> None:
    counts = [[(1, 0, 1, 0)] if step % 2 else [(0, 1, 1, 0)] for step in range(1, 43)]
    with OverviewStore.open_readonly(looked(tmp_path / "selfplay.db", counts)) as store:
        drawn = chart(Source(store), Wanted("correction"))
    assert drawn.series[1].x == tuple(range(3, 43, 3)) and "3 steps together" in drawn.help
    assert drawn.series[1].y[:2] == (pytest.approx(1 / 6), pytest.approx(2 / 6))


def test_second_looks_at_a_held_out_set_are_as_its_evaluation_has_them(source: Source, tmp_path: Path) -> None:
    assert chart(source, Wanted("correction")).is_empty  # a run of first tries alone
    made(tmp_path / "looked.db", steps=2)
    figures = {metrics.ACC_T1: 0.5, metrics.ACC_T2: 0.6, metrics.N: 10, metrics.I2C: 0.2, metrics.C2I: 0.1}
    change, low, high = paired_interval(2, 1, 10)
    figures |= {metrics.DELTA: change, metrics.low(metrics.DELTA): low, metrics.high(metrics.DELTA): high}
    with OverviewStore.open(tmp_path / "looked.db") as store:
        store.commit_evaluation(Evaluation(0, "add1", "full", figures, "2000"))
        store.commit_evaluation(Evaluation(0, "bare", "full", {metrics.ACC_T1: 0.5}, "2000"))
        assert [each.title for each in drawn(Source(store), "correction")] == [
            "Second looks in training",
            "Second looks at add1",
        ]
        mended, broken, delta = chart(Source(store), Wanted("correction", set_name="add1")).series
    assert (mended.y, mended.low[0], mended.high[0]) == ((0.2,), *wilson(2, 10)) and broken.y == (0.1,)
    assert (delta.y, delta.low, delta.high) == ((change,), (low,), (high,))


def attempt(problem: str, index: int, *said: tuple[str, Outcome]) -> Attempt:
    turns = (Turn(text, text, outcome, Finish.STOP, 1, 0.0) for text, outcome in said)
    return Attempt(problem, index, tuple(turns), 0, 0)


def test_blocks_of_a_step_are_as_large_as_what_is_in_them() -> None:
    right, wrong = Outcome.CORRECT, Outcome.INCORRECT
    tried = [
        attempt("a", 0, ("5", wrong), ("6", right)),
        attempt("a", 1, ("5", wrong), ("5", wrong)),
        attempt("a", 2, ("6", right), ("6", right)),
        attempt("b", 0, ("5", wrong)),
    ]
    drawn = step_blocks(3, tried, {"a": "3 + 3", "b": "2 + 2"})
    assert drawn.blocks is not None
    b = drawn.blocks
    assert b.labels == ("step 3", "3 + 3", "5", "6", "5", "6", "6", "2 + 2", "5")
    assert b.sizes == (4, 3, 2, 1, 1, 1, 1, 1, 1) and b.values[:3] == (0.5, pytest.approx(2 / 3), 0.5)
    for i, size in enumerate(b.sizes):
        below = [b.sizes[j] for j, parent in enumerate(b.parents) if parent == i]
        assert not below or sum(below) <= size
    assert step_blocks(3, [], {}).is_empty


def test_the_band_is_as_wide_as_what_is_foretold_is_uncertain() -> None:
    for steps, tries, weight in ((1, 1, 2 + 1), (1, 8, 4), (9, 8, 4)):  # two of the family, and no more than four
        rows = [Measured(step, step, "a", tries, 0, ProblemState.ACTIVE, 0.5) for step in range(steps)]
        foretold = posterior(rows, 0.97).series[0]
        assert (foretold.low[-1], foretold.high[-1]) == beta_interval(0.5, weight)
    assert posterior([], 0.97).is_empty
    assert beta_interval(0.5, 2.0) == (pytest.approx(0.025, abs=1e-3), pytest.approx(0.975, abs=1e-3))  # uniform
    assert beta_interval(2 / 3, 3.0) == (pytest.approx(0.025**0.5, abs=1e-3), pytest.approx(0.975**0.5, abs=1e-3))


HOSTILE = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", " =1+1", "a\x1b[2Jb", 'say "x",\ny', "", "plain"]


def test_no_cell_of_text_is_a_formula_and_numbers_stay_numbers() -> None:
    text = csv_text([{"=name": each, "n": -0.5} for each in HOSTILE])
    rows = list(csv.reader(io.StringIO(text)))
    assert rows[0] == ["'=name", "n"] and len(rows) == len(HOSTILE) + 1
    for given, (cell, number) in zip(HOSTILE, rows[1:], strict=True):
        assert number == "-0.5"
        assert not cell.lstrip(" ").startswith(("=", "+", "-", "@", "\t", "\r")), given
    assert "\x1b" not in text and rows[-1][0] == "plain"


def test_rows_of_a_chart_have_its_intervals() -> None:
    line = series("a", [(1, 0.5), (2, None)], 0, low=(0.1, None), high=(0.9, None))
    rows = as_rows(Chart("k", "t", "h", "share", series=(line,)))
    assert rows == [
        {"series": "a", "step": 1, "value": 0.5, "low": 0.1, "high": 0.9},
        {"series": "a", "step": 2, "value": None, "low": None, "high": None},
    ]


def test_a_chart_alone_is_a_picture_or_its_data_without_a_browser(
    tmp_path: Path, look: Callable[..., tuple[int, str, str]]
) -> None:
    (tmp_path / "x").mkdir()
    made(tmp_path / "x" / DATABASE)
    for key in KEYS[1:]:
        code, out, err = look("plot", tmp_path / "x", "--what", key, "--csv")
        assert code == 0, err
        assert bool(out.strip()) == (
            key in ("calibration", "curriculum", "frontier", "families", "states", "origins", "gap")
        ), key
        assert not out.strip() or out.startswith("chart,")
    for key, suffix in (
        ("curriculum", "png"),
        ("states", "svg"),
        ("frontier", "pdf"),
        ("kl", "png"),
        ("calibration", "png"),
    ):
        path = tmp_path / f"{key}.{suffix}"
        code, out, err = look("plot", tmp_path / "x", "--what", key, "-o", path)
        assert code == 0 and f"wrote {path}" in out and path.stat().st_size > 1000, err
    for wrong, words in (
        (["--what", "beauty"], "there is no chart"),
        (["--csv"], "--what"),
        (["--what", "evaluation"], "evaluated"),
    ):
        code, out, err = look("plot", tmp_path / "x", *wrong)
        assert code == 2 and words in err and len(err.splitlines()) == 1


def test_families_have_their_own_share_of_right_tries(source: Source) -> None:
    (line,) = curriculum.families(source).series  # all seeds are of one family
    at_first = [row for row in source.measured if row.step == 1]
    assert line.y[0] == sum(row.successes for row in at_first) / sum(row.attempts for row in at_first)
