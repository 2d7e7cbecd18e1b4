"""How unlike the known problems a new one is: a model left to itself poses the same corner of a family again and again.

Novelty is the mean distance to the nearest neighbours in an archive, as in Lehman and Stanley, "Abandoning Objectives"
(Evolutionary Computation 19(2), 2011); the distance is the edit distance of the texts, so it serves every domain.
"""

import random
from bisect import insort
from collections.abc import Sequence

import numpy as np
from rapidfuzz.distance import Levenshtein
from rapidfuzz.process import cdist

from curriculum.tracking.difficulty import Tracker

NEIGHBOURS = 16
_ARCHIVE = 256  # known problems of a family that others are compared with
_NEAR = 0.3  # share of the longer text: two characters of "34 + 15"


def archive_of(family: str, tracker: Tracker, rng: random.Random) -> list[str]:
    """Texts of the family's known problems, or of a sample of them."""
    return [tracker.problem(problem_id).text for problem_id in tracker.family_members(family).sample(rng, _ARCHIVE)]


def most_novel_first(texts: Sequence[str], archive: Sequence[str]) -> list[int]:
    """Places of `texts`, each the most novel beside the archive and those before it; ties keep their order."""
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
    """How many of `archive` are near each text, an equal one not counted: the pseudo-count of exploration by counts
    (Bellemare et al., "Unifying Count-Based Exploration and Intrinsic Motivation", 2016)."""
    if not texts or not archive:
        return [0] * len(texts)
    distances = cdist(texts, archive, scorer=Levenshtein.normalized_distance)
    return [int(count) for count in ((distances > 0) & (distances <= _NEAR)).sum(axis=1)]
