"""Brings the policy's weights to the worker: as safetensors, or from GPU to GPU.

    start     all weights, in files; where adapters are trained, what they are put on, and then the adapters
    update    the adapters, a few MB, or all weights where there are none: in files, or by a transfer between devices

Adapters come under a name of their own each time, of the policy's version and a count, and those before them are
removed. What a name stands for never changes, so neither a cache nor a request that is late can mean others by it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor

from selfplay.engine.vllm.device_transfer import DeviceTransfer, Named
from selfplay.engine.vllm.worker import Worker, WorkerFailed
from selfplay.machine.errors import EngineError
from selfplay.model.named_weights import adapted_layers, adapter_rank, base_weights, write_adapter, write_base
from selfplay.model.policy import Policy

_WHOLE = "weights"  # folder of all of them
_FILE_TYPES = {torch.float32: "F32", torch.bfloat16: "BF16", torch.float16: "F16"}  # names in safetensors


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """How vLLM holds the model. `context`: tokens of the longest one, None: the model's. `block`: tokens whose keys are
    kept together."""

    dtype: str  # bfloat16 or float32
    context: int | None
    kv_cache_bytes: int
    block: int


class WeightTransfer:
    """`adapter` is the name of the adapters that the worker has, "" where weights travel whole. `device`: how they
    travel once the worker has a model, None: in files."""

    def __init__(self, policy: Policy, settings: ModelSettings, device: DeviceTransfer | None = None) -> None:
        self._policy = policy
        self._settings = settings
        self._device = device
        self._rank = adapter_rank(policy)
        self._num_deliveries = 0
        self._names: list[str] = []  # of the weights in a file
        self.adapter = ""

    @property
    def is_by_device(self) -> bool:
        return self._device is not None

    def start(self, worker: Worker) -> None:
        """Has a worker that has no model yet load it. Raises WorkerLost, EngineError."""
        settings, device = self._settings, self._device
        if device is not None and worker.device != "cuda":
            raise EngineError(
                f"engine.weights={device.kind}: weights go from GPU to GPU, and the worker's vLLM is built for CPUs: "
                "use engine.weights=files"
            )
        with worker.given(_WHOLE, self._write_whole):
            worker.load(
                _WHOLE, dtype=settings.dtype, context=settings.context, kv_cache_bytes=settings.kv_cache_bytes,
                block=settings.block, rank=self._rank, adapted=adapted_layers(self._policy),
                transfer="" if device is None else device.kind,
            )  # fmt: skip
        if self._rank:
            self._deliver_adapter(worker)
        if device is not None:
            self._meet(worker, device)

    def update(self, worker: Worker) -> None:
        """Gives it the weights as they are now. Raises WorkerLost, EngineError."""
        if self._rank:
            self._deliver_adapter(worker)
        elif self._device is not None:
            self._send(worker, self._device)
        else:
            with worker.given(_WHOLE, partial(write_base, self._policy)):
                worker.ask("weights", folder=_WHOLE)

    def close(self) -> None:
        """Gives up what is held for a worker, which is gone. It may be called again."""
        if self._device is not None:
            self._device.close()

    def _write_whole(self, folder: Path) -> None:
        write_base(self._policy, folder)
        if self._device is not None:
            self._names = names_in_file(folder, base_weights(self._policy), self._device.kind)

    def _meet(self, worker: Worker, device: DeviceTransfer) -> None:
        try:
            device.open(worker)
        except WorkerFailed as failed:
            raise _no_way(device, failed) from failed

    def _send(self, worker: Worker, device: DeviceTransfer) -> None:
        weights = base_weights(self._policy)
        named: Named = [(name, weights[name]) for name in self._names]
        try:
            device.send(worker, named)
        except WorkerFailed as failed:
            raise _no_way(device, failed) from failed

    def _deliver_adapter(self, worker: Worker) -> None:
        self._num_deliveries += 1
        name = f"policy-{self._policy.version}-{self._num_deliveries}"
        with worker.given(name, partial(write_adapter, self._policy)):
            worker.ask("adapter", folder=name, name=name, number=self._num_deliveries)
        self.adapter = name


def _no_way(device: DeviceTransfer, failed: WorkerFailed) -> EngineError:
    return EngineError(
        f"engine.weights={device.kind}: vLLM could not take weights so ({failed}): use engine.weights=files"
    )


def names_in_file(folder: Path, weights: Mapping[str, Tensor], kind: str) -> list[str]:
    """Of the weights that transformers wrote into a folder, in the model's order; those of wide numbers first, so that
    each begins at a multiple of its width where they lie one behind another. A tied one stands there once. Raises
    EngineError where the file has others than the model: some are taken apart, or put together, when they are saved."""
    found: dict[str, tuple[list[int], str]] = {}
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, "pt") as file:
            for name in file.keys():  # noqa: SIM118  (it is no dictionary)
                part = file.get_slice(name)
                found[name] = part.get_shape(), part.get_dtype()
    odd = [n for n, (shape, dtype) in found.items() if n not in weights or _as_in_file(weights[n]) != (shape, dtype)]
    if odd:
        raise EngineError(
            f"engine.weights={kind}: {len(odd)} of this model's weights have another form in a file than in its module "
            f"({min(odd)}), and vLLM reads them as they are in a file: use engine.weights=files"
        )
    return sorted((name for name in weights if name in found), key=lambda name: -weights[name].itemsize)


def _as_in_file(weight: Tensor) -> tuple[list[int], str]:
    return list(weight.shape), _FILE_TYPES.get(weight.dtype, "")
