"""How new a problem is beside every problem that was ever admitted, at a cost that does not grow with their number.

    novelty = 1 / sqrt(1 + n)

n counts the known problems like it: those with its solution's signature (`ComparesProblems.signature`) or those near
it by their canonical forms, whichever are more. A count-based bonus (Bellemare et al., "Unifying Count-Based
Exploration and Intrinsic Motivation", arXiv 1606.01868). The archive spans all steps and compares solutions too, as
R-Diverse has it (arXiv 2602.13103): a penalty among the proposals of one step does not see what is said again later.

Near in a short form are those that differ in one token. Each known form is counted under each of its patterns with one
token left open, so a lookup takes as many steps as the form has tokens. Near in a long form are those of the same
cluster: each joins the most similar leader with an estimated Jaccard similarity of SIMILAR or more, else it is a leader
of its own. Leaders are found by locality-sensitive hashing (MinHash, Broder 1997; datasketch).

Everything is derived from the tracker's problems, in the order of their admission, so nothing of it is stored.
"""

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import xxhash

from curriculum.domains.likeness import tokens_of
from curriculum.domains.protocol import ComparesProblems
from curriculum.tracking.difficulty import Tracker
from store.records import Problem

LONG = 16  # tokens, from which on a form is long
SIMILAR = 0.5  # estimated Jaccard similarity of two forms' shingles, from which on they are near
SHINGLE = 3  # tokens in a row
PERMUTATIONS = 64  # of a MinHash: the standard error of a similarity of 1/2 is 1/16


class Archive:
    """All problems that a tracker knows. What it is asked is of the problems known by then."""

    def __init__(self, tracker: Tracker, domain: ComparesProblems) -> None:
        self._tracker = tracker
        self._domain = domain
        self._num_seen = 0
        self._signatures: Counter[int] = Counter()
        self._patterns: Counter[int] = Counter()
        self._long = _Clusters()

    def novelty(self, problem: Problem) -> float:
        """1 / sqrt(1 + n) of a problem that is not known yet, in (0, 1]; 1 where none is like it."""
        self._catch_up()
        return 1.0 / math.sqrt(1.0 + max(self._signatures[self._signature(problem)], self._near(problem)))

    def _near(self, problem: Problem) -> int:
        tokens = tokens_of(problem.canonical)
        if len(tokens) >= LONG:
            return self._long.size(tokens)
        return sum(self._patterns[pattern] for pattern in _patterns(tokens))

    def _catch_up(self) -> None:
        """Takes up what the tracker has learned of since."""
        new = self._tracker.num_problems() - self._num_seen
        for problem in self._tracker.newest(new):
            self._signatures[self._signature(problem)] += 1
            tokens = tokens_of(problem.canonical)
            if len(tokens) >= LONG:
                self._long.add(tokens)
            else:
                self._patterns.update(_patterns(tokens))
        self._num_seen += new

    def _signature(self, problem: Problem) -> int:
        return _hashed(self._domain.signature(problem))


class _Clusters:
    """Long token sequences by likeness."""

    def __init__(self) -> None:
        self._index: Any = None  # datasketch's, from the first long text on: scipy, which it imports, takes seconds
        self._leaders: list[Any] = []
        self._sizes: list[int] = []

    def add(self, tokens: Sequence[str]) -> None:
        sketch, leader = self._looked_up(tokens)
        if leader is None:
            self._index.insert(len(self._leaders), sketch)
            self._leaders.append(sketch)
            self._sizes.append(1)
        else:
            self._sizes[leader] += 1

    def size(self, tokens: Sequence[str]) -> int:
        """Of the cluster that the tokens would join; 0 where they would begin one."""
        _, leader = self._looked_up(tokens)
        return 0 if leader is None else self._sizes[leader]

    def _looked_up(self, tokens: Sequence[str]) -> tuple[Any, int | None]:
        """(MinHash of the tokens' shingles, the most similar leader; of equal ones the first)."""
        from datasketch import MinHash, MinHashLSH

        if self._index is None:
            self._index = MinHashLSH(threshold=SIMILAR, num_perm=PERMUTATIONS)
        sketch = MinHash(num_perm=PERMUTATIONS, seed=1, hashfunc=xxhash.xxh32_intdigest, scheme="affine32")
        sketch.update_batch(
            ["\0".join(tokens[at : at + SHINGLE]).encode("utf-8", "surrogatepass") for at in _shingles(tokens)]
        )
        rated = [(sketch.jaccard(self._leaders[leader]), -leader) for leader in self._index.query(sketch)]
        best, place = max(rated, default=(0.0, 0))
        return sketch, -place if best >= SIMILAR else None


def _shingles(tokens: Sequence[str]) -> range:
    return range(max(1, len(tokens) - SHINGLE + 1))


def _patterns(tokens: Sequence[str]) -> list[int]:
    """Each form with one token left open, as a hash: equal for forms of one length that differ there alone."""
    return [_hashed("\0".join([*tokens[:at], "", *tokens[at + 1 :]])) for at in range(len(tokens))]


def _hashed(text: str) -> int:
    return xxhash.xxh3_64_intdigest(text.encode("utf-8", "surrogatepass"))
