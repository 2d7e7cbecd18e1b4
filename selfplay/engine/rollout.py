"""Drives the roles' generators in lock-step waves: gather what they ask for, one engine call, send the results back.

A role yields `Sample`s and `Score`s and knows neither engine nor tokenizer. A wave is everything that the roles of a
step ask for at one time. Its completions are committed as soon as it ends and are atomic: a wave found in the store is
not drawn again. Scores are not stored: they are a function of the weights and the tree, and made again with the wave.
"""

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from roles.requests import NodeId, Sample, Sampled, Score, Scored
from roles.tree import ROOT, Tree
from selfplay.engine.protocol import Draw, Question, Sampler, TokenCount
from selfplay.machine.errors import ModelError
from selfplay.prompting.codec import Encode
from store.records import Completion, Wave

Result = TypeVar("Result")
Request = Sample | Score
Answer = list[Sampled] | Scored
Ask = Callable[[Tree, Sequence[Question], TokenCount], list[Scored]]  # see selfplay/train/scorer.py
Role = Generator[Any, Any, Result]  # yields a Request, or a list of them


@dataclass(slots=True)
class Rollout:
    """One step's conversations: a tree, a sampler, and the waves that a killed process left behind."""

    step: int
    tree: Tree
    sampler: Sampler
    encode: Encode
    commit: Callable[[Wave], Wave]  # returns what was stored: text that cannot be stored as it is comes back cleaned
    stored: Mapping[str, Wave]
    score: Ask | None = None  # needed where a role yields a Score
    count: TokenCount = field(default_factory=TokenCount)  # of what ran for it
    limit: int | None = None  # tokens of a context, beyond which the model cannot go (selfplay/prompting/room.py)

    def run(self, phase: str, roles: Iterable[Role[Result]]) -> list[Result]:
        """Drive all `roles` to their end; returns what each returned, in order. `phase` names the waves."""
        conversations = [_Conversation(role) for role in roles]
        wave = 0
        while talking := [c for c in conversations if c.asked is not None]:
            requests = [request for c in talking for request in c.requests()]
            results = iter(self._wave(f"{phase}/{wave}", requests))
            for conversation in talking:
                conversation.answer([next(results) for _ in conversation.requests()])
            wave += 1
        return [conversation.result for conversation in conversations]

    def _wave(self, key: str, requests: Sequence[Request]) -> list[Answer]:
        samples = [request for request in requests if isinstance(request, Sample)]
        scores = [request for request in requests if isinstance(request, Score)]
        scored = iter(self._scores(scores) if scores else [])
        sampled = iter(self._samples(key, samples) if samples else [])
        return [next(sampled) if isinstance(request, Sample) else next(scored) for request in requests]

    def _scores(self, scores: Sequence[Score]) -> list[Scored]:
        assert self.score is not None, "a role asked for scores in a rollout that cannot give any"
        questions = [self._question(score) for score in scores]
        fitting = [question for question in questions if self._has_room(question.node)]
        answers = iter(self.score(self.tree, fitting, self.count) if fitting else [])
        unanswered = Scored((0.0, 0.0))  # as if the model said neither of the choices
        return [next(answers) if self._has_room(question.node) else unanswered for question in questions]

    def _question(self, score: Score) -> Question:
        node = self._node(score)
        return Question(node, tuple(self.encode(choice, self.tree.tokens[node])[0] for choice in score.choices))

    def _samples(self, key: str, samples: Sequence[Sample]) -> list[list[Sampled]]:
        draws = [Draw(node=self._node(s), n=s.n, params=s.params, key=s.key, label=s.label) for s in samples]
        for draw in draws:
            if not self._has_room(draw.node, draw.params.max_tokens):
                raise ModelError(
                    f"step {self.step}: a conversation goes beyond the {self.limit} tokens that the model can read: "
                    "lower solver.max_tokens or solver.turns, or choose another model.name"
                )
        known = self._known(key, samples)
        results = self.sampler.sample(self.tree, draws, known, self.count)
        if known is None:
            wave = Wave(self.step, key, tuple(s.completion for group in results for s in group))
            known = self.commit(wave).completions
        completions = iter(known)
        return [[Sampled(sampled.node, next(completions)) for sampled in group] for group in results]

    def _known(self, key: str, samples: Sequence[Sample]) -> tuple[Completion, ...] | None:
        """A wave's completions where they need not be drawn: a killed process stored them, or the roles give them."""
        if key in self.stored:
            return self.stored[key].completions
        given = tuple(completion for sample in samples for completion in sample.given)
        if given and len(given) != sum(sample.n for sample in samples):
            raise ValueError(f"{key}: all requests of a wave give their completions, or none does")
        return given or None

    def _has_room(self, node: NodeId, more: int = 0) -> bool:
        return self.limit is None or self.tree.depths[node] + 1 + more <= self.limit

    def _node(self, request: Request) -> NodeId:
        parent, after = (ROOT, None) if request.parent is None else (request.parent, self.tree.tokens[request.parent])
        return self.tree.extend(parent, self.encode(request.prompt, after))


class _Conversation:
    """A role's generator, what it asks for now, and in the end what it returned."""

    def __init__(self, role: Role[Any]) -> None:
        self._role = role
        self.asked: Request | list[Request] | None = None
        self.result: Any = None
        self._send(None)

    def requests(self) -> list[Request]:
        assert self.asked is not None
        return self.asked if isinstance(self.asked, list) else [self.asked]

    def answer(self, results: list[Answer]) -> None:
        self._send(results if isinstance(self.asked, list) else results[0])

    def _send(self, value: Any) -> None:
        try:
            self.asked = self._role.send(value)
        except StopIteration as end:
            self.asked, self.result = None, end.value
