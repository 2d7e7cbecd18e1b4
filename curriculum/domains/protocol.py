"""What a domain is: a kind of problem that can be judged, and perhaps posed.

To write your own, make a class with a `name`, `seeds` and a `judge`, and name it in the configuration as
`my_package.my_module:MyDomain`. Every other member of `Domain` is an ability: write it if you want what it is for, such
as `parse` for a challenger (curriculum/domains/abilities.py says what holds without it). No base class is needed;
sums.py, beside this file, is a short example. `python -m selfplay.inspect validate-domain
my_package.my_module:MyDomain` checks it without a model. The package has to be importable: in the folder where the
command is given, or on PYTHONPATH. `domain_options` of the configuration are the keyword arguments of `__init__`; for
an option or a file that will not do raise a `DomainError` (seed_files.py), which the user reads as one line.
"""

import hashlib
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from store.records import Fate, Origin, Outcome, Problem


@dataclass(frozen=True, slots=True)
class Statement:
    """A valid problem, before it has an id and a place in the curriculum."""

    text: str  # as it is proposed, in the domain's normal spelling: "47 + 38"; the solver is shown its `question`
    canonical: str  # equal for statements that are the same problem: "+38 +47"
    family: str  # the domain's class of the problem: "dd+dd"
    level: int  # the domain's measure of size, >= 1
    answer: str
    answer_source: str  # where the answer is from: "executed", "seed" ...


class Verdict(NamedTuple):
    """What a judge says of an answer. A domain's `judge` may leave the score out: a pair will do.

    `score` in [0, 1] is what the answer is paid; None: 1 where it is CORRECT, else 0. Everything that is counted, such
    as a pass rate, goes by the outcome. `error` says in one line why nobody could judge it.
    """

    outcome: Outcome
    answer: str | None = None  # that was read; None where there was none
    score: float | None = None
    error: str = ""


class Domain(Protocol):
    """One kind of problem. Everything here is deterministic, and nothing raises on account of a model's text."""

    @property
    def name(self) -> str:
        """Short and stable: it is part of every problem's id."""
        ...

    @property
    def solver_examples(self) -> Sequence[tuple[str, str]]:
        """(question, answer) pairs for few-shot prompts; questions are spelled as `question` spells them."""
        ...

    @property
    def escalation_examples(self) -> Sequence[tuple[str, str]]:
        """(easy, harder) pairs of problem texts for few-shot prompts."""
        ...

    @property
    def solver_instruction(self) -> str:
        """Chat use: what the solver is told, before the question."""
        ...

    @property
    def recheck_instruction(self) -> str:
        """Chat use: what asks for the second look. It must not say whether the first answer was right."""
        ...

    @property
    def challenger_instruction(self) -> str:
        """Chat use: what the challenger is told, before the parent problem."""
        ...

    @property
    def stops(self) -> Sequence[str]:
        """Few-shot use: strings that end a completion. The first stands behind every example's answer, too. Answers of
        several lines need another than a line end, such as a blank line; with none a completion ends where the model
        ends it. In chat the end of the model's turn ends a completion, whatever stands here."""
        ...

    @property
    def step_ends(self) -> Sequence[str]:
        """Strings that end a step inside an answer, for tree search; none: an answer is one step."""
        ...

    def parse(self, text: str) -> Statement | Fate:
        """A proposal as a statement, or UNPARSED, INVALID or TOO_LARGE. Strict; never raises on any str."""
        ...

    def is_trivial_edit(self, parent: Problem, child: Statement) -> bool:
        """Whether `child` differs from `parent` by nothing that counts."""
        ...

    def judge(self, problem: Problem, text: str) -> Verdict | tuple[Outcome, str | None]:
        """The verdict on a solver's text (stop string cut) and the answer read from it, None when there is none.

        CORRECT, INCORRECT or UNPARSED; UNJUDGED when the domain cannot tell what is right.
        """
        ...

    def observation(self, problem: Problem, text: str) -> str:
        """One line that executing a solver's text showed, for `solver.feedback`. Never raises."""
        ...

    def question(self, problem: Problem) -> str:
        """What is put before the solver: "23 + 45 ="."""
        ...

    def state(self, problem: Problem, text: str) -> str | None:
        """What an unfinished answer leaves to be done, as a text: a search merges answers whose states are equal. None
        where that is not known. Never raises. It must not tell whether a right answer can still be reached."""
        ...

    def fails(self, problem: Problem, text: str) -> bool:
        """Whether a step of an unfinished answer fails when executed, so that no continuation can be right. Never
        raises; False where steps cannot be executed."""
        ...

    def seeds(self) -> Sequence[Statement]:
        """The problems a run starts from."""
        ...

    def shown_examples(self) -> Sequence[Statement]:
        """Every problem that an example shows; these are kept out of the held-out sets."""
        ...

    @property
    def levels(self) -> Sequence[int]:
        """The levels that `draw` is asked for, rising. The control without a challenger gives each the same chance."""
        ...

    def draw(self, rng: random.Random, level: int) -> Statement:
        """A random problem of `level`, one of `levels`, or of a lower level where next to no problem of this one is
        valid."""
        ...

    def evaluation_sets(self) -> Mapping[str, Sequence[Statement]]:
        """Every member of each evaluation set, one text for each canonical form, in a fixed order. A keyed hash chooses
        which of them are held out: half of a set under 200, else 500. {} where there are only `test_sets`."""
        ...

    def test_sets(self) -> Mapping[str, Sequence[Statement]]:
        """Sets that are evaluated whole, and of which nothing is ever trained on: one text for each canonical form, in
        a fixed order. No seed and no shown example may be among them."""
        ...

    def same_answer(self, given: str, right: str) -> bool:
        """Whether two answers that `judge` has read say the same: in a majority vote they are one. Never raises."""
        ...

    def written(self, answer: str) -> str:
        """How a completion says `answer`, where `judge` reads a form such as a box."""
        ...


class KnowsGoodSteps(Protocol):
    """An optional capability, for measuring a search. A search itself never calls it: it may be slow, and it tells the
    way to the answer."""

    def is_good(self, problem: Problem, text: str) -> bool:
        """Whether this unfinished answer can still be continued to a right one with only right steps. Never raises."""
        ...


class HasSeveralAnswers(Protocol):
    """An optional capability, for checking a domain: that another problem's answer is judged right is no fault of it,
    as long as not all of them are."""

    several_right: bool


def problem_id_of(domain_name: str, canonical: str) -> str:
    """16 hex digits: the first 64 bits of sha256 over the domain's name and the canonical form."""
    return hashlib.sha256(f"{domain_name}\0{canonical}".encode("utf-8", "surrogatepass")).hexdigest()[:16]


def by_hash(statements: Iterable[Statement]) -> list[Statement]:
    """In the order of sha256 over the canonical form, which is the same in whatever order they are given: a share of
    them can be held out, and stays the same one."""
    return sorted(
        statements, key=lambda each: hashlib.sha256(each.canonical.encode("utf-8", "surrogatepass")).hexdigest()
    )


def problem_of(statement: Statement, domain_name: str, origin: Origin, parent_id: str | None = None) -> Problem:
    """The problem that a statement states. The same statement has the same id whoever poses it."""
    return Problem(
        problem_id=problem_id_of(domain_name, statement.canonical),
        domain=domain_name,
        text=statement.text,
        canonical=statement.canonical,
        family=statement.family,
        level=statement.level,
        answer=statement.answer,
        answer_source=statement.answer_source,
        origin=origin,
        parent_id=parent_id,
    )
