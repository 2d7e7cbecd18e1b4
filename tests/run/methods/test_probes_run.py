"""Checkpoints compared by probes, and a run that goes back: by real runs, killed where it hurts.

The runs learn in nine steps to answer in time, on a random model, beside coins that are paid as well. Their learning
rate rises until it is far too high, and what was learned is lost between steps 12 and 15.
"""

import json
import random
import signal
from collections.abc import Mapping
from pathlib import Path

import pytest
from run_server import Ended, Server

from curriculum.selection.probes import ProbeSets
from selfplay import metrics
from selfplay.machine.errors import DATA, OK, USAGE
from selfplay.suite.product import product
from selfplay.view.probes import probes
from store.records import Pick, Probe
from store.store import Store

LOSING = (
    "configs/tiny.yaml", "run.name=x", "run.threads=1", "run.steps=18", "run.checkpoint_every=3",
    "run.keep_checkpoints=2", "domain=few_problems:Brief", "challenger.source=procedural", "solver.problems=8",
    "solver.turns=1", "curriculum.min_successes=1", "judge.rewards=[{part: verdict}, {part: random}]",
    "train.learning_rate=0.1", "train.warmup_steps=30", "train.decay_steps=0", "evaluate.every=500",
    "evaluate.pass_size=1", "evaluate.pass_k=1", "logging.transcript_every=0", "probes.size=8", "probes.rollback=2",
)  # fmt: skip
LOST, BEST = 15, 12
KILLED = -signal.SIGKILL
Result = tuple[str, list[str]]


def start(server: Server, directory: Path, *more: str, **options: object) -> Ended:
    return server.run([*LOSING, f"run.dir={directory}", *more], **options)  # type: ignore[arg-type]


def resume(server: Server, directory: Path, *more: str, **options: object) -> Ended:
    return server.run(["--resume", "x", f"run.dir={directory}", *more], **options)  # type: ignore[arg-type]


def at(point: str) -> Mapping[str, str]:
    return {"SELFPLAY_KILL_AT": point}


def opened(directory: Path) -> Store:
    return Store.open_readonly(directory / "x" / "selfplay.db")


def result(directory: Path) -> Result:
    """The digest of the rows, and of the weights after every step."""
    with opened(directory) as store:
        assert list(store.damages()) == []
        return store.table_digest(), [row.weights_digest for row in store.steps()]


@pytest.fixture(scope="module")
def lost(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that went back, and was never stopped."""
    directory = tmp_path_factory.mktemp("lost")
    ended = start(server, directory)
    assert ended.code == OK, ended.output
    (directory / "output.txt").write_text(ended.output)
    return directory


def test_a_run_that_loses_what_it_learned_goes_back_and_says_why(lost: Path) -> None:
    with opened(lost) as store:
        picks, steps, alarms = store.picks(), store.steps(), store.alarms()
    back = [pick for pick in picks if pick.is_rollback]
    assert [(pick.step, pick.best_step, pick.policy_version) for pick in back] == [(LOST, BEST, LOST + 1)]
    assert back[0].best_product - back[0].product > 2 * back[0].standard_error > 0
    assert [pick.step for pick in picks] == [3, 6, 9, 12, 15, 18]
    assert [row.policy_version for row in steps] == [*range(LOST + 1), *range(LOST + 2, 18 + 2)], "steps keep counting"
    assert picks[-1].easy_solved > back[0].easy_solved, "the new branch can do again what was lost"
    mine = [(step, alarm.event.value) for step, alarm in alarms if alarm.name == "probes"]
    assert mine == [(LOST, "RAISED"), (18, "OVER")]
    output = (lost / "output.txt").read_text()
    assert f"went back after step {LOST} to the weights of step {BEST}" in output
    assert f"The run goes on with the weights of step {BEST}" in output


def test_a_probe_is_posed_no_more(lost: Path) -> None:
    with opened(lost) as store:
        taken, size = store.probes(), 8
        sets = ProbeSets(size, 1, store.run().seed)
        tried = {each.step: {rate.problem_id for rate in each.pass_rates} for each in store.history()}
    by_step: dict[int, list[Probe]] = {}
    for step, probe in taken:
        assert probe.problem_id in tried[step]
        by_step.setdefault(step, []).append(probe)
    for step in range(1, 19):
        assert not sets.withheld & tried[step], step
        sets.add(by_step.get(step, ()))
    assert len(taken) > len(sets.withheld) > size, "some were driven out, and both sets have members"


def test_every_checkpoint_answered_the_probes_that_came_after_it(lost: Path) -> None:
    """The best one's row of the last but one comparison has probes that were taken after it was made."""
    with opened(lost) as store:
        found, answers, taken = probes(store), store.probe_answers(), store.probes()
    later = {probe.problem_id for step, probe in taken if step > BEST}
    assert later & answers[BEST].keys()
    assert set(answers) == {3, 6, 9, 12, 15, 18}
    assert found["best"] == found["picks"][-1]["best_step"]
    assert {row["kind"] for row in found["probes"]} == {"HARD", "EASY"}


def test_each_comparison_is_a_line_of_the_metrics(lost: Path) -> None:
    lines = [json.loads(line) for line in (lost / "x" / "metrics.jsonl").read_text().splitlines()]
    compared = [line for line in lines if line.get("kind") == "probes"]
    assert [line["step"] for line in compared] == [3, 6, 9, 12, 15, 18]
    assert set(compared[0]) == {"step", "time", "kind"} | {each.name for each in metrics.PROBE_METRICS}
    assert [line["probe/rollback"] for line in compared] == [0, 0, 0, 0, 1, 0]


AROUND = (  # of step 15 and its checkpoint, of the pick and the way back, of what follows them
    "loop.committed:15", "checkpoint.files:1", "checkpoint.row_committed:1", "probes.answered:1", "probes.answered:1",
    "pick.inserted:1", "pick.committed:1", "wave.committed:1", "loop.updated:1", "loop.committed:1", "wave.inserted:1",
    "loop.committed:1", "checkpoint.row_committed:1", "probes.answered:1", "pick.committed:1",
)  # fmt: skip


@pytest.mark.slow
def test_killed_all_around_the_way_back(server: Server, lost: Path, tmp_path: Path) -> None:
    """A chain: each process resumes what the one before it left, and is killed a little later."""
    ended = start(server, tmp_path, environment=at(AROUND[0]))
    assert ended.code == KILLED, ended.output
    said = ""
    for point in AROUND[1:]:
        ended = resume(server, tmp_path, environment=at(point))
        assert ended.code == KILLED, (point, ended.output)
        said += ended.output
    ended = resume(server, tmp_path)
    assert ended.code == OK, ended.output
    assert "replaying steps 16 to 17" in said, "from the best checkpoint, and not through what was undone"
    assert result(tmp_path) == result(lost)
    whole = (tmp_path / "x" / "metrics.jsonl").read_text().splitlines()
    assert len(whole) == len((lost / "x" / "metrics.jsonl").read_text().splitlines())


@pytest.mark.parametrize(
    "point",
    [
        "pick.rolled_back:1",
        *(pytest.param(each, marks=pytest.mark.slow) for each in ("prune.files:4", "checkpoint.row_deleted:4")),
    ],
)
def test_killed_once(server: Server, lost: Path, tmp_path: Path, point: str) -> None:
    assert start(server, tmp_path, environment=at(point)).code == KILLED
    ended = resume(server, tmp_path)
    assert ended.code == OK, ended.output
    assert result(tmp_path) == result(lost)


@pytest.mark.slow
def test_killed_at_random_times(server: Server, lost: Path, tmp_path: Path) -> None:
    rng, kills = random.Random(2026), 0
    ended = start(server, tmp_path, environment=at("loop.committed:11"))
    while kills < 4:
        ended = resume(server, tmp_path, signal_after=(signal.SIGKILL, rng.uniform(0.5, 4.0)))
        assert ended.code in (KILLED, OK), ended.output
        kills += 1
    ended = resume(server, tmp_path)
    assert ended.code == OK, ended.output
    assert result(tmp_path) == result(lost)


def test_the_way_back_is_made_again_without_the_best_checkpoint(server: Server, lost: Path, tmp_path: Path) -> None:
    """A damaged one is made again out of an older one and the journals."""
    ended = start(server, tmp_path, "run.keep_checkpoints=3", environment=at("loop.committed:16"))
    assert ended.code == KILLED
    masters = tmp_path / "x" / "checkpoints" / f"step_{BEST:06d}" / "trainer-master.safetensors"
    damaged = bytearray(masters.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    masters.write_bytes(damaged)
    ended = resume(server, tmp_path)
    assert ended.code == OK, ended.output
    assert f"made the checkpoint of step {BEST} again" in ended.output
    assert result(tmp_path)[1] == result(lost)[1]


def test_where_nothing_older_is_left_the_refusal_says_what_can_be_done(server: Server, tmp_path: Path) -> None:
    """Of two checkpoints one is of the lost weights, and the best one's optimizer is damaged."""
    ended = start(server, tmp_path, environment=at("loop.committed:16"))
    assert ended.code == KILLED
    best = tmp_path / "x" / "checkpoints" / f"step_{BEST:06d}"
    masters = bytearray((best / "trainer-master.safetensors").read_bytes())
    masters[len(masters) // 2] ^= 1
    (best / "trainer-master.safetensors").write_bytes(masters)
    ended = resume(server, tmp_path)
    assert ended.code == DATA
    said = " ".join(ended.output.split())
    assert "no checkpoint can be used and the early journal is pruned" in said
    assert f"a new run can begin with the weights in {best / 'policy'} (model.name=)" in said


def test_the_best_is_a_name_for_commands_and_outlives_the_newest(server: Server, tmp_path: Path) -> None:
    """What was learned is lost in the last three steps, after which nothing goes back."""
    ended = start(server, tmp_path, f"run.steps={LOST}", "run.keep_checkpoints=1")
    assert ended.code == OK, ended.output
    assert f"step_{BEST:06d}/policy, by its probes: step {BEST}" in "".join(ended.output.split("\n"))
    run = tmp_path / "x"
    assert sorted(each.name for each in (run / "checkpoints").iterdir()) == ["step_000012", "step_000015"]
    step, folder = product(f"{run}@best", tmp_path)
    assert step == BEST and (folder / "config.json").is_file()
    shares = {}
    for name in (f"{run}@best", str(run)):
        words = [name, "--set", "few_problems:Brief:add1", "--json"]
        said = server.run(words, program="selfplay.evaluate")
        assert said.code == OK, said.output
        shares[name] = json.loads(said.output[said.output.index("{") :])["model"]["sets"][0]["first_try"][0]
    assert shares[f"{run}@best"] > shares[str(run)] == 0.0


def test_a_run_goes_on_from_the_best_by_hand(server: Server, tmp_path: Path) -> None:
    ended = start(server, tmp_path, f"run.steps={LOST}", "probes.rollback=0")
    assert ended.code == OK, ended.output
    ended = resume(server, tmp_path, "run.steps=16", "resume.mode=best")
    assert ended.code == OK, ended.output
    assert f"rewound to step {BEST}; steps {BEST + 1} to {LOST} are abandoned" in ended.output
    with opened(tmp_path) as store:
        assert [row.policy_version for row in store.steps()] == list(range(17))


def test_a_run_without_probes_has_no_best(server: Server, tmp_path: Path) -> None:
    ended = start(server, tmp_path, "run.steps=3", "probes.size=0")
    assert ended.code == OK, ended.output
    with opened(tmp_path) as store:
        assert store.probes() == [] == store.picks() and store.probe_answers() == {}
    ended = resume(server, tmp_path, "run.steps=4", "resume.mode=best")
    assert ended.code == USAGE and "nothing has compared its checkpoints" in ended.output
    said = server.run([f"{tmp_path / 'x'}@best"], program="selfplay.evaluate")
    assert said.code == USAGE and "probes.size" in said.output


def test_the_path_of_weights_leaves_out_what_was_undone() -> None:
    from selfplay.run.versions.path import weights_path

    def back(step: int, best: int, version: int) -> Pick:
        return Pick(step, best, 1, 1, 0, 0, 0.1, 1, 1, 0.4, 0.1, version, is_rollback=True)

    def steps(head: int, *picks: Pick) -> list[int]:
        path = weights_path(head, picks)
        return [step for step in range(1, head + 3) if path.has(step)]

    assert steps(4) == [1, 2, 3, 4]
    assert steps(6, back(6, 2, 7)) == [1, 2], "at once"
    assert steps(8, back(6, 2, 7)) == [1, 2, 7, 8]
    assert steps(5, back(6, 2, 7)) == [1, 2, 3, 4, 5], "before it"
    twice = back(6, 4, 7), back(9, 4, 11)
    assert steps(10, *twice) == [1, 2, 3, 4, 10]
    nested = back(6, 2, 7), back(12, 8, 14)
    assert steps(13, *nested) == [1, 2, 7, 8, 13]
    assert weights_path(13, nested).versions == {6: 7, 12: 14}
