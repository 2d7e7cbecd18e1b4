"""Dense rewards: what each step of an answer is paid, from the values of the tree that it stands in.

V(n) is the mean outcome of answers that go on from step n, an answer's own verdict where it ends. With z the verdict of
the answer that a step ends, if it does:

    tree         A(n) = local (V(n) - V(parent)) + global (V(n) - V(problem)) + outcome (z - V(problem))
                 (TreeRL, ACL 2025: local and global)
    monte_carlo  A(n) = V(n) - V(parent)                 (VinePPO, arXiv 2410.01679)
    siblings     A(n) = V(n) - mean of its siblings' V   (TreeRPO, arXiv 2506.05183)

Along a path the differences telescope: the sum of V(n) - V(parent) is z - V(problem), whatever the values in between.
A step is trained once for every time that it was sampled, not once for every answer that passes it, so nothing is
divided by the number of answers below it (TreeRL, which trains paths, divides by its root).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from roles.search.step_tree import STEP_ROOT, StepNode, StepTree

CreditRule = Literal["tree", "monte_carlo", "siblings"]


@dataclass(frozen=True, slots=True)
class CreditSettings:
    """`shrink` >= 0 answers' worth of the parent's value (or of the value critic's, where it spoke) are mixed into that
    of a step with few answers below. `noise_floor` >= 0: a step is trained only where |A| is above so many standard
    errors of V(n). The weights of `tree` are local_weight, global_weight and outcome_weight."""

    rule: CreditRule = "tree"
    local_weight: float = 1.0
    global_weight: float = 1.0
    outcome_weight: float = 0.0
    shrink: float = 0.0
    noise_floor: float = 0.0


def values(tree: StepTree) -> dict[int, float]:
    """V of every node with a judged answer below it.

    A node's value is the mean of its children's, each weighted by how often it was said there: every step was drawn
    from the policy, so this estimates what the policy would reach, also where a search went deeper into what looked
    good. On a tree that was sampled evenly it is the share of right answers below. Nodes that were merged share theirs.
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
    """`raw` values, those of unfinished steps drawn towards what was expected: the value critic's, else the parent's.

    V' = (leaves V + weight expected) / (leaves + weight), parents first. The root's and verdicts stay.
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
    """A(n) of every step with a judged answer below it; 0 where it is within the noise."""
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
    """Whether |A| is above `noise_floor` standard errors sqrt(V (1 - V) / n) of the step's V; verdicts have none."""
    value, answers = known[node.index], tree.standing(node.index).leaves
    if node.is_finished or noise_floor == 0.0 or answers == 0:
        return True
    return abs(advantage) > noise_floor * math.sqrt(value * (1 - value) / answers)
