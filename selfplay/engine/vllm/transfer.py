"""Brings the policy's weights to the worker, as safetensors in shared memory.

    start     all weights; where adapters are trained, what they are put on, and then the adapters
    update    the adapters, a few MB, or all weights where there are none

Adapters come under a name of their own each time, of the policy's version and a count, and those before them are
removed. What a name stands for never changes, so neither a cache nor a request that is late can mean others by it.
"""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from selfplay.engine.vllm.process import Worker
from selfplay.model.named_weights import adapted_layers, adapter_rank, write_adapter, write_base
from selfplay.model.policy import Policy


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """How vLLM holds the model. `context`: tokens of the longest one, None: the model's. `block`: tokens whose keys are
    kept together."""

    dtype: str  # bfloat16 or float32
    context: int | None
    kv_cache_bytes: int
    block: int


class WeightTransfer:
    """`adapter` is the name of the adapters that the worker has, "" where weights travel whole."""

    def __init__(self, policy: Policy, settings: ModelSettings) -> None:
        self._policy = policy
        self._settings = settings
        self._rank = adapter_rank(policy)
        self._num_deliveries = 0
        self.adapter = ""

    def start(self, worker: Worker) -> None:
        """Has a worker that has no model yet load it. Raises WorkerLost."""
        settings = self._settings
        with _written(worker, "weights", lambda folder: write_base(self._policy, folder)) as path:
            worker.load(
                path, dtype=settings.dtype, context=settings.context, kv_cache_bytes=settings.kv_cache_bytes,
                block=settings.block, rank=self._rank, adapted=adapted_layers(self._policy),
            )  # fmt: skip
        if self._rank:
            self._deliver_adapter(worker)

    def update(self, worker: Worker) -> None:
        """Gives it the weights as they are now. Raises WorkerLost."""
        if self._rank:
            self._deliver_adapter(worker)
            return
        with _written(worker, "weights", lambda folder: write_base(self._policy, folder)) as path:
            worker.ask("weights", folder=str(path))

    def _deliver_adapter(self, worker: Worker) -> None:
        self._num_deliveries += 1
        name = f"policy-{self._policy.version}-{self._num_deliveries}"
        with _written(worker, name, lambda folder: write_adapter(self._policy, folder)) as path:
            worker.ask("adapter", folder=str(path), name=name, number=self._num_deliveries)
        self.adapter = name


@contextmanager
def _written(worker: Worker, name: str, write: Callable[[Path], None]) -> Iterator[Path]:
    """A folder in the worker's, with what `write` puts there. Removed at the end: who reads it has read it."""
    folder = worker.folder / name
    try:
        write(folder)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
