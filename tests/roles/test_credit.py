"""Dense rewards: V by hand, and identities that hold on every tree."""

import math
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scripted_roles import piece

from roles.search.credit import CreditRule, CreditSettings, shrunk, step_advantages, values
from roles.search.step_tree import STEP_ROOT, StepTree, count_answer
from store.records import Outcome

RIGHT, WRONG = Outcome.CORRECT, Outcome.INCORRECT
Answer = tuple[str, Outcome]  # one letter is one step; the last one ends the answer
LOCAL = CreditSettings("monte_carlo")


def grown(answers: Sequence[Answer], merge: bool = False) -> StepTree:
    """The tree of whole answers. With `merge`, unfinished steps after the same letters, in any order, are merged."""
    tree = StepTree(merge)
    tokens: dict[tuple[str, Outcome | None], int] = {}
    for letters, outcome in answers:
        path = [STEP_ROOT]
        for end in range(1, len(letters) + 1):
            verdict = outcome if end == len(letters) else None
            token = tokens.setdefault((letters[:end], verdict), len(tokens))
            node, _ = tree.add(path[-1], piece(token, letters[end - 1], verdict, "".join(sorted(letters[:end]))))
            path.append(node.index)
        count_answer(tree, path, outcome)
    return tree


ANSWERS = st.lists(
    st.tuples(st.text("abc", min_size=1, max_size=4), st.sampled_from([RIGHT, WRONG, Outcome.UNJUDGED])), min_size=1,
    max_size=12,
)  # fmt: skip


def aliased_paths(tree: StepTree, leaf: int) -> list[list[int]]:
    """The path to `leaf`, and those that come to one of its steps by another one that was merged with it."""
    path = tree.path(leaf)
    found = [path]
    for at, index in enumerate(path[:-1]):
        twins = [n.index for n in tree if n.index != index and tree.standing(n.index) is tree.standing(index)]
        found += [[*tree.path(twin), *path[at + 1 :]] for twin in twins]
    return found


@given(ANSWERS, st.booleans(), st.sampled_from([0.0, 0.0, 2.0]))
def test_along_every_path_the_differences_sum_to_the_verdict_less_the_roots_value(
    answers: list[Answer], merge: bool, shrink: float
) -> None:
    tree = grown(answers, merge)
    found = step_advantages(tree, CreditSettings("monte_carlo", shrink=shrink))
    known = values(tree)
    for leaf in tree:
        if leaf.worth is not None:
            for path in aliased_paths(tree, leaf.index):
                assert sum(found[index] for index in path[1:]) == pytest.approx(leaf.worth - known[STEP_ROOT])


def test_the_identity_is_put_to_the_test_on_paths_through_merged_steps() -> None:
    tree = grown([("abc", RIGHT), ("bac", WRONG)], merge=True)
    assert [node.merged_into for node in tree] == [None, None, None, None, None, 2, None]
    assert aliased_paths(tree, 3) == [[0, 1, 2, 3], [0, 4, 5, 3]]


@given(ANSWERS, st.booleans(), st.sampled_from([0.0, 2.0]))
def test_the_advantages_of_siblings_sum_to_zero_by_how_often_each_was_said(
    answers: list[Answer], merge: bool, shrink: float
) -> None:
    tree = grown(answers, merge)
    found = step_advantages(tree, CreditSettings("siblings", shrink=shrink))
    for node in tree:
        assert sum(tree.nodes[child].said * found.get(child, 0.0) for child in node.children) == pytest.approx(0)


@given(ANSWERS)
def test_merged_steps_share_their_value(answers: list[Answer]) -> None:
    tree = grown(answers, merge=True)
    known = values(tree)
    assert all(known.get(node.index) == known.get(tree.standing(node.index).index) for node in tree)


@given(st.lists(st.booleans(), min_size=12, max_size=12))
def test_on_an_evenly_sampled_tree_a_value_is_the_share_of_right_answers_below(verdicts: list[bool]) -> None:
    letters = [a + b + c for a in "ab" for b in "abc" for c in "ab"]
    tree = grown([(said, RIGHT if v else WRONG) for said, v in zip(letters, verdicts, strict=True)])
    known = values(tree)
    assert [node.leaves for node in tree][:2] == [12, 6]
    assert all(known[node.index] == pytest.approx(node.right / node.leaves) for node in tree)


UNEVEN = [("ab", RIGHT), ("ac", WRONG), ("ac", WRONG), ("aa", RIGHT), ("b", RIGHT)]
# a was said 4 times (ab right, ac twice wrong, aa right), b once


def test_values_of_an_uneven_tree_by_hand() -> None:
    tree = grown(UNEVEN)
    tree.add(1, piece(99, "d", RIGHT))  # a search asked once more below a, and not of the problem
    count_answer(tree, [0, 1, 6], RIGHT)
    known = values(tree)
    assert known[1] == pytest.approx((1 + 2 * 0 + 1 + 1) / 5)
    assert known[STEP_ROOT] == pytest.approx((4 * 3 / 5 + 1 * 1) / 5)  # by how often; the share would be 4 / 6


def test_values_and_advantages_of_merged_steps_by_hand() -> None:
    # "ab" and "ba" leave the same: together 1 of 2 right; "aa" is wrong
    tree = grown([("abc", RIGHT), ("bac", WRONG), ("aac", WRONG)], merge=True)
    index = {tree.text(node.index): node.index for node in tree}
    known = values(tree)
    assert known[index["ab"]] == known[index["ba"]] == 0.5
    assert (known[index["a"]], known[index["b"]]) == (0.25, 0.5)
    assert known[STEP_ROOT] == pytest.approx((2 * 0.25 + 0.5) / 3)
    found = step_advantages(tree, CreditSettings("siblings"))
    assert (found[index["abc"]], found[index["bac"]]) == (0.5, -0.5)  # siblings, although said behind different steps
    found = step_advantages(tree, LOCAL)
    assert (found[index["ab"]], found[index["ba"]], found[index["bac"]]) == (0.25, 0.0, -0.5)


@pytest.mark.parametrize(
    ("rule", "of_a", "of_ab"),
    [
        # V: root (4 * 0.5 + 1) / 5 = 0.6, a 0.5, ab 1
        ("monte_carlo", 0.5 - 0.6, 1 - 0.5),
        ("siblings", 0.5 - (4 * 0.5 + 1) / 5, 1 - (1 + 0 + 1) / 4),
        ("tree", 2 * (0.5 - 0.6) + 3 * (0.5 - 0.6), 2 * (1 - 0.5) + 3 * (1 - 0.6) + 5 * (1 - 0.6)),
    ],
)
def test_advantages_by_hand(rule: CreditRule, of_a: float, of_ab: float) -> None:
    found = step_advantages(grown(UNEVEN), CreditSettings(rule, local_weight=2, global_weight=3, outcome_weight=5))
    assert [found[1], found[2]] == pytest.approx([of_a, of_ab])
    assert sorted(found) == [1, 2, 3, 4, 5]  # every step, not the problem


def test_few_answers_are_drawn_towards_the_parents_value_or_the_value_critics() -> None:
    tree = grown(UNEVEN)  # V: root 0.6, a 0.5 from 4 answers
    raw = values(tree)
    drawn = shrunk(tree, raw, 2.0)
    assert drawn[1] == pytest.approx((4 * 0.5 + 2 * 0.6) / 6)
    assert {i: v for i, v in drawn.items() if i != 1} == {i: v for i, v in raw.items() if i != 1}  # root and verdicts
    tree.nodes[1].value = 0.9
    assert shrunk(tree, raw, 2.0)[1] == pytest.approx((4 * 0.5 + 2 * 0.9) / 6)
    assert shrunk(tree, raw, 0.0) == raw


def test_a_shrunk_value_is_what_steps_below_are_drawn_towards_and_merged_ones_share_it() -> None:
    # V: root 2 / 3; a 1/2, ab and ba 1 from 2 answers (1 + 1); aa 0
    tree = grown([("abc", RIGHT), ("bac", RIGHT), ("aac", WRONG)], merge=True)
    index = {tree.text(node.index): node.index for node in tree}
    drawn = shrunk(tree, values(tree), 1.0)
    of_a = (2 * 0.5 + 2 / 3) / 3
    assert drawn[index["a"]] == pytest.approx(of_a)
    assert drawn[index["ab"]] == drawn[index["ba"]] == pytest.approx((2 * 1 + of_a) / 3)
    assert drawn[index["aa"]] == pytest.approx(of_a / 2)


def test_a_step_within_the_noise_is_worth_nothing_and_verdicts_have_no_noise() -> None:
    # a: V 0.5 from 4 answers, so a standard error of 0.25; A(a) = 0.5 - 0.6
    at = 0.1 / math.sqrt(0.5 * 0.5 / 4)
    for floor, expected in ((0.0, -0.1), (at - 0.01, -0.1), (at + 0.01, 0.0), (100.0, 0.0)):
        found = step_advantages(grown(UNEVEN), CreditSettings("monte_carlo", noise_floor=floor))
        assert found[1] == pytest.approx(expected)
        assert (found[2], found[3]) == (0.5, -0.5)


def test_the_noise_of_a_merged_step_is_that_of_all_answers_below_where_it_stands() -> None:
    # ba has one answer of its own, but shares four with ab, of which two are right
    answers = [("abc", RIGHT), ("aba", WRONG), ("abb", RIGHT), ("bac", WRONG), ("bbc", RIGHT)]
    tree = grown(answers, merge=True)
    index = {tree.text(node.index): node.index for node in tree}
    assert (tree.nodes[index["ba"]].leaves, tree.nodes[index["ab"]].leaves) == (1, 4)
    # V(b) = (0.5 + 1) / 2, A(ba) = -0.25: one standard error of 4 answers, half of one of a single answer
    found = step_advantages(tree, CreditSettings("monte_carlo", noise_floor=0.9))
    assert found[index["ba"]] == pytest.approx(-0.25)


def test_answers_that_nobody_could_judge_count_nowhere() -> None:
    unjudged = [("ad", Outcome.UNJUDGED), ("cb", Outcome.UNJUDGED), ("d", Outcome.UNJUDGED)]
    plain, with_them = grown([("ab", RIGHT), ("ac", WRONG)]), grown([("ab", RIGHT), ("ac", WRONG), *unjudged])
    assert values(with_them) == values(plain) == {0: 0.5, 1: 0.5, 2: 1.0, 3: 0.0}
    assert step_advantages(with_them, LOCAL) == step_advantages(plain, LOCAL)
    assert values(grown(unjudged)) == step_advantages(grown(unjudged), LOCAL) == {}
