"""Held-out evaluation: the roles, prompts and sampler of training, greedy, on problems that are never trained on.

`full` (before and after) takes every problem through all turns and samples pass@k on the first `pass_size` of each
set. `interim` takes the first try of at most `interim_size`. A set's order is fixed by a keyed hash, so its first
members are a fair sample, and the same ones every time. Batches are fixed too, since what a model says in bf16 depends
on how many rows run beside it: the first `interim_size` of a set are never batched with the rest.

On request, both measure second looks at the start model's first tries and at one's own
(selfplay/evaluation/mechanism.py). `full` also measures what sampled answers say of themselves, and tree search
(selfplay/evaluation/search.py).

Every verdict here is the domain's, whatever `judge.source` says: an evaluation measures what is true and pays nothing.
"""

import math
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any, NamedTuple

from roles.judging.failures import JudgeWatch
from roles.judging.groups import JudgedAttempt, JudgedGroup, JudgeSettings, judge_group
from roles.prompts import PromptStyle, ReportKind
from roles.requests import SamplingParams
from roles.search.growth import Searched
from roles.solver import SolverSettings, attempt
from roles.tree import Tree
from selfplay import metrics
from selfplay.engine.protocol import Sampler, TokenCount
from selfplay.engine.rollout import Ask, Rollout
from selfplay.evaluation.formats import outcomes_text, reports_text, searches_text
from selfplay.evaluation.mechanism import mechanism_metrics
from selfplay.evaluation.search import SearchEvaluation, search_accuracies, searched_problem
from selfplay.prompting.codec import Encode
from selfplay.stats.calibration import calibration_metrics
from selfplay.stats.intervals import paired_interval, wilson
from store.records import Completion, Evaluation, Problem, Side, Skill

# pass@k is a property of the policy itself: its samples are drawn at temperature 1 from all tokens, whatever attempts
# are drawn at, and there are k of them, so that it is a share of problems, of which the Wilson interval is known. So
# are the samples of reports and of the mechanism. A search samples as the solver does.
TEMPERATURE = 1.0
PROBLEMS_PER_TREE = 256  # bounds the keys and values held at once; another number may change greedy answers in bf16


@dataclass(frozen=True, slots=True)
class Evaluator:
    """Everything an evaluation needs. `encode`: see `Rollout`. `count`: what ran for all its evaluations.

    `heard` is told after each batch how many problems it had.
    """

    sampler: Sampler
    encode: Encode
    style: PromptStyle
    sets: Mapping[str, Sequence[Problem]]
    turns: int
    max_tokens: int
    interim_size: int
    pass_k: int
    pass_size: int
    judge_watch: JudgeWatch
    report: ReportKind = "none"
    report_tokens: int = 1
    search: SearchEvaluation | None = None
    score: Ask | None = None  # what a search with critics needs
    start: Sampler | None = None  # the start weights': with it, the mechanism is measured
    shows_skills: bool = False  # evaluations ask with the solver's skills: `showing`
    start_style: PromptStyle | None = None  # what the start weights are asked in: without skills. None: `style`
    limit: int | None = None  # see `Rollout`
    count: TokenCount = field(default_factory=TokenCount)
    heard: Callable[[int], None] = lambda problems: None
    _start_tries: dict[str, list[JudgedGroup]] = field(default_factory=dict)  # by set: they never change

    def showing(self, skills: Sequence[Skill]) -> "Evaluator":
        """The same with these skills in front of each problem. The start weights' first tries stay what they were."""
        style, search = self.style.showing(Side.SOLVER, skills), self.search
        if search is not None:
            search = replace(search, steps=replace(search.steps, style=style))
        return replace(self, style=style, search=search, start_style=self.start_style or self.style)

    def full(self, step: int, set_name: str) -> Evaluation:
        """All turns, greedy, on the whole set, and pass@k on its first problems."""
        problems = self.sets[set_name]
        figures, outcomes = self._greedy(problems, self.turns, step)
        figures |= self._sampled(problems[: self.pass_size], step) | self._mechanism(set_name, step)
        reported, reports = self._reports(problems, step)
        searched, searches = self._searches(problems[: self.pass_size], step)
        return Evaluation(step, set_name, "full", figures | reported | searched, outcomes, reports, searches)

    def interim(self, step: int, set_name: str) -> Evaluation:
        """The first try, greedy, of at most `interim_size` problems; all turns where the mechanism is measured."""
        turns = 1 if self.start is None else self.turns
        figures, outcomes = self._greedy(self.sets[set_name][: self.interim_size], turns, step)
        return Evaluation(step, set_name, "interim", figures | self._mechanism(set_name, step), outcomes)

    def greedy(self, problems: Sequence[Problem], turns: int, step: int) -> list[JudgedGroup]:
        """One greedy conversation about each problem."""
        return self._attempts(problems, turns, group_size=1, temperature=0.0, step=step)

    def sampled(
        self, problems: Sequence[Problem], n: int, step: int, at_once: int = PROBLEMS_PER_TREE
    ) -> list[JudgedGroup]:
        """`n` first tries at each problem, at temperature 1. `at_once`: problems in a batch."""
        return self._attempts(problems, 1, n, TEMPERATURE, step, at_once=at_once)

    def _greedy(self, problems: Sequence[Problem], turns: int, step: int) -> tuple[dict[str, float], str]:
        groups = self.greedy(problems, turns, step)
        answers = [answered(group.attempts[0]) for group in groups]
        tokens = [sum(len(turn.sampled.completion.ids) for turn in group.attempts[0].turns) for group in groups]
        figures = turn_metrics(answers, turns) | {metrics.TOKENS_MEAN: sum(tokens) / max(1, len(tokens))}
        return figures, outcomes_text((each.first_right, each.last_right) for each in answers)

    def _sampled(self, problems: Sequence[Problem], step: int) -> dict[str, float]:
        groups = self.sampled(problems, self.pass_k, step)
        correct = [sum(a.turns[0].is_right for a in group.attempts) for group in groups]
        solved, n = sum(c > 0 for c in correct), len(correct)  # pass@k of k samples is whether one of them was right
        low, high = wilson(solved, n)
        name = metrics.PASS_AT_K.format(k=self.pass_k)
        rate = sum(correct) / max(1, self.pass_k * n)
        return {
            name: solved / max(1, n),
            metrics.low(name): low,
            metrics.high(name): high,
            metrics.PASS_AT_1: rate,
        }

    def _mechanism(self, set_name: str, step: int) -> dict[str, float]:
        """Sampled second looks at the start model's first tries and at one's own, and how far errors have moved."""
        if self.start is None:
            return {}
        problems = self.sets[set_name][: self.pass_size]
        if set_name not in self._start_tries:
            tries = self._attempts(problems, 1, self.pass_k, TEMPERATURE, step=0, sampler=self.start)
            self._start_tries[set_name] = tries
        start = self._start_tries[set_name]
        at_start = self._attempts(problems, self.turns, self.pass_k, TEMPERATURE, step, given=start)
        at_own = self._attempts(problems, self.turns, self.pass_k, TEMPERATURE, step)
        return mechanism_metrics(at_start, at_own)

    def _reports(self, problems: Sequence[Problem], step: int) -> tuple[dict[str, float], str]:
        """One sampled answer a problem and what it says of itself: metrics, and `Evaluation.reports`."""
        if self.report == "none":
            return {}, ""
        groups = self._attempts(problems, self.turns, 1, TEMPERATURE, step, report=self.report)
        reports = [(group.attempts[0].is_right, _stated(self.report, group.attempts[0])) for group in groups]
        read = [(right, value) for right, value in reports if value is not None]
        figures = {metrics.REPORT_PARSED: len(read) / max(1, len(reports))}
        if read:
            calibration = calibration_metrics([right for right, _ in read], [value for _, value in read])
            figures |= {metrics.REPORT_FIGURE[name]: value for name, value in calibration.items()}
        return figures, reports_text(reports)

    def _searches(self, problems: Sequence[Problem], step: int) -> tuple[dict[str, float], str]:
        """Metrics and `Evaluation.searches`; nothing where evaluations do not search."""
        if self.search is None:
            return {}, ""
        found, sampled = self.searched(problems, step)
        figures = search_accuracies(found, sampled, self.search.settings.token_budget)
        return figures, searches_text(list(map(searched_problem, found, sampled)))

    def searched(self, problems: Sequence[Problem], step: int) -> tuple[list[Searched], list[Searched]]:
        """(search, best-of-N) of each problem. `search` has to be set."""
        assert self.search is not None, "this evaluator was made without a search"

        def drive(roles: Callable[[Tree], Sequence[Generator[Any, Any, Searched]]]) -> list[Searched]:
            tree = Tree()
            rollout = Rollout(
                step, tree, self.sampler, self.encode, lambda wave: wave, {}, self.score, self.count, self.limit
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
        at_once: int = PROBLEMS_PER_TREE,
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
        style = self.style if sampler is None else self.start_style or self.style
        firsts: Sequence[Sequence[Completion]] = [()] * len(problems) if given is None else [*map(_first_tries, given)]
        judged = []
        for part in batches(len(problems), self.interim_size, at_once):
            rollout = Rollout(
                step, Tree(), sampler or self.sampler, self.encode, lambda wave: wave, {}, None, self.count, self.limit
            )
            roles = (
                attempt(problem, style, settings, step, given=tries)
                for problem, tries in zip(problems[part], firsts[part], strict=True)
            )
            solved = rollout.run("evaluation", roles)
            domain, read = self.style.domain, self.style.visible
            judged += [judge_group(group, domain, read, JudgeSettings(), step) for group in solved]
            self.heard(len(solved))
        self.judge_watch.check(judged, f"evaluation of step {step}")
        return judged


def batches(n: int, head: int, at_once: int = PROBLEMS_PER_TREE) -> list[slice]:
    """The places of n problems that are evaluated together: those of the first `head`, then those of the rest."""
    cuts = [*range(0, min(head, n), at_once), *range(head, n, at_once)]
    return [slice(start, end) for start, end in pairwise([*cuts, n])]


def _first_tries(group: JudgedGroup) -> list[Completion]:
    return [each.turns[0].sampled.completion for each in group.attempts]


def _stated(kind: ReportKind, attempt: JudgedAttempt) -> float | None:
    """P(right) as stated, or, of a 0/1 self-evaluation, the probability with which "right" was said."""
    report = attempt.report
    if report is None or report.value is None or kind == "confidence":
        return None if report is None else report.value
    probability = math.exp(sum(report.sampled.completion.logprobs))
    return probability if report.value > 0.5 else 1.0 - probability


class Answered(NamedTuple):
    """What a greedy conversation about one problem came to. `is_parsed`: the first try had an answer that was read."""

    first_right: bool
    last_right: bool
    has_changed: bool
    is_parsed: bool


def answered(attempt: JudgedAttempt) -> Answered:
    """What one conversation came to."""
    first, last = attempt.turns[0], attempt.turns[-1]
    return Answered(first.is_right, last.is_right, first.answer != last.answer, first.answer is not None)


def turn_metrics(answers: Sequence[Answered], turns: int) -> dict[str, float]:
    """Accuracies and changes with their 95% intervals; where there is one turn, those of the first try alone.

    delta = acc_t2 - acc_t1 = i2c - c2i, all as shares of all problems (SCoRe, arXiv 2409.12917).
    """
    n = len(answers)
    first = sum(each.first_right for each in answers)
    low, high = wilson(first, n)
    share = 1.0 / max(n, 1)
    figures = {
        metrics.N: float(n),
        metrics.ACC_T1: first * share,
        metrics.low(metrics.ACC_T1): low,
        metrics.high(metrics.ACC_T1): high,
        metrics.PARSED: sum(each.is_parsed for each in answers) * share,
    }
    if turns < 2:
        return figures
    last = sum(each.last_right for each in answers)
    low, high = wilson(last, n)
    mended = sum(each.last_right and not each.first_right for each in answers)
    broken = sum(each.first_right and not each.last_right for each in answers)
    delta, delta_low, delta_high = paired_interval(mended, broken, n)
    return figures | {
        metrics.ACC_T2: last * share,
        metrics.low(metrics.ACC_T2): low,
        metrics.high(metrics.ACC_T2): high,
        metrics.DELTA: delta,
        metrics.low(metrics.DELTA): delta_low,
        metrics.high(metrics.DELTA): delta_high,
        metrics.I2C: mended * share,
        metrics.C2I: broken * share,
        metrics.CHANGE_RATE: sum(each.has_changed for each in answers) * share,
    }
