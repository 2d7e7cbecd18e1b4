"""NCCL as one end of a broadcast to another process, which vLLM's transfer of weights is.

torch makes groups by a rendezvous of its own, which vLLM's end does not take part in, and torch.cuda.nccl cannot give
up a call that hangs because the other end is gone. So NCCL's library, which torch has loaded, is called as it is: names
and numbers are those of nccl.h, version 2.
"""

import ctypes
from typing import Protocol

import torch
from torch import Tensor

ID_BYTES = 128  # of what the members of a group have in common
_UINT8, _FLOAT32, _SUM = 1, 7, 0


class Group(Protocol):
    """This process and a worker, to which this one says what it has."""

    def broadcast(self, data: Tensor) -> None:
        """Gives `data`, uint8 [N], to the worker, which has to ask for as much; returns when it is said."""
        ...

    def abort(self) -> None:
        """Ends the group, whatever it is doing: a broadcast under way fails. It may be called again."""
        ...


class NcclError(Exception):
    """What NCCL says of a call that failed."""


class _Id(ctypes.Structure):
    _fields_ = (("bytes", ctypes.c_byte * ID_BYTES),)


def _library() -> ctypes.CDLL:
    """Raises NcclError where there is none."""
    try:
        library = ctypes.CDLL("libnccl.so.2")
    except OSError as error:
        raise NcclError(f"there is no NCCL here: {error}") from error
    pointer, size, number = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int
    library.ncclCommInitRank.argtypes = [ctypes.POINTER(pointer), number, _Id, number]
    library.ncclBroadcast.argtypes = [pointer, pointer, size, number, number, pointer, pointer]
    library.ncclAllReduce.argtypes = [pointer, pointer, size, number, number, pointer, pointer]
    library.ncclCommAbort.argtypes = [pointer]
    library.ncclGetErrorString.restype = library.ncclGetLastError.restype = ctypes.c_char_p
    library.ncclGetLastError.argtypes = [pointer]
    return library


def _check(library: ctypes.CDLL, result: int) -> None:
    if result != 0:
        kind, last = library.ncclGetErrorString(result), library.ncclGetLastError(None)
        raise NcclError(": ".join(part.decode(errors="replace") for part in (kind, last) if part))


def new_identity() -> bytes:
    """ID_BYTES that make those who have them a group. Raises NcclError."""
    library, identity = _library(), _Id()
    _check(library, library.ncclGetUniqueId(ctypes.byref(identity)))
    return bytes(identity)


class NcclGroup:
    """Member 0 of two."""

    def __init__(self, identity: bytes, device: torch.device) -> None:
        """Returns when the other member is there. Raises NcclError."""
        self._device = device
        self._nccl = _library()
        self._communicator: ctypes.c_void_p | None = None
        made = ctypes.c_void_p()
        with torch.cuda.device(device):
            common = _Id.from_buffer_copy(identity)
            _check(self._nccl, self._nccl.ncclCommInitRank(ctypes.byref(made), 2, common, 0))
            self._communicator = made
            self._stream = torch.cuda.Stream(device)
            self._greet()

    def broadcast(self, data: Tensor) -> None:
        with torch.cuda.device(self._device):
            self._stream.wait_stream(torch.cuda.current_stream())  # which makes the data
            at, size = data.data_ptr(), data.numel()
            _check(self._nccl, self._nccl.ncclBroadcast(at, at, size, _UINT8, 0, self._communicator, self._handle()))
            self._stream.synchronize()

    def abort(self) -> None:
        communicator, self._communicator = self._communicator, None
        if communicator is not None:
            self._nccl.ncclCommAbort(communicator)

    def _greet(self) -> None:
        """vLLM's end adds up one number with all members before anything else."""
        number = torch.zeros(1, device=self._device)
        self._stream.wait_stream(torch.cuda.current_stream())
        at = number.data_ptr()
        _check(self._nccl, self._nccl.ncclAllReduce(at, at, 1, _FLOAT32, _SUM, self._communicator, self._handle()))
        self._stream.synchronize()

    def _handle(self) -> int:
        return self._stream.cuda_stream
