"""Every script of examples/ runs, on a tiny model, and prints what its reader wants to see."""

import runpy
import sys
from pathlib import Path

import pytest

from selfplay import api

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
TINY = ("model.name=tiny-llama", "run.steps=1", "run.threads=1", "evaluate.pass_k=2", "evaluate.pass_size=4")
LONGEST = 40  # lines


@pytest.fixture(autouse=True)
def _where_they_are_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(EXAMPLES)


def said_by(name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    monkeypatch.setattr(sys, "argv", [name, *arguments])
    runpy.run_path(str(EXAMPLES / name), run_name="__main__")
    return capsys.readouterr().out


def test_own_questions(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    said = said_by("own_questions.py", monkeypatch, capsys, *TINY)
    assert said.endswith("step 0: 0.00 of 19 questions right\nstep 1: 0.00 of 19 questions right\n")


def test_own_domain(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    said = said_by("own_domain.py", monkeypatch, capsys, *TINY)
    assert said.count("\nTRUNCATED") + said.count("\nUNPARSED") == 20, "the newest of what a random model babbles"
    with api.open_store("runs/own-domain") as store:
        assert {problem.domain for problem, _ in store.problems()} == {"backwards"}
        assert sum(store.fate_counts().values()) == 48


def test_own_reward(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    said = said_by("own_reward.py", monkeypatch, capsys, *TINY)
    assert "reward/Brief_mean=+0." in said and "reward/correction_std=" in said and "'Brief': " in said


def test_read_store(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("pandas")
    keys = ["run.steps=2", "run.threads=1", "run.name=seen", "domain=sums", "domain_options.max_digits=1"]
    api.run(["configs/tiny.yaml", *keys])
    said = said_by("read_store.py", monkeypatch, capsys, "runs/seen")
    assert "rate" in said and "solver/pass_rate" in said and "1d" in said


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.name)
def test_an_example_is_short_and_says_how_to_run_it(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) < LONGEST
    assert f"\npython examples/{path.name} " in text.split('"""')[1]
