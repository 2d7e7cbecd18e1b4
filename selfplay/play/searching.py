"""The judge's search in the loop: which problems are searched, and how.

A search begins with the attempts that the step has sampled anyway, and goes on from their steps. What is learned from
its trees: selfplay/learn/dense.py and critic_batch.py. Pass rates are of the attempts alone: answers that a search has
chosen say nothing of what the policy can do.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from roles.judging.groups import JudgedGroup
from roles.judging.verdicts import Judging
from roles.search.critics import score_rest
from roles.search.growth import Growing, Growth, StepStyle, monte_carlo, n_ary
from roles.search.mcts import SearchSettings, search
from roles.tree import Tree

Method = Literal["mcts", "monte_carlo", "n_ary"]


@dataclass(frozen=True, slots=True)
class Searcher:
    """`band`: (low, high) pass rates of the groups that are searched. `judging`: who judges what is found."""

    method: Method
    settings: SearchSettings
    steps: StepStyle
    band: tuple[float, float]
    merge: bool
    prune: bool
    judging: Callable[[JudgedGroup], Judging]

    def wants(self, group: JudgedGroup) -> bool:
        """Whether the group's measured pass rate lies in the band; no group that nobody could judge does, and none with
        help: a search begins at the bare problem."""
        rate = group.first_try_rate
        return group.help is None and rate is not None and self.band[0] <= rate <= self.band[1]

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
