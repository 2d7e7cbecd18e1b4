"""One GRPO step: ours on the token tree, ours flat, and TRL's GRPOTrainer, side by side in one run.

Each side is one long-lived process; their steps take turns (A B C A B C), so that whatever else the machine does
meets all alike. Before that every side is given the best of a small grid of its settings. TRL runs twice: as it comes,
and with the settings of the C library's allocator that our own sides have (selfplay/machine/memory.py), which its users
would not know of. All are given the same weights, prompt ids, group size, completion length and rewards, and the run
stops if they were not.

    uv run --group bench python benchmarks/step.py --workload shared-header
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median, quantiles
from typing import Annotated, Any, Self

import typer
from child import Spec, StepReport
from machine import Limits, Machine
from rich.console import Console
from rich.table import Table
from workloads import WORKLOADS, Workload

HERE = Path(__file__).resolve().parent
SCRIPTS = {"trl": "trl_side.py", "lent": "trl_side.py", "tree": "our_side.py", "flat": "our_side.py"}
NAMES = {"trl": "TRL", "lent": "TRL, our allocator", "tree": "ours, tree", "flat": "ours, flat"}
PACK_TOKENS = {  # flat rows of one pass are padded to one size; the first is taken where nothing is searched
    "cpu": {"tree": (1024, 2400, 4800), "flat": (1024, 256, 128)},
    "cuda": {"tree": (4800, 19200), "flat": (19200, 4800)},
}
MICRO_BATCHES = {"cpu": (32, 4, 8, 128), "cuda": (32, 64, 128)}
console = Console(stderr=True, width=None if sys.stderr.isatty() else 120)


class Child:
    """One side's process and the pipe to it."""

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115, it lives as long as the child
        self._process = subprocess.Popen(
            [sys.executable, str(HERE / SCRIPTS[spec.side]), json.dumps(asdict(spec))],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, text=True,
            env={**os.environ, "OMP_NUM_THREADS": str(spec.threads), "HF_HUB_OFFLINE": "1"},
        )  # fmt: skip
        self.weights: str = self._read()["weights"]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def step(self) -> StepReport:
        assert self._process.stdin is not None
        self._process.stdin.write("step\n")
        self._process.stdin.flush()
        return StepReport(**self._read())

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._errors.seek(0)
            tail = "".join(self._errors.readlines()[-30:])
            raise SystemExit(f"the {self.spec.side} process ended:\n{tail}")
        return json.loads(line)


def last_step(spec: Spec) -> float:
    """Seconds of the last of a fresh process's `spec.steps` steps: of a CPU, which others' work does not lengthen; by
    the wall where a GPU does the work."""
    with Child(spec) as child:
        report = [child.step() for _ in range(spec.steps)][-1]
    return report.cpu if spec.device == "cpu" else report.wall


def fastest(specs: Iterable[Spec], timed: dict[Spec, float]) -> Spec:
    """By a process's first step, which takes half the time to know and was within 7% of later ones where both were
    seen; where several are within a tenth of the best, by their second. What `timed` holds is not timed again."""

    def timing(spec: Spec) -> float:
        if spec not in timed:
            timed[spec] = last_step(spec)
            console.print(f"{described(spec)}: step {spec.steps} took {timed[spec]:.1f} s", highlight=False)
        return timed[spec]

    firsts = {spec: timing(spec) for spec in (replace(spec, steps=1) for spec in specs)}
    close = [replace(spec, steps=2) for spec, seconds in firsts.items() if seconds <= 1.1 * min(firsts.values())]
    return close[0] if len(close) == 1 else min(close, key=timing)


def described(spec: Spec) -> str:
    """A side and what is searched of it."""
    if spec.side in PACK_TOKENS[spec.device]:
        return f"{NAMES[spec.side]}: packs of {spec.pack_tokens}"
    return f"{NAMES[spec.side]}: {spec.precision}, {spec.attention}, micro-batch {spec.micro_batch}"


def tune(start: Spec, workload: Workload, timed: dict[Spec, float]) -> Spec:
    """The best of a side's settings, each timed in a process of its own. Of TRL's the precision first, then attention
    and micro-batch in all pairs, for which micro-batch is best depends on the attention."""
    packs = PACK_TOKENS[start.device].get(start.side)
    if packs is not None:
        return fastest((replace(start, pack_tokens=size) for size in packs), timed)
    best = fastest((replace(start, precision=name) for name in ("bf16", "fp32", "autocast")), timed)
    micro_batches = [m for m in MICRO_BATCHES[start.device] if m <= workload.num_samples]
    pairs = [(attention, size) for attention in ("sdpa", "eager") for size in micro_batches]
    return fastest((replace(best, attention=attention, micro_batch=size) for attention, size in pairs), timed)


@contextmanager
def children(specs: dict[str, Spec]) -> Iterator[dict[str, Child]]:
    with ExitStack() as stack:
        started = {side: stack.enter_context(Child(spec)) for side, spec in specs.items()}
        weights = {side: child.weights for side, child in started.items()}
        if len(set(weights.values())) > 1:
            raise SystemExit(f"the sides do not hold the same weights: {weights}")
        yield started


def measure(specs: dict[str, Spec], machine: Machine, warmup: int, repeats: int) -> dict[str, list[StepReport]]:
    """Steps in turns. The first `warmup` rounds are not counted."""
    reports: dict[str, list[StepReport]] = {side: [] for side in specs}
    with children(specs) as running:
        for number in range(warmup + repeats):
            machine.probe()
            round_ = {side: child.step() for side, child in running.items()}
            if len({(report.prompts, report.samples) for report in round_.values()}) > 1:
                raise SystemExit(f"the sides were not given the same prompts: {round_}")
            if number >= warmup:
                for side, report in round_.items():
                    reports[side].append(report)
            walls = ", ".join(f"{side} {report.wall:.2f} s" for side, report in round_.items())
            console.print(f"round {number + 1} of {warmup + repeats}: {walls}", highlight=False)
    return reports


@dataclass(frozen=True, slots=True)
class Ratio:
    """Of paired steps: the median, and the quartiles as its spread."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, above: Sequence[float], below: Sequence[float]) -> "Ratio":
        ratios = [a / b for a, b in zip(above, below, strict=True)]
        if len(ratios) < 2:
            return cls(ratios[0], ratios[0], ratios[0])
        low, _, high = quantiles(ratios, n=4, method="inclusive")
        return cls(median(ratios), low, high)

    def __str__(self) -> str:
        return f"{self.median:.1f}x ({self.low:.1f} to {self.high:.1f})"


def summary(
    workload: Workload, specs: dict[str, Spec], reports: dict[str, list[StepReport]], limits: Limits
) -> dict[str, Any]:
    """Everything that was measured, as plain values."""

    def ratio(above: str, below: str, what: str) -> Ratio:
        return Ratio.of([getattr(r, what) for r in reports[above]], [getattr(r, what) for r in reports[below]])

    wall, cpu = ratio("trl", "tree", "wall"), ratio("trl", "tree", "cpu")
    pairs = (("lent", "tree"), ("trl", "flat"), ("flat", "tree"))
    return {
        "workload": workload.name,
        "threads": specs["tree"].threads,
        "rounds": len(reports["tree"]),
        "ratio_wall_median": wall.median,
        "ratio_wall_spread": [wall.low, wall.high],
        "ratio_cpu_median": cpu.median,
        "ratio_cpu_spread": [cpu.low, cpu.high],
        "expected": workload.expected,
        "ratios": {
            f"{what}_{above}_over_{below}": asdict(ratio(above, below, what))
            for what in ("wall", "cpu")
            for above, below in pairs
        },
        "limits": asdict(limits),
        "specs": {side: asdict(spec) for side, spec in specs.items()},
        "sides": {side: _side(specs[side], reports[side], workload, limits) for side in specs},
    }


def _side(spec: Spec, reports: list[StepReport], workload: Workload, limits: Limits) -> dict[str, float]:
    """Medians, and shares of the machine's limits. Weights are read once for each sampled token at least."""
    values = {name: median(getattr(r, name) for r in reports) for name in (
        "wall", "cpu", "sampling", "training", "tokens_sampling", "tokens_training",
    )}  # fmt: skip
    peak_flops = limits.fp32_flops if spec.precision == "fp32" else limits.bf16_flops
    weights = reports[0].weight_bytes * workload.new_tokens
    return values | {
        "samples_per_second": median(r.samples / r.wall for r in reports),
        "peak_gib": max(r.peak_bytes for r in reports) / 2**30,
        "sampling_share_of_products": median(r.flops_sampling / r.sampling for r in reports) / peak_flops,
        "sampling_share_of_memory": median(weights / r.sampling for r in reports) / limits.read_bytes,
        "training_share_of_products": median(r.flops_training / r.training for r in reports) / peak_flops,
    }


def show(result: dict[str, Any]) -> None:
    """The tables."""
    table = Table(title=f"{result['workload']}: one step, medians of {result['rounds']} rounds")
    for column in ("", *NAMES.values()):
        table.add_column(column, justify="left" if not column else "right")
    rows = {
        "wall seconds": ("wall", "{:.2f}"),
        "CPU seconds": ("cpu", "{:.2f}"),
        "samples per second": ("samples_per_second", "{:.2f}"),
        "sampling, wall seconds": ("sampling", "{:.2f}"),
        "training, wall seconds": ("training", "{:.2f}"),
        "tokens run in sampling": ("tokens_sampling", "{:.0f}"),
        "tokens run in training": ("tokens_training", "{:.0f}"),
        "peak memory, GiB": ("peak_gib", "{:.2f}"),
        "sampling: share of the matrix limit": ("sampling_share_of_products", "{:.0%}"),
        "sampling: share of the memory limit": ("sampling_share_of_memory", "{:.0%}"),
        "training: share of the matrix limit": ("training_share_of_products", "{:.0%}"),
    }
    for name, (key, form) in rows.items():
        table.add_row(name, *(form.format(result["sides"][side][key]) for side in NAMES))
    limits = result["limits"]
    console.print(table)
    for what in ("wall", "cpu"):
        low, high = result[f"ratio_{what}_spread"]
        whole = Ratio(result[f"ratio_{what}_median"], low, high)
        lent, rest, tree = (
            Ratio(**result["ratios"][f"{what}_{pair}"])
            for pair in ("lent_over_tree", "trl_over_flat", "flat_over_tree")
        )
        console.print(f"TRL over ours, {what}: {whole}; with our allocator's settings lent to it {lent}")
        console.print(f"TRL over our flat path, {what}: {rest}; flat over tree {tree}")
    console.print(
        f"machine: {limits['bf16_flops'] / 1e9:.0f} GFLOP/s bf16, {limits['fp32_flops'] / 1e9:.0f} fp32, "
        f"{limits['read_bytes'] / 1e9:.1f} GB/s read; expected at least {result['expected']:g}x"
    )
    for side in ("trl", "lent"):
        chosen = result["specs"][side]
        settings = ", ".join(f"{name}={chosen[name]}" for name in ("precision", "attention", "micro_batch"))
        console.print(f"{NAMES[side]} ran {settings}", highlight=False)


def main(
    workload: Annotated[str, typer.Option(help=" or ".join(WORKLOADS))] = "shared-header",
    repeats: Annotated[int, typer.Option(help="rounds that count")] = 7,
    warmup: Annotated[int, typer.Option(help="rounds before that")] = 2,
    threads: Annotated[int, typer.Option(help="torch threads of every process")] = 2,
    device: Annotated[str, typer.Option(help="cpu or cuda, for every side")] = "cpu",
    vllm: Annotated[bool, typer.Option(help="TRL samples by vLLM in its own process; never tried")] = False,
    quick: Annotated[bool, typer.Option(help="two rounds, and no search for any side's best settings")] = False,
    trl: Annotated[str, typer.Option(help="skip the search for TRL's: precision,attention,micro_batch")] = "",
    lent: Annotated[str, typer.Option(help="the same with our allocator's settings; as --trl unless given")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="print one JSON object to standard output")] = False,
) -> None:
    """Measure one GRPO step of ours against TRL's."""
    if workload not in WORKLOADS:
        raise typer.BadParameter(f"no workload {workload}; there are {', '.join(WORKLOADS)}")
    if device not in PACK_TOKENS:
        raise typer.BadParameter(f"no device {device}; there are {', '.join(PACK_TOKENS)}")
    work = WORKLOADS[workload]
    if quick:
        repeats, warmup, trl = 2, 1, trl or "bf16,sdpa,32"
    steps = warmup + repeats
    specs = {
        side: Spec(
            side, workload, steps, threads, keep_memory=side != "trl", device=device,
            vllm=vllm and side in ("trl", "lent"),
            pack_tokens=PACK_TOKENS[device].get(side, (0,))[0],
        )
        for side in SCRIPTS
    }  # fmt: skip
    timed: dict[Spec, float] = {}
    for side, spec in specs.items():
        chosen = {"trl": trl, "lent": lent or trl}.get(side, "")
        if chosen:
            precision, attention, size = chosen.split(",")
            specs[side] = replace(spec, precision=precision, attention=attention, micro_batch=int(size))
        elif not quick:
            specs[side] = replace(tune(spec, work, timed), steps=steps)
    machine = Machine(threads, device)
    reports = measure(specs, machine, warmup, repeats)
    searched = [asdict(spec) | {"seconds": seconds} for spec, seconds in timed.items()]
    result = summary(work, specs, reports, machine.limits()) | {"searched": searched}
    show(result)
    if as_json:
        print(json.dumps(result))


if __name__ == "__main__":
    typer.run(main)
