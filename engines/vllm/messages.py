"""Messages between a run and this worker, and how the two ends of a network make sure of each other.

A message is four bytes of length (big-endian), so many bytes of JSON, and the arrays whose sizes the JSON names under
"blobs", in bytes. Nothing that comes is executed or unpickled, and what is longer than a message may be ends the
connection before it is read. The other end of all this is selfplay/engine/vllm/wire.py.
"""

import hashlib
import hmac
import json
import secrets
import socket
import struct
from contextlib import suppress
from typing import Any

MOST_HEAD = 1 << 26  # bytes of JSON
MOST_ARRAY = 1 << 31  # bytes of an array
MOST_ARRAYS = 8
MOST_GREETING = 1 << 10  # bytes of JSON from somebody who is not known yet
GREETING_SECONDS = 10.0  # that an introduction may take
NAME = "selfplay vLLM worker, version 1"


def receive(connection: socket.socket, most: int = MOST_HEAD) -> tuple[dict[str, Any], list[bytes]]:
    """A message and its arrays. EOFError where the other end is gone, ValueError for what is no message."""
    (size,) = struct.unpack(">I", _exactly(connection, 4))
    if size > most:
        raise ValueError(f"a message of {size} bytes")
    message = json.loads(_exactly(connection, size))
    if not isinstance(message, dict):
        raise ValueError("a message that is no object")
    sizes = message.pop("blobs", [])
    if not isinstance(sizes, list) or len(sizes) > (MOST_ARRAYS if most == MOST_HEAD else 0):
        raise ValueError("a message of too many arrays")
    if not all(isinstance(each, int) and 0 <= each <= MOST_ARRAY for each in sizes):
        raise ValueError("arrays of no possible size")
    return message, [_exactly(connection, each) for each in sizes]


def send(connection: socket.socket, message: dict[str, Any], blobs: list[bytes]) -> None:
    head = json.dumps(message | {"blobs": [len(blob) for blob in blobs]}).encode()
    connection.sendall(b"".join([struct.pack(">I", len(head)), head, *blobs]))


def _exactly(connection: socket.socket, size: int) -> bytes:
    parts = bytearray()
    while len(parts) < size:
        part = connection.recv(min(size - len(parts), 1 << 20))
        if not part:
            raise EOFError
        parts += part
    return bytes(parts)


def is_known(connection: socket.socket, token: str) -> bool:
    """Whether the other end has the same token, which neither end says: each proves it with the other's random number,
    so that what is listened to on the way cannot be said again. The other end learns as much of this one."""
    connection.settimeout(GREETING_SECONDS)
    ours = secrets.token_hex(32)
    try:
        send(connection, {"name": NAME, "number": ours}, [])
        message, _ = receive(connection, MOST_GREETING)
        theirs, proof = str(message.get("number")), str(message.get("proof"))
        is_right = hmac.compare_digest(proof.encode(), proof_of(token, "run", ours, theirs).encode())
        answer = {"proof": proof_of(token, "worker", ours, theirs)} if is_right else {"error": "another token"}
        send(connection, answer, [])
    except (OSError, EOFError, ValueError):
        return False
    with suppress(OSError):
        connection.settimeout(None)
    return is_right


def proof_of(token: str, who: str, ours: str, theirs: str) -> str:
    return hmac.new(token.encode(), f"{who} {ours} {theirs}".encode(), hashlib.sha256).hexdigest()
