"""Which schema revision a database has, and how it is brought to the newest one. Alembic, configured in code.

Opening a database never migrates it. `migrate` does, when it is asked to, and keeps a backup. Left out: downgrades.
"""

import os
from itertools import chain, count
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine, inspect

from store.connections import writer_engine
from store.errors import Outdated, StoreError, translated
from store.journal import fsync_folder
from store.kill_points import reach
from store.schema import SCHEMA_REVISION
from store.sealing import seal_all
from store.sql.views import VIEWS

MIGRATIONS = Path(__file__).parent / "migrations"


def alembic_config() -> Config:
    """Where the revisions are: those from 0017 on have a folder of their own."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.set_main_option("recursive_version_locations", "true")
    return config


def upgrade(engine: Engine, revision: str = "head") -> None:
    """Brings the database to `revision` in one transaction. StoreError if rows are left that refer to nothing."""
    config = alembic_config()
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        for name in inspect(connection).get_view_names():  # a table that a view reads could not be rebuilt
            connection.exec_driver_sql(f"DROP VIEW {connection.dialect.identifier_preparer.quote(name)}")
        command.upgrade(config, revision)
        dangling = connection.exec_driver_sql("PRAGMA foreign_key_check").first()
        if dangling is not None:
            raise StoreError(f"the migration to {revision} left a row of {dangling[0]} that refers to nothing; undone")
        if revision_of(connection) == SCHEMA_REVISION:
            seal_all(connection)
            for name, view in VIEWS.items():
                connection.exec_driver_sql(f"CREATE VIEW {name} AS {view.query.strip()}")


def revision_of(connection: Connection) -> str | None:
    """The revision that the database says it has: "" before the first one, None where it is not a run's database."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    row = connection.exec_driver_sql("SELECT version_num FROM alembic_version").first()
    return "" if row is None else str(row[0])


def require_current(connection: Connection, path: Path) -> None:
    """Outdated or StoreError unless the database has the revision that this code was written for."""
    found = _known_revision(connection, path)
    if found < SCHEMA_REVISION:
        raise Outdated(f"{path} has schema {found or 'none'}, older than this code's {SCHEMA_REVISION}", path.parent)


def migrate(path: Path) -> Path | None:
    """Upgrades the run database at `path`. Returns the backup that was made first, or None if it was current already.

    The backup stands beside the database and is on disk before anything changes. StoreError if the database is
    missing, newer than the code or in use. After a kill at any moment it can be run again; earlier backups stay.
    """
    if not path.is_file():
        raise StoreError(f"there is no run database at {path}: check the run's name or folder")
    engine = writer_engine(path, foreign_keys=False)  # a batch migration drops and rebuilds tables
    try:
        with translated(path):
            with engine.connect() as connection:
                found = _known_revision(connection, path)
            if found == SCHEMA_REVISION:
                return None
            backup = _back_up(engine, path, found)
            upgrade(engine)
            reach("migrate.upgraded")
            return backup
    finally:
        engine.dispose()


def _known_revision(connection: Connection, path: Path) -> str:
    found = revision_of(connection)
    if found is None:
        raise StoreError(f"{path} is a SQLite database but not of a selfplay run: check the path")
    if found > SCHEMA_REVISION:
        raise StoreError(
            f"{path} has schema {found}, newer than this code's {SCHEMA_REVISION}: update the code (nothing is damaged)"
        )
    return found


def _back_up(engine: Engine, path: Path, found: str) -> Path:
    name = f"{path.name}.before-{SCHEMA_REVISION}-was-{found or 'none'}"
    names = (path.with_name(f"{name}{more}") for more in chain([""], (f"-{n}" for n in count(2))))
    backup = next(each for each in names if not each.exists())
    building = path.with_name(f".{name}.new")
    building.unlink(missing_ok=True)  # left by a kill
    raw = engine.raw_connection()
    try:  # VACUUM cannot run inside a transaction, so the engine's BEGIN is bypassed
        raw.cursor().execute("VACUUM INTO ?", (str(building),))
    except BaseException:
        building.unlink(missing_ok=True)  # half a file, which would only fill a full disk further
        raise
    finally:
        raw.close()
    with open(building, "rb") as file:
        os.fsync(file.fileno())
    reach("migrate.backed_up")
    os.replace(building, backup)
    fsync_folder(path.parent)
    reach("migrate.renamed")
    return backup
