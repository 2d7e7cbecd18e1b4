"""Every figure of docs/performance.md's part on GPUs, by one command: what a person with a GPU runs.

    uv run python benchmarks/gpu.py                         # with the hub's weights
    uv run python benchmarks/gpu.py --random-weights        # without a hub
    uv run python benchmarks/gpu.py --device cpu --steps 1  # that it works: small shapes, no figure worth having

Each part is a process of its own, so that its peak of memory is its own, and nothing of one part is left for the next:

    limits     what the card gives at most: products in bf16 and fp32, reading memory (machine.py)
    runs       the default job and the three files for Qwen3, as ordinary runs of a few steps (gpu_run.py)
    trl        one GRPO step of ours against TRL's (step.py), which samples by transformers' generate, then by vLLM

What cannot be measured here is named with its reason, and the rest goes on.
"""

import importlib.util
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from gpu_models import random_folder
from machine import Limits, Machine
from rich.console import Console
from rich.table import Table

HERE = Path(__file__).resolve().parent
console = Console(stderr=True, width=None if sys.stderr.isatty() else 120)

SMALL = (  # what a CPU has time for
    "model.dtype=float32", "run.threads=1",
    "challenger.targets=2", "challenger.proposals=2", "challenger.max_tokens=8",
    "solver.problems=2", "solver.group_size=2", "solver.max_tokens=8",
    "evaluate.interim_size=2", "evaluate.pass_size=1", "evaluate.pass_k=2",
)  # fmt: skip
FEW_PUZZLES = ("domain_options.levels=2", "domain_options.entries=6", "domain_options.test_entries=4")
COINS = "judge.rewards=[{part: random}]"  # random weights are never right: coins make them learn something


@dataclass(frozen=True, slots=True)
class Job:
    """A configuration to run. `gib`: what its card has at least; `model`: whose shape its random weights have."""

    name: str
    file: str | None
    gib: int
    model: str | None = None
    needs: str | None = None  # a module that the domain wants
    small: tuple[str, ...] = ()


JOBS = (
    Job("default job", None, 8),
    Job(
        "qwen3-0.6b", "configs/qwen3-0.6b.yaml", 24, "Qwen/Qwen3-0.6B",
        small=("domain_options.kinds=[deduction]", "domain_options.max_level=1"),
    ),
    Job(
        "qwen3-1.7b-lora", "configs/qwen3-1.7b-lora.yaml", 16, "Qwen/Qwen3-1.7B", "reasoning_gym", FEW_PUZZLES,
    ),
    Job("qwen3-8b", "configs/qwen3-8b.yaml", 80, "Qwen/Qwen3-8B", "reasoning_gym", FEW_PUZZLES),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Skipped:
    reason: str


def run_job(job: Job, device: str, steps: int, random_weights: bool) -> dict[str, Any] | Skipped:
    """The report of gpu_run.py."""
    is_small = device == "cpu"
    if job.needs is not None and importlib.util.find_spec(job.needs) is None:
        return Skipped(f"the module {job.needs} is not installed")
    if not is_small and (reason := _too_small(job)) is not None:
        return Skipped(reason)
    # evaluations are left out as far as a run can do without them
    keys = [f"run.device={device}", f"run.steps={steps}", f"evaluate.every={steps}", f"run.checkpoint_every={steps}"]
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        if is_small:
            keys += [*SMALL, *job.small, COINS]
        if job.model is not None and (is_small or random_weights):
            keys += [f"model.name={random_folder(job.model, folder / 'model', is_small, device)}", COINS]
        file = job.file or ("configs/tiny.yaml" if is_small else None)  # the default job's small relative
        given = [] if file is None else [file]
        return _child([str(HERE / "gpu_run.py"), place, *given, *keys], lambda _: _read(folder / "report.json"))


def _too_small(job: Job) -> str | None:
    free, total = torch.cuda.mem_get_info()
    if free < 0.9 * job.gib * 1e9:
        return f"it is for {job.gib} GB, and {free / 1e9:.0f} of {total / 1e9:.0f} GB are free"
    return None


def against_trl(workload: str, device: str, has_vllm: bool, rounds: int) -> dict[str, Any] | Skipped:
    """The summary of step.py."""
    for module in ("trl", "datasets", *(("vllm",) if has_vllm else ())):
        if importlib.util.find_spec(module) is None:
            return Skipped(f"{module} is not installed in this environment (uv sync --group bench)")
    if device == "cpu":
        return Skipped("benchmarks/step.py measures it on a CPU")
    command = [
        str(HERE / "step.py"), "--workload", workload, "--device", device, "--trl", "bf16,sdpa,32", "--json",
        "--repeats", str(rounds), "--warmup", "1", *(("--vllm",) if has_vllm else ()),
    ]  # fmt: skip
    return _child(command, json.loads)


def _child(command: Sequence[str], read: Callable[[str], Any]) -> dict[str, Any] | Skipped:
    """What `read` makes of the standard output of a child that ended well."""
    ended = subprocess.run([sys.executable, *command], cwd=HERE.parent, capture_output=True, text=True)
    if ended.returncode:
        said = [line for line in ended.stderr.splitlines() if line.strip()] or ["nothing was said"]
        return Skipped(f"exit code {ended.returncode}: {said[-1].strip()[:300]}")
    found: dict[str, Any] = read(ended.stdout)
    return found


def _read(file: Path) -> Any:
    return json.loads(file.read_text())


def row_of(name: str, found: dict[str, Any] | Skipped, limits: Limits) -> list[str]:
    """A run's line in the table."""
    if isinstance(found, Skipped):
        return [name, found.reason]
    seconds = found["seconds"]
    shares = [found[f"flops_per_second_{side}"] / limits.bf16_flops for side in ("sampling", "training")]
    return [
        name, f"{sum(seconds.values()):.2f}", f"{seconds['propose']:.2f}", f"{seconds['solve']:.2f}",
        f"{seconds['update']:.2f}", f"{found['tokens_sampling']:.0f} / {found['tokens_training']:.0f}",
        f"{shares[0]:.2%} / {shares[1]:.2%}", f"{found['peak_bytes'] / 2**30:.1f}",
    ]  # fmt: skip


def show(title: str, limits: Limits, runs: dict[str, Any], trl: dict[str, Any]) -> None:
    console.print(
        f"{title}: {limits.bf16_flops / 1e12:.2f} TFLOP/s in bf16, {limits.fp32_flops / 1e12:.2f} in fp32, "
        f"{limits.read_bytes / 1e9:.0f} GB/s read",
        highlight=False,
    )
    table = Table(title="runs: means of a step")
    for column in ("", "seconds", "propose", "solve", "update", "tokens sampling / training", "of the peak", "GiB"):
        table.add_column(column, justify="left" if not column else "right")
    skipped = {name: found for name, found in runs.items() if isinstance(found, Skipped)}
    for name, found in runs.items():
        if name not in skipped:
            table.add_row(*row_of(name, found, limits))
    console.print(table)
    for name, found in trl.items():
        if isinstance(found, Skipped):
            skipped[name] = found
        else:
            low, high = found["ratio_wall_spread"]
            console.print(
                f"{name}: TRL over ours {found['ratio_wall_median']:.1f} ({low:.1f} to {high:.1f}) by the wall"
            )
    for name, reason in skipped.items():
        console.print(f"not measured: {name}: {reason.reason}", highlight=False)


def plain(found: dict[str, Any] | Skipped) -> dict[str, Any]:
    return {"skipped": found.reason} if isinstance(found, Skipped) else found


def main(
    device: Annotated[str, typer.Option(help="cuda; or cpu, with small shapes: to see that all of it works")] = "cuda",
    steps: Annotated[int, typer.Option(min=1, help="steps of each run")] = 3,
    rounds: Annotated[int, typer.Option(min=1, help="rounds against TRL that count")] = 3,
    random_weights: Annotated[bool, typer.Option(help="random weights in the shapes of Qwen3, without a hub")] = False,
    only: Annotated[str, typer.Option(help="the runs that are wanted, by name, separated by commas; empty: all")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="print one JSON object to standard output")] = False,
) -> None:
    """Measure all that docs/performance.md says of GPUs."""
    if device not in ("cpu", "cuda"):
        raise typer.BadParameter(f"no device {device}; there are cpu, cuda")
    if device == "cuda" and not torch.cuda.is_available():
        raise typer.BadParameter("no CUDA device is usable here; --device cpu shows that all of it works")
    names = [job.name for job in JOBS]
    if unknown := set(filter(None, only.split(","))) - set(names):
        raise typer.BadParameter(f"no run {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    machine = Machine(
        torch.get_num_threads(), device, **({"side": 512, "num_floats": 1 << 20} if device == "cpu" else {})
    )
    machine.probe()
    limits = machine.limits()
    del machine  # or its matrices would take the runs' memory
    if device == "cuda":
        torch.cuda.empty_cache()
    runs: dict[str, dict[str, Any] | Skipped] = {}
    for job in JOBS:
        if not only or job.name in only.split(","):
            console.print(f"{job.name} ...", highlight=False)
            runs[job.name] = run_job(job, device, steps, random_weights)
    trl: dict[str, dict[str, Any] | Skipped] = {}
    for workload in ("shared-header", "chat"):
        trl[f"TRL, {workload}"] = against_trl(workload, device, False, rounds)
        trl[f"TRL with colocated vLLM, {workload}"] = against_trl(workload, device, True, rounds)
    trl["TRL's asynchronous tree"] = Skipped(
        "this script has no side for it: it wants a vLLM server on a card of its own"
    )
    title = torch.cuda.get_device_name() if device == "cuda" else "CPU, small shapes: these are no figures"
    show(title, limits, runs, trl)
    if as_json:
        parts = {"runs": runs, "trl": trl}
        every = {part: {name: plain(found) for name, found in of.items()} for part, of in parts.items()}
        print(json.dumps({"device": title, "torch": torch.__version__, "limits": asdict(limits), **every}))


if __name__ == "__main__":
    typer.run(main)
