"""Weights from GPU to GPU, by vLLM's own transfers. Written where there is no GPU, and not run on one so far.

uv sync --project engines/vllm/cuda && uv run pytest -m gpu tests/engine/vllm -n 0
"""

from pathlib import Path

import pytest
import torch
from samples_behind import change
from with_vllm import SECONDS, drawn, tiny

from selfplay.engine.tree_engine import TreeEngine
from selfplay.engine.vllm.device_transfer import CudaShared, DeviceTransfer, IpcTransfer, NcclTransfer
from selfplay.engine.vllm.nccl import NcclGroup
from selfplay.engine.vllm.process import Process, worker_python
from selfplay.engine.vllm.sampler import VllmSampler, VllmSettings
from selfplay.engine.vllm.worker import Worker
from selfplay.machine.errors import Refused
from selfplay.model.policy import Policy
from selfplay.model.weights.tiny import ByteTokenizer


def missing() -> str:
    if not torch.cuda.is_available():
        return "no CUDA device here"
    try:
        worker_python("cuda")
    except Refused as refused:
        return str(refused)
    return ""


pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(bool(missing()), reason=missing() or "it is there"),
    pytest.mark.timeout(1800),
]
CLOSE = 0.05  # nats, in bfloat16: rounding alone makes a tenth of it in the mean


@pytest.mark.parametrize("kind", ["ipc", "nccl"])
@pytest.mark.parametrize("is_tied", [True, False])
def test_weights_travel_between_gpus(kind: str, is_tied: bool, tmp_path: Path) -> None:
    if kind == "nccl" and torch.cuda.device_count() < 2:
        pytest.skip("nccl goes from one GPU to another, and there is one here")
    device = torch.device("cuda")
    policy = Policy(tiny(is_tied).to(torch.bfloat16), ByteTokenizer(), device)
    ways: dict[str, DeviceTransfer] = {
        "ipc": IpcTransfer(lambda size: CudaShared(size, device), 1 << 14),
        "nccl": NcclTransfer(lambda identity: NcclGroup(identity, device), pack_bytes=1 << 14),
    }
    gpus = "1" if kind == "nccl" else None
    lines: list[str] = []
    sampler = VllmSampler(
        policy, TreeEngine(policy, 3), 3, VllmSettings("bfloat16", 512, 1 << 26, CLOSE, 0),
        lambda: Worker(Process(worker_python("cuda"), 1, 0, gpus), SECONDS), lines.append, ways[kind],
    )  # fmt: skip
    try:
        sampler.load(0)
        for _ in range(3):
            change(policy)
            sampler.load(policy.version)  # which is proved by digests
            assert sampler.measure_gap().mean < CLOSE
            drawn(sampler)
        held = torch.cuda.memory_allocated()
        change(policy)
        sampler.load(policy.version)
        assert torch.cuda.memory_allocated() <= held, "no buffer stays behind"
    finally:
        sampler.close()
