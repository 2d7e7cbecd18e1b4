"""Brings the policy's weights to the worker, as safetensors.

    start     all weights; where adapters are trained, what they are put on, and then the adapters
    update    the adapters, a few MB, or all weights where there are none

Adapters come under a name of their own each time, of the policy's version and a count, and those before them are
removed. What a name stands for never changes, so neither a cache nor a request that is late can mean others by it.
"""

from dataclasses import dataclass
from functools import partial

from selfplay.engine.vllm.worker import Worker
from selfplay.model.named_weights import adapted_layers, adapter_rank, write_adapter, write_base
from selfplay.model.policy import Policy

_WHOLE = "weights"  # folder of all of them


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
        with worker.given(_WHOLE, partial(write_base, self._policy)):
            worker.load(
                _WHOLE, dtype=settings.dtype, context=settings.context, kv_cache_bytes=settings.kv_cache_bytes,
                block=settings.block, rank=self._rank, adapted=adapted_layers(self._policy),
            )  # fmt: skip
        if self._rank:
            self._deliver_adapter(worker)

    def update(self, worker: Worker) -> None:
        """Gives it the weights as they are now. Raises WorkerLost."""
        if self._rank:
            self._deliver_adapter(worker)
            return
        with worker.given(_WHOLE, partial(write_base, self._policy)):
            worker.ask("weights", folder=_WHOLE)

    def _deliver_adapter(self, worker: Worker) -> None:
        self._num_deliveries += 1
        name = f"policy-{self._policy.version}-{self._num_deliveries}"
        with worker.given(name, partial(write_adapter, self._policy)):
            worker.ask("adapter", folder=name, name=name, number=self._num_deliveries)
        self.adapter = name
