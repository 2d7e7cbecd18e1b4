"""Families of reasoning-gym as domains: the same problems in every process, judged by their own score.

Skipped without the extra. Tests that start a process of their own, which imports the library for seconds, are slow:

    uv sync --extra reasoning-gym && uv run pytest -m "slow or not slow" tests/curriculum/domains/test_reasoning_gym.py
"""

import importlib.util
import os
import random
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from curriculum.domains.environments import reasoning_gym
from curriculum.domains.environments.extras import version_of
from curriculum.domains.environments.reasoning_gym import ReasoningGymDomain
from curriculum.domains.loading import load_domain
from curriculum.domains.protocol import Statement, problem_of
from curriculum.domains.seed_files import DomainError
from curriculum.holdout import HeldOut
from curriculum.validation import validate_domain
from roles.prompts import few_shot_style
from store.records import Origin, Outcome

SMALL = {"levels": 2, "entries": 4, "test_entries": 4}


@pytest.fixture(scope="module", autouse=True)
def _installed() -> None:
    if importlib.util.find_spec("reasoning_gym") is None:  # not imported: this process never does
        pytest.skip("the extra reasoning-gym is not installed")


def made(family: str, **options: object) -> ReasoningGymDomain:
    return ReasoningGymDomain(family, **(SMALL | options))  # type: ignore[arg-type]


def end_child() -> None:
    """The next question starts another process."""
    if (pid := reasoning_gym._child.pid) is not None:
        os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("family", ["basic_arithmetic", "spell_backward", "leg_counting", "mini_sudoku", "graph_color"])
def test_families_of_all_kinds_pass_every_check(family: str) -> None:
    domain = load_domain("reasoning_gym", {"family": family, **SMALL})
    failed = [check for check in validate_domain(domain) if not check.passed]
    assert not failed
    assert list(domain.test_sets()) == ["level1", "level2"]


@pytest.mark.slow
def test_problems_are_the_same_in_every_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """ransom_note makes its text from a set, whose order is that of the process's hashes."""
    found = []
    for hash_seed in ("1", "2"):
        monkeypatch.setenv("PYTHONHASHSEED", hash_seed)
        end_child()
        domain = made("ransom_note")
        found.append([*domain.seeds(), domain.draw(random.Random(5), 2)])
    assert found[0] == found[1]


def test_making_problems_leaves_this_process_as_it_is() -> None:
    random.seed(3)
    before = random.getstate()
    made("pool_matrix").seeds()  # draws from the global generator of numpy
    assert random.getstate() == before


@pytest.mark.slow
def test_a_stored_problem_is_made_again_from_its_recipe() -> None:
    domain = made("leg_counting", seed=7)
    drawn = domain.draw(random.Random(1), 2)
    problem = problem_of(drawn, domain.name, Origin.PROCEDURAL)
    end_child()
    again = made("leg_counting")  # of another seed: the recipe says which problem it is
    assert again.judge(problem, drawn.answer).outcome is Outcome.CORRECT
    assert again.judge(problem, str(int(drawn.answer) + 1))[:2] == (Outcome.INCORRECT, str(int(drawn.answer) + 1))
    with pytest.raises(DomainError, match=r"makes another leg_counting of level 2, entry \d+, than the one"):
        again.judge(replace(problem, text="How many legs has a horse?"), "4")


def test_levels_are_the_attributes_of_the_curriculum() -> None:
    """chain_sum's levels are numbers of terms and of digits."""
    domain = made("chain_sum", levels=3)
    terms = {level: [len(each.text.split("+")) for each in domain.test_sets()[f"level{level}"]] for level in (1, 3)}
    assert domain.levels == [1, 2, 3]
    assert max(terms[1]) <= max(terms[3]) and len({each.level for each in domain.seeds()}) == 3
    assert made("chain_sum", config={"min_digits": 4, "max_digits": 4}).seeds()[0].answer >= "1000"
    assert list(made("acre").levels) == [1]  # without a curriculum


def test_nothing_is_practised_and_held_out() -> None:
    """coin_flip has few problems, and its levels share them."""
    domain = made("coin_flip", levels=3, entries=10, test_entries=10)
    held_out = HeldOut(domain, "selfplay-1")
    assert held_out.sets and domain.seeds()
    assert not any(held_out.contains(each.canonical) for each in (*domain.seeds(), *domain.shown_examples()))
    texts = [each.text for members in held_out.sets.values() for each in members]
    assert len(set(texts)) == len(texts)


def test_an_answer_of_several_lines_stands_in_a_tag_that_the_stop_closes() -> None:
    domain = made("mini_sudoku")
    seed = domain.seeds()[0]
    problem = problem_of(seed, domain.name, Origin.SEED)
    style = few_shot_style(domain)
    assert style.solver(problem).count("</answer>") == 3 and "\n" in seed.answer
    for text in (style.visible(style.completion(seed.answer)), f"I see: <answer>{seed.answer}</answer>."):
        assert domain.judge(problem, text).outcome is Outcome.CORRECT
    assert domain.judge(problem, f"<answer>{seed.answer}</answer> or <answer>1</answer>").outcome is Outcome.UNPARSED


@pytest.mark.slow
def test_an_answer_that_makes_the_judge_fail_gets_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reasoning_gym, "SCORING_SECONDS", 1.0)
    domain = made("countdown", levels=1, entries=1, test_entries=0, examples=0)
    problem = problem_of(domain.seeds()[0], domain.name, Origin.SEED)
    for text in ("9**9**9**9", "__import__('os')", "(" * 500, "1/0"):
        assert domain.judge(problem, text).outcome is Outcome.INCORRECT


@pytest.mark.parametrize(
    ("family", "options", "line"),
    [
        ("leg_count", {}, "has no 'leg_count': did you mean leg_counting, "),
        ("rush_hour", {}, "no problem of the first 32 has an answer of 1,000 characters at most that its own"),
        (
            "chain_sum",
            {"config": {"min_trems": 3}},
            "config.min_trems: reasoning_gym's chain_sum has no such field; its",
        ),
        ("chain_sum", {"config": {"max_terms": 0}}, "chain_sum refuses its configuration"),
        ("chain_sum", {"levels": 0}, "domain_options.levels is 0: it must be an integer of at least 1"),
    ],
)
def test_what_will_not_do_is_one_line(family: str, options: dict[str, object], line: str) -> None:
    with pytest.raises(DomainError, match=r"domain_options|reasoning_gym") as failure:
        made(family, **options)
    assert line in str(failure.value) and "\n" not in str(failure.value)


def test_a_missing_extra_is_one_line_with_the_command(tmp_path: Path) -> None:
    with pytest.raises(DomainError, match="`uv sync --extra not-there`"):
        version_of("not-there", "not_there", wanted_by="domain of a test")


def test_statements_say_how_they_are_made() -> None:
    statement: Statement = made("spell_backward").seeds()[0]
    assert statement.answer_source.startswith("reasoning_gym ") and " spell_backward level 1 seed 0 entry " in (
        statement.answer_source
    )
