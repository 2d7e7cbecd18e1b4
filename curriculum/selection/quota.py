"""A quota of families: no kind of problem takes more than its share of a step's places for new problems."""

import math
from collections import Counter
from collections.abc import Sequence

from curriculum.selection.admission import Candidate, Ranking


def within_quota(ranking: Ranking, places: int, share: float) -> tuple[Ranking, tuple[Candidate, ...]]:
    """The ranking with the best ceil(places share) candidates of each family, at least 1, and those that are left out.

    `places`: for new problems in the step. `max_family_share` only has others go first; what is left out here is not
    posed though places stay empty, and known problems fill them.
    """
    if share >= 1.0:
        return ranking, ()
    most = max(1, math.ceil(places * share))
    taken: Counter[str] = Counter()
    left_out: list[Candidate] = []

    def kept(candidates: Sequence[Candidate]) -> tuple[Candidate, ...]:
        found: list[Candidate] = []
        for candidate in candidates:
            taken[candidate.problem.family] += 1
            (found if taken[candidate.problem.family] <= most else left_out).append(candidate)
        return tuple(found)

    return Ranking(kept(ranking.promising), kept(ranking.others)), tuple(left_out)
