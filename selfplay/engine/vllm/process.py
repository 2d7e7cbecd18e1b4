"""The worker as a process: started, asked, watched and stopped. It runs engines/vllm/worker.py in an environment of its
own, since vLLM wants other versions of the libraries than this project, and its crash must not be ours."""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from selfplay.engine.vllm.wire import receive, send
from selfplay.machine.errors import NO_ENGINE, Refused

PROJECT = Path(__file__).resolve().parents[3] / "engines" / "vllm"
PYTHON = PROJECT / ".venv" / "bin" / "python"
VARIABLE = "SELFPLAY_VLLM_PYTHON"
COMMAND = "uv sync --project engines/vllm"
_SHARED_MEMORY = Path("/dev/shm")
_START_SECONDS = 900.0  # that a worker may take to call back, and to load a model: large ones take minutes
_POLL_SECONDS = 0.2  # between two looks at whether a starting worker has ended
_STOP_SECONDS = 5.0  # that a worker is given to end by itself
_LOG_LINES = 400  # of the end of its log, in which what it died of is looked for
_OURS = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "__PYVENV_LAUNCHER__")  # of this process's environment alone


class WorkerLost(Exception):
    """The worker ended, hangs, or answered with an error: what is known of why, in one line."""


class WorkerFailed(WorkerLost):
    """The worker is there, and what it was asked for failed in it."""


def worker_python() -> Path:
    """The Python that the worker runs in: of this repository's own environment for it, or another that the variable
    names. It is no key of a configuration: a run's folder may come from somebody else. Raises Refused where it is not
    there."""
    python = Path(os.environ.get(VARIABLE) or PYTHON)
    worker = PROJECT / "worker.py"
    if not worker.is_file():
        raise Refused(
            "engine.kind=vllm works in a clone of the repository only, whose folder engines/vllm is not here: use "
            "engine.kind=local",
            NO_ENGINE,
        )
    if not python.is_file():
        raise Refused(
            f"engine.kind=vllm: there is no Python at {python}; make the worker's environment with `{COMMAND}`, or "
            f"name another Python in {VARIABLE}",
            NO_ENGINE,
        )
    return python


class Worker:
    """One process of the worker, and a folder in shared memory for its socket, its log and the weights it reads."""

    def __init__(self, python: Path, threads: int, seconds: float) -> None:
        """Starts it and waits until it has called back. `seconds`: how long an answer may take. Raises WorkerLost."""
        is_shared = _SHARED_MEMORY.is_dir() and os.access(_SHARED_MEMORY, os.W_OK)
        self.folder = Path(tempfile.mkdtemp(prefix="selfplay-vllm-", dir=_SHARED_MEMORY if is_shared else None))
        self._log = self.folder / "log"
        self._seconds = seconds
        self._connection: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None
        try:
            self._start(python, threads)
        except BaseException:
            self.end()
            raise

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def load(self, folder: Path, **settings: Any) -> None:
        """The model in a folder of transformers. Raises WorkerLost."""
        self._ask("load", max(self._seconds, _START_SECONDS), folder=str(folder), **settings)

    def ask(self, do: str, blobs: Sequence[bytes] = (), **fields: Any) -> tuple[dict[str, Any], list[bytes]]:
        """What the worker answers, and its arrays. Raises WorkerLost."""
        return self._ask(do, self._seconds, blobs, **fields)

    def _ask(
        self, do: str, seconds: float, blobs: Sequence[bytes] = (), **fields: Any
    ) -> tuple[dict[str, Any], list[bytes]]:
        assert self._connection is not None
        self._connection.settimeout(seconds)
        try:
            send(self._connection, {"do": do, **fields}, blobs)
            answer, arrays = receive(self._connection)
        except TimeoutError as error:
            raise WorkerLost(f"no answer to {do} for {seconds:g} s") from error
        except (OSError, EOFError, ValueError) as error:
            raise WorkerLost(self._last_words() or str(error)) from error
        if "error" in answer:
            raise WorkerFailed(str(answer["error"]))
        return answer, arrays

    def end(self) -> None:
        """Ends the process, kindly first, and removes its folder."""
        if self._connection is not None:
            with suppress(OSError):
                self._connection.settimeout(_STOP_SECONDS)
                send(self._connection, {"do": "stop"})
            self._connection.close()
        if self._process is not None:
            try:
                self._process.wait(_STOP_SECONDS if self._connection is not None else 0.0)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def kill(self) -> None:
        """Ends it at once: it hangs, or is already gone."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        self.end()

    def _start(self, python: Path, threads: int) -> None:
        path = self.folder / "socket"
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
            listening.bind(str(path))
            listening.listen(1)
            with self._log.open("wb") as log:
                self._process = subprocess.Popen(
                    [python, PROJECT / "worker.py", path],
                    stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=_environment(threads),
                    start_new_session=True,  # Ctrl-C ends a run after its step, which the worker is needed for
                )  # fmt: skip
            self._connection = self._called_back(listening)

    def _called_back(self, listening: socket.socket) -> socket.socket:
        assert self._process is not None
        listening.settimeout(_POLL_SECONDS)
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            try:
                return listening.accept()[0]
            except TimeoutError:
                if self._process.poll() is not None:
                    break
        raise WorkerLost(self._last_words() or "it did not call back")

    def _last_words(self) -> str:
        """How the process ended, and the last line of its log that says something of an error."""
        if self._process is None or not self._log.is_file():
            return ""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_POLL_SECONDS)
        code = self._process.returncode
        how = "it was cut off" if code is None else f"killed by signal {-code}" if code < 0 else f"exit code {code}"
        lines = self._log.read_text(errors="replace").splitlines()[-_LOG_LINES:]
        errors = [line.strip() for line in lines if "Error" in line]
        return f"{how}: {errors[-1]}" if errors else how


def _environment(threads: int) -> dict[str, str]:
    ours = {name: value for name, value in os.environ.items() if name not in _OURS}
    return ours | {
        "OMP_NUM_THREADS": str(threads),
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",  # it would take cores that the trainer works on too
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0",  # one process, which can be ended as one
        "VLLM_LOGGING_LEVEL": "WARNING",
        "VLLM_NO_USAGE_STATS": "1",
        "DO_NOT_TRACK": "1",
        "HF_HUB_OFFLINE": "1",
        "TORCH_COMPILE_DISABLE": "1",  # half a minute at start, for nothing on a CPU
        "PYTHONUNBUFFERED": "1",
    }
