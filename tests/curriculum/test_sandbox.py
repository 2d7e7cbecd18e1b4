"""The sandbox: integers only, limits hold, nothing of the host is in reach, and a fork cannot share its worker."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic_monty._binary import find_monty_binary

from curriculum import sandbox
from curriculum.sandbox import SandboxBrokenError, SandboxFailure, evaluate_expression, evaluate_expressions


@pytest.mark.parametrize(("source", "value"), [("3 + 4 * 5", 23), ("2 - 9", -7), ("999 * 999", 998001), ("0", 0)])
def test_integers_come_back(source: str, value: int) -> None:
    assert evaluate_expression(source) == value


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("1 +", "Syntax"),
        ("1.5", "float"),
        ("True", "bool"),
        ("'3'", "str"),
        ("None", "NoneType"),
        ("x = 1", "Syntax"),
        ("[1]", "list"),
        ("(type := lambda x: int) and [1]", "not an int"),
        ("1, 2", "tuple"),
        ("1 // 0", "ZeroDivision"),
        ("10 ** 10 ** 10", "Memory"),
        ("2 ** 300", "bits"),
        ("'a' * 10 ** 9", "Memory"),
        ("-(2 ** 300)", "bits"),
        ("10 ** 2000", "bits"),
        ("(lambda f: f(f))(lambda f: f(f))", "Recursion"),
        ("open('/etc/passwd').read()", "Permission"),
        ("1)\nimport os\nos.environ['PATH']\n(1", "not supported"),
        ("\ud800", "surrogate"),
        ("1\0", "Syntax"),
        ("1 + " * 200 + "1", "801 characters"),
    ],
)
def test_anything_else_is_a_failure_with_a_reason(source: str, reason: str) -> None:
    result = evaluate_expression(source)
    assert isinstance(result, SandboxFailure)
    assert reason in result.reason
    assert "\n" not in result.reason


def test_an_endless_loop_is_stopped_and_the_sandbox_goes_on() -> None:
    result = evaluate_expression("1)\nwhile True: pass\n(1")
    assert isinstance(result, SandboxFailure) and "time limit" in result.reason
    assert evaluate_expression("20 + 22") == 42


@pytest.mark.parametrize("source", ["[[0] * 9] * 9", "1, 2", "'x' * 999", "1)\n[[0]]\n(2", "0.5"])
def test_only_a_short_text_comes_out(monkeypatch: pytest.MonkeyPatch, source: str) -> None:
    """A guest's list may share its parts, or hold itself: nobody on this side has to walk through one."""
    came_out: list[object] = []
    feed = sandbox._feed
    monkeypatch.setattr(sandbox, "_feed", lambda *given: came_out.append(feed(*given)) or came_out[-1])
    evaluate_expression(source)
    assert [type(each) for each in came_out] == [str] and len(str(came_out[0])) < 120


def test_runs_share_nothing() -> None:
    assert evaluate_expression("(secret := 5)") == 5
    assert isinstance(evaluate_expression("secret"), SandboxFailure)


def test_a_batch_is_the_same_as_one_by_one() -> None:
    sources = [f"{a} * 7 - {a}" for a in range(600)]
    assert evaluate_expressions(sources) == [6 * a for a in range(600)]


def test_a_hostile_source_cannot_shift_its_neighbours_in_a_batch() -> None:
    results = evaluate_expressions(["1 + 1", "2, 3", "] + [9", "4 + 4"])
    assert results[0] == 2 and results[3] == 8
    assert isinstance(results[1], SandboxFailure) and isinstance(results[2], SandboxFailure)
    assert all(isinstance(each, SandboxFailure) for each in evaluate_expressions(["1, 2", "*[]"]))  # the count is right


def _workers() -> list[int]:
    """Of this process's sandbox."""
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    return [int(child) for child in children if "monty" in Path(f"/proc/{child}/cmdline").read_text()]


def test_a_worker_killed_from_outside_costs_nothing() -> None:
    """Case 46: the value is the source's, whatever happens to the machine."""
    assert evaluate_expression("2001 + 1") == 2002
    for worker in _workers():
        os.kill(worker, signal.SIGKILL)
    assert evaluate_expression("2001 + 2") == 2003
    assert evaluate_expressions(["2001 + 3"]) == [2004]


@pytest.mark.parametrize("content", [None, "#!/bin/sh\nexit 1\n", "#!/bin/sh\necho hello\n", "not a program"])
def test_a_sandbox_that_does_not_work_is_no_verdict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str | None
) -> None:
    """Case 46: its binary replaced and its worker killed, "8 + 15" was INVALID for good."""
    binary = tmp_path / "monty"
    shutil.copy(find_monty_binary(), binary)
    monkeypatch.setenv("MONTY_BIN", str(binary))
    monkeypatch.setattr(sandbox, "_PAUSES", (0.0, 0.01))
    sandbox._drop_pool()
    sandbox._cached_value.cache_clear()
    assert evaluate_expression("8 + 14") == 22
    binary.unlink()
    if content is not None:
        binary.write_text(content)
        binary.chmod(0o755)
    for worker in _workers():
        os.kill(worker, signal.SIGKILL)
    with pytest.raises(SandboxBrokenError, match=r"does not work \(.*\): nothing was judged by it\. Reinstall"):
        evaluate_expression("8 + 15")
    with pytest.raises(SandboxBrokenError):
        evaluate_expressions(["8 + 15"])
    monkeypatch.undo()
    assert evaluate_expression("8 + 15") == 23, "mended, it goes on in the same process"


def _forked(prelude: str) -> str:
    """What a child prints that is forked after `prelude` and then evaluates 1 + 1, and after it the parent's value."""
    program = f"""
import os
from curriculum.sandbox import evaluate_expression
{prelude}
child = os.fork()
if child == 0:
    try:
        print("child", evaluate_expression("1 + 1"), flush=True)
    except Exception as error:
        print("child", type(error).__name__, flush=True)
    os._exit(0)
os.waitpid(child, 0)
print("parent", evaluate_expression("2 + 2"), flush=True)
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True)
    return " ".join(result.stdout.split())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_process_forked_before_the_first_use_has_a_sandbox_of_its_own() -> None:
    assert _forked("") == "child 2 parent 4"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_process_forked_after_it_is_refused_and_the_parent_unharmed() -> None:
    assert _forked("evaluate_expression('5 + 5')") == "child SandboxForkError parent 4"
