"""One command for a supervisor, and what it leaves: `--auto-resume`, times of day, the exported model (case 19)."""

import json
from pathlib import Path

import pytest
from omegaconf import OmegaConf
from run_server import Ended, Server

from selfplay.arguments import parse
from selfplay.config.resuming import auto_resumed
from selfplay.machine.errors import ConfigError
from selfplay.run.model_card import model_card
from store.records import Evaluation, RunRow
from store.store import Store

SMALL = [
    "configs/tiny.yaml", "run.name=x", "run.threads=1", "run.steps=2", "run.checkpoint_every=2",
    "domain=few_problems:FewProblems", "solver.problems=2", "solver.max_tokens=4", "curriculum.min_successes=1",
    "evaluate.pass_size=1", "evaluate.pass_k=2", "evaluate.every=9",
]  # fmt: skip


def command(server: Server, directory: Path, *arguments: str) -> Ended:
    """By a user whose files are for the group too."""
    return server.run([*SMALL, f"run.dir={directory}", "--auto-resume", *arguments], fault="a umask of 027")


@pytest.fixture(scope="module")
def finished(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of runs with one that `--auto-resume` began, went on with, and found finished."""
    directory = tmp_path_factory.mktemp("runs")
    began = command(server, directory, "run.steps=1")
    assert began.code == 0, began.output
    went_on = command(server, directory)
    assert (went_on.code, "resumed after step 1" in went_on.output) == (0, True), went_on.output
    return directory


def test_one_command_starts_goes_on_and_finds_a_run_finished(server: Server, finished: Path) -> None:
    """Case 19."""
    before = (finished / "x" / "selfplay.db").read_bytes()
    again = command(server, finished)
    assert (again.code, again.output) == (0, f"run {finished / 'x'} is finished: there is nothing to do\n")
    assert (finished / "x" / "selfplay.db").read_bytes() == before
    with Store.open_readonly(finished / "x" / "selfplay.db") as store:
        assert store.head().step == 2


def test_auto_resume_refuses_another_configuration_and_goes_with_no_resume(finished: Path) -> None:
    """Case 19: the same rule as --resume, for what the file says too."""
    with pytest.raises(ConfigError, match=r"train.learning_rate cannot change on resume"):
        parse([*SMALL, f"run.dir={finished}", "--auto-resume", "train.learning_rate=1"])
    with pytest.raises(ConfigError, match="--resume takes the name or folder of one run"):
        parse(["--resume", "--auto-resume", "x"])
    longer = parse([*SMALL, f"run.dir={finished}", "--auto-resume", "run.steps=9"])
    assert longer is not None and longer.is_resume and longer.config.run.steps == 9
    fresh = parse([*SMALL, f"run.dir={finished}", "--auto-resume", "run.name=y"])
    assert fresh is not None and not fresh.is_resume


def test_a_run_is_finished_only_with_its_last_evaluation_and_checkpoint(finished: Path, tmp_path: Path) -> None:
    """Case 19: exit 0 at once must not leave work undone."""
    config = parse([*SMALL, f"run.dir={tmp_path}"]).config  # type: ignore[union-attr]
    (tmp_path / "x" / "checkpoints" / "step_000002").mkdir(parents=True)
    (tmp_path / "x" / "selfplay.db").write_bytes((finished / "x" / "selfplay.db").read_bytes())
    assert auto_resumed(config) is None
    with Store.open(tmp_path / "x" / "selfplay.db") as store:
        store.commit_evaluation(Evaluation(0, "later", "full", {"acc_t1": 0.0}))
        assert auto_resumed(config) == (config, True)
        store.commit_evaluation(Evaluation(2, "later", "full", {"acc_t1": 0.0}))
        assert auto_resumed(config) is None
    (tmp_path / "x" / "checkpoints" / "step_000002").rmdir()
    assert auto_resumed(config) == (config, True)


def test_a_checkpoints_files_have_the_umasks_mode_and_a_model_card(finished: Path) -> None:
    """Case 19."""
    folder = finished / "x" / "checkpoints" / "step_000002"
    modes = {path.name: path.stat().st_mode & 0o777 for path in folder.rglob("*") if path.is_file()}
    assert set(modes.values()) == {0o640}, modes
    assert "policy/README.md" in json.loads((folder / "manifest.json").read_text())["files"]
    _, front, body = (folder / "policy" / "README.md").read_text().split("---\n", 2)
    told = OmegaConf.to_container(OmegaConf.create(front))
    assert isinstance(told, dict)
    assert (told["library_name"], told["pipeline_tag"], told["license"]) == ("transformers", "text-generation", "other")
    assert "run: `x`, seed 0, step 2 of 2" in body and "| add1 | 2 | " in body and "judge.rewards=random" in body
    assert str(finished) not in body


def test_a_card_is_a_function_of_the_run_and_knows_the_base() -> None:
    """Case 19: no clock, no later evaluation, no path."""
    run = RunRow("x", 7, "", "c0ffee", "", 3, 2)
    found = [Evaluation(0, "add2", "full", {"n": 4, "acc_t1": 0.25, "seconds": 1.0})]
    later = [Evaluation(2, "add2", "full", {"n": 4, "acc_t1": 0.5, "acc_t2": 0.75, "seconds": 2.0})]
    config = {"domain": "arithmetic", "model": {"name": "smollm2-135m"}, "run": {"steps": 9}}
    first = model_card(run, config, 1, found)
    assert first == model_card(run, config, 1, [*later, *found]), "of what came later it knows nothing"
    assert 'base_model: "HuggingFaceTB/SmolLM2-135M-Instruct"' in first and 'license: "apache-2.0"' in first
    assert "| add2 | 2 | 4 | 0.25 | 0.50 | 0.75 |" in model_card(run, config, 2, [*later, *found])
    adapted = config | {"model": {"name": "/home/somebody/base"}, "policy": {"lora": {"r": 4}}}
    card = model_card(run, adapted, 1, [])
    assert 'library_name: "peft"' in card and "/home" not in card and "base_model:" not in card
    assert 'base_model: "org/some-model"' in model_card(run, config | {"model": {"name": "org/some-model"}}, 1, [])
