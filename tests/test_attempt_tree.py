"""The tree of what a step said about a problem, by hand, and every form that it is written in."""

import json
from pathlib import Path
from xml.etree import ElementTree

import networkx as nx
import pytest
from few_problems import FewProblems

from curriculum.domains.protocol import problem_of
from selfplay.attempt_tree import ROOT, attempt_tree, children, label, places, write
from selfplay.looking import graph_json
from selfplay.terminal import plain
from store.records import Attempt, Finish, Origin, Outcome, Turn

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
        tuple(graph.nodes[n]["said"] for n in nx.shortest_path(graph, ROOT, node)[1:]): graph.nodes[node]
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
    assert [graph.nodes[n]["said"] for n in children(graph, ROOT)] == ["5", "6", "\x1b[2J $x$"]
    assert label(graph.nodes[children(graph, ROOT)[0]]) == "5  INCORRECT  3 times, value 0.67"
    assert (
        label({"said": "", "verdict": "UNPARSED", "times": 1, "value": 0.0}) == "(nothing)  UNPARSED  once, value 0.00"
    )
    assert label({"said": "9" * 99, "verdict": "", "times": 2, "value": 1.0}).startswith("9" * 60 + "...  2 times")


def test_leaves_have_heights_of_their_own_and_parents_stand_between(graph: nx.DiGraph) -> None:
    at = places(graph)
    five = children(graph, ROOT)[0]
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
            assert nx.is_isomorphic(back, graph) and back.nodes[ROOT]["times"] == 5
            assert "\\x1b[2J $x$" in {attributes["said"] for attributes in back.nodes.values()}
        case ".svg":
            assert ElementTree.parse(path).getroot().tag.endswith("svg")
        case _:
            assert path.read_bytes().startswith(b"\x89PNG")


def test_another_form_is_refused_by_name(graph: nx.DiGraph, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"written as \.json, \.graphml, \.png, \.svg"):
        write(graph, tmp_path / "tree.doc", plain)
