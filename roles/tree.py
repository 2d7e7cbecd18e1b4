"""The token tree: everything that is said in a training step, with every common beginning once.

A node is one token. Its id is its index; the tokens on the path from the root to its parent are the context that it
was read or sampled in. Texts that begin alike share nodes: a role's instruction in front of every problem, a problem in
front of its attempts, two attempts that happen to say the same. `ROOT` is an empty root above all texts, so that a
step's forest is one tree.

Nothing here knows text, only token ids. Nodes are never removed and a parent's id is smaller than its children's, so an
engine may index its keys and values by node.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from itertools import repeat

from roles.support import Support

ROOT = -1  # the empty root, which is no node: the parent of every text's first token
CONTEXT = ""  # the label of a token that was given, not sampled


@dataclass(slots=True)
class Tree:
    """Growing arrays over nodes; they are of type `array`, so that numpy copies them at memory speed.

    With `merge=False` every sampled completion gets nodes of its own; given tokens are shared all the same.

    Example: the prompt [5, 6] with completions [7, 8], [7, 9] and [7, 8] again is five nodes:

        5 - 6 - 7 - 8      and the third completion ends on the same node as the first.
                 \\- 9
    """

    merge: bool = True
    parents: array[int] = field(default_factory=lambda: array("q"))
    tokens: array[int] = field(default_factory=lambda: array("q"))
    depths: array[int] = field(default_factory=lambda: array("q"))  # tokens above; the position fed to the model
    labels: list[str] = field(default_factory=list)  # CONTEXT, or who sampled the token (role and turn)
    logprobs: array[float] = field(default_factory=lambda: array("d"))  # the sampler's; 0.0: context; NaN: not sampled
    supports: dict[int, Support] = field(default_factory=dict)  # of nodes that were drawn from a part of the vocabulary
    _children: dict[tuple[int, int, str], int] = field(default_factory=dict, repr=False)

    def __len__(self) -> int:
        return len(self.parents)

    def extend(self, parent: int, tokens: Iterable[int]) -> int:
        """Add given `tokens` below `parent`, reusing nodes that are there. Returns the last token's node."""
        node = parent
        for token in tokens:
            key = (node, token, CONTEXT)
            child = self._children.get(key)
            if child is None:
                child = self._children[key] = self._append(node, token, CONTEXT, 0.0)
            node = child
        return node

    def sampled(
        self,
        parent: int,
        tokens: Sequence[int],
        logprobs: Sequence[float],
        label: str,
        supports: Sequence[Support | None] | None = None,
    ) -> int:
        """Add a sampled completion below `parent`. Returns the last token's node.

        `supports`: of each token, what it was drawn from, where that is not the whole vocabulary. With `merge`, a token
        that was sampled there before under the same label is reused, with the log-probability and the support that it
        was first sampled with: those two belong together.
        """
        node = parent
        for token, logprob, support in zip(tokens, logprobs, supports or repeat(None, len(tokens)), strict=True):
            key = (node, token, label)
            child = self._children.get(key) if self.merge else None
            if child is None:
                child = self._append(node, token, label, logprob)
                self._children.setdefault(key, child)
                if support is not None:
                    self.supports[child] = support
            node = child
        return node

    def path(self, node: int) -> list[int]:
        """The nodes from below ROOT down to `node`; empty for ROOT."""
        nodes = []
        while node != ROOT:
            nodes.append(node)
            node = self.parents[node]
        nodes.reverse()
        return nodes

    def tail(self, node: int, length: int) -> list[int]:
        """The last `length` nodes of the path to `node`, in order, such as a completion of so many tokens."""
        nodes = []
        for _ in range(length):
            nodes.append(node)
            node = self.parents[node]
        nodes.reverse()
        return nodes

    def _append(self, parent: int, token: int, label: str, logprob: float) -> int:
        self.parents.append(parent)
        self.tokens.append(token)
        self.depths.append(0 if parent == ROOT else self.depths[parent] + 1)
        self.labels.append(label)
        self.logprobs.append(logprob)
        return len(self.parents) - 1


def with_ancestors(parents: Sequence[int], nodes: Iterable[int], known: AbstractSet[int] = frozenset()) -> set[int]:
    """`nodes` and all their ancestors. A walk up the tree ends at an ancestor that is `known`, which is left out.

    `parents` describes a forest: the parent of each node, ROOT or a smaller id.
    """
    found = set(nodes)
    for node in tuple(found):
        parent = parents[node]
        while parent != ROOT and parent not in found and parent not in known:
            found.add(parent)
            parent = parents[parent]
    return found


def depth_first(parents: Sequence[int], nodes: Sequence[int]) -> list[int]:
    """`nodes`, given in ascending order, with every parent before its children and every subtree in one piece.

    `parents` is as of `with_ancestors`. A node whose parent is not among `nodes` begins a tree of its own.
    """
    inside = set(nodes)
    starts: list[int] = []
    children: dict[int, list[int]] = {}
    for node in nodes:
        parent = parents[node]
        (children.setdefault(parent, []) if parent in inside else starts).append(node)
    order, stack = [], starts[::-1]
    while stack:
        node = stack.pop()
        order.append(node)
        stack.extend(reversed(children.get(node, ())))
    return order
