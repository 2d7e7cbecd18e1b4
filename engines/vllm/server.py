"""Listens for runs, and starts a worker for each, one after another: a run that is lost leaves nothing to the next.

vLLM's own server is not used for this. It cannot be given weights by those whom it serves without its developer mode,
whose routes ask for no key and call any method of its worker; and what came would have to be proved by such a call.
"""

import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

import messages

VARIABLE = "SELFPLAY_VLLM_TOKEN"
LEAST_TOKEN = 16  # characters: shorter ones could be guessed from what is said on the way
KEPT_ALIVE = ((socket.TCP_KEEPIDLE, 30), (socket.TCP_KEEPINTVL, 10), (socket.TCP_KEEPCNT, 3))  # a minute of silence


def listen(address: str, worker: Path, threads: int) -> None:
    """Serves until it is ended. `address`: HOST:PORT."""
    token = os.environ.pop(VARIABLE, "")
    if len(token) < LEAST_TOKEN:
        sys.exit(
            f"error: set {VARIABLE} to a secret of at least {LEAST_TOKEN} characters, here and where runs are started"
        )
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    if not host or not port.isdecimal():
        sys.exit(f"error: --listen {address}: want HOST:PORT, such as 127.0.0.1:8011")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listening = socket.create_server((host, int(port)), family=family)
    except OSError as error:
        sys.exit(f"error: --listen {address}: {error}")
    with listening, suppress(KeyboardInterrupt):
        print(f"listening on {host}:{listening.getsockname()[1]}", flush=True)
        while True:
            connection, (peer, *_) = listening.accept()
            with connection:
                if messages.is_known(connection, token):
                    print(f"a run from {peer}", flush=True)
                    _serve(connection, worker, threads)
                    print("it is gone", flush=True)
                else:
                    print(f"somebody from {peer} was turned away", flush=True)


def _serve(connection: socket.socket, worker: Path, threads: int) -> None:
    """Until the run goes, or the worker ends."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in KEPT_ALIVE:
        connection.setsockopt(socket.IPPROTO_TCP, option, value)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    folder, descriptor = Path(tempfile.gettempdir()) / f"selfplay-worker-{secrets.token_hex(8)}", connection.fileno()
    command = [
        sys.executable, worker, "--descriptor", str(descriptor), "--folder", folder, "--threads", str(threads),
    ]  # fmt: skip
    process = subprocess.Popen(command, pass_fds=[descriptor], stdin=subprocess.DEVNULL)
    try:
        process.wait()
    finally:
        process.kill()
        process.wait()
        shutil.rmtree(folder, ignore_errors=True)
