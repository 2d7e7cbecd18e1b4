"""A challenger with everything that pays it turned on: a killed run goes on bit for bit, and each key changes a run."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from few_problems import TRAINED
from run_server import ENVIRONMENT, ROOT, Ended, Server

from selfplay.machine.errors import DATA, USAGE
from store.records import Fate
from store.store import Store

SMALL = (
    "configs/tiny.yaml", "run.name=x", "run.threads=1", "run.steps=6", "run.checkpoint_every=2", "solver.problems=12",
    *TRAINED, "domain=few_problems:AnyPaid", "solver.turns=1", "challenger.max_tokens=24", "solver.max_tokens=6",
    "challenger.targets=3", "curriculum.min_successes=1", "judge.rewards=[{part: verdict}]", "evaluate.every=9",
    "evaluate.pass_size=1", "evaluate.pass_k=2", "logging.transcript_every=0",
)  # fmt: skip
ALL = (
    "challenger.novelty=0.5", "challenger.learned_credit=8", "challenger.aim=add1", "challenger.gate=strict",
    "curriculum.family_quota=0.25",
)  # fmt: skip
KILLED = -signal.SIGKILL


def start(server: Server, directory: Path, *more: str, kill_at: str | None = None) -> Ended:
    environment = {"SELFPLAY_KILL_AT": kill_at} if kill_at else {}
    return server.run([*SMALL, f"run.dir={directory}", *more], environment=environment)


def result(directory: Path) -> tuple[str, list[str]]:
    with Store.open_readonly(directory / "x" / "selfplay.db") as store:
        return store.table_digest(), [row.weights_digest for row in store.steps()]


def paid(directory: Path) -> list[float]:
    with Store.open_readonly(directory / "x" / "selfplay.db") as store:
        return [each.reward for _, each in store.proposals() if each.reward is not None and each.fate is Fate.ACCEPTED]


@pytest.fixture(scope="module")
def plain(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("plain")
    assert start(server, directory).code == 0
    assert len(set(paid(directory))) > 2, "pass rates differ: there is something to shape"
    return directory


@pytest.fixture(scope="module")
def whole(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("datasketch")
    directory = tmp_path_factory.mktemp("whole")
    ended = start(server, directory, *ALL)
    assert ended.code == 0, ended.output
    return directory


def test_a_killed_run_with_all_of_it_goes_on_bit_for_bit(server: Server, whole: Path, tmp_path: Path) -> None:
    """Nothing of it is stored: archive, credit and targets are made again from the steps."""
    for number, point in enumerate(["loop.rolled_out:3", "loop.updated:2", "loop.committed:1"]):
        if number == 0:
            assert start(server, tmp_path, *ALL, kill_at=point).code == KILLED
        else:
            ended = server.run(["--resume", "x", f"run.dir={tmp_path}"], environment={"SELFPLAY_KILL_AT": point})
            assert ended.code == KILLED, ended.output
    ended = server.run(["--resume", "x", f"run.dir={tmp_path}"])
    assert ended.code == 0, ended.output
    assert result(tmp_path) == result(whole)


def test_the_figures_of_each_are_stored(whole: Path, plain: Path) -> None:
    with Store.open_readonly(whole / "x" / "selfplay.db") as store:
        rows = store.steps(after=0)
        problems = {each.problem_id: each for step in store.history() for each in step.problems}
        for step in store.history(after=0):
            families = [each.family for each in step.problems]
            assert max(map(families.count, families), default=0) <= 2, "a quarter of 7 places or fewer"
    assert {"dozen"} < {each.family for each in problems.values()}, "long texts went through the archive too"
    named = ("challenger/novelty", "challenger/aim", "challenger/learned", "challenger/gated")
    for name in named:
        assert any(name in row.metrics for row in rows), name
    assert all(0 < row.metrics["challenger/novelty"] <= 1 for row in rows if "challenger/novelty" in row.metrics)
    assert any(row.metrics.get("challenger/novelty", 1.0) < 1 for row in rows)
    assert any(row.metrics.get("challenger/learned", 0.0) != 0 for row in rows)
    with Store.open_readonly(plain / "x" / "selfplay.db") as store:
        assert not any(name in row.metrics for row in store.steps() for name in named)


@pytest.mark.parametrize("key", [*ALL, "challenger.gate=loose", "challenger.gate=none"])
def test_each_key_alone_changes_what_is_learned(server: Server, plain: Path, tmp_path: Path, key: str) -> None:
    if key.startswith("challenger.novelty"):
        pytest.importorskip("datasketch")
    ended = start(server, tmp_path, key)
    assert ended.code == 0, ended.output
    assert result(tmp_path)[1] != result(plain)[1]


def test_an_aim_that_names_nothing_is_one_line_before_anything_is_loaded(server: Server, tmp_path: Path) -> None:
    ended = start(server, tmp_path, "challenger.aim=add9", "model.name=nowhere/to-be-found")
    assert ended.code in (DATA, USAGE) and not (tmp_path / "x").exists()
    [line] = [line for line in ended.output.splitlines() if "challenger.aim=add9" in line]
    assert "give one of add1, mul1, or the path of a JSONL file" in line


@pytest.mark.slow
def test_without_datasketch_novelty_is_one_line_with_the_command(tmp_path: Path) -> None:
    """In a process that cannot find the package."""
    hide = "import sys, importlib.util as u; find = u.find_spec; "
    hide += "u.find_spec = lambda name, *more: None if name == 'datasketch' else find(name, *more)"
    arguments = [*SMALL, f"run.dir={tmp_path}", "challenger.novelty=0.5"]
    code = f"{hide}; from selfplay.loop import main; sys.exit(main({json.dumps(arguments)}))"
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True)
    assert ended.returncode not in (0, 1), ended.stderr
    assert (
        "challenger.novelty=0.5 needs datasketch, which is not installed: `uv sync --extra datasketch`" in ended.stderr
    )
    assert "Traceback" not in ended.stderr
