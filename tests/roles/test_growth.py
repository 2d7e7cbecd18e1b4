"""Completions cut into steps, what is asked for below them, and the two ways to grow a tree that do not choose."""

from collections.abc import Sequence

from scripted_roles import DOMAIN, ScriptedEngine, countdown, step_style, unjudgeable, wander

from roles.requests import Sampled
from roles.search.growth import Growth, Searched, best_of, monte_carlo, n_ary
from roles.search.step_tree import STEP_ROOT
from store.records import Completion, Finish, Outcome

PROBLEM = countdown("3 5 8: 16")
LONGER = countdown("2 3 5 8: 18")
RIGHT, OTHER, WRONG = "3+5=8,8+8=16\n", "8+3=11,5+11=16\n", "3+5=8,8*8=64\n"


def texts(growth: Growth) -> list[str]:
    return [growth.tree.text(node.index) for node in growth.tree]


def test_a_completion_of_several_steps_is_cut_where_each_ends() -> None:
    engine = ScriptedEngine()
    growth = engine.growth(PROBLEM, merge=True)
    logprobs = tuple(-i / 8 for i in range(len(RIGHT)))
    prompt = engine.tree.extend(-1, map(ord, "3 5 8: 16 ="))
    last = engine.tree.sampled(prompt, list(map(ord, RIGHT)), logprobs, "solver/0")
    given = Sampled(last, Completion(tuple(map(ord, RIGHT)), logprobs, RIGHT, Finish.STOP, 0, 0))
    assert list(growth.take([given])) == []  # a verifier is not asked

    pieces = [node.piece for node in growth.tree if node.piece is not None]
    assert [(p.text, p.num_tokens, p.state, p.outcome) for p in pieces] == [
        ("3+5=8,", 6, "8 8", None),
        ("8+8=16\n", 7, None, Outcome.CORRECT),
    ]
    assert [engine.text_to(p.last_token) for p in pieces] == ["3 5 8: 16 =3+5=8,", "3 5 8: 16 =3+5=8,8+8=16\n"]
    assert [p.logprob for p in pieces] == [-(0 + 1 + 2 + 3 + 4 + 5) / 8, -(6 + 7 + 8 + 9 + 10 + 11 + 12) / 8]
    assert [(n.parent, n.depth, n.tokens_above) for n in growth.tree] == [(-1, 0, 0), (0, 1, 6), (1, 2, 13)]


def test_given_answers_share_their_steps_and_are_visits_and_counted() -> None:
    growth = ScriptedEngine().growth(PROBLEM, [WRONG, RIGHT, OTHER, RIGHT])
    assert texts(growth) == ["", "3+5=8,", WRONG, RIGHT, "8+3=11,", OTHER]
    assert [(n.said, n.given) for n in growth.tree] == [(0, 0), (3, 3), (1, 1), (2, 2), (1, 1), (1, 1)]
    assert [(n.visits, n.value_sum) for n in growth.tree] == [(4, 3), (3, 2), (1, 0), (2, 2), (1, 1), (1, 1)]
    assert [(n.leaves, n.right) for n in growth.tree] == [(4, 3), (3, 2), (1, 0), (2, 2), (1, 1), (1, 1)]
    assert (growth.num_given, growth.num_sampled) == (13 + 13 + 15 + 13, 0)
    assert growth.right_after == 13 + 13  # the second answer is the first right one


def test_given_answers_that_nobody_could_judge_are_no_visits() -> None:
    growth = ScriptedEngine().growth(unjudgeable(), [" 7\n"], step_style(domain=DOMAIN))
    assert [node.outcome for node in growth.tree] == [None, Outcome.UNJUDGED]
    assert [(n.said, n.visits, n.leaves) for n in growth.tree] == [(0, 0, 0), (1, 0, 0)]


def test_an_answer_without_room_is_truncated_in_a_step_or_at_its_end() -> None:
    growth = ScriptedEngine().growth(PROBLEM, ["3+5=8,8+8="], step_style(10))
    assert [node.outcome for node in growth.tree] == [None, None, Outcome.TRUNCATED]
    engine = ScriptedEngine({"step": ["3+5=8,", "5+3=8,"]})  # each ends as a step does, with the last token there is
    engine.drive(n_ary(growth := engine.growth(PROBLEM, steps=step_style(6)), 2))
    assert [(n.outcome, n.leaves, n.right) for n in growth.tree] == [
        (None, 2, 0),
        (Outcome.TRUNCATED, 1, 0),
        (Outcome.TRUNCATED, 1, 0),
    ]


def test_what_is_asked_for_below_a_step_ends_with_a_step_or_with_the_answer() -> None:
    engine = ScriptedEngine()
    growth = engine.growth(PROBLEM, [RIGHT, WRONG], key=("search", 7))
    node = growth.tree.nodes[1]
    assert node.piece is not None
    step, rollout, first = (
        growth.ask_step(node, 3),
        growth.ask_rollouts(node, 2),
        growth.ask_step(growth.tree.nodes[0], 1),
    )
    assert (step.parent, step.prompt, step.n, step.label) == (node.piece.last_token, "", 3, "solver/0")
    assert (step.params.stop, step.params.max_tokens) == (("\n", ","), 40 - 6)
    assert (rollout.params.stop, rollout.params.max_tokens, rollout.n) == (("\n",), 40 - 6, 2)
    assert (first.parent, first.prompt, first.params.max_tokens) == (None, "3 5 8: 16 =", 40)
    assert step.key == ("search", 7, "step", 1, 2)  # two steps were said below it
    assert rollout.key == ("search", 7, "rollout", 1, 2)


def test_behind_a_merged_step_the_room_is_what_its_own_words_left() -> None:
    engine = ScriptedEngine()
    growth = engine.growth(LONGER, ["2+3=5,5+5=10,10+8=18\n", "3 + 2 = 5,5+8=13,13+5=18\n"], merge=True)
    merged = growth.tree.nodes[4]
    assert (growth.tree.text(4), merged.merged_into) == ("3 + 2 = 5,", 1)
    below = growth.tree.nodes[5]
    assert growth.tree.text(5) == "3 + 2 = 5,5+8=13,"
    assert growth.room(below) == 40 - len("3 + 2 = 5,5+8=13,")
    assert [(n.visits, n.leaves) for n in (growth.tree.nodes[1], merged)] == [(2, 2), (1, 1)]


def rolled_out(given: Sequence[str], merge: bool = False, rollouts: int = 2) -> tuple[ScriptedEngine, Growth, Searched]:
    engine = ScriptedEngine(say=wander)
    growth = engine.growth(LONGER, given, merge=merge)
    return engine, growth, engine.drive(monte_carlo(growth, rollouts))


def test_the_best_of_whole_answers_takes_as_many_as_the_tokens_allow() -> None:
    engine = ScriptedEngine({"rollout": [WRONG, WRONG, OTHER, RIGHT]})
    found = engine.drive(best_of(engine.growth(PROBLEM), 42))
    # an answer has 40 tokens at most: 2 for 42 tokens. They had 13 each: 2 more for the other 16. 54 tokens then
    assert [(s.parent, s.n, s.params.stop) for s in engine.asked] == [(None, 2, ("\n",)), (None, 2, ("\n",))]
    assert len({s.key for s in engine.asked}) == 2
    assert (found.num_sampled, found.right_after) == (13 + 13 + 15 + 13, 13 + 13 + 15)


FIRST, SECOND = "2+3=5,5+5=10,10+8=18\n", "2+3=5,5*5=25,8+25=33\n"


def test_monte_carlo_asks_for_rollouts_where_a_given_answers_step_ends_and_for_nothing_else() -> None:
    engine, growth, found = rolled_out([FIRST, SECOND])
    ends = ["2+3=5,", "2+3=5,5+5=10,", "2+3=5,5*5=25,"]
    assert [engine.text_to(s.parent).partition(" =")[2] for s in engine.asked if s.parent is not None] == ends
    assert [(s.n, "rollout" in s.key) for s in engine.asked] == [(2, True)] * 3
    assert [growth.tree.nodes[i].leaves for i in (STEP_ROOT, 1)] == [2 + 3 * 2, 2 + 3 * 2]
    assert found.num_sampled == growth.num_sampled > 0 and growth.num_given == len(FIRST + SECOND)
    assert found.right_after == len(FIRST) and found.is_right and found.is_reproducible


def test_monte_carlo_asks_nothing_of_answers_in_one_step() -> None:
    engine, _, found = rolled_out(["2+3=5\n"])
    assert engine.asked == [] and (found.num_sampled, found.right_after) == (0, None)


def test_monte_carlo_rolls_out_once_for_steps_that_were_merged() -> None:
    engine, growth, _ = rolled_out([FIRST, "3+2=5,5+5=10,10+8=18\n"], merge=True)
    merged = [growth.tree.text(n.index) for n in growth.tree if n.merged_into is not None and n.given]
    assert merged == ["3+2=5,", "3+2=5,5+5=10,"]
    assert [engine.text_to(s.parent).partition(" =")[2] for s in engine.asked if s.parent is not None] == [
        "2+3=5,",
        "2+3=5,5+5=10,",
    ]


def test_right_after_counts_the_given_tokens_and_those_sampled_up_to_the_first_right_answer() -> None:
    engine = ScriptedEngine({"rollout": ["8*8=64\n", "8+8=16\n", "8+8=16\n"]})
    found = engine.drive(monte_carlo(engine.growth(PROBLEM, [WRONG]), 3))
    assert found.right_after == len(WRONG) + 7 + 7
    assert found.num_sampled == 3 * 7
    assert [node.said for node in found.tree] == [0, 1, 2, 2]  # the given one was said again
    assert [node.given for node in found.tree] == [0, 1, 1, 0]


def test_n_ary_gives_every_unfinished_step_exactly_so_many_next_ones() -> None:
    for merge, children in ((False, 3), (True, 8)):
        engine = ScriptedEngine(say=wander)
        growth = engine.growth(LONGER, [FIRST], merge=merge)
        tree = engine.drive(n_ary(growth, children)).tree
        said = [sum(tree.nodes[child].said for child in n.children) for n in tree]
        assert said == [0 if n.is_finished or n.merged_into is not None else children for n in tree]
        assert any(n.merged_into is not None for n in tree) is merge
        assert all("step" in sample.key for sample in engine.asked)


def test_n_ary_takes_what_was_given_as_said() -> None:
    engine = ScriptedEngine({"step": ["8+3=11,", "8*8=64\n", "5+11=16\n", "5*11=55\n"]})
    growth = engine.growth(PROBLEM, [RIGHT])
    tree = engine.drive(n_ary(growth, 2)).tree
    assert [(engine.text_to(s.parent) if s.parent is not None else s.prompt, s.n) for s in engine.asked] == [
        ("3 5 8: 16 =", 1),
        ("3 5 8: 16 =3+5=8,", 1),
        ("3 5 8: 16 =8+3=11,", 2),
    ]
    assert [(tree.text(n.index), n.leaves, n.right) for n in tree][:4] == [
        ("", 4, 2),
        ("3+5=8,", 2, 1),
        (RIGHT, 1, 1),
        ("8+3=11,", 2, 1),
    ]


def test_no_two_requests_of_a_search_share_a_key() -> None:
    engine = ScriptedEngine(say=wander)
    growth = engine.growth(LONGER, [FIRST])
    engine.drive(n_ary(growth, 2))
    engine.drive(n_ary(growth, 3))
    engine.drive(monte_carlo(growth, 1))
    keys = [sample.key for sample in engine.asked]
    assert len(set(keys)) == len(keys) and all(key[0] == "search" for key in keys)
