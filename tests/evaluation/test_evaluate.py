"""Evaluation: the figures by hand, and the evaluator with an engine that answers from a table."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scripted_roles import DOMAIN, TableSampler, completion, problem

from curriculum.domains.abilities import ability
from curriculum.domains.protocol import Prompted
from roles.judging.failures import JudgeWatch
from roles.prompts import PromptStyle
from roles.requests import SamplingParams
from roles.solver import SolverSettings, attempt
from roles.tree import Tree
from selfplay.engine.protocol import Draw
from selfplay.engine.rollout import Rollout
from selfplay.evaluation.evaluator import Answered, Evaluator, batches, turn_metrics
from selfplay.stats.intervals import paired_interval, wilson

ANSWERED = st.builds(Answered, st.booleans(), st.booleans(), st.booleans(), st.booleans())
WATCH = JudgeWatch(0.0, lambda line: None)


def test_turn_metrics_by_hand() -> None:
    answers = [  # first right, last right, answers differ, first parsed
        Answered(True, True, False, True),
        Answered(True, False, True, True),
        Answered(False, True, True, True),
        Answered(False, True, True, False),
        Answered(False, False, True, True),
    ]
    found = turn_metrics(answers, turns=2)
    assert {k: v for k, v in found.items() if not k.endswith(("_low", "_high"))} == pytest.approx(
        {"n": 5, "acc_t1": 0.4, "acc_t2": 0.6, "delta": 0.2, "i2c": 0.4, "c2i": 0.2, "change_rate": 0.8, "parsed": 0.8}
    )
    assert (found["acc_t1_low"], found["acc_t1_high"]) == wilson(2, 5)
    assert (found["acc_t2_low"], found["acc_t2_high"]) == wilson(3, 5)
    assert (found["delta"], found["delta_low"], found["delta_high"]) == paired_interval(2, 1, 5)


def test_one_turn_says_nothing_of_a_second() -> None:
    found = turn_metrics([Answered(True, True, False, True)], turns=1)
    assert set(found) == {"n", "acc_t1", "acc_t1_low", "acc_t1_high", "parsed"}


@given(st.lists(ANSWERED, min_size=1, max_size=40))
def test_delta_is_what_was_mended_less_what_was_broken(answers: list[Answered]) -> None:
    found = turn_metrics(answers, turns=2)
    assert found["delta"] == pytest.approx(found["i2c"] - found["c2i"], abs=1e-12)
    assert found["delta"] == pytest.approx(found["acc_t2"] - found["acc_t1"], abs=1e-12)
    assert found["delta_low"] <= found["delta"] <= found["delta_high"]


@dataclass(slots=True)
class TableEngine(TableSampler):
    """Answers by question: (first tries, second look), the first tries taken in turn by the samples of a draw."""

    answers: dict[str, tuple[Sequence[str], str]]

    @property
    def asked(self) -> list[Draw]:
        return [draw for call in self.calls for draw in call]

    def said(self, line: str, draw: Draw, index: int) -> str:
        firsts, look = self.answers[line.removeprefix("Recheck: ")]
        return look if line.startswith("Recheck") else firsts[index % len(firsts)]


PROBLEMS = [problem(text) for text in ("1 + 1", "2 + 2", "3 + 3", "4 + 4")]
ANSWERS = {
    "1 + 1 =": ([" 2\n"], " 2\n"),
    "2 + 2 =": ([" 5\n"], " 4\n"),
    "3 + 3 =": ([" 6\n", " 7\n"], " 5\n"),
    "4 + 4 =": ([" eh\n"], " eh\n"),
}


def evaluator(engine: TableEngine, **changes: Any) -> Evaluator:
    given = {"turns": 2, "max_tokens": 8, "interim_size": 2, "pass_k": 4, "pass_size": 3} | changes
    encode = lambda text, after: [ord(c) for c in text]  # noqa: E731
    return Evaluator(
        judge_watch=WATCH,
        sampler=engine,
        encode=encode,
        style=PromptStyle(ability(DOMAIN, Prompted)),
        sets={"sums": PROBLEMS},
        **given,
    )


def test_a_full_evaluation_by_hand() -> None:
    engine = TableEngine(ANSWERS)
    found = evaluator(engine).full(7, "sums")
    assert (found.step, found.set_name, found.kind, found.outcomes) == (7, "sums", "full", "3120")
    m = found.metrics
    assert (m["acc_t1"], m["acc_t2"], m["i2c"], m["c2i"], m["parsed"]) == (0.5, 0.5, 0.25, 0.25, 0.75)
    assert m["change_rate"] == 0.5
    assert m["pass_at_4"] == pytest.approx(2 / 3)  # of the first three: the third is right in half of its samples
    assert (m["pass_at_4_low"], m["pass_at_4_high"]) == wilson(2, 3)
    assert m["pass_at_1"] == pytest.approx((4 + 0 + 2) / 12)
    greedy = [draw for draw in engine.asked if draw.params.temperature == 0.0]
    assert [draw.n for draw in greedy] == [1] * 8
    assert [(d.n, d.params.temperature) for d in engine.asked if d not in greedy] == [(4, 1.0)] * 3


def test_an_interim_evaluation_is_short() -> None:
    engine = TableEngine(ANSWERS)
    found = evaluator(engine).interim(3, "sums")
    assert (found.kind, found.outcomes, len(engine.asked)) == ("interim", "30", 2)
    assert found.metrics["acc_t1"] == 0.5
    assert "acc_t2" not in found.metrics


def test_what_is_batched_together_is_the_same_in_every_evaluation() -> None:
    """Case 12: in bf16 a greedy answer hangs on what runs beside it, so the alarm compared more than the weights."""
    first_tries: list[list[list[str]]] = []
    for measure in (Evaluator.interim, Evaluator.full):
        engine = TableEngine(ANSWERS)
        measure(evaluator(engine), 3, "sums")
        calls = [[str(draw.key) for draw in call if draw.params.temperature == 0.0] for call in engine.calls]
        first_tries.append(calls)
    interim, full = first_tries
    assert interim == full[:1] and len(interim[0]) == 2
    assert [(part.start, part.stop) for part in batches(5, 2)] == [(0, 2), (2, 5)]
    assert [(part.start, part.stop) for part in batches(600, 100)] == [(0, 100), (100, 356), (356, 600)]
    assert [(part.start, part.stop) for part in batches(300, 300)] == [(0, 256), (256, 300)]
    assert [(part.start, part.stop) for part in batches(40, 100)] == [(0, 40)] and batches(0, 100) == []


def test_evaluation_draws_from_streams_of_its_own() -> None:
    engine = TableEngine(ANSWERS)
    evaluator(engine).full(7, "sums")
    assert {draw.key[0] for draw in engine.asked} == {"evaluation"}


def test_the_start_models_first_tries_are_looked_at_by_the_policy() -> None:
    """The start model is wrong where the policy is right, and the policy's second look mends what it is shown."""
    start = TableEngine({"1 + 1 =": ([" 3\n"], " 3\n"), "2 + 2 =": ([" 5\n", " 4\n"], " 5\n")})
    policy = TableEngine({"1 + 1 =": ([" 2\n"], " 2\n"), "2 + 2 =": ([" 4\n"], " 1\n")})
    found = evaluator(policy, pass_size=2, start=start).interim(3, "sums").metrics
    assert (found["fix_start"], found["break_start"]) == (pytest.approx(4 / 6), 1.0)  # 1 + 1 is mended, 2 + 2 is not
    assert (found["fix_own"], found["break_own"]) == (0.0, 0.5)
    assert {draw.label for draw in start.asked} == {"solver/0"}


def test_a_wave_is_given_whole_or_not_at_all() -> None:
    engine = TableEngine(ANSWERS)
    rollout = Rollout(1, Tree(), engine, lambda text, after: [ord(c) for c in text], lambda wave: wave, {})
    settings = SolverSettings(2, 1, SamplingParams(1.0, 8, ("\n",)))
    tries = [completion(" 5\n"), completion(" 4\n")]
    style, given = PromptStyle(ability(DOMAIN, Prompted)), ([], tries)
    roles = (attempt(p, style, settings, 1, given=own) for p, own in zip(PROBLEMS, given, strict=False))
    with pytest.raises(ValueError, match="x/0: all requests of a wave give their completions, or none does"):
        rollout.run("x", roles)
