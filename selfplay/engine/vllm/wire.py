"""Messages between a run and its vLLM worker; engines/vllm/messages.py, which is apart from ours, has the same.

A message is four bytes of length (big-endian), so many bytes of JSON, and the arrays whose sizes the JSON names under
"blobs", in bytes. Ids and counts are int32, log-probabilities float32, little-endian.
"""

import json
import socket
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np

IDS, LOGPROBS = np.dtype("<i4"), np.dtype("<f4")
MOST_HEAD = 1 << 26  # bytes of JSON: anything longer is no message of ours
MOST_ARRAY = 1 << 31  # bytes of an array
MOST_ARRAYS = 8
_PART = 1 << 20


def send(connection: socket.socket, message: dict[str, Any], blobs: Sequence[bytes] = ()) -> None:
    """OSError where the other end is gone or does not read."""
    head = json.dumps(message | {"blobs": [len(blob) for blob in blobs]}).encode()
    connection.sendall(b"".join([struct.pack(">I", len(head)), head, *blobs]))


def receive(connection: socket.socket, most: int = MOST_HEAD) -> tuple[dict[str, Any], list[bytes]]:
    """A message of at most so many bytes, and its arrays. EOFError where the other end is gone, TimeoutError where it
    says nothing for the connection's time limit, ValueError for what is no message."""
    (size,) = struct.unpack(">I", _exactly(connection, 4))
    if size > most:
        raise ValueError(f"a message of {size} bytes")
    message = json.loads(_exactly(connection, size))
    if not isinstance(message, dict):
        raise ValueError("a message that is no object")
    sizes = message.pop("blobs", [])
    if not isinstance(sizes, list) or len(sizes) > MOST_ARRAYS:
        raise ValueError("a message of too many arrays")
    if not all(isinstance(each, int) and 0 <= each <= MOST_ARRAY for each in sizes):
        raise ValueError("arrays of no possible size")
    return message, [_exactly(connection, each) for each in sizes]


def packed(rows: Sequence[Sequence[int]]) -> list[bytes]:
    """Rows of ids as two arrays: their lengths, and all ids one after another."""
    lengths = np.array([len(row) for row in rows], dtype=IDS)
    return [lengths.tobytes(), np.array([token for row in rows for token in row], dtype=IDS).tobytes()]


def unpacked(lengths: bytes, values: bytes, kind: np.dtype = IDS) -> list[np.ndarray]:
    """The rows of two such arrays. ValueError where the lengths do not add up to the values."""
    each = np.frombuffer(lengths, IDS)
    every = np.frombuffer(values, kind)
    if (each < 0).any() or int(each.sum()) != len(every):
        raise ValueError(f"rows of {int(each.sum())} values in all, and {len(every)} values")
    return np.split(every, np.cumsum(each)[:-1]) if len(each) else []


def _exactly(connection: socket.socket, size: int) -> bytes:
    parts = bytearray()
    while len(parts) < size:
        part = connection.recv(min(size - len(parts), _PART))
        if not part:
            raise EOFError("the connection was closed")
        parts += part
    return bytes(parts)
