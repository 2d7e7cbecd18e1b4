"""The steps of many answers to one problem as a tree. Searches grow it; dense rewards are computed from it.

A node is one step of an answer (an "option" in reinforcement learning): the tokens up to where the domain says that a
step ends. The root is the problem. Answers that begin alike share nodes.

With `merge`, a step that leaves the same to be done as a known one of equal depth is merged into it. The later node
keeps its own text and parent; its `merged_into` is the earlier one, which has the children and counts of both.

This tree is not the token tree (roles/tree.py). A step's `Piece` says on which node of that its last token is.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from roles.requests import NodeId
from store.records import Outcome

STEP_ROOT = 0  # the node that is the problem itself


@dataclass(frozen=True, slots=True)
class Piece:
    """One step as it was sampled. `last_token` is a node of the token tree; `logprob` is the sum over its tokens.

    `outcome`: the verdict on the answer that it ends; None where more is to come. `state`: what it leaves to be done,
    equal for steps after which the same remains; None where that is not known.
    """

    last_token: NodeId
    num_tokens: int
    text: str
    logprob: float
    outcome: Outcome | None = None
    state: str | None = None


@dataclass(slots=True)
class StepNode:
    """A step in the tree; the root has no piece.

    `said`: how often it was sampled from its parent. `visits` and `value_sum` are the search's. `leaves` and `right`
    count the finished and judged answers at or below the node.
    """

    index: int
    parent: int  # -1 of the root
    piece: Piece | None
    depth: int = 0  # steps of the answer so far, this one included
    tokens_above: int = 0  # tokens of the answer so far, those of this step included
    merged_into: int | None = None
    said: int = 0
    given: int = 0  # how often of these by answers that the search began with
    children: list[int] = field(default_factory=list)  # in the order they were first said, merged ones too
    visits: int = 0
    value_sum: float = 0.0
    leaves: int = 0
    right: int = 0
    value: float | None = None  # what the critic heads said, in [0, 1]
    process: float | None = None

    @property
    def outcome(self) -> Outcome | None:
        """The verdict on the answer that the step ends; None of the root and where more is to come."""
        return None if self.piece is None else self.piece.outcome

    @property
    def is_finished(self) -> bool:
        """Whether the step ends an answer."""
        return self.outcome is not None

    @property
    def worth(self) -> float | None:
        """1.0 where the step ends a right answer, 0.0 a wrong one; None where it ends none or nobody could judge it."""
        return None if self.outcome in (None, Outcome.UNJUDGED) else float(self.outcome is Outcome.CORRECT)

    @property
    def mean(self) -> float:
        """The mean of the values that were backed up, in [0, 1]; 0.5 without any."""
        return self.value_sum / self.visits if self.visits else 0.5


@dataclass(slots=True)
class StepTree:
    """The nodes of one problem, parents before children."""

    merge: bool = False
    nodes: list[StepNode] = field(default_factory=lambda: [StepNode(STEP_ROOT, -1, None)])
    _at: dict[tuple[int, NodeId], int] = field(default_factory=dict)  # (parent, last token) -> node
    _states: dict[tuple[int, str], int] = field(default_factory=dict)  # (depth, state) -> node

    def __len__(self) -> int:
        return len(self.nodes)

    def __iter__(self) -> Iterator[StepNode]:
        return iter(self.nodes)

    def add(self, parent: int, piece: Piece) -> tuple[StepNode, bool]:
        """The node of a step that was sampled below `parent`, and whether it is new.

        A step below a merged node keeps that as its parent, and is a child of the node that it was merged into.
        """
        known = self._at.get((parent, piece.last_token))
        if known is not None:
            self.nodes[known].said += 1
            return self.nodes[known], False
        above = self.nodes[parent]
        node = StepNode(len(self.nodes), parent, piece, above.depth + 1, above.tokens_above + piece.num_tokens, said=1)
        if self.merge and piece.state is not None and piece.outcome is None:
            first = self._states.setdefault((node.depth, piece.state), node.index)
            node.merged_into = None if first == node.index else first
        self._at[parent, piece.last_token] = node.index
        self.nodes.append(node)
        self.standing(parent).children.append(node.index)
        return node, True

    def settle(self, index: int, outcome: Outcome) -> None:
        """Store the verdict on a finished answer that was UNJUDGED when it was added."""
        node = self.nodes[index]
        assert node.piece is not None and node.is_finished
        node.piece = replace(node.piece, outcome=outcome)

    def standing(self, index: int) -> StepNode:
        """The node itself or, of a merged one, the node that it was merged into: where its children are."""
        node = self.nodes[index]
        return node if node.merged_into is None else self.nodes[node.merged_into]

    def text(self, index: int) -> str:
        """The answer so far, from its first step to this one, along `parent`."""
        said: list[str] = []
        node = self.nodes[index]
        while node.piece is not None:
            said.append(node.piece.text)
            node = self.nodes[node.parent]
        return "".join(reversed(said))

    def path(self, index: int) -> list[int]:
        """From the root to `index`, along `parent`."""
        found = [index]
        while found[-1] != STEP_ROOT:
            found.append(self.nodes[found[-1]].parent)
        return found[::-1]


def back_up(tree: StepTree, path: Sequence[int], value: float) -> None:
    """Add one visit of `value` to every node of `path`, and to those that a node of it was merged into."""
    for index in path:
        for node in {index, tree.standing(index).index}:
            tree.nodes[node].visits += 1
            tree.nodes[node].value_sum += value


def count_answer(tree: StepTree, path: Sequence[int], outcome: Outcome) -> None:
    """Count a finished answer at every node of `path`, as `back_up` does; not one that nobody could judge."""
    if outcome is Outcome.UNJUDGED:
        return
    for index in path:
        for node in {index, tree.standing(index).index}:
            tree.nodes[node].leaves += 1
            tree.nodes[node].right += outcome is Outcome.CORRECT
