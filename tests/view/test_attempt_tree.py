"""The tree of what a step said about a problem, by hand, and every form that it is written in."""

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import networkx as nx
import pytest
from few_problems import FewProblems
from store_samples import create, step_commit

from curriculum.domains.protocol import problem_of
from selfplay.view.queries import tree
from selfplay.view.terminal import plain
from selfplay.view.trees import PROBLEM_NODE, attempt_tree, children, graph_json, label, places, search_tree, write
from store.records import Attempt, Finish, Origin, Outcome, SearchNode, Turn

PROBLEM = problem_of(FewProblems().seeds()[0], "few", Origin.SEED)
VERDICTS = {"6": Outcome.CORRECT, "5": Outcome.INCORRECT, "\x1b[2J $x$": Outcome.UNPARSED, "": Outcome.UNPARSED}


def attempt(index: int, *said: str) -> Attempt:
    turns = (Turn(f" {text}\n", text, VERDICTS[text], Finish.STOP, 2, 0.0) for text in said)
    return Attempt(PROBLEM.problem_id, index, tuple(turns), 1, 1)


@pytest.fixture
def graph() -> nx.DiGraph:
    said = [("5", "6"), ("5", "5"), ("5", "6"), ("6", "6"), ("\x1b[2J $x$", "")]
    return attempt_tree(PROBLEM, [attempt(i, *turns) for i, turns in enumerate(said)])


def test_said_alike_is_one_node_with_the_mean_of_its_leaves(graph: nx.DiGraph) -> None:
    by_path = {
        tuple(graph.nodes[n]["said"] for n in nx.shortest_path(graph, PROBLEM_NODE, node)[1:]): graph.nodes[node]
        for node in graph
    }
    assert {path: (a["times"], a["value"]) for path, a in by_path.items()} == {
        (): (5, 0.6),
        ("5",): (3, 0.6667),
        ("5", "6"): (2, 1.0),
        ("5", "5"): (1, 0.0),
        ("6",): (1, 1.0),
        ("6", "6"): (1, 1.0),
        ("\x1b[2J $x$",): (1, 0.0),
        ("\x1b[2J $x$", ""): (1, 0.0),
    }
    assert by_path[("5",)]["verdict"] == "INCORRECT" and by_path[()]["verdict"] == ""


def test_the_children_said_most_come_first(graph: nx.DiGraph) -> None:
    assert [graph.nodes[n]["said"] for n in children(graph, PROBLEM_NODE)] == ["5", "6", "\x1b[2J $x$"]
    assert label(graph.nodes[children(graph, PROBLEM_NODE)[0]]) == "5  INCORRECT  3 times, value 0.67"
    assert (
        label({"said": "", "verdict": "UNPARSED", "times": 1, "value": 0.0}) == "(nothing)  UNPARSED  once, value 0.00"
    )
    assert label({"said": "9" * 99, "verdict": "", "times": 2, "value": 1.0}).startswith("9" * 60 + "...  2 times")


def searched(node: int, parent: int | None, text: str, *counts: int, mean: float = 0.5, **more: Any) -> SearchNode:
    """`counts`: said, visits, answers below, right ones of these."""
    said, visits, leaves, right = counts
    return SearchNode(
        PROBLEM.problem_id, node, parent, text, len(text), -0.5, said, visits, mean, leaves, right, 3, **more
    )


STEPS = [
    searched(0, None, PROBLEM.text, 0, 6, 4, 1),
    searched(1, 0, "2+1=3,", 2, 4, 3, 1, value=0.3126, process=0.9, advantage=0.1249),
    searched(2, 0, " 1+2=3, ", 1, 1, 0, 0, mean=0.75, merged_into=1),
    searched(3, 1, "3+3=6\n", 3, 3, 3, 1, outcome=Outcome.CORRECT, advantage=-0.5),
    searched(4, 0, "\n", 1, 1, 1, 0, outcome=Outcome.UNPARSED),
]


def test_the_labels_of_a_searched_tree_say_visits_critics_advantages_and_what_was_merged() -> None:
    graph = search_tree(PROBLEM, STEPS)
    assert {node: label(graph.nodes[node]) for node in graph} == {
        0: f"{PROBLEM.text}  4 times, value 0.25, 6 visits",
        1: "2+1=3,  2 times, value 0.33, 4 visits, critic 0.31, process 0.90, advantage +0.12",
        2: "1+2=3,  once, value 0.75, 1 visits, same as 1",  # no answer below it: what the search backed up
        3: "3+3=6  CORRECT  3 times, value 0.33, 3 visits, advantage -0.50",
        4: "(nothing)  UNPARSED  once, value 0.00, 1 visits",
    }
    assert children(graph, PROBLEM_NODE) == [1, 2, 4] and children(graph, 1) == [3]


def test_a_searched_tree_is_drawn_where_there_is_one(tmp_path: Path) -> None:
    turn = Turn(" 5\n", "5", Outcome.INCORRECT, Finish.STOP, 2, 0.0)
    tried = Attempt(PROBLEM.problem_id, 0, (turn,), 0, 0)
    with create(tmp_path / "selfplay.db", seeds=(PROBLEM,)) as store:
        made = {"problems": (), "proposals": (), "attempts": (tried,), "pass_rates": (), "search_nodes": tuple(STEPS)}
        store.commit_step(step_commit(1, **made))
        drawn, at, steps = tree(store, PROBLEM.problem_id[:6], None)
        assert (at, steps) == (1, [1]) and nx.utils.graphs_equal(drawn, search_tree(PROBLEM, STEPS))
        alone, _, _ = tree(store, PROBLEM.problem_id, 1, only_attempts=True)
        assert [label(alone.nodes[n]) for n in children(alone, PROBLEM_NODE)] == ["5  INCORRECT  once, value 0.00"]


def test_leaves_have_heights_of_their_own_and_parents_stand_between(graph: nx.DiGraph) -> None:
    at = places(graph)
    five = children(graph, PROBLEM_NODE)[0]
    assert [at[leaf] for leaf in children(graph, five)] == [(2, -1.0), (2, -2.0)] and at[five] == (1, -1.5)
    assert len({at[node] for node in graph}) == len(graph)


@pytest.mark.parametrize("suffix", [".json", ".graphml", ".png", ".svg", ".PNG"])
def test_it_is_written_in_every_form(graph: nx.DiGraph, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"tree{suffix}"
    write(graph, path, plain)
    match suffix:
        case ".json":
            assert json.loads(path.read_text()) == graph_json(graph)
        case ".graphml":
            back = nx.read_graphml(path, node_type=int)
            assert nx.is_isomorphic(back, graph) and back.nodes[PROBLEM_NODE]["times"] == 5
            assert "\\x1b[2J $x$" in {attributes["said"] for attributes in back.nodes.values()}
        case ".svg":
            assert ElementTree.parse(path).getroot().tag.endswith("svg")
        case _:
            assert path.read_bytes().startswith(b"\x89PNG")


def test_another_form_is_refused_by_name(graph: nx.DiGraph, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"written as \.json, \.graphml, \.png, \.svg"):
        write(graph, tmp_path / "tree.doc", plain)
