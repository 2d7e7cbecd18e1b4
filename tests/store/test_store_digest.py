"""Two runs that said and learned the same have the same digest, and no others."""

import shutil
import sqlite3
from pathlib import Path

import pytest
from store_samples import (
    create,
    disagreement,
    experience,
    foretold,
    pick,
    probe,
    rescue,
    skill_picks,
    skill_rounds,
    step_commit,
    wave,
)

from store.digest import CONTENT_TABLES, EXCLUDED, is_measured
from store.records import Evaluation
from store.store import Store

CONTENT = [
    (table.name, column.name)
    for table in CONTENT_TABLES
    for column in table.columns
    if column.name not in EXCLUDED.get(table.name, ())
]
LABELS = [
    ("runs", "name"),
    ("runs", "config_yaml"),
    ("runs", "config_digest"),
    ("runs", "code_digest"),
    ("steps", "journal_file"),
    ("steps", "seconds"),
    ("steps", "incarnation_id"),
]


@pytest.fixture(scope="module")
def full_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A closed database with a row in every table, and its digest."""
    path = tmp_path_factory.mktemp("digest") / "selfplay.db"
    with create(path) as store:
        store.commit_wave(wave(1))
        more = {
            "probes": (probe(1),),
            "rescues": (rescue(1),),
            "skill_rounds": skill_rounds(1),
            "skill_picks": skill_picks(1),
        }
        more |= {"disagreements": (disagreement(1),), "experiences": (experience(1),), "foretold": (foretold(1),)}
        store.commit_step(step_commit(1, **more))
        store.commit_probe_answers(1, {"p-1": True})
        store.commit_pick(pick(1, best=1))
        store.commit_wave(wave(2))
        store.commit_evaluation(Evaluation(1, "add2", "full", {"acc_t1": 0.5}, "20", "", "3/1/-/-/0"))
        return path, store.table_digest()


def _digest_after_change(full_run: tuple[Path, str], folder: Path, table: str, column: str) -> str:
    path = folder / "changed.db"
    shutil.copyfile(full_run[0], path)
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA ignore_check_constraints=ON")
    if column == "metrics":
        change = """'{"acc_t1": 0.75}'"""
    elif column == "step_id":
        change = "step_id + 50"
    elif column.endswith("step_id"):
        change = f"3 - {column}"  # the steps' ids are 1 and 2
    else:
        blob = f"zeroblob(length({column}))"
        change = f"CASE typeof({column}) WHEN 'text' THEN {column} || 'x' WHEN 'blob' THEN {blob} ELSE 9 END"
    cursor = connection.execute(
        f"UPDATE {table} SET {column} = {change} WHERE rowid = (SELECT max(rowid) FROM {table})"
    )
    assert cursor.rowcount == 1
    connection.commit()
    connection.close()
    with Store.open_readonly(path) as store:
        return store.table_digest()


@pytest.mark.parametrize(("table", "column"), CONTENT)
def test_the_digest_sees_every_content_column(
    full_run: tuple[Path, str], tmp_path: Path, table: str, column: str
) -> None:
    assert _digest_after_change(full_run, tmp_path, table, column) != full_run[1]


@pytest.mark.parametrize(("table", "column"), LABELS)
def test_the_digest_ignores_labels(full_run: tuple[Path, str], tmp_path: Path, table: str, column: str) -> None:
    assert _digest_after_change(full_run, tmp_path, table, column) == full_run[1]


def test_the_digest_ignores_clocks_and_processes_but_not_metrics(tmp_path: Path) -> None:
    digests = []
    for i, (seconds, reward) in enumerate([(1.0, 0.5), (2.0, 0.5), (1.0, 0.25)]):
        with create(tmp_path / f"{i}.db", name=f"run-{i}") as store:
            store.add_incarnation(f"machine {i}")
            metrics = {"time/rollout": seconds, "tokens_per_second": seconds, "reward/mean": reward}
            store.commit_step(step_commit(1, seconds=seconds, metrics=metrics))
            store.note_use(seconds, i)
            digests.append(store.table_digest())
    assert digests[0] == digests[1] != digests[2]
    assert not is_measured("num_timesteps") and is_measured("peak_memory_bytes")


def test_a_rewound_branch_that_plays_the_same_has_the_same_digest(tmp_path: Path) -> None:
    store = create(tmp_path / "selfplay.db")
    for step in (1, 2):
        store.commit_wave(wave(step))
        store.commit_step(step_commit(step))
    whole = store.table_digest()
    store.rewind(0)
    assert store.table_digest() != whole
    for step in (1, 2):
        store.commit_wave(wave(step))
        store.commit_step(step_commit(step))
    assert store.table_digest() == whole
    store.close()


def test_the_digest_does_not_depend_on_the_order_of_commits_of_a_kind(tmp_path: Path) -> None:
    digests = []
    for name in ("add2", "sub2"), ("sub2", "add2"):
        with create(tmp_path / f"{name[0]}.db") as store:
            for each in name:
                store.commit_evaluation(Evaluation(0, each, "full", {"acc_t1": 0.5}, "20", "", "3/1/-/-/0"))
            digests.append(store.table_digest())
    assert digests[0] == digests[1]
