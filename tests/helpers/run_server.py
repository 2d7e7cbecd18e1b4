"""Starts runs of the loop in processes that can be killed, without paying for `import torch` each time.

A server process imports everything and runs nothing (no tensor operation, no sandbox: neither survives a fork), reads
one request a line, forks, and lets the child be a run. Use it through `Server`.
"""

import gc
import importlib
import json
import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

ROOT = Path(__file__).resolve().parents[2]
USERS = ROOT / "tests" / "helpers" / "users"  # modules such as a user writes: domains, rewards, tasksets
ENVIRONMENT = os.environ | {"PYTHONPATH": f"{ROOT}:{USERS}", "OMP_NUM_THREADS": "1"}  # of a command that finds them
IMPORTED = (  # what runs and looks at them import, some of it late
    "few_problems", "selfplay.inspect", "selfplay.loop", "selfplay.model.weights.tiny", "selfplay.run.opening",
    "selfplay.run.shown_prompt", "selfplay.view.picture", "selfplay.view.progress", "selfplay.view.trees", "peft",
    "matplotlib.figure",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Ended:
    """How a run's process ended: its exit code (negative: the signal), and what it printed."""

    code: int
    output: str


@dataclass(frozen=True, slots=True)
class Running:
    """A run at work, and the files that it prints to."""

    pid: int
    output: Path
    errors: Path

    @property
    def is_at_work(self) -> bool:
        return Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"

    def has_said(self, start: str) -> bool:
        """Waits for a line that starts so. False if the run ended without it."""
        while not any(line.startswith(start) for line in self.output.read_text().splitlines()):
            if not self.is_at_work:
                return False
            time.sleep(0.01)
        return True


class Server:
    """Runs `selfplay.loop` in forked children of one prepared process."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=ENVIRONMENT,
            cwd=ROOT,
        )
        self._domains: dict[str, str] = {}  # of the run that was started last, by the folder of runs
        assert self._ask({"hello": True}) == {"ready": True}

    def run(
        self,
        arguments: Sequence[str],
        environment: Mapping[str, str] | None = None,
        signal_after: tuple[int, float] | None = None,
        fault: str = "",
        program: str = "selfplay.loop",
    ) -> Ended:
        """One run to its end, or until `signal_after` = (signal, seconds). `fault` is one of `FAULTS`.

        A resume names the domain that its run was started with, as it must where the domain is the user's own code.
        """
        assert fault == "" or fault in FAULTS, fault
        folder = next((argument for argument in arguments if argument.startswith("run.dir=")), "")
        named = [argument for argument in arguments if argument.startswith("domain=")]
        if "--resume" not in arguments:
            self._domains[folder] = named[-1] if named else ""
        elif self._domains.get(folder) and not named:
            arguments = [*arguments, self._domains[folder]]
        request = {"argv": list(arguments), "env": dict(environment or {}), "signal_after": signal_after}
        found = self._ask(request | {"fault": fault, "program": program})
        return Ended(found["code"], found["output"])

    @contextmanager
    def running(
        self, arguments: Sequence[str], directory: Path, environment: Mapping[str, str] | None = None
    ) -> Iterator[Running]:
        """A run that goes on beside others. Killed at the end of the block, if it has not ended."""
        files = {"output": str(directory / "output.txt"), "errors": str(directory / "errors.txt")}
        asked = {"argv": list(arguments), "program": "selfplay.loop", "fault": "", "env": dict(environment or {})}
        found = self._ask(asked | files)
        run = Running(found["pid"], directory / "output.txt", directory / "errors.txt")
        try:
            yield run
        finally:
            if Path(f"/proc/{run.pid}").exists():
                os.kill(run.pid, signal.SIGKILL)
                self.end(run)

    def end(self, run: Running) -> int:
        """Waits for it; its exit code."""
        return self._ask({"wait": run.pid})["code"]

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(20)

    def _ask(self, request: dict[str, Any]) -> Any:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())


def serve() -> None:
    """The server's side."""
    for name in IMPORTED:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()  # else every child looks through all that was imported, and copies it
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job has it ignored
    for line in sys.stdin:
        request = json.loads(line)
        print(json.dumps(_answer(request)), flush=True)


def _answer(request: dict[str, Any]) -> dict[str, Any]:
    if "hello" in request:
        return {"ready": True}
    if "wait" in request:
        return {"code": os.waitstatus_to_exitcode(os.waitpid(request["wait"], 0)[1])}
    return _begun(request) if "errors" in request else _forked(request)


def _begun(request: dict[str, Any]) -> dict[str, Any]:
    """A child whose end is not waited for."""
    files = [os.open(request[name], os.O_WRONLY | os.O_CREAT) for name in ("output", "errors")]
    child = os.fork()
    if child == 0:
        _be_a_run(request, *files)
    for file in files:
        os.close(file)
    return {"pid": child}


def _forked(request: dict[str, Any]) -> dict[str, Any]:
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        _be_a_run(request, writer, writer)
    os.close(writer)
    if request["signal_after"] is not None:
        number, seconds = request["signal_after"]
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT | os.WNOHANG) is None:
            time.sleep(0.002)
        os.kill(child, number)
    with os.fdopen(reader, "rb") as file:
        output = file.read().decode("utf-8", "replace")
    _, status = os.waitpid(child, 0)
    return {"code": os.waitstatus_to_exitcode(status), "output": output}


def _be_a_run(request: dict[str, Any], output: int, errors: int) -> NoReturn:
    """Never returns: the child's life is one call of main()."""
    os.dup2(output, 1)
    os.dup2(errors, 2)
    os.environ.update(request["env"])
    code: object = 70
    try:
        if request["fault"]:
            FAULTS[request["fault"]]()
        code = importlib.import_module(request["program"]).main(request["argv"])
    except SystemExit as end:
        code = end.code
    except BaseException:
        traceback.print_exc()
    if sys.stdout is not None:
        sys.stdout.flush()  # as the interpreter does at its end, where a failure would change the exit code
    os._exit(code if isinstance(code, int) else 1)


def _no_replay() -> None:
    """After a crash the updates behind the checkpoint are not made again."""
    from selfplay.run import recovery

    recovery._replay = lambda *arguments: None  # type: ignore[assignment]


def _another_machine() -> None:
    """The environment's fingerprint is not what it was."""
    from selfplay.run import opening

    opening.fingerprint = lambda device: "another machine"  # type: ignore[assignment]


def _interrupted_in(step: int, number: int, times: int = 1) -> Callable[[], None]:
    """A signal arrives while the step is being committed: not at a time that a busy machine would move."""

    def plant() -> None:
        from store.store import Store

        honest = Store.commit_step

        def commit_step(self: Any, commit: Any) -> Any:
            for _ in range(times if commit.step == step else 0):
                signal.raise_signal(number)
            return honest(self, commit)

        Store.commit_step = commit_step  # type: ignore[method-assign]

    return plant


def _interrupted_while_loading() -> None:
    """Ctrl-C before the run has handlers of its own."""
    from selfplay.run import build_model

    honest = build_model.load_model

    def load_model(*arguments: Any) -> Any:
        signal.raise_signal(signal.SIGINT)
        return honest(*arguments)

    build_model.load_model = load_model


def _no_memory_in_step_3() -> None:
    """Memory is gone during the third update: the system gives out no more, and what was free is taken."""
    import resource

    from selfplay.train.trainer import Trainer

    honest = Trainer.step

    def step(self: Any, *batches: Any) -> Any:
        if self._policy.version < 2:
            return honest(self, *batches)
        limits = resource.getrlimit(resource.RLIMIT_AS)
        in_use = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (in_use, limits[1]))
        hoard: list[bytearray] = []
        try:
            for size in (1 << 20, 1 << 16, 1 << 12):
                with suppress(MemoryError):
                    hoard.extend(bytearray(size) for _ in range((1 << 29) // size))  # where nothing limits it: no more
            return honest(self, *batches)
        finally:
            hoard.clear()
            resource.setrlimit(resource.RLIMIT_AS, limits)

    Trainer.step = step  # type: ignore[method-assign]


def _broken_sandbox() -> None:
    """During step 2 its worker is killed and its binary is no longer one."""
    from selfplay.run.session import Run

    honest = Run.propose

    def propose(self: Any, step: Any, skilled: Any) -> Any:
        if step.number == 2:
            children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()
            for child in children:
                if "monty" in Path(f"/proc/{child}/cmdline").read_text():
                    os.kill(int(child), signal.SIGKILL)
            binary = Path(os.environ["MONTY_BIN"])
            binary.unlink()  # one that runs cannot be written to
            binary.write_text("#!/bin/sh\nexit 1\n")
            binary.chmod(0o755)
        return honest(self, step, skilled)

    Run.propose = propose  # type: ignore[method-assign]


def _closed_pipe() -> None:
    """Whoever read the output has gone: `| head -1`."""
    reader, writer = os.pipe()
    os.close(reader)
    os.dup2(writer, 1)
    os.dup2(writer, 2)


def _terminal_gone() -> None:
    """A terminal whose other end is closed: EIO."""
    terminal, line = os.openpty()
    os.dup2(line, 1)
    os.dup2(line, 2)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    os.close(terminal)


def _full_disk_behind_it() -> None:
    """`> file` where there is no room."""
    full = os.open("/dev/full", os.O_WRONLY)
    os.dup2(full, 1)


def _ascii_terminal() -> None:
    """As PYTHONIOENCODING=ascii has it."""
    sys.stdout.reconfigure(encoding="ascii", errors="strict")  # type: ignore[union-attr]


def _no_output_at_all() -> None:
    """`>&-`: what Python makes of it."""
    os.close(1)
    sys.stdout = None  # type: ignore[assignment]


def _for_the_group() -> None:
    """Files that the group may read, and nobody else."""
    os.umask(0o027)


def _small_files() -> None:
    """As `ulimit -f 391`: larger than a tiny run's database and its log, smaller than the weights of tiny-qwen3."""
    import resource

    resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000))


def _scripted_skills() -> None:
    """Skills are written with the words of a script (scripted_skills.py)."""
    importlib.import_module("scripted_skills").plant()


FAULTS = {
    "scripted skills": _scripted_skills,
    "a broken sandbox in step 2": _broken_sandbox,
    "the reader of the output is gone": _closed_pipe,
    "the terminal is gone": _terminal_gone,
    "no room for the output": _full_disk_behind_it,
    "an ASCII terminal": _ascii_terminal,
    "no standard output": _no_output_at_all,
    "files of at most 400 kB": _small_files,
    "a umask of 027": _for_the_group,
    "no memory in step 3": _no_memory_in_step_3,
    "Ctrl-C while the model loads": _interrupted_while_loading,
    "no replay": _no_replay,
    "another machine": _another_machine,
    "Ctrl-C in step 1": _interrupted_in(1, signal.SIGINT),
    "SIGTERM in step 1": _interrupted_in(1, signal.SIGTERM),
    "Ctrl-C in step 3": _interrupted_in(3, signal.SIGINT),
    "SIGTERM in step 3": _interrupted_in(3, signal.SIGTERM),
    "Ctrl-C twice in step 3": _interrupted_in(3, signal.SIGINT, times=2),
}

if __name__ == "__main__":
    serve()
