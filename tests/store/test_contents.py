"""What stands in a run's database for whoever opens it with plain SQL, and how much room it takes (cases 19 and 20)."""

import json
import sqlite3
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest
from few_problems import FewProblems
from store_samples import SEED, create, new_problem, step_commit, wave

from curriculum.holdout import HeldOut
from curriculum.tracking.difficulty import Tracker
from selfplay import loop
from selfplay.arguments import Arguments
from selfplay.config.files import load
from selfplay.config.shown import shown_settings
from selfplay.view.progress import Progress
from selfplay.view.queries import tracker_of
from store.records import Evaluation, PassRate, ProblemState, Standing
from store.store import Store

TINY = Path(__file__).resolve().parents[2] / "configs" / "tiny.yaml"
SMALL = [
    "run.name=x", "run.threads=1", "run.steps=4", "run.checkpoint_every=9", "domain=few_problems:FewProblems",
    "solver.problems=8", "solver.group_size=8", "curriculum.min_successes=1", "evaluate.every=9", "evaluate.pass_k=2",
    "evaluate.pass_size=1",
]  # fmt: skip


def rows(path: Path, query: str) -> list[tuple[object, ...]]:
    connection = sqlite3.connect(path)
    found = connection.execute(query).fetchall()
    connection.close()
    return found


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a run of four steps."""
    directory = tmp_path_factory.mktemp("runs")
    config = load(TINY, [*SMALL, f"run.dir={directory}"])
    assert loop.run(Arguments(config, is_resume=False), Progress(shown_settings(config))) == 0
    return directory / "x" / "selfplay.db"


def test_held_out_outcomes_have_their_problems_beside_them(database: Path) -> None:
    """Case 20: members of every set, in order, once; and what each was answered, in plain SQL."""
    sets = HeldOut(FewProblems(), "selfplay-1").sets
    found = rows(database, "SELECT set_name, position, problem_id, text, canonical, answer FROM held_out ORDER BY 1, 2")
    assert found == [
        (name, i, p.problem_id, p.text, p.canonical, p.answer)
        for name in sorted(sets)
        for i, p in enumerate(sets[name])
    ]
    with Store.open_readonly(database) as store:
        digits = {(e.step, e.set_name): e.outcomes for e in store.evaluations()}
    told = rows(database, "SELECT step, set_name, position, first_right, last_right FROM v_held_out_answers")
    assert sorted(told) == sorted(
        (step, name, i, int(digit in "23"), int(digit in "13"))
        for (step, name), outcomes in digits.items()
        for i, digit in enumerate(outcomes)
    )


def test_a_problems_state_and_rate_stand_in_the_database(database: Path) -> None:
    """Case 20: as `inspect problems` folds them, each as of the last step that tried it."""
    told = {row[0]: row[1:] for row in rows(
        database,
        "SELECT problem_id, state, foretold_rate, last_step, attempts, successes, admitted_step FROM v_problems",
    )}  # fmt: skip
    with Store.open_readonly(database) as store:
        tracker = tracker_of(store)
        then: dict[str, float] = {}
        replayed = Tracker(tracker.settings)
        for step in store.history():
            replayed.observe(step)
            then |= {rate.problem_id: replayed.rate(rate.problem_id) for rate in step.pass_rates}
    assert told == {
        each: (
            tracker.state(each).value, then.get(each), tracker.last_step(each), *tracker.totals(each),
            tracker.admitted_step(each),
        )
        for each in tracker.problem_ids()
    }  # fmt: skip
    assert {row[0] for row in told.values()} - {"NEW"} and any(row[1] for row in told.values())


def test_what_a_rewind_left_behind_is_in_no_view(tmp_path: Path) -> None:
    """Case 20."""
    path = tmp_path / "selfplay.db"
    stood = {"p-seed": Standing(ProblemState.ACTIVE, 0.5)}
    with create(path) as store:
        store.commit_step(step_commit(1, standings=stood))
        later = {"p-seed": Standing(ProblemState.MASTERED, 0.875)}
        store.commit_step(step_commit(2, pass_rates=(PassRate("p-seed", 1, 8, 8),), standings=later))
        query = "SELECT state, foretold_rate, attempts FROM v_problems WHERE problem_id = 'p-seed'"
        assert rows(path, query) == [("MASTERED", 0.875, 15)]
        store.rewind(1)
        assert rows(path, query) == [("ACTIVE", 0.5, 7)]
        assert rows(path, "SELECT problem_id FROM v_problems ORDER BY 1") == [("p-1",), ("p-seed",)]


def test_held_out_sets_are_stored_once_and_others_are_named(tmp_path: Path) -> None:
    """Case 20, and of its kind: an answer that changes under a set is noticed."""
    with create(tmp_path / "selfplay.db") as store:
        sets = {"one": (SEED, new_problem(1)), "two": (new_problem(2),), "none": ()}
        assert store.note_held_out(sets) == [] == store.note_held_out(sets)
        assert len(rows(store.path, "SELECT * FROM held_out")) == 3
        assert store.note_held_out(sets | {"two": (new_problem(2, answer="7"),)}) == ["two"]
        assert store.note_held_out({"one": sets["one"]}) == ["two"]
        assert rows(store.path, "SELECT answer FROM held_out WHERE set_name = 'two'") == [("42",)]


def test_what_was_said_stands_once(database: Path) -> None:
    """Case 20: a consumed wave whose words are those of turns and proposals leaves no completions behind."""
    assert rows(database, "SELECT count(*) FROM completions") == [(0,)]
    assert rows(database, "SELECT count(*) > 0 FROM turns WHERE text <> ''") == [(1,)]
    assert rows(database, "SELECT count(*) > 0 FROM waves WHERE state = 'CONSUMED'") == [(1,)]


def test_words_that_stand_nowhere_else_are_kept(tmp_path: Path) -> None:
    """Case 20: a model judge's verdicts, for one."""
    with create(tmp_path / "selfplay.db") as store:
        said = wave(1, "verdict/0")
        other = replace(said, completions=tuple(replace(each, text=f"yes {each.text}") for each in said.completions))
        store.commit_wave(other)
        store.commit_step(step_commit(1))
        assert rows(store.path, "SELECT text, ids FROM completions") == [(c.text, None) for c in other.completions]


def test_steps_and_evaluations_have_their_time_of_day(database: Path) -> None:
    """Case 19: ISO 8601 in UTC, in the database and in metrics.jsonl, and in no digest."""
    lines = [json.loads(line) for line in (database.parent / "metrics.jsonl").read_text().splitlines()]
    times = [datetime.fromisoformat(line["time"]) for line in lines]
    assert len(times) == 8 and times == sorted(times) and all(time.utcoffset() is not None for time in times)
    with Store.open_readonly(database) as store:
        stored = {row.committed_at for row in store.steps()[1:]} | {e.committed_at for e in store.evaluations()}
    assert stored == {line["time"] for line in lines}


def test_the_time_of_day_is_no_part_of_what_a_run_is(tmp_path: Path) -> None:
    """Case 19."""
    digests = []
    for name in ("a", "b"):
        with create(tmp_path / name / "selfplay.db") as store:
            store.commit_step(step_commit(1))
            store.commit_evaluation(Evaluation(1, "add2", "full", {"acc_t1": 0.5}))
            with store._writing() as connection:
                for table in ("steps", "evaluations"):
                    connection.exec_driver_sql(f"UPDATE {table} SET committed_at = ?", (name,))
            digests.append(store.table_digest())
    assert digests[0] == digests[1]
