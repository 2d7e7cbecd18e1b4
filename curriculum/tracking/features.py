"""What is known of a problem before anybody has tried it, as numbers of a fixed length for `rate_model.py`.

Each number is about as large as 1, so that one prior of the weights will do for all. Names and words are hashed to a
bounded number of places (Weinberger et al., "Feature hashing", arXiv 0902.2206), so a run with 5,000 families has as
many numbers as one with five.
"""

import math
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from curriculum.domains.likeness import alike, tokens_of
from store.records import Problem

NamedFeatures = Callable[[Problem], Mapping[str, float]]  # what a domain says of a problem, by name; {}: nothing

_HASHED = 48  # places for names and words
_STATISTICS = 4  # of a text
_MOST_FEATURE = 4.0  # no number is further from 0: a text may be of any length, and a domain may say anything
LONGEST = 512  # tokens of a text that are looked at
SIZE = 12 + _STATISTICS + _HASHED


@dataclass(frozen=True, slots=True)
class Parent:
    """What a problem was made from: with the pass rate that is foretold of it, in (0, 1)."""

    problem: Problem
    rate: float


def logit(rate: float) -> float:
    """ln(p / (1 - p)), of a rate that is taken to lie between 0.001 and 0.999."""
    kept = min(0.999, max(0.001, rate))
    return math.log(kept / (1.0 - kept))


def features(
    problem: Problem,
    rate: float,
    attempts: float,
    parent: Parent | None,
    logprob: float | None,
    named: Mapping[str, float],
) -> list[float]:
    """SIZE numbers. `rate` and `attempts`: what is foretold of the problem's family, and how much was seen of it.
    `logprob`: of its text by the policy that proposed it, a mean over tokens; None where nobody knows. `named`: what
    the domain says of the problem, in place of statistics of its text."""
    few, odds = 4.0 / (4.0 + attempts), logit(rate) / 2.0
    own = tokens_of(problem.text)[:LONGEST]
    found = [1.0, odds, few, few * odds]
    found += [0.0, 0.0, 0.0, 0.0, 0.0, 0.0] if parent is None else _lineage(problem, own, parent, odds)
    found += [0.0, 0.0] if logprob is None else [1.0, 1.0 + logprob]
    if named:
        found += [0.0] * _STATISTICS + _hashed((name, value) for name, value in named.items())
    else:
        found += [*_statistics(problem, own), *_words([f"kind {problem.family}", *own])]
    return [min(_MOST_FEATURE, max(-_MOST_FEATURE, each)) if abs(each) < math.inf else 0.0 for each in found]


def _lineage(problem: Problem, own: list[str], parent: Parent, odds: float) -> list[float]:
    """How the problem differs from its parent, and how much more often that is solved than the family's problems."""
    before = tokens_of(parent.problem.text)[:LONGEST]
    return [
        1.0,
        logit(parent.rate) / 2.0 - odds,
        max(-3, min(3, problem.level - parent.problem.level)) / 2.0,
        float(problem.family == parent.problem.family),
        math.log((1.0 + len(own)) / (1.0 + len(before))),
        1.0 - alike(own, before),
    ]


def _statistics(problem: Problem, own: list[str]) -> list[float]:
    digits = sum(each.isdigit() for each in own)
    return [
        math.log1p(len(own)) / 2.0 - 1.0,
        math.log1p(min(problem.level, 2**62)) / 2.0 - 0.5,
        math.log1p(digits) / 2.0 - 0.5,
        len(set(own)) / max(1, len(own)) - 0.5,
    ]


def _words(words: Iterable[str]) -> list[float]:
    """Words in their places, of length 1 together: a long text weighs as much as a short one."""
    counted = Counter(words)
    length = math.sqrt(sum(count * count for count in counted.values()))
    return _hashed((word, count / length) for word, count in counted.items())


def _hashed(named: Iterable[tuple[str, float]]) -> list[float]:
    """Half of the names count with the reverse sign, so that two that meet in a place do not add up on average."""
    found = [0.0] * _HASHED
    for name, value in named:
        code = zlib.crc32(name.encode("utf-8", "surrogatepass"))
        found[code % _HASHED] += value if code & (1 << 31) else -value
    return found
