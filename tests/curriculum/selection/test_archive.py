"""Novelty beside everything that was ever admitted: the counts are the plain definitions, and lookups do not grow."""

import math
import random
import time

import pytest

from curriculum.domains.abilities import ability
from curriculum.domains.likeness import tokens_of
from curriculum.domains.protocol import ComparesProblems, Statement, problem_of
from curriculum.domains.python.domain import PythonDomain
from curriculum.domains.sums import SumsDomain
from curriculum.domains.words.domain import WordsDomain
from curriculum.selection.archive import Archive
from curriculum.settings import CurriculumSettings
from curriculum.tracking.difficulty import Tracker
from store.records import Origin, Problem, StepHistory

DOMAIN = ability(SumsDomain(2, 6), ComparesProblems)


def problem(canonical: str, family: str = "f") -> Problem:
    return Problem(canonical, "d", canonical, canonical, family, 1, "1", "drawn", Origin.SEED)


def knowing(*canonicals: str) -> Tracker:
    tracker = Tracker(CurriculumSettings())
    tracker.observe(StepHistory(0, 0, tuple(map(problem, canonicals)), (), ()))
    return tracker


def shape(n: int) -> float:
    return 1.0 / math.sqrt(1.0 + n)


def test_near_are_the_forms_that_differ_in_one_token() -> None:
    known = ["+12 +34", "+13 +34", "+12 +94", "+99 +99", "+12 +345", "-12 +34"]
    found = Archive(knowing(*known), DOMAIN)
    for asked in ["+12 +35", "+12 +44", "+77 +77", "+12 -34"]:
        tokens = tokens_of(asked)
        others = [tokens_of(each) for each in known]
        near = sum(
            len(other) == len(tokens) and sum(a != b for a, b in zip(tokens, other, strict=True)) == 1
            for other in others
        )
        assert found.novelty(problem(asked)) == shape(near), asked
    assert found.novelty(problem("+12 +35")) == shape(1) and found.novelty(problem("+77 +77")) == 1.0


def test_what_is_solved_alike_is_not_new() -> None:
    domain = WordsDomain()
    told = [
        "Mary has 5 pens and finds 2 more. How many pens does Mary have? | 5 + 2",
        "Tom has 17 nuts and gets 26 more. How many nuts does Tom have? | 17 + 26",
        "Jack had 9 coins and lost 6. How many coins are left? | 9 - 6",
    ]
    stated = [each for each in map(domain.parse, told) if isinstance(each, Statement)]
    first, like, other = [problem_of(each, "words", Origin.SEED) for each in stated]
    tracker = Tracker(CurriculumSettings())
    tracker.observe(StepHistory(0, 0, (first,), (), ()))
    archive = Archive(tracker, ability(domain, ComparesProblems))
    assert archive.novelty(like) == shape(1) and archive.novelty(other) == 1.0


def test_programs_are_alike_without_their_literals() -> None:
    domain = ability(PythonDomain(), ComparesProblems)

    def signature(text: str) -> str:
        stated = PythonDomain().parse(text)
        assert isinstance(stated, Statement), text
        return domain.signature(problem_of(stated, "python", Origin.SEED))

    assert signature("f = lambda x: x * 2 + 1; f(3)") == signature("f = lambda y: y * 7 + 9; f(4)")
    assert signature("f = lambda x: x * 2 + 1; f(3)") != signature("f = lambda x: x + 2 * 1; f(3)")
    assert signature("f = lambda x: x * 2; f(3)") != signature("f = lambda x: x * 2; f(?) == f(3)")


def long_text(rng: random.Random, words: int = 40) -> str:
    return " ".join(rng.choice("abcdefghij") * rng.randint(1, 5) for _ in range(words))


def test_long_forms_are_near_by_their_shingles() -> None:
    pytest.importorskip("datasketch")
    rng = random.Random(0)
    base, other = long_text(rng), long_text(rng)
    edited = " ".join([*base.split()[:-2], "x", "y"])  # 36 of 40 shingles, of 42 in both: 0.9
    archive = Archive(knowing(base, *(long_text(rng) for _ in range(50))), DOMAIN)
    assert archive.novelty(problem(edited)) == shape(1)
    assert archive.novelty(problem(other)) == 1.0
    again = Archive(knowing(base, edited, base + " z"), DOMAIN)
    assert again.novelty(problem(base + " y")) == shape(3), "a cluster counts all its members"


def test_it_takes_up_what_was_admitted_since_and_gives_what_a_new_one_gives() -> None:
    pytest.importorskip("datasketch")
    rng = random.Random(1)
    forms = list(dict.fromkeys(f"+{rng.randrange(10, 60)} +{rng.randrange(10, 60)}" for _ in range(300)))
    forms += [long_text(rng, 20) + f" {i}" for i in range(30)]
    rng.shuffle(forms)
    tracker = knowing(*forms[:100])
    kept = Archive(tracker, DOMAIN)
    asked = [problem(f"+{rng.randrange(10, 60)} +{rng.randrange(10, 60)} "), *map(problem, forms[-5:])]
    before = [kept.novelty(each) for each in asked]
    for step, at in enumerate(range(100, len(forms) - 5, 40), start=1):
        tracker.observe(StepHistory(step, step, tuple(map(problem, forms[at : min(at + 40, len(forms) - 5)])), (), ()))
        made = Archive(tracker, DOMAIN)
        assert [kept.novelty(each) for each in asked] == [made.novelty(each) for each in asked]
    assert [kept.novelty(each) for each in asked] != before


def test_a_lookup_costs_the_same_beside_a_thousand_and_thirty_thousand_problems() -> None:
    rng = random.Random(2)
    asked = [problem(f"+{rng.randrange(1000)} +{rng.randrange(1000)} +{rng.randrange(1000)}") for _ in range(2000)]

    def seconds(size: int) -> float:
        forms = dict.fromkeys(
            f"+{rng.randrange(1000)} +{rng.randrange(1000)} +{rng.randrange(1000)}" for _ in range(size)
        )
        archive = Archive(knowing(*forms), DOMAIN)
        archive.novelty(asked[0])
        times = []
        for _ in range(3):
            began = time.process_time()
            for each in asked:
                archive.novelty(each)
            times.append(time.process_time() - began)
        return min(times)

    assert seconds(30_000) < 4 * seconds(1000)
