"""Drives the roles' generators in lock-step waves: gather what they ask for, one engine call, send the results back.

A role yields `Sample`s and knows neither engine nor tokenizer. A wave is everything that the roles of a step ask
for at one time. It is committed as soon as it ends and is atomic: a wave found in the store is not drawn again.
"""

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from roles.requests import Sample, Sampled
from roles.tree import ROOT, Tree
from selfplay.engine.protocol import Draw, Engine
from store.records import Completion, Wave

Result = TypeVar("Result")
Asked = Sample | list[Sample]
Role = Generator[Asked, Any, Result]


@dataclass(slots=True)
class Rollout:
    """One step's conversations: a tree, an engine, and the waves that a killed process left behind."""

    step: int
    tree: Tree
    engine: Engine
    encode: Callable[[str], Sequence[int]]  # text of a prompt -> ids, without special tokens
    commit: Callable[[Wave], Wave]  # returns what was stored: text that cannot be stored as it is comes back cleaned
    stored: Mapping[str, Wave]

    def run(self, phase: str, roles: Iterable[Role[Result]]) -> list[Result]:
        """Drive all `roles` to their end; returns what each returned, in order. `phase` names the waves."""
        conversations = [_Conversation(role) for role in roles]
        wave = 0
        while talking := [c for c in conversations if c.asked is not None]:
            samples = [sample for c in talking for sample in c.samples()]
            results = iter(self._wave(f"{phase}/{wave}", samples))
            for conversation in talking:
                conversation.answer([next(results) for _ in conversation.samples()])
            wave += 1
        return [conversation.result for conversation in conversations]

    def _wave(self, key: str, samples: Sequence[Sample]) -> list[list[Sampled]]:
        draws = [
            Draw(
                node=self.tree.extend(ROOT if s.parent is None else s.parent, self.encode(s.prompt)),
                n=s.n,
                params=s.params,
                key=s.key,
                label=s.label,
            )
            for s in samples
        ]
        stored = self.stored.get(key)
        script = None if stored is None else stored.completions
        results = self.engine.sample(self.tree, draws, script)
        if stored is None:
            stored = self.commit(Wave(self.step, key, tuple(s.completion for group in results for s in group)))
        said: Iterator[Completion] = iter(stored.completions)
        return [[Sampled(sampled.node, next(said)) for sampled in group] for group in results]


class _Conversation:
    """A role's generator, what it asks for now, and in the end what it returned."""

    def __init__(self, role: Role[Any]) -> None:
        self._role = role
        self.asked: Asked | None = None
        self.result: Any = None
        self._send(None)

    def samples(self) -> list[Sample]:
        assert self.asked is not None
        return self.asked if isinstance(self.asked, list) else [self.asked]

    def answer(self, results: list[list[Sampled]]) -> None:
        self._send(results if isinstance(self.asked, list) else results[0])

    def _send(self, value: Any) -> None:
        try:
            self.asked = self._role.send(value)
        except StopIteration as end:
            self.asked, self.result = None, end.value
