"""The tree of steps: what shares a node, what is merged, and what counts above a step."""

from scripted_roles import piece

from roles.search.step_tree import STEP_ROOT, StepTree, back_up, count_answer
from store.records import Outcome

RIGHT, WRONG = Outcome.CORRECT, Outcome.INCORRECT


def diamond() -> StepTree:
    """Two orders of the same work, and one step behind each: 0 - 1 "a," - 2 "bb,", 0 - 3 "ccc,", merged into 1, - 4."""
    tree = StepTree(merge=True)
    tree.add(STEP_ROOT, piece(10, "a,", state="8 8"))
    tree.add(1, piece(20, "bb,", state="16"))
    tree.add(STEP_ROOT, piece(30, "ccc,", state="8 8"))
    tree.add(3, piece(40, "dddd\n", WRONG))
    return tree


def test_a_step_said_again_is_the_same_node_and_counts_twice() -> None:
    tree = StepTree()
    first, is_new = tree.add(STEP_ROOT, piece(10))
    again, is_new_again = tree.add(STEP_ROOT, piece(10))
    assert (is_new, is_new_again) == (True, False)
    assert again is first and first.said == 2 and tree.nodes[STEP_ROOT].children == [1] and len(tree) == 2


def test_a_node_knows_its_depth_its_tokens_and_its_text_from_the_root_on() -> None:
    tree = StepTree()
    tree.add(STEP_ROOT, piece(10, "3+5=8,"))
    tree.add(1, piece(20, "8+8=16\n", RIGHT))
    assert [(n.index, n.parent, n.depth, n.tokens_above) for n in tree] == [(0, -1, 0, 0), (1, 0, 1, 6), (2, 1, 2, 13)]
    assert (tree.path(2), tree.text(2), tree.text(STEP_ROOT)) == ([0, 1, 2], "3+5=8,8+8=16\n", "")


def test_only_a_finished_and_judged_step_is_worth_something() -> None:
    tree = StepTree()
    for token, outcome in enumerate([None, *Outcome]):
        tree.add(STEP_ROOT, piece(token, outcome=outcome))
    assert {node.outcome: node.worth for node in tree} == {
        None: None,
        Outcome.CORRECT: 1.0,
        Outcome.INCORRECT: 0.0,
        Outcome.UNPARSED: 0.0,
        Outcome.TRUNCATED: 0.0,
        Outcome.UNJUDGED: None,
    }
    assert [node.is_finished for node in tree] == [False, False, True, True, True, True, True]


def test_steps_that_leave_the_same_are_merged_at_equal_depth_only() -> None:
    tree = StepTree(merge=True)
    tree.add(STEP_ROOT, piece(10, state="8 8"))
    tree.add(STEP_ROOT, piece(11, state="8 8"))
    tree.add(1, piece(12, state="8 8"))  # deeper
    tree.add(STEP_ROOT, piece(13, state="3 5"))
    tree.add(STEP_ROOT, piece(14, outcome=WRONG, state="8 8"))  # finished
    tree.add(STEP_ROOT, piece(15))
    tree.add(STEP_ROOT, piece(16))  # not known what they leave
    tree.add(STEP_ROOT, piece(17, state="8 8"))
    assert [node.merged_into for node in tree] == [None, None, 1, None, None, None, None, None, 1]
    assert [tree.standing(index).index for index in (1, 2, 8)] == [1, 1, 1]


def test_nothing_is_merged_unless_asked_for() -> None:
    tree = StepTree()
    tree.add(STEP_ROOT, piece(10, state="8 8"))
    tree.add(STEP_ROOT, piece(11, state="8 8"))
    assert [node.merged_into for node in tree] == [None, None, None]


def test_what_is_said_below_a_merged_step_hangs_where_that_stands_and_keeps_its_own_words() -> None:
    tree = diamond()
    assert [node.merged_into for node in tree] == [None, None, None, 1, None]
    assert (tree.nodes[1].children, tree.nodes[3].children) == ([2, 4], [])
    assert (tree.nodes[4].parent, tree.path(4), tree.text(4)) == (3, [0, 3, 4], "ccc,dddd\n")
    assert (tree.nodes[4].depth, tree.nodes[4].tokens_above) == (2, 9)  # 4 + 5 tokens, not 2 + 5


def test_a_visit_to_a_merged_step_is_one_where_it_stands_too() -> None:
    tree = diamond()
    back_up(tree, [0, 1, 2], 1.0)
    back_up(tree, [0, 3, 4], 0.0)
    back_up(tree, [0, 3], 0.5)
    assert [(n.visits, n.value_sum) for n in tree] == [(3, 1.5), (3, 1.5), (1, 1.0), (2, 0.5), (1, 0.0)]
    assert [tree.nodes[i].mean for i in (0, 2, 3)] == [0.5, 1.0, 0.25]


def test_the_mean_of_what_was_never_visited_is_a_half() -> None:
    assert StepTree().nodes[STEP_ROOT].mean == 0.5


def test_answers_count_for_every_step_above_them_and_where_it_stands() -> None:
    tree = diamond()
    tree.add(2, piece(50, outcome=RIGHT))
    for path, outcome in (([0, 1, 2, 5], RIGHT), ([0, 3, 2, 5], RIGHT), ([0, 3, 4], WRONG)):
        count_answer(tree, path, outcome)
    assert [(n.leaves, n.right) for n in tree] == [(3, 2), (3, 2), (2, 2), (2, 1), (1, 0), (2, 2)]


def test_an_answer_that_nobody_could_judge_counts_nowhere() -> None:
    tree = diamond()
    count_answer(tree, [0, 3, 4], Outcome.UNJUDGED)
    assert [(n.leaves, n.right) for n in tree] == [(0, 0)] * 5
