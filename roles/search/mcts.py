"""Monte-Carlo tree search over the steps of an answer, after AlphaLLM's eta-MCTS (arXiv 2404.12253).

An action is a whole step. From the problem, the search descends by an upper confidence bound to a step that has fewer
next steps than it is to have, and samples the missing ones. Critics value the new steps, with rollouts to the end of
the answer if asked for, and the values are backed up.

    uct    mean(child) + c sqrt(2 ln N / n)              (UCB1 on trees, Kocsis and Szepesvari 2006)
    puct   mean(child) + c P(child) sqrt(N) / (1 + n)    (AlphaZero; P: the policy's probability among the siblings)

N and n are the visits of the step and of the child, c is the setting `exploration`. A step is to have
max(min_children, min(floor(alpha I) + 1, max_children)) next steps, where I = max |mean(child) - mean(step)| and alpha
is the setting `branching`.

Several steps are chosen for one wave. Each choice counts as a visit of value 0 until its own value is there, so that
the next choice goes elsewhere. When every step has its next steps and tokens of the budget are left, each step is to
have as many again. The same key gives the same tree, visit by visit.
"""

import math
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from roles.requests import Sample, Sampled, Score
from roles.search.critics import CriticWeights, node_score, questions, take_scores
from roles.search.growth import Growing, Growth
from roles.search.step_tree import STEP_ROOT, StepNode, StepTree, back_up

SearchRule = Literal["uct", "puct"]


@dataclass(frozen=True, slots=True)
class SearchSettings:
    """A search ends after `node_budget` new steps or `token_budget` sampled tokens (0: no limit), whichever is first.

    Given answers cost nothing. The last wave may exceed `token_budget`, and its rollouts `node_budget`.
    `at_once`: steps chosen for one wave.
    `min_children`, `max_children`: next steps of a step; with `branching` 0 always the smaller number.
    `min_first`, `max_first`: the same of the problem itself.
    `rollouts`: completions that value a new step.
    `stop_when_right`: end with the first right answer.
    `seconds`: above 0, a clock ends a search as well.
    """

    rule: SearchRule = "uct"
    exploration: float = 1.0
    node_budget: int = 32
    token_budget: int = 0
    at_once: int = 4
    min_children: int = 2
    max_children: int = 2
    min_first: int = 4
    max_first: int = 4
    branching: float = 0.0
    rollouts: int = 1
    weights: CriticWeights = field(default_factory=CriticWeights)
    stop_when_right: bool = False
    seconds: float = 0.0


@dataclass(slots=True)
class _Wave:
    """What was chosen for a wave and is not valued yet.

    `pending`: step -> next steps asked for. `virtual`: step -> visits in flight. Merged steps are those that they were
    merged into. `wider`: the factor by which each step is to have more next steps than the settings say.
    """

    wider: int = 1
    pending: dict[int, int] = field(default_factory=dict)
    virtual: dict[int, int] = field(default_factory=dict)
    chosen: list[tuple[list[int], int]] = field(default_factory=list)  # (path, samples)


def search(growth: Growth, settings: SearchSettings, clock: Callable[[], float] | None = None) -> Growing:
    """Search one problem until its budget is spent. A limit in seconds needs a `clock`."""
    end = clock() + settings.seconds if clock is not None and settings.seconds > 0 else math.inf
    tree = growth.tree
    most, wider, before = len(tree) + settings.node_budget, 1, (0, 0)
    while not _is_over(growth, settings, most) and (clock is None or clock() < end):
        wave = _choose(growth, settings, most - len(tree), wider)
        if not wave.chosen:  # every step has the next steps that it is to have
            if settings.token_budget == 0 or (len(tree) == before[0] and growth.num_sampled > before[1]):
                break  # no budget is left, or the policy, asked for more, only said again what is in the tree
            wider, before = wider + 1, (len(tree), growth.num_sampled)
            continue
        results = yield from growth.wave([growth.ask_step(tree.standing(path[-1]), n) for path, n in wave.chosen])
        ended, fresh, again = _received(
            growth, [(path, group) for (path, _), group in zip(wave.chosen, results, strict=True)]
        )
        yield from _value(growth, ended, fresh, settings)
        for path in again:
            if (known := tree.standing(path[-1])).visits:
                back_up(tree, path, known.mean)
    return growth.result(is_reproducible=end == math.inf)


def _is_over(growth: Growth, settings: SearchSettings, most: int) -> bool:
    if settings.stop_when_right and growth.right_after is not None:
        return True
    return len(growth.tree) >= most or 0 < settings.token_budget <= growth.num_sampled


def _choose(growth: Growth, settings: SearchSettings, room: int, wider: int) -> _Wave:
    """Choose up to `at_once` steps to sample below, for `room` samples at most in all."""
    tree, wave = growth.tree, _Wave(wider)
    for _ in range(settings.at_once):
        found = _descend(tree, settings, wave) if room > 0 else None
        if found is None:
            break
        path, missing = found
        n = min(missing, room)
        room -= n
        node = tree.standing(path[-1]).index
        wave.pending[node] = wave.pending.get(node, 0) + n
        for index in (tree.standing(index).index for index in path):
            wave.virtual[index] = wave.virtual.get(index, 0) + 1
        wave.chosen.append((path, n))
    return wave


def _descend(tree: StepTree, settings: SearchSettings, wave: _Wave) -> tuple[list[int], int] | None:
    """The path to a step that lacks next steps, and how many it lacks; None where no step lacks any."""
    missing = _missing(tree, settings, wave)
    is_open = _open(tree, missing)
    path = [STEP_ROOT]
    while True:
        node = tree.standing(path[-1])
        if missing[node.index] > 0:
            return path, missing[node.index]
        children = [child for child in node.children if is_open[child]]
        if not children:
            return None
        bounds = _bounds(tree, node, children, settings, wave)
        path.append(children[bounds.index(max(bounds))])


def _missing(tree: StepTree, settings: SearchSettings, wave: _Wave) -> list[int]:
    """For every node, how many next steps are still to be sampled; 0 for finished and merged ones."""
    found = []
    for node in tree:
        if node.is_finished or node.merged_into is not None:
            found.append(0)
            continue
        said = sum(tree.nodes[child].said for child in node.children)
        found.append(max(0, wave.wider * _wanted(tree, node, settings) - said - wave.pending.get(node.index, 0)))
    return found


def _wanted(tree: StepTree, node: StepNode, settings: SearchSettings) -> int:
    """How many next steps a step is to have; the formula stands above."""
    is_root = node.index == STEP_ROOT
    low, high = (settings.min_first, settings.max_first) if is_root else (settings.min_children, settings.max_children)
    if settings.branching == 0.0 or not node.children:
        return low
    importance = max(abs(tree.standing(child).mean - node.mean) for child in node.children)
    return max(low, min(math.floor(settings.branching * importance) + 1, high))


def _open(tree: StepTree, missing: Sequence[int]) -> list[bool]:
    """For every node, whether it or a node below it lacks next steps. A merged node is as what it was merged into."""
    found = [False] * len(tree)
    for node in sorted(tree, key=lambda n: (-n.depth, n.merged_into is not None)):
        below = any(found[child] for child in node.children)
        found[node.index] = missing[node.index] > 0 or below if node.merged_into is None else found[node.merged_into]
    return found


def _bounds(
    tree: StepTree, node: StepNode, children: Sequence[int], settings: SearchSettings, wave: _Wave
) -> list[float]:
    """The upper confidence bound of each child. Visits in flight count with value 0."""
    total = max(1, node.visits + wave.virtual.get(node.index, 0))
    priors = _priors(tree, node) if settings.rule == "puct" else {}
    found = []
    for child in children:
        standing = tree.standing(child)
        visits = max(1, standing.visits + wave.virtual.get(standing.index, 0))
        mean = standing.value_sum / visits
        match settings.rule:
            case "uct":
                found.append(mean + settings.exploration * math.sqrt(2 * math.log(total) / visits))
            case "puct":
                found.append(mean + settings.exploration * priors[child] * math.sqrt(total) / (1 + visits))
    return found


def _priors(tree: StepTree, node: StepNode) -> dict[int, float]:
    """The policy's probabilities of the children of `node`, scaled to sum to 1."""
    logprobs = {child: piece.logprob for child in node.children if (piece := tree.nodes[child].piece) is not None}
    highest = max(logprobs.values())
    weights = {child: math.exp(logprob - highest) for child, logprob in logprobs.items()}
    return {child: weight / sum(weights.values()) for child, weight in weights.items()}


def _received(
    growth: Growth, said: Sequence[tuple[Sequence[int], Sequence[Sampled]]]
) -> tuple[list[list[int]], list[list[int]], list[list[int]]]:
    """Insert what was sampled. Returns three lists of paths: to the ends of answers, to new steps, and to steps that
    were known or merged. New steps have to be valued; known ones get one more visit of the value that they have."""
    ended: list[list[int]] = []
    fresh: list[list[int]] = []
    again: list[list[int]] = []
    tree = growth.tree
    for path, group in said:
        for sampled in group:
            below, is_new = growth.receive(path, sampled)
            node = tree.nodes[below[-1]]
            if node.is_finished:
                ended.append(below)
            else:
                (fresh if is_new and node.merged_into is None else again).append(below)
    return ended, fresh, again


def _value(
    growth: Growth, ended: Sequence[list[int]], fresh: Sequence[list[int]], settings: SearchSettings
) -> Generator[list[Any], list[Any], None]:
    """Value what is new, and back the values up.

    One wave has the rollouts and the critics' scores of new steps, and the verdicts on answers that ended. A second one
    has the verdicts on the rollouts, where a model gives them.
    """
    tree = growth.tree
    nodes = [tree.nodes[path[-1]] for path in fresh]
    asked = [questions(settings.weights, growth.steps, growth.problem, tree, node) for node in nodes]
    rollouts = [growth.ask_rollouts(node, settings.rollouts) for node in nodes] if settings.rollouts else []
    requests: list[Sample | Score] = [*rollouts, *(question for each in asked for question in each)]
    answers = iter((yield from growth.wave(requests)))
    growth.visit(ended)
    groups = [next(answers) for _ in rollouts] or [[] for _ in nodes]
    for node, each in zip(nodes, asked, strict=True):
        take_scores(node, [next(answers) for _ in each])
    whole = [[growth.receive(path, sampled)[0] for sampled in group] for path, group in zip(fresh, groups, strict=True)]
    yield from growth.wave([])
    for path, node, group in zip(fresh, nodes, whole, strict=True):
        judged = [_rolled_out(tree, path, below) for below in group]
        outcomes = [worth for worth in judged if worth is not None]
        back_up(tree, path, node_score(settings.weights, node, sum(outcomes) / len(outcomes) if outcomes else None))


def _rolled_out(tree: StepTree, path: Sequence[int], whole: Sequence[int]) -> float | None:
    """Back the worth of a rollout up to its own steps, those of `whole` after `path`. Returns that worth: 1 for a right
    answer, 0 for a wrong one, None (and no visit) for one that nobody could judge."""
    worth = tree.nodes[whole[-1]].worth
    if worth is not None:
        back_up(tree, whole[len(path) :], worth)
    return worth
