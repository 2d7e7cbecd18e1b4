"""The gate: the order of rejections, what is admitted of what is valid, and that held-out problems never enter."""

import random

import pytest
from candidates import DOMAIN, SETTINGS, admit, candidates_of, problem, texts_of, tracker_with
from curriculum_simulation import Simulation

from curriculum.domains.protocol import Statement
from curriculum.holdout import HeldOut
from curriculum.selection.admission import Ranking, fate_counts, ranked, triage
from curriculum.tracking.difficulty import Tracker
from store.records import Fate, Finish, PassRate, Proposal, StepHistory

HELD_OUT = HeldOut(DOMAIN, "selfplay-1")


def fate_of(text: str, parent: str = "3 + 4", finish: Finish = Finish.STOP, known: tuple[str, ...] = ()) -> Fate:
    ids = {problem(each).problem_id for each in known}
    return triage(problem(parent), text, finish, DOMAIN, ids.__contains__, HELD_OUT, set())[0]


def held_out_text(set_name: str) -> str:
    return HELD_OUT.sets[set_name][0].text


def test_every_fate_of_triage() -> None:
    free = "123 + 45"
    assert fate_of(" hello") is Fate.UNPARSED
    assert fate_of(free, finish=Finish.LENGTH) is Fate.TRUNCATED
    assert fate_of("3 - 4") is Fate.INVALID
    assert fate_of("3456 + 4") is Fate.TOO_LARGE
    assert fate_of("4 + 3 + 0") is Fate.TRIVIAL_EDIT
    assert fate_of(held_out_text("add2")) is Fate.HELD_OUT
    assert fate_of(free, known=("45 + 123",)) is Fate.DUPLICATE
    assert fate_of(free) is Fate.ACCEPTED


def test_the_first_reason_in_order_wins() -> None:
    held_out = held_out_text("add1")
    assert fate_of("3 - 4", finish=Finish.LENGTH) is Fate.TRUNCATED
    assert fate_of(held_out, parent=held_out, known=(held_out,)) is Fate.TRIVIAL_EDIT
    assert fate_of(held_out, parent="90 + 100", known=(held_out,)) is Fate.HELD_OUT
    assert fate_of("3 + 4", known=("3 + 4",)) is Fate.TRIVIAL_EDIT


def test_a_repetition_in_the_same_step_is_a_duplicate_with_its_statement() -> None:
    seen: set[str] = set()

    def fate(text: str) -> tuple[Fate, Statement | None]:
        return triage(problem("3 + 4"), text, Finish.STOP, DOMAIN, lambda _: False, HELD_OUT, seen)

    assert fate("123 + 45")[0] is Fate.ACCEPTED
    repeated, statement = fate("45 + 123")
    assert repeated is Fate.DUPLICATE and statement is not None and statement.canonical == "+45 +123"
    assert seen == {problem("123 + 45").problem_id}


def test_fates_are_counted_by_name() -> None:
    counts = fate_counts([Fate.INVALID, Fate.ACCEPTED, Fate.INVALID])
    assert counts[Fate.INVALID] == 2 and counts[Fate.ACCEPTED] == 1 and counts[Fate.HELD_OUT] == 0
    assert list(counts) == list(Fate)


def drawn(tracker: Tracker, family: str, level: int) -> float:
    """The mean of what is drawn of its learnability."""
    return sum(tracker.drawn_learnability(family, level, random.Random(seed)) for seed in range(400)) / 400


def test_the_most_learnable_are_taken_first() -> None:
    tracker = tracker_with(("1 + 2", 60, 8), ("11 + 12", 60, 4), ("11 * 12", 60, 0))
    wanted = candidates_of("3 + 5", "13 + 14", "13 * 14", "15 + 16")
    taken = admit(wanted, 2, tracker, random.Random(0))
    assert sorted(texts_of(taken)) == ["13 + 14", "15 + 16"]


def test_among_those_worth_taking_the_most_learnable_is_first() -> None:
    tracker = tracker_with(("1 + 2", 60, 7), ("11 + 12", 60, 4))
    wanted = candidates_of("3 + 5", "1 + 8", "13 + 14", "6 + 2")
    for seed in range(8):
        assert texts_of(admit(wanted, 1, tracker, random.Random(seed))) == ["13 + 14"]


def test_what_lies_beyond_reach_waits() -> None:
    tracker = tracker_with(("11 + 12", 60, 6), ("11 * 2", 60, 3))
    assert tracker.gapless_level() == 3
    assert drawn(tracker, "dd*d", 4) > drawn(tracker, "dd+dd", 3) + 0.1
    wanted = candidates_of("13 * 4", "13 + 14")
    for seed in range(8):
        assert texts_of(admit(wanted, 1, tracker, random.Random(seed))) == ["13 + 14"]


def test_what_is_nearly_exhausted_waits_for_what_is_not() -> None:
    tracker = tracker_with(("11 + 12", 60, 6), ("11 - 10", 60, 4))
    assert drawn(tracker, "dd-dd", 4) > drawn(tracker, "dd+dd", 3) + 0.1
    wanted = candidates_of("68 - 15", "13 + 14")
    assert texts_of(admit(wanted, 1, tracker, random.Random(0))) == ["68 - 15"]
    known = problem("11 - 10").problem_id
    again = tuple(Proposal(known, 0, i, "11 - 10", Fate.DUPLICATE, known, None) for i in range(6))
    tracker.observe(StepHistory(2, 2, (), again, ()))
    assert texts_of(admit(wanted, 1, tracker, random.Random(0))) == ["13 + 14"]


def test_what_would_carry_no_signal_is_not_promising() -> None:
    tracker = tracker_with(("1 + 2", 60, 8), ("11 * 12", 60, 0), ("11 + 12", 60, 4))
    ranking = ranked(candidates_of("3 + 5", "13 * 14", "13 + 14"), 16, tracker, SETTINGS, random.Random(0))
    assert texts_of(ranking.promising) == ["13 + 14"]
    assert sorted(texts_of(ranking.others)) == ["13 * 14", "3 + 5"]


def test_no_family_takes_more_than_its_share_while_others_wait() -> None:
    tracker = tracker_with(("11 + 12", 60, 4), ("11 - 10", 60, 2), ("1 + 2 + 3", 60, 2))
    sums = [f"{a} + 60" for a in range(11, 31)]
    others = ["68 - 15", "69 - 15", "2 + 3 + 4", "1 + 3 + 5"]
    accepted = admit(candidates_of(*sums, *others), 6, tracker, random.Random(1))
    families = [candidate.problem.family for candidate in accepted]
    assert families.count("dd+dd") == 3  # ceil(6 * 0.34), for all that it is the most learnable
    assert len(admit(candidates_of(*sums), 6, tracker, random.Random(1))) == 6


def share_promising(problems_of_a_hard_family: int, later_steps: int) -> float:
    """How often one more of a family, all of which failed, is drawn to be promising after steps of which every replay
    taught nothing."""
    tracker = tracker_with(("1 + 2", 1, 8), ("11 * 12", problems_of_a_hard_family, 0))
    easy = problem("1 + 2").problem_id
    for step in range(2, 2 + later_steps):
        tracker.observe(StepHistory(step, step, (), (), (PassRate(easy, step - 1, 8, 8),)))
    tries = (ranked(candidates_of("13 * 14"), 1, tracker, SETTINGS, random.Random(seed)) for seed in range(400))
    return sum(len(each.promising) for each in tries) / 400


def test_a_family_that_was_hard_is_looked_at_again_the_sooner_the_less_was_seen_of_it() -> None:
    once, thrice, often = (share_promising(groups, later_steps=4) for groups in (1, 3, 60))
    assert 0.6 > once > 1.5 * thrice > often, (once, thrice, often)
    assert often < 0.01
    assert share_promising(12, later_steps=1) < 0.05 < 0.25 < share_promising(12, later_steps=30)


def test_a_hard_family_takes_a_place_from_an_easy_one_now_and_then() -> None:
    tracker = tracker_with(("11 + 12", 60, 2), ("15 + 18", 1, 0))
    wanted = candidates_of("13 + 14", "17 + 18")
    taken = [texts_of(admit(wanted, 1, tracker, random.Random(seed)))[0] for seed in range(400)]
    assert 4 < taken.count("17 + 18") < 200


def test_admission_is_a_function_of_its_arguments_and_loses_nobody() -> None:
    tracker = tracker_with(("11 + 12", 5, 4))
    wanted = candidates_of(*(f"{a} + 60" for a in range(11, 31)))
    first = admit(wanted, 5, tracker, random.Random("7"))
    again = admit(list(reversed(wanted)), 5, tracker, random.Random("7"))
    assert first == again and len(first) == 5
    ranking = ranked(wanted, 5, tracker, SETTINGS, random.Random("7"))
    assert {*ranking.promising, *ranking.others} == set(wanted)
    assert len(ranking.promising) + len(ranking.others) == len(wanted)
    assert ranked([], 5, tracker, SETTINGS, random.Random("7")) == Ranking((), ())


def test_held_out_sizes_and_members() -> None:
    sizes = {name: len(problems) for name, problems in HELD_OUT.sets.items()}
    assert sizes == {"add1": 27, "add2": 500, "sub2": 500, "three": 500, "mul1": 18}
    for problems in HELD_OUT.sets.values():
        assert len({each.problem_id for each in problems}) == len(problems)
        assert all(HELD_OUT.contains(each.canonical) for each in problems)


def test_seeds_and_examples_are_never_held_out() -> None:
    for statement in (*DOMAIN.seeds(), *DOMAIN.shown_examples()):
        assert not HELD_OUT.contains(statement.canonical)


def test_the_key_decides_membership_and_order() -> None:
    other = HeldOut(DOMAIN, "selfplay-2")
    assert HeldOut(DOMAIN, "selfplay-1").sets == HELD_OUT.sets
    assert {each.text for each in other.sets["add2"]} != {each.text for each in HELD_OUT.sets["add2"]}
    with pytest.raises(ValueError, match="1 to 64 bytes"):
        HeldOut(DOMAIN, "")


def test_the_first_hundred_are_a_fair_sample() -> None:
    mean = sum(int(each.answer) for each in HELD_OUT.sets["add2"][:100]) / 100
    assert 100 < mean < 118  # of all members: 109


@pytest.mark.parametrize("uniform", [False, True])
def test_no_admitted_problem_is_held_out(uniform: bool) -> None:
    simulation = Simulation(seed=5, uniform=uniform)
    admitted = [each for record in simulation.run(40) for each in record.admitted]
    held_out = {each.canonical for problems in HELD_OUT.sets.values() for each in problems}
    assert len(admitted) > 100
    assert [each.text for each in admitted if each.canonical in held_out] == []
    assert {each.family for each in admitted} & {"dd+dd", "d+d-d"}  # families of which a part is held out
