"""Rewards of a user's own and graded scores in real runs of a tiny model."""

import json
from collections.abc import Callable
from pathlib import Path
from statistics import fmean, pstdev
from typing import Any

import pytest
from run_server import Server
from store_samples import create
from typer.testing import CliRunner

from selfplay import metrics
from selfplay.arguments import parse
from selfplay.config import files as configuration
from selfplay.config.keys import Config
from selfplay.config.stored import what_was_run
from selfplay.inspect import app
from selfplay.machine.errors import USAGE, ConfigError, Refused
from store.records import Attempt, Outcome
from store.store import Store

SMALL = (
    "configs/tiny.yaml", "run.name=x", "run.threads=1", "run.steps=2", "run.checkpoint_every=9", "evaluate.every=9",
    "solver.problems=3", "solver.max_tokens=4", "evaluate.pass_size=1", "evaluate.pass_k=2", "challenger.source=none",
)  # fmt: skip


def left(directory: Path) -> tuple[list[str], list[Attempt], dict[str, float]]:
    """(weights' digests, attempts of step 1, metrics of step 1)."""
    with Store.open_readonly(directory / "x" / "selfplay.db") as store:
        ids = [problem.problem_id for step in store.history() for problem in step.problems]
        attempts = [found for each in ids for step, found in store.attempts(each) if step == 1]
        return [row.weights_digest for row in store.steps()], attempts, dict(store.step(1).metrics)


def test_a_reward_of_ones_own_that_failed_is_mended_and_the_run_goes_on(server: Server, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    parts = [
        {"part": "verdict", "weight": 1},
        {"part": "own_rewards:Mine", "weight": 0.5, "broken": str(broken)},
        {"part": "length", "weight": 0.25, "free": 1, "limit": 5},
    ]
    rewards = f"judge.rewards={json.dumps(parts)}"
    options = (rewards, "domain=few_problems:FewProblems")
    assert server.run([*SMALL, *options, f"run.dir={tmp_path}/whole"]).code == 0
    broken.write_text("the file with the weights is gone")
    stopped = server.run([*SMALL, *options, f"run.dir={tmp_path}/mended"])
    assert stopped.code == USAGE and "Traceback" not in stopped.output
    said = (
        "answers could not be judged (reward Mine: LookupError: the file with the weights is gone): mend it, and go on"
    )
    assert f"step 1: 24 of 24 {said} with --resume" in stopped.output, stopped.output
    assert stopped.output.count("nobody could judge it: reward Mine: LookupError") == 1
    broken.unlink()
    with pytest.raises(Refused, match="names code to run"):
        parse(["--resume", "x", f"run.dir={tmp_path}/mended", "domain=few_problems:FewProblems"])
    resumed = server.run(["--resume", "x", f"run.dir={tmp_path}/mended", *options])
    assert resumed.code == 0, resumed.output
    weights, attempts, figures = left(tmp_path / "whole")
    assert left(tmp_path / "mended")[0] == weights and len(set(weights)) == 3

    turns = [turn for each in attempts for turn in each.turns]
    assert len(turns) == 24 and {len(turn.parts) for turn in turns} == {3, 4}
    for turn in turns:
        assert turn.reward == pytest.approx(sum(turn.parts.values()), abs=1e-12) and turn.score is not None
    for name in ("verdict", "Mine", "length", "correction"):
        values = [turn.parts[name] for turn in turns if name in turn.parts]
        assert figures[metrics.PART_MEAN.format(part=name)] == pytest.approx(fmean(values), abs=1e-12)
        assert figures[metrics.PART_STD.format(part=name)] == pytest.approx(pstdev(values), abs=1e-12)
    assert figures[metrics.PART_STD.format(part="Mine")] > 0 and figures[metrics.JUDGE_ERRORS] == 0
    shown = CliRunner().invoke(app, ["show", "x", attempts[0].problem_id, "--dir", f"{tmp_path}/whole"])
    assert shown.exit_code == 0 and "Mine" in shown.output and "length" in shown.output


def test_a_judge_that_only_grades_gives_a_signal(server: Server, tmp_path: Path) -> None:
    options = ("domain=own_rewards:Graded", "judge.rewards=[{part: verdict}]", f"run.dir={tmp_path}")
    ended = server.run([*SMALL, *options, "solver.max_tokens=64"])
    assert ended.code == 0, ended.output
    weights, attempts, figures = left(tmp_path)
    assert {turn.outcome for each in attempts for turn in each.turns} <= {Outcome.INCORRECT, Outcome.TRUNCATED}
    assert figures[metrics.PASS_RATE] == 0.0 and figures[metrics.SIGNAL_SHARE] > 0.0 < figures[metrics.GRAD_NORM]
    assert weights[0] != weights[1]
    with Store.open_readonly(tmp_path / "x" / "selfplay.db") as store:
        rates = [rate for step in store.history() for rate in step.pass_rates]
    assert rates and any(rate.is_graded for rate in rates) and not any(rate.successes for rate in rates)


def stored(tmp_path: Path, change: Callable[[str], str] = str, **judge: Any) -> str:
    """A run folder x whose stored configuration has these keys; its text."""
    config = Config()
    config.run.name = "x"
    for name, value in judge.items():
        setattr(config.judge, name, value)
    text = change(configuration.to_yaml(config))
    digest = configuration.hashlib.sha256(text.encode()).hexdigest()
    create(tmp_path / "x" / "selfplay.db", config_yaml=text, config_digest=digest).close()
    return text


def test_a_stored_reward_is_not_run(tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    rewards = [{"part": "subprocess:Popen", "weight": 1, "args": ["touch", str(mark)]}]
    stored(tmp_path, rewards=rewards)
    word = f"judge.rewards={json.dumps(rewards)}"
    for more in ((), ("run.steps=3",)):
        with pytest.raises(Refused) as refusal:
            parse(["--resume", "x", f"run.dir={tmp_path}", *more])
        assert refusal.value.code == USAGE and f"run.dir={tmp_path} '{word}'" in str(refusal.value)
    with pytest.raises(ConfigError, match=r"judge.rewards cannot change on resume"):
        parse(["--resume", "x", f"run.dir={tmp_path}", "judge.rewards=[{part: random}]"])
    assert parse(["--resume", "x", f"run.dir={tmp_path}", word]) is not None and not mark.exists()


@pytest.mark.parametrize(
    ("old", "part", "told"), [("truth", "verdict", ""), ("format", "format", "judge.rewards=format")]
)
def test_a_run_of_before_goes_on_with_the_parts_that_its_reward_is(
    tmp_path: Path, old: str, part: str, told: str
) -> None:
    new = "  rewards:\n  - part: verdict\n    weight: 1.0\n  reward_seconds: 10.0\n"
    text = stored(tmp_path, lambda text: text.replace(new, f"  reward: {old}\n"))
    assert f"  reward: {old}\n" in text and "rewards" not in text
    resumed = parse(["--resume", "x", f"run.dir={tmp_path}"])
    assert resumed is not None and resumed.config.judge.rewards == [{"part": part, "weight": 1.0}]
    stored_as = configuration.OmegaConf.to_container(configuration.OmegaConf.create(text))
    assert told in what_was_run(stored_as) and ("self-play" in what_was_run(stored_as)) == (old == "truth")  # type: ignore[arg-type]
