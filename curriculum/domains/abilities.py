"""What a domain may say besides its core, and what holds where it says nothing.

A domain has to have a `name`, `seeds` and a `judge` (curriculum/domains/protocol.py). Every other member is an ability:
whoever needs one asks for it by name, and a configuration that needs one which the domain lacks is refused in one line.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from curriculum.answers.comparing import is_same_answer
from curriculum.domains.protocol import Domain, Statement
from curriculum.domains.seed_files import DomainError
from store.records import Problem

CORE = ("name", "seeds", "judge")
ABILITIES: Mapping[str, str] = {  # member -> what a domain can do that has it
    "parse": "read a proposal, so that a challenger can pose problems: parse(text)",
    "draw": "draw a problem of a level without a challenger: draw(rng, level)",
    "levels": "name the levels that it draws from: levels",
    "observation": "say what running an answer shows: observation(problem, text)",
    "fails": "execute the steps of an unfinished answer: fails(problem, text)",
    "state": "say what an unfinished answer leaves to be done: state(problem, text)",
}


class _Neutral:
    """What is used of a domain that does not say it."""

    solver_examples: Sequence[tuple[str, str]] = ()
    escalation_examples: Sequence[tuple[str, str]] = ()
    solver_instruction = "Answer the question. Give the answer only."
    recheck_instruction = "Check your answer, and give it again."
    challenger_instruction = "Write one problem that is a little harder. Give its text only."
    step_ends: Sequence[str] = ()
    stops: Sequence[str] = ("\n",)

    @staticmethod
    def question(problem: Problem) -> str:
        """The problem's text."""
        return problem.text

    @staticmethod
    def is_trivial_edit(parent: Problem, child: Statement) -> bool:
        """Whether both are the same problem."""
        return parent.canonical == child.canonical

    @staticmethod
    def observation(problem: Problem, text: str) -> str:
        """Nothing was run."""
        return ""

    @staticmethod
    def state(problem: Problem, text: str) -> str | None:
        """Not known: no two partial answers are merged."""
        return None

    @staticmethod
    def fails(problem: Problem, text: str) -> bool:
        """Never: steps are not executed."""
        return False

    @staticmethod
    def shown_examples() -> Sequence[Statement]:
        """No example shows a problem."""
        return ()

    @staticmethod
    def written(answer: str) -> str:
        """The answer itself."""
        return answer

    @staticmethod
    def same_answer(given: str, right: str) -> bool:
        """As text, then as numbers: 7.0 is 7."""
        return is_same_answer(given, right)

    @staticmethod
    def test_sets() -> Mapping[str, Sequence[Statement]]:
        """None."""
        return {}

    @staticmethod
    def evaluation_sets() -> Mapping[str, Sequence[Statement]]:
        """None."""
        return {}


class _Completed:
    """A domain with neutral answers for what it does not say. `can` tells them apart."""

    def __init__(self, own: Any) -> None:
        self.own = own

    def __getattr__(self, name: str) -> Any:
        own = self.__dict__["own"]
        return getattr(own, name) if hasattr(own, name) else getattr(_Neutral, name)


def completed(domain: Any) -> Domain:
    """The domain as everything here uses it: itself, if it says all there is to say."""
    neutral = [name for name in vars(_Neutral) if not name.startswith("_")]
    return domain if all(hasattr(domain, name) for name in neutral) else _Completed(domain)  # type: ignore[return-value]


def can(domain: Domain, member: str) -> bool:
    """Whether the domain itself has the member."""
    return hasattr(domain.own if isinstance(domain, _Completed) else domain, member)


def require(domain: Domain, member: str, wanted_by: str) -> None:
    """DomainError, which names the member to write, where the domain lacks what a configuration key needs."""
    if not can(domain, member):
        raise DomainError(f"{wanted_by} needs a domain that can {ABILITIES[member]}. {domain.name} has no {member}")
