"""Tree search over the steps of an answer: it chooses where to look further, and so spends its tokens where they tell.

Monte-Carlo tree search in the form of AlphaLLM's eta-MCTS (arXiv 2404.12253). An action is a whole step. From the
problem the search goes down by an upper confidence bound to a step whose next ones were not all sampled yet, samples
them, lets the critics value what is new, with rollouts to the end of the answer if asked for, and backs the values up.

    uct    mean(child) + c sqrt(2 ln N / n)                       (UCB1 on trees, Kocsis and Szepesvari 2006)
    puct   mean(child) + c P(child) sqrt(N) / (1 + n)             (AlphaZero; P: the policy's own, among siblings)

How many next steps a step is given follows what they decide: I = max |V(child) - V(step)|, and min(floor(alpha I) +
1, max), never under min. Several steps are chosen for one wave: each choice counts as a lost visit until its value is
there, so that the next one goes elsewhere. Where all wanted steps are there and a budget of tokens is not spent, as
many more are wanted everywhere. The same key gives the same tree, visit by visit.
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
    """The budget is `nodes` new steps and `tokens` sampled (0: as many as there are), whichever is spent first. Given
    answers cost nothing of it. Of `nodes` only the last wave's rollouts go beyond, of `tokens` that whole wave.

    `at_once` steps are chosen for a wave. Next steps: from `min_children` to `max_children`, of the problem itself from
    `min_first` to `max_first`; with `branching` (alpha) 0 always the smaller. `rollouts` completions value a new step.
    `stop_when_right`: end with the first right answer. `seconds` above 0 ends a search by a clock as well.
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
    """What was chosen and is not valued yet: samples asked for and visits in flight, by where a node stands.

    `wider` times as many next steps as the settings say are wanted everywhere.
    """

    wider: int = 1
    pending: dict[int, int] = field(default_factory=dict)
    virtual: dict[int, int] = field(default_factory=dict)
    chosen: list[tuple[list[int], int]] = field(default_factory=list)  # (path, samples)


def search(growth: Growth, settings: SearchSettings, clock: Callable[[], float] | None = None) -> Growing:
    """Spend the budget on one problem. `clock`, in seconds, is needed for a limit in seconds."""
    end = clock() + settings.seconds if clock is not None and settings.seconds > 0 else math.inf
    tree = growth.tree
    most, wider, before = len(tree) + settings.node_budget, 1, (0, 0)
    while not _is_over(growth, settings, most) and (clock is None or clock() < end):
        wave = _choose(growth, settings, most - len(tree), wider)
        if not wave.chosen:  # every step has all the next ones that are wanted
            if settings.token_budget == 0 or (len(tree) == before[0] and growth.num_sampled > before[1]):
                break  # there is no budget to spend, or, asked for more, the policy only said the same again
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
    """Up to `at_once` steps to sample below, each by its path, for `room` samples at most."""
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
    """The path to a step with next ones missing, and how many; None where there is nothing left to choose."""
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
    """Of every node, how many next steps are still to be sampled; 0 of finished and merged ones."""
    found = []
    for node in tree:
        if node.is_finished or node.merged_into is not None:
            found.append(0)
            continue
        said = sum(tree.nodes[child].said for child in node.children)
        found.append(max(0, wave.wider * _wanted(tree, node, settings) - said - wave.pending.get(node.index, 0)))
    return found


def _wanted(tree: StepTree, node: StepNode, settings: SearchSettings) -> int:
    """How many next steps a step is to have, by what those that it has decide."""
    is_root = node.index == STEP_ROOT
    low, high = (settings.min_first, settings.max_first) if is_root else (settings.min_children, settings.max_children)
    if settings.branching == 0.0 or not node.children:
        return low
    importance = max(abs(tree.standing(child).mean - node.mean) for child in node.children)
    return max(low, min(math.floor(settings.branching * importance) + 1, high))


def _open(tree: StepTree, missing: Sequence[int]) -> list[bool]:
    """Of every node, whether something is missing at it or below it. Merged nodes are as open as where they stand."""
    found = [False] * len(tree)
    for node in sorted(tree, key=lambda n: (-n.depth, n.merged_into is not None)):
        below = any(found[child] for child in node.children)
        found[node.index] = missing[node.index] > 0 or below if node.merged_into is None else found[node.merged_into]
    return found


def _bounds(
    tree: StepTree, node: StepNode, children: Sequence[int], settings: SearchSettings, wave: _Wave
) -> list[float]:
    """The upper confidence bound of each child; visits in flight count as lost ones."""
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
    """The policy's probabilities of the steps that were sampled below `node`, made to sum to 1."""
    logprobs = {child: piece.logprob for child in node.children if (piece := tree.nodes[child].piece) is not None}
    highest = max(logprobs.values())
    weights = {child: math.exp(logprob - highest) for child, logprob in logprobs.items()}
    return {child: weight / sum(weights.values()) for child, weight in weights.items()}


def _received(
    growth: Growth, said: Sequence[tuple[Sequence[int], Sequence[Sampled]]]
) -> tuple[list[list[int]], list[list[int]], list[list[int]]]:
    """Take what was sampled. Returns the paths of answers that ended, of new steps, to be valued, and of steps said
    again or merged, which are one visit more once their value is there."""
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
    """Rollouts and critics for new steps and verdicts on answers that ended, in one wave, then verdicts on the rollouts
    where these have to be asked for; all of it is backed up."""
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
    """The steps of a rollout from the end of `path` are visited once. Returns 1 for a right answer, 0 for a wrong one,
    None for one that nobody could judge."""
    worth = tree.nodes[whole[-1]].worth
    if worth is not None:
        back_up(tree, whole[len(path) :], worth)
    return worth
