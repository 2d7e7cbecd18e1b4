"""A scripted engine for roles: strings and a loop. One character is one token, so a text's ids are its code points."""

from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from curriculum.domains.arithmetic import ArithmeticDomain
from curriculum.domains.protocol import Statement, problem_of
from roles.requests import Sample, Sampled, SamplingParams
from roles.tree import ROOT, Tree
from store.records import Completion, Finish, Origin, Problem

DOMAIN = ArithmeticDomain()
PARAMS = SamplingParams(temperature=1.0, max_tokens=8, stop=("\n",))


def problem(text: str) -> Problem:
    """A problem of the arithmetic domain."""
    statement = DOMAIN.parse(text)
    assert isinstance(statement, Statement)
    return problem_of(statement, DOMAIN.name, Origin.SEED)


def unjudgeable() -> Problem:
    """A problem whose expression has no value: an answer to it is UNJUDGED, other text is still UNPARSED."""
    return Problem("broken", "arithmetic", "1 + + +", "?", "?", 1, "?", "executed", Origin.SEED)


def completion(text: str, versions: tuple[int, int] = (4, 4)) -> Completion:
    """What an engine would return for `text`: cut by length unless it holds a stop."""
    finish = Finish.STOP if "\n" in text else Finish.LENGTH
    return Completion(tuple(map(ord, text)), (-0.5,) * len(text), text, finish, *versions)


@dataclass(slots=True)
class ScriptedEngine:
    """Answers requests from a script: for each label, the texts to say, in the order they are asked for.

    `asked` keeps every request; `tree` is grown as the real driver grows it.
    """

    script: Mapping[str, Sequence[str]]
    asked: list[Sample] = field(default_factory=list)
    tree: Tree = field(default_factory=Tree)

    def drive(self, role: Generator[Any, Any, Any]) -> Any:
        """Run one role to its end; returns what it returned."""
        lines = {label: iter(texts) for label, texts in self.script.items()}
        answer: Any = None
        while True:
            try:
                request = role.send(answer)
            except StopIteration as end:
                assert all(next(rest, None) is None for rest in lines.values()), "the script has lines left over"
                return end.value
            if isinstance(request, list):
                answer = [self._say(sample, lines[sample.label]) for sample in request]
            else:
                answer = self._say(request, lines[request.label])

    def _say(self, sample: Sample, lines: Iterator[str]) -> list[Sampled]:
        self.asked.append(sample)
        node = self.tree.extend(ROOT if sample.parent is None else sample.parent, map(ord, sample.prompt))
        said = [completion(next(lines)) for _ in range(sample.n)]
        return [Sampled(self.tree.sampled(node, c.ids, c.logprobs, sample.label), c) for c in said]

    def text_to(self, node: int) -> str:
        """Everything said and given on the path to `node`."""
        return "".join(chr(self.tree.tokens[n]) for n in self.tree.path(node))
