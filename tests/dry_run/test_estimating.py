"""What follows from a measured step, without a model."""

from dataclasses import replace

import pytest

from selfplay.dry_run.estimate import (
    LATER_STEPS,
    Evaluations,
    Free,
    Measured,
    Memory,
    Plan,
    Storage,
    estimate,
    sized,
)
from selfplay.dry_run.shown import lasting

MEASURED = Measured(
    trained_parameters=10,
    all_parameters=12,
    start_seconds=5.0,
    step_seconds=4.0,
    phase_seconds={"solve": 3.0, "other": 1.0},
    tokens_computed=100,
    tokens_flat=300,
    trained_groups=3,
    answer_tokens=7.0,
    memory=Memory(loading_bytes=500, step_bytes=900, evaluation_bytes=950, checkpoint_bytes=700),
    storage=Storage(
        checkpoint_bytes=1000, journal_bytes=10, database_bytes=100, step_bytes=7, evaluation_bytes=2.5, log_bytes=1
    ),
    evaluations=Evaluations(sets=2, problems=40, sampled=40, full_seconds=(3.0, 2.0), interim_seconds=0.5),
    checkpoint_seconds=1.5,
)
PLAN = Plan(steps=10, evaluate_every=4, checkpoint_every=4, keep_checkpoints=2, max_tokens=8)
AMPLE = Free(memory_bytes=10**6, disk_bytes=10**6)


def kept(plan: Plan) -> tuple[int, int, int, int]:
    """Checkpoints and journals, at most and at the end, by doing what a run does."""
    checkpoints: list[int] = []
    journals: list[int] = []
    most_checkpoints = most_journals = 0
    for step in range(1, plan.steps + 1):
        journals.append(step)
        most_journals = max(most_journals, len(journals))
        if step % plan.checkpoint_every == 0 or step == plan.steps:
            checkpoints.append(step)
            most_checkpoints = max(most_checkpoints, len(checkpoints))
            checkpoints = checkpoints[-plan.keep_checkpoints :]
            journals = [each for each in journals if each >= checkpoints[0]]
    return most_checkpoints, most_journals, len(checkpoints), len(journals)


def test_what_is_kept_is_what_a_run_keeps() -> None:
    for steps in range(1, 26):
        for every in range(1, 8):
            for keep in range(1, 4):
                plan = replace(PLAN, steps=steps, checkpoint_every=every, keep_checkpoints=keep)
                said = (plan.checkpoints_at_most, plan.journals_at_most, plan.checkpoints_at_end, plan.journals_at_end)
                assert said == kept(plan), plan


@pytest.mark.parametrize(("steps", "every", "interim"), [(1, 1, 0), (2, 1, 1), (10, 4, 2), (8, 4, 1), (3, 20, 0)])
def test_interim_evaluations_lie_between_the_full_ones(steps: int, every: int, interim: int) -> None:
    assert replace(PLAN, steps=steps, evaluate_every=every).interim_evaluations == interim


def test_the_whole_run_is_its_steps_evaluations_and_checkpoints() -> None:
    found = estimate(MEASURED, PLAN, AMPLE)
    low, high = LATER_STEPS
    assert found.seconds[0] == pytest.approx(5 + 4 + 9 * 4 * low + 2 * 2.0 + 2 * 0.5 + 3 * 1.5)
    assert found.seconds[1] == pytest.approx(5 + 4 + 9 * 4 * high + 2 * 3.0 + 2 * 0.5 + 3 * 1.5)
    assert (found.tokens_computed, found.tokens_flat) == (1000, 3000)
    assert (found.memory_bytes, found.evaluation_adds_bytes, found.checkpoint_adds_bytes) == (950, 50, 0)
    assert found.database_bytes == 100 + 10 * 7 + 2 * 4 * 2.5
    assert found.disk_bytes_at_end == 2 * 1000 + 3 * 10 + found.database_bytes + 10
    assert found.disk_bytes_at_most == 3 * 1000 + 7 * 10 + found.database_bytes + 10
    assert found.warnings == () and len(found.notes) == 1 and "slower than later ones" in found.notes[0]


def test_too_little_memory_or_disk_is_a_warning() -> None:
    enough = Free(memory_bytes=950, disk_bytes=estimate(MEASURED, PLAN, AMPLE).disk_bytes_at_most)
    assert estimate(MEASURED, PLAN, enough).warnings == ()
    memory = estimate(MEASURED, PLAN, replace(enough, memory_bytes=949)).warnings
    disk = estimate(MEASURED, PLAN, replace(enough, disk_bytes=enough.disk_bytes - 1)).warnings
    assert [line.split(":")[0] for line in (*memory, *disk)] == [
        "the run needs 1 kB of memory, and 1 kB are free",
        f"the run needs {sized(enough.disk_bytes)} of disk, and 3 kB are free",
    ]
    on_gpu = replace(MEASURED, memory=replace(MEASURED.memory, device_bytes=5 * 10**9))
    (line,) = estimate(on_gpu, PLAN, replace(AMPLE, device_bytes=10**9)).warnings
    assert line == "the run needs 5.0 GB on the GPU, and 1.0 GB are free"
    assert estimate(MEASURED, PLAN, replace(AMPLE, memory_bytes=None)).warnings == (), "nobody tells"


def test_what_the_figures_do_not_hold_is_said() -> None:
    untrained = estimate(replace(MEASURED, trained_groups=0), PLAN, AMPLE).notes
    assert len(untrained) == 1 and "no group of this step had a signal" in untrained[0]
    (short,) = estimate(MEASURED, replace(PLAN, steps=1, max_tokens=512), AMPLE).notes
    assert "7 tokens on average, and solver.max_tokens=512" in short
    sampled = replace(MEASURED, evaluations=replace(MEASURED.evaluations, sampled=9))
    assert any("9 of 40 problems" in line for line in estimate(sampled, PLAN, AMPLE).notes)
    assert any("no checkpoint" in n for n in estimate(replace(MEASURED, checkpoint_seconds=None), PLAN, AMPLE).notes)
    beside = estimate(MEASURED, replace(PLAN, worker_keys_mib=1024), AMPLE).notes
    assert any("vLLM's takes the model once more, and the engine.kv_cache_mib=1024 MiB" in line for line in beside)
    busy = estimate(MEASURED, replace(PLAN, threads=2), replace(AMPLE, load=1.0, processors=2)).notes
    assert any("other work kept 1.0 of 2 processors busy" in line for line in busy)


def test_figures_for_people() -> None:
    assert [sized(n) for n in (0, 40_200, 3_440_000, 857e6, 4.94e9)] == ["0 kB", "40 kB", "3.4 MB", "857 MB", "4.9 GB"]
    assert [lasting(*r) for r in ((40, 90), (300, 540), (9000, 19800), (10**5, 2 * 10**5))] == [
        "40 to 90 s", "5 to 9 min", "2.5 to 5.5 h", "1.2 to 2.3 d",
    ]  # fmt: skip
