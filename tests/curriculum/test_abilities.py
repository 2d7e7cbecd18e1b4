"""A capability is asked for: what a domain does not say is the Protocol's own, and what it must say is named."""

import random
from typing import Any

import pytest
from capabilities import CAPABILITIES

from curriculum.domains import protocol
from curriculum.domains.abilities import ability, able, call_of, lacking, members_of
from curriculum.domains.loading import load_domain
from curriculum.domains.own import METHODS, VALUES
from curriculum.domains.protocol import Domain, Drawable, Posable, Prompted, Statement, problem_of
from curriculum.domains.seed_files import DomainError
from curriculum.domains.sums import SumsDomain
from store.records import Fate, Origin, Outcome, Problem

SEED = Statement("1 + 2", "1 + 2", "sums", 1, "3", "executed")
PROBLEM = problem_of(SEED, "core", Origin.SEED)


class Core:
    """What every domain has, and nothing else."""

    name = "core"

    def seeds(self) -> list[Statement]:
        return [SEED]

    def judge(self, problem: Problem, text: str) -> tuple[Outcome, str | None]:
        return (Outcome.CORRECT if text == problem.answer else Outcome.INCORRECT), text


class Reads(Core):
    """It reads proposals, and says in words of its own what is asked."""

    challenger_instruction = "Harder!"

    def parse(self, text: str) -> Statement | Fate:
        return SEED if text == SEED.text else Fate.UNPARSED

    def question(self, problem: Problem) -> str:
        return f"{problem.text} is"


class Inherits(Core, Posable):  # type: ignore[misc]  # a Protocol may be a base class, and need not
    """The same by inheritance."""

    def parse(self, text: str) -> Statement | Fate:
        return Fate.UNPARSED


@pytest.mark.parametrize("wanted", CAPABILITIES)
def test_a_domain_of_the_core_has_every_capability_of_which_nothing_must_be_written(wanted: Any) -> None:
    must = [member for member in members_of(wanted) if member in wanted.__abstractmethods__]
    found = able(Core(), wanted)
    assert (found is None) == (must != ["name", "seeds", "judge"])
    assert found is None or [getattr(found, member) is not None for member in members_of(wanted)]


def test_what_a_domain_does_not_say_is_the_protocols_own() -> None:
    asked, told = ability(Core(), Prompted), ability(Reads(), Prompted)
    assert (asked.question(PROBLEM), told.question(PROBLEM)) == ("1 + 2", "1 + 2 is")
    assert tuple(asked.stops) == ("\n",) and asked.solver_examples == () and asked.written("3") == "3"
    assert ability(Core(), protocol.ComparesAnswers).same_answer("7.0", "7")
    assert ability(Core(), protocol.Evaluated).test_sets() == {}
    assert ability(Core(), protocol.HasSeveralAnswers).several_right is False
    posable = ability(Reads(), Posable)
    assert posable.parse("1 + 2") is SEED and posable.challenger_instruction == "Harder!"
    assert posable.is_trivial_edit(PROBLEM, SEED) and posable.escalation_examples == ()
    assert (posable.name, posable.judge(PROBLEM, "3")) == ("core", (Outcome.CORRECT, "3"))
    with pytest.raises(AttributeError):
        posable.solver_examples  # type: ignore[attr-defined]  # noqa: B018  # of another capability


def test_a_domain_that_says_everything_is_itself() -> None:
    domain = SumsDomain(2, 6)
    assert able(domain, Drawable) is domain and able(domain, Posable) is not None
    inherits = Inherits()
    assert able(inherits, Posable) is inherits and inherits.escalation_examples == ()


def test_a_capability_may_be_asked_of_what_another_was_asked_of() -> None:
    asked = ability(Reads(), Prompted)
    assert ability(asked, Posable).parse("1 + 2") is SEED and able(asked, Drawable) is None
    drawn = ability(ability(SumsDomain(2, 6), Prompted), Drawable)
    assert drawn.draw(random.Random(1), 2) == SumsDomain(2, 6).draw(random.Random(1), 2)


def test_the_line_names_all_that_is_to_be_written_and_what_it_is_for() -> None:
    with pytest.raises(DomainError) as caught:
        ability(Core(), Drawable, "challenger.source=procedural")
    assert str(caught.value) == (
        "challenger.source=procedural needs a domain with levels and draw(rng, level), which core lacks: the levels "
        "that `draw` is asked for, rising; a random problem of `level`, one of `levels` (docs/domains.md)"
    )
    assert lacking(Core(), Drawable) == ["levels", "draw"]


def test_the_core_is_asked_for_in_the_same_way() -> None:
    assert lacking(object(), Domain) == ["name", "seeds", "judge"]
    assert [call_of(Domain, member) for member in members_of(Domain)] == ["name", "seeds()", "judge(problem, text)"]
    with pytest.raises(DomainError, match=r"lacks name, seeds\(\), judge\(problem, text\)"):
        load_domain("builtins:object")


def test_what_each_member_gives_is_checked_of_a_users_domain() -> None:
    members = {member for wanted in CAPABILITIES for member in members_of(wanted)}
    assert members - {"name", "judge"} == {*METHODS, *VALUES}
