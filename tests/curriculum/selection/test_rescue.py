"""Rescue of what is too hard: what domains tell, how help shrinks and grows, and that only bare groups count."""

from collections.abc import Iterable

import pytest

from curriculum.domains.abilities import ability
from curriculum.domains.arithmetic.domain import ArithmeticDomain
from curriculum.domains.chains import ChainsDomain
from curriculum.domains.protocol import Domain, Explained, Statement, problem_of
from curriculum.domains.words.domain import WordsDomain
from curriculum.holdout import HeldOut
from curriculum.selection.filling import fill_up
from curriculum.selection.rescue import Rescuer, next_given, rescues_of
from curriculum.selection.scheduler import Scheduler
from curriculum.settings import CurriculumSettings
from curriculum.tracking.difficulty import Tracker
from store.records import Help, HelpKind, Origin, PassRate, Problem, ProblemState, Rescue, StepHistory

HINT, SUBPROBLEM, REVERSE = HelpKind
CHAINS, ARITHMETIC = ChainsDomain(), ArithmeticDomain()
LONG, SHORT = "45*7+5*3*8", "3*2+3"
COUNTED = 8  # attempts of a group


def posed(domain: Domain, text: str, parent_id: str | None = None) -> Problem:
    statement = domain.parse(text)  # type: ignore[attr-defined]
    assert isinstance(statement, Statement)
    return problem_of(statement, domain.name, Origin.PROCEDURAL, parent_id)


@pytest.mark.parametrize(
    ("domain", "text", "hints"),
    [
        (CHAINS, LONG, ["24", "24,29", "24,29,87"]),
        (ARITHMETIC, "12 + 3 * 4 - 5", ["12 + 12 - 5", "24 - 5"]),
        (ARITHMETIC, "47 + 38", ["47 + 30 + 8", "77 + 8"]),
        (ARITHMETIC, "47 - 15", ["47 - 10 - 5", "37 - 5"]),
        (ARITHMETIC, "20 + 13", ["20 + 10 + 3", "30 + 3"]),
        (ARITHMETIC, "13 + 20", ["20 + 10 + 3", "30 + 3"]),
        (ARITHMETIC, "24 * 35", ["24 * 30 + 24 * 5", "720 + 24 * 5", "720 + 120"]),
        (ARITHMETIC, "47 - 8", []),
        (ARITHMETIC, "3 + 4", []),
        (ARITHMETIC, "3 - 5 + 9", []),  # 3 - 5 is below 0
        (WordsDomain(), "Tom has 3 apples and buys 4 more. How many apples does Tom have? | 3 + 4", ["3 + 4"]),
        (
            WordsDomain(),
            "A shop has 14 red hats, 23 blue hats and 5 black hats. How many hats does it have? | 14 + 23 + 5",
            ["14 + 23 + 5", "37 + 5"],
        ),
    ],
)
def test_hints_tell_more_and_more_and_never_the_answer(domain: Explained, text: str, hints: list[str]) -> None:
    problem = posed(domain, text)
    assert list(domain.hints(problem)) == hints
    assert problem.answer not in hints


@pytest.mark.parametrize(
    ("domain", "text", "parts"),
    [
        (CHAINS, LONG, [("45*7+5*3", "24,29,87")]),
        (CHAINS, SHORT, []),  # one operation is no problem of the domain
        (ARITHMETIC, "3 * 4 + 5 * 2", [("3 * 4", "12"), ("5 * 2", "10")]),
        (ARITHMETIC, "30 + 7 + 5", [("30 + 7", "37")]),
        (ARITHMETIC, "2 * 3 * 4", [("2 * 3", "6")]),
        (ARITHMETIC, "30 + 7", []),
    ],
)
def test_parts_of_a_problem(domain: ChainsDomain, text: str, parts: list[tuple[str, str]]) -> None:
    assert [(each.text, each.answer) for each in domain.easier(posed(domain, text))] == parts


@pytest.mark.parametrize(
    ("kind", "given", "right", "following"),
    [
        (HINT, 5, 4, 2), (HINT, 1, 8, 0), (HINT, 2, 3, 4), (HINT, 5, 0, 7), (HINT, 7, 0, 7),
        (SUBPROBLEM, 7, 4, 3), (SUBPROBLEM, 1, 3, 2),
        (REVERSE, 7, 4, 6), (REVERSE, 1, 4, 0), (REVERSE, 4, 3, 5), (REVERSE, 7, 0, 7),
        (HINT, 0, 0, 1), (REVERSE, 0, 0, 1),
    ],
)  # fmt: skip
def test_help_shrinks_where_half_is_right_and_grows_where_less_is(
    kind: HelpKind, given: int, right: int, following: int
) -> None:
    assert next_given(Rescue("p", kind, given, 7, COUNTED, right)) == following


class World:
    """Some problems of chains, of which all have failed twice but for `solved`."""

    def __init__(self, kind: HelpKind, texts: Iterable[str] = (LONG,), share: float = 0.5, solved: str = "") -> None:
        self.problems = [posed(CHAINS, text) for text in texts]
        self.tracker = Tracker(CurriculumSettings(group_size=COUNTED))
        self.tracker.observe(StepHistory(0, 0, tuple(self.problems), (), ()))
        self.step = 0
        for _ in range(2):
            self.bare({each.problem_id: COUNTED * (each.text == solved) for each in self.problems})
        self.held_out = HeldOut(CHAINS, "key")
        self.rescuer = Rescuer(kind, share, 3, CHAINS, self.held_out, self.tracker, seed=0)
        self.rows: list[tuple[int, Rescue]] = []

    def bare(self, right: dict[str, int]) -> None:
        self.step += 1
        rates = tuple(PassRate(each, self.step - 1, COUNTED, count) for each, count in right.items())
        self.tracker.observe(StepHistory(self.step, self.step, (), (), rates))

    def play(self, right: int, num_problems: int = 2) -> dict[str, Help | None]:
        """A step with what the rescuer chooses alone, `right` attempts at each."""
        chosen = self.rescuer.chosen(self.step + 1, num_problems)
        groups = {each: (given, COUNTED, right) for each, given in chosen.items()}
        rows = rescues_of(self.rescuer, groups)
        self.bare({each: right for each, given in chosen.items() if given is None})
        self.rescuer.add(self.step, rows)
        self.rows += [(self.step, each) for each in rows]
        return chosen

    def again(self) -> Rescuer:
        """Another one, folded over what was stored."""
        rescuer = Rescuer(self.rescuer.kind, self.rescuer.share, 3, CHAINS, self.held_out, self.tracker, seed=0)
        for step, row in self.rows:
            rescuer.add(step, [row])
        return rescuer


def only(chosen: dict[str, Help | None]) -> str | None:
    [given] = chosen.values()
    return None if given is None else given.text


def test_a_problem_is_led_back_to_its_bare_form_and_is_rescued_by_solving_that_alone() -> None:
    world = World(REVERSE)
    [problem] = world.problems
    assert world.tracker.state(problem.problem_id) is ProblemState.TOO_HARD
    assert [only(world.play(COUNTED)) for _ in range(2)] == ["Hint: 24,29,87", "Hint: 24,29"]
    assert only(world.play(0)) == "Hint: 24"
    assert only(world.play(COUNTED)) == "Hint: 24,29"
    assert only(world.play(COUNTED)) == "Hint: 24"
    idle = World(REVERSE)
    for _ in range(5):
        idle.bare({})
    assert world.tracker.rate(problem.problem_id) == idle.tracker.rate(problem.problem_id)
    assert world.tracker.totals(problem.problem_id) == (2 * COUNTED, 0)
    assert world.tracker.state(problem.problem_id) is ProblemState.TOO_HARD
    assert only(world.play(0)) is None, "bare, and it fails"
    assert only(world.play(COUNTED)) == "Hint: 24"
    assert only(world.play(1)) is None, "bare, and one attempt is right"
    assert world.tracker.state(problem.problem_id) is ProblemState.ACTIVE
    assert world.play(0) == {} and world.rescuer.last(problem.problem_id) is None
    assert [row.given for _, row in world.rows] == [3, 2, 1, 2, 1, 0, 1, 0]


def test_a_hint_begins_with_half_of_the_solution() -> None:
    world = World(HINT)
    assert [only(world.play(right)) for right in (0, COUNTED, COUNTED, 0)] == [
        "Hint: 24,29", "Hint: 24,29,87", "Hint: 24", None
    ]  # fmt: skip


def test_how_far_each_problem_is_is_a_fold_over_stored_groups() -> None:
    world = World(HINT, (LONG, "44*7+5*3*8", "3*2+3*2+4"))
    for right in (4, 0, 8, 2, 8, 8, 0, 5, 0, 0, 8, 4):
        world.play(right, num_problems=4)
        again = world.again()
        assert (again._open, list(again._due)) == (world.rescuer._open, list(world.rescuer._due))
        assert again.chosen(world.step + 1, 4) == world.rescuer.chosen(world.step + 1, 4)
    assert {row.given for _, row in world.rows} == {0, 1, 2, 3}


def test_who_fails_with_all_help_rests_and_the_longest_unposed_goes_first() -> None:
    world = World(REVERSE, (LONG, "44*7+5*3*8"), share=0.25)
    first, second = world.play(0, 4), world.play(0, 4)
    assert first.keys().isdisjoint(second) and len(first) == len(second) == 1
    assert world.play(0, 4) == {}, "both rest for three steps"
    world.bare({})
    assert world.play(0, 4).keys() == first.keys()


def test_a_step_has_so_many_places_for_rescue_and_probes_have_none() -> None:
    texts = [f"{n}*7+5*3*8" for n in range(40, 60)]
    world = World(HINT, texts, share=0.125)
    assert [len(world.rescuer.chosen(world.step + 1, n)) for n in (2, 8, 24)] == [0, 1, 3]
    world.rescuer.withheld = {each.problem_id for each in world.problems[1:]}
    assert list(world.rescuer.chosen(world.step + 1, 24)) == [world.problems[0].problem_id]


def test_what_is_not_too_hard_or_has_no_help_is_left_alone() -> None:
    assert World(HINT, (LONG,), solved=LONG).rescuer.chosen(3, 2) == {}
    assert World(SUBPROBLEM, (SHORT,)).rescuer.chosen(3, 2) == {}


def test_a_problem_that_fails_bare_again_and_again_rests_longer_each_time() -> None:
    world, waited = World(REVERSE), []
    for _ in range(3):
        world.play(COUNTED)  # down to one piece
    for _ in range(4):
        assert only(world.play(0)) is None, "bare, and it fails"
        steps = 0
        while not (chosen := world.play(COUNTED)):
            steps += 1
        assert only(chosen) == "Hint: 24"
        waited.append(steps)
        assert world.again()._relapses == world.rescuer._relapses
    assert waited == [0, 2, 8, 20], "the rests of 0, 3, 9 and 21 steps, less the one of the next try"
    assert only(world.play(1)) is None and world.rescuer._relapses == {}, "one right attempt frees it"


@pytest.mark.parametrize(
    ("domain", "text", "told"),
    [
        (ARITHMETIC, "12 + 3 * 4 - 5", [["3 * 4", "12 + 12 - 5"], ["12 + 12", "24 - 5"]]),
        (ARITHMETIC, "47 + 38", [["47 + 30 + 8"], ["47 + 30", "77 + 8"]]),
        (CHAINS, LONG, [[], ["45*7+5"], ["45*7+5*3"]]),
    ],
)
def test_every_problem_that_a_hint_tells_of_is_named(domain: Explained, text: str, told: list[list[str]]) -> None:
    problem = posed(domain, text)
    found = [[each.text for each in of] for of in domain.told(problem)]
    assert found == told and len(domain.hints(problem)) == len(told)
    assert list(ability(WordsDomain(), Explained).told(problem)) == []


def test_a_hint_that_tells_of_a_held_out_problem_is_not_shown_nor_any_after_it() -> None:
    hidden = World(REVERSE).held_out.sets["chain3"][0]
    longer = posed(CHAINS, f"{hidden.text}*2")
    world = World(REVERSE, [longer.text])
    hints = [f"Hint: {each}" for each in CHAINS.hints(longer)]
    assert only(world.play(0)) in hints[:2] and hidden.answer == CHAINS.hints(longer)[2]
    assert all(row.pieces <= 2 for _, row in world.rows)
    sums = HeldOut(ARITHMETIC, "key")
    kept = sums.sets["add2"][0]
    rescuer = Rescuer(HINT, 0.5, 3, ARITHMETIC, sums, world.tracker, seed=0)
    assert rescuer._hints(posed(ARITHMETIC, f"{kept.text} + 9")) == []


def test_a_part_is_given_with_its_answer_and_no_held_out_one() -> None:
    world = World(SUBPROBLEM)
    assert only(world.play(0)) == "Given: 45*7+5*3 = 24,29,87"
    hidden = next(iter(world.held_out.sets["chain3"]))
    other = World(SUBPROBLEM, [f"{hidden.text}*2"])
    assert other.rescuer.chosen(3, 2) == {}


def test_where_a_problem_has_no_parts_its_parent_is_given() -> None:
    world = World(SUBPROBLEM, (SHORT,))
    child = posed(CHAINS, "3*2+4", parent_id=world.problems[0].problem_id)
    world.tracker.observe(StepHistory(3, 3, (child,), (), (PassRate(child.problem_id, 2, 2 * COUNTED, 0),)))
    assert world.rescuer.chosen(4, 2) == {
        child.problem_id: Help(SUBPROBLEM, 1, 1, "Given: 3*2+3 = 6,9"),
    }


def test_a_bare_group_of_an_open_rescue_is_noted_whoever_posed_it() -> None:
    world = World(HINT)
    problem_id = world.problems[0].problem_id
    assert rescues_of(world.rescuer, {problem_id: (None, COUNTED, 1)}) == (), "it is not being rescued yet"
    world.play(COUNTED)
    [row] = rescues_of(world.rescuer, {problem_id: (None, COUNTED, 1), "other": (None, COUNTED, 1)})
    assert row == Rescue(problem_id, HINT, 0, 3, COUNTED, 1)
    world.rescuer.add(9, [row])
    assert world.rescuer.last(problem_id) is None


def test_the_scheduler_does_not_pose_a_problem_twice() -> None:
    world = World(HINT, (LONG, SHORT))
    scheduler = Scheduler(world.tracker, world.tracker.settings, 0)
    ids = [each.problem_id for each in world.problems]
    assert {each.problem.problem_id for each in fill_up(3, 2, 2, scheduler)} == set(ids)
    assert [each.problem.problem_id for each in fill_up(3, 2, 2, scheduler.without(ids[:1]))] == ids[1:]
    assert scheduler.without([]) is scheduler
