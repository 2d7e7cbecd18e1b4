"""Tree search at evaluation, beside the two baselines that it must beat: best-of-N and self-consistency.

All three may sample equally many tokens a problem. Search and best-of-N are told by the verifier when an answer is
right. Of each is stored how many tokens, and how many different steps, it took until then, so that one evaluation gives
the accuracy at every smaller budget too. Self-consistency (arXiv 2203.11171) takes the answer that most of the samples
of best-of-N gave, and needs no verifier.

The domain's verifier judges here whatever `judge.source` says, as in every held-out figure: these measure what is true,
pay nothing, and stay comparable between runs. Left out: the evaluation of a search that a model judges.
"""

import math
import time
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any

from roles.judging.verdicts import ByVerifier
from roles.search.growth import Growth, Searched, StepStyle, best_of
from roles.search.mcts import SearchSettings, search
from roles.tree import Tree
from selfplay import metrics
from selfplay.evaluation.formats import SearchedProblem
from store.records import Outcome, Problem

Drive = Callable[[Callable[[Tree], Sequence[Generator[Any, Any, Searched]]]], list[Searched]]


@dataclass(frozen=True, slots=True)
class SearchEvaluation:
    """`settings` has the budget in tokens. With a limit in seconds too, results depend on the machine's speed."""

    settings: SearchSettings
    steps: StepStyle
    merge: bool
    prune: bool

    def measure(self, problems: Sequence[Problem], step: int, drive: Drive) -> tuple[list[Searched], list[Searched]]:
        """(search, best-of-N) of each problem. `drive` runs searches that share a fresh tree of tokens."""
        clock = time.monotonic if self.settings.seconds > 0 else None
        budget = self.settings.token_budget

        def grown(tree: Tree, how: str) -> list[Growth]:
            keys = [("evaluation", how, step, problem.problem_id) for problem in problems]
            return [
                Growth(p, self.steps, tree, key, ByVerifier(p, self.steps.domain), self.merge, self.prune)
                for p, key in zip(problems, keys, strict=True)
            ]

        found = drive(lambda tree: [search(each, self.settings, clock) for each in grown(tree, "search")])
        sampled = drive(lambda tree: [best_of(each, budget) for each in grown(tree, "best of")])
        return found, sampled


def search_accuracies(found: Sequence[Searched], sampled: Sequence[Searched], budget: int) -> dict[str, float]:
    """Accuracies within `budget` tokens a problem, and tokens spent. `found`, `sampled`: search and best-of-N, one each
    for every problem."""
    n = max(1, len(found))
    return {
        metrics.SEARCH_ACC: sum(_within(each, budget) for each in found) / n,
        metrics.BEST_OF_ACC: sum(_within(each, budget) for each in sampled) / n,
        metrics.VOTE_ACC: sum(vote_is_right(each) for each in sampled) / n,
        metrics.SEARCH_TOKENS: sum(each.num_sampled for each in found) / n,
        metrics.BEST_OF_TOKENS: sum(each.num_sampled for each in sampled) / n,
        metrics.BEST_OF_N: sum(_answers(each).total() for each in sampled) / n,
        metrics.SEARCH_REPRODUCIBLE: float(all(each.is_reproducible for each in found)),
    }


def vote_is_right(sampled: Searched) -> bool:
    """Whether the answer that was given most often is right. Of several such answers the first one counts."""
    answers = _answers(sampled)
    if not answers:
        return False
    return max(answers, key=lambda each: answers[each])[1]


def _answers(sampled: Searched) -> "Counter[tuple[str, bool]]":
    """How often each answer was given, with whether it is right."""
    counts: Counter[tuple[str, bool]] = Counter()
    for node in sampled.tree:
        if node.is_finished:
            counts[sampled.tree.text(node.index).strip(), node.outcome is Outcome.CORRECT] += node.said
    return counts


def _within(found: Searched, budget: int) -> bool:
    return found.right_after is not None and found.right_after <= budget


def searched_problem(found: Searched, sampled: Searched) -> SearchedProblem:
    """What an evaluation stores of a problem's two searches."""
    return SearchedProblem(
        _until(found.right_after),
        _until(found.right_after_nodes),
        _until(sampled.right_after),
        _until(sampled.right_after_nodes),
        vote_is_right(sampled),
    )


def _until(number: int | None) -> float:
    return math.inf if number is None else number
