"""What the loop makes of searched trees: who is searched, what is paid and copied, what is measured."""

import hashlib

import pytest
from scripted_roles import ScriptedEngine, countdown, wander

from roles.search.credit import CreditSettings, step_advantages
from roles.search.growth import Searched, monte_carlo
from roles.search.mcts import SearchSettings, search
from roles.search.step_tree import STEP_ROOT
from selfplay.evaluation.search import search_accuracies, vote_is_right
from selfplay.learn.critic_batch import CriticTeaching
from selfplay.learn.dense import best_path, credited
from selfplay.run.figures import critic_calibration
from selfplay.run.record import search_nodes
from store.records import Outcome

PROBLEM = countdown("3 5 8: 16")
RIGHT, WRONG, SLIP = "3+5=8,8+8=16\n", "3+5=8,8*8=64\n", "3*5=15,15+8=23\n"
LOCAL = CreditSettings("monte_carlo")


def grown(given: list[str], tokens: int = 0) -> Searched:
    """The tree of given answers, with a short search below them where `tokens` are to be sampled."""
    engine = ScriptedEngine(say=wander)
    growth = engine.growth(PROBLEM, given)
    return (
        engine.drive(search(growth, SearchSettings(node_budget=8, token_budget=tokens))) if tokens else growth.result()
    )


def critics(held_out: float) -> CriticTeaching:
    return CriticTeaching(held_out, 0.0, has_heads=True)


def test_a_step_is_paid_once_for_each_time_that_it_was_said() -> None:
    found = grown([RIGHT, RIGHT, WRONG, SLIP])
    samples = credited(found, LOCAL, is_banked=False, kl_labels=())
    paid = sorted((round(s.advantage, 4), s.num_tokens) for s in samples)
    # V: 1/2 of the problem, 2/3 behind 3+5=8, 0 behind 3*5=15; each of its four answers has two steps
    first, last = len("3+5=8,"), len("8+8=16\n")
    assert paid == sorted(
        [(0.1667, first)] * 3 + [(0.3333, last)] * 2 + [(-0.6667, last)] + [(-0.5, len("3*5=15,"))]
        + [(0.0, len("15+8=23\n"))]
    )  # fmt: skip
    assert all(sample.is_kept for sample in samples)


def test_monte_carlo_trains_the_attempts_and_not_what_measured_them() -> None:
    engine = ScriptedEngine(say=wander)
    growth = engine.growth(PROBLEM, [RIGHT, SLIP])
    found = engine.drive(monte_carlo(growth, 3))
    assert len(found.tree) > 5  # rollouts are in the tree
    said = credited(found, LOCAL, is_banked=False, kl_labels=())
    everything = credited(found, CreditSettings("tree"), is_banked=False, kl_labels=())
    assert len(said) == 4 and sum(s.num_tokens for s in said) == len(RIGHT) + len(SLIP)
    assert len(everything) == sum(node.said for node in found.tree) > 4


def test_what_is_banked_or_all_alike_teaches_nothing() -> None:
    assert credited(grown([RIGHT, WRONG]), LOCAL, is_banked=True, kl_labels=()) == []
    assert credited(grown([SLIP, WRONG]), LOCAL, is_banked=False, kl_labels=()) == []
    held = credited(grown([SLIP, WRONG]), LOCAL, is_banked=False, kl_labels=("solver/0",))
    assert len(held) == 4 and not any(sample.is_kept or sample.advantage for sample in held)


def test_the_best_path_is_a_right_answer_whole_or_nothing() -> None:
    (copied,) = best_path(grown([WRONG, RIGHT, SLIP]))
    assert (copied.num_tokens, copied.advantage) == (len(RIGHT), 1.0)
    assert best_path(grown([WRONG, SLIP])) == []


def test_the_share_of_problems_that_heads_are_kept_from_is_the_one_asked_for() -> None:
    ids = [hashlib.sha256(str(i).encode()).hexdigest()[:16] for i in range(4000)]
    for share in (0.0, 0.25, 0.9):
        kept_from = [critics(share).is_held_out(problem_id) for problem_id in ids]
        assert sum(kept_from) / len(ids) == pytest.approx(share, abs=0.02)


def test_the_store_gets_the_tree_as_it_is() -> None:
    found = grown([RIGHT, SLIP], tokens=60)
    nodes = search_nodes(found, 3, LOCAL)
    advantages = step_advantages(found.tree, LOCAL)
    assert [node.node for node in nodes] == list(range(len(found.tree))) and nodes[STEP_ROOT].parent is None
    for node, own in zip(nodes[1:], list(found.tree)[1:], strict=True):
        assert own.piece is not None
        assert (node.text, node.visits, node.leaves, node.outcome) == (
            own.piece.text, own.visits, own.leaves, own.outcome
        )  # fmt: skip
        assert node.advantage == advantages.get(own.index) and node.policy_version == 3
    assert {node.outcome for node in nodes} >= {None, Outcome.CORRECT}


def test_calibration_puts_what_was_said_of_a_step_against_every_verdict_below_it() -> None:
    found = grown([RIGHT, RIGHT, WRONG, SLIP])
    tree = found.tree
    good, bad = (next(n for n in tree if n.piece and n.piece.text == text) for text in ("3+5=8,", "3*5=15,"))
    good.value, bad.value = 0.75, 0.25
    metrics = critic_calibration([tree])
    # 3/4 was said of right, right, wrong; 1/4 of wrong
    assert metrics["critic/value_n"] == 4 and metrics["critic/value_auroc"] == pytest.approx((2 * 0.5 + 2) / 4)
    assert metrics["critic/value_brier"] == pytest.approx((2 * 0.25**2 + 0.75**2 + 0.25**2) / 4)
    assert not any(name.startswith("critic/process") for name in metrics)


def test_an_evaluation_counts_what_came_within_the_budget_and_the_vote() -> None:
    late, never = grown([WRONG, SLIP, RIGHT]), grown([WRONG, WRONG, SLIP])
    spent = len(WRONG) + len(SLIP) + len(RIGHT)
    assert (late.right_after, never.right_after) == (spent, None)
    found = search_accuracies([late, never], [late, never], spent)
    assert (found["search_acc"], found["best_of_acc"], found["best_of_n"]) == (0.5, 0.5, 3.0)
    assert search_accuracies([late, never], [late, never], spent - 1)["search_acc"] == 0.0
    assert vote_is_right(grown([RIGHT, WRONG, RIGHT])) and not vote_is_right(grown([WRONG, WRONG, RIGHT]))
    assert not vote_is_right(grown([]))
