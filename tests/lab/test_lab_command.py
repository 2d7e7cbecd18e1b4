"""The lab's command line: what it lists, what it refuses, and that a page's figures come from its rows."""

import json
import pickle
from pathlib import Path

import pytest

from selfplay.lab.__main__ import main
from selfplay.lab.experiments.registry import EXPERIMENTS
from selfplay.lab.pool import run_named


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    return int(ended.value.code or 0)


def test_every_experiment_is_listed_with_its_cells(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("list", "--json") == 0
    listed = {row["name"]: row["cells done"] for row in json.loads(capsys.readouterr().out)}
    assert listed.keys() == EXPERIMENTS.keys()
    for name, experiment in EXPERIMENTS.items():
        assert listed[name].endswith(f"/{len(experiment.gated) * len(experiment.seeds)}")


def test_what_is_not_there_is_refused_by_name(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("run", "alchemy") == 2
    assert run("run", "calibration", "--arm", "lead") == 2
    monkeypatch.chdir(tmp_path)  # no rows here
    assert run("report", "calibration") == 2
    first, second, third = capsys.readouterr().err.strip().splitlines()
    assert first == f"error: there is no experiment alchemy; there are {', '.join(EXPERIMENTS)}"
    assert "calibration has no arm lead; there are rlcr" in second
    assert "python -m selfplay.lab run calibration" in third


def test_the_figures_are_computed_from_the_rows(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("report", "self-correction", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert set(found) == {"name", "verdict", "commit", "seeds", "criteria", "arms"}
    assert found["seeds"] == [0, 1, 2] and found["verdict"] in ("positive", "negative", "inconclusive")
    row = json.loads(Path("docs/lab/self-correction/score-seed1.json").read_text())
    end = row["end"]["add4"]
    assert found["arms"]["score"]["1"]["Delta"] == pytest.approx(end["acc_t2"] - end["acc_t1"], abs=1e-6)


def test_a_cells_function_reaches_a_child_process() -> None:
    assert pickle.loads(pickle.dumps(run_named)).__module__ == "selfplay.lab.pool"  # __main__ would not be found there
