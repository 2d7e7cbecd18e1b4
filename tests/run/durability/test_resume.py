"""A run killed at any moment and resumed ends as if it had never stopped: same weights, same rows, bit for bit."""

import os
import random
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from few_problems import TRAINED
from run_server import ENVIRONMENT, ROOT, Ended, Server

from selfplay.machine.errors import BUSY, DATA, INTERRUPTED, NO_MODEL, USAGE
from store.kill_points import POINTS
from store.sealing import seal_all
from store.store import Store

SMALL = (
    "configs/tiny.yaml",
    "run.name=x",
    "run.threads=1",
    "run.steps=6",
    "run.checkpoint_every=2",
    "run.keep_checkpoints=1",
    "domain=few_problems:FewProblems",
    "challenger.source=procedural",
    "solver.problems=3",
    "curriculum.min_successes=1",
    "evaluate.every=3",
    "evaluate.pass_size=2",
    "evaluate.pass_k=2",
    "logging.transcript_every=0",
)
NOT_REACHED = {  # by a resumed run of this configuration
    p for p in POINTS if p.startswith(("rewind.", "create.", "migrate.", "export.", "probes.", "pick."))
}
RANDOM_KILLS = int(os.environ.get("SELFPLAY_KILLS", "12"))
KILLS_OF_A_RUN = 4


@dataclass(frozen=True, slots=True)
class Result:
    """What a run left: a digest of its rows, and of its weights after every step."""

    tables: str
    weights: tuple[str, ...]
    seconds: float = field(default=0.0, compare=False)  # of a whole run, where one was timed


def result(directory: Path) -> Result:
    with Store.open(directory / "x" / "selfplay.db") as store:
        rows = store.steps()
        assert [row.step for row in rows] == list(range(len(rows))), "no step lost, none twice"
        return Result(store.table_digest(), tuple(row.weights_digest for row in rows))


def start(server: Server, directory: Path, *more: str, **options: object) -> Ended:
    return server.run([*SMALL, f"run.dir={directory}", *more], **options)  # type: ignore[arg-type]


def resume(server: Server, directory: Path, *more: str, **options: object) -> Ended:
    return server.run(["--resume", "x", f"run.dir={directory}", *more], **options)  # type: ignore[arg-type]


def committed(output: str) -> int:
    """The last step that the process said it had committed; 0 if none."""
    return max((int(n) for n in re.findall(r"^step +(\d+)/", output, re.MULTILINE)), default=0)


def head(directory: Path) -> int:
    with Store.open_readonly(directory / "x" / "selfplay.db") as store:
        return store.head().step


def whole_run(server: Server, directory: Path, *more: str) -> Result:
    began = time.monotonic()
    ended = start(server, directory, *more)
    seconds = time.monotonic() - began
    assert ended.code == 0, ended.output
    found = replace(result(directory), seconds=seconds)
    assert len(set(found.weights)) == len(found.weights), (
        "every step changed the weights: the comparison means something"
    )
    return found


@pytest.fixture(scope="module")
def uninterrupted(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Result:
    return whole_run(server, tmp_path_factory.mktemp("uninterrupted"))


@pytest.fixture(scope="module")
def uninterrupted_trained(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Result:
    """The same with a challenger that is the model itself, and learns."""
    directory = tmp_path_factory.mktemp("trained")
    found = whole_run(server, directory, *TRAINED)
    with Store.open_readonly(directory / "x" / "selfplay.db") as store:
        paid = {(step, each.target, each.reward) for step, each in store.proposals() if each.reward is not None}
    groups = Counter((step, target) for step, target, _ in paid)
    assert max(groups.values()) > 1, "proposals of one group were paid unlike each other: there is something to learn"
    return found


def test_the_same_seed_gives_the_same_run_and_another_seed_another(
    server: Server, uninterrupted: Result, tmp_path: Path
) -> None:
    for name, seed in (("again", 0), ("other", 1)):
        assert start(server, tmp_path / name, f"seed={seed}").code == 0
    assert result(tmp_path / "again") == uninterrupted
    assert result(tmp_path / "other").tables != uninterrupted.tables


@pytest.mark.parametrize("n", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_killed_at_every_named_point(server: Server, uninterrupted: Result, tmp_path: Path, n: int) -> None:
    """A chain: the run is killed at one point after another, each time by a process that resumed the last corpse."""
    ended = start(server, tmp_path, environment={"SELFPLAY_KILL_AT": f"loop.rolled_out:{n}"})
    assert ended.code == -signal.SIGKILL
    done, reached = committed(ended.output), {"loop.rolled_out"}
    for point in (p for p in POINTS if p not in NOT_REACHED):
        ended = resume(server, tmp_path, environment={"SELFPLAY_KILL_AT": f"{point}:{n}"})
        assert ended.code in (0, -signal.SIGKILL), (point, ended.output)
        assert head(tmp_path) >= max(done, committed(ended.output)), (
            f"{point}: a step that was said to be committed is lost"
        )
        done = head(tmp_path)
        if ended.code == 0:  # it ended before it came there: begin again, so that later points are reached
            assert result(tmp_path) == uninterrupted, point
            _clear(tmp_path)
            ended = start(server, tmp_path, environment={"SELFPLAY_KILL_AT": f"{point}:{n}"})
            done = committed(ended.output)
        if ended.code == -signal.SIGKILL:
            reached.add(point)
    ended = resume(server, tmp_path)
    assert ended.code == 0, ended.output
    assert result(tmp_path) == uninterrupted
    assert reached >= set(POINTS) - NOT_REACHED


def _clear(directory: Path) -> None:
    subprocess.run(["rm", "-rf", str(directory / "x")], check=True)


def test_killed_while_it_is_created(server: Server, uninterrupted: Result, tmp_path: Path) -> None:
    for point in ("create.built", "create.renamed"):
        ended = start(server, tmp_path / point, environment={"SELFPLAY_KILL_AT": f"{point}:1"})
        assert ended.code == -signal.SIGKILL
        exists = (tmp_path / point / "x" / "selfplay.db").exists()
        ended = resume(server, tmp_path / point) if exists else start(server, tmp_path / point)
        assert ended.code == 0, ended.output
        assert result(tmp_path / point) == uninterrupted


@pytest.mark.slow
def test_killed_at_random_times(
    server: Server, uninterrupted: Result, uninterrupted_trained: Result, tmp_path: Path
) -> None:
    """By turns with the procedural challenger and with one that is trained; after a share of the time that a whole run
    took on this machine. Should it slow down meanwhile, a run would be killed before it comes any further, again and
    again: so one is killed a few times, then ends, and another takes the kills that are left."""
    rng = random.Random(2026)
    kills: Counter[tuple[str, ...]] = Counter()
    runs = 0

    def kill_in(whole: float, times: int) -> tuple[int, float] | None:
        return (signal.SIGKILL, rng.uniform(0.2, 0.9) * whole) if times < KILLS_OF_A_RUN else None

    while kills.total() < RANDOM_KILLS or not kills[TRAINED]:
        more, expected = ((TRAINED, uninterrupted_trained), ((), uninterrupted))[runs % 2]
        directory = tmp_path / str(runs)
        ended, times = start(server, directory, *more, signal_after=kill_in(expected.seconds, 0)), 0
        while ended.code == -signal.SIGKILL:
            kills[more] += 1
            times += 1
            said = committed(ended.output)
            if not (directory / "x" / "selfplay.db").exists():
                assert said == 0
                ended = start(server, directory, *more)
                continue
            assert head(directory) >= said
            ended = resume(server, directory, signal_after=kill_in(expected.seconds, times))
        assert ended.code == 0, ended.output
        assert result(directory) == expected
        _clear(directory)
        runs += 1


def test_without_replay_the_comparison_fails(server: Server, uninterrupted: Result, tmp_path: Path) -> None:
    """The negative control: if this passed, the tests above would prove nothing."""
    start(server, tmp_path, environment={"SELFPLAY_KILL_AT": "loop.committed:3"})
    ended = resume(server, tmp_path, fault="no replay")
    assert ended.code == 0, ended.output
    assert result(tmp_path).weights != uninterrupted.weights


@pytest.mark.slow
def test_killed_through_the_real_command(server: Server, uninterrupted_trained: Result, tmp_path: Path) -> None:
    """With a challenger that is trained, as in the default job. The command begins it and ends it; between them are
    children of the server, whose bits must be the command's."""
    command = [sys.executable, "-m", "selfplay.loop"]
    begin = [*command, *SMALL, f"run.dir={tmp_path}", *TRAINED]
    armed = ENVIRONMENT | {"SELFPLAY_KILL_AT": "wave.committed:5"}
    began = subprocess.run(begin, cwd=ROOT, env=armed, capture_output=True)
    assert began.returncode == -signal.SIGKILL, began.stderr
    domain = "domain=few_problems:AnyText"
    for point in ("step.committed:1", "checkpoint.renamed:1"):
        killed = resume(server, tmp_path, domain, environment={"SELFPLAY_KILL_AT": point})
        assert killed.code == -signal.SIGKILL, killed.output
    go_on = [*command, "--resume", "x", f"run.dir={tmp_path}", domain]
    ended = subprocess.run(go_on, cwd=ROOT, env=ENVIRONMENT, capture_output=True)
    assert ended.returncode == 0, ended.stderr
    assert result(tmp_path) == uninterrupted_trained


def test_ctrl_c_while_the_model_loads_is_no_traceback(server: Server, tmp_path: Path) -> None:
    ended = start(server, tmp_path, fault="Ctrl-C while the model loads")
    assert ended.code == INTERRUPTED
    assert ended.output.splitlines()[-1].startswith("stopped: ")


def test_a_finished_run_goes_on_with_more_steps(server: Server, tmp_path: Path) -> None:
    assert start(server, tmp_path, "run.steps=3").code == 0
    ended = resume(server, tmp_path, "run.steps=5")
    assert ended.code == 0, ended.output
    assert head(tmp_path) == 5
    assert "1/5" not in ended.output, "what was done is not done again"


def test_a_damaged_checkpoint_is_passed_over(server: Server, uninterrupted: Result, tmp_path: Path) -> None:
    start(server, tmp_path, "run.keep_checkpoints=2", environment={"SELFPLAY_KILL_AT": "loop.committed:5"})
    newest = sorted((tmp_path / "x" / "checkpoints").glob("step_*"))[-1] / "trainer-master.safetensors"
    damaged = bytearray(newest.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    newest.write_bytes(damaged)
    ended = resume(server, tmp_path)
    assert ended.code == 0, ended.output
    assert "passed over a checkpoint" in ended.output
    assert result(tmp_path).weights == uninterrupted.weights


def test_rewind_leaves_later_steps_readable_and_plays_them_again(
    server: Server, uninterrupted: Result, tmp_path: Path
) -> None:
    start(server, tmp_path, environment={"SELFPLAY_KILL_AT": "loop.committed:5"})
    ended = resume(server, tmp_path, "resume.mode=rewind")
    assert ended.code == 0, ended.output
    assert "rewound to step 4" in ended.output
    assert result(tmp_path).weights == uninterrupted.weights
    with Store.open_readonly(tmp_path / "x" / "selfplay.db") as store:
        assert len(store.steps(include_abandoned=True)) == len(store.steps()) + 1


def test_other_weights_than_recorded_stop_the_run_on_the_same_machine_only(server: Server, tmp_path: Path) -> None:
    start(server, tmp_path, environment={"SELFPLAY_KILL_AT": "loop.committed:3"})
    with Store.open(tmp_path / "x" / "selfplay.db") as store, store._writing() as connection:
        connection.exec_driver_sql("UPDATE steps SET weights_digest = 'other' WHERE step = 3")
        seal_all(connection)
    ended = resume(server, tmp_path)
    assert ended.code == DATA
    assert "replaying step 3" in ended.output
    ended = resume(server, tmp_path, fault="another machine")
    assert ended.code == 0, ended.output
    assert "new incarnation" in ended.output


def test_refusals_name_what_to_do(server: Server, tmp_path: Path) -> None:
    assert start(server, tmp_path, "run.steps=1").code == 0
    again = start(server, tmp_path)
    assert again.code == USAGE
    assert f"--resume x run.dir={tmp_path}" in again.output
    other = resume(server, tmp_path, "train.learning_rate=1")
    assert other.code == USAGE
    assert "train.learning_rate" in other.output
    missing = server.run(["--resume", "nothing", f"run.dir={tmp_path}"])
    assert missing.code == USAGE
    assert "nothing" in missing.output
    elsewhere = server.run(["--resume", f"{tmp_path}/y"])
    assert elsewhere.code == USAGE
    assert f"there is no run in {tmp_path}/y" in elsewhere.output
    assert server.run(["--resume", "x" * 5000]).code == USAGE
    by_folder = server.run(["--resume", f"{tmp_path}/x/", "run.steps=2", "domain=few_problems:FewProblems"])
    assert by_folder.code == 0 and "resumed after step 1" in by_folder.output, "a run prints its folder"


def test_a_model_that_is_not_there_leaves_no_folder(server: Server, tmp_path: Path) -> None:
    ended = start(server, tmp_path, f"model.name={tmp_path / 'nothing'}")
    assert ended.code == NO_MODEL
    assert list(tmp_path.iterdir()) == []


def test_a_second_process_on_a_run_is_refused(server: Server, tmp_path: Path) -> None:
    with server.running([*SMALL, f"run.dir={tmp_path}", "run.steps=500"], tmp_path) as first:
        assert first.has_said("step ")
        domain = "domain=few_problems:FewProblems"
        second, new = resume(server, tmp_path, domain), start(server, tmp_path)
        assert first.is_at_work, "it still is"
    assert second.code == BUSY
    assert f"is in use by process {first.pid}" in second.output
    assert new.code == USAGE, new.output
    ended = resume(server, tmp_path, domain, f"run.steps={head(tmp_path)}")
    assert ended.code == 0, "what it committed is there, and its lock went with it: " + ended.output
