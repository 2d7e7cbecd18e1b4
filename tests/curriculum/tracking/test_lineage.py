"""The family tree of problems."""

import pytest

from curriculum.tracking.lineage import Lineage
from store.records import Origin, Problem


def problem(name: str, parent_id: str | None = None) -> Problem:
    origin = Origin.CHALLENGER if parent_id else Origin.SEED
    return Problem(name, "arithmetic", f"text {name}", name, "d+d", 1, "0", "executed", origin, parent_id)


@pytest.fixture
def lineage() -> Lineage:
    """a -> b -> d, a -> c; e alone; f's parent is not here."""
    return Lineage(
        [problem("d", "b"), problem("a"), problem("b", "a"), problem("c", "a"), problem("e"), problem("f", "gone")]
    )


def names(problems: list[Problem]) -> list[str]:
    return [each.problem_id for each in problems]


def test_ancestors_descendants_and_depth(lineage: Lineage) -> None:
    assert names(lineage.ancestors("d")) == ["b", "a"] and lineage.ancestors("a") == []
    assert names(lineage.descendants("a")) == ["b", "c", "d"] and lineage.descendants("e") == []
    assert names(lineage.children("a")) == ["b", "c"]
    assert [lineage.depth(name) for name in "abde"] == [0, 1, 2, 0]


def test_an_unknown_problem_is_a_key_error(lineage: Lineage) -> None:
    for question in (lineage.ancestors, lineage.descendants, lineage.depth, lineage.children):
        with pytest.raises(KeyError):
            question("nobody")


def test_parents_in_a_circle_are_refused() -> None:
    with pytest.raises(ValueError, match="circle"):
        Lineage([problem("a", "b"), problem("b", "a")])


def test_the_exported_graph_has_edges_and_plain_attributes(lineage: Lineage) -> None:
    graph = lineage.graph()
    assert sorted(graph.edges) == [("a", "b"), ("a", "c"), ("b", "d")]
    assert graph.nodes["d"] == {"text": "text d", "family": "d+d", "level": 1, "origin": "CHALLENGER", "depth": 2}
