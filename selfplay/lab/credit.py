"""How well a run's dense rewards told good steps from bad ones, found out afterwards by the domain. No arm is told.

What a good step is, the domain says: of countdown one after which the target can still be reached, of chains one that
is right like all before it.
"""

from collections.abc import Collection, Sequence

from curriculum.domains.abilities import able
from curriculum.domains.protocol import Domain, KnowsGoodSteps
from selfplay.stats.calibration import auroc
from store.records import SearchNode
from store.store import Store


def credit_auroc(store: Store, domain: Domain, steps: Collection[int]) -> dict[str, float]:
    """{"credit_auroc": P(a good step's advantage is above a bad one's)} over the searched trees of `steps`, each
    unfinished step once; {} where none was paid, or all were good, or none, or the domain cannot tell."""
    knowing = able(domain, KnowsGoodSteps)
    if knowing is None:
        return {}
    good: list[bool] = []
    paid: list[float] = []
    for problem, _ in store.problems():
        for step, nodes in store.search_nodes(problem.problem_id).items():
            for node, said in zip(nodes, _said(nodes), strict=True):
                if step in steps and node.advantage is not None and node.outcome is None:
                    good.append(knowing.is_good(problem, said))
                    paid.append(node.advantage)
    return {"credit_auroc": auroc(good, paid)} if len(set(good)) == 2 else {}


def _said(nodes: Sequence[SearchNode]) -> list[str]:
    """The answer up to each node; nothing at the problem itself."""
    texts: dict[int, str] = {}
    for node in nodes:
        texts[node.node] = "" if node.parent is None else texts[node.parent] + node.text
    return [texts[node.node] for node in nodes]
