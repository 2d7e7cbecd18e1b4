"""Disks that take no more and folders that take nothing: an exit code of their own, and nothing committed is lost."""

import errno
import os
import resource
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from tempfile import mkdtemp

import pytest
from run_server import Server
from store_samples import create, step_commit, wave
from typer.testing import CliRunner

from selfplay.inspect import app
from selfplay.machine import exits
from selfplay.machine.errors import BUSY, DISK, NO_SYSTEM, OK, Refused
from selfplay.machine.run_folder import lock
from store import kill_points
from store.connections import writer_engine
from store.errors import DiskFull, Locked, StoreError, disk_full, translated
from store.store import Store
from store.upgrade import migrate, upgrade

TINY = (
    "configs/tiny.yaml", "run.name=x", "run.threads=1", "run.steps=2", "run.checkpoint_every=1",
    "domain=few_problems:FewProblems", "challenger.source=procedural", "solver.problems=2", "solver.max_tokens=6",
    "curriculum.min_successes=1", "evaluate.every=9", "evaluate.pass_size=1", "evaluate.pass_k=2",
)  # fmt: skip


def in_a_child(action: Callable[[], object]) -> int:
    """The exit code of a forked process that does `action`: 74 for DiskFull, 1 for any other error."""
    child = os.fork()
    if child == 0:
        code = OK
        try:
            action()
        except DiskFull:
            code = DISK
        except BaseException:
            code = 1
        os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.parametrize("size", range(8_000, 300_000, 24_000))
def test_a_run_is_made_whole_or_not_at_all_wherever_the_room_ends(tmp_path: Path, size: int) -> None:
    """Case 32: with 220 to 320 KB free the database was renamed without its log, and malformed for ever."""
    path = tmp_path / "selfplay.db"

    def make() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
        create(path).close()

    code = in_a_child(make)
    assert code in (OK, DISK)
    if code == DISK and not path.exists():
        assert list(tmp_path.iterdir()) == []
        return
    with Store.open(path) as store:
        assert store.head().step == 0 and list(store.damages()) == []


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO])
def test_what_a_disk_says_is_told_apart_from_damage(tmp_path: Path, number: int) -> None:
    """Cases 41 and 50: a quota, a limit and a failing disk were 65 or a traceback."""
    error = OSError(number, os.strerror(number))
    with pytest.raises(DiskFull), translated(tmp_path):
        raise error
    assert exits._code_of(error) == DISK
    said = Exception(f"Error while serializing: I/O error: {error.strerror} (os error {number})")
    assert exits._code_of(disk_full(tmp_path, str(said))) == DISK


def test_a_write_beyond_a_limit_loses_nothing_committed(tmp_path: Path) -> None:
    """Case 50: SQLite calls it an input/output error."""
    path = tmp_path / "selfplay.db"
    create(path).close()

    def write() -> None:
        with Store.open(path) as store:
            resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000))
            for step in range(1, 200):
                store.commit_step(step_commit(step))

    assert in_a_child(write) == DISK
    with Store.open(path) as store:
        assert store.head().step > 0 and list(store.damages()) == []


def test_a_limit_on_file_sizes_costs_a_checkpoint_and_says_so(server: Server, tmp_path: Path) -> None:
    """Case 50: `ulimit -f` ended the first checkpoint with a traceback."""
    ended = server.run([*TINY, "model.name=tiny-qwen3", f"run.dir={tmp_path}"], fault="files of at most 400 kB")
    assert ended.code == DISK and "Traceback" not in ended.output, ended.output
    assert "no checkpoint at step 1" in ended.output and "step   2/2" in ended.output
    again = server.run(["--resume", "x", "domain=few_problems:FewProblems", f"run.dir={tmp_path}"])
    assert again.code == OK, again.output


@pytest.mark.parametrize(
    "words", ["[Errno 24] Too many open files: 'x'", "failed to map segment from shared object", "std::bad_alloc"]
)
def test_a_system_that_gives_out_no_more_is_one_line(words: str) -> None:
    """Case 41: `ulimit -n` and `-v`."""
    try:
        try:
            raise OSError(words)
        except OSError as error:
            raise ImportError("a library") from error
    except ImportError as error:
        assert exits._code_of(error) == NO_SYSTEM


def test_a_clock_that_no_program_can_count_with(tmp_path: Path) -> None:
    """Case 41: a year of 9999 ended with 65, as if the run were damaged."""
    with pytest.raises(StoreError, match="clock is wrong") as told, translated(tmp_path):
        raise OverflowError("timestamp too large to convert to C PyTime_t")
    assert exits._code_of(told.value) == NO_SYSTEM


def test_a_clock_that_goes_back_is_no_damage(tmp_path: Path) -> None:
    """Case 41: seconds below 0 broke a rule of the table."""
    with create(tmp_path / "selfplay.db") as store:
        store.add_incarnation("here")
        store.note_use(-5.0, 1)
        assert store.incarnations()[0].seconds == 0.0


def test_looking_needs_no_right_to_write_and_leaves_nothing(tmp_path: Path) -> None:
    """Cases 41 and 51: 65 on a run that one may only read; `-shm` and `-wal` beside one that one may write."""
    folder = Path(mkdtemp(dir="/tmp"))  # tmp_path is its owner's alone, and the super-user may write anywhere
    try:
        path = folder / "selfplay.db"
        with create(path) as store:
            store.commit_step(step_commit(1))
        with Store.open_readonly(path) as store:
            assert store.head().step == 1
        assert list(folder.iterdir()) == [path]
        path.chmod(0o444)
        folder.chmod(0o555)

        def look() -> None:
            if os.getuid() == 0:
                os.setuid(65534)
            with pytest.raises(StoreError), Store.open(path) as store:
                store.commit_step(step_commit(2))
            with Store.open_readonly(path) as store:
                assert store.head().step == 1

        assert in_a_child(look) == OK
    finally:
        folder.chmod(0o755)
        shutil.rmtree(folder)


def test_a_writer_that_begins_while_one_looks_is_noticed(tmp_path: Path) -> None:
    """Case 51: without a log the file is read without a lock, so what begins to write must not go unseen."""
    path = tmp_path / "selfplay.db"
    create(path).close()
    with Store.open_readonly(path) as reader:
        assert reader.head().step == 0
        with Store.open(path) as store:
            store.commit_wave(wave(1))
            with pytest.raises(Locked, match="try again"):
                reader.head()
            with Store.open_readonly(path) as second:
                assert list(second.pending_waves(1)) == ["solver/0"]


def old_run(path: Path) -> None:
    """A database of schema 0004 with one step."""
    engine = writer_engine(path, create=True, foreign_keys=False)
    upgrade(engine, "0004")
    with engine.begin() as connection:
        for statement in (
            "INSERT INTO steps VALUES (1, 0, NULL, 'LIVE', 0, '{}', 'w0', NULL, NULL, 0.0, NULL)",
            "INSERT INTO runs VALUES (1, 'old', 0, 'seed: 0', 'c', 'code', 1)",
        ):
            connection.exec_driver_sql(statement)
    engine.dispose()


@pytest.mark.parametrize("point", [point for point in kill_points.POINTS if point.startswith("migrate.")])
def test_a_migration_that_was_killed_is_asked_for_again(tmp_path: Path, point: str) -> None:
    """Case 35: a cut backup stood under the final name, and migrating again was refused."""
    path = tmp_path / "selfplay.db"
    old_run(path)

    def killed() -> None:
        kill_points.arm(point, 1)
        migrate(path)

    assert in_a_child(killed) == -9
    migrate(path)
    with Store.open(path) as store:
        assert store.head().weights_digest == "w0" and list(store.damages()) == []
    backups = [each for each in tmp_path.iterdir() if "before" in each.name and not each.name.startswith(".")]
    assert backups
    for backup in backups:
        connection = sqlite3.connect(backup)
        assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == [("0004",)]
        connection.close()


def test_a_run_that_is_at_work_is_not_migrated(tmp_path: Path) -> None:
    """Case 35: its LOCK was not asked."""
    old_run(tmp_path / "selfplay.db")
    with lock(tmp_path):
        ended = CliRunner().invoke(app, ["migrate", str(tmp_path)])
    assert isinstance(ended.exception, Refused) and ended.exception.code == BUSY
    assert CliRunner().invoke(app, ["migrate", str(tmp_path)]).exit_code == OK
