"""Problems that are too hard, by real runs on a random model: led back to their bare form, and killed on the way."""

import signal
from pathlib import Path

import pytest
from run_server import Ended, Server

from selfplay import metrics
from selfplay.machine.errors import OK
from store.records import HelpKind
from store.store import Store

RESCUING = (
    "configs/tiny.yaml", "run.name=x", "run.threads=1", "run.steps=14", "run.checkpoint_every=5",
    "domain=few_problems:Rarely", "challenger.source=procedural", "solver.problems=8", "solver.group_size=2",
    "solver.turns=1", "curriculum.min_successes=1", "judge.rewards=[{part: verdict}]", "logging.transcript_every=0",
    "curriculum.rescue=hint", "curriculum.rescue_share=0.5",
)  # fmt: skip
KILLED = -signal.SIGKILL


def start(server: Server, directory: Path, *more: str, **options: object) -> Ended:
    return server.run([*RESCUING, f"run.dir={directory}", *more], **options)  # type: ignore[arg-type]


def opened(directory: Path) -> Store:
    return Store.open_readonly(directory / "x" / "selfplay.db")


def result(directory: Path) -> tuple[str, list[str]]:
    """The digest of the rows, and of the weights after every step."""
    with opened(directory) as store:
        assert list(store.damages()) == []
        return store.table_digest(), [row.weights_digest for row in store.steps()]


@pytest.fixture(scope="module")
def rescued(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("rescued")
    ended = start(server, directory)
    assert ended.code == OK, ended.output
    return directory


def test_help_shrinks_and_ends_and_groups_with_help_have_no_pass_rate(rescued: Path) -> None:
    with opened(rescued) as store:
        rows, history, steps = store.rescues(), list(store.history()), store.steps()
    assert {row.kind for _, row in rows} == {HelpKind.HINT}
    rated = {(each.step, rate.problem_id): rate for each in history for rate in each.pass_rates}
    for step, row in rows:
        rate = rated.get((step, row.problem_id))
        if row.given:
            assert rate is None
        else:
            assert rate is not None and (rate.attempts, rate.successes) == (row.attempts, row.successes)
    assert {row.given for _, row in rows} >= {0, 1, 2}
    assert any(row.given and row.successes for _, row in rows), "with help some are solved"
    assert any(not row.given and row.successes for _, row in rows), "and some are rescued"
    for step in steps[1:]:
        mine = [row for number, row in rows if number == step.step]
        assert step.metrics[metrics.RESCUE_POSED] == sum(row.given > 0 for row in mine)
        assert step.metrics[metrics.RESCUE_BARE] == sum(row.given == 0 for row in mine)
        assert step.metrics[metrics.RESCUE_FREED] == sum(row.given == 0 < row.successes for row in mine)
        assert step.metrics[metrics.PROBLEMS] == 8


def test_the_prompt_had_the_help_and_it_is_trained_on(rescued: Path) -> None:
    """Attempts with help are stored as any others, and paid within their own group."""
    with opened(rescued) as store:
        step, row = next((step, row) for step, row in store.rescues() if row.given and row.successes == 1)
        tried = [attempt for number, attempt in store.attempts(row.problem_id) if number == step]
    assert sorted(attempt.turns[0].reward for attempt in tried) == [0.0, 1.0]  # type: ignore[type-var]


@pytest.mark.slow
def test_killed_and_resumed_a_rescue_goes_on_with_the_same_bits(server: Server, rescued: Path, tmp_path: Path) -> None:
    ended = start(server, tmp_path, environment={"SELFPLAY_KILL_AT": "loop.committed:8"})
    assert ended.code == KILLED, ended.output
    resumed = ("--resume", "x", f"run.dir={tmp_path}")
    ended = server.run(resumed, environment={"SELFPLAY_KILL_AT": "wave.committed:3"})
    assert ended.code == KILLED, ended.output
    ended = server.run(resumed)
    assert ended.code == OK, ended.output
    assert result(tmp_path) == result(rescued)


def test_a_domain_that_cannot_tell_how_is_refused_in_one_line(server: Server, tmp_path: Path) -> None:
    ended = server.run(["configs/tiny.yaml", f"run.dir={tmp_path}", "domain=sums", "curriculum.rescue=reverse"])
    assert ended.code != OK
    assert "curriculum.rescue=reverse needs a domain with hints(problem), which sums lacks: " in ended.output
