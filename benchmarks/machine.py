"""What the machine can do at most: matrix products in bf16 and fp32, and reading memory. Measured, not looked up."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

import torch
from child import finish_device

SIDE = {"cpu": 2048, "cuda": 8192}
NUM_FLOATS = {"cpu": 1 << 26, "cuda": 1 << 29}  # 256 MiB and 2 GiB: larger than any cache


@dataclass(frozen=True, slots=True)
class Limits:
    """Operations and bytes in a second."""

    bf16_flops: float
    fp32_flops: float
    read_bytes: float


class Machine:
    """Probed again and again while the benchmark runs, so that load from elsewhere meets limits and sides alike."""

    def __init__(self, threads: int, device: str = "cpu", side: int = 0, num_floats: int = 0) -> None:
        """`side` of the matrices and numbers that are read: 0 for those that fit the device."""
        torch.set_num_threads(threads)
        self._side, self._num_floats = side or SIDE[device], num_floats or NUM_FLOATS[device]
        self._wide = torch.randn(self._side, self._side, device=device)
        self._narrow = self._wide.bfloat16()
        self._long = torch.ones(self._num_floats, device=device)
        self._seen: list[Limits] = []
        self._probe()  # the first time is slower

    def probe(self) -> None:
        self._seen.append(self._probe())

    def limits(self) -> Limits:
        """Medians over the probes."""
        return Limits(
            median(s.bf16_flops for s in self._seen),
            median(s.fp32_flops for s in self._seen),
            median(s.read_bytes for s in self._seen),
        )

    def _probe(self) -> Limits:
        flops = 2.0 * self._side**3
        return Limits(
            flops / _best(lambda: self._narrow @ self._narrow),
            flops / _best(lambda: self._wide @ self._wide),
            4.0 * self._num_floats / _best(lambda: self._long.sum()),
        )


def _best(work: Callable[[], object], times: int = 3) -> float:
    seconds = []
    for _ in range(times):
        start = time.perf_counter()
        work()
        finish_device()
        seconds.append(time.perf_counter() - start)
    return min(seconds)
