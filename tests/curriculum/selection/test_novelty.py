"""Novelty: what is least like the known problems comes first, and a corner of a family is not filled twice."""

import random

from candidates import admit, candidates_of, texts_of, tracker_with

from curriculum.selection.novelty import NEIGHBOURS, crowding, most_novel_first


def test_novelty_is_the_mean_distance_to_the_nearest() -> None:
    texts = ["12 + 34", "98 + 77"]  # 0 and 1/7 from their nearest; of 98 + 76, 5/7 and 1/7
    assert most_novel_first(texts, ["12 + 34", "98 + 76"]) == [1, 0], "means of 2/7 and 5/14"
    crowd = ["12 + 34"] * NEIGHBOURS
    assert most_novel_first(texts, crowd + ["98 + 76"] * 100) == [1, 0], "of a hundred far ones none counts"


def test_a_crowd_is_what_is_two_characters_away_at_most() -> None:
    assert crowding(["12 + 34"], ["12 + 34", "12 + 35", "13 + 35", "98 + 76"]) == [2], "itself does not count"
    assert crowding(["12 + 34"], []) == [0]
    assert crowding([], ["12 + 34"]) == []


def test_the_most_novel_comes_first_and_its_like_wait() -> None:
    archive = ["10 + 10", "11 + 10", "10 + 12", "12 + 11"]
    texts = ["13 + 10", "98 + 76", "98 + 77", "45 + 53"]
    assert [texts[i] for i in most_novel_first(texts, archive)] == ["98 + 76", "45 + 53", "98 + 77", "13 + 10"]
    assert most_novel_first(["1 + 1", "1 + 1"], []) == [0, 1]
    assert most_novel_first([], archive) == []


def test_a_corner_that_is_full_gives_way_in_admission() -> None:
    tracker = tracker_with(*((f"{a} + {b}", 5, 4) for a in (10, 11, 12) for b in range(a, 13)))
    wanted = candidates_of("13 + 10", "14 + 10", "13 + 12", "53 + 46", "75 + 24", "14 + 11")
    for seed in range(8):
        accepted = admit(wanted, 2, tracker, random.Random(seed))
        assert sorted(texts_of(accepted)) == ["53 + 46", "75 + 24"]
