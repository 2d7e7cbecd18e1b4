"""The worker as this side sees it: asked over a socket, wherever it runs (process.py, server.py)."""

import shutil
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

from selfplay.engine.vllm.wire import receive, send

START_SECONDS = 900.0  # that a worker may take to be ready, and to load a model: large ones take minutes
_STOP_SECONDS = 5.0  # that a worker is given to end by itself
_PART = 1 << 26  # bytes of a file that are sent at a time


class WorkerLost(Exception):
    """The worker ended, hangs, or answered with an error: what is known of why, in one line."""


class WorkerFailed(WorkerLost):
    """The worker is there, and what it was asked for failed in it."""


class Host(Protocol):
    """What a worker runs on. `folder` is where files for it are put on this machine; `is_shared`: it reads that very
    folder, else what is put there is sent."""

    connection: socket.socket
    folder: Path
    is_shared: bool

    @property
    def pid(self) -> int | None:
        """The worker's process, where it is one of this machine's."""
        ...

    def last_words(self) -> str:
        """How the worker ended, in one line; "" where nothing is known of it."""
        ...

    def end(self, seconds: float) -> None:
        """Ends the worker, which has so many seconds to end by itself, and removes what it left. Never raises."""
        ...


class Worker:
    """A worker that is ready, on its host. `seconds`: how long an answer may take."""

    def __init__(self, host: Host, seconds: float) -> None:
        """Waits until it is ready. Raises WorkerLost."""
        self._host = host
        self._seconds = seconds
        try:
            ready, _ = self._answer("the start", START_SECONDS)
            self.device = str(ready.get("device", "cpu"))  # what its vLLM is built for: cpu or cuda
        except BaseException:
            self.kill()
            raise

    @property
    def pid(self) -> int | None:
        """The worker's process, where it is one of this machine's."""
        return self._host.pid

    def load(self, folder: str, **settings: Any) -> None:
        """The model in a folder of transformers. Raises WorkerLost."""
        self._ask("load", max(self._seconds, START_SECONDS), folder=folder, **settings)

    def ask(self, do: str, blobs: Sequence[bytes] = (), **fields: Any) -> tuple[dict[str, Any], list[bytes]]:
        """What the worker answers, and its arrays. Raises WorkerLost."""
        return self._ask(do, self._seconds, blobs, **fields)

    @contextmanager
    def given(self, name: str, write: Callable[[Path], None]) -> Iterator[None]:
        """Inside, the worker has a folder of that name, with what `write` puts into one. Raises WorkerLost."""
        folder = self._host.folder / name
        try:
            write(folder)
            if not self._host.is_shared:
                self._send(folder)
            yield
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def cut(self) -> None:
        """Ends the connection, and with it whatever another thread is waiting for in `ask`."""
        with suppress(OSError):
            self._host.connection.shutdown(socket.SHUT_RDWR)

    def end(self) -> None:
        """Ends it, kindly first."""
        with suppress(OSError):
            self._host.connection.settimeout(_STOP_SECONDS)
            send(self._host.connection, {"do": "stop"})
        self._host.connection.close()
        self._host.end(_STOP_SECONDS)

    def kill(self) -> None:
        """Ends it at once: it hangs, or is already gone."""
        self._host.connection.close()
        self._host.end(0.0)

    def _send(self, folder: Path) -> None:
        for path in sorted(folder.iterdir()):
            with path.open("rb") as file:
                while part := file.read(_PART):
                    self._ask("put", self._seconds, [part], folder=folder.name, file=path.name)

    def _ask(
        self, do: str, seconds: float, blobs: Sequence[bytes] = (), **fields: Any
    ) -> tuple[dict[str, Any], list[bytes]]:
        return self._answer(do, seconds, ({"do": do, **fields}, blobs))

    def _answer(
        self, do: str, seconds: float, message: tuple[dict[str, Any], Sequence[bytes]] | None = None
    ) -> tuple[dict[str, Any], list[bytes]]:
        connection = self._host.connection
        try:
            connection.settimeout(seconds)
            if message is not None:
                send(connection, *message)
            answer, arrays = receive(connection)
        except TimeoutError as error:
            raise WorkerLost(f"no answer to {do} for {seconds:g} s") from error
        except (OSError, EOFError, ValueError) as error:
            raise WorkerLost(self._host.last_words() or str(error)) from error
        if "error" in answer:
            raise WorkerFailed(str(answer["error"]))
        return answer, arrays
