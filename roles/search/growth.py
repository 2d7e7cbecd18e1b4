"""Growing the tree of steps of one problem: what all ways of searching share, and the two that do not choose.

A way of searching is a generator like any role: it yields what it wants sampled or scored, is sent the results, and
returns `Searched`. Everything that is sampled becomes a node, rollouts too. Searches of many problems run in the same
waves, so that a wave is one batched engine call.

A finished answer is worth its verdict (roles/judging/verdicts.py). Where that has to be asked for, the answer hangs in
the tree unjudged, in no count, until the next wave of its search has brought it: `Growth.wave`.

`best_of` samples whole answers, `monte_carlo` puts fresh completions at every step end of given answers (VinePPO, arXiv
2410.01679), `n_ary` gives every step the same number of next ones (TreeRPO, arXiv 2506.05183). Search that chooses is
in roles/search/mcts.py.
"""

import math
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from curriculum.domains.protocol import Domain
from roles.judging.verdicts import Judging
from roles.prompts import PromptStyle
from roles.requests import Sample, Sampled, SamplingParams, Score, Scored
from roles.search.step_tree import STEP_ROOT, Piece, StepNode, StepTree, back_up, count_answer
from roles.solver import turn_label
from roles.tree import Tree
from store.records import Completion, Finish, Outcome, Problem

LABEL = turn_label(0)
Growing = Generator[list[Any], list[Any], "Searched"]


@dataclass(frozen=True, slots=True)
class StepStyle:
    """How answers are asked for and cut into steps.

    `params` is of a whole answer. A token of `step_tokens` ends a step; `decode` turns a step's ids into its text.
    """

    style: PromptStyle
    params: SamplingParams
    step_tokens: frozenset[int]
    decode: Callable[[Sequence[int]], str]

    @property
    def domain(self) -> Domain:
        return self.style.domain

    def one_step(self, room: int) -> SamplingParams:
        """Ends where a step or the answer does, after `room` tokens at the latest."""
        return replace(self.params, max_tokens=room, stop=(*self.params.stop, *self.domain.step_ends))

    def to_the_end(self, room: int) -> SamplingParams:
        """Ends where the answer does."""
        return replace(self.params, max_tokens=room)


@dataclass(frozen=True, slots=True)
class Searched:
    """What came of one search. `tokens` were sampled for it, those of the given answers not counted.

    `right_after`: tokens sampled, given ones included, when the first right answer was there, and `right_after_nodes`
    the steps in the tree by then; None without one.
    `best`: the finished step whose answer is thought best; None where none was finished. `is_reproducible` is False
    where a clock could have ended it.
    """

    problem: Problem
    tree: StepTree
    num_sampled: int = 0
    right_after: int | None = None
    right_after_nodes: int | None = None
    best: int | None = None
    is_reproducible: bool = True

    @property
    def is_right(self) -> bool:
        """Whether any finished answer is."""
        return self.right_after is not None


@dataclass(frozen=True, slots=True)
class _Ended:
    """The path to where an answer ended, its text, and how many tokens and steps there were by then."""

    path: Sequence[int]
    text: str
    num_tokens: int
    num_steps: int


@dataclass(slots=True)
class Growth:
    """The tree of steps of one problem while it grows. `key` begins all random keys of the search.

    `merge`: steps that leave the same to be done become one. `prune`: a step that fails when executed ends its answer.
    """

    problem: Problem
    steps: StepStyle
    token_tree: Tree
    key: tuple[str | int, ...]
    judging: Judging
    merge: bool = False
    prune: bool = False
    tree: StepTree = field(init=False)
    num_given: int = 0  # tokens of given answers
    num_sampled: int = 0
    right_after: int | None = None
    right_after_nodes: int | None = None
    _asked: dict[str, Score] = field(default_factory=dict)  # by answer: questions that no wave has put yet
    _waiting: list[_Ended] = field(default_factory=list)  # for what is asked

    def __post_init__(self) -> None:
        self.tree = StepTree(self.merge)

    def take(self, given: Sequence[Sampled]) -> Generator[list[Any], list[Any], None]:
        """Whole answers that were sampled before, such as a group's first tries: each is a visit."""
        paths = []
        for sampled in given:
            self.num_given += len(sampled.completion.ids)
            paths.append(self.insert([STEP_ROOT], sampled))
            for index in paths[-1][1:]:
                self.tree.nodes[index].given += 1
        yield from self.wave([])
        self.visit(paths)

    def wave(self, requests: Sequence[Sample | Score]) -> Generator[list[Any], list[Any], list[Any]]:
        """Ask `requests`, and in the same wave for the verdicts that finished answers wait for; no wave where there is
        nothing to ask. Returns the answers to `requests`."""
        everything = [*requests, *self._asked.values()]
        answers = (yield everything) if everything else []
        self._hear(answers[len(requests) :])
        return answers[: len(requests)]

    def visit(self, ended: Sequence[Sequence[int]]) -> None:
        """Back up the verdicts on answers, by the paths to their ends. What nobody could judge is no visit."""
        for path in ended:
            worth = self.tree.nodes[path[-1]].worth
            if worth is not None:
                back_up(self.tree, path, worth)

    def ask_step(self, node: StepNode, n: int) -> Sample:
        """`n` next steps below `node`, which is no merged one."""
        return self._ask(
            node, n, self.steps.one_step(self.room(node)), "step", node.index, _said_below(self.tree, node)
        )

    def ask_rollouts(self, node: StepNode, n: int) -> Sample:
        """`n` completions of the answer from `node` to its end."""
        params = self.steps.to_the_end(self.room(node))
        return self._ask(node, n, params, "rollout", node.index, _said_below(self.tree, node))

    def room(self, node: StepNode) -> int:
        """Tokens that an answer may still have behind `node`."""
        return self.steps.params.max_tokens - node.tokens_above

    def receive(self, path: Sequence[int], sampled: Sampled) -> tuple[list[int], bool]:
        """A completion below the last node of `path`: the path to where it ends, and whether its first step is new."""
        self.num_sampled += len(sampled.completion.ids)
        before = len(self.tree)
        return self.insert(path, sampled), len(self.tree) > before

    def insert(self, path: Sequence[int], sampled: Sampled) -> list[int]:
        """Hang a completion, step by step, below the last node of `path`, and count it if it ends the answer: at once,
        or when its verdict is there."""
        found = list(path)
        node = self.tree.standing(path[-1])
        for piece in self._pieces(node, sampled):
            node, _ = self.tree.add(node.index, piece)
            found.append(node.index)
        if node.is_finished:
            text = self._answer(self.tree.text(node.index))
            ended = _Ended(found, text, self.num_given + self.num_sampled, len(self.tree) - 1)
            if node.outcome is Outcome.UNJUDGED and text in self._asked:
                self._waiting.append(ended)
            else:
                self._count(ended)
        return found

    def _count(self, ended: _Ended) -> None:
        outcome = self.tree.nodes[ended.path[-1]].outcome
        assert outcome is not None
        count_answer(self.tree, ended.path, outcome)
        if outcome is Outcome.CORRECT and self.right_after is None:
            self.right_after, self.right_after_nodes = ended.num_tokens, ended.num_steps

    def _hear(self, scored: Sequence[Scored]) -> None:
        """Verdicts for all that wait, from the answers to what was asked."""
        verdicts = {text: self.judging.verdict(text, each) for text, each in zip(self._asked, scored, strict=True)}
        for ended in self._waiting:
            self.tree.settle(ended.path[-1], verdicts[ended.text])
            self._count(ended)
        self._asked.clear()
        self._waiting.clear()

    def result(self, is_reproducible: bool = True) -> Searched:
        assert not self._waiting, "a search ends when its verdicts are there"
        best = best_answer(self.tree)
        return Searched(
            self.problem, self.tree, self.num_sampled, self.right_after, self.right_after_nodes, best, is_reproducible
        )

    def _ask(self, node: StepNode, n: int, params: SamplingParams, kind: str, *key: int) -> Sample:
        whole = (*self.key, kind, *key)
        if node.piece is None:
            return Sample(None, self.steps.style.solver(self.problem), n, params, whole, LABEL)
        return Sample(node.piece.last_token, "", n, params, whole, LABEL)

    def _pieces(self, above: StepNode, sampled: Sampled) -> list[Piece]:
        """The steps of a completion that continues `above`, in order."""
        said = sampled.completion
        nodes = self.token_tree.tail(sampled.node, len(said.ids))
        ends = [i + 1 for i, token in enumerate(said.ids) if token in self.steps.step_tokens and i + 1 < len(said.ids)]
        pieces: list[Piece] = []
        text = self.tree.text(above.index)
        for start, end in zip([0, *ends], [*ends, len(said.ids)], strict=True):
            step = self.steps.decode(said.ids[start:end])
            text += step
            outcome = self._outcome(said, text, above.tokens_above + end) if end == len(said.ids) else None
            is_open = outcome is None and not self.steps.style.is_thinking(text)  # a thought may say what it likes
            shown = self.steps.style.after_thought(text)
            if is_open and self.prune and self.steps.domain.fails(self.problem, shown):
                outcome = Outcome.INCORRECT
            state = self.steps.domain.state(self.problem, shown) if is_open and outcome is None else None
            logprob = sum(said.logprobs[start:end])
            pieces.append(Piece(nodes[end - 1], end - start, step, logprob, outcome, state))
            if outcome is not None:
                break  # what was said behind a step that failed is no part of the tree
        return pieces

    def _outcome(self, said: Completion, text: str, num_tokens: int) -> Outcome | None:
        """The verdict on an answer, UNJUDGED while it has to be asked for; None where a step ended it and there is room
        for more."""
        is_step = said.ids[-1] in self.steps.step_tokens and not any(stop in text for stop in self.steps.params.stop)
        if said.finish is Finish.STOP and is_step:
            return None if num_tokens < self.steps.params.max_tokens else Outcome.TRUNCATED
        if said.finish is Finish.LENGTH:
            return Outcome.TRUNCATED
        answer = self._answer(text)
        question = self.judging.question(answer)
        if question is None:
            return self.judging.verdict(answer, None)
        self._asked[answer] = question
        return Outcome.UNJUDGED

    def _answer(self, text: str) -> str:
        return self.steps.style.visible(text)


def best_of(growth: Growth, token_budget: int) -> Growing:
    """Whole answers, nothing else, until `tokens` were sampled: what a search is measured against."""
    root, drawn = growth.tree.nodes[STEP_ROOT], 0
    expected = float(growth.room(root))  # tokens of an answer, at first as many as there can be
    while growth.num_sampled < token_budget:
        n = math.ceil((token_budget - growth.num_sampled) / expected)
        results = yield from growth.wave([growth.ask_rollouts(root, n)])
        for sampled in results[0]:
            growth.receive([STEP_ROOT], sampled)
        drawn += n
        expected = growth.num_sampled / drawn
    yield from growth.wave([])
    return growth.result()


def monte_carlo(growth: Growth, rollouts: int) -> Growing:
    """`rollouts` >= 1 completions at the end of every step that the given answers passed and did not end with.

    Steps that were merged share those of where they stand.
    """
    ends = [n for n in growth.tree if n.piece is not None and not n.is_finished and n.merged_into is None]
    results = yield from growth.wave([growth.ask_rollouts(node, rollouts) for node in ends])
    _receive(growth, ends, results)
    yield from growth.wave([])
    return growth.result()


def n_ary(growth: Growth, children: int) -> Growing:
    """Level by level, every unfinished step, the problem first, gets next steps until `children` >= 2 were said."""
    level = [growth.tree.nodes[STEP_ROOT]]
    while level:
        missing = [(node, children - _said_below(growth.tree, node)) for node in level]
        asked = [(node, n) for node, n in missing if n > 0]
        results = yield from growth.wave([growth.ask_step(node, n) for node, n in asked])
        _receive(growth, [node for node, _ in asked], results)
        below = [growth.tree.nodes[child] for node in level for child in node.children]
        level = [node for node in below if not node.is_finished and node.merged_into is None]
    yield from growth.wave([])
    return growth.result()


def _receive(growth: Growth, nodes: Sequence[StepNode], groups: Sequence[Sequence[Sampled]]) -> None:
    """What was said below `nodes`, a group each."""
    for node, group in zip(nodes, groups, strict=True):
        for sampled in group:
            growth.receive(growth.tree.path(node.index), sampled)


def _said_below(tree: StepTree, node: StepNode) -> int:
    """How many next steps were sampled from it: part of the key of those that are asked for next."""
    return sum(tree.nodes[child].said for child in node.children)


def best_answer(tree: StepTree) -> int | None:
    """The finished step that ends a right answer, else any answer: of several the one with the most likely tokens."""
    finished = [node for node in tree if node.is_finished]
    if not finished:
        return None

    def rank(node: StepNode) -> tuple[bool, float]:
        pieces = [piece for index in tree.path(node.index) if (piece := tree.nodes[index].piece) is not None]
        return node.outcome is Outcome.CORRECT, sum(p.logprob for p in pieces) / sum(p.num_tokens for p in pieces)

    return max(finished, key=lambda node: (*rank(node), -node.index)).index
