"""Asks a domain for its verdict. A judge is a user's code: what it raises, or says beside the point, ends no run."""

import math
from itertools import islice

from curriculum.domains.abilities import ability
from curriculum.domains.protocol import Domain, Prompted, Verdict, problem_of
from curriculum.own_code import result_of
from store.records import Origin, Outcome, Problem

_TRIED = 8  # seeds, before a run: each may take as long as an answer
THE_JUDGE = "the domain's judge"


def judged(domain: Domain, problem: Problem, text: str) -> Verdict:
    """The domain's verdict. UNJUDGED, with the error, where its judge raises or says no verdict."""
    verdict, error = result_of(lambda: checked(domain.judge(problem, text)))
    return verdict or Verdict(Outcome.UNJUDGED, error=f"{THE_JUDGE}: {error}")


def contradiction(domain: Domain) -> str:
    """A line where the judge calls the answer of one of the first seeds wrong, or cannot read it; else "".

    A judge that grades may call none right, so an answer with a score is let be. What a judge raises is counted in the
    run (roles/judging/failures.py), and ends the search here: it may have taken as long as it may.
    """
    spelled = ability(domain, Prompted).written
    for seed in islice((seed for seed in domain.seeds() if seed.answer), _TRIED):
        verdict = judged(domain, problem_of(seed, domain.name, Origin.SEED), spelled(seed.answer))
        if verdict.error:
            break
        if verdict.outcome in (Outcome.INCORRECT, Outcome.UNPARSED) and not verdict.score:
            return (
                f"ALARM     domain {domain.name}: its judge calls {seed.answer[:80]!r}, the answer of its own seed "
                f"{seed.text[:80]!r}, {verdict.outcome}. One of them is wrong, and the run goes by the judge "
                "(`python -m selfplay.inspect validate-domain` tries all seeds)"
            )
    return ""


def score_of(verdict: Verdict) -> float:
    """What the answer is paid, in [0, 1]."""
    return float(verdict.outcome is Outcome.CORRECT) if verdict.score is None else verdict.score


def checked(said: Verdict | tuple[Outcome, str | None]) -> Verdict:
    """Raises TypeError or ValueError for what is no verdict."""
    verdict = Verdict(*said) if isinstance(said, tuple) and len(said) > 1 else None
    if verdict is None or not isinstance(verdict.outcome, Outcome) or not isinstance(verdict.answer, str | None):
        raise TypeError(f"judge said {said!r}, which is no outcome with an answer")
    if verdict.score is not None:
        score = float(verdict.score)
        if not (math.isfinite(score) and 0.0 <= score <= 1.0):
            raise ValueError(f"judge gave the score {verdict.score!r}, which is not from 0 to 1")
        verdict = verdict._replace(score=score)
    return verdict
