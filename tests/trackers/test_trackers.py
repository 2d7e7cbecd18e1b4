"""Each experiment tracker, its real package: a run that is killed and resumed leaves every figure in it once.

    uv run --extra tensorboard --extra wandb --extra mlflow --extra trackio pytest -m trackers -n 0

No network is used: wandb is offline, MLflow and trackio have local databases.
"""

import json
import os
import signal
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from run_server import Ended, Server

from selfplay.machine.errors import OK
from store.store import Store

pytestmark = pytest.mark.trackers

SMALL = (
    "configs/tiny.yaml", "run.name=x", "run.threads=1", "run.steps=5", "run.checkpoint_every=2",
    "domain=few_problems:FewProblems", "challenger.source=procedural", "solver.problems=2", "solver.max_tokens=6",
    "curriculum.min_successes=1", "evaluate.every=2", "evaluate.pass_size=1", "evaluate.pass_k=2",
)  # fmt: skip
Points = Counter[tuple[str, int, float]]  # (name, step, value), and how often the tracker has it


def from_tensorboard(directory: Path) -> Points:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(directory / "x" / "tensorboard"), size_guidance={"scalars": 0}).Reload()
    return Counter((name, e.step, e.value) for name in events.Tags()["scalars"] for e in events.Scalars(name))


def from_wandb(directory: Path) -> Points:
    from wandb.proto.wandb_internal_pb2 import Record

    found: Points = Counter()
    for file in directory.glob("x/wandb/offline-run-*/*.wandb"):
        for payload in _log_records(file.read_bytes()[7:], 7):
            record = Record()
            record.ParseFromString(payload)
            if record.WhichOneof("record_type") == "history":
                items = {item.key or "/".join(item.nested_key): item.value_json for item in record.history.item}
                step = int(json.loads(items["step"]))
                named = {name: float(json.loads(value)) for name, value in items.items() if not name.startswith("_")}
                found.update((name, step, value) for name, value in named.items() if name != "step")
    return found


def _log_records(data: bytes, offset: int) -> Iterator[bytes]:
    """Records of LevelDB's log format: blocks of 32 KiB with pieces of (checksum, length, type)."""
    whole, at, block = b"", 0, 1 << 15
    while at + 7 <= len(data):
        left = block - (at + offset) % block
        if left < 7:
            at += left
            continue
        length, kind = int.from_bytes(data[at + 4 : at + 6], "little"), data[at + 6]
        whole += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # whole, or the last piece
            yield whole
            whole = b""


def from_mlflow(directory: Path) -> Points:
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{directory}/mlflow.db")
    experiment = client.get_experiment_by_name("selfplay")
    assert experiment is not None
    found: Points = Counter()
    for run in client.search_runs([experiment.experiment_id]):
        for name in run.data.metrics:
            history = client.get_metric_history(run.info.run_id, name)
            found.update((name, each.step, each.value) for each in history)
    return found


def from_trackio(directory: Path) -> Points:
    with sqlite3.connect(directory / "trackio" / "selfplay.db") as connection:
        rows = connection.execute("SELECT step, metrics FROM metrics").fetchall()
    connection.close()
    return Counter((name, step, value) for step, text in rows for name, value in json.loads(text).items())


READERS: Mapping[str, Callable[[Path], Points]] = {
    "tensorboard": from_tensorboard, "wandb": from_wandb, "mlflow": from_mlflow, "trackio": from_trackio,
}  # fmt: skip


def needs(name: str) -> None:
    if find_spec(name) is None:
        pytest.skip(f"{name} is not installed: uv sync --extra {name}")


def environment(directory: Path, **more: str) -> dict[str, str]:
    return {
        "WANDB_MODE": "offline", "MLFLOW_TRACKING_URI": f"sqlite:///{directory}/mlflow.db",
        "TRACKIO_DIR": str(directory / "trackio"), "NO_PROXY": "*",
    } | more  # fmt: skip


def start(server: Server, directory: Path, name: str, *keys: str, **more: str) -> Ended:
    arguments = [*SMALL, f"run.dir={directory}", f"logging.report_to=[{name}]", *keys]
    return server.run(arguments, environment(directory, **more))


def resume(server: Server, directory: Path, *keys: str, **more: str) -> Ended:
    return server.run(["--resume", "x", f"run.dir={directory}", *keys], environment(directory, **more))


def stored(directory: Path, name: str) -> Points:
    """What metrics.jsonl has. TensorBoard keeps single precision."""
    found: Points = Counter()
    for text in (directory / "x" / "metrics.jsonl").read_text().splitlines():
        line = json.loads(text)
        for key in line.keys() - {"step", "time", "kind"}:
            value = float(np.float32(line[key])) if name == "tensorboard" else float(line[key])
            found[(key, line["step"], value)] += 1
    return found


@pytest.mark.parametrize("name", READERS)
def test_a_killed_run_leaves_every_figure_in_its_tracker_once(server: Server, tmp_path: Path, name: str) -> None:
    needs(name)
    assert start(server, tmp_path, name, SELFPLAY_KILL_AT="loop.committed:3").code == -signal.SIGKILL
    assert resume(server, tmp_path, SELFPLAY_KILL_AT="loop.updated:1").code == -signal.SIGKILL
    ended = resume(server, tmp_path)
    assert ended.code == OK, ended.output
    assert "left out" not in ended.output and "lack" not in ended.output, ended.output
    assert READERS[name](tmp_path) == stored(tmp_path, name)
    assert {step for _, step, _ in stored(tmp_path, name)} == {0, 1, 2, 3, 4, 5}
    ended = resume(server, tmp_path, "run.steps=6")
    assert ended.code == OK, ended.output
    found = READERS[name](tmp_path)
    assert found == stored(tmp_path, name), "a finished run goes on in the same place"
    assert max(step for _, step, _ in found) == 6


def test_a_rewound_run_is_another_one_in_its_tracker(server: Server, tmp_path: Path) -> None:
    needs("trackio")
    assert start(server, tmp_path, "trackio", "run.steps=3").code == OK
    assert resume(server, tmp_path, "run.steps=5", SELFPLAY_KILL_AT="loop.committed:1").code == -signal.SIGKILL
    ended = resume(server, tmp_path, "resume.mode=rewind")
    assert ended.code == OK and "rewound to step 3" in ended.output, ended.output
    with sqlite3.connect(tmp_path / "trackio" / "selfplay.db") as connection:
        rows = connection.execute("SELECT run_name, step, metrics FROM metrics").fetchall()
    connection.close()
    steps: dict[str, list[int]] = {}
    for name, step, text in rows:
        if "solver/pass_rate" in json.loads(text):
            steps.setdefault(name, []).append(step)
    steps.pop("x", None)  # the kill came while it was sent anew: of what is taken back nothing is promised
    assert [name.rpartition("-")[0] for name in steps] == ["x-rewound"]
    assert list(steps.values()) == [[1, 2, 3, 4, 5]]


def test_a_tracker_that_fails_costs_the_run_nothing(server: Server, tmp_path: Path) -> None:
    """trackio refuses to begin; the same run without it has the same rows and weights."""
    needs("trackio")
    found = []
    for name in ("trackio", ""):
        directory = tmp_path / (name or "without")
        directory.mkdir()
        ended = start(server, directory, name, TRACKIO_SPACE_ID="somebody/somewhere")
        assert ended.code == OK, ended.output
        assert ("trackio is left out from now on" in ended.output) == bool(name)
        assert ("1 of 1 trackers lack figures" in ended.output) == bool(name)
        with Store.open_readonly(directory / "x" / "selfplay.db") as store:
            found.append([row.weights_digest for row in store.steps()])
    assert found[0] == found[1]


def test_a_server_that_never_answers_delays_neither_a_step_nor_the_end(server: Server, tmp_path: Path) -> None:
    """MLflow asks a port that nobody listens at, again and again."""
    needs("mlflow")
    ended = start(server, tmp_path, "mlflow", MLFLOW_TRACKING_URI="http://127.0.0.1:9", NO_PROXY="127.0.0.1")
    assert ended.code == OK, ended.output
    assert "mlflow" in ended.output and "1 of 1 trackers lack figures" in ended.output
    assert os.path.exists(tmp_path / "x" / "summary.json")
