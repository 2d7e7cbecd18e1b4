"""Dense rewards: an advantage for each step of an answer, from the values of the tree that it stands in.

V(n) is the mean outcome of the answers that go on from step n. Where n ends an answer, V(n) is its verdict z; the term
with z is 0 for other steps.

    tree         A(n) = local (V(n) - V(parent)) + global (V(n) - V(problem)) + outcome (z - V(problem))
                 (TreeRL, ACL 2025: local and global)
    monte_carlo  A(n) = V(n) - V(parent)                 (VinePPO, arXiv 2410.01679)
    siblings     A(n) = V(n) - mean of its siblings' V   (TreeRPO, arXiv 2506.05183)

Along a path the differences telescope: the sum of V(n) - V(parent) is z - V(problem), whatever the values in between.
A step is trained once for every time that it was sampled. TreeRL trains whole paths, and so a step once for every
answer below it, for which it divides by the square root of their number; here nothing is divided.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from roles.search.step_tree import STEP_ROOT, StepNode, StepTree

CreditRule = Literal["tree", "monte_carlo", "siblings"]


@dataclass(frozen=True, slots=True)
class CreditSettings:
    """The rule and its numbers; `local_weight`, `global_weight` and `outcome_weight` are those of the rule `tree`.

    `shrink` >= 0 is a pseudo-count: V of a step is averaged with that many imagined answers, each worth what was
    expected of the step (`shrunk`). `noise_floor` >= 0: A(n) is 0 unless |A| > noise_floor * standard error of V(n).
    """

    rule: CreditRule = "tree"
    local_weight: float = 1.0
    global_weight: float = 1.0
    outcome_weight: float = 0.0
    shrink: float = 0.0
    noise_floor: float = 0.0


def values(tree: StepTree) -> dict[int, float]:
    """V of every node with a judged answer below it: V(n) = sum of said(c) V(c) / sum of said(c), over its children c.

    `said` is how often a step was sampled from its parent. Every step was drawn from the policy, so this estimates what
    the policy would reach, also where a search looked deeper into some children than into others. On a tree that was
    sampled evenly it is the share of right answers below. A merged node has the value of what it was merged into.
    """
    found: dict[int, float] = {}
    for node in sorted(tree, key=lambda n: (-n.depth, n.merged_into is not None)):
        if node.outcome is not None:
            if node.worth is not None:
                found[node.index] = node.worth
        elif node.merged_into is not None:
            if node.merged_into in found:
                found[node.index] = found[node.merged_into]
        else:
            known = [(tree.nodes[child].said, found[child]) for child in node.children if child in found]
            if known:
                found[node.index] = sum(said * value for said, value in known) / sum(said for said, _ in known)
    return found


def shrunk(tree: StepTree, raw: Mapping[int, float], weight: float) -> dict[int, float]:
    """`raw` values, drawn towards what was expected: V' = (leaves V + weight expected) / (leaves + weight).

    `leaves` is the number of answers below the step. `expected` is what the value critic said of it or, where it said
    nothing, V' of the parent. Verdicts and the problem's own value stay as they are.
    """
    found: dict[int, float] = {}
    for node in sorted(tree, key=lambda n: (n.depth, n.merged_into is not None)):
        if node.index not in raw:
            continue
        value = raw[node.index]
        if node.index == STEP_ROOT or node.is_finished or weight == 0.0:
            found[node.index] = value
        elif node.merged_into is not None:
            found[node.index] = found[node.merged_into]
        else:
            expected = found[node.parent] if node.value is None else node.value
            found[node.index] = (node.leaves * value + weight * expected) / (node.leaves + weight)
    return found


def step_advantages(tree: StepTree, settings: CreditSettings) -> dict[int, float]:
    """A(n) of every step with a judged answer below it; 0 where |A| is within the noise."""
    known = shrunk(tree, values(tree), settings.shrink)
    found = {}
    for node in tree:
        if node.index == STEP_ROOT or node.index not in known:
            continue
        advantage = _advantage(tree, node, known, settings)
        found[node.index] = advantage if _stands_out(tree, node, advantage, known, settings.noise_floor) else 0.0
    return found


def _advantage(tree: StepTree, node: StepNode, known: Mapping[int, float], settings: CreditSettings) -> float:
    value, above = known[node.index], known[node.parent]
    match settings.rule:
        case "monte_carlo":
            return value - above
        case "siblings":
            siblings = [tree.nodes[child] for child in tree.standing(node.parent).children if child in known]
            total = sum(each.said for each in siblings)
            return value - sum(each.said * known[each.index] for each in siblings) / total
        case "tree":
            outcome = value - known[STEP_ROOT] if node.is_finished else 0.0
            return (
                settings.local_weight * (value - above)
                + settings.global_weight * (value - known[STEP_ROOT])
                + settings.outcome_weight * outcome
            )


def _stands_out(
    tree: StepTree, node: StepNode, advantage: float, known: Mapping[int, float], noise_floor: float
) -> bool:
    """Whether |A| > noise_floor * sqrt(V (1 - V) / n), for n answers below the step. A verdict has no error."""
    value, answers = known[node.index], tree.standing(node.index).leaves
    if node.is_finished or noise_floor == 0.0 or answers == 0:
        return True
    return abs(advantage) > noise_floor * math.sqrt(value * (1 - value) / answers)
