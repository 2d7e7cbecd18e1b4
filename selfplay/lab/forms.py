"""Chains of sums and products whose answers may be said in several forms, for claims about what training favours.

The problems are those of the domain `chains`. An answer to `7*5+9*2 =` modulo 23 may be any of

    steps    12,21,19      the value after each operation: each step is a small fact
    direct   19            the last value alone, worked out in the head: shorter, and right less often
    back     19<21<12      the last value first, which is as hard as saying it alone

and is right where its last value is. A start model is taught the forms in shares that an experiment chooses, and, where
it is to be a challenger too, to make a chain one operation longer or another one of the same length.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from curriculum.domains.bare import distinct
from curriculum.domains.chains import STEP_END, ChainsDomain, read_values
from curriculum.domains.protocol import Drawable, Statement, problem_of
from curriculum.domains.seed_files import DomainError
from curriculum.holdout import HeldOut
from roles.prompts import PromptStyle
from selfplay.lab.scratch import StoppedStart, Trace, new_statement, not_held_out
from store.records import Origin, Outcome, Problem

BACK = "<"  # between two values of an answer that begins with the last one
FORMS = ("steps", "direct", "back")
POOL_KEY = "lab/pool"


class FormChains(ChainsDomain):
    """`drawn`: the sizes that are drawn, each as often as it stands there; empty: all. `pool`: so many problems of
    these sizes are the seeds, the same in every run; 0: two of each. DomainError for impossible options.

    Where a size stands there more than once, `levels` number the entries of `drawn`, so that a choice among levels
    draws each size in its share.
    """

    def __init__(
        self, min_steps: int = 2, max_steps: int = 4, modulus: int = 23, max_operand: int = 5,
        drawn: Sequence[int] = (), pool: int = 0,
    ) -> None:  # fmt: skip
        super().__init__(min_steps, max_steps, modulus, max_operand)
        if not all(isinstance(level, int) and level in self.sizes for level in drawn) or pool < 0:
            raise DomainError(f"domain_options: drawn are levels from {min_steps} to {max_steps}, and pool is from 0")
        self.drawn = sorted(drawn) or list(self.sizes)
        self.is_repeated = len(set(self.drawn)) < len(self.drawn)
        self.levels = list(range(1, len(self.drawn) + 1)) if self.is_repeated else self.drawn
        self.pool = pool
        self.escalation_examples = ()
        self.formats = FORMS

    def seeds(self) -> Sequence[Statement]:
        """Two problems of each size that is drawn, or the pool."""
        if self.pool:
            return distinct(lambda rng: self._drawn(rng, rng.choice(self.drawn)), self.pool, POOL_KEY)
        return [each for each in super().seeds() if each.level in self.drawn]

    def draw(self, rng: random.Random, level: int) -> Statement:
        """A random chain of the size that one of `levels` stands for."""
        return self._drawn(rng, self.drawn[level - 1] if self.is_repeated else level)

    def random(self, rng: random.Random, size: int) -> Statement:
        """A random chain of any size that the options have, drawn or not."""
        return self._drawn(rng, size)

    def judge(self, problem: Problem, text: str) -> tuple[Outcome, str | None]:
        """CORRECT when the last value is right, and there are as many values as operations or, direct, one."""
        values = _said(text)
        if values is None:
            return Outcome.UNPARSED, None
        wanted = [int(value) for value in problem.answer.split(STEP_END)]
        is_right = len(values) in (1, len(wanted)) and values[-1] == wanted[-1]
        return (Outcome.CORRECT if is_right else Outcome.INCORRECT), str(values[-1])

    def format_of(self, problem: Problem, text: str) -> str:
        """By what stands between values; a lone number that was cut behind it is counted as direct."""
        return "back" if BACK in text else "steps" if STEP_END in text else "direct"


def worded(answer: str, form: str) -> str:
    """An answer, "12,21,19", in a form. KeyError for one that there is not."""
    values = answer.split(STEP_END)
    return {"steps": answer, "direct": values[-1], "back": BACK.join(reversed(values))}[form]


@dataclass(frozen=True, slots=True)
class FormStart(StoppedStart):
    """A start model of these chains. `forms`: (form, how often it is said), the weights of a random choice. `posing`:
    the share of traces in which the model makes a chain harder; half of these have one operation more, of a chain of
    any length, the others as many operations."""

    forms: tuple[tuple[str, float], ...] = (("steps", 1.0),)
    posing: float = 0.0

    def own_trace(self, domain: Drawable, held_out: HeldOut, style: PromptStyle, rng: random.Random) -> Trace | None:
        """Either kind."""
        if rng.random() < self.posing:
            return _posed(cast(FormChains, domain), style, rng)
        statement = self.asked(cast(FormChains, domain), held_out, rng)
        form = rng.choices([name for name, _ in self.forms], [weight for _, weight in self.forms])[0]
        problem = problem_of(statement, domain.name, Origin.PROCEDURAL)
        return [(style.solver(problem), False), (style.said(worded(statement.answer, form)), True)]

    def asked(self, domain: FormChains, held_out: HeldOut, rng: random.Random) -> Statement:
        """The problem of a trace that answers: one that the domain draws and that is not held out."""
        return new_statement(domain, held_out, rng)


@dataclass(frozen=True, slots=True)
class SizedStart(FormStart):
    """`sizes`: (operations, how often), the weights of a random choice among the chains that are answered, whatever
    the domain draws: a length may be shown a little, so that self-play begins with a few successes there."""

    sizes: tuple[tuple[int, float], ...] = ((2, 1.0),)

    def asked(self, domain: FormChains, held_out: HeldOut, rng: random.Random) -> Statement:
        """A chain of one of `sizes` that is not held out. DomainError for a size that the domain has not."""
        size = rng.choices([size for size, _ in self.sizes], [weight for _, weight in self.sizes])[0]
        if size not in domain.sizes:
            raise DomainError(f"a start model was to answer chains of {size}, which the domain has not")
        return not_held_out(lambda: domain.random(rng, size), held_out)


def _posed(domain: FormChains, style: PromptStyle, rng: random.Random) -> Trace:
    """A parent of any length, and a harder one or another of its length; what is held out may be among them, which
    says nothing about answers."""
    size = rng.choice(domain.sizes)
    parent = domain.random(rng, size)
    child = domain.random(rng, size + (rng.random() < 0.5 and size < max(domain.sizes)))
    return [
        (style.challenger(problem_of(parent, domain.name, Origin.PROCEDURAL)), False),
        (style.said(child.text), True),
    ]


def _said(text: str) -> list[int] | None:
    """The values of an answer in the order of the operations."""
    if BACK not in text:
        return read_values(text)
    values = read_values(text.replace(BACK, STEP_END)) if STEP_END not in text else None
    return None if values is None else values[::-1]
