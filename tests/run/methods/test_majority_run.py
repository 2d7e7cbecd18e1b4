"""A run whose judge is the majority of first tries."""

from pathlib import Path

from run_server import Server

from selfplay.machine.errors import OK
from store.records import Outcome
from store.store import Store

VOTED = [
    "configs/tiny.yaml", "run.threads=1", "domain=few_problems:AnyVoted", "judge.source=majority",
    "challenger.source=procedural", "curriculum.min_successes=1", "run.steps=3", "solver.max_tokens=24",
    "solver.temperature=1.0", "solver.turns=1",
]  # fmt: skip


def test_the_majority_judges_and_evaluations_go_by_the_domain(server: Server, tmp_path: Path) -> None:
    ended = server.run([*VOTED, "run.name=x", f"run.dir={tmp_path}"])
    assert ended.code == OK, ended.output
    with Store.open_readonly(tmp_path / "x" / "selfplay.db") as store:
        metrics = [row.metrics for row in store.steps()[1:]]
        attempts = [each for p, _ in store.problems() for _, each in store.attempts(p.problem_id)]
        evaluations = store.evaluations()
    assert all("judge/label_count" in each for each in metrics)
    assert any(each["judge/label_count"] > 0 and each["judge/label_accuracy"] < 1 for each in metrics)
    said = {turn.outcome for each in attempts for turn in each.turns}
    assert {Outcome.CORRECT, Outcome.UNJUDGED} <= said and evaluations
