"""The token tree: sharing, merging, and the depth-first walk that makes ancestry a comparison."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from roles.tree import CONTEXT, ROOT, Tree, depth_first, with_ancestors


def test_prompts_that_begin_alike_share_their_beginning() -> None:
    tree = Tree()
    one = tree.extend(ROOT, [5, 6, 7])
    two = tree.extend(ROOT, [5, 6, 8])
    assert len(tree) == 4
    assert [tree.tokens[n] for n in tree.path(one)] == [5, 6, 7]
    assert [tree.tokens[n] for n in tree.path(two)] == [5, 6, 8]
    assert [tree.depths[n] for n in tree.path(two)] == [0, 1, 2]


def test_identical_completions_end_on_one_node() -> None:
    tree = Tree()
    prompt = tree.extend(ROOT, [1])
    first = tree.sampled(prompt, [7, 8], [-0.5, -0.1], "solver/0")
    again = tree.sampled(prompt, [7, 8], [-0.5, -0.1], "solver/0")
    other = tree.sampled(prompt, [7, 9], [-0.5, -2.0], "solver/0")
    assert first == again != other
    assert len(tree) == 4
    assert tree.parents[first] == tree.parents[other]


def test_without_merging_every_completion_has_nodes_of_its_own() -> None:
    tree = Tree(merge=False)
    prompt = tree.extend(ROOT, [1])
    nodes = [tree.sampled(prompt, [7, 8], [-0.5, -0.1], "solver/0") for _ in range(3)]
    assert len(set(nodes)) == 3
    assert len(tree) == 7
    assert [tree.tokens[n] for n in tree.path(nodes[2])] == [1, 7, 8]


def test_a_given_token_and_a_sampled_one_are_not_the_same_node() -> None:
    tree = Tree()
    prompt = tree.extend(ROOT, [1])
    said = tree.sampled(prompt, [7], [-0.5], "solver/0")
    given_token = tree.extend(prompt, [7])
    assert said != given_token
    assert (tree.labels[said], tree.labels[given_token]) == ("solver/0", CONTEXT)


def test_tail_is_the_end_of_the_path() -> None:
    tree = Tree()
    end = tree.sampled(tree.extend(ROOT, [1, 2]), [3, 4], [-1.0, -1.0], "solver/0")
    assert [tree.tokens[n] for n in tree.tail(end, 2)] == [3, 4]


@st.composite
def forests(draw: st.DrawFn) -> tuple[list[int], list[int]]:
    """The parents of a forest, and some of its nodes, ascending."""
    size = draw(st.integers(1, 30))
    parents = [draw(st.integers(ROOT, i - 1)) for i in range(size)]
    return parents, sorted(draw(st.sets(st.integers(0, size - 1))))


def path(parents: list[int], node: int) -> list[int]:
    """From `node` up."""
    return [node, *(path(parents, parents[node]) if parents[node] != ROOT else [])]


@given(forests())
def test_ancestors_are_all_that_the_paths_pass(forest: tuple[list[int], list[int]]) -> None:
    parents, nodes = forest
    assert with_ancestors(parents, nodes) == {passed for node in nodes for passed in path(parents, node)}


def test_a_walk_ends_at_what_is_known_and_nodes_are_found_though_known() -> None:
    parents = [ROOT, 0, 1, 2, 1]
    assert with_ancestors(parents, [3, 4], known={1}) == {2, 3, 4}
    assert with_ancestors(parents, [1], known={1}) == {0, 1}


@given(forests())
def test_depth_first_keeps_each_subtree_in_one_piece(forest: tuple[list[int], list[int]]) -> None:
    parents, nodes = forest
    order = depth_first(parents, nodes)
    assert sorted(order) == nodes
    for start, node in enumerate(order):
        below = {node}
        for other in nodes:  # ascending, so its parent was looked at before
            if parents[other] in below:
                below.add(other)
        assert set(order[start : start + len(below)]) == below


def test_depth_first_of_nodes_without_their_parents() -> None:
    assert depth_first([ROOT, 0, 1, 0, 2], [1, 3, 4]) == [1, 3, 4]
    assert depth_first([ROOT, 0, 1, 0, 2], [0, 1, 2, 3, 4]) == [0, 1, 2, 4, 3]


def test_arrays_copy_without_pinning_the_tree() -> None:
    tree = Tree()
    tree.extend(ROOT, [1, 2])
    copy = np.array(tree.parents)
    tree.extend(ROOT, [3])  # would raise BufferError if the copy were a view
    assert copy.tolist() == [-1, 0]
    with pytest.raises(ValueError):
        tree.sampled(0, [1, 2], [-0.1], "x")
