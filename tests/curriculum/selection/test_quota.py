"""A quota of families: what is beyond it is posed in no step, whatever places stay empty."""

import random

import pytest
from candidates import SETTINGS, candidates_of, tracker_with

from curriculum.selection.admission import Candidate, Ranking
from curriculum.selection.filling import fill
from curriculum.selection.quota import within_quota
from curriculum.selection.scheduler import Scheduler
from curriculum.settings import CurriculumSettings

SUMS = candidates_of("53 + 46", "12 + 34", "71 + 18", "25 + 64")
OTHERS = [Candidate(1, each.index, each.problem) for each in candidates_of("9 * 8", "7 * 6")]


def test_the_best_of_each_family_are_kept_in_their_order() -> None:
    ranking = Ranking((SUMS[1], OTHERS[0], SUMS[0], SUMS[2]), (SUMS[3], OTHERS[1]))
    kept, left_out = within_quota(ranking, places=6, share=0.3)  # 2 of each
    assert kept == Ranking((SUMS[1], OTHERS[0], SUMS[0]), (OTHERS[1],)) and left_out == (SUMS[2], SUMS[3])
    assert within_quota(ranking, 6, 1.0) == (ranking, ())
    one, rest = within_quota(ranking, 0, 0.3)
    assert one == Ranking((SUMS[1], OTHERS[0]), ()) and len(rest) == 4, "at least one of each"


@pytest.mark.parametrize(("quota", "sums"), [(1.0, 4), (0.25, 2)])
def test_a_step_poses_no_more_of_a_family_than_its_quota(quota: float, sums: int) -> None:
    tracker = tracker_with(("3 + 4", 6, 4), ("2 * 3", 6, 4))
    settings = CurriculumSettings(forgetting=1.0, min_new_share=0.8, max_new_share=0.8, family_quota=quota)
    scheduler = Scheduler(tracker, settings, 0)
    found = fill(2, 10, [*SUMS, *OTHERS], scheduler, tracker, settings, random.Random(0))
    families = [each.problem.family for each in found.accepted]
    assert families.count("dd+dd") == sums and families.count("d*d") == 2
    assert len(found.accepted) + len(found.replays) == 10, "known problems fill the places"
    assert {*found.accepted, *found.surplus} == {*SUMS, *OTHERS}


def test_a_quota_of_nothing_is_refused() -> None:
    assert SETTINGS.family_quota == 1.0
    with pytest.raises(ValueError, match=r"curriculum\.family_quota is 0\.0"):
        CurriculumSettings(family_quota=0.0)
