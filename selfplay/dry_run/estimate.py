"""What a run will take, from one step of it that was measured and from how many steps, evaluations and checkpoints
it has. Pure. Bytes and seconds."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from pathlib import Path

# What a later step takes on average, as shares of the first: in ten runs of SmolLM2-135M and Gemma 3 270M (sums, chains
# of sums, words spelt backwards, word problems, programs; 3 to 24 steps) it was 0.51 to 1.06. Answers get shorter as a
# model learns to end them, and the first update also takes its memory from the system.
LATER_STEPS = (0.5, 1.1)
SPARE_LOAD = 0.5  # processors that others may keep busy without slowing a run
BELOW_LIMIT = 0.5  # answers that are shorter than this share of solver.max_tokens have room to grow


@dataclass(frozen=True, slots=True)
class Memory:
    """The most that the process held resident while the model was loaded and proved, in the step and a second update,
    in evaluations and in a checkpoint. `device_bytes`: tensors on the GPU, at most in all of it; None for a CPU."""

    loading_bytes: int
    step_bytes: int
    evaluation_bytes: int
    checkpoint_bytes: int
    device_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Storage:
    """What was written. `database_bytes` without any step or evaluation; `evaluation_bytes` are a set's row;
    `log_bytes` is what metrics.jsonl grows by in a step."""

    checkpoint_bytes: int
    journal_bytes: int
    database_bytes: int
    step_bytes: int
    evaluation_bytes: float
    log_bytes: int


@dataclass(frozen=True, slots=True)
class Evaluations:
    """Seconds of an evaluation of all sets, scaled from a sample: full before the step and after it, and interim (None
    where the run has none). `sampled` of `problems` were asked."""

    sets: int
    problems: int
    sampled: int
    full_seconds: tuple[float, float]
    interim_seconds: float | None


@dataclass(frozen=True, slots=True)
class Measured:
    """One step, and what goes with it. `phase_seconds`: phase of the step -> seconds, "other" for the rest of it.
    `trained_groups`: that the update learned from. `answer_tokens`: mean length of a turn of the solver's."""

    trained_parameters: int
    all_parameters: int
    start_seconds: float
    step_seconds: float
    phase_seconds: Mapping[str, float]
    tokens_computed: int
    tokens_flat: int
    trained_groups: int
    answer_tokens: float
    memory: Memory
    storage: Storage
    evaluations: Evaluations
    checkpoint_seconds: float | None  # None where there was no room for one


@dataclass(frozen=True, slots=True)
class Plan:
    """What of the configuration says how much there is to do."""

    steps: int
    evaluate_every: int
    checkpoint_every: int
    keep_checkpoints: int
    max_tokens: int  # of an answer
    threads: int = 1
    worker_keys_mib: int | None = None  # for keys and values of a sampler in a process of its own; None without one

    @property
    def interim_evaluations(self) -> int:
        return (self.steps - 1) // self.evaluate_every

    @property
    def checkpoints(self) -> int:
        return ceil(self.steps / self.checkpoint_every)

    @property
    def checkpoints_at_end(self) -> int:
        return min(self.checkpoints, self.keep_checkpoints)

    @property
    def checkpoints_at_most(self) -> int:
        """One is written before the oldest goes."""
        return min(self.checkpoints, self.keep_checkpoints + 1)

    @property
    def journals_at_end(self) -> int:
        """Those from the oldest kept checkpoint's step on."""
        return self.steps - self._step_of(self.checkpoints - self.checkpoints_at_end) + 1

    @property
    def journals_at_most(self) -> int:
        """At a checkpoint, before an old one goes with its journals. All that drop one are alike, but for the last."""
        last = self.checkpoints - 1
        return max(self._journals_at(index) for index in (0, min(self.keep_checkpoints, last), last))

    def _journals_at(self, index: int) -> int:
        """Before a checkpoint, counted from 0, has let any go."""
        if index == 0:
            return self._step_of(0)
        return self._step_of(index) - self._step_of(max(0, index - self.keep_checkpoints)) + 1

    def _step_of(self, index: int) -> int:
        """The step of a checkpoint, counted from 0."""
        return min((index + 1) * self.checkpoint_every, self.steps)


@dataclass(frozen=True, slots=True)
class Free:
    """What there is, before the run: of memory with what this process has already, None where the system does not
    tell; on the run's disk; on the GPU, None for a CPU. `load`: threads that others keep running, of `processors`."""

    memory_bytes: int | None
    disk_bytes: int
    device_bytes: int | None = None
    load: float = 0.0
    processors: int = 1


@dataclass(frozen=True, slots=True)
class Estimate:
    """Of the whole run. `seconds` is a range; `database_bytes` and `disk_bytes_at_end` are what it leaves."""

    memory_bytes: int
    evaluation_adds_bytes: int
    checkpoint_adds_bytes: int
    database_bytes: int
    disk_bytes_at_end: int
    disk_bytes_at_most: int
    tokens_computed: int
    tokens_flat: int
    seconds: tuple[float, float]
    notes: tuple[str, ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DryRun:
    """What a dry run found. `lines`: what the run said of itself while it was opened."""

    folder: Path
    measured: Measured
    plan: Plan
    free: Free
    estimate: Estimate
    lines: tuple[str, ...]


def estimate(measured: Measured, plan: Plan, free: Free) -> Estimate:
    """The whole run."""
    memory, storage = measured.memory, measured.storage
    most = max(memory.loading_bytes, memory.step_bytes, memory.evaluation_bytes, memory.checkpoint_bytes)
    rows = measured.evaluations.sets * (2 + plan.interim_evaluations)
    database = storage.database_bytes + plan.steps * storage.step_bytes + round(rows * storage.evaluation_bytes)
    beside = database + plan.steps * storage.log_bytes
    at_end = plan.checkpoints_at_end * storage.checkpoint_bytes + plan.journals_at_end * storage.journal_bytes + beside
    at_most = (
        plan.checkpoints_at_most * storage.checkpoint_bytes + plan.journals_at_most * storage.journal_bytes + beside
    )
    return Estimate(
        memory_bytes=most,
        evaluation_adds_bytes=max(0, memory.evaluation_bytes - memory.step_bytes),
        checkpoint_adds_bytes=max(0, memory.checkpoint_bytes - memory.step_bytes),
        database_bytes=database,
        disk_bytes_at_end=at_end,
        disk_bytes_at_most=at_most,
        tokens_computed=plan.steps * measured.tokens_computed,
        tokens_flat=plan.steps * measured.tokens_flat,
        seconds=_seconds(measured, plan),
        notes=tuple([*_notes(measured, plan), *_busy(plan, free)]),
        warnings=tuple(_warnings(most, memory.device_bytes, at_most, free)),
    )


def _seconds(measured: Measured, plan: Plan) -> tuple[float, float]:
    """The first step as it was, each later one as `LATER_STEPS` has it, and all that is not steps."""
    evaluations = measured.evaluations
    found = []
    for share, full in zip(LATER_STEPS, sorted(evaluations.full_seconds), strict=True):
        steps = measured.step_seconds * (1 + share * (plan.steps - 1))
        asked = 2 * full + plan.interim_evaluations * (evaluations.interim_seconds or 0.0)
        saved = plan.checkpoints * (measured.checkpoint_seconds or 0.0)
        found.append(measured.start_seconds + steps + asked + saved)
    return found[0], found[1]


def _notes(measured: Measured, plan: Plan) -> list[str]:
    """What the figures do not hold."""
    found = []
    if measured.trained_groups == 0:
        found.append(
            "no group of this step had a signal, so its update trained nothing: steps that train take longer and more "
            "memory than these figures say"
        )
    elif plan.steps > 1:
        low, high = LATER_STEPS
        found.append(
            f"a first step is mostly slower than later ones, whose answers get shorter: in ten runs these took {low:g} "
            f"to {high:g} of it, which is the range"
        )
    if measured.answer_tokens < BELOW_LIMIT * plan.max_tokens:
        found.append(
            f"answers had {measured.answer_tokens:.0f} tokens on average, and solver.max_tokens={plan.max_tokens} lets "
            "them grow: a step of longer ones is slower and takes more memory"
        )
    if 0 < measured.evaluations.sampled < measured.evaluations.problems:
        found.append(
            f"evaluations were measured on {measured.evaluations.sampled:,} of {measured.evaluations.problems:,} "
            "problems: seconds are scaled up, memory is that of the sample"
        )
    if plan.worker_keys_mib is not None:
        found.append(
            "memory is that of this process: vLLM's takes the model once more, and the "
            f"engine.kv_cache_mib={plan.worker_keys_mib} MiB of keys"
        )
    if measured.checkpoint_seconds is None:
        found.append("no checkpoint could be written: its size is computed, and its seconds are missing")
    return found


def _busy(plan: Plan, free: Free) -> list[str]:
    """Seconds that were measured beside other work say little of a machine to itself, and the reverse."""
    if free.load + plan.threads <= free.processors + SPARE_LOAD:
        return []
    return [
        f"other work kept {free.load:.1f} of {free.processors} processors busy, beside run.threads={plan.threads}: "
        "seconds are those of a busy machine"
    ]


def _warnings(memory: int, device: int | None, disk: int, free: Free) -> list[str]:
    found = []
    if free.memory_bytes is not None and free.memory_bytes < memory:
        found.append(f"the run needs {sized(memory)} of memory, and {sized(free.memory_bytes)} are free")
    if device is not None and free.device_bytes is not None and free.device_bytes < device:
        found.append(f"the run needs {sized(device)} on the GPU, and {sized(free.device_bytes)} are free")
    if free.disk_bytes < disk:
        found.append(f"the run needs {sized(disk)} of disk, and {sized(free.disk_bytes)} are free")
    return found


def sized(amount: float) -> str:
    """Bytes for people: 4.9 GB, 12 MB, 40 kB."""
    for unit, scale in (("GB", 1e9), ("MB", 1e6)):
        if amount >= scale:
            return f"{amount / scale:.1f} {unit}" if amount < 100 * scale else f"{amount / scale:,.0f} {unit}"
    return f"{amount / 1e3:.0f} kB"
