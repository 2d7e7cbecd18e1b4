"""Looking at a run: every command, as people and as programs read it, without touching it."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from run_server import ENVIRONMENT, ROOT, Ended, Server

Inspect = Callable[..., Ended]
Told = Callable[..., Any]


@pytest.fixture(scope="module")
def runs(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one finished run."""
    directory = tmp_path_factory.mktemp("runs")
    arguments = [
        "configs/tiny.yaml", "run.name=x", f"run.dir={directory}", "run.steps=3", "run.threads=1", "evaluate.every=2",
        "domain=few_problems:FewProblems", "evaluate.pass_size=2", "evaluate.pass_k=2",
    ]  # fmt: skip
    done = server.run(arguments)
    assert done.code == 0, done.output
    return directory


@pytest.fixture
def inspect(server: Server, runs: Path) -> Inspect:
    """The command in a process of its own; what it says on both streams."""
    return lambda *arguments: server.run([*arguments, "--dir", str(runs)], program="selfplay.inspect")


@pytest.fixture
def told(inspect: Inspect) -> Told:
    def parsed(*arguments: str) -> Any:
        done = inspect(*arguments, "--json")
        assert done.code == 0, done.output
        return json.loads(done.output)

    return parsed


def test_runs_and_status_say_where_it_stands(inspect: Inspect, told: Told) -> None:
    (found,) = told("runs")
    assert (found["name"], found["head_step"]) == ("x", 3)
    status = told("status", "x")
    assert status["head_step"] == 3
    assert status["problems"] == 12 == sum(status["states"].values())
    assert {row["set"] for row in status["evaluations"]} == {"add1", "mul1"}
    assert "frontier" in inspect("status", "x").output


def test_a_copied_run_is_called_by_its_folder(server: Server, runs: Path, tmp_path: Path) -> None:
    """Its store has the name that it was made with; columns are in words, and say which zone times are of."""
    shutil.copytree(runs / "x", tmp_path / "copy")
    lines = server.run(["status", str(tmp_path / "copy")], program="selfplay.inspect").output.splitlines()
    assert lines[0].startswith("copy, stored as x, seed 0: step 3 of 3")
    assert any("started (UTC)" in line and "at step" in line for line in lines)
    assert not any("started_at" in line or "head_step" in line for line in lines)
    found = server.run(["status", str(tmp_path / "copy"), "--json"], program="selfplay.inspect").output
    assert (json.loads(found)["folder"], json.loads(found)["name"]) == ("copy", "x")


def test_problems_are_filtered_and_sorted(inspect: Inspect, told: Told) -> None:
    everything = told("problems", "x")["problems"]
    assert [row["pass_rate"] for row in everything] == sorted(row["pass_rate"] for row in everything)
    sums = told("problems", "x", "--family", "d+d", "--limit", "2")["problems"]
    assert len(sums) == 2
    assert {row["family"] for row in sums} == {"d+d"}
    middle = (everything[0]["pass_rate"] + everything[-1]["pass_rate"]) / 2
    hard = told("problems", "x", "--max-rate", str(middle), "--sort", "family")["problems"]
    assert 0 < len(hard) < len(everything)
    assert {row["problem_id"] for row in hard} == {row["problem_id"] for row in everything if row["pass_rate"] < middle}
    assert [row["family"] for row in hard] == sorted(row["family"] for row in hard)
    assert inspect("problems", "x", "--sort", "beauty").code == 2


def test_show_tells_every_attempt_of_a_problem(inspect: Inspect, told: Told) -> None:
    tried = next(row for row in told("problems", "x", "--sort", "attempts")["problems"] if row["attempts"])
    found = told("show", "x", tried["problem_id"][:6])
    assert len(found["attempts"]) == tried["attempts"]
    assert all(len(attempt["turns"]) == 2 for attempt in found["attempts"])
    assert inspect("show", "x", tried["problem_id"]).code == 0


def test_a_tree_counts_the_attempts_of_a_step(inspect: Inspect, told: Told, tmp_path: Path) -> None:
    tried = next(row for row in told("problems", "x", "--sort", "attempts")["problems"] if row["attempts"])
    found = told("tree", "x", tried["problem_id"])
    assert found["step"] == max(found["steps"]) == tried["last_step"]
    attempts = told("show", "x", tried["problem_id"])["attempts"]
    of_step = [each for each in attempts if each["step"] == found["step"]]
    assert found["nodes"][0]["times"] == len(of_step) and found["nodes"][0]["said"] == tried["text"]
    assert inspect("tree", "x", tried["problem_id"], "-o", str(tmp_path / "a.svg")).code == 0
    for wrong in (["--step", "99"], ["-o", str(tmp_path / "a.doc")], ["-o", str(tmp_path / "none" / "a.png")]):
        done = inspect("tree", "x", tried["problem_id"], *wrong)
        assert done.code == 2 and done.output.count("\n") == 1, wrong


def test_a_models_bytes_never_reach_the_terminal(inspect: Inspect) -> None:
    shown = inspect("proposals", "x").output
    assert shown
    assert all(c.isprintable() or c == "\n" for c in shown), "the tiny model says random bytes"


def test_forecasts_are_scored_by_what_came(inspect: Inspect, told: Told) -> None:
    found = told("forecasts", "x", "--parts", "1")
    assert {row["by"] for row in found} == {"beta", "features", "family"} and {row["steps"] for row in found} == {"1-3"}
    groups = sum(row["groups"] for row in found if row["by"] == "beta")
    assert groups == sum(row["groups"] for row in found if row["by"] == "family") > 3
    assert all(0.0 <= row["coverage"] <= 1.0 and 0.0 < row["foretold"] < 1.0 for row in found)
    assert "signal foretold" in inspect("forecasts", "x").output


def test_proposals_are_counted_by_fate(inspect: Inspect, told: Told) -> None:
    found = told("proposals", "x", "--step", "2", "--limit", "3")
    assert sum(found["fates"].values()) == 8
    assert {row["step"] for row in found["proposals"]} == {2}
    assert inspect("proposals", "x", "--fate", "LUCKY").code == 2


def test_steps_and_digests(told: Told) -> None:
    assert [row["step"] for row in told("steps", "x")] == [1, 2, 3]
    found = told("digest", "x", "--tables")
    assert len({row["weights_digest"] for row in found["weights"]}) == 4
    assert len(found["checkpoint"]["sha256"]) == len(found["tables"]) == 64


def test_plot_writes_a_picture(inspect: Inspect, tmp_path: Path) -> None:
    path = tmp_path / "plot.png"
    assert inspect("plot", "x", "-o", str(path)).code == 0
    assert path.read_bytes().startswith(b"\x89PNG")
    assert path.stat().st_size > 20_000


def test_an_unknown_run_is_one_clear_line(inspect: Inspect) -> None:
    done = inspect("status", "nothing")
    assert done.code == 2
    assert done.output.startswith("error: there is no run 'nothing'")
    assert done.output.count("\n") == 1


def test_validate_domain_names_what_fails() -> None:
    """By the command as it is typed."""
    command = [sys.executable, "-m", "selfplay.inspect", "validate-domain", "few_problems:FewProblems", "--json"]
    done = subprocess.run(command, cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert all(check["passed"] for check in json.loads(done.stdout))
