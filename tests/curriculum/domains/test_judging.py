"""A judge is a user's code: what it raises or says beside the point is a verdict of nobody, never an end of the run."""

from typing import Any

import pytest

from curriculum.domains.arithmetic.domain import ArithmeticDomain
from curriculum.domains.judging import judged, score_of
from curriculum.domains.protocol import Verdict, problem_of
from curriculum.sandbox import SandboxBrokenError
from store.records import Origin, Outcome

DOMAIN = ArithmeticDomain()
PROBLEM = problem_of(DOMAIN.seeds()[0], DOMAIN.name, Origin.SEED)


class Says(ArithmeticDomain):
    """Its judge says, or raises, what it is given."""

    def __init__(self, said: Any) -> None:
        super().__init__()
        self.said = said

    def judge(self, problem: Any, text: str) -> Any:
        if isinstance(self.said, Exception):
            raise self.said
        return self.said


@pytest.mark.parametrize(
    ("said", "score"),
    [
        ((Outcome.CORRECT, "7"), 1.0),
        ((Outcome.INCORRECT, "8"), 0.0),
        (Verdict(Outcome.INCORRECT, "8", 0.25), 0.25),
        (Verdict(Outcome.CORRECT, None, 1), 1.0),
        ((Outcome.UNPARSED, None), 0.0),
    ],
)
def test_a_verdict_has_a_score(said: Any, score: float) -> None:
    found = judged(Says(said), PROBLEM, "7")
    assert (found.outcome, score_of(found), found.error) == (said[0], score, "")


@pytest.mark.parametrize(
    ("said", "error"),
    [
        (ValueError("no\nnumber"), "ValueError: no number"),
        (KeyError("a" * 999), "KeyError: 'aaa"),
        ((Outcome.CORRECT, "7", float("nan")), "score nan"),
        ((Outcome.CORRECT, "7", 1.5), "score 1.5"),
        ((Outcome.CORRECT, "7", "high"), "could not convert"),
        (("CORRECT", "7"), "no outcome"),
        ((Outcome.CORRECT, 7), "no outcome"),
        (None, "TypeError"),
        (True, "TypeError"),
        ((), "TypeError"),
    ],
)
def test_a_judge_that_fails_has_judged_nothing(said: Any, error: str) -> None:
    found = judged(Says(said), PROBLEM, "7")
    assert found.outcome is Outcome.UNJUDGED and error in found.error
    assert "\n" not in found.error and len(found.error) <= 240


def test_a_broken_sandbox_is_not_the_judges_fault() -> None:
    with pytest.raises(SandboxBrokenError):
        judged(Says(SandboxBrokenError("gone")), PROBLEM, "7")
