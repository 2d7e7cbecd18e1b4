"""A run's folder under hands that do not know it: locks, leftovers, strangers in the places of its files."""

import os
import shutil
import time
from collections.abc import Callable
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console
from run_server import Server
from store_samples import create

from selfplay.config.files import load
from selfplay.config.keys import Config
from selfplay.config.resuming import resumable
from selfplay.config.shown import shown_settings
from selfplay.machine.errors import BUSY, DATA, OK, Refused
from selfplay.machine.run_folder import lock, set_unbegun_aside, write_file
from selfplay.run import metrics_file
from selfplay.run.opening import open_run, refuse_used
from selfplay.view.progress import Progress
from store.errors import StoreError
from store.records import Completion, Finish, Wave
from store.store import Store

DOMAIN = "domain=few_problems:FewProblems"
TINY = (
    "configs/tiny.yaml", "run.name=x", "run.threads=1", "run.checkpoint_every=1", DOMAIN,
    "challenger.source=procedural", "solver.problems=2", "solver.max_tokens=6", "curriculum.min_successes=1",
    "evaluate.every=9", "evaluate.pass_size=1", "evaluate.pass_k=2",
)  # fmt: skip


def test_a_run_holds_its_folder_without_its_lock_file_and_ends_in_one_line_without_the_folder(
    server: Server, tmp_path: Path
) -> None:
    """Cases 33 and 36, with real processes: two wrote at once, or one went on into nothing and ended with 0."""
    folder = tmp_path / "x"
    with server.running([*TINY, f"run.dir={tmp_path}", "run.steps=500"], tmp_path) as first:
        assert first.has_said("step ")
        (folder / "LOCK").unlink()
        second = server.run(["--resume", "x", DOMAIN, f"run.dir={tmp_path}"])
        assert (first.is_at_work, second.code) == (True, BUSY), second.output
        folder.rename(tmp_path / "taken away")
        shutil.rmtree(tmp_path / "taken away", ignore_errors=True)
        assert server.end(first) == DATA
        said = first.errors.read_text().splitlines()
    assert len(said) == 1 and "was removed or replaced while this process worked on it" in said[0]
    assert not folder.exists(), "it is not made anew"


@pytest.mark.parametrize(
    "reach",
    [
        lambda folder: (folder / "journal" / "step_000001.safetensors").read_bytes(),
        lambda folder: metrics_file.append(folder / "metrics.jsonl", "{}"),
    ],
)
def test_a_run_whose_folder_goes_between_two_checks_says_so_too(
    reach: Callable[[Path], object], tmp_path: Path
) -> None:
    """The folder may go after a check and before the file that the check was for: that one's error says too little."""
    config, output = load(Path(TINY[0]), [*TINY[1:], f"run.dir={tmp_path}"]), Console(file=StringIO())
    watcher = Progress(shown_settings(config), output)
    with pytest.raises(StoreError, match="was removed or replaced"):
        with open_run(config, False, watcher, time.monotonic()) as run:
            shutil.rmtree(run.folder)
            reach(run.folder)


@pytest.mark.parametrize("lost", ["selfplay.db", "selfplay.db-wal"])
def test_a_writer_whose_files_are_replaced_commits_nothing_more(tmp_path: Path, lost: str) -> None:
    """Case 33: SQLite goes on writing to what was removed; a second writer may be at work on what stands there now."""
    with create(tmp_path / "selfplay.db") as store:
        store.add_incarnation("here")
        shutil.copy(tmp_path / lost, tmp_path / "copy")
        os.replace(tmp_path / "copy", tmp_path / lost)
        with pytest.raises(StoreError, match="was removed or replaced"):
            store.add_incarnation("there")
        assert [each.fingerprint for each in store.incarnations()] == ["here"]


def test_a_lock_is_held_once_and_a_link_in_its_place_is_not_followed(tmp_path: Path) -> None:
    victim, folder = tmp_path / "victim", tmp_path / "x"
    victim.write_text("precious")
    folder.mkdir()
    (folder / "LOCK").symlink_to(victim)
    said: list[str] = []
    with lock(folder, said.append), pytest.raises(Refused, match=f"in use by process {os.getpid()};") as caught:
        with lock(folder):
            pass
    assert caught.value.code == BUSY
    assert victim.read_text() == "precious" and said == ["set aside: LOCK is now set-aside/LOCK (no file of the run's)"]
    with lock(folder):
        pass


def test_files_are_not_written_through_links_nor_into_folders(tmp_path: Path) -> None:
    """Case 37: a folder in the place of metrics.jsonl, summary.json or config.yaml was a traceback."""
    victim, said = tmp_path / "victim", list[str]()
    victim.write_text("precious")
    (tmp_path / "config.yaml").symlink_to(victim)
    (tmp_path / "summary.json").mkdir()
    (tmp_path / ".summary.json.tmp").symlink_to(victim)
    for _ in range(2):
        for name in ("config.yaml", "summary.json"):
            write_file(tmp_path / name, ["ours"], said.append)
    assert victim.read_text() == "precious" and len(said) == 3
    assert [(tmp_path / name).read_text() for name in ("config.yaml", "summary.json")] == ["ours", "ours"]
    assert (tmp_path / "set-aside" / "summary.json").is_dir()


def test_folders_in_the_places_of_files_and_files_in_the_places_of_folders(server: Server, tmp_path: Path) -> None:
    """Case 37 through the command: named, set aside, and the run ends as it would have."""
    assert server.run([*TINY, f"run.dir={tmp_path}", "run.steps=1"]).code == OK
    folder = tmp_path / "x"
    for name in ("metrics.jsonl", "summary.json", "config.yaml"):
        (folder / name).unlink()
        (folder / name).mkdir()
    shutil.rmtree(folder / "checkpoints")
    (folder / "checkpoints").write_text("no folder")
    ended = server.run(["--resume", "x", DOMAIN, f"run.dir={tmp_path}", "run.steps=2"])
    assert ended.code == OK, ended.output
    aside = {each.name for each in (folder / "set-aside").iterdir()}
    assert aside == {"metrics.jsonl", "summary.json", "config.yaml", "checkpoints"}
    assert ended.output.count("set aside: ") == 4
    assert (folder / "checkpoints" / "step_000002" / "policy").is_dir()


@pytest.mark.parametrize("stray", ["selfplay.db-wal", "journal/step_000001.safetensors", "checkpoints/step_000003/x"])
def test_a_run_does_not_begin_among_the_files_of_another(server: Server, tmp_path: Path, stray: str) -> None:
    """Case 30: a log whose database was removed joined a new run, which went on at the old one's step 3."""
    path = tmp_path / "x" / stray
    path.parent.mkdir(parents=True)
    path.write_text("of another run")
    for arguments in ([*TINY, f"run.dir={tmp_path}"], ["--resume", "x", DOMAIN, f"run.dir={tmp_path}"]):
        ended = server.run(arguments)
        assert ended.code == DATA, ended.output
        [line] = [line for line in ended.output.splitlines() if line.startswith("error: ")]
        assert "has no selfplay.db, but " in line and "Traceback" not in ended.output
    assert path.read_text() == "of another run"


def test_a_database_is_not_made_beside_the_log_of_another(tmp_path: Path) -> None:
    """Case 30, in the store itself."""
    (tmp_path / "selfplay.db-wal").write_bytes(b"frames")
    with pytest.raises(StoreError, match="the log of a database that is gone"):
        create(tmp_path / "selfplay.db")
    assert (tmp_path / "selfplay.db-wal").read_bytes() == b"frames"


def test_a_folder_in_which_nothing_began_is_free(tmp_path: Path) -> None:
    """What a process leaves that was killed before there was a database."""
    for name in ("checkpoints", "journal"):
        (tmp_path / name).mkdir()
    for name in ("LOCK", ".selfplay.db.new"):
        (tmp_path / name).touch()
    refuse_used(tmp_path, Config())
    with create(tmp_path / "selfplay.db") as store:
        store.commit_wave(Wave(1, "solve/0", (Completion((1,), (0.0,), "x", Finish.STOP, 0, 0),)))
    with pytest.raises(Refused, match="To go on with it"):
        refuse_used(tmp_path, Config())


def test_the_run_to_go_on_with_is_the_one_that_was_worked_on_last(tmp_path: Path) -> None:
    """Case 36: it was the one that was looked at last, or the one that was refused last."""
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        with lock(tmp_path / name) as owned, create(tmp_path / name / "selfplay.db"):
            owned.touch()
    os.utime(tmp_path / "first" / "LOCK", (1e9, 1e9))
    with Store.open_readonly(tmp_path / "first" / "selfplay.db") as store:
        store.steps()
    (tmp_path / "first" / "selfplay.db").touch()
    with lock(tmp_path / "first"):
        pass
    assert resumable(tmp_path, None) == tmp_path / "second"
    with lock(tmp_path / "first") as owned:
        owned.touch()
    assert resumable(tmp_path, None) == tmp_path / "first"


def test_a_run_that_ended_before_anything_came_of_it_leaves_its_name(tmp_path: Path) -> None:
    """Case 53: whatever failed before the first evaluation, or a wave, was committed."""
    create(tmp_path / "selfplay.db").close()
    (tmp_path / "config.yaml").write_text("of the first start")
    refuse_used(tmp_path, Config())
    with lock(tmp_path):
        set_unbegun_aside(tmp_path, lambda line: None)
        refuse_used(tmp_path, Config())
        with create(tmp_path / "selfplay.db") as store:
            store.commit_wave(Wave(1, "solve/0", (Completion((1,), (0.0,), "x", Finish.STOP, 0, 0),)))
    assert (tmp_path / "set-aside" / "config.yaml").read_text() == "of the first start"
    assert (tmp_path / "set-aside" / "selfplay.db").is_file()
    with pytest.raises(Refused, match="To go on with it"):
        refuse_used(tmp_path, Config())
