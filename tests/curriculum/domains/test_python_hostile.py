"""Hostile programs: refused by name before they run, and held by the sandbox where they run all the same."""

import os
import textwrap
import time

import pytest
from hostile_programs import BODIES

from curriculum import sandbox
from curriculum.domains.protocol import Statement, problem_of
from curriculum.domains.python.domain import PythonDomain
from curriculum.domains.python.execution import Failure, outputs_of
from curriculum.domains.python.metering import MAX_STEPS
from curriculum.domains.python.tasks import Task, read_task
from curriculum.sandbox import SandboxFailure, execute_program
from store.records import Fate, Origin, Outcome, Problem

DOMAIN = PythonDomain()
SECONDS = 5.0  # for one text, on a busy machine; alone it takes a hundredth
TOO_LARGE = {"a huge literal", "infinity"}


def _program(body: str) -> str:
    return f"def f(x):\n{textwrap.indent(body, '    ')}"


def _problem(text: str) -> Problem:
    statement = DOMAIN.parse(text)
    assert isinstance(statement, Statement)
    return problem_of(statement, DOMAIN.name, Origin.SEED)


def test_the_table_is_long_enough() -> None:
    assert len(BODIES) >= 39


@pytest.mark.parametrize("name", BODIES)
def test_a_hostile_proposal_is_rejected_by_name_and_in_time(name: str) -> None:
    start = time.monotonic()
    fate = DOMAIN.parse(_program(BODIES[name]) + "\nf(3)")
    assert fate is (Fate.TOO_LARGE if name in TOO_LARGE else Fate.INVALID)
    assert time.monotonic() - start < SECONDS


@pytest.mark.parametrize("name", BODIES)
def test_a_hostile_answer_is_never_right(name: str) -> None:
    problem = _problem("f = ?; lambda x: x * 2 + 1; f(1), f(2), f(3), f(6)")
    start = time.monotonic()
    assert DOMAIN.judge(problem, _program(BODIES[name]))[0] in (Outcome.INCORRECT, Outcome.UNPARSED)
    assert time.monotonic() - start < SECONDS


@pytest.mark.parametrize("name", BODIES)
def test_what_runs_all_the_same_is_held_by_the_sandbox(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the gate: what comes out is a short text or a failure, and the next program runs."""
    monkeypatch.setattr(sandbox, "PROGRAM_SECONDS", (0.05,))
    start = time.monotonic()
    said = execute_program(_program(BODIES[name]) + "\n_said = f(3)", "_said")
    assert time.monotonic() - start < SECONDS
    if isinstance(said, SandboxFailure):
        assert said.reason and "\n" not in said.reason
    else:
        assert len(said) <= sandbox.PROGRAM_MEMORY
        assert not any(secret in said for secret in ("root:", os.environ["HOME"], os.getcwd()))
    assert not os.path.exists("/tmp/selfplay_escaped")
    assert execute_program("_said = 20 + 22", "_said") == "42"


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        ("while True:\n    x = x + 1", "RuntimeError"),
        ("for i in range(10 ** 9):\n    x = i\nreturn x", "RuntimeError"),
        ("return f(x + 1) + f(x + 2)", "RecursionError"),
        ("for i in range(1999):\n    x *= x\nreturn x % 7", "RuntimeError"),
        ("return [x] * 10 ** 9", "memory limit"),
    ],
)
def test_steps_and_memory_end_a_program_and_not_the_clock(
    program: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sandbox, "PROGRAM_SECONDS", (30.0,))
    task = read_task(_program(program) + f"\nf({len(reason)})")
    assert isinstance(task, Task)
    [output] = outputs_of(task.program, task.calls)
    assert isinstance(output, Failure) and reason in output.reason


def test_the_last_step_is_at_the_same_place_everywhere() -> None:
    def summed(rounds: int) -> object:
        task = read_task(f"def f(x):\n  for i in [0] * {rounds}:\n    x = x + 1\n  return x\nf(0)")
        assert isinstance(task, Task)
        return outputs_of(task.program, task.calls)[0]

    assert summed(MAX_STEPS - 1) == MAX_STEPS - 1  # and one for the call
    assert summed(MAX_STEPS) == Failure("RuntimeError")


def test_a_program_that_gives_two_values_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """No program that is let through can; so the gate is opened for random numbers here."""
    monkeypatch.setattr(
        "curriculum.domains.python.execution.metered",
        lambda tree: "import random\ndef f(x):\n    return random.randint(0, 10 ** 9) + x",
    )
    task = read_task("f = lambda x: x + 4321; f(1234)")
    assert isinstance(task, Task)
    assert outputs_of(task.program, task.calls) == [Failure("two values")]
