"""The parents and children of problems: which was escalated from which. For people and tools; no decision reads it."""

from collections.abc import Iterable

import networkx as nx

from store.records import Problem


class Lineage:
    """A forest, whose roots are seeds and problems whose parent is unknown. KeyError for an unknown problem_id."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        """ValueError when the parents run in a circle, which no run can make."""
        self._graph: nx.DiGraph[str] = nx.DiGraph()
        known = {problem.problem_id: problem for problem in problems}
        self._problems = known
        self._graph.add_nodes_from(known)
        for problem in known.values():
            if problem.parent_id in known:
                self._graph.add_edge(problem.parent_id, problem.problem_id)
        if not nx.is_directed_acyclic_graph(self._graph):
            raise ValueError("the parents of these problems run in a circle: the store is damaged")

    def ancestors(self, problem_id: str) -> list[Problem]:
        """From the parent up to the root."""
        found: list[Problem] = []
        parent = self._parent(problem_id)
        while parent is not None:
            found.append(self._problems[parent])
            parent = self._parent(parent)
        return found

    def descendants(self, problem_id: str) -> list[Problem]:
        """Nearest first; those equally near in the order they were given."""
        self._problems[problem_id]
        return [self._problems[child] for _, child in nx.bfs_edges(self._graph, problem_id)]

    def children(self, problem_id: str) -> list[Problem]:
        self._problems[problem_id]
        return [self._problems[child] for child in self._graph.successors(problem_id)]

    def depth(self, problem_id: str) -> int:
        """Escalations from the root: 0 for a root."""
        return len(self.ancestors(problem_id))

    def graph(self) -> "nx.DiGraph[str]":
        """A copy for networkx's own writers (GraphML, node-link JSON): plain attributes on every node."""
        graph = self._graph.copy()
        for problem_id, problem in self._problems.items():
            attributes = {"text": problem.text, "family": problem.family, "level": problem.level}
            graph.nodes[problem_id].update(attributes, origin=str(problem.origin), depth=self.depth(problem_id))
        return graph

    def _parent(self, problem_id: str) -> str | None:
        parent = self._problems[problem_id].parent_id
        return parent if parent in self._problems else None
