"""What a domain is: a kind of problem that can be judged, and perhaps posed.

To write your own, make a class with a `name`, `seeds` and a `judge`, and name it in the configuration as
`my_package.my_module:MyDomain`. That is the core, `Domain`. Whatever else a domain can do is a capability: a small
`Protocol` below, which only what uses it asks for (curriculum/domains/abilities.py). A member that is abstract there
has to be written for the capability; the body of any other is what holds for a domain that does not say it. No base
class is needed; sums.py, beside this file, is a short example. `python -m selfplay.inspect validate-domain
my_package.my_module:MyDomain` checks it without a model. The package has to be importable: in the folder where the
command is given, or on PYTHONPATH. `domain_options` of the configuration are the keyword arguments of `__init__`; for
an option or a file that will not do raise a `DomainError` (seed_files.py), which the user reads as one line.
"""

import hashlib
import random
from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from curriculum.answers.comparing import is_same_answer
from curriculum.answers.formats import SHAPES, shape_of
from curriculum.domains.likeness import alike, tokens_of
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
    """The core: one kind of problem, where it comes from and which answers are right. Every configuration needs it.

    Everything here and below is deterministic, and nothing raises on account of a model's text.
    """

    @property
    @abstractmethod
    def name(self) -> str:
        """Short and stable: it is part of every problem's id."""

    @abstractmethod
    def seeds(self) -> Sequence[Statement]:
        """The problems a run starts from."""

    @abstractmethod
    def judge(self, problem: Problem, text: str) -> Verdict | tuple[Outcome, str | None]:
        """The verdict on a solver's text (stop string cut) and the answer read from it, None when there is none.

        CORRECT, INCORRECT or UNPARSED; UNJUDGED when the domain cannot tell what is right.
        """


class Prompted(Domain, Protocol):
    """How problems are put to a solver, and how its answers are spelled: prompts, whatever `prompts.style` is. No key
    needs it."""

    @property
    def solver_examples(self) -> Sequence[tuple[str, str]]:
        """(question, answer) pairs for few-shot prompts; questions are spelled as `question` spells them."""
        return ()

    @property
    def solver_instruction(self) -> str:
        """Chat use: what the solver is told, before the question."""
        return "Answer the question. Give the answer only."

    @property
    def recheck_instruction(self) -> str:
        """Chat use: what asks for the second look. It must not say whether the first answer was right."""
        return "Check your answer, and give it again."

    @property
    def stops(self) -> Sequence[str]:
        """Few-shot use: strings that end a completion. The first stands behind every example's answer, too. Answers of
        several lines need another than a line end, such as a blank line; with none a completion ends where the model
        ends it. In chat the end of the model's turn ends a completion, whatever stands here."""
        return ("\n",)

    def question(self, problem: Problem) -> str:
        """What is put before the solver: "23 + 45 ="."""
        return problem.text

    def written(self, answer: str) -> str:
        """How a completion says `answer`, where `judge` reads a form such as a box."""
        return answer


class Posable(Domain, Protocol):
    """A challenger can pose its problems: `challenger.source=self` and `challenger.source=frozen` need it."""

    @abstractmethod
    def parse(self, text: str) -> Statement | Fate:
        """A proposal as a statement, or UNPARSED, INVALID or TOO_LARGE. Strict; never raises on any str."""

    def is_trivial_edit(self, parent: Problem, child: Statement) -> bool:
        """Whether `child` differs from `parent` by nothing that counts."""
        return parent.canonical == child.canonical

    @property
    def escalation_examples(self) -> Sequence[tuple[str, str]]:
        """(easy, harder) pairs of problem texts for few-shot prompts."""
        return ()

    @property
    def challenger_instruction(self) -> str:
        """Chat use: what the challenger is told, before the parent problem."""
        return "Write one problem that is a little harder. Give its text only."

    @property
    def leaves_answers_open(self) -> bool:
        """Whether nobody knows the answer of a new problem that `parse` gives: its `answer` is "", `judge` says
        UNJUDGED of what it can read, and `judge.source=verifier` is refused."""
        return False


class Drawable(Domain, Protocol):
    """Its problems can be drawn at random, without a model: `challenger.source=procedural` needs it, and
    `challenger.drawn_share=0.25`."""

    @property
    @abstractmethod
    def levels(self) -> Sequence[int]:
        """The levels that `draw` is asked for, rising. The control without a challenger gives each the same chance."""

    @abstractmethod
    def draw(self, rng: random.Random, level: int) -> Statement:
        """A random problem of `level`, one of `levels`. It may be of a lower level where next to no problem of this one
        is valid."""


class Evaluated(Domain, Protocol):
    """Some of its problems are held out and measured (curriculum/holdout.py). No key needs it: a domain without sets is
    trained on and not evaluated. The command `selfplay.evaluate` needs a set."""

    def evaluation_sets(self) -> Mapping[str, Sequence[Statement]]:
        """Every member of each evaluation set, one text for each canonical form, in a fixed order. A keyed hash chooses
        which of them are held out: half of a set under 200, else 500. {} where there are only `test_sets`."""
        return {}

    def test_sets(self) -> Mapping[str, Sequence[Statement]]:
        """Sets that are evaluated whole, and of which nothing is ever trained on: one text for each canonical form, in
        a fixed order. No seed and no shown example may be among them."""
        return {}

    def shown_examples(self) -> Sequence[Statement]:
        """Every problem that an example shows; these are kept out of the held-out sets."""
        return ()


class Observable(Domain, Protocol):
    """A second look can be shown what running an answer showed: `solver.feedback=true` needs it."""

    @abstractmethod
    def observation(self, problem: Problem, text: str) -> str:
        """One line that executing a solver's text showed. Never raises."""


class ComparesAnswers(Domain, Protocol):
    """Answers are counted as votes: `judge.source=majority`, and the vote of `selfplay.evaluate`. No key needs it."""

    def same_answer(self, given: str, right: str) -> bool:
        """Whether two answers that `judge` has read say the same: in a majority vote they are one. Never raises."""
        return is_same_answer(given, right)  # as text, then as numbers: 7.0 is 7


class ComparesProblems(Domain, Protocol):
    """Problems can be said to be alike: what `challenger.novelty` and `challenger.aim` pay by. No key needs it."""

    def signature(self, problem: Problem) -> str:
        """How the problem is solved, equal for problems that are solved alike: a program with its numbers left out, for
        one. Without it every problem has its own. Never raises."""
        return problem.canonical

    def closeness(self, problem: Problem, target: Problem) -> float:
        """How near a problem is to one that is aimed at, from 0 to 1, which is no more to be learned from nearer ones.
        Never raises."""
        return alike(tokens_of(problem.canonical), tokens_of(target.canonical))


class Featured(Domain, Protocol):
    """It can say of a problem what makes it hard, before anybody has tried it: `curriculum.forecast=features` learns
    from that. No key needs it."""

    def features(self, problem: Problem) -> Mapping[str, float]:
        """Numbers by name, each about as large as 1: {"carries": 1.0, "operands": 0.5}. Without any, statistics of the
        problem's text stand in their place. Never raises."""
        return {}


class HasFormats(Domain, Protocol):
    """Its answers come in formats, of which training may leave one (docs/metrics.md): each is counted. No key needs
    it, and `guards.formats` stands above it."""

    @property
    def formats(self) -> Sequence[str]:
        """Their names: small letters, digits and underscores, 16 at most."""
        return SHAPES

    def format_of(self, problem: Problem, text: str) -> str:
        """The format of a solver's text, one of `formats`; any other text stands for none of them. Never raises."""
        return shape_of(text)


class ChecksAgain(Domain, Protocol):
    """An answer can be judged once more, by other means than `judge`: `guards.rechecks=4` needs it."""

    @abstractmethod
    def check_again(self, problem: Problem, text: str) -> tuple[bool | None, str]:
        """Whether a solver's text is right, by means that share nothing with `judge`, and which means, in a few words.

        Another executor, a reversed operation or a stricter comparison. None where these cannot tell. Never raises.
        """


class Explained(Domain, Protocol):
    """How a problem is solved can be told step by step: `curriculum.rescue=hint` and `curriculum.rescue=reverse` need
    it."""

    @abstractmethod
    def hints(self, problem: Problem) -> Sequence[str]:
        """How its solution begins, as executing shows it: texts that tell more and more, none of them the answer. The
        shortest first, each with all of the one before it or with what is left after it; () where there is nothing to
        tell. Never raises."""

    def told(self, problem: Problem) -> Sequence[Sequence[Statement]]:
        """For each of the hints, in their order, the problems that it is, or whose answers it tells: a hint that tells
        of one that is held out is not shown, nor any after it. () where hints tell of no other problem. Never
        raises."""
        return ()


class Decomposable(Domain, Protocol):
    """Problems have parts that are problems too: `curriculum.rescue=subproblem` needs it."""

    @abstractmethod
    def easier(self, problem: Problem) -> Sequence[Statement]:
        """Its parts, such as an operand, each with its answer; () where it has none. Never raises."""


class Stepwise(Domain, Protocol):
    """Answers have steps, by which a search grows (`judge.search.when`, `evaluate.search_tokens`). No key needs it."""

    @property
    def step_ends(self) -> Sequence[str]:
        """Strings that end a step inside an answer, for tree search; none: an answer is one step."""
        return ()


class Mergeable(Domain, Protocol):
    """Unfinished answers that leave the same to be done can be told: `judge.search.merge=true` needs it."""

    @abstractmethod
    def state(self, problem: Problem, text: str) -> str | None:
        """What an unfinished answer leaves to be done, as a text. A search merges answers whose states are equal. None
        where that is not known. Never raises. It must not tell whether a right answer can still be reached."""


class Prunable(Domain, Protocol):
    """Steps of an unfinished answer can be executed: `judge.search.prune=true` needs it."""

    @abstractmethod
    def fails(self, problem: Problem, text: str) -> bool:
        """Whether a step of an unfinished answer fails when executed, so that no continuation can be right. Never
        raises; False where steps cannot be executed."""


class Executable(Domain, Protocol):
    """Steps towards an answer can be executed: `train.experience.world_model=1`, `train.experience.imitation=1` and
    `train.experience.reflection=1` need it (docs/experience.md). A state and an action are texts: a state is what a
    solver is asked, an action what it answers with in that state, such as one step of an answer."""

    @abstractmethod
    def executes(self, problem: Problem, state: str, action: str) -> str:
        """The state after a solver's action, or a line that says what executing it gave. A right action gives the state
        that follows the expert's, or a later one of the expert's path; no other action does. Never raises."""

    def begins(self, problem: Problem) -> str:
        """The first state: what the solver is asked."""
        return problem.text

    def expert(self, problem: Problem, state: str) -> str | None:
        """A right action in this state. None where nothing is left to do, or none is known."""
        return None

    @property
    def reflection_examples(self) -> Sequence[tuple[str, str]]:
        """Few-shot use: (what a reflection is shown, a reflection), spelled as roles/experience.py spells them."""
        return ()


class KnowsGoodSteps(Domain, Protocol):
    """For measuring a search (selfplay/lab/credit.py). A search itself never calls it: it may be slow, and it tells the
    way to the answer. No key needs it."""

    @abstractmethod
    def is_good(self, problem: Problem, text: str) -> bool:
        """Whether this unfinished answer can still be continued to a right one with only right steps. Never raises."""


class HasSeveralAnswers(Domain, Protocol):
    """For checking a domain (curriculum/validation.py). No key needs it."""

    @property
    def several_right(self) -> bool:
        """Whether another problem's answer may be judged right, which is then no fault, as long as not all are."""
        return False


class HasByOption(Domain, Protocol):
    """Some of its members are there by an option alone, which the line that refuses a key then names. No key needs
    it."""

    @property
    def by_option(self) -> Mapping[str, str]:
        """By member that the domain lacks: what to set for it, such as "domain_options.posed=true"."""
        return {}


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
