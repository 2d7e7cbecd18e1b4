"""The child's end of the benchmark: one process per side, told over a pipe when to make its next step.

A child prints one JSON line when it is ready and one after each step; everything that libraries print goes to
standard error instead.
"""

import hashlib
import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, TextIO

import torch
import xxhash

from selfplay.machine.memory import keep_freed_memory, peak_bytes


@dataclass(frozen=True, slots=True)
class Spec:
    """What a child is to run. TRL's own choices are `precision`, `attention`, `micro_batch`."""

    side: str  # "trl", "lent" (TRL with our allocator's settings), "tree" or "flat"
    workload: str
    steps: int
    threads: int
    precision: str = "bf16"  # "bf16", "fp32" or "autocast" (fp32 weights)
    attention: str = "sdpa"
    micro_batch: int = 32
    keep_memory: bool = True  # the allocator keeps freed blocks (selfplay/machine/memory.py)
    pack_tokens: int = 1024
    device: str = "cpu"
    vllm: bool = False  # TRL samples by vLLM, colocated


@dataclass(frozen=True, slots=True)
class StepReport:
    """One step as its child measured it. FLOPs are the products' alone, without attention, each counted once."""

    wall: float
    cpu: float  # seconds of all threads
    sampling: float  # wall seconds of the above
    training: float
    tokens_sampling: int  # tokens that went through the model, padding included
    tokens_training: int
    flops_sampling: float
    flops_training: float
    samples: int
    weight_bytes: int
    prompts: str  # digest of the prompt ids
    peak_bytes: int  # resident; on a GPU, of tensors there


class Channel:
    """The pipe to the parent."""

    def __init__(self) -> None:
        self._out: TextIO = os.fdopen(os.dup(1), "w")
        os.dup2(2, 1)

    def say(self, **facts: Any) -> None:
        self._out.write(json.dumps(facts) + "\n")
        self._out.flush()

    def report(self, report: StepReport) -> None:
        self.say(**asdict(report))

    def wait(self) -> bool:
        """Until the parent asks for a step; False when it has closed the pipe."""
        return bool(sys.stdin.readline().strip())


@dataclass(slots=True)
class Meter:
    """Clocks of one step."""

    wall: float = 0.0
    cpu: float = 0.0
    sampling: float = 0.0

    def start(self) -> None:
        finish_device()
        self.sampling = 0.0
        self.wall, self.cpu = time.perf_counter(), time.process_time()

    def stop(self) -> tuple[float, float]:
        finish_device()
        return time.perf_counter() - self.wall, time.process_time() - self.cpu


def finish_device() -> None:
    """Wait for what a GPU has been given to do, if it has been given anything."""
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()


def begin() -> tuple[Spec, Channel]:
    """Set up a child's process from its command line."""
    spec = Spec(**json.loads(sys.argv[1]))
    channel = Channel()
    torch.set_num_threads(spec.threads)
    if spec.keep_memory:
        keep_freed_memory()
    return spec, channel


def ids_digest(prompts: Sequence[Sequence[int]]) -> str:
    return hashlib.sha256(repr([list(map(int, ids)) for ids in prompts]).encode()).hexdigest()


def weights_digest(model: Any) -> str:
    """Of the parameters as bf16, whatever the side keeps them in."""
    total = xxhash.xxh3_128()
    for name, parameter in model.named_parameters():
        total.update(name.encode())
        total.update(parameter.detach().to("cpu", torch.bfloat16).view(torch.int16).numpy().tobytes())
    return total.hexdigest()


@dataclass(frozen=True, slots=True)
class Cost:
    """FLOPs of the matrix products: `body` for each token, `head` for each row of logits; and the weights' bytes."""

    body: float
    head: float
    weight_bytes: int

    @classmethod
    def of(cls, model: Any) -> "Cost":
        output = model.get_output_embeddings().weight
        inside = sum(p.numel() for p in model.parameters() if p.dim() == 2 and p is not output)
        return cls(2.0 * inside, 2.0 * output.numel(), (inside + output.numel()) * output.element_size())

    def sampling(self, tokens: int, rows: int) -> float:
        return self.body * tokens + self.head * rows

    def training(self, tokens: int, rows: int) -> float:
        """Forward, and twice that backward; nothing that is recomputed."""
        return 3.0 * self.sampling(tokens, rows)


def report(meter: Meter, **facts: Any) -> StepReport:
    wall, cpu = meter.stop()
    peak = torch.cuda.max_memory_allocated() if torch.cuda.is_initialized() else peak_bytes()
    return StepReport(
        wall=wall, cpu=cpu, sampling=meter.sampling, training=wall - meter.sampling, peak_bytes=peak, **facts
    )
