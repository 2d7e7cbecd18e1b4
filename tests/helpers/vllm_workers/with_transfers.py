"""vLLM's transfers between GPUs on a CPU: all of both ends but the way between them.

    ipc     memory of a GPU is a file that both processes map
    nccl    the group is one of gloo

The worker's patches put vLLM's own engines of these backends on a CPU: what they call of CUDA is nothing there.
"""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.distributed import BroadcastOptions, FileStore, ProcessGroupGloo

from selfplay.engine.tree_engine import TreeEngine
from selfplay.engine.vllm.device_transfer import DeviceTransfer, IpcTransfer, NcclTransfer, cuda_memory
from selfplay.engine.vllm.nccl import ID_BYTES
from selfplay.engine.vllm.process import Process
from selfplay.engine.vllm.sampler import VllmSampler, VllmSettings
from selfplay.engine.vllm.worker import Worker
from selfplay.model.policy import Policy

PACK = 1 << 14  # bytes: of the tiny model's weights some are larger, and many go into one
GROUP_SECONDS = 30


class FileShared:
    """`selfplay.engine.vllm.device_transfer.Shared` in a file of `folder`."""

    def __init__(self, size: int, folder: Path) -> None:
        path = folder / "shared"
        path.write_bytes(bytes(size))
        self.data = torch.from_file(str(path), shared=True, size=size, dtype=torch.uint8)
        described = [torch.Tensor, self.data.size(), self.data.stride(), 0, torch.storage.TypedStorage, torch.uint8, 0]
        described += [str(path).encode(), size, 0, False, b"counter", 0, b"event", True]
        self.memory = cuda_memory(described, "a GPU")

    def settle(self) -> None:
        return

    def close(self) -> None:
        del self.data


class GlooGroup:
    """Member 0 of two. `identity`: the name of a file, filled up with zeros."""

    def __init__(self, identity: bytes) -> None:
        options = ProcessGroupGloo._Options()
        options._devices = [ProcessGroupGloo.create_device(hostname="127.0.0.1")]
        options._timeout = timedelta(seconds=GROUP_SECONDS)
        self._group = ProcessGroupGloo(FileStore(identity.rstrip(b"\0").decode(), 2), 0, 2, options)
        self.said: list[int] = []  # bytes of each broadcast

    def broadcast(self, data: Tensor) -> None:
        self._group.broadcast([data], BroadcastOptions()).wait()
        self.said.append(data.numel())

    def abort(self) -> None:
        return


ON_A_CPU = """
def on_a_cpu():
    import contextlib, datetime, types
    import torch
    from torch.distributed import BroadcastOptions, FileStore, ProcessGroupGloo
    from vllm.distributed.weight_transfer import nccl_engine, packed_tensor

    class Stream:
        def synchronize(self): pass

    class Gloo:
        def __init__(self, identity):
            options = ProcessGroupGloo._Options()
            options._devices = [ProcessGroupGloo.create_device(hostname="127.0.0.1")]
            options._timeout = datetime.timedelta(seconds=30)
            self.group = ProcessGroupGloo(FileStore(identity.rstrip(b"\\0").decode(), 2), 1, 2, options)
        def broadcast(self, tensor, src, stream=None):
            self.group.broadcast([tensor], BroadcastOptions()).wait()
        def destroy(self): pass

    packed_tensor._get_streams = lambda index, number: [Stream()] * number
    torch.cuda.stream = lambda stream: contextlib.nullcontext()
    torch.accelerator.synchronize = lambda *where: None
    torch.accelerator.current_device_index = lambda: 0
    nccl_engine.worker_init_process_group = lambda info, parallel: Gloo(info.nccl_unique_id_bytes)
    torch.cuda.get_device_properties = lambda index: types.SimpleNamespace(uuid="a GPU")
    torch.multiprocessing.reductions.rebuild_cuda_tensor = lambda *described: torch.from_file(
        described[7].decode(), shared=True, size=described[8], dtype=described[5]
    )

join = worker.Engine.join
def joined(self, message, blobs):
    on_a_cpu()
    return join(self, message, blobs)
worker.Engine.join = joined
"""


def transfer_of(kind: str, folder: Path, pack_bytes: int = PACK) -> DeviceTransfer:
    """`folder`: where the two ends find each other."""
    if kind == "ipc":
        return IpcTransfer(lambda size: FileShared(size, folder), pack_bytes)
    return NcclTransfer(GlooGroup, new_place(folder), pack_bytes)


def new_place(folder: Path) -> Callable[[], bytes]:
    """What makes two members of gloo's find each other, another each time."""
    places = iter(range(1000))
    return lambda: str(folder / f"group-{next(places)}").encode().ljust(ID_BYTES, b"\0")


def transferring(
    policy: Policy, python: Path, device: DeviceTransfer, settings: VllmSettings, seconds: float, lines: list[str]
) -> VllmSampler:
    """A sampler whose worker passes for one on a GPU."""

    def hire() -> Worker:
        worker = Worker(Process(python, 1, 0), seconds)
        worker.device = "cuda"
        return worker

    return VllmSampler(policy, TreeEngine(policy, 3), 3, settings, hire, lines.append, device)


def described(size: int) -> list[Any]:
    """What torch says of memory on a GPU to another process, with values that it could have."""
    return [
        torch.Tensor, torch.Size([size]), (1,), 0, torch.storage.TypedStorage, torch.uint8, 0, bytes(range(64)), size,
        512, False, b"/torch_1_2_3", 7, bytes(range(64, 128)), True,
    ]  # fmt: skip
