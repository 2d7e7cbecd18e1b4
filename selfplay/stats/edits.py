"""Edit distances of second looks from first tries."""

from collections.abc import Sequence

from rapidfuzz.distance import Levenshtein


def edit_ratio(first: str, second: str) -> float:
    """Levenshtein distance over the summed lengths, in [0, 1]: 0 for equal texts, two empty ones too.

    Source: SCoRe, arXiv 2409.12917, whose histograms of it show second looks that only copy.
    """
    total = len(first) + len(second)
    return Levenshtein.distance(first, second) / total if total else 0.0


def edit_histogram(ratios: Sequence[float], bins: int) -> list[int]:
    """Counts of ratios in `bins` equal parts of [0, 1]; a ratio of 1 is in the last."""
    counts = [0] * bins
    for ratio in ratios:
        counts[min(int(ratio * bins), bins - 1)] += 1
    return counts
