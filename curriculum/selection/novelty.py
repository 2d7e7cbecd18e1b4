"""How unlike the known problems a new one is. Without this a challenger poses variants of the same few problems.

Novelty is the mean distance to the NEIGHBOURS nearest texts of an archive (Lehman and Stanley, "Abandoning Objectives",
Evolutionary Computation 19(2), 2011). The distance is the Levenshtein distance divided by the longer text's length.
Left out: distances that know what a text means, as programs would need.
"""

import random
from bisect import insort
from collections.abc import Sequence

import numpy as np
from rapidfuzz.distance import Levenshtein
from rapidfuzz.process import cdist

from curriculum.tracking.difficulty import Tracker

NEIGHBOURS = 16  # of the archive, whose distances are averaged
_ARCHIVE = 256  # known problems of a family that others are compared with
_NEAR = 0.3  # distance up to which texts crowd one another: two characters of "34 + 15"


def archive_of(family: str, tracker: Tracker, rng: random.Random) -> list[str]:
    """Texts of the family's known problems, or of a sample of them."""
    return [tracker.problem(problem_id).text for problem_id in tracker.family_members(family).sample(rng, _ARCHIVE)]


def most_novel_first(texts: Sequence[str], archive: Sequence[str]) -> list[int]:
    """Indices of `texts`, greedily: the next is the most novel with respect to the archive and those already taken.
    Ties keep their order."""
    if not texts:
        return []
    nearest = [sorted(row)[:NEIGHBOURS] for row in _distances(texts, archive)]
    between = _distances(texts, texts)
    left, ordered = list(range(len(texts))), []
    while left:
        best = max(left, key=lambda place: (_mean_distance(nearest[place]), -place))
        left.remove(best)
        ordered.append(best)
        for place in left:
            insort(nearest[place], between[place][best])
            del nearest[place][NEIGHBOURS:]
    return ordered


def _mean_distance(nearest: Sequence[float]) -> float:
    return sum(nearest) / len(nearest) if nearest else 1.0


def _distances(texts: Sequence[str], others: Sequence[str]) -> list[list[float]]:
    """A row of distances for each of `texts`."""
    if not others:
        return [[] for _ in texts]
    return cdist(texts, others, scorer=Levenshtein.normalized_distance, dtype=np.float64).tolist()  # type: ignore[no-any-return]


def crowding(texts: Sequence[str], archive: Sequence[str]) -> list[int]:
    """How many of `archive` lie within _NEAR of each text, equal ones not counted: a pseudo-count, as in count-based
    exploration (Bellemare et al., arXiv 1606.01868)."""
    if not texts or not archive:
        return [0] * len(texts)
    distances = cdist(texts, archive, scorer=Levenshtein.normalized_distance)
    return [int(count) for count in ((distances > 0) & (distances <= _NEAR)).sum(axis=1)]
