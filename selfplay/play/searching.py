"""The judge's search in the loop: which problems are searched, how, and what is learned from their trees.

A search begins with the attempts that the step has sampled anyway, and goes on from their steps. What it finds gives
dense rewards (roles/search/credit.py), targets for the critic heads, the best answer of a problem to copy, and rows of
the store. Pass rates are of the attempts alone: answers that a search has chosen say nothing of what the policy can do.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from roles.judging.groups import JudgedGroup
from roles.judging.verdicts import Judging
from roles.prompts import PromptStyle
from roles.search.credit import CreditSettings, step_advantages
from roles.search.critics import HEADS, critic_targets, score_rest
from roles.search.growth import LABEL, Growing, Growth, Searched, StepStyle, monte_carlo, n_ary
from roles.search.mcts import SearchSettings, search
from roles.search.step_tree import ROOT, StepTree
from roles.tree import Tree
from selfplay.learn.batch import TrainSample
from selfplay.learn.lessons import share
from selfplay.stats.calibration import calibration_metrics
from store.records import Outcome, SearchNode

Method = Literal["mcts", "monte_carlo", "n_ary"]
HASH_DIGITS = 8  # of a problem's id: enough to tell a share by


@dataclass(frozen=True, slots=True)
class Searcher:
    """`band`: (low, high) pass rates of the groups that are searched. `held_out`: share of problems that the critic
    heads are measured on and not trained on. `credit` None: first tries are paid for the whole answer. `judging`: who
    judges what the search of a group finds."""

    method: Method
    settings: SearchSettings
    steps: StepStyle
    band: tuple[float, float]
    merge: bool
    prune: bool
    credit: CreditSettings | None
    process_threshold: float
    held_out: float
    judging: Callable[[JudgedGroup], Judging]

    def wants(self, group: JudgedGroup) -> bool:
        """Whether the group's measured pass rate lies in the band; no group that nobody could judge does."""
        right = [attempt.turns[0].is_right for attempt in group.first_tries]
        return bool(right) and self.band[0] <= sum(right) / len(right) <= self.band[1]

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


def credited(found: Searched, credit: CreditSettings, is_banked: bool, held: Collection[str]) -> list[TrainSample]:
    """Each step with its own advantage, once for each time that it was sampled.

    VinePPO's rollouts only measure: with `monte_carlo` the steps of the attempts alone are trained.
    """
    advantages = step_advantages(found.tree, credit)
    is_kept = any(advantages.values()) and not is_banked
    if not is_kept and LABEL not in held:
        return []
    samples = []
    for index, advantage in advantages.items():
        node = found.tree.nodes[index]
        assert node.piece is not None
        sample = TrainSample(LABEL, node.piece.node, node.piece.num_tokens, advantage if is_kept else 0.0, is_kept)
        samples += [sample] * (node.given if credit.rule == "monte_carlo" else node.said)
    return samples


def best_path(found: Searched) -> list[TrainSample]:
    """The best right answer, to be copied whole; nothing where the search found none (AlphaLLM, arXiv 2404.12253)."""
    if found.best is None or found.tree.nodes[found.best].outcome is not Outcome.CORRECT:
        return []
    node = found.tree.nodes[found.best]
    assert node.piece is not None
    return [TrainSample(LABEL, node.piece.node, node.tokens_above, 1.0)]


def search_nodes(found: Searched, version: int, credit: CreditSettings | None) -> list[SearchNode]:
    """The tree for the store."""
    advantages = {} if credit is None else step_advantages(found.tree, credit)
    return [
        SearchNode(
            problem_id=found.problem.problem_id,
            node=node.index,
            parent=None if node.index == ROOT else node.parent,
            text=found.problem.text if node.piece is None else node.piece.text,
            num_tokens=0 if node.piece is None else node.piece.num_tokens,
            logprob=0.0 if node.piece is None else node.piece.logprob,
            said=node.said,
            visits=node.visits,
            mean=node.mean,
            leaves=node.leaves,
            right=node.right,
            policy_version=version,
            value=node.value,
            process=node.process,
            outcome=node.outcome,
            merged_into=node.merged_into,
            advantage=advantages.get(node.index),
        )
        for node in found.tree
    ]


def search_metrics(searcher: Searcher, searched: Sequence[Searched], rates: Mapping[str, float]) -> dict[str, float]:
    """Of a step's searches; {} where there were none. `rates`: problem -> pass rate of its attempts.

    `search/gap`: share of searches that found a right answer, less the mean pass rate. Calibration of the critics is on
    the answers below steps of problems that the heads were never trained on.
    """
    if not searched:
        return {}
    trees = [each.tree for each in searched]
    steps = [node for tree in trees for node in tree if node.index != ROOT]
    found = sum(each.is_right for each in searched) / len(searched)
    mean_rate = sum(rates[each.problem.problem_id] for each in searched) / len(searched)
    metrics = {
        "search/problems": float(len(searched)),
        "search/nodes": float(len(steps)),
        "search/tokens": float(sum(each.tokens for each in searched)),
        "search/right_share": found,
        "search/gap": found - mean_rate,
        "search/merged_share": sum(node.merged_into is not None for node in steps) / max(1, len(steps)),
        "search/flat_share": sum(_is_flat(tree) for tree in trees) / len(trees),
    }
    metrics |= {f"search/branching_{depth}": value for depth, value in _branching(trees).items()}
    held_out = [each.tree for each in searched if searcher.is_held_out(each.problem.problem_id)]
    return metrics | critic_calibration(held_out)


def verdict_metrics(searched: Collection[Searched], style: PromptStyle) -> dict[str, float]:
    """How far a model's verdicts in searches are from the domain's, which pay and steer nothing: search/agrees and
    search/false_positive_rate, over different answers that ended and that both could judge."""
    pairs = []
    for each in searched:
        for node in each.tree:
            if node.is_finished and node.outcome not in (Outcome.TRUNCATED, Outcome.UNJUDGED):
                text = style.visible(each.tree.text(node.index))
                truth = style.domain.judge(each.problem, text)[0]
                if truth is not Outcome.UNJUDGED:
                    pairs.append((node.outcome is Outcome.CORRECT, truth is Outcome.CORRECT))
    if not pairs:
        return {}
    return {
        "search/agrees": share([said == is_right for said, is_right in pairs]),
        "search/false_positive_rate": share([said for said, is_right in pairs if not is_right]),
    }


def critic_calibration(trees: Sequence[StepTree]) -> dict[str, float]:
    """critic/<head>_brier, _ece, _auroc and _n of each head that spoke: what it said of a step against the verdict of
    each finished answer below it."""
    metrics: dict[str, float] = {}
    for head in HEADS:
        right: list[bool] = []
        said: list[float] = []
        for node in (node for tree in trees for node in tree):
            stated = node.value if head == "value" else node.process
            if stated is None or not node.leaves:
                continue
            right += [True] * node.right + [False] * (node.leaves - node.right)
            said += [stated] * node.leaves
        if said:
            found = calibration_metrics(right, said)
            metrics |= {f"critic/{head}_{name}": found[name] for name in ("brier", "ece", "auroc")}
            metrics[f"critic/{head}_n"] = float(len(said))
    return metrics


def _is_flat(tree: StepTree) -> bool:
    """Whether all of its answers are right, or all wrong: nothing to learn from."""
    return tree.nodes[ROOT].right in (0, tree.nodes[ROOT].leaves)


def _branching(trees: Sequence[StepTree]) -> dict[int, float]:
    """Depth -> mean number of different next steps of those that have any."""
    by_depth: dict[int, list[int]] = {}
    for node in (node for tree in trees for node in tree if node.children):
        by_depth.setdefault(node.depth, []).append(len(node.children))
    return {depth: sum(counts) / len(counts) for depth, counts in sorted(by_depth.items())}
