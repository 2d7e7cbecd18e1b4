"""All that was said about a problem in one step of a run, as a tree: attempts that said the same share a node.

A node is a turn of an attempt, or, where the judge searched, a step of an answer. Its value is the share of right ones
among the attempts, or among the finished answers, that pass through it. Left out: single tokens; a turn or a step of an
answer is the smallest thing drawn.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import networkx as nx

from store.records import Attempt, Outcome, Problem, SearchNode

PROBLEM_NODE = 0
LONGEST_SAID = 60  # characters of a turn in a label; JSON and GraphML have it whole
Graph: TypeAlias = "nx.DiGraph[int]"  # nodes 0 to n - 1, parents first


def attempt_tree(problem: Problem, attempts: Sequence[Attempt]) -> Graph:
    """Node 0 is the problem. Attributes of a node: said, verdict ("" of the problem), times and value in [0, 1].

    Example: two attempts that both said 57, one of which then said 58, are the nodes problem, 57, 57 and 58.
    """
    graph: Graph = nx.DiGraph()
    graph.add_node(PROBLEM_NODE, said=problem.text, verdict="", times=0, right=0)
    known: dict[tuple[int, str], int] = {}
    for attempt in attempts:
        is_right = attempt.turns[-1].outcome is Outcome.CORRECT
        node = PROBLEM_NODE
        _pass(graph, node, is_right)
        for turn in attempt.turns:
            child = known.setdefault((node, turn.text), len(graph))
            if child not in graph:
                graph.add_node(child, said=turn.text.strip(), verdict=turn.outcome.value, times=0, right=0)
                graph.add_edge(node, child)
            node = child
            _pass(graph, node, is_right)
    for attributes in graph.nodes.values():
        attributes["value"] = round(attributes.pop("right") / max(1, attributes["times"]), 4)
    return graph


def search_tree(problem: Problem, nodes: Sequence[SearchNode]) -> Graph:
    """The tree that the judge searched; node 0 is the problem. Attributes as of `attempt_tree`, and of a step also
    visits and, where there are any, critic and process (what the critics said), advantage and same_as (merged into)."""
    graph: Graph = nx.DiGraph()
    for node in nodes:
        value = node.right / node.leaves if node.leaves else node.mean
        known = {
            "critic": node.value,
            "process": node.process,
            "advantage": node.advantage,
            "same_as": node.merged_into,
        }
        graph.add_node(
            node.node,
            said=problem.text if node.parent is None else node.text.strip(),
            verdict="" if node.outcome is None else node.outcome.value,
            times=node.leaves if node.parent is None else node.said,
            value=round(value, 4),
            visits=node.visits,
            **{name: round(each, 4) for name, each in known.items() if each is not None},
        )
        if node.parent is not None:
            graph.add_edge(node.parent, node.node)
    return graph


def _pass(graph: Graph, node: int, is_right: bool) -> None:
    graph.nodes[node]["times"] += 1
    graph.nodes[node]["right"] += is_right


def children(graph: Graph, node: int) -> list[int]:
    """Children of a node, those that were said most often first."""
    return sorted(graph.successors(node), key=lambda child: (-graph.nodes[child]["times"], child))


def label(attributes: Mapping[str, Any]) -> str:
    """One line for a node: "57  INCORRECT  5 times, value 0.20"; long text is cut. A searched step says more:
    "3+5=8,  2 times, value 0.20, 6 visits, critic 0.31, advantage +0.12, same as 4"."""
    times = "once" if attributes["times"] == 1 else f"{attributes['times']} times"
    said = attributes["said"] if len(attributes["said"]) <= LONGEST_SAID else attributes["said"][:LONGEST_SAID] + "..."
    figures = [times, f"value {attributes['value']:.2f}"]
    figures += [f"{attributes['visits']} visits"] if "visits" in attributes else []
    for name, form in (("critic", ".2f"), ("process", ".2f"), ("advantage", "+.2f")):
        figures += [f"{name} {attributes[name]:{form}}"] if name in attributes else []
    figures += [f"same as {attributes['same_as']}"] if "same_as" in attributes else []
    parts = [said or "(nothing)", attributes["verdict"], ", ".join(figures)]
    return "  ".join(part for part in parts if part)


def write(graph: Graph, path: Path, plain: Callable[[str], str]) -> None:
    """GraphML, JSON, PNG or SVG, by the suffix of `path`; ValueError for another.

    `plain` spells out what a picture and XML cannot hold; JSON has the text as it was said.
    """
    writers: dict[str, Callable[[], None]] = {
        ".json": lambda: _write_json(graph, path),
        ".graphml": lambda: nx.write_graphml(_spelled(graph, plain), path),
        ".png": lambda: _draw(_spelled(graph, plain), path),
        ".svg": lambda: _draw(_spelled(graph, plain), path),
    }
    if path.suffix.lower() not in writers:
        raise ValueError(f"{path.name}: a tree is written as {', '.join(writers)}")
    writers[path.suffix.lower()]()


def _write_json(graph: Graph, path: Path) -> None:
    path.write_text(json.dumps(graph_json(graph), indent=1) + "\n")


def _spelled(graph: Graph, plain: Callable[[str], str]) -> Graph:
    copy = graph.copy()
    for attributes in copy.nodes.values():
        attributes["said"] = plain(attributes["said"])
    return copy


def places(graph: Graph) -> dict[int, tuple[int, float]]:
    """(depth, height) of every node: leaves at whole heights, top to bottom in `children`'s order, parents between."""
    found: dict[int, tuple[int, float]] = {}
    next_leaf = 0

    def visit(node: int, depth: int) -> float:
        nonlocal next_leaf
        below = [visit(child, depth + 1) for child in children(graph, node)]
        if not below:
            next_leaf -= 1
        found[node] = (depth, (below[0] + below[-1]) / 2 if below else float(next_leaf))
        return found[node][1]

    visit(PROBLEM_NODE, 0)
    return found


def _draw(graph: Graph, path: Path) -> None:
    """Left to right. The size of a disc says how often its node was said, the colour is its value."""
    from matplotlib.figure import Figure  # loading it takes a second, and only pictures need it

    at = places(graph)
    depths = 1 + max(depth for depth, _ in at.values())
    num_leaves = sum(1 for _ in _leaves(graph))
    figure = Figure(figsize=(3.2 * depths, 1.2 + 0.42 * num_leaves), dpi=110, layout="constrained")
    axes = figure.subplots()
    for parent, child in graph.edges:
        axes.plot(*zip(at[parent], at[child], strict=True), color="#999999", linewidth=0.8, zorder=1)
    values = [graph.nodes[node]["value"] for node in graph]
    sizes = [60 + 25 * graph.nodes[node]["times"] for node in graph]
    xs, ys = zip(*(at[node] for node in graph), strict=True)
    discs = axes.scatter(xs, ys, s=sizes, c=values, cmap="viridis", vmin=0.0, vmax=1.0, edgecolors="black", zorder=2)
    paper = {"boxstyle": "round,pad=0.1", "facecolor": "white", "edgecolor": "none", "alpha": 0.85}
    for node in graph:
        axes.annotate(
            label(graph.nodes[node]), at[node], xytext=(10, 9), textcoords="offset points", fontsize=8, bbox=paper,
            parse_math=False,
        )  # fmt: skip
    figure.colorbar(discs, label="value: share right", shrink=0.7)
    axes.set_xlim(-0.2, depths - 0.1)
    axes.margins(y=0.1)
    axes.set_axis_off()
    figure.savefig(path)


def _leaves(graph: Graph) -> Iterator[int]:
    return (node for node in graph if graph.out_degree(node) == 0)


def graph_json(graph: Any) -> dict[str, Any]:
    """{"nodes": [...], "edges": [...]}, networkx's node-link form."""
    return dict(nx.node_link_data(graph, edges="edges"))
