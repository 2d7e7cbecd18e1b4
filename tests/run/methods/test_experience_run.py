"""Runs with early experience: what is stored of it, the stage before RL, kills, and the control without execution."""

import signal
from pathlib import Path

import pytest
from journals import trained_labels
from run_server import Server

from selfplay.machine.errors import OK, USAGE
from store.store import Store

RUN = (
    "configs/tiny.yaml", "run.name=x", "run.threads=1", "run.steps=3", "run.checkpoint_every=2", "domain=chains",
    "challenger.source=procedural", "solver.problems=2", "solver.group_size=2", "solver.max_tokens=6",
    "evaluate.every=9", "evaluate.size=2", "evaluate.pass_size=1", "evaluate.pass_k=1",
    "train.experience.world_model=1", "train.experience.imitation=0.5", "train.experience.reflection=1",
    "train.experience.alternatives=2", "train.experience.max_tokens=8",
)  # fmt: skip
UNGROUNDED = "train.experience.grounded=false"  # a tiny model's reflections are noise, which only this control keeps


def result(directory: Path) -> tuple[str, list[str]]:
    with Store.open_readonly(directory / "x" / "selfplay.db") as store:
        return store.table_digest(), [row.weights_digest for row in store.steps()]


@pytest.fixture(scope="module")
def whole(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("whole")
    ended = server.run([*RUN, UNGROUNDED, f"run.dir={directory}"])
    assert ended.code == OK, ended.output
    return directory


def test_what_it_learned_from_is_stored(whole: Path) -> None:
    with Store.open_readonly(whole / "x" / "selfplay.db") as store:
        rows, metrics = store.experiences(), store.steps()[1].metrics
        assert list(store.damages()) == []
    assert {step for step, _ in rows} == {1, 2, 3}
    assert all(each.policy_version == step - 1 and each.is_right is None for step, each in rows)
    assert all(("=" in each.state) and each.action != "" for _, each in rows if each.is_expert)
    reflected = [each for _, each in rows if each.reflection is not None]
    assert reflected and all(each.is_expert and each.is_kept for each in reflected)
    labels = {"experience/state", "experience/expert", "experience/reflection"}
    assert labels < trained_labels(whole / "x")
    assert labels == {name.removeprefix("nll/") for name in metrics if name.startswith("nll/")}
    assert metrics["experience/states"] >= 4 and metrics["experience/reflections_kept"] == 1.0


@pytest.mark.parametrize(
    "point",
    [
        "loop.updated:2",
        *(pytest.param(each, marks=pytest.mark.slow) for each in ("loop.rolled_out:2", "loop.committed:3")),
    ],
)
def test_a_killed_run_resumes_with_the_same_bits(server: Server, whole: Path, tmp_path: Path, point: str) -> None:
    place = [f"run.dir={tmp_path}"]
    killed = server.run([*RUN, UNGROUNDED, *place], environment={"SELFPLAY_KILL_AT": point})
    assert killed.code == -signal.SIGKILL
    assert server.run(["--resume", "x", *place]).code == OK
    assert result(tmp_path) == result(whole)


def test_it_is_executed_and_goes_before_rl(server: Server, tmp_path: Path) -> None:
    ended = server.run([*RUN, f"run.dir={tmp_path}", "train.experience.steps=2", "train.experience.states=1",
                        "run.checkpoint_every=9"])  # fmt: skip
    assert ended.code == OK, ended.output
    with Store.open_readonly(tmp_path / "x" / "selfplay.db") as store:
        rows, steps = store.experiences(), store.steps()
    assert {step for step, _ in rows} == {1, 2} and {each.state_index for _, each in rows} == {0}
    assert all(each.next_state != "" and each.is_right is (True if each.is_expert else each.is_right)
               for _, each in rows)  # fmt: skip
    assert {each.is_right for _, each in rows} == {True, False}
    names = [{name for name in row.metrics if name.startswith(("nll/", "kl/"))} for row in steps[1:]]
    assert "nll/experience/state" in names[0] and names[2] == set()
    assert len({row.weights_digest for row in steps}) == 4


def test_a_domain_that_executes_nothing_is_refused(server: Server, tmp_path: Path) -> None:
    ended = server.run([*RUN, f"run.dir={tmp_path}", "domain=sums"])
    assert ended.code == USAGE
    assert "train.experience.world_model=1 needs a domain with executes(problem, state, action)" in ended.output
