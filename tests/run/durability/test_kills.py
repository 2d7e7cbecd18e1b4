"""What a killed, interrupted or starved run still owes its user: its last checkpoint, its rows, a clear exit code.

test_resume.py proves that every kill is survived bit for bit; here are the ends that such a comparison does not see,
and the same comparison with a challenger that is trained, with adapters, on a full disk, and after Ctrl-C.
"""

import os
import signal
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from few_problems import TRAINED
from journals import trained_labels
from run_server import Ended, Server
from safetensors import safe_open

from selfplay.machine.errors import DISK, INTERRUPTED, NO_SYSTEM, OK, SOFTWARE, TERMINATED
from store.store import Store

SMALL = (
    "configs/tiny.yaml", "run.name=x", "run.threads=1", "run.steps=4", "run.checkpoint_every=2",
    "domain=few_problems:FewProblems", "solver.problems=2", "solver.max_tokens=6", "challenger.max_tokens=12",
    "curriculum.min_successes=1", "evaluate.every=2", "evaluate.pass_size=1", "evaluate.pass_k=2",
)  # fmt: skip
PROCEDURAL = "challenger.source=procedural"
ADAPTERS = "policy.lora.r=2"
KILLED = -signal.SIGKILL


@pytest.fixture(scope="module")
def whole(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., tuple[str, list[str]]]:
    """What a run that was never stopped leaves, by its further arguments."""
    found: dict[tuple[str, ...], tuple[str, list[str]]] = {}

    def left_by(*more: str) -> tuple[str, list[str]]:
        if more not in found:
            directory = tmp_path_factory.mktemp("whole")
            ended = start(server, directory, *more)
            assert ended.code == OK, ended.output
            found[more] = result(directory)
            assert len(set(found[more][1])) == 5, "every step changed the weights"
        return found[more]

    return left_by


def start(server: Server, directory: Path, *more: str, kill_at: str | None = None, fault: str = "") -> Ended:
    environment = {"SELFPLAY_KILL_AT": kill_at} if kill_at else {}
    return server.run([*SMALL, f"run.dir={directory}", *more], environment=environment, fault=fault)


def resume(server: Server, directory: Path, *more: str, kill_at: str | None = None) -> Ended:
    environment = {"SELFPLAY_KILL_AT": kill_at} if kill_at else {}
    return server.run(["--resume", "x", f"run.dir={directory}", *more], environment=environment)


def result(directory: Path) -> tuple[str, list[str]]:
    """The digest of the rows, and of the weights after every step."""
    with Store.open_readonly(directory / "x" / "selfplay.db") as store:
        return store.table_digest(), [row.weights_digest for row in store.steps()]


def saved(directory: Path) -> list[int]:
    """The steps that have a checkpoint, newest first."""
    with Store.open_readonly(directory / "x" / "selfplay.db") as store:
        return [row.step for row in store.checkpoints()]


@pytest.mark.parametrize("point", ["loop.committed:4", "checkpoint.files:2", "checkpoint.renamed:2"])
def test_a_run_killed_before_its_last_checkpoint_still_gets_it(
    server: Server, whole: Callable[..., tuple[str, list[str]]], tmp_path: Path, point: str
) -> None:
    """Its `policy` folder is the run's product; without a step left to make, nothing else would save it."""
    assert start(server, tmp_path, PROCEDURAL, kill_at=point).code == KILLED
    assert saved(tmp_path) == [2]
    ended = resume(server, tmp_path)
    assert ended.code == OK, ended.output
    assert saved(tmp_path) == [4, 2]
    assert "checkpoints/step_000004/policy" in "".join(ended.output.split())
    assert result(tmp_path) == whole(PROCEDURAL)


@pytest.mark.slow
def test_a_trained_challenger_comes_back_bit_for_bit(
    server: Server, whole: Callable[..., tuple[str, list[str]]], tmp_path: Path
) -> None:
    """Kills between its wave and the solver's, within each, and before and after the update; each by the next heir."""
    points = ("wave.committed:1", "wave.inserted:1", "loop.updated:2", "wave.committed:2", "checkpoint.manifest:1")
    assert start(server, tmp_path, *TRAINED, kill_at="wave.begin:3").code == KILLED
    for point in points:
        ended = resume(server, tmp_path, kill_at=point)
        assert ended.code == KILLED, (point, ended.output)
    assert "challenger" in trained_labels(tmp_path / "x")
    ended = resume(server, tmp_path)
    assert ended.code == OK, ended.output
    assert result(tmp_path) == whole(*TRAINED)


@pytest.mark.parametrize(
    ("settings", "points"),
    [
        ((PROCEDURAL, ADAPTERS), ("loop.committed:1", "loop.committed:2")),  # behind no checkpoint, then behind one
        pytest.param(
            (*TRAINED, ADAPTERS, "train.kl_coef=0.1", "train.kl.challenger=0.5"),
            ("loop.committed:3",),
            marks=pytest.mark.slow,
        ),
        pytest.param(
            (*TRAINED, ADAPTERS, "policy.lora.per_role=true", "train.kl_coef=0.1", "train.step_kl=0.01"),
            ("wave.committed:1", "wave.committed:1", "loop.updated:1", "loop.committed:3"),
            marks=pytest.mark.slow,
        ),
    ],
    ids=["adapters", "adapters, a KL and a trained challenger", "adapters of each role's own"],
)
def test_adapters_alone_are_updated_and_come_back_bit_for_bit(
    server: Server,
    whole: Callable[..., tuple[str, list[str]]],
    tmp_path: Path,
    settings: tuple[str, ...],
    points: tuple[str, ...],
) -> None:
    """Every resumption puts adapters on the base weights of the model's file: had a step changed those, later ones
    would differ."""
    assert start(server, tmp_path, *settings, kill_at=points[0]).code == KILLED
    for point in points[1:]:
        ended = resume(server, tmp_path, kill_at=point)
        assert ended.code == KILLED, (point, ended.output)
    ended = resume(server, tmp_path)
    assert ended.code == OK, ended.output
    assert "replaying steps 3 to 3" in ended.output
    assert result(tmp_path) == whole(*settings)
    newest = tmp_path / "x" / "checkpoints" / "step_000004"
    with safe_open(newest / "trainer-master.safetensors", "pt") as masters:
        assert all("lora_" in name for name in masters.keys())  # noqa: SIM118  # not a dictionary
    assert (newest / "policy" / "adapter_model.safetensors").is_file()
    with Store.open_readonly(tmp_path / "x" / "selfplay.db") as store:
        last = store.steps()[-1].metrics
    held = {name for name, value in last.items() if name.startswith("kl/") and value > 0}
    assert held == ({"kl/challenger", "kl/solver/0", "kl/solver/1"} if TRAINED[0] in settings else set())


def test_a_rewind_is_for_this_once(server: Server, tmp_path: Path) -> None:
    assert start(server, tmp_path, PROCEDURAL, kill_at="loop.committed:3").code == KILLED
    assert resume(server, tmp_path, "resume.mode=rewind", kill_at="loop.committed:1").code == KILLED
    ended = resume(server, tmp_path)
    assert ended.code == OK, ended.output
    assert "rewound" not in ended.output, "step 3 was committed again after the rewind that was asked for"
    assert "replaying steps 3 to 3" in ended.output


def _cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1])


def _flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


@pytest.mark.parametrize("damage", [_flip, _cut, Path.unlink])
@pytest.mark.parametrize("name", ["trainer-master.safetensors", "manifest.json"])
def test_any_damage_to_the_newest_checkpoint_is_passed_over(
    server: Server,
    whole: Callable[..., tuple[str, list[str]]],
    tmp_path: Path,
    damage: Callable[[Path], None],
    name: str,
) -> None:
    assert start(server, tmp_path, PROCEDURAL, "run.checkpoint_every=1", kill_at="loop.committed:4").code == KILLED
    damage(tmp_path / "x" / "checkpoints" / "step_000003" / name)
    ended = resume(server, tmp_path)
    assert ended.code == OK, ended.output
    assert f"passed over a checkpoint: checkpoints/step_000003/{name}" in ended.output
    assert "replaying steps 3 to 4" in ended.output
    assert result(tmp_path) == whole(PROCEDURAL)


@pytest.mark.parametrize(("fault", "code"), [("Ctrl-C in step 3", INTERRUPTED), ("SIGTERM in step 3", TERMINATED)])
def test_a_run_stopped_by_a_signal_goes_on_bit_for_bit(
    server: Server, whole: Callable[..., tuple[str, list[str]]], tmp_path: Path, fault: str, code: int
) -> None:
    ended = start(server, tmp_path, PROCEDURAL, fault=fault)
    assert ended.code == code, ended.output
    assert "stopped after step 3" in ended.output
    assert len(result(tmp_path)[1]) == 4, "the step was finished, and no more"
    assert resume(server, tmp_path).code == OK
    assert result(tmp_path) == whole(PROCEDURAL)


def test_a_second_ctrl_c_ends_it_at_once_and_costs_nothing_committed(
    server: Server, whole: Callable[..., tuple[str, list[str]]], tmp_path: Path
) -> None:
    ended = start(server, tmp_path, PROCEDURAL, fault="Ctrl-C twice in step 3")
    assert ended.code == -signal.SIGINT, ended.output
    assert len(result(tmp_path)[1]) == 3, "step 3 was not finished"
    assert resume(server, tmp_path).code == OK
    assert result(tmp_path) == whole(PROCEDURAL)


def test_no_memory_ends_the_run_and_costs_nothing_committed(
    server: Server, whole: Callable[..., tuple[str, list[str]]], tmp_path: Path
) -> None:
    ended = start(server, tmp_path, PROCEDURAL, fault="no memory in step 3")
    assert ended.code == NO_SYSTEM, ended.output
    assert "error: " in ended.output and "Traceback" not in ended.output
    assert len(result(tmp_path)[1]) == 3, "two steps stand, and the start"
    assert resume(server, tmp_path).code == OK
    assert result(tmp_path) == whole(PROCEDURAL)


def test_weights_that_run_away_end_the_run_before_they_are_committed(server: Server, tmp_path: Path) -> None:
    ended = start(server, tmp_path, PROCEDURAL, "train.learning_rate=1e38")
    assert ended.code == SOFTWARE, ended.output
    assert "error: " in ended.output and "Traceback" not in ended.output
    assert len(result(tmp_path)[1]) < 5
    assert resume(server, tmp_path).code == SOFTWARE, "the weights are what they were"


@contextmanager
def _small_disk(folder: Path, kilobytes: int) -> Iterator[Callable[[int], None]]:
    """`folder` on a disk of its own; yields what makes the disk larger. Skips where mounting is not allowed."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "none", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("mounting a small tmpfs needs root and a kernel that allows it")

    def grow(kilobytes: int) -> None:
        subprocess.run(["mount", "-o", f"remount,size={kilobytes}k", str(folder)], check=True)

    try:
        yield grow
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("kilobytes", [340, 420, 500])
def test_a_full_disk_ends_the_run_and_costs_nothing_committed(
    server: Server, whole: Callable[..., tuple[str, list[str]]], tmp_path: Path, kilobytes: int
) -> None:
    directory = tmp_path / "disk"
    with _small_disk(directory, kilobytes) as grow:
        ended = start(server, directory, PROCEDURAL)
        assert ended.code == DISK, ended.output
        assert "full" in ended.output and "Traceback" not in ended.output
        grow(100_000)
        database = directory / "x" / "selfplay.db"
        if database.exists():
            with sqlite3.connect(database) as connection:
                assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            connection.close()
        ended = resume(server, directory) if database.exists() else start(server, directory, PROCEDURAL)
        assert ended.code == OK, ended.output
        assert result(directory) == whole(PROCEDURAL)


def test_a_finished_run_whose_weights_found_no_room_says_so(server: Server, tmp_path: Path) -> None:
    directory = tmp_path / "disk"
    with _small_disk(directory, 1200) as grow:
        ended = start(server, directory, PROCEDURAL)
        assert ended.code == DISK, ended.output
        assert "the weights of step 4 are not saved" in ended.output
        grow(100_000)
        assert resume(server, directory).code == OK
        assert saved(directory) == [4]
