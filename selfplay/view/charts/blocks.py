"""What a step said, and what a judge searched, as nested blocks: the larger, the more samples; coloured by value."""

from collections.abc import Iterable, Mapping, Sequence

from selfplay.view.charts.chart import Blocks, Chart
from store.records import Attempt, Outcome, SearchNode

_LONGEST = 80  # characters of a label: a completion may be huge


def step_blocks(step: int, attempts: Sequence[Attempt], texts: Mapping[str, str]) -> Chart:
    """A step's problems, and in each the first tries, and in these the second looks; said alike is one block.

    `texts`: of the problems by id. A block's value is the share of the attempts in it whose last answer is right.
    """
    growing = _Growing(f"step {step}")
    links = {}
    for problem_id, group in _by_problem(attempts):
        for attempt in group:
            is_right = attempt.turns[-1].outcome is Outcome.CORRECT if attempt.turns else False
            path = [texts.get(problem_id, problem_id), *(turn.text.strip() or "(nothing)" for turn in attempt.turns)]
            notes = ["problem", *(turn.outcome.value for turn in attempt.turns)]
            block = growing.add([(problem_id, path[0]), *((text, text) for text in path[1:])], notes, is_right)
            links[block] = problem_id
    return Chart(
        key="blocks",
        title="Everything said in this step",
        help="From left to right: the step, its problems, their first tries, and the second looks at each. The taller "
        "a block, the more of the attempts said it; what was said alike is one block. Colour: share of the attempts in "
        "it that ended right. Click a block to look into it.",
        y_label="attempts",
        kind="blocks",
        blocks=growing.blocks() if attempts else None,
        links=tuple(links.get(i, "") for i in range(len(growing.labels))),
        empty="The step has no attempts.",
    )


def search_blocks(step: int, nodes: Sequence[SearchNode]) -> Chart:
    """The tree of steps that the judge searched at one problem. The value of a block is what the search backed up."""
    children: dict[int | None, list[SearchNode]] = {}
    for node in nodes:
        children.setdefault(node.parent, []).append(node)
    sizes: dict[int, float] = {}
    for node in reversed(nodes):  # children come after their parents
        below = sum(sizes[child.node] for child in children.get(node.node, ()))
        sizes[node.node] = max(below, float(node.visits), 1.0)
    index = {node.node: i for i, node in enumerate(nodes)}
    blocks = Blocks(
        labels=tuple(_short(node.text) for node in nodes),
        parents=tuple(-1 if node.parent is None else index[node.parent] for node in nodes),
        sizes=tuple(sizes[node.node] for node in nodes),
        values=tuple(node.mean for node in nodes),
        notes=tuple(_search_note(node) for node in nodes),
    )
    return Chart(
        key="blocks",
        title=f"What the judge searched in step {step}",
        help="From left to right: the problem and the steps of answers to it. The taller a block, the more often the "
        "search visited it. Colour: the value that the search backed up, from 0 to 1.",
        y_label="visits",
        kind="blocks",
        blocks=blocks if nodes else None,
    )


class _Growing:
    """Blocks that samples are added to, path by path."""

    def __init__(self, root: str) -> None:
        self.labels, self._parents, self._notes = [root], [-1], [""]
        self._sizes, self._rights = [0], [0]
        self._known: dict[tuple[int, str], int] = {}

    def add(self, path: Sequence[tuple[str, str]], notes: Sequence[str], is_right: bool) -> int:
        """One sample along (key, label) pairs; returns the block of the first."""
        block, first = 0, 0
        self._count(0, is_right)
        for depth, ((key, label), note) in enumerate(zip(path, notes, strict=True)):
            block = self._block(block, key, label, note)
            first = block if depth == 0 else first
            self._count(block, is_right)
        return first

    def blocks(self) -> Blocks:
        values = tuple(right / size if size else None for right, size in zip(self._rights, self._sizes, strict=True))
        notes = tuple(
            ", ".join(part for part in (note, f"{right} of {size} ended right") if part)
            for note, right, size in zip(self._notes, self._rights, self._sizes, strict=True)
        )
        sizes = tuple(float(size) for size in self._sizes)
        return Blocks(tuple(map(_short, self.labels)), tuple(self._parents), sizes, values, notes)

    def _block(self, parent: int, key: str, label: str, note: str) -> int:
        found = self._known.get((parent, key))
        if found is None:
            found = self._known[parent, key] = len(self.labels)
            self.labels.append(label)
            self._parents.append(parent)
            self._notes.append(note)
            self._sizes.append(0)
            self._rights.append(0)
        return found

    def _count(self, block: int, is_right: bool) -> None:
        self._sizes[block] += 1
        self._rights[block] += is_right


def _by_problem(attempts: Iterable[Attempt]) -> Iterable[tuple[str, list[Attempt]]]:
    found: dict[str, list[Attempt]] = {}
    for attempt in attempts:
        found.setdefault(attempt.problem_id, []).append(attempt)
    return found.items()


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST else line[: _LONGEST - 3] + "..."


def _search_note(node: SearchNode) -> str:
    parts = [f"visits {node.visits}", f"value {node.mean:.2f}"]
    parts += [] if node.outcome is None else [node.outcome.value]
    parts += [] if node.value is None else [f"critic {node.value:.2f}"]
    parts += [] if node.advantage is None else [f"advantage {node.advantage:+.2f}"]
    return ", ".join(parts)
