"""A worker as a process beside this one. It runs engines/vllm/worker.py in an environment of its own, since vLLM wants
other versions of the libraries than this project, and its crash must not be ours."""

import fcntl
import os
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from selfplay.machine.errors import NO_ENGINE, Refused

PROJECT = Path(__file__).resolve().parents[3] / "engines" / "vllm"
VARIABLE = "SELFPLAY_VLLM_PYTHON"
VISIBLE = "CUDA_VISIBLE_DEVICES"
_ENVIRONMENTS = {"cpu": ".", "cuda": "cuda"}  # in that project, by the kind of device: vLLM has a build for each
PREFIX = "selfplay-worker-"  # of folders for workers
_SHARED_MEMORY = Path("/dev/shm")
_SPARE_BYTES = 1 << 26  # of shared memory that others may want
_WORDS_SECONDS = 0.2  # that a process is given to end after its connection has
_LOG_BYTES = 1 << 16  # of the end of its log, in which what it died of is looked for
_NEW_SECONDS = 60.0  # in which a worker has long made the lock of its folder
_OURS = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "__PYVENV_LAUNCHER__")  # of this process's environment alone


def worker_python(device: str) -> Path:
    """The Python that the worker runs in: of this repository's own environment for that kind of device (cpu or cuda),
    or another that the variable names. It is no key of a configuration: a run's folder may come from somebody else.
    Raises Refused where it is not there."""
    environment = Path("engines", "vllm", _ENVIRONMENTS[device])
    python = Path(os.environ.get(VARIABLE) or PROJECT / _ENVIRONMENTS[device] / ".venv" / "bin" / "python")
    worker = PROJECT / "worker.py"
    if not worker.is_file():
        raise Refused(
            "engine.kind=vllm works in a clone of the repository only, whose folder engines/vllm is not here: use "
            "engine.kind=local",
            NO_ENGINE,
        )
    if not python.is_file():
        raise Refused(
            f"engine.kind=vllm: there is no Python at {python}; make the worker's environment with `uv sync --project "
            f"{environment}`, or name another Python in {VARIABLE}",
            NO_ENGINE,
        )
    return python


class Process:
    """One process of the worker, and a folder in shared memory for the weights that it reads.

    That process makes the folder and removes it, so that none is left when this one is killed; where that one is, this
    one does; where both are, the next one (`sweep`)."""

    is_shared = True

    def __init__(self, python: Path, threads: int, room: int, gpus: str | None = None) -> None:
        """`room`: bytes of the weights. `gpus`: what the process sees in place of this one's CUDA_VISIBLE_DEVICES."""
        place = place_for(room)
        self.folder = place / f"{PREFIX}{secrets.token_hex(8)}"
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  (it is open for as long as the process)
        self.connection, theirs = socket.socketpair()
        with theirs:
            descriptor = theirs.fileno()
            command = [
                str(python), str(PROJECT / "worker.py"), "--descriptor", str(descriptor), "--folder", str(self.folder),
                "--threads", str(threads),
            ]  # fmt: skip
            self._process = subprocess.Popen(
                command, pass_fds=[descriptor], stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log,
                env=_environment(gpus),
                start_new_session=True,  # Ctrl-C ends a run after its step, which the worker is needed for
            )  # fmt: skip

    @property
    def pid(self) -> int:
        return self._process.pid

    def last_words(self) -> str:
        """How the process ended, and the last line of its log that says something of an error."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_WORDS_SECONDS)
        code = self._process.returncode
        how = "it was cut off" if code is None else f"killed by signal {-code}" if code < 0 else f"exit code {code}"
        size = os.fstat(self._log.fileno()).st_size
        log = os.pread(self._log.fileno(), _LOG_BYTES, max(0, size - _LOG_BYTES))  # a seek would move where it writes
        errors = [line.strip() for line in log.decode(errors="replace").splitlines() if "Error" in line]
        return f"{how}: {errors[-1]}" if errors else how

    def end(self, seconds: float) -> None:
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()
        shutil.rmtree(self.folder, ignore_errors=True)


def _environment(gpus: str | None) -> dict[str, str]:
    theirs = {name: value for name, value in os.environ.items() if name not in _OURS}
    return theirs if gpus is None else theirs | {VISIBLE: gpus}


def only_gpu(gpu: int, visible: str | None) -> str:
    """With what in VISIBLE a process has that one alone of the GPUs that this one sees, whose own is `visible`."""
    return visible.split(",")[gpu].strip() if visible else str(gpu)


def place_for(room: int) -> Path:
    """A folder where so many bytes have room: shared memory, which a container may have little of, or a disk. Both are
    swept first."""
    disk, has_memory = Path(tempfile.gettempdir()), _SHARED_MEMORY.is_dir() and os.access(_SHARED_MEMORY, os.W_OK)
    for place in (_SHARED_MEMORY, disk) if has_memory else (disk,):
        sweep(place)
    has_room = has_memory and shutil.disk_usage(_SHARED_MEMORY).free > room + _SPARE_BYTES
    return _SHARED_MEMORY if has_room else disk


def sweep(place: Path) -> None:
    """Removes folders of workers that were killed together with their runs: nobody holds their locks."""
    for folder in place.glob(f"{PREFIX}*"):
        with suppress(OSError):
            is_ours, age = folder.stat().st_uid == os.getuid(), time.time() - folder.stat().st_mtime
            if is_ours and (_is_free(folder / "lock") if (folder / "lock").exists() else age > _NEW_SECONDS):
                shutil.rmtree(folder, ignore_errors=True)


def _is_free(lock: Path) -> bool:
    with lock.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True
