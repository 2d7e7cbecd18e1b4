"""Weights from the trainer's GPU into vLLM's, without a file: what engine.weights=ipc and =nccl do at each update.

    ipc     both processes use one GPU: a pack of weights is copied into memory that the worker opens too
    nccl    each has a GPU, on one machine or two: packs are broadcast

The worker's end is vLLM's own (`vllm.distributed.weight_transfer`, backends of these names; engines/vllm/transfers.py).
vLLM's other end cannot be used, since vLLM is not in this environment, so this is one for the same protocol. vLLM cuts
what it is given into packs by itself where they are broadcast, so `packs_beyond` has to cut as it does.
"""

import base64
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.multiprocessing.reductions import reduce_tensor

from selfplay.engine.vllm.nccl import Group, new_identity
from selfplay.engine.vllm.worker import Worker, WorkerLost
from selfplay.machine.errors import EngineError

PACK_BYTES = 1 << 28  # of weights that are sent at a time: as much is needed beside the model, on each side
_BUFFERS = 2  # in which vLLM receives what is broadcast
_END_SECONDS = 60.0  # that this end may take when the worker has everything

Named = Sequence[tuple[str, Tensor]]  # weights as they stand in a file


class DeviceTransfer(Protocol):
    """`kind` is the name of vLLM's backend."""

    @property
    def kind(self) -> str: ...

    def open(self, worker: Worker) -> None:
        """Meets a worker that has loaded its model. Raises WorkerLost, or EngineError where the two cannot meet."""
        ...

    def send(self, worker: Worker, weights: Named) -> None:
        """Gives it all of them in place of those before. Raises WorkerLost."""
        ...

    def close(self) -> None:
        """Gives up what is held for the worker. It may be called again."""
        ...


class Shared(Protocol):
    """Memory that a worker opens, uint8 [N]. `memory`: where it is, as JSON."""

    data: Tensor

    @property
    def memory(self) -> Mapping[str, Any]: ...

    def settle(self) -> None:
        """Returns when what was copied into it is there."""
        ...

    def close(self) -> None: ...


class CudaShared:
    """Memory of a GPU, open to other processes of this user."""

    def __init__(self, size: int, device: torch.device) -> None:
        self.data = torch.empty(size, dtype=torch.uint8, device=device)
        self.memory = cuda_memory(reduce_tensor(self.data)[1], gpu_name(device))

    def settle(self) -> None:
        torch.cuda.current_stream(self.data.device).synchronize()

    def close(self) -> None:
        del self.data
        torch.cuda.ipc_collect()  # what the worker has let go


def gpu_name(device: torch.device) -> str:
    return str(torch.cuda.get_device_properties(device).uuid)


def cuda_memory(described: Sequence[Any], gpu: str) -> dict[str, Any]:
    """What torch says of a tensor on a GPU to another process (`reduce_tensor`), as JSON in place of a pickle."""
    _, size, stride, offset, _, _, _, handle, num_bytes, start, _, counter, counter_offset, event, must_wait = described
    return {
        "gpu": gpu, "size": list(size), "stride": list(stride), "offset": offset, "handle": handle.hex(),
        "num_bytes": num_bytes, "start": start, "counter": counter.hex(), "counter_offset": counter_offset,
        "event": event.hex(), "must_wait": must_wait,
    }  # fmt: skip


class IpcTransfer:
    """`share` makes memory of so many bytes that a worker can open."""

    kind = "ipc"

    def __init__(self, share: Callable[[int], Shared], pack_bytes: int = PACK_BYTES) -> None:
        self._share = share
        self._pack_bytes = pack_bytes

    def open(self, worker: Worker) -> None:
        worker.ask("join", packed=True)

    def send(self, worker: Worker, weights: Named) -> None:
        sizes = [tensor.nbytes for _, tensor in weights]
        shared = self._share(min(max(self._pack_bytes, *sizes), sum(sizes)))
        try:
            worker.ask("begin")
            for pack in packs_within(sizes, shared.data.numel()):
                part, at = weights[pack], 0
                for _, tensor in part:
                    shared.data[at : at + tensor.nbytes].copy_(as_bytes(tensor))
                    at += tensor.nbytes
                shared.settle()
                worker.ask("receive", **told(part), tensor_sizes=sizes[pack], memory=shared.memory)
            worker.ask("finish")  # lets the memory go, which would else stay here until the next time
        finally:
            shared.close()

    def close(self) -> None:
        return


class NcclTransfer:
    """`meet` makes a group by what its members have in common, when the other one is there."""

    kind = "nccl"

    def __init__(
        self,
        meet: Callable[[bytes], Group],
        identity: Callable[[], bytes] = new_identity,
        pack_bytes: int = PACK_BYTES,
    ) -> None:
        self._meet = meet
        self._identity = identity
        self._pack_bytes = pack_bytes
        self._group: Group | None = None

    def open(self, worker: Worker) -> None:
        self.close()
        try:
            identity = self._identity()
        except Exception as error:
            raise EngineError(f"engine.weights=nccl: {error}; use engine.weights=files") from error

        def meet() -> None:
            self._group = self._meet(identity)

        with beside(meet, worker):
            worker.ask(
                "join", rank_offset=1, world_size=2, nccl_unique_id_b64=base64.b64encode(identity).decode(),
                packed=True, packed_buffer_size_bytes=self._pack_bytes, packed_num_buffers=_BUFFERS,
            )  # fmt: skip

    def send(self, worker: Worker, weights: Named) -> None:
        group = self._group
        assert group is not None, "a transfer is opened before it sends"

        def say() -> None:
            for pack in packs_beyond([tensor.nbytes for _, tensor in weights], self._pack_bytes):
                group.broadcast(torch.cat([as_bytes(tensor) for _, tensor in weights[pack]]))

        try:
            worker.ask("begin")
            with beside(say, worker):
                worker.ask("receive", **told(weights))
            worker.ask("finish")
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        group, self._group = self._group, None
        if group is not None:
            group.abort()


@contextmanager
def beside(work: Callable[[], None], worker: Worker) -> Iterator[None]:
    """Does `work` while the worker, inside, is asked for the other half of it: each waits for the other. Where this
    half fails, the worker is not waited for. Raises WorkerLost. Work that hangs is left to itself."""
    failed: list[BaseException] = []

    def try_to() -> None:
        try:
            work()
        except BaseException as error:
            failed.append(error)
            worker.cut()

    thread = threading.Thread(target=try_to, daemon=True)
    thread.start()
    try:
        yield
    except WorkerLost as lost:
        if failed:
            raise WorkerLost(f"this end failed: {failed[0]}") from lost
        raise
    thread.join(_END_SECONDS)
    if failed:
        raise WorkerLost(f"this end failed: {failed[0]}") from failed[0]
    if thread.is_alive():
        raise WorkerLost(f"this end was not done {_END_SECONDS:g} s after the worker")


def as_bytes(tensor: Tensor) -> Tensor:
    """uint8 [N] of a tensor of any shape, in the order of a file."""
    return tensor.detach().contiguous().view(-1).view(torch.uint8)


def told(weights: Named) -> dict[str, list[Any]]:
    """What vLLM is told of weights before they come."""
    return {
        "names": [name for name, _ in weights],
        "dtype_names": [str(tensor.dtype).removeprefix("torch.") for _, tensor in weights],
        "shapes": [list(tensor.shape) for _, tensor in weights],
    }


def packs_within(sizes: Sequence[int], most: int) -> Iterator[slice]:
    """Consecutive ones, as many as come to at most `most` bytes in all. None of them is larger by itself."""
    start, held = 0, 0
    for at, size in enumerate(sizes):
        if held and held + size > most:
            yield slice(start, at)
            start, held = at, 0
        held += size
    if start < len(sizes):
        yield slice(start, len(sizes))


def packs_beyond(sizes: Sequence[int], most: int) -> Iterator[slice]:
    """Consecutive ones: a pack ends with the first that brings it above `most` bytes."""
    start, held = 0, 0
    for at, size in enumerate(sizes):
        held += size
        if held > most:
            yield slice(start, at + 1)
            start, held = at + 1, 0
    if start < len(sizes):
        yield slice(start, len(sizes))
