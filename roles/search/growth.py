"""The tree of steps of one problem while it grows, and the ways to grow it that choose nothing.

A way of searching is a generator like any role. It yields what it wants sampled or scored, is sent the results, and
returns `Searched`. Everything that is sampled becomes a node, rollouts too. Searches of many problems run in the same
waves, each of which is one batched engine call.

A finished answer is worth its verdict (roles/judging/verdicts.py). Where a model has to be asked for it, the answer
stands in the tree as UNJUDGED and is not counted until the next wave has the verdict (`Growth.wave`).

    best_of      whole answers
    monte_carlo  fresh completions at the end of every step of given answers   (VinePPO, arXiv 2410.01679)
    n_ary        the same number of next steps for every step                  (TreeRPO, arXiv 2506.05183)

The search that chooses where to look is in roles/search/mcts.py.
"""

import math
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from curriculum.domains.abilities import ability, able
from curriculum.domains.protocol import Mergeable, Prompted, Prunable, Stepwise
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

    `params` are those of a whole answer. A token of `step_tokens` ends a step. `decode` turns ids into text.
    """

    style: PromptStyle
    params: SamplingParams
    step_tokens: frozenset[int]
    decode: Callable[[Sequence[int]], str]

    @property
    def domain(self) -> Prompted:
        """The domain of the problems."""
        return self.style.domain

    def one_step(self, room: int) -> SamplingParams:
        """Parameters of one step: it ends with the step or the answer, after `room` tokens at the latest."""
        return replace(
            self.params, max_tokens=room, stop=(*self.params.stop, *ability(self.domain, Stepwise).step_ends)
        )

    def to_the_end(self, room: int) -> SamplingParams:
        """Parameters of the rest of an answer, of at most `room` tokens."""
        return replace(self.params, max_tokens=room)


@dataclass(frozen=True, slots=True)
class Searched:
    """What came of one search.

    `num_sampled`: tokens that were sampled for it, those of the given answers not included.
    `right_after`: tokens, given ones included, until the first right answer; None without one.
    `right_after_nodes`: steps in the tree by then; None without one.
    `best`: the last step of the answer that is thought best (`best_answer`); None where no answer was finished.
    `is_reproducible`: False where a clock could have ended the search.
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
        """Whether any finished answer is right."""
        return self.right_after is not None


@dataclass(frozen=True, slots=True)
class _Ended:
    """A finished answer: the path to its last step, its text, and the search's tokens and steps by then."""

    path: Sequence[int]
    text: str
    num_tokens: int
    num_steps: int


@dataclass(slots=True)
class Growth:
    """The tree of steps of one problem while it grows.

    `token_tree` holds the tokens of the steps. `key` begins every random key of the search.
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
    _mergeable: Mergeable | None = field(init=False)
    _prunable: Prunable | None = field(init=False)
    _asked: dict[str, Score] = field(default_factory=dict)  # by answer, the questions for the next wave
    _waiting: list[_Ended] = field(default_factory=list)  # answers whose verdict has been asked for

    def __post_init__(self) -> None:
        self.tree = StepTree(self.merge)
        # None also where the search evaluates on another domain than the configuration was made for
        self._mergeable = able(self.steps.domain, Mergeable) if self.merge else None
        self._prunable = able(self.steps.domain, Prunable) if self.prune else None

    def take(self, given: Sequence[Sampled]) -> Generator[list[Any], list[Any], None]:
        """Begin with whole answers that were sampled before, such as a group's first tries. Each is one visit."""
        paths = []
        for sampled in given:
            self.num_given += len(sampled.completion.ids)
            paths.append(self.insert([STEP_ROOT], sampled))
            for index in paths[-1][1:]:
                self.tree.nodes[index].given += 1
        yield from self.wave([])
        self.visit(paths)

    def wave(self, requests: Sequence[Sample | Score]) -> Generator[list[Any], list[Any], list[Any]]:
        """Yield `requests` and the questions about finished answers, together; nothing where there are none of either.

        Verdicts are taken into the tree. Returns the answers to `requests`.
        """
        everything = [*requests, *self._asked.values()]
        answers = (yield everything) if everything else []
        self._hear(answers[len(requests) :])
        return answers[: len(requests)]

    def visit(self, ended: Sequence[Sequence[int]]) -> None:
        """Back up the verdicts on answers, by the paths to their ends. One that nobody could judge is no visit."""
        for path in ended:
            worth = self.tree.nodes[path[-1]].worth
            if worth is not None:
                back_up(self.tree, path, worth)

    def ask_step(self, node: StepNode, n: int) -> Sample:
        """A request for `n` next steps below `node`, which must not be a merged one."""
        return self._ask(
            node, n, self.steps.one_step(self.room(node)), "step", node.index, _said_below(self.tree, node)
        )

    def ask_rollouts(self, node: StepNode, n: int) -> Sample:
        """A request for `n` completions from `node` to the end of the answer."""
        params = self.steps.to_the_end(self.room(node))
        return self._ask(node, n, params, "rollout", node.index, _said_below(self.tree, node))

    def room(self, node: StepNode) -> int:
        """How many tokens an answer may still have after `node`."""
        return self.steps.params.max_tokens - node.tokens_above

    def receive(self, path: Sequence[int], sampled: Sampled) -> tuple[list[int], bool]:
        """Insert a completion below the last node of `path`. Returns the path to its end, and whether a step is new."""
        self.num_sampled += len(sampled.completion.ids)
        before = len(self.tree)
        return self.insert(path, sampled), len(self.tree) > before

    def insert(self, path: Sequence[int], sampled: Sampled) -> list[int]:
        """Add a completion, step by step, below the last node of `path`. Returns the path to its end.

        If it ends the answer, the answer is counted, at once or as soon as its verdict is there.
        """
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
        """Settle and count the answers that wait for a verdict. `scored` answers `_asked`, in its order."""
        verdicts = {text: self.judging.verdict(text, each) for text, each in zip(self._asked, scored, strict=True)}
        for ended in self._waiting:
            self.tree.settle(ended.path[-1], verdicts[ended.text])
            self._count(ended)
        self._asked.clear()
        self._waiting.clear()

    def result(self, is_reproducible: bool = True) -> Searched:
        """What the search returns; all verdicts must be there."""
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
        """The steps of a completion that continues `above`, in order. A step that fails is the last one."""
        said = sampled.completion
        token_nodes = self.token_tree.tail(sampled.node, len(said.ids))
        ends = [i + 1 for i, token in enumerate(said.ids) if token in self.steps.step_tokens and i + 1 < len(said.ids)]
        pieces: list[Piece] = []
        text = self.tree.text(above.index)
        for start, end in zip([0, *ends], [*ends, len(said.ids)], strict=True):
            step = self.steps.decode(said.ids[start:end])
            text += step
            outcome = self._outcome(said, text, above.tokens_above + end) if end == len(said.ids) else None
            is_open = outcome is None and not self.steps.style.is_thinking(
                text
            )  # steps inside a thought are not executed
            shown = self.steps.style.after_thought(text)
            if is_open and self._fails(shown):
                outcome = Outcome.INCORRECT
            state = self._state(shown) if is_open and outcome is None else None
            logprob = sum(said.logprobs[start:end])
            pieces.append(Piece(token_nodes[end - 1], end - start, step, logprob, outcome, state))
            if outcome is not None:
                break
        return pieces

    def _fails(self, shown: str) -> bool:
        return self._prunable is not None and self._prunable.fails(self.problem, shown)

    def _state(self, shown: str) -> str | None:
        return None if self._mergeable is None else self._mergeable.state(self.problem, shown)

    def _outcome(self, said: Completion, text: str, num_tokens: int) -> Outcome | None:
        """The verdict on an answer, UNJUDGED while it has to be asked for.

        None where a step ended the completion and the answer has room for more.
        """
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
    """Whole answers until `token_budget` tokens were sampled. Searches are measured against this."""
    root, drawn = growth.tree.nodes[STEP_ROOT], 0
    expected = float(growth.room(root))  # tokens of an answer: the mean so far, at first the most there can be
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
    """`rollouts` >= 1 completions at the end of every step of the given answers, except their last.

    A merged step has none of its own; those of the step that it was merged into count for both.
    """
    ends = [n for n in growth.tree if n.piece is not None and not n.is_finished and n.merged_into is None]
    results = yield from growth.wave([growth.ask_rollouts(node, rollouts) for node in ends])
    _receive(growth, ends, results)
    yield from growth.wave([])
    return growth.result()


def n_ary(growth: Growth, children: int) -> Growing:
    """Level by level from the problem, every unfinished step has next steps sampled until it has `children` >= 2."""
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
    """Insert what was sampled below `nodes`, one group for each."""
    for node, group in zip(nodes, groups, strict=True):
        for sampled in group:
            growth.receive(growth.tree.path(node.index), sampled)


def _said_below(tree: StepTree, node: StepNode) -> int:
    """How many next steps of `node` were sampled so far. It is part of the random key of the next request."""
    return sum(tree.nodes[child].said for child in node.children)


def best_answer(tree: StepTree) -> int | None:
    """The last step of a right answer or, without one, of any finished answer; None where none is finished.

    Of several, the answer with the highest mean log-probability of a token is taken.
    """
    finished = [node for node in tree if node.is_finished]
    if not finished:
        return None

    def rank(node: StepNode) -> tuple[bool, float]:
        pieces = [piece for index in tree.path(node.index) if (piece := tree.nodes[index].piece) is not None]
        return node.outcome is Outcome.CORRECT, sum(p.logprob for p in pieces) / sum(p.num_tokens for p in pieces)

    return max(finished, key=lambda node: (*rank(node), -node.index)).index
