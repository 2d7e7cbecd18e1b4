"""The migrated schema is the code's schema, stays STRICT and CHECKed, and versions are never mixed up."""

import re
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateTable
from store_samples import create, step_commit

from store.connections import writer_engine
from store.errors import Outdated, StoreError
from store.records import Incarnation
from store.schema import SCHEMA_REVISION, metadata
from store.store import Store
from store.upgrade import alembic_config, migrate, upgrade


def _scripts() -> ScriptDirectory:
    return ScriptDirectory.from_config(alembic_config())


REVISIONS = sorted(script.revision for script in _scripts().walk_revisions())


def _described(path: Path) -> dict[str, Any]:
    """All that a database says of its tables, in an order of its own."""
    engine = writer_engine(path)
    with engine.connect() as connection:
        look = inspect(connection)
        told = {
            name: {
                "columns": [(c["name"], str(c["type"]), c["nullable"]) for c in look.get_columns(name)],
                "checks": sorted((c["name"], c["sqltext"]) for c in look.get_check_constraints(name)),
                "foreign": sorted(
                    (f["name"], f["constrained_columns"], f["referred_table"]) for f in look.get_foreign_keys(name)
                ),
                "key": look.get_pk_constraint(name),
                "indexes": sorted(
                    (i["name"], i["column_names"], i["unique"], str(i["dialect_options"].get("sqlite_where")))
                    for i in look.get_indexes(name)
                ),
            }
            for name in sorted(set(look.get_table_names()) - {"alembic_version"})
        }
    engine.dispose()
    return told


@pytest.fixture
def migrated(tmp_path: Path) -> Path:
    path = tmp_path / "migrated.db"
    engine = writer_engine(path, create=True)
    upgrade(engine)
    engine.dispose()
    return path


def test_the_newest_revision_is_the_one_the_code_names() -> None:
    assert _scripts().get_heads() == [SCHEMA_REVISION] == REVISIONS[-1:]


def test_migrations_and_metadata_agree(migrated: Path, tmp_path: Path) -> None:
    engine = writer_engine(migrated)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
    engine.dispose()
    direct = tmp_path / "direct.db"
    engine = writer_engine(direct, create=True)
    metadata.create_all(engine)
    engine.dispose()
    assert _described(migrated) == _described(direct)


@pytest.mark.parametrize("revision", REVISIONS)
def test_every_table_is_strict_and_every_constraint_named_after_each_migration(tmp_path: Path, revision: str) -> None:
    path = tmp_path / "strict.db"
    engine = writer_engine(path, create=True)
    upgrade(engine, revision)
    engine.dispose()
    connection = sqlite3.connect(path)
    query = "SELECT name, strict FROM pragma_table_list WHERE schema = 'main' AND type = 'table'"
    query += " AND name NOT LIKE 'sqlite_%'"
    strict = dict(connection.execute(query).fetchall())
    connection.close()
    assert strict.pop("alembic_version") == 0  # Alembic's own table, which has no other form
    assert len(strict) >= 12 and set(strict.values()) == {1}
    for name, told in _described(path).items():
        names = [check[0] for check in told["checks"]] + [foreign[0] for foreign in told["foreign"]]
        assert all(re.match(rf"(ck|fk)_{name}_\w+", str(each)) for each in names), name
        assert told["key"]["name"] == f"pk_{name}"


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE steps SET status = 'DEAD'",
        "UPDATE steps SET seconds = 'soon'",
        "UPDATE steps SET policy_version = -1",
        "UPDATE steps SET step = 1",  # a step without a parent
        "UPDATE problems SET origin = 'MOON'",
        "UPDATE problems SET level = 0",
        "UPDATE problems SET level = 1.5",
        "UPDATE problems SET admitted_step_id = 77",
        "UPDATE runs SET run_id = 2",
        "UPDATE steps SET incarnation_id = 77",
        "INSERT INTO incarnations VALUES (1, '', '', 0, '', '', '', -1.0, 0)",
        "INSERT INTO incarnations VALUES (1, '', '', 0, '', '', '', 1.0, -1)",
        "INSERT INTO pass_rates VALUES (1, 'p-seed', 0, 0, 3, 4, 0, 0, 0, 0, NULL, NULL, NULL)",
        "INSERT INTO attempts VALUES (1, 'p-seed', 0, 2, 1, NULL, NULL)",
        "INSERT INTO turns VALUES (1, 'p-seed', 0, 0, '', NULL, 'CORRECT', 'STOP', 1, 1, NULL, NULL, NULL)",  # alone
        "INSERT INTO proposals VALUES (1, 0, 0, 0, 'p-seed', '', 'LIKED', NULL, NULL, NULL)",
        "INSERT INTO proposals VALUES (1, 0, 0, 0, 'p-seed', '', 'ACCEPTED', NULL, NULL, NULL)",
        "INSERT INTO waves VALUES (1, 1, 1, 'k', 'DONE', 1)",
        "INSERT INTO steps VALUES (9, 0, NULL, 'LIVE', 0, '{}', 'w', NULL, NULL, 0.0, NULL, '', '', '', NULL)",
    ],
)
def test_the_database_itself_refuses_what_breaks_a_rule(tmp_path: Path, statement: str) -> None:
    with create(tmp_path / "selfplay.db") as store, store._engine.connect() as connection:
        with pytest.raises(Exception, match=r"constraint failed|cannot store"):
            connection.exec_driver_sql(statement)


def test_the_tables_can_be_made_in_postgresql() -> None:
    dialect = postgresql.dialect()
    said = [str(CreateTable(table).compile(dialect=dialect)) for table in metadata.sorted_tables]
    ddl = "\n".join(said)
    assert "reward DOUBLE PRECISION" in ddl and "seed BIGINT" in ddl and "ids BYTEA" in ddl and "STRICT" not in ddl


def test_a_newer_database_is_refused_untouched(tmp_path: Path) -> None:
    path = tmp_path / "selfplay.db"
    create(path).close()
    _set_revision(path, "9999")
    before = path.read_bytes()
    for way in (Store.open, Store.open_readonly, migrate):
        with pytest.raises(StoreError, match=f"schema 9999, newer than this code's {SCHEMA_REVISION}: update"):
            way(path)
    assert path.read_bytes() == before


def test_an_older_database_is_refused_then_migrated_behind_a_backup(tmp_path: Path) -> None:
    path = tmp_path / "selfplay.db"
    connection = sqlite3.connect(path)
    connection.executescript(
        "CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY);"
        "CREATE TABLE keepsake (text TEXT); INSERT INTO keepsake VALUES ('kept');"
    )
    connection.close()
    for way in (Store.open, Store.open_readonly):
        with pytest.raises(Outdated, match=f"schema none, older than this code's {SCHEMA_REVISION}") as told:
            way(path)
        assert told.value.folder == tmp_path
    backup = migrate(path)
    assert backup is not None and _tables(backup) == {"alembic_version", "keepsake"}
    assert _tables(path) == {"alembic_version", "keepsake", *metadata.tables}
    assert sqlite3.connect(path).execute("SELECT text FROM keepsake").fetchall() == [("kept",)]
    assert migrate(path) is None


def test_a_run_of_before_keeps_its_rows_when_processes_get_their_figures(tmp_path: Path) -> None:
    path = tmp_path / "selfplay.db"
    engine = writer_engine(path, create=True, foreign_keys=False)
    upgrade(engine, "0003")
    with engine.begin() as connection:
        for statement in (
            "INSERT INTO steps VALUES (1, 0, NULL, 'LIVE', 0, '{}', 'w0', NULL, NULL, 0.0)",
            "INSERT INTO steps VALUES (2, 1, 1, 'LIVE', 1, '{}', 'w1', NULL, 'sha', 2.5)",
            "INSERT INTO runs VALUES (1, 'old', 0, 'seed: 0', 'c', 'code', 2)",
            "INSERT INTO incarnations VALUES (1, 'then', 'a machine', 0, 'started')",
        ):
            connection.exec_driver_sql(statement)
    engine.dispose()
    assert migrate(path) is not None
    with Store.open(path) as store:
        assert [(row.weights_digest, row.incarnation_id) for row in store.steps()] == [("w0", None), ("w1", None)]
        assert store.incarnations() == [Incarnation("then", "a machine", 0, "started", 1)]
        store.add_incarnation("a machine", code_digest="new code")
        store.commit_step(step_commit(2, problems=(), proposals=(), attempts=(), pass_rates=(), search_nodes=()))
        assert store.head().incarnation_id == 2


def test_a_run_of_before_keeps_its_turns_when_rewards_get_parts(tmp_path: Path) -> None:
    path = tmp_path / "selfplay.db"
    engine = writer_engine(path, create=True, foreign_keys=False)
    upgrade(engine, "0007")
    with engine.begin() as connection:
        for statement in (
            "INSERT INTO steps (step_id, step, parent_step_id, status, policy_version, metrics, weights_digest, "
            "seconds) VALUES (1, 0, NULL, 'LIVE', 0, '{}', 'w0', 0.0), (2, 1, 1, 'LIVE', 1, '{}', 'w1', 2.5)",
            "INSERT INTO runs VALUES (1, 'old', 0, 'seed: 0', 'c', 'code', 2)",
            "INSERT INTO problems VALUES ('p', 'sums', '1 + 2', '+1 +2', 'd+d', 1, '3', 'seed', 'SEED', NULL, 1, 0)",
            "INSERT INTO attempts VALUES (2, 'p', 0, 0, 0, NULL, NULL)",
            "INSERT INTO turns VALUES (2, 'p', 0, 0, ' 3', '3', 'CORRECT', 'STOP', 2, 1.0)",
            "INSERT INTO turns VALUES (2, 'p', 0, 1, ' ?', NULL, 'UNJUDGED', 'STOP', 2, NULL)",
            "INSERT INTO pass_rates VALUES (2, 'p', 0, 0, 8, 5, 0, 0, 0, 0, NULL, NULL)",
        ):
            connection.exec_driver_sql(statement)
    engine.dispose()
    assert migrate(path) is not None
    with Store.open(path) as store:
        [(step, attempt)] = store.attempts("p")
        assert (step, [(turn.reward, turn.score, turn.parts, turn.error) for turn in attempt.turns]) == (
            1,
            [(1.0, None, {}, ""), (None, None, {}, "")],
        )
        [rate] = next(part for part in store.history() if part.step == 1).pass_rates
        assert (rate.attempts, rate.successes, rate.is_graded) == (8, 5, False) and list(store.damages()) == []


def test_a_migration_that_fails_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "selfplay.db"
    connection = sqlite3.connect(path)
    connection.executescript(
        "CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY);"
        "CREATE TABLE waves (in_the_way TEXT);"
    )
    connection.close()
    with pytest.raises(StoreError, match="waves"):
        migrate(path)
    assert _tables(path) == {"alembic_version", "waves"}


def _set_revision(path: Path, revision: str) -> None:
    connection = sqlite3.connect(path)
    with connection:
        connection.execute("UPDATE alembic_version SET version_num = ?", (revision,))
    connection.close()


def _tables(path: Path) -> set[str]:
    connection = sqlite3.connect(path)
    found = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    connection.close()
    return found
