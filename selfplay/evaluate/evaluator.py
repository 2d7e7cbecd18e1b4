"""Held-out evaluation: the same roles, prompts, engine and ids as training, greedy, on problems never trained.

`full` (before and after) takes every problem through all turns and samples pass@k on the first `pass_size` of each
set; `interim` takes the first try of at most `interim_size`. A set's order is fixed by a keyed hash, so its first
members are a fair sample and the same ones every time; and so are the batches, since what a model says in bf16 depends
on how many rows run beside it: the first `interim_size` of a set are never batched with the rest. On request both say
how second looks fare at the start model's first tries and at one's own (selfplay/evaluate/mechanism.py), and `full`
what sampled answers say of themselves.

Every verdict here is the domain's, whatever `judge.source` says: an evaluation measures what is true and pays nothing.
"""

import math
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

from roles.judging.groups import JudgedAttempt, JudgedGroup, JudgeSettings, judge_group
from roles.prompts import PromptStyle, ReportKind
from roles.requests import SamplingParams
from roles.search.growth import Searched
from roles.solver import SolverSettings, attempt
from roles.tree import Tree
from selfplay.engine.protocol import Sampler
from selfplay.engine.rollout import Ask, Rollout
from selfplay.evaluate.mechanism import mechanism_metrics
from selfplay.evaluate.search import SearchEvaluation
from selfplay.prompting.codec import Encode
from selfplay.stats.calibration import calibration_metrics
from selfplay.stats.intervals import paired_interval, wilson
from store.records import Evaluation, Problem, Wave

PROBLEMS_PER_TREE = 256  # bounds the keys and values held at once; another number may change greedy answers in bf16


@dataclass(frozen=True, slots=True)
class Evaluator:
    """Everything an evaluation needs. `encode`: see `Rollout`."""

    sampler: Sampler
    encode: Encode
    style: PromptStyle
    sets: Mapping[str, Sequence[Problem]]
    turns: int
    max_tokens: int
    interim_size: int
    pass_k: int
    pass_size: int
    report: ReportKind = "none"
    report_tokens: int = 1
    search: SearchEvaluation | None = None
    score: Ask | None = None  # what a search with critics needs
    start: Sampler | None = None  # the start weights': with it, the mechanism is measured
    limit: int | None = None  # see `Rollout`
    _start_tries: dict[str, list[JudgedGroup]] = field(default_factory=dict)  # by set: they never change

    def full(self, step: int, set_name: str) -> Evaluation:
        """All turns, greedy, on the whole set, and pass@k on its first problems."""
        problems = self.sets[set_name]
        metrics, outcomes = self._greedy(problems, self.turns, step)
        metrics |= self._sampled(problems[: self.pass_size], step) | self._mechanism(set_name, step)
        found, reports = self._reports(problems, step)
        searched, searches = self._searches(problems[: self.pass_size], step)
        return Evaluation(step, set_name, "full", metrics | found | searched, outcomes, reports, searches)

    def interim(self, step: int, set_name: str) -> Evaluation:
        """The first try only, greedy, on at most `interim_size` problems."""
        turns = 1 if self.start is None else self.turns
        metrics, outcomes = self._greedy(self.sets[set_name][: self.interim_size], turns, step)
        return Evaluation(step, set_name, "interim", metrics | self._mechanism(set_name, step), outcomes)

    def _greedy(self, problems: Sequence[Problem], turns: int, step: int) -> tuple[dict[str, float], str]:
        groups = self._attempts(problems, turns, group_size=1, temperature=0.0, step=step)
        pairs = [
            (group.attempts[0].turns[0].is_right, group.attempts[0].is_right, _answers_differ(group), _is_parsed(group))
            for group in groups
        ]
        said = [sum(len(turn.sampled.completion.ids) for turn in group.attempts[0].turns) for group in groups]
        metrics = turn_metrics(pairs, turns) | {"tokens_mean": sum(said) / max(1, len(said))}
        return metrics, "".join(str(2 * first + last) for first, last, _, _ in pairs)

    def _sampled(self, problems: Sequence[Problem], step: int) -> dict[str, float]:
        groups = self._attempts(problems, 1, group_size=self.pass_k, temperature=1.0, step=step)
        correct = [sum(a.turns[0].is_right for a in group.attempts) for group in groups]
        found, n = sum(c > 0 for c in correct), len(correct)  # pass@k of k samples is whether one of them was right
        low, high = wilson(found, n)
        name = f"pass_at_{self.pass_k}"
        rate = sum(correct) / max(1, self.pass_k * n)
        return {name: found / max(1, n), f"{name}_low": low, f"{name}_high": high, "pass_at_1": rate}

    def _mechanism(self, set_name: str, step: int) -> dict[str, float]:
        """Sampled second looks at the start model's first tries and at one's own, and how far errors have moved."""
        if self.start is None:
            return {}
        problems = self.sets[set_name][: self.pass_size]
        if set_name not in self._start_tries:
            tries = self._attempts(problems, 1, self.pass_k, 1.0, step=0, sampler=self.start)
            self._start_tries[set_name] = tries
        start = self._start_tries[set_name]
        at_start = self._attempts(problems, self.turns, self.pass_k, 1.0, step, given=start)
        at_own = self._attempts(problems, self.turns, self.pass_k, 1.0, step)
        return mechanism_metrics(at_start, at_own)

    def _reports(self, problems: Sequence[Problem], step: int) -> tuple[dict[str, float], str]:
        """One sampled answer a problem and what it says of itself: metrics, and the pairs as `Evaluation.reports`."""
        if self.report == "none":
            return {}, ""
        groups = self._attempts(problems, self.turns, 1, 1.0, step, report=self.report)
        said = [(group.attempts[0].is_right, _stated(self.report, group.attempts[0])) for group in groups]
        read = [(right, value) for right, value in said if value is not None]
        metrics = {"report_parsed": len(read) / max(1, len(said))}
        if read:
            found = calibration_metrics([right for right, _ in read], [value for _, value in read])
            metrics |= {f"report_{name}": value for name, value in found.items()}
        pairs = (f"{right:d}:{'-' if value is None else f'{value:.4g}'}" for right, value in said)
        return metrics, " ".join(pairs)

    def _searches(self, problems: Sequence[Problem], step: int) -> tuple[dict[str, float], str]:
        """Metrics and `Evaluation.searches`; nothing where evaluations do not search."""
        if self.search is None:
            return {}, ""

        def drive(roles: Callable[[Tree], Sequence[Generator[Any, Any, Searched]]]) -> list[Searched]:
            tree = Tree()
            rollout = Rollout(
                step, tree, self.sampler, self.encode, lambda wave: wave, {}, self.score, limit=self.limit
            )
            return rollout.run("evaluation", roles(tree))

        return self.search.measure(problems, step, drive)

    def _attempts(
        self,
        problems: Sequence[Problem],
        turns: int,
        group_size: int,
        temperature: float,
        step: int,
        sampler: Sampler | None = None,
        given: Sequence[JudgedGroup] | None = None,
        report: ReportKind = "none",
    ) -> list[JudgedGroup]:
        """Judged groups, one a problem. `given`: first tries to look at again, in place of one's own."""
        params = SamplingParams(temperature, self.max_tokens, self.style.stop)
        settings = SolverSettings(
            group_size=group_size,
            turns=turns,
            params=params,
            role="evaluation",
            report=report,
            report_params=replace(params, max_tokens=self.report_tokens),
        )
        judged = []
        for part in batches(len(problems), self.interim_size):
            stored = {} if given is None else {"evaluation/0": _first_wave(step, given[part])}
            rollout = Rollout(
                step, Tree(), sampler or self.sampler, self.encode, lambda wave: wave, stored, limit=self.limit
            )
            solved = rollout.run("evaluation", (attempt(p, self.style, settings, step) for p in problems[part]))
            judged += [judge_group(group, self.style, JudgeSettings(), step) for group in solved]
        return judged


def batches(n: int, head: int) -> list[slice]:
    """The places of n problems that are evaluated together: those of the first `head`, then those of the rest."""
    cuts = [*range(0, min(head, n), PROBLEMS_PER_TREE), *range(head, n, PROBLEMS_PER_TREE)]
    return [slice(start, end) for start, end in pairwise([*cuts, n])]


def _first_wave(step: int, groups: Sequence[JudgedGroup]) -> Wave:
    """The first tries of `groups` as a wave that was sampled already."""
    said = tuple(a.turns[0].sampled.completion for group in groups for a in group.attempts)
    return Wave(step, "evaluation/0", said)


def _stated(kind: ReportKind, attempt: JudgedAttempt) -> float | None:
    """P(right) as stated, or, of a 0/1 self-evaluation, the probability with which "right" was said."""
    report = attempt.report
    if report is None or report.value is None or kind == "confidence":
        return None if report is None else report.value
    probability = math.exp(sum(report.sampled.completion.logprobs))
    return probability if report.value > 0.5 else 1.0 - probability


def turn_metrics(pairs: Sequence[tuple[bool, bool, bool, bool]], turns: int) -> dict[str, float]:
    """From (first right, last right, answers differ, first parsed) per problem to rates with 95% intervals.

    delta = acc_t2 - acc_t1 = i2c - c2i, all as shares of all problems (SCoRe, arXiv 2409.12917).
    """
    n = len(pairs)
    first = sum(a for a, _, _, _ in pairs)
    low, high = wilson(first, n)
    share = 1.0 / max(n, 1)
    metrics = {"n": float(n), "acc_t1": first * share, "acc_t1_low": low, "acc_t1_high": high}
    metrics["parsed"] = sum(parsed for _, _, _, parsed in pairs) * share
    if turns < 2:
        return metrics
    last = sum(b for _, b, _, _ in pairs)
    low, high = wilson(last, n)
    mended = sum(b and not a for a, b, _, _ in pairs)
    broken = sum(a and not b for a, b, _, _ in pairs)
    delta, delta_low, delta_high = paired_interval(mended, broken, n)
    return metrics | {
        "acc_t2": last * share,
        "acc_t2_low": low,
        "acc_t2_high": high,
        "delta": delta,
        "delta_low": delta_low,
        "delta_high": delta_high,
        "i2c": mended * share,
        "c2i": broken * share,
        "change_rate": sum(changed for _, _, changed, _ in pairs) * share,
    }


def _is_parsed(group: JudgedGroup) -> bool:
    return group.attempts[0].turns[0].answer is not None


def _answers_differ(group: JudgedGroup) -> bool:
    turns = group.attempts[0].turns
    return turns[0].answer != turns[-1].answer
