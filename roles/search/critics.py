"""Three critics of a partial answer, after AlphaLLM (arXiv 2404.12253), and the score that they make together.

    value    the value head: which share of the answers that go on from here is right
    process  the process critic: whether the last step is a good one
    outcome  the share of the rollouts from here that were right

The heads are trained beside the policy (selfplay/train/critic.py). With `process_from` "words" the model itself is
asked about the step, for 1 or 0. AlphaLLM sums the three; here the score is their weighted mean, so that it stays in
[0, 1]. A step that ends an answer is worth its verdict (roles/judging/verdicts.py), and no critic is asked about it.
"""

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from roles.requests import Score, Scored
from roles.search.credit import values
from roles.search.growth import Growth, StepStyle
from roles.search.step_tree import StepNode, StepTree
from store.records import Completion, Finish, Problem

HEADS = ("value", "process")
ProcessSource = Literal["head", "words"]  # what scores a step: a head on hidden states, or the model asked in words
CHOICES = ("1", "0")


@dataclass(frozen=True, slots=True)
class CriticWeights:
    """The critics' weights, each >= 0. A critic without a score of a node is left out of the node's mean."""

    value: float = 0.0
    process: float = 0.0
    outcome: float = 1.0
    process_from: ProcessSource = "head"

    @property
    def ask(self) -> bool:
        """Whether the critics have to be asked at all; outcomes are known without asking."""
        return self.value > 0 or self.process > 0


def questions(
    weights: CriticWeights, steps: StepStyle, problem: Problem, tree: StepTree, node: StepNode
) -> list[Score]:
    """The questions about a step that ends no answer: to the heads, and to the model where `process_from` says so."""
    assert node.piece is not None
    found = [Score(node.piece.last_token)] if weights.ask else []
    if weights.process > 0 and weights.process_from == "words":
        said = Completion((), (), tree.text(node.index), Finish.LENGTH, 0, 0)  # it did not end itself
        prompt = steps.style.report("self_evaluation", said) + " "
        found.append(Score(node.piece.last_token, prompt, CHOICES))
    return found


def take_scores(node: StepNode, scored: Sequence[Scored]) -> None:
    """Store the answers to `questions` in their node."""
    for each in scored:
        if each.choices:
            good, bad = each.choices
            node.process = good / (good + bad) if good + bad > 0 else None
        else:
            node.value, node.process = each.value, each.process


def score_rest(growth: Growth, weights: CriticWeights) -> Generator[list[Any], list[Any], None]:
    """Ask about each unfinished step that the search did not ask about, so that all have the critics' scores."""
    tree = growth.tree
    open_ones = [node for node in tree if node.piece and not node.is_finished and node.merged_into is None]
    silent = [node for node in open_ones if node.value is None and node.process is None]
    asked = [questions(weights, growth.steps, growth.problem, tree, node) for node in silent]
    requests = [question for each in asked for question in each]
    answers = iter((yield requests) if requests else [])
    for node, each in zip(silent, asked, strict=True):
        take_scores(node, [next(answers) for _ in each])


def node_score(weights: CriticWeights, node: StepNode, outcome: float | None) -> float:
    """The weighted mean of the critics that have a score of the node, in [0, 1]; 0.5 where none has.

    `outcome`: the share of the node's rollouts that were right; None without any.
    """
    heard = [
        (weight, said)
        for weight, said in ((weights.value, node.value), (weights.process, node.process), (weights.outcome, outcome))
        if said is not None and weight > 0
    ]
    total = sum(weight for weight, _ in heard)
    return sum(weight * said for weight, said in heard) / total if total else 0.5


def critic_targets(tree: StepTree, process_threshold: float) -> Mapping[int, tuple[tuple[float, float], ...]]:
    """Last token of a step -> ((target, weight) of the value head, (target, weight) of the process head).

    The value head's target is V of the step (roles/search/credit.py), the process head's 1 where V is above
    `process_threshold`, else 0. The weight is the number of finished answers below the step. Steps that end an answer,
    or have none below, are left out.
    """
    found = {}
    known = values(tree)
    for node in tree:
        if node.piece is None or node.is_finished or not node.leaves:
            continue
        value = known[node.index]
        weight = float(node.leaves)
        found[node.piece.last_token] = ((value, weight), (float(value > process_threshold), weight))
    return found
