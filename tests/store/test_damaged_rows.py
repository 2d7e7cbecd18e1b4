"""Every column of every table, damaged in every way that SQLite can hold: noticed, or nothing that is shown is false.

What a resume reads and what `inspect` shows is compared with the undamaged run; test_hostile_runs.py and the last tests
here go through the commands themselves.
"""

import shutil
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Column, LargeBinary, Table
from store_samples import (
    create,
    disagreement,
    experience,
    foretold,
    new_problem,
    pick,
    probe,
    rescue,
    skill_picks,
    skill_rounds,
    step_commit,
    wave,
)

from curriculum.tracking import snapshot
from selfplay.config import files as configuration
from selfplay.config.keys import Config
from selfplay.config.resuming import stored_config
from selfplay.inspect import main
from selfplay.machine.errors import DATA, Refused
from selfplay.view import queries, trees
from selfplay.view.alarms import alarms
from selfplay.view.probes import probes
from selfplay.view.queries import ProblemFilter
from store.errors import StoreError
from store.records import CheckpointRow, Evaluation
from store.schema import metadata
from store.store import Store

TABLES = [table for table in metadata.sorted_tables]
QUICK = {"problems", "pass_rates", "evaluations"}  # that a default run of the tests damages; `-m slow` has the others
METRICS = {"acc_t1": 0.5, "n": 2.0}
HELD_OUT = {"add2": (new_problem(7), new_problem(8))}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with rows in every table: two live steps, one that was left behind, and a wave of the next."""
    path = tmp_path_factory.mktemp("whole") / "selfplay.db"
    text = configuration.to_yaml(Config())
    with create(path, config_yaml=text, config_digest=configuration.digest(Config())) as store:
        store.add_incarnation("a machine", "started")
        store.note_held_out(HELD_OUT)
        store.commit_evaluation(Evaluation(0, "add2", "full", METRICS, "20"))
        for step in (1, 2):
            store.commit_wave(wave(step))
            more: dict[str, Any] = {
                "disagreements": (disagreement(step),),
                "probes": (probe(step),),
                "rescues": (rescue(step),),
            }
            more |= {"experiences": (experience(step),), "foretold": (foretold(step),)}
            store.commit_step(step_commit(step, **more, skill_rounds=skill_rounds(step), skill_picks=skill_picks(step)))
            store.commit_probe_answers(step, {probe(step).problem_id: True})
            store.commit_pick(pick(step, best=1))
        store.rewind(1)
        store.add_incarnation("another machine", "resumed")
        store.commit_step(step_commit(2, problems=(new_problem(2, text="taken over"),), weights_digest="other"))
        store.note_use(2.5, 1000)
        head = store.head()
        store.commit_checkpoint(CheckpointRow(head.step_id, 2, "checkpoints/step_000002", "sha", "other"))
        store.commit_evaluation(Evaluation(2, "add2", "interim", METRICS, "20", "1:0.7", "34/7/-/-/0"))
        store.commit_wave(wave(3))
        store.put_snapshot(*snapshot.pack(queries.tracker_of(store), store.head_digest()))
        store.checkpoint_wal()
    return path


WAYS = (
    "resume",
    "alarms",
    "probes",
    "status",
    "problems",
    "show",
    "lineage",
    "tree",
    "attempts",
    "proposals",
    "steps",
    "digest",
)


def as_resumed(path: Path) -> Any:
    """Everything that a resume takes from the store before it works (selfplay/run/opening.py,
    selfplay/run/recovery.py)."""
    with Store.open(path) as store:
        run, head = store.run(), store.head()
        return (
            run, head, store.incarnations(), store.steps(include_abandoned=True), store.checkpoints(),
            store.note_held_out(HELD_OUT), list(store.history()), store.evaluations(),
            store.pending_waves(head.step + 1), store.alarms(), store.probes(), store.probe_answers(), store.picks(),
            store.skill_rounds(), store.skill_picks(), store.rescues(),
        )  # fmt: skip


LOOKS: dict[str, Callable[[Store], Any]] = {
    "probes": probes,
    "alarms": alarms,
    "status": queries.status,
    "problems": lambda store: queries.problems(store, ProblemFilter()),
    "show": lambda store: queries.show(store, "p-1"),
    "lineage": lambda store: trees.graph_json(queries.lineage(store)),
    "tree": lambda store: trees.graph_json(queries.tree(store, "p-1", None)[0]),
    "attempts": lambda store: trees.graph_json(queries.tree(store, "p-1", None, True)[0]),
    "proposals": lambda store: queries.proposals(store, None, None, 30),
    "steps": queries.steps,
    "digest": lambda store: queries.digests(store, True),
}


def seen(path: Path, names: Iterable[str] = WAYS) -> Iterator[tuple[str, Any]]:
    """What each command shows of a run; None where it ended in one line that says what is damaged."""
    if "resume" in names:
        yield "resume", _or_none(lambda: as_resumed(path))
    store = _or_none(lambda: Store.open_readonly(path))
    for name, look in LOOKS.items():
        if name not in names:
            continue
        yield name, None if store is None else _or_none(lambda look=look: look(store))  # type: ignore[misc]
    if store is not None:
        store.close()


def _or_none(way: Callable[[], Any]) -> Any:
    try:
        return way()
    except StoreError as error:
        assert "damaged" in str(error) and "\n" not in str(error), error
        return None


def damages(table: Table, column: "Column[Any]") -> Iterator[str]:
    """SQL for what may stand there in place of what was stored."""
    name = column.name
    if isinstance(column.type, LargeBinary):
        yield f"zeroblob(length({name}))"
        yield "x''"
    elif column.type.python_type is str:
        yield f"coalesce({name}, '') || 'x'"  # no enum has it, no JSON ends with it, no id is it
        yield "'{\"broken\": '"
    else:
        yield f"coalesce({name}, 0) + 1"
        yield f"-1 - coalesce({name}, 0)"
    if column.nullable:
        yield f"CASE WHEN {name} IS NULL THEN {'zeroblob(8)' if isinstance(column.type, LargeBinary) else 1} END"


@pytest.fixture(scope="module")
def shown(whole: Path) -> dict[str, Any]:
    found = dict(seen(whole))
    assert None not in found.values()
    return found


@pytest.mark.parametrize(
    "table",
    [pytest.param(each, marks=() if each.name in QUICK else pytest.mark.slow, id=each.name) for each in TABLES],
)
def test_a_damaged_row_is_noticed_or_harmless(whole: Path, shown: dict[str, Any], tmp_path: Path, table: Table) -> None:
    """Cases 34 and 37, generated: every column, every row deleted, every row of another step."""
    changes = {
        f"SET {column.name} = {value}": WAYS if number == 0 else ("digest",)  # what looks are for is seen by one each
        for column in table.columns
        for number, value in enumerate(damages(table, column))
    }
    done = 0
    for change, names in (changes | {"": WAYS}).items():
        for place in ("max",) if change else ("min", "max"):
            where = f"WHERE rowid = (SELECT {place}(rowid) FROM {table.name})"
            statement = f"UPDATE {table.name} {change} {where}" if change else f"DELETE FROM {table.name} {where}"
            path = damaged(whole, tmp_path, statement)
            if path is None:
                continue
            found = dict(seen(path, names))
            silent = [name for name, value in found.items() if value is not None and value != shown[name]]
            assert silent == [], statement
            assert found["digest"] is None, f"verify does not see {statement}"
            done += 1
    assert done > len(table.columns), "few types forbid it"


def test_a_page_of_zeros_is_noticed_or_harmless(whole: Path, shown: dict[str, Any], tmp_path: Path) -> None:
    """Case 34: 3 of 14 resumed with exit 0 and left a malformed database."""
    page, path, noticed = 4096, tmp_path / "selfplay.db", 0
    pages = whole.stat().st_size // page
    for number in range(pages):
        shutil.copyfile(whole, path)
        with path.open("r+b") as file:
            file.seek(number * page)
            file.write(bytes(page))
        try:
            assert as_resumed(path) == shown["resume"], number
        except StoreError as error:
            assert ("\n" not in str(error) and "damaged" in str(error)) or number == 0, error
            noticed += 1
    assert noticed > 0.9 * pages, "few hold nothing"


@pytest.mark.parametrize(("old", "new"), [("learning_rate: 1.0e-05", "learning_rate: 1.0e-04"), ("seed: 0", "seed: 1")])
def test_a_changed_configuration_is_noticed_where_nothing_is_sealed(tmp_path: Path, old: str, new: str) -> None:
    """Case 34: learning rate, temperature and seed; a database of before the seals keeps the configuration's digest."""
    text, digest = configuration.to_yaml(Config()), configuration.digest(Config())
    assert old in text
    create(tmp_path / "x" / "selfplay.db", config_yaml=text.replace(old, new), config_digest=digest).close()
    with pytest.raises(Refused, match="is not what was stored"):
        stored_config(tmp_path / "x", ())


def test_verify_names_every_place_and_looking_ends_in_one_line(
    whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Cases 34 and 37, through the commands."""
    damaged(whole, tmp_path, "UPDATE turns SET outcome = 'MAYBE' WHERE problem_id = 'p-1' AND turn = 1")
    for arguments, code in ((["verify"], DATA), (["show"], DATA), (["problems"], 0)):
        with pytest.raises(SystemExit) as end:
            main([*arguments, str(tmp_path), *(["p-1"] if arguments == ["show"] else [])])
        said = capsys.readouterr()
        assert end.value.code == code and said.err.count("\n") == (arguments == ["show"])
        assert (
            "the attempts or searches of step 1" in {"verify": said.out, "show": said.err}.get(arguments[0], "")
            or not code
        )


def damaged(whole: Path, folder: Path, statement: str) -> Path | None:
    """A copy of the run with `statement` done to it; None where the table's type forbids it."""
    path = folder / "selfplay.db"
    shutil.copyfile(whole, path)
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA ignore_check_constraints=ON")
    try:
        before = connection.total_changes
        connection.execute(statement)
        assert connection.total_changes == before + 1, statement
        connection.commit()
    except sqlite3.IntegrityError:
        return None
    finally:
        connection.close()
    return path
