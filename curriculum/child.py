"""A helper process that may be ended: for libraries that take as long, or as much memory, as their input wants.

The child is a script that calls `serve`. It is started at the first question, one for a process and a script, and ends
with its parent. A question that takes too long ends the child; the next question starts another.
"""

import atexit
import json
import os
import resource
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from curriculum.error_lines import first_line

_ENVIRONMENT = {"PYTHONHASHSEED": "0"}  # a set has the same order in every process, and so has what is made from it


class ChildLate(Exception):
    """The question took more than its time."""


class ChildEnded(Exception):
    """The child ended without an answer, twice."""


class Child:
    """`seconds` of processor time for a question; `patience` of wall time, the child's start included."""

    def __init__(self, script: Path, seconds: float, patience: float) -> None:
        self._script = script
        self._seconds = seconds
        self._patience = patience
        self._process: subprocess.Popen[str] | None = None
        self._owner: int | None = None  # a forked process has no part in its parent's child

    @property
    def pid(self) -> int | None:
        """Of the process that answers; None while there is none."""
        return None if self._process is None else self._process.pid

    def ask(self, question: Mapping[str, Any], seconds: float | None = None) -> dict[str, Any]:
        """The child's answer. `seconds` in place of the child's own. Raises ChildLate or ChildEnded."""
        limit = seconds or self._seconds
        line = json.dumps({"seconds": limit, "question": dict(question)}, default=str) + "\n"
        answer = self._asked(line, limit) or self._asked(line, limit)  # once more where somebody else ended the child
        if answer is None:
            raise ChildEnded(f"{self._script.name} ends without an answer")
        return answer

    def _asked(self, line: str, seconds: float) -> dict[str, Any] | None:
        child = self._running()
        assert child.stdin is not None and child.stdout is not None
        said, is_late = "", False
        with suppress(BrokenPipeError):
            child.stdin.write(line)
            child.stdin.flush()
            is_late = not select.select([child.stdout], [], [], self._patience)[0]
            said = "" if is_late else child.stdout.readline()
        if said.endswith("\n"):
            return dict(json.loads(said))
        if self._end(child) == -signal.SIGPROF or is_late:
            raise ChildLate(f"{self._script.name} takes more than {seconds:g} s")
        return None

    def _running(self) -> subprocess.Popen[str]:
        if self._process is None or self._owner != os.getpid():
            command = [sys.executable, "-P", str(self._script)]  # -P: modules of ours beside it shadow Python's own
            self._owner = os.getpid()
            self._process = subprocess.Popen(
                command, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                env=os.environ | _ENVIRONMENT,
            )  # fmt: skip
            atexit.register(self._end, self._process)
        return self._process

    def _end(self, child: subprocess.Popen[str]) -> int:
        """Ends the child, if it is not at its end already, and forgets it. Its exit code."""
        if self._owner != os.getpid():
            return 0
        if child is self._process:
            self._process = None
        for stream in (child.stdin, child.stdout):
            with suppress(OSError):
                stream.close()  # type: ignore[union-attr]  # a child that still reads ends here
        try:
            return child.wait(1.0)
        except subprocess.TimeoutExpired:
            child.kill()
            return child.wait()


def serve(answer: Callable[[dict[str, Any]], dict[str, Any]], memory: int) -> None:
    """The child's side: answers every line of standard input until there is none. `memory`: bytes beyond what is in
    use.

    What `answer` raises becomes {"error": its first line}. Nothing that the library prints reaches the parent.
    """
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    _limit(memory)
    for line in sys.stdin:
        request = json.loads(line)
        signal.setitimer(signal.ITIMER_PROF, request["seconds"])
        said = json.dumps(_answered(answer, request["question"], memory))
        signal.setitimer(signal.ITIMER_PROF, 0)
        answers.write(said + "\n")
        answers.flush()


def _answered(
    answer: Callable[[dict[str, Any]], dict[str, Any]], question: dict[str, Any], memory: int
) -> dict[str, Any]:
    try:
        return answer(question)
    except MemoryError:
        return {"error": f"it takes more than {memory >> 20} MB of memory"}
    except RecursionError:
        return {"error": "it calls itself without end"}
    except Exception as error:  # whatever the library, or the author of its input, thought of
        return {"error": first_line(error)}


def _limit(memory: int) -> None:
    sizes = Path("/proc/self/statm")
    if sizes.is_file():
        in_use = int(sizes.read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (in_use + memory, in_use + memory))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the run, which goes on to the end of its step
