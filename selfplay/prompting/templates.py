"""A conversation by a model's chat template, rendered by a child that may be ended
(selfplay/prompting/template_child.py).

One child serves this process and all templates; it is started at the first conversation, and ends with its parent.
"""

import atexit
import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

_CHILD = Path(__file__).with_name("template_child.py")
PATIENCE = 120.0  # seconds for an answer, the child's start included: its own limit is of processor time, and far less

_child: subprocess.Popen[str] | None = None
_child_of: int | None = None  # a forked process has no part in its parent's


class TemplateError(Exception):
    """Why a template gave no text, in one line."""


def rendered(template: str, messages: Sequence[Mapping[str, Any]], asks: bool, variables: Mapping[str, Any]) -> str:
    """The text of `messages`, with what makes an assistant speak if `asks`. Raises TemplateError."""
    request = {"template": template, "messages": list(messages), "asks": asks, "variables": dict(variables)}
    line = json.dumps(request, default=str) + "\n"
    answer = _asked(line) or _asked(line)  # once more where somebody else ended the child
    if answer is None:
        raise TemplateError("the process that renders it ends")
    if "error" in answer:
        raise TemplateError(str(answer["error"]))
    return str(answer["text"])


def _asked(line: str) -> dict[str, Any] | None:
    """The child's answer; None where it ended without one. Raises TemplateError where that was for its time."""
    child = _running()
    assert child.stdin is not None and child.stdout is not None
    answer, is_late = "", False
    with suppress(BrokenPipeError):
        child.stdin.write(line)
        child.stdin.flush()
        is_late = not select.select([child.stdout], [], [], PATIENCE)[0]
        answer = "" if is_late else child.stdout.readline()
    if answer.endswith("\n"):
        return dict(json.loads(answer))
    if _ended(child) == -signal.SIGPROF or is_late:
        raise TemplateError("it takes too long")
    return None


def _running() -> subprocess.Popen[str]:
    global _child, _child_of
    if _child is None or _child_of != os.getpid():
        command = [sys.executable, "-P", str(_CHILD)]  # -P: modules of ours beside the script shadow Python's own
        _child_of = os.getpid()
        _child = subprocess.Popen(
            command, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        atexit.register(_ended, _child)
    return _child


def _ended(child: subprocess.Popen[str]) -> int:
    """End the child, if it is not at its end already, and forget it. Its exit code."""
    global _child
    if _child_of != os.getpid():
        return 0
    if child is _child:
        _child = None
    for stream in (child.stdin, child.stdout):
        with suppress(OSError):
            stream.close()  # type: ignore[union-attr]  # a child that still reads ends here
    try:
        return child.wait(1.0)
    except subprocess.TimeoutExpired:
        child.kill()
        return child.wait()
