"""What is wrong with a member of a user's domain is one line that names it; what a model's text does to it is none."""

import math
from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from typing import Any

import pytest

from curriculum.domains.abilities import ability, able
from curriculum.domains.judging import contradiction, judged
from curriculum.domains.loading import load_domain
from curriculum.domains.own import MOST_STATEMENTS, OwnDomain
from curriculum.domains.protocol import Posable, Prompted, Statement, Verdict, problem_of
from curriculum.domains.seed_files import DomainError
from curriculum.validation import validate_domain
from store.records import Fate, Origin, Outcome, Problem

STATED = Statement("1 + 2", "1 + 2", "sums", 1, "3", "executed")
PROBLEM = problem_of(STATED, "mine", Origin.SEED)


class Mine:
    """Nothing is wrong with it."""

    name = "mine"

    def seeds(self) -> Any:
        return [STATED]

    def judge(self, problem: Problem, text: str) -> tuple[Outcome, str | None]:
        return (Outcome.CORRECT if text == problem.answer else Outcome.INCORRECT), text


class Exits(Mine):
    def __init__(self) -> None:
        raise SystemExit(9)


class Closes(Mine):
    def __init__(self) -> None:
        raise GeneratorExit


class NoSeeds(Mine):
    @property
    def seeds(self) -> Any:  # type: ignore[override]
        raise RuntimeError("no data\nhere")


class Contradicts(Mine):
    def judge(self, problem: Problem, text: str) -> tuple[Outcome, str | None]:
        return Outcome.UNPARSED, None


class Grades(Mine):
    def judge(self, problem: Problem, text: str) -> Any:
        return Verdict(Outcome.INCORRECT, text, 0.5)


def raising(*_: object) -> Any:
    raise KeyError("ouch")


async def waiting(*_: object) -> Any:
    return True


def endless(*_: object) -> Iterator[Statement]:
    return (replace(STATED, canonical=str(number)) for number in count())


def with_member(name: str, value: Any) -> OwnDomain:
    """`Mine` with one more member; a function is a method."""
    return OwnDomain(type("Own", (Mine,), {name: value})(), "my_module:Own", judge_seconds=None)


@pytest.mark.parametrize(
    ("member", "value", "words"),
    [
        ("seeds", [STATED], "seeds is .*must be a method"),
        ("judge", 3, "judge is 3, and must be a method"),
        ("judge", waiting, r"judge is async, and must be a method: def judge\(self, problem, text\)"),
        ("same_answer", waiting, "same_answer is async"),  # a coroutine is true
        ("parse", None, r"parse is None, and must be a method: def parse\(self, text\)"),
        ("fails", lambda self, text: False, r"fails cannot be called .*too many.* def fails\(self, problem, text\)"),
        ("draw", lambda self, rng, level, size: None, "draw cannot be called .*'size'"),
        ("seeds", lambda: [STATED], "seeds cannot be called"),
        ("several_right", lambda self: False, "several_right is .*must be True or False"),
        ("stops", "\n", r"stops is '\\n', and must be a list of texts"),
        ("stops", [""], "stops is .*none empty"),
        ("solver_examples", ["ab"], "solver_examples is .*pairs"),
        ("solver_instruction", 3, "solver_instruction is 3, and must be a text"),
        ("levels", [2, 1], "levels is .*rising"),
        ("levels", [], "levels is .*rising"),
        ("levels", [1, 10**30], "levels is .*from 1 to 1,000,000"),
    ],
)
def test_a_member_of_another_kind_is_refused_when_it_is_loaded(member: str, value: Any, words: str) -> None:
    with pytest.raises(DomainError, match=f"^domain my_module:Own: {words}"):
        with_member(member, value)


@pytest.mark.parametrize(
    ("member", "method", "words"),
    [
        ("seeds", raising, "raised KeyError: 'ouch'"),
        ("seeds", lambda self: None, "raised TypeError"),
        ("seeds", lambda self: ["1 + 2"], "gave '1 \\+ 2' as member 0 .*not a Statement"),
        ("seeds", lambda self: [replace(STATED, level=0)], "level 0: give an integer from 1"),
        ("seeds", lambda self: [replace(STATED, level=2**63)], "level 9223372036854775808: give an integer from 1 to"),
        ("seeds", lambda self: [replace(STATED, answer=3)], "the answer 3, which is no text"),
        ("seeds", lambda self: [replace(STATED, text="1 \0 2")], "with a NUL"),
        ("seeds", lambda self: [replace(STATED, text="1 \ud800 2")], "surrogate"),
        ("seeds", lambda self: [replace(STATED, text=" ")], "a text of 1 characters"),
        ("seeds", lambda self: [replace(STATED, text="1" * 10_000_000)], "a text of 10,000,000 characters"),
        ("evaluation_sets", lambda self: [STATED], "give names with their problems"),
        ("test_sets", lambda self: {3: [STATED]}, "gave the name 3"),
        ("question", lambda self, problem: 3, "gave 3, which is no text"),
        ("question", lambda self, problem: "", "gave '', which is no text to ask"),
        ("draw", lambda self, rng, level: None, "gave None .*not a Statement"),
        ("signature", lambda self, problem: None, "gave None, which is no text"),
        ("closeness", lambda self, problem, target: 2, "gave 2: give a number from 0 to 1"),
        ("closeness", lambda self, problem, target: math.nan, "gave nan: give a number from 0 to 1"),
        ("closeness", lambda self, problem, target: True, "gave True: give a number from 0 to 1"),
        ("parse", raising, "raised KeyError"),
        ("parse", lambda self, text: Fate.ACCEPTED, "gave <Fate.ACCEPTED"),
        ("parse", lambda self, text: "UNPARSED", "gave 'UNPARSED'"),
    ],
)
def test_what_a_method_does_wrong_is_one_line_that_names_it(member: str, method: Any, words: str) -> None:
    domain = with_member(member, method)
    given = {"question": (PROBLEM,), "draw": (None, 1), "parse": ("1 + 2",), "signature": (PROBLEM,)}
    arguments = (given | {"closeness": (PROBLEM, PROBLEM)}).get(member, ())
    with pytest.raises(DomainError, match=rf"^domain my_module:Own: {member}\(\) .*{words}") as caught:
        getattr(domain, member)(*arguments)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 300


def test_a_generator_without_an_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    assert MOST_STATEMENTS >= 1_000_000
    monkeypatch.setattr("curriculum.domains.own.MOST_STATEMENTS", 100)
    with pytest.raises(DomainError, match="more than 100 problems"):
        with_member("seeds", endless).seeds()


@pytest.mark.parametrize(
    ("text", "fate"), [("1 \0 2", Fate.INVALID), ("\ud800", Fate.INVALID), ("1" * 30_000, Fate.TOO_LARGE)]
)
def test_a_statement_that_cannot_be_stored_is_a_rejected_proposal(text: str, fate: Fate) -> None:
    """A model wrote the text, so the run goes on."""
    assert with_member("parse", lambda self, text: replace(STATED, text=text)).parse(text) is fate


def test_what_a_domain_lacks_it_still_lacks_and_what_its_judge_raises_is_counted() -> None:
    domain = with_member("judge", raising)
    assert able(domain, Posable) is None and ability(domain, Prompted).question(PROBLEM) == "1 + 2"
    assert judged(domain, PROBLEM, "3").error == "the domain's judge: KeyError: 'ouch'"


@pytest.mark.parametrize(
    ("name", "words"),
    [("Exits", "SystemExit: 9"), ("Closes", "GeneratorExit"), ("NoSeeds", "RuntimeError: no data here")],
)
def test_a_class_that_cannot_be_made_is_one_line(name: str, words: str) -> None:
    with pytest.raises(DomainError, match=words) as caught:
        load_domain(f"{__name__}:{name}")
    assert "\n" not in str(caught.value)


def test_a_judge_that_contradicts_its_own_seeds_is_said() -> None:
    assert [contradiction(load_domain(f"{__name__}:{name}")) for name in ("Mine", "Grades")] == ["", ""]
    line = contradiction(load_domain(f"{__name__}:Contradicts"))
    assert "its judge calls '3', the answer of its own seed '1 + 2', UNPARSED" in line


class Misspelt(Mine):
    stop = ("END",)


def test_a_misspelt_member_is_named_with_the_right_one() -> None:
    """It is optional, so that nothing else misses it."""
    found, right = (
        {check.name: check for check in validate_domain(OwnDomain(own, "mine", None))}["no member is misspelt"]
        for own in (Misspelt(), Mine())
    )
    assert (found.passed, right.passed) == (False, True)
    assert found.detail == "stop is no member that anything asks for: rename it stops, or _stop"
