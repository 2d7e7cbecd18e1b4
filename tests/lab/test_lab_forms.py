"""Chains with answers in several forms, what a start model is taught of them, and figures of parts of a cell."""

import random
from dataclasses import replace

import numpy as np
import pytest
from lab_rows import made_row

from curriculum.domains.protocol import Statement, problem_of
from curriculum.domains.seed_files import DomainError
from curriculum.holdout import HeldOut
from roles.prompts import few_shot_style
from selfplay.lab.forms import FORMS, FormChains, FormStart, SizedStart, worded
from selfplay.lab.verdict.intervals import interval
from selfplay.lab.verdict.measures import acc_t1, of
from selfplay.lab.verdict.parts import on, reached
from selfplay.lab.verdict.views import CellView, cell_views
from store.records import Origin, Outcome

DOMAIN = FormChains(min_steps=2, max_steps=4, modulus=17, max_operand=4)


def outcome(problem: str, said: str) -> Outcome:
    statement = DOMAIN.parse(problem)
    assert isinstance(statement, Statement)
    return DOMAIN.judge(problem_of(statement, DOMAIN.name, Origin.SEED), said)[0]


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("6,10,3", Outcome.CORRECT), ("3", Outcome.CORRECT), ("3<10<6", Outcome.CORRECT), ("1,1,3", Outcome.CORRECT),
        ("6,10", Outcome.INCORRECT), ("10,3", Outcome.INCORRECT), ("6<10<3", Outcome.INCORRECT),
        ("6<10,3", Outcome.UNPARSED), ("", Outcome.UNPARSED), ("<", Outcome.UNPARSED), ("three", Outcome.UNPARSED),
    ],
)  # fmt: skip
def test_an_answer_is_right_in_every_form(said: str, expected: Outcome) -> None:
    assert outcome("3*2+4*2", said) == expected


def test_every_form_of_an_answer_is_told_and_right() -> None:
    statement = DOMAIN.random(random.Random(0), 4)
    problem = problem_of(statement, DOMAIN.name, Origin.SEED)
    for form in FORMS:
        said = worded(statement.answer, form)
        assert DOMAIN.format_of(problem, said) == form
        assert DOMAIN.judge(problem, said)[0] is Outcome.CORRECT


def test_sizes_are_drawn_in_their_shares_and_posed_beyond_them() -> None:
    domain = FormChains(2, 4, 17, 4, drawn=[4, 2, 4, 4])
    rng = random.Random(1)
    sizes = [domain.draw(rng, rng.choice(domain.levels)).level for _ in range(400)]
    assert set(sizes) == {2, 4} and 0.7 < sizes.count(4) / 400 < 0.8
    assert {each.level for each in domain.seeds()} == {2, 4}
    assert isinstance(domain.parse("3*2+4*2"), Statement)  # three operations, which are not drawn
    assert set(domain.evaluation_sets()) == {"chain2", "chain3", "chain4"}
    assert FormChains(2, 4, 17, 4, drawn=[2, 4]).levels == [2, 4]
    (told, same) = domain.told(problem_of(domain.random(random.Random(2), 4), domain.name, Origin.SEED))[1:]
    assert [each.level for each in (*told, *same)] == [2, 3]  # problems of its own, drawn or not
    with pytest.raises(DomainError, match="from 2 to 4"):
        FormChains(2, 4, 17, 4, drawn=[5])


def test_a_pool_is_as_large_as_was_asked_and_the_same_again() -> None:
    pools = [FormChains(2, 4, 17, 4, drawn=[2, 3], pool=40).seeds() for _ in range(2)]
    assert pools[0] == pools[1] and len({each.canonical for each in pools[0]}) == 40


def test_a_start_model_is_taught_the_forms_in_their_shares_and_to_pose() -> None:
    start = FormStart(forms=(("steps", 0.75), ("direct", 0.25)), posing=0.5)
    held_out, style, rng = HeldOut(DOMAIN, "selfplay-1"), few_shot_style(DOMAIN), random.Random(2)
    traces = [start.own_trace(DOMAIN, held_out, style, rng) for _ in range(600)]
    answers = [said for (asked, _), (said, _) in traces if asked.endswith("=")]  # type: ignore[misc, union-attr]
    posed = [pair for pair in traces if pair[0][0].endswith("Harder:")]  # type: ignore[index]
    assert 240 < len(answers) < 360 and len(answers) + len(posed) == 600
    assert 0.65 < sum("," in answer for answer in answers) / len(answers) < 0.85
    for (asked, is_asked), (said, is_said) in posed:  # type: ignore[misc]
        parent, child = DOMAIN.parse(asked.split("\n")[-2].removeprefix("Easy: ")), DOMAIN.parse(said)
        assert isinstance(parent, Statement) and isinstance(child, Statement)
        assert child.level - parent.level in (0, 1) and (is_asked, is_said) == (False, True)


def test_a_start_model_answers_lengths_in_shares_of_its_own() -> None:
    start = SizedStart(sizes=((3, 3.0), (4, 1.0)))
    domain, rng = FormChains(2, 4, 17, 4, drawn=[2]), random.Random(3)
    held_out = HeldOut(domain, "selfplay-1")
    shown = [start.asked(domain, held_out, rng) for _ in range(400)]
    assert {each.level for each in shown} == {3, 4} and 0.7 < sum(each.level == 3 for each in shown) / 400 < 0.8
    assert not any(held_out.contains(each.canonical) for each in shown)
    with pytest.raises(DomainError, match="chains of 5"):
        SizedStart(sizes=((5, 1.0),)).asked(domain, held_out, rng)


def of_parts() -> CellView:
    row = replace(
        made_row("full", 0, 0.3),
        outcomes={
            "a": {"start": "0000", "end": "3330"}, "b": {"start": "0000", "end": "3000"},
            "c": {"start": "0000", "end": "3333"},
        },
        start={name: {} for name in "abc"}, end={name: {} for name in "abc"}, reports={}, searches={}, series={},
    )  # fmt: skip
    return cell_views([row])["full"][0]


def test_a_statistic_of_some_sets_is_that_of_a_cell_with_these_alone() -> None:
    view = of_parts()
    assert on("a", acc_t1)(view) == 0.75 and on(("a", "b"), acc_t1)(view) == 0.5
    left = on("b", acc_t1)(replace(view, leaves_out=True))
    assert left.tolist() == [0.25] * 4 + [0.0] + [1 / 3] * 3 + [0.25] * 4
    alone = replace(view, sets=("b",))
    assert interval(of("x", on("b", acc_t1)), {"x": {0: view}})[0] == interval(of("x", acc_t1), {"x": {0: alone}})[0]
    with pytest.raises(KeyError):
        on("d", acc_t1)(view)


def test_the_frontier_ends_at_the_first_set_that_is_not_reached() -> None:
    view = of_parts()
    assert reached(0.5)(view) == 1.5  # c is solved, and lies beyond b
    assert reached(0.25)(view) == 3.0
    assert np.shape(reached(0.5)(replace(view, leaves_out=True))) == (12,)
