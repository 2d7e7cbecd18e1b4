"""How unlike the known problems a new one is: a model left to itself poses the same corner of a family again and again.

Novelty is the mean distance to the nearest neighbours in an archive, as in Lehman and Stanley, "Abandoning Objectives"
(Evolutionary Computation 19(2), 2011); the distance is the edit distance of the texts, so it serves every domain.
"""

from collections.abc import Sequence

from rapidfuzz.distance import Levenshtein

NEIGHBOURS = 16


def novelty(text: str, archive: Sequence[str]) -> float:
    """In [0, 1]: the mean edit distance (a share of the longer text) to the nearest of `archive`; 1 if it is empty."""
    nearest = sorted(Levenshtein.normalized_distance(text, other) for other in archive)[:NEIGHBOURS]
    return sum(nearest) / len(nearest) if nearest else 1.0


def most_novel_first(texts: Sequence[str], archive: Sequence[str]) -> list[int]:
    """Places of `texts`, each the most novel beside the archive and those before it; ties keep their order."""
    seen, left, ordered = list(archive), list(range(len(texts))), []
    while left:
        best = max(left, key=lambda place: (novelty(texts[place], seen), -place))
        left.remove(best)
        ordered.append(best)
        seen.append(texts[best])
    return ordered
