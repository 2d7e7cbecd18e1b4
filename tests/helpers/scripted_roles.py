"""A scripted engine for roles, and a sampler that answers from a table: strings and a loop. One character is one token,
so a text's ids are its code points."""

import random
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from curriculum.domains.abilities import ability
from curriculum.domains.arithmetic.domain import ArithmeticDomain
from curriculum.domains.countdown import STEP_END, CountdownDomain, left_after, moves, read_steps
from curriculum.domains.protocol import Domain, Prompted, Statement, problem_of
from roles.judging.verdicts import ByVerifier
from roles.prompts import PromptStyle
from roles.requests import Sample, Sampled, SamplingParams, Score, Scored
from roles.search.growth import Growth, StepStyle
from roles.search.step_tree import Piece
from roles.tree import ROOT, Tree
from selfplay.engine.protocol import Draw, TokenCount
from store.records import Completion, Finish, Origin, Outcome, Problem

DOMAIN = ArithmeticDomain()
COUNTDOWN = CountdownDomain()
PARAMS = SamplingParams(temperature=1.0, max_tokens=8, stop=("\n",))
Say = Callable[[Sample, str, int], str]  # request, all text above, which of its completions -> what is said


def problem(text: str) -> Problem:
    """A problem of the arithmetic domain."""
    statement = DOMAIN.parse(text)
    assert isinstance(statement, Statement)
    return problem_of(statement, DOMAIN.name, Origin.SEED)


def unjudgeable() -> Problem:
    """A problem whose expression has no value: an answer to it is UNJUDGED, other text is still UNPARSED."""
    return Problem("broken", "arithmetic", "1 + + +", "?", "?", 1, "?", "executed", Origin.SEED)


def countdown(text: str) -> Problem:
    """A problem of the countdown domain."""
    statement = COUNTDOWN.parse(text)
    assert isinstance(statement, Statement)
    return problem_of(statement, COUNTDOWN.name, Origin.SEED)


def step_style(max_tokens: int = 40, domain: Domain = COUNTDOWN) -> StepStyle:
    """Answers of at most `max_tokens` characters; a comma ends a step, a new line the answer."""
    params = replace(PARAMS, max_tokens=max_tokens)
    return StepStyle(
        PromptStyle(ability(domain, Prompted)), params, frozenset({ord(STEP_END)}), lambda ids: "".join(map(chr, ids))
    )


def piece(node: int, text: str = "x,", outcome: Outcome | None = None, state: str | None = None) -> Piece:
    """A step whose tokens have a log-probability of -0.5 each, as those of `completion`."""
    return Piece(node, len(text), text, -0.5 * len(text), outcome, state)


def completion(text: str, versions: tuple[int, int] = (4, 4), stops: Sequence[str] = ("\n",)) -> Completion:
    """What an engine would return for `text`: cut by length unless it holds a stop."""
    finish = Finish.STOP if any(stop in text for stop in stops) else Finish.LENGTH
    return Completion(tuple(map(ord, text)), (-0.5,) * len(text), text, finish, *versions)


@dataclass(slots=True)
class ScriptedEngine:
    """Answers requests from a script: for each label, the texts to say, in the order they are asked for.

    A word of a request's key, such as "step" or "rollout", goes before its label; "score" has what `Score`s are
    answered with. Where there is `say`, it makes up the texts, and where there is `judge`, it answers `Score`s. `asked`
    and `scored` keep every request, `waves` how many of each a wave had; `tree` is grown as the real driver grows it.
    """

    script: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    say: Say | None = None
    judge: Callable[[Score], Scored] | None = None
    asked: list[Sample] = field(default_factory=list)
    scored: list[Score] = field(default_factory=list)
    waves: list[tuple[int, int]] = field(default_factory=list)  # (samples, scores)
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
                scores = sum(isinstance(each, Score) for each in request)
                self.waves.append((len(request) - scores, scores))
                answer = [self._answer(each, lines) for each in request]
            else:
                answer = self._answer(request, lines)

    def given(self, problem: Problem, texts: Sequence[str], steps: StepStyle) -> list[Sampled]:
        """First tries at `problem` that said `texts`, as a step of the loop hands them to a search."""
        request = Sample(None, steps.style.solver(problem), len(texts), steps.params, ("solver",), "solver/0")
        return self._say(request, iter(texts))

    def growth(
        self, problem: Problem, given: Sequence[str] = (), steps: StepStyle | None = None, **rest: Any
    ) -> Growth:
        """A search's beginning at `problem`, which the answers `given` were said to before."""
        steps = steps or step_style()
        verifier = ByVerifier(problem, steps.domain)
        growth = Growth(problem, steps, self.tree, **{"key": ("search",), "judging": verifier, **rest})
        asked = list(growth.take(self.given(problem, given, steps) if given else []))
        assert asked == [], "the verdicts on what is given have to be known"
        return growth

    def _answer(self, request: Sample | Score, lines: Mapping[str, Iterator[Any]]) -> list[Sampled] | Scored:
        if isinstance(request, Score):
            self.scored.append(request)
            return next(lines["score"]) if self.judge is None else self.judge(request)
        self.asked.append(request)
        asked_for = next((str(word) for word in request.key if word in lines), request.label)
        return self._say(request, lines[asked_for] if self.say is None else self._made_up(request, self.say))

    def _made_up(self, sample: Sample, say: Say) -> Iterator[str]:
        above = ("" if sample.parent is None else self.text_to(sample.parent)) + sample.prompt
        return (say(sample, above, i) for i in range(sample.n))

    def _say(self, sample: Sample, lines: Iterator[str]) -> list[Sampled]:
        node = self.tree.extend(ROOT if sample.parent is None else sample.parent, map(ord, sample.prompt))
        said = [completion(next(lines), stops=sample.params.stop) for _ in range(sample.n)]
        return [Sampled(self.tree.sampled(node, c.ids, c.logprobs, sample.label), c) for c in said]

    def text_to(self, node: int) -> str:
        """Everything said and given on the path to `node`."""
        return text_to(self.tree, node)


def text_to(tree: Tree, node: int) -> str:
    """Everything said and given on the path to `node`."""
    return "".join(chr(tree.tokens[n]) for n in tree.path(node))


def line_to(tree: Tree, node: int) -> str:
    """What of it stands behind the examples of a few-shot prompt: its last line."""
    return text_to(tree, node).rsplit("\n", 1)[-1]


@dataclass(slots=True, kw_only=True)
class TableSampler:
    """A sampler of one version: its completions are what `said` has, or the script's. `calls` keeps what every call was
    asked for."""

    calls: list[Sequence[Draw]] = field(default_factory=list)

    def said(self, line: str, draw: Draw, index: int) -> str:
        """What sample `index` of a draw says behind `line`, which `line_to` gives of the draw's node."""
        raise NotImplementedError

    def load(self, version: int) -> None:
        """One version for ever."""

    def end_sampling(self) -> None:
        """A table stays."""

    def sample(
        self,
        tree: Tree,
        draws: Sequence[Draw],
        script: Sequence[Completion] | None = None,
        count: TokenCount | None = None,
    ) -> list[list[Sampled]]:
        self.calls.append(draws)
        known = None if script is None else iter(script)
        return [[self._sampled(tree, draw, i, known) for i in range(draw.n)] for draw in draws]

    def _sampled(self, tree: Tree, draw: Draw, index: int, known: Iterator[Completion] | None) -> Sampled:
        if known is None:
            found = completion(self.said(line_to(tree, draw.node), draw, index), stops=draw.params.stop)
        else:
            found = next(known)
        return Sampled(tree.sampled(draw.node, found.ids, found.logprobs, draw.label), found)


def wander(sample: Sample, above: str, index: int) -> str:
    """True steps of a countdown answer at random, the same for the same key: one, or for a rollout all that are left.

    Cut where the room ends, as an engine does.
    """
    rng = random.Random(f"{sample.key}/{index}")
    question, _, said = above.partition(" =")
    left = left_after(tuple(map(int, question.partition(":")[0].split())), read_steps(said.rstrip(STEP_END)) or [])
    text = ""
    while left is not None and len(left) > 1 and (not text or "rollout" in sample.key):
        step, left = rng.choice(list(moves(left)))
        text += f"{step}\n" if len(left) == 1 else f"{step}{STEP_END}"
    return text[: sample.params.max_tokens]
