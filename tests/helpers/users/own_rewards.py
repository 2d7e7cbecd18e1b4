"""Rewards of a user's own, and a domain that grades: none of its answers is right, and hardly two have one score."""

import hashlib
import time
from collections.abc import Callable
from pathlib import Path

from few_problems import FewProblems

from curriculum.domains.protocol import Verdict
from store.records import Outcome, Problem


def hashed(text: str) -> float:
    """From 0 to 1."""
    return hashlib.sha256(text.encode()).digest()[0] / 255


class Mine:
    """A number from -1 to 1 made of the text. While there is a file of the name `broken`, it raises what that says."""

    def __init__(self, broken: str = "") -> None:
        self.broken = Path(broken) if broken else None

    def __call__(self, problem: Problem, text: str, verdict: Verdict) -> float:
        if self.broken is not None and self.broken.exists():
            raise LookupError(self.broken.read_text())
        return 2 * hashed(problem.text + text) - 1


def scaled(problem: Problem, text: str, verdict: Verdict, by: float) -> float:
    """A function with an option."""
    return by * hashed(text)


class Made:
    """Writes into a file that it was made."""

    def __init__(self, path: str) -> None:
        with Path(path).open("a") as file:
            file.write("reward\n")

    def __call__(self, problem: Problem, text: str, verdict: Verdict) -> float:
        return 0.5


class Uncallable:
    """No reward at all."""


def stubborn(problem: Problem, text: str, verdict: Verdict) -> float:
    """Takes half a minute, and catches what it is told the first time."""
    until = time.monotonic() + 30
    try:
        while time.monotonic() < until:
            pass
    except:  # noqa: E722  (as a user may write it)
        time.sleep(30)
    return 0.0


def _raising(error: BaseException) -> Callable[..., float]:
    def reward(*_: object) -> float:
        raise error

    return reward


def _returning(value: object) -> Callable[..., object]:
    return lambda *_: value


raises = _raising(LookupError("no\nsuch thing"))
leaves = _raising(SystemExit(3))
nan, nothing, word, large = (_returning(value) for value in (float("nan"), None, "0.5", 1.5))


class Graded(FewProblems):
    """Its judge grades what is wrong."""

    def judge(self, problem: Problem, text: str) -> Verdict:  # type: ignore[override]
        return Verdict(Outcome.INCORRECT, text[:8], hashed(text))


class Slow(FewProblems):
    """Its judge takes half a minute."""

    def judge(self, problem: Problem, text: str) -> tuple[Outcome, str | None]:
        time.sleep(30)
        return super().judge(problem, text)
