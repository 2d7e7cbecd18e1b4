"""The critics of a partial answer: what is asked, what is made of the replies, and what the heads are to learn."""

import pytest
from scripted_roles import DOMAIN, ScriptedEngine, countdown, piece, step_style, unjudgeable

from roles.prompts import Messages, PromptStyle
from roles.requests import Score, Scored
from roles.search.critics import CriticWeights, critic_targets, node_score, questions, take_scores
from roles.search.growth import StepStyle
from roles.search.step_tree import StepNode, StepTree, count_answer
from store.records import Outcome

PROBLEM = countdown("3 5 8: 16")
RIGHT, OTHER, WRONG = "3+5=8,8+8=16\n", "8+3=11,5+11=16\n", "3+5=8,8*8=64\n"
HEADS, WORDS = CriticWeights(value=1, process=1), CriticWeights(process=1, process_from="words")


def asked_of_first_step(weights: CriticWeights, style: PromptStyle | None = None) -> tuple[int, list[Score]]:
    """The token node of "3+5=8," and what is asked about it."""
    growth = ScriptedEngine().growth(PROBLEM, [RIGHT])
    node = growth.tree.nodes[1]
    steps = growth.steps if style is None else StepStyle(style, growth.steps.params, frozenset(), growth.steps.decode)
    assert node.piece is not None
    return node.piece.last_token, questions(weights, steps, PROBLEM, growth.tree, node)


@pytest.mark.parametrize(
    ("value", "process", "outcome", "score"),
    [
        (0.2, 0.8, 1.0, (1 * 0.2 + 2 * 0.8 + 5 * 1.0) / 8),
        (None, 0.8, 1.0, (2 * 0.8 + 5 * 1.0) / 7),
        (0.2, None, 0.0, (1 * 0.2 + 5 * 0.0) / 6),
        (0.2, 0.8, None, (1 * 0.2 + 2 * 0.8) / 3),
        (None, None, 0.25, 0.25),
        (None, None, None, 0.5),
    ],
)
def test_a_score_is_the_weighted_mean_of_the_critics_that_have_spoken(
    value: float | None, process: float | None, outcome: float | None, score: float
) -> None:
    node = StepNode(1, 0, piece(10), value=value, process=process)
    assert node_score(CriticWeights(1, 2, 5), node, outcome) == pytest.approx(score)


def test_a_critic_of_weight_zero_is_not_heard() -> None:
    node = StepNode(1, 0, piece(10), value=0.1, process=0.9)
    assert node_score(CriticWeights(0, 0, 1), node, 0.75) == 0.75
    assert node_score(CriticWeights(0, 0, 1), node, None) == 0.5
    assert node_score(CriticWeights(0, 3, 0), node, 0.75) == 0.9


def test_rollouts_alone_need_no_question() -> None:
    assert asked_of_first_step(CriticWeights())[1] == [] and not CriticWeights().ask


@pytest.mark.parametrize("weights", [CriticWeights(value=1), CriticWeights(process=1), HEADS])
def test_the_heads_are_asked_at_the_steps_last_token(weights: CriticWeights) -> None:
    token, asked = asked_of_first_step(weights)
    assert asked == [Score(token)]


def test_the_process_critic_in_words_is_asked_for_one_or_nought_behind_the_unfinished_answer() -> None:
    token, asked = asked_of_first_step(WORDS)
    assert asked == [Score(token), Score(token, "\nRight: ", ("1", "0"))]
    assert asked_of_first_step(CriticWeights(value=1, process_from="words"))[1] == [Score(token)]


def test_in_a_chat_the_unfinished_turn_is_closed_before_the_question() -> None:
    def render(messages: Messages) -> str:
        return "".join(f"<{role}>{content}" for role, content in messages)

    style = PromptStyle(step_style().domain, render=render, end_of_turn="<end>", next_turn=lambda said: f"<user>{said}")
    _, (_, words) = asked_of_first_step(WORDS, style)
    assert words.prompt.startswith("<end><user>Is your answer right?")


def test_scores_of_the_heads_and_in_words_are_written_down() -> None:
    node = StepNode(1, 0, piece(10))
    take_scores(node, [Scored(value=0.3, process=0.6)])
    assert (node.value, node.process) == (0.3, 0.6)
    take_scores(node, [Scored(value=0.4, process=0.7), Scored((0.3, 0.1))])
    assert node.value == 0.4
    assert node.process == pytest.approx(0.75)  # 0.3 of 0.3 + 0.1: what is neither is left out
    take_scores(node, [Scored(), Scored((0.0, 0.0))])  # no heads, and no word on it
    assert node_score(HEADS, node, None) == 0.5 and {node.value, node.process} == {None}


def test_the_heads_learn_values_with_the_answers_below_as_weights() -> None:
    growth = ScriptedEngine().growth(PROBLEM, [RIGHT, WRONG, RIGHT, OTHER, "8*8=64,3*5=15\n"])
    token = {growth.tree.text(n.index): n.piece.last_token for n in growth.tree if n.piece is not None}
    assert critic_targets(growth.tree, 0.5) == {
        token["3+5=8,"]: ((pytest.approx(2 / 3), 3.0), (1.0, 3.0)),
        token["8+3=11,"]: ((1.0, 1.0), (1.0, 1.0)),
        token["8*8=64,"]: ((0.0, 1.0), (0.0, 1.0)),
    }
    [first, *_] = critic_targets(growth.tree, 2 / 3).values()
    assert first[1] == (0.0, 3.0)  # at the threshold is not above it


def test_steps_without_a_judged_answer_below_teach_the_heads_nothing() -> None:
    tree = StepTree()
    tree.add(0, piece(10))
    tree.add(1, piece(20, outcome=Outcome.UNJUDGED))
    count_answer(tree, [0, 1, 2], Outcome.UNJUDGED)
    assert critic_targets(tree, 0.5) == {}
    growth = ScriptedEngine().growth(unjudgeable(), [" 7\n"], step_style(domain=DOMAIN))
    assert critic_targets(growth.tree, 0.5) == {}


def test_a_merged_step_learns_the_value_it_shares_with_its_own_answers_as_weight() -> None:
    growth = ScriptedEngine().growth(PROBLEM, [RIGHT, WRONG, "5+3=8,8+8=16\n"], merge=True)
    merged = next(node for node in growth.tree if node.merged_into is not None)
    assert merged.piece is not None and growth.tree.text(merged.index) == "5+3=8,"
    targets = critic_targets(growth.tree, 0.5)
    (value, weight), process = targets[merged.piece.last_token]
    assert value == pytest.approx(2 / 3) and weight == 1.0 and process == (1.0, 1.0)
    assert [weights[0][1] for weights in targets.values()] == [3.0, 1.0]
