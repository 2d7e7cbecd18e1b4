"""The judge's search in the loop: which problems are searched, how, and what is learned from their trees.

A search begins with the attempts that the step has sampled anyway, and goes on from their steps. What it finds gives
dense rewards (roles/search/credit.py), targets for the critic heads, the best answer of a problem to copy, and rows of
the store. Pass rates are of the attempts alone: answers that a search has chosen say nothing of what the policy can do.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Literal

from roles.judging.groups import JudgedGroup
from roles.judging.verdicts import Judging
from roles.search.critics import critic_targets, score_rest
from roles.search.growth import Growing, Growth, Searched, StepStyle, monte_carlo, n_ary
from roles.search.mcts import SearchSettings, search
from roles.tree import Tree

Method = Literal["mcts", "monte_carlo", "n_ary"]
HASH_DIGITS = 8  # of a problem's id: enough to tell a share by


@dataclass(frozen=True, slots=True)
class Searcher:
    """`band`: (low, high) pass rates of the groups that are searched. `held_out`: share of problems that the critic
    heads are measured on and not trained on. `judging`: who judges what the search of a group finds."""

    method: Method
    settings: SearchSettings
    steps: StepStyle
    band: tuple[float, float]
    merge: bool
    prune: bool
    process_threshold: float
    held_out: float
    judging: Callable[[JudgedGroup], Judging]

    def wants(self, group: JudgedGroup) -> bool:
        """Whether the group's measured pass rate lies in the band; no group that nobody could judge does."""
        rate = group.first_try_rate
        return rate is not None and self.band[0] <= rate <= self.band[1]

    def role(self, group: JudgedGroup, tree: Tree, step: int) -> Growing:
        """The search for one group, to be driven by a rollout."""
        problem = group.problem
        key = ("search", step, problem.problem_id)
        growth = Growth(problem, self.steps, tree, key, self.judging(group), self.merge, self.prune)
        yield from growth.take([attempt.turns[0].sampled for attempt in group.first_tries])
        found = yield from self._grow(growth)
        yield from score_rest(growth, self.settings.weights)
        return found

    def _grow(self, growth: Growth) -> Growing:
        match self.method:
            case "mcts":
                return search(growth, self.settings)
            case "monte_carlo":
                return monte_carlo(growth, self.settings.rollouts)
            case "n_ary":
                return n_ary(growth, self.settings.min_children)

    def is_held_out(self, problem_id: str) -> bool:
        """Whether the critic heads are kept from the problem."""
        return int(problem_id[:HASH_DIGITS], 16) < self.held_out * 16**HASH_DIGITS

    def critic_rows(self, searched: Collection[Searched]) -> dict[int, tuple[tuple[float, float], ...]]:
        """Token node -> (target, weight) of each head, of all problems that are not held out."""
        rows: dict[int, tuple[tuple[float, float], ...]] = {}
        for each in searched:
            if not self.is_held_out(each.problem.problem_id):
                rows |= critic_targets(each.tree, self.process_threshold)
        return rows
