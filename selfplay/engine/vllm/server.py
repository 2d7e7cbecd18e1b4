"""A worker on a server that is already up, by its address: engines/vllm/worker.py --listen.

The two ends have a token in common, from the environment of each and in no configuration, and prove it to each other
before anything else is said: the address may come with the run folder of somebody else, who would be given the weights.
"""

import hashlib
import hmac
import os
import secrets
import shutil
import socket
import tempfile
import time
from pathlib import Path
from urllib.parse import urlsplit

from selfplay.engine.vllm.wire import receive, send
from selfplay.engine.vllm.worker import WorkerLost
from selfplay.machine.errors import NO_ENGINE, EngineError, Refused

VARIABLE = "SELFPLAY_VLLM_TOKEN"
LEAST_TOKEN = 16  # characters
_SENT = "selfplay-sent-"  # of folders for what is being sent
_MOST_GREETING = 1 << 10  # bytes of a message from somebody who is not known yet
_CONNECT_SECONDS = 10.0  # in which a server that was just started, or started anew, begins to listen
_PAUSE_SECONDS = 0.5


def server_token() -> str:
    """What the two ends have in common. Raises Refused where it is not given."""
    token = os.environ.get(VARIABLE, "")
    if len(token) < LEAST_TOKEN:
        raise Refused(
            f"engine.url: {VARIABLE} is to hold the secret of at least {LEAST_TOKEN} characters that the server was "
            "started with",
            NO_ENGINE,
        )
    return token


class Server:
    """A connection to a server, which has started a worker for it. `seconds`: how long it may take until the server has
    done with others."""

    is_shared = False

    def __init__(self, url: str, token: str, seconds: float) -> None:
        """Raises WorkerLost, or EngineError where the other end does not have the token."""
        self._url = url
        self.connection = self._connected()
        try:
            self._introduce(token, seconds)
        except BaseException:
            self.connection.close()
            raise
        self.folder = Path(tempfile.mkdtemp(prefix=_SENT))

    @property
    def pid(self) -> None:
        """It is no process of this machine's."""
        return None

    def last_words(self) -> str:
        return f"the server at {self._url} is gone, or has ended the connection"

    def end(self, seconds: float) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    def _connected(self) -> socket.socket:
        parts = urlsplit(self._url)
        deadline = time.monotonic() + _CONNECT_SECONDS
        while True:
            try:
                connection = socket.create_connection((parts.hostname, parts.port), _CONNECT_SECONDS)
            except OSError as error:
                if time.monotonic() > deadline:
                    raise WorkerLost(f"nobody listens at {self._url}: {error}") from error
                time.sleep(_PAUSE_SECONDS)
            else:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
                return connection

    def _introduce(self, token: str, seconds: float) -> None:
        """Each end proves that it has the token, with the other's random number: what is listened to on the way cannot
        be said again."""
        self.connection.settimeout(seconds)
        try:
            theirs = str(receive(self.connection, _MOST_GREETING)[0].get("number"))
            ours = secrets.token_hex(32)
            send(self.connection, {"number": ours, "proof": _proof(token, "run", theirs, ours)})
            answer, _ = receive(self.connection, _MOST_GREETING)
        except TimeoutError as error:
            raise WorkerLost(f"the server at {self._url} serves somebody else, or hangs") from error
        except (OSError, EOFError, ValueError) as error:
            raise WorkerLost(self.last_words()) from error
        if not hmac.compare_digest(str(answer.get("proof")).encode(), _proof(token, "worker", theirs, ours).encode()):
            raise EngineError(
                f"engine.url={self._url}: what listens there was started with another {VARIABLE}; nothing was sent"
            )


def _proof(token: str, who: str, server: str, run: str) -> str:
    return hmac.new(token.encode(), f"{who} {server} {run}".encode(), hashlib.sha256).hexdigest()
