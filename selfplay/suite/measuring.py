"""One model on one set: the conversations of a run's own evaluation, and what they come to."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from curriculum.domains.abilities import ability
from curriculum.domains.protocol import ComparesAnswers
from roles.judging.by_majority import Same, vote
from roles.judging.groups import JudgedGroup, JudgedTurn
from roles.search.growth import Searched
from selfplay import metrics
from selfplay.evaluation.evaluator import PROBLEMS_PER_TREE, Evaluator, answered, turn_metrics
from selfplay.stats.pass_at_k import Estimate, doubling, mean_pass_at_k, share_of
from selfplay.suite.records import ProblemOutcome, SaidTurn, SetReport
from selfplay.suite.sets import NamedSet
from store.records import Outcome

Note = Callable[[str], None]
_ROWS_AT_ONCE = 4096  # samples whose keys and values are held at once


@dataclass(slots=True)
class _Progress:
    """A line when something begins, and one after each batch of it but the last."""

    name: str
    total: int
    note: Note
    what: str = ""
    done: int = 0

    def begins(self, what: str) -> None:
        self.what, self.done = what, 0
        self.note(f"{self.name}: {self.total} problems, {what} ...")

    def heard(self, problems: int) -> None:
        self.done += problems
        if self.done < self.total:
            self.note(f"{self.name}: {self.done} of {self.total} problems, {self.what} ...")


def measure(evaluator: Evaluator, named: NamedSet, num_samples: int, step: int, note: Note) -> SetReport:
    """Greedy through all turns, then `num_samples` first tries at temperature 1, then the search, where there is one.

    `step` keys the random numbers, as in a run's evaluation at that step. `note` hears how far it is.
    """
    name, problems = named.name, named.problems
    started, before = time.monotonic(), (evaluator.count.computed, evaluator.count.flat)
    progress = _Progress(name, len(problems), note)
    evaluator = replace(evaluator, heard=progress.heard)
    progress.begins("greedy")
    greedy = evaluator.greedy(problems, evaluator.turns, step)
    sampled: list[JudgedGroup] = []
    if num_samples:
        progress.begins(f"{num_samples} samples of each")
        at_once = max(1, min(PROBLEMS_PER_TREE, _ROWS_AT_ONCE // num_samples))
        sampled = evaluator.sampled(problems, num_samples, step, at_once)
    searches: list[tuple[Searched, Searched]] = []
    if evaluator.search is not None:
        progress.begins(f"searches within {evaluator.search.settings.token_budget} tokens each")
        searches = list(zip(*evaluator.searched(problems, step), strict=True))
    is_same = ability(named.domain, ComparesAnswers).same_answer
    return _report(
        name,
        [_outcome(i, greedy, sampled, searches, is_same) for i in range(len(problems))],
        turn_metrics([answered(group.attempts[0]) for group in greedy], evaluator.turns),
        num_samples=num_samples,
        search_budget=0 if evaluator.search is None else evaluator.search.settings.token_budget,
        tokens_said=sum(_tokens(group) for group in greedy) / max(1, len(greedy)),
        tokens_computed=evaluator.count.computed - before[0],
        tokens_flat=evaluator.count.flat - before[1],
        seconds=round(time.monotonic() - started, 3),
    )


def majority_is_right(turns: Sequence[SaidTurn], is_same: Same) -> bool:
    """Whether the answer that most turns gave is right (`vote`); what could not be read votes for nothing."""
    read = [(turn.answer, turn.outcome) for turn in turns if turn.answer is not None]
    found = vote([answer for answer, _ in read], is_same)
    return found is not None and dict(reversed(read))[found.answer] is Outcome.CORRECT  # as it was first judged


def _outcome(
    index: int,
    greedy: Sequence[JudgedGroup],
    sampled: Sequence[JudgedGroup],
    searches: Sequence[tuple[Searched, Searched]],
    is_same: Same,
) -> ProblemOutcome:
    problem = greedy[index].problem
    said = tuple(_sampled(attempt.turns[0]) for attempt in sampled[index].attempts) if sampled else ()
    found, best_of = (_until_right(each) for each in searches[index]) if searches else (None, None)
    return ProblemOutcome(
        problem_id=problem.problem_id,
        text=problem.text,
        family=problem.family,
        level=problem.level,
        answer=problem.answer,
        turns=tuple(map(_said, greedy[index].attempts[0].turns)),
        sampled=said,
        vote=majority_is_right(said, is_same) if said else None,
        search_tokens=found,
        best_of_tokens=best_of,
    )


def _report(
    name: str,
    problems: Sequence[ProblemOutcome],
    figures: dict[str, float],
    *,
    num_samples: int,
    search_budget: int,
    tokens_said: float,
    tokens_computed: int,
    tokens_flat: int,
    seconds: float,
) -> SetReport:
    def estimate(key: str) -> Estimate | None:
        if key not in figures:
            return None
        return Estimate(figures[key], figures[metrics.low(key)], figures[metrics.high(key)])

    def within(spent: Sequence[float | None]) -> Estimate | None:
        return share_of(sum(each is not None and each <= search_budget for each in spent), n) if search_budget else None

    n, right = len(problems), [each.num_right for each in problems]
    said = [turn for each in problems for turn in (*each.turns, *each.sampled)]
    first_try = estimate(metrics.ACC_T1)
    assert first_try is not None
    return SetReport(
        set_name=name,
        num_problems=n,
        first_try=first_try,
        parsed=figures[metrics.PARSED],
        second_look=estimate(metrics.ACC_T2),
        change=estimate(metrics.DELTA),
        fixed=figures.get(metrics.I2C),
        broken=figures.get(metrics.C2I),
        num_samples=num_samples,
        pass_at_k={k: mean_pass_at_k(right, num_samples, k) for k in doubling(num_samples)},
        vote=share_of(sum(bool(each.vote) for each in problems), n) if num_samples else None,
        search_budget=search_budget,
        search=within([each.search_tokens for each in problems]),
        best_of=within([each.best_of_tokens for each in problems]),
        unjudged=sum(turn.outcome is Outcome.UNJUDGED for turn in said),
        seconds=seconds,
        tokens_said=tokens_said,
        tokens_computed=tokens_computed,
        tokens_flat=tokens_flat,
        problems=tuple(problems),
    )


def _said(turn: JudgedTurn) -> SaidTurn:
    return SaidTurn(turn.sampled.completion.text, turn.answer, turn.outcome)


def _sampled(turn: JudgedTurn) -> SaidTurn:
    """With what its perplexity is told of."""
    completion = turn.sampled.completion
    return replace(_said(turn), ids=completion.ids, nats=-math.fsum(completion.logprobs))


def _tokens(group: JudgedGroup) -> int:
    return sum(len(turn.sampled.completion.ids) for turn in group.attempts[0].turns)


def _until_right(found: Searched) -> float:
    return math.inf if found.right_after is None else float(found.right_after)
