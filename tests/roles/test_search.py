"""Tree search with a scripted engine: its trees visit by visit, its choices by hand, and the limits it keeps.

The golden trees are written anew by `WRITE_GOLDEN=1 pytest tests/roles/test_search.py`; read the difference before it
stays.
"""

import json
import os
from collections.abc import Generator, Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from scripted_roles import ScriptedEngine, countdown, step_style, wander

from roles.requests import Sample, Score, Scored
from roles.search.critics import CriticWeights
from roles.search.growth import Growth, Searched
from roles.search.mcts import SearchRule, SearchSettings, search
from roles.search.step_tree import STEP_ROOT, StepTree
from store.records import Outcome

GOLDEN = Path(__file__).parent / "golden"
PROBLEM = countdown("3 5 8: 16")
LONGER = countdown("2 3 5 8: 18")
EASY = countdown("1 2 2 3: 6")  # often reached at random, and by steps that leave the same
RIGHT, WRONG = "3+5=8,8+8=16\n", "3+5=8,8*8=64\n"
PLENTY = 100_000  # tokens: with such a budget a search wants more once it has all that it wanted
EXHAUSTING = SearchSettings(node_budget=10_000, token_budget=PLENTY)


def searched(settings: SearchSettings, seed: int = 0, merge: bool = False) -> Searched:
    """A search for the easy problem by an engine that wanders; the key is `seed`."""
    engine = ScriptedEngine(say=wander)
    return engine.drive(search(engine.growth(EASY, merge=merge, key=("search", seed)), settings))


def scripted(settings: SearchSettings, merge: bool = False, **script: Any) -> tuple[ScriptedEngine, Searched]:
    engine = ScriptedEngine(script)
    return engine, engine.drive(search(engine.growth(PROBLEM, merge=merge), settings))


def rows(tree: StepTree) -> list[dict[str, Any]]:
    return [
        {
            "index": n.index, "parent": n.parent, "text": "" if n.piece is None else n.piece.text, "said": n.said,
            "visits": n.visits, "value_sum": n.value_sum, "leaves": n.leaves, "right": n.right,
            "merged_into": n.merged_into,
        }
        for n in tree
    ]  # fmt: skip


def first_choices(given: list[str], settings: SearchSettings) -> list[tuple[str, int]]:
    """(answer so far, samples) of what a search asks for first after the answers `given` to the longer problem."""
    engine = ScriptedEngine()
    growth = engine.growth(LONGER, given)
    return [(answer_above(engine, request), request.n) for request in next(search(growth, settings))]


def answer_above(engine: ScriptedEngine, request: Sample) -> str:
    return "" if request.parent is None else engine.text_to(request.parent).partition(" =")[2]


# The trees


@pytest.mark.parametrize(
    ("name", "seed", "settings", "merge"),
    [
        ("search_uct", 5, SearchSettings(node_budget=24, token_budget=PLENTY, at_once=2, min_first=3), False),
        (
            "search_puct_branching",
            2,
            SearchSettings(
                "puct",
                1.5,
                node_budget=40,
                token_budget=PLENTY,
                at_once=3,
                max_children=4,
                max_first=6,
                branching=8.0,
                rollouts=2,
            ),
            True,
        ),
    ],
)
def test_a_search_grows_the_golden_tree(name: str, seed: int, settings: SearchSettings, merge: bool) -> None:
    found, path = rows(searched(settings, seed, merge).tree), GOLDEN / f"{name}.json"
    if os.environ.get("WRITE_GOLDEN"):
        path.write_text("[\n" + ",\n".join(json.dumps(row) for row in found) + "\n]\n")
    assert found == json.loads(path.read_text())


def test_a_search_of_two_waves_by_hand() -> None:
    settings = SearchSettings(node_budget=5, at_once=1, min_first=2, exploration=0.0)
    engine, found = scripted(
        settings,
        step=["3*5=15,", "3+5=8,", "8*8=64\n"],
        rollout=["15+8=23\n", "8+8=16\n"],
    )
    # wave 1: two first steps, one rollout each: 0 and 1. Wave 2: 3+5=8 is best and lacks one next step.
    assert [(answer_above(engine, s), s.n) for s in engine.asked] == [
        ("", 2), ("3*5=15,", 1), ("3+5=8,", 1), ("3+5=8,", 1),
    ]  # fmt: skip
    assert [(found.tree.text(n.index), n.visits, n.value_sum, n.leaves, n.right) for n in found.tree] == [
        ("", 3, 1.0, 3, 1),
        ("3*5=15,", 1, 0.0, 1, 0),
        ("3+5=8,", 2, 1.0, 2, 1),
        ("3*5=15,15+8=23\n", 1, 0.0, 1, 0),
        (RIGHT, 1, 1.0, 1, 1),
        (WRONG, 1, 0.0, 1, 0),
    ]
    assert (found.num_sampled, found.right_after, found.right_after_nodes) == (7 + 6 + 8 + 7 + 7, 7 + 6 + 8 + 7, 4)
    assert found.best == 4


@pytest.mark.parametrize("merge", [False, True])
def test_the_same_key_gives_the_same_tree_and_another_key_another(merge: bool) -> None:
    settings = SearchSettings(node_budget=20, at_once=3, branching=4.0, max_children=4)
    first, again, other = (rows(searched(settings, seed, merge).tree) for seed in (1, 1, 2))
    assert first == again != other


# What is chosen

# A "2+3=5," was visited 3 times with a mean of 1/3, B "3+5=8," once with 0: 4 visits in all
UNEVEN = ["2+3=5,5+5=10,10+8=18\n", "2+3=5,5+5=10,10*8=80\n", "2+3=5,5+5=10,10-8=2\n", "3+5=8,8+8=16,2*16=32\n"]
A, B = "2+3=5,", "3+5=8,"


@pytest.mark.parametrize(
    ("rule", "exploration", "chosen"),
    [
        # uct: A 1/3 + c sqrt(2 ln 4 / 3) = 1/3 + 0.9614 c, B 0 + c sqrt(2 ln 4 / 1) = 1.6651 c: equal at 0.4737
        ("uct", 0.47, A),
        ("uct", 0.48, B),
        # puct: 6 tokens of -0.5 each in both, so P = 1/2: A 1/3 + c / 2 * 2 / 4, B 0 + c / 2 * 2 / 2: equal at 4/3
        ("puct", 1.33, A),
        ("puct", 1.34, B),
    ],
)
def test_the_bounds_by_hand(rule: SearchRule, exploration: float, chosen: str) -> None:
    settings = SearchSettings(rule, exploration, at_once=1, min_children=4, max_children=4)
    assert [above for above, _ in first_choices(UNEVEN, settings)] == [chosen]


def test_the_policys_own_probability_of_a_step_is_its_prior() -> None:
    # "2*3=6," is as long as A, "3*8=24," has one token more: P = 1 / (1 + e^-0.5) = 0.6225 and 0.3775
    given = ["2+3=5,5+5=10,10+8=18\n", "2+3=5,5+5=10,10*8=80\n", "2+3=5,5+5=10,10-8=2\n", "3*8=24,2+5=7,7+24=31\n"]
    for exploration, chosen in ((5.0, A), (5.1, "3*8=24,")):  # 1/3 + 0.6225 c * 2/4 and 0.3775 c * 2/2 meet at 5.028
        settings = SearchSettings("puct", exploration, at_once=1, min_children=4, max_children=4)
        assert [above for above, _ in first_choices(given, settings)] == [chosen]


GOOD = ["2+3=5,5+5=10,10+8=18\n", "2+3=5,5+8=13,13+5=18\n"]
FAIR = ["3+5=8,8+8=16,16+2=18\n", "3+5=8,2+8=10,10+8=18\n", "3+5=8,8*8=64,64+2=66\n", "3+5=8,8+2=10,10+8=18\n"]


def test_a_visit_in_flight_sends_the_next_choice_elsewhere() -> None:
    # A: 2 of 2 right, B: 3 of 4. With the first choice in flight A is at 2 / 3, so that B is next; then B is at 3 / 5
    settings = SearchSettings(exploration=0.0, at_once=3, min_first=6)
    assert [above for above, _ in first_choices(GOOD + FAIR, settings)] == [
        "2+3=5,5+5=10,",
        "3+5=8,8+8=16,",
        "2+3=5,5+8=13,",
    ]


@pytest.mark.parametrize(
    ("given", "branching", "low", "high", "asked"),
    [
        (GOOD, 100.0, 1, 9, []),  # every answer is right: I = 0, floor(0) + 1 = 1
        (GOOD, 100.0, 2, 9, []),
        (GOOD, 100.0, 3, 9, [1]),
        ([GOOD[0], UNEVEN[3]], 8.0, 2, 9, [3]),  # 1 and 0 around 1/2: floor(8 / 2) + 1 = 5, less the 2 that are there
        ([GOOD[0], UNEVEN[3]], 100.0, 2, 6, [4]),  # never more than the most
        ([GOOD[0], UNEVEN[3]], 0.0, 3, 9, [1]),  # no adaptive branching
        (UNEVEN, 15.9, 2, 9, []),  # 1/3 and 0 around 1/4: floor(15.9 / 4) + 1 = 4, which are there
        (UNEVEN, 16.0, 2, 9, [1]),
    ],
)
def test_more_next_steps_are_given_where_values_differ(
    given: list[str], branching: float, low: int, high: int, asked: list[int]
) -> None:
    settings = SearchSettings(branching=branching, at_once=1, min_first=low, max_first=high)
    choices = first_choices(given, settings)  # of the problem, where it lacks any: it comes before what is below
    assert len(choices) == 1 and [n for above, n in choices if above == ""] == asked


@pytest.mark.parametrize("seed", range(8))
def test_the_number_of_next_steps_stays_within_its_bounds(seed: int) -> None:
    settings = SearchSettings(
        node_budget=16, token_budget=PLENTY, min_first=3, max_first=6, max_children=4, branching=6.0
    )
    tree = searched(settings, seed).tree
    said = {n.index: sum(tree.nodes[child].said for child in n.children) for n in tree if not n.is_finished}
    assert 3 <= said.pop(STEP_ROOT) <= 6
    assert all(count <= 4 for count in said.values())
    assert (max(said.values()) > 2) is (seed in (1, 5, 7))  # where values differ, more than the least


# Merging

TWINS = {"step": ["3+5=8,", "5+3=8,"], "rollout": ["8+8=16\n"]}


def test_merging_adds_visits_and_saves_expansions() -> None:
    settings = SearchSettings(node_budget=3, at_once=4, min_first=2, min_children=1, max_children=1)
    engine, found = scripted(settings, merge=True, **TWINS)
    # 5+3 was merged: no rollout, no step of its own; it hands on what 3+5 is worth as one more visit
    assert [(answer_above(engine, s), s.n) for s in engine.asked] == [("", 2), ("3+5=8,", 1)]
    assert [(n.merged_into, n.visits, n.value_sum) for n in found.tree] == [
        (None, 2, 2.0), (None, 2, 2.0), (1, 1, 1.0), (None, 1, 1.0),
    ]  # fmt: skip
    apart, _ = scripted(settings, step=TWINS["step"], rollout=["8+8=16\n", "8*8=64\n"])
    assert [answer_above(apart, s) for s in apart.asked] == ["", "3+5=8,", "5+3=8,"]


def test_a_step_that_is_said_again_in_a_wave_is_one_more_visit() -> None:
    settings = SearchSettings(node_budget=3, min_first=3)
    engine, found = scripted(settings, step=["3+5=8,", "3*5=15,", "3+5=8,"], rollout=["8+8=16\n", "15+8=23\n"])
    assert [(n.said, n.visits, n.value_sum) for n in found.tree][:3] == [(0, 3, 2.0), (2, 2, 2.0), (1, 1, 0.0)]
    assert [s.n for s in engine.asked] == [3, 1, 1]


# Budgets and ends


def watched(growth: Growth, role: Generator[Any, Any, Any]) -> Iterator[tuple[int, int, list[Any]]]:
    """Drive a search; (new steps, sampled tokens, requests) of each wave before it is answered."""
    engine = ScriptedEngine(say=wander, tree=growth.token_tree)
    requests = next(role)
    while True:
        yield len(growth.tree) - 1, growth.num_sampled, requests
        try:
            requests = role.send([engine._answer(each, {}) for each in requests])
        except StopIteration:
            return


@pytest.mark.parametrize("rollouts", [0, 1, 3])
@pytest.mark.parametrize("nodes", [1, 3, 4, 17, 30])
def test_beyond_the_budget_of_nodes_there_are_only_the_last_waves_rollouts(nodes: int, rollouts: int) -> None:
    growth = ScriptedEngine().growth(LONGER)
    settings = SearchSettings(node_budget=nodes, rollouts=rollouts, max_children=4, branching=4.0)
    waves = list(watched(growth, search(growth, settings)))
    for there, _, requests in waves:
        if any("step" in request.key for request in requests):
            assert there + sum(request.n for request in requests) <= nodes
        else:
            assert there <= nodes
    there, _, requests = waves[-1]
    most = sum(2 * request.n for request in requests) if rollouts else 0  # behind a first step there are two more
    assert len(growth.tree) - 1 <= nodes + most


def test_given_answers_cost_nothing_of_the_budget_and_are_visits() -> None:
    engine = ScriptedEngine(say=wander)
    growth = engine.growth(LONGER, GOOD + FAIR)
    before = len(growth.tree)
    found = engine.drive(search(growth, SearchSettings(node_budget=1, at_once=1, rollouts=0, min_first=7)))
    assert before > 2 and len(found.tree) == before + 1
    assert [(s.parent, s.n) for s in engine.asked] == [(None, 1)]  # six of seven first steps were there
    assert (found.tree.nodes[STEP_ROOT].visits, found.tree.nodes[STEP_ROOT].value_sum) == (7, 5 + 0.5)
    assert found.right_after == len(GOOD[0])


@pytest.mark.parametrize("tokens", [1, 60, 150])
def test_no_wave_begins_when_the_budget_of_tokens_is_spent(tokens: int) -> None:
    growth = ScriptedEngine().growth(LONGER)
    waves = list(watched(growth, search(growth, SearchSettings(node_budget=10_000, token_budget=tokens))))
    begun = [sampled for _, sampled, requests in waves if "step" in requests[0].key]
    assert all(sampled < tokens for sampled in begun) and growth.num_sampled >= tokens


def test_a_search_may_stop_with_the_first_right_answer() -> None:
    found = searched(SearchSettings(node_budget=10_000, stop_when_right=True, at_once=1), seed=1)
    whole = searched(SearchSettings(node_budget=10_000, at_once=1), seed=1)
    assert found.right_after == whole.right_after is not None and len(found.tree) < len(whole.tree)
    assert found.best is not None and found.tree.nodes[found.best].outcome is Outcome.CORRECT
    engine = ScriptedEngine()  # with nothing to say
    assert engine.drive(search(engine.growth(PROBLEM, [RIGHT]), SearchSettings(stop_when_right=True))).best == 2


def test_where_all_wanted_steps_are_there_as_many_more_are_wanted_everywhere() -> None:
    settings = SearchSettings(token_budget=PLENTY, at_once=9, min_first=2, min_children=1)  # all of which GOOD has
    assert first_choices(GOOD, settings)[0] == ("", 2)
    one_step = ["2+3=5\n"] * 8
    assert first_choices(one_step, SearchSettings(token_budget=PLENTY, min_first=4)) == [("", 4)]  # 3 x 4 less 8


def test_a_search_ends_where_the_policy_says_only_what_was_said() -> None:
    def repeat(request: Sample, above: str, index: int) -> str:
        return "3+5=8," if request.parent is None else "8+8=16\n"

    engine = ScriptedEngine(say=repeat)
    found = engine.drive(search(engine.growth(PROBLEM), EXHAUSTING))
    assert [found.tree.text(n.index) for n in found.tree] == ["", "3+5=8,", RIGHT] and found.is_reproducible
    # 4 and a rollout, 1 more behind the first step; once again as many: 8 and 4 in all. Nothing new: the end
    assert [node.said for node in found.tree] == [0, 8, 4]


def test_a_clock_ends_a_search_and_marks_it() -> None:
    def timed(seconds: float) -> Searched:
        engine, clock = ScriptedEngine(say=wander), count()
        return engine.drive(
            search(
                engine.growth(EASY, key=("search", 0)),
                replace(EXHAUSTING, seconds=seconds),
                lambda: float(next(clock)),
            )
        )

    unlimited = timed(0.0)
    assert rows(unlimited.tree) == rows(searched(EXHAUSTING).tree)
    one_wave, none, late = timed(2.0), timed(1.0), timed(1e6)
    assert (len(none.tree), len(one_wave.tree) > 1, len(one_wave.tree) < len(late.tree)) == (1, True, True)
    assert [each.is_reproducible for each in (unlimited, none, one_wave, late)] == [True, False, False, False]


def test_answers_are_truncated_where_the_room_runs_out() -> None:
    engine = ScriptedEngine(say=wander)
    found = engine.drive(search(engine.growth(LONGER, steps=step_style(15)), EXHAUSTING))
    ends = [node for node in found.tree if node.outcome is Outcome.TRUNCATED]
    assert ends and all(node.tokens_above == 15 for node in ends)
    assert all(node.tokens_above < 15 or node.is_finished for node in found.tree)
    assert all(1 <= sample.params.max_tokens <= 15 for sample in engine.asked)


def test_merged_steps_of_different_lengths_never_ask_for_more_room_than_there_is() -> None:
    for seed in range(6):
        engine = ScriptedEngine(say=wander)
        growth = engine.growth(EASY, ["1 + 2 = 3,2*3=6,3+6=9\n"], step_style(22), merge=True, key=("search", seed))
        for node in engine.drive(search(growth, EXHAUSTING)).tree:
            assert len(growth.tree.text(node.index)) == node.tokens_above <= 22
            if node.piece is not None:
                said = engine.text_to(node.piece.last_token).partition(" =")[2]
                assert said == growth.tree.text(node.index)


# Critics and the best answer


def test_the_critics_value_new_steps_without_rollouts() -> None:
    settings = SearchSettings(
        node_budget=3, at_once=1, min_first=2, rollouts=0, exploration=0.0, weights=CriticWeights(value=1, process=3)
    )
    scores = [Scored(value=0.4, process=0.8), Scored(value=0.2, process=0.2)]
    engine, found = scripted(settings, step=["3+5=8,", "3*5=15,", "8+8=16\n"], score=scores)
    nodes = [node.piece.last_token for node in found.tree if node.piece is not None]
    assert engine.scored == [Score(nodes[0]), Score(nodes[1])]
    assert [(n.value, n.process) for n in found.tree] == [(None, None), (0.4, 0.8), (0.2, 0.2), (None, None)]
    # (0.4 + 3 * 0.8) / 4 = 0.7 and 0.2, then the verdict 1 below the better one: no critic is asked of that
    assert [n.value_sum for n in found.tree] == pytest.approx([0.7 + 0.2 + 1, 0.7 + 1, 0.2, 1.0])
    assert [n.visits for n in found.tree] == [3, 2, 1, 1]


def test_the_best_answer_is_a_right_one_and_of_several_the_one_with_the_likeliest_tokens() -> None:
    engine = ScriptedEngine()
    stop = SearchSettings(node_budget=0)
    assert engine.drive(search(engine.growth(PROBLEM), stop)).best is None
    wrong = engine.drive(search(engine.growth(PROBLEM, [WRONG, "8*8=64\n"]), stop))
    assert wrong.best is not None and wrong.tree.text(wrong.best) == WRONG  # equally likely tokens: the first
    right = engine.drive(search(engine.growth(PROBLEM, [WRONG, "8+3=11,5+11=16\n", RIGHT]), stop))
    assert right.best is not None and right.tree.text(right.best) == "8+3=11,5+11=16\n"
