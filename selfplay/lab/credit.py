"""How well a run's dense rewards told good steps from bad ones, found out afterwards by trying. No arm is told.

A step of countdown is good where every step so far holds and the target can still be reached from what is left.
"""

from collections.abc import Collection, Sequence

from curriculum.domains.countdown import STEP_END, left_after, read_steps, solution
from selfplay.calibration import auroc
from store.records import Problem, SearchNode
from store.store import Store


def credit_auroc(store: Store, steps: Collection[int]) -> dict[str, float]:
    """{"credit_auroc": P(a good step's advantage is above a bad one's)} over the searched trees of `steps`, each
    unfinished step once; {} where none was paid, or all were good, or none, or the problems are not countdown's."""
    good: list[bool] = []
    paid: list[float] = []
    for problem, _ in store.problems():
        if problem.domain != "countdown":
            return {}
        for step, nodes in store.search_nodes(problem.problem_id).items():
            for node, said in zip(nodes, _said(nodes), strict=True):
                if step in steps and node.advantage is not None and node.outcome is None:
                    good.append(is_good(problem, said))
                    paid.append(node.advantage)
    return {"credit_auroc": auroc(good, paid)} if len(set(good)) == 2 else {}


def is_good(problem: Problem, said: str) -> bool:
    """Whether the beginning of an answer can still become a right one."""
    numbers, target = problem.canonical.split(":")
    steps = read_steps(said.strip().removesuffix(STEP_END))
    left = None if steps is None else left_after(tuple(map(int, numbers.split())), steps)
    return left is not None and solution(left, int(target)) is not None


def _said(nodes: Sequence[SearchNode]) -> list[str]:
    """The answer up to each node; nothing at the problem itself."""
    texts: dict[int, str] = {}
    for node in nodes:
        texts[node.node] = "" if node.parent is None else texts[node.parent] + node.text
    return [texts[node.node] for node in nodes]
