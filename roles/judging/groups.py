"""The judge: verdicts on every turn, values on every node, rewards for every turn.

Verdicts are the domain's, exact and executed. What a completion cut by length earns is a setting; a turn that nobody
could judge takes its whole attempt out of groups, pass rates and rewards. Control rewards ("random", "format")
replace what the loss is paid with, never what is counted: pass rates are always by truth.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from roles.pay.rewards import parse_confidence, parse_self_evaluation
from roles.prompts import PromptStyle, ReportKind
from roles.requests import Sampled
from roles.solver import SolvedGroup
from roles.tree import ROOT
from store.records import Attempt, Finish, Outcome, PassRate, Problem, Turn

RewardRule = Literal["truth", "random", "format"]
TruncatedRule = Literal["zero", "unjudged"]


@dataclass(frozen=True, slots=True)
class JudgedTurn:
    """One turn with its verdict. `reward` in [0, 1], before any bonus; None when unjudged."""

    sampled: Sampled
    outcome: Outcome
    answer: str | None
    reward: float | None

    @property
    def is_right(self) -> bool:
        """By truth, whatever it was paid."""
        return self.outcome is Outcome.CORRECT


@dataclass(frozen=True, slots=True)
class JudgedReport:
    """What an attempt said of its own result: `value` in [0, 1], None where it could not be read."""

    sampled: Sampled
    value: float | None


@dataclass(frozen=True, slots=True)
class JudgedAttempt:
    """All turns of one attempt, by its index in the group, and its report if one was asked for."""

    index: int
    turns: tuple[JudgedTurn, ...]
    report: JudgedReport | None = None

    @property
    def is_right(self) -> bool:
        """Whether its last turn is right."""
        return self.turns[-1].is_right

    @property
    def is_judged(self) -> bool:
        return all(turn.reward is not None for turn in self.turns)

    def rewards(self) -> tuple[float, ...]:
        """Per turn; only for judged attempts."""
        return tuple(turn.reward for turn in self.turns if turn.reward is not None)


@dataclass(frozen=True, slots=True)
class JudgedGroup:
    """All attempts at one problem; every `looks` in a row share their first try."""

    problem: Problem
    attempts: tuple[JudgedAttempt, ...]
    looks: int = 1

    @property
    def judged(self) -> list[JudgedAttempt]:
        return [attempt for attempt in self.attempts if attempt.is_judged]

    @property
    def first_tries(self) -> list[JudgedAttempt]:
        """Judged attempts, one for each first try."""
        return [attempt for attempt in self.judged if attempt.index % self.looks == 0]


@dataclass(frozen=True, slots=True)
class JudgeSettings:
    """`truncated`: "zero" pays nothing, "unjudged" leaves the attempt out. `seed` keys the random control."""

    reward: RewardRule = "truth"
    truncated: TruncatedRule = "zero"
    seed: int = 0


def judge_group(group: SolvedGroup, style: PromptStyle, settings: JudgeSettings, step: int) -> JudgedGroup:
    """A verdict and a reward for every turn of every attempt."""
    attempts = []
    for index, said in enumerate(group.attempts):
        turns = []
        for turn, sampled in enumerate(said):
            outcome, answer = verdict(group.problem, sampled, style)
            key = f"{settings.seed}/judge/{step}/{group.problem.problem_id}/{index}/{turn}"
            turns.append(JudgedTurn(sampled, outcome, answer, reward_of(outcome, settings, key)))
        report = report_of(group.report, group.reports[index], style) if group.reports else None
        attempts.append(JudgedAttempt(index, tuple(turns), report))
    return JudgedGroup(group.problem, tuple(attempts), group.looks)


def verdict(problem: Problem, sampled: Sampled, style: PromptStyle) -> tuple[Outcome, str | None]:
    """TRUNCATED when the length limit cut it, else what the domain says of its text."""
    if sampled.completion.finish is Finish.LENGTH:
        return Outcome.TRUNCATED, None
    return style.domain.judge(problem, style.visible(sampled.completion.text))


def report_of(kind: ReportKind, sampled: Sampled, style: PromptStyle) -> JudgedReport:
    """Read strictly; a report cut by length is none."""
    if sampled.completion.finish is Finish.LENGTH:
        return JudgedReport(sampled, None)
    text = style.visible(sampled.completion.text)
    if kind == "confidence":
        return JudgedReport(sampled, parse_confidence(text))
    claim = parse_self_evaluation(text)
    return JudgedReport(sampled, None if claim is None else float(claim))


def reward_of(outcome: Outcome, settings: JudgeSettings, key: str) -> float | None:
    if outcome is Outcome.UNJUDGED or (outcome is Outcome.TRUNCATED and settings.truncated == "unjudged"):
        return None
    match settings.reward:
        case "truth":
            return float(outcome is Outcome.CORRECT)
        case "format":
            return float(outcome in (Outcome.CORRECT, Outcome.INCORRECT))
        case "random":
            return float(hashlib.sha256(key.encode()).digest()[0] & 1)


def pass_rate(group: JudgedGroup, policy_version: int) -> PassRate | None:
    """What the group says of its problem, by truth; None when nothing was judged."""
    firsts = [attempt.turns[0].is_right for attempt in group.first_tries]
    if not firsts:
        return None
    right = [[turn.is_right for turn in attempt.turns] for attempt in group.judged]
    pairs = [(turns[0], turns[1]) for turns in right if len(turns) > 1]
    return PassRate(
        problem_id=group.problem.problem_id,
        policy_version=policy_version,
        attempts=len(firsts),
        successes=sum(firsts),
        kept=sum(a and b for a, b in pairs),
        broken=sum(a and not b for a, b in pairs),
        fixed=sum(b and not a for a, b in pairs),
        missed=sum(not a and not b for a, b in pairs),
    )


def attempt_record(group: JudgedGroup, attempt: JudgedAttempt, paid: Sequence[float | None]) -> Attempt:
    """For the store; `paid` is what the loss saw for each turn, bonus included."""
    completions = [turn.sampled.completion for turn in attempt.turns]
    return Attempt(
        problem_id=group.problem.problem_id,
        attempt=attempt.index,
        turns=tuple(
            Turn(c.text, turn.answer, turn.outcome, c.finish, len(c.ids), reward)
            for turn, c, reward in zip(attempt.turns, completions, paid, strict=True)
        ),
        first_version=min(c.first_version for c in completions),
        last_version=max(c.last_version for c in completions),
        report=None if attempt.report is None else attempt.report.sampled.completion.text,
        confidence=None if attempt.report is None else attempt.report.value,
    )


def node_values(parents: Sequence[int], leaf_rewards: Mapping[int, Sequence[float]]) -> dict[int, float]:
    """V(n): the mean reward of the samples that end at or below node n, for every node above a leaf, ROOT included.

    Samples that ended alike count each. Along any path the differences telescope:
    sum of V(n) - V(parent) = V(leaf) - V(ROOT). Source: VinePPO, TreeRL (algorithms.md 5.2).
    """
    sums: dict[int, float] = {}
    counts: dict[int, int] = {}
    for leaf, rewards in leaf_rewards.items():
        node = leaf
        while True:
            sums[node] = sums.get(node, 0.0) + sum(rewards)
            counts[node] = counts.get(node, 0) + len(rewards)
            if node == ROOT:
                break
            node = parents[node]
    return {node: sums[node] / counts[node] for node in sums if counts[node]}
