"""Judged attempts: a verdict and a reward for every turn, and the pass rate of their problem.

`judge_group` takes the verdicts of the domain, which executes the problem; roles/judging/by_model.py takes a model's.
A setting says what a completion that the length limit cut is paid. An attempt with a turn that nobody could judge
counts in no group, pass rate or reward. What the loss is paid with is a sum of parts (roles/judging/rewards.py); pass
rates are those of the verdicts, whatever is paid.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from curriculum.domains.judging import judged, score_of
from curriculum.domains.protocol import Domain, Verdict
from roles.judging.rewards import ONLY_VERDICT, Part, Payer, Said, shuffled_scores, total
from roles.pay.rewards import parse_confidence, parse_self_evaluation
from roles.prompts import ReportKind
from roles.requests import Sampled
from roles.solver import SolvedGroup
from roles.tree import ROOT
from store.records import Attempt, Finish, Help, Outcome, PassRate, Problem, Turn

TruncatedRule = Literal["zero", "unjudged"]
Read = Callable[[str], str]  # what is read of a completion's text (`PromptStyle.visible`)


@dataclass(frozen=True, slots=True)
class JudgedTurn:
    """One turn with its verdict.

    `reward`: the sum of `parts`, which are weighted, before any bonus; None where the turn is not judged. In [0, 1]
    where the verdict alone pays. `score` in [0, 1] is the verdict's. `error` says how its judge or a reward has failed.
    """

    sampled: Sampled
    outcome: Outcome
    answer: str | None
    reward: float | None
    error: str = ""
    score: float | None = None
    parts: Mapping[str, float] = field(default_factory=dict)

    @property
    def is_right(self) -> bool:
        """Whether the verdict is CORRECT, whatever the turn was paid."""
        return self.outcome is Outcome.CORRECT


@dataclass(frozen=True, slots=True)
class JudgedReport:
    """What an attempt said of its own result, as a `value` in [0, 1]; None where it could not be read."""

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
        """Whether every turn has a reward."""
        return all(turn.reward is not None for turn in self.turns)

    def rewards(self) -> tuple[float, ...]:
        """One for each turn of an attempt that is judged."""
        return tuple(turn.reward for turn in self.turns if turn.reward is not None)


@dataclass(frozen=True, slots=True)
class JudgedGroup:
    """All attempts at one problem. Each run of `looks` attempts shares its first try."""

    problem: Problem
    attempts: tuple[JudgedAttempt, ...]
    looks: int = 1
    help: Help | None = None  # that the prompt had

    @property
    def judged(self) -> list[JudgedAttempt]:
        """The attempts all of whose turns have a reward."""
        return [attempt for attempt in self.attempts if attempt.is_judged]

    @property
    def first_tries(self) -> list[JudgedAttempt]:
        """Judged attempts, one for each first try."""
        return [attempt for attempt in self.judged if attempt.index % self.looks == 0]

    @property
    def num_first_right(self) -> int:
        """How many judged first tries are right."""
        return sum(attempt.turns[0].is_right for attempt in self.first_tries)

    @property
    def first_try_rate(self) -> float | None:
        """The share of judged first tries that are right; None where none was judged."""
        tries = len(self.first_tries)
        return self.num_first_right / tries if tries else None


@dataclass(frozen=True, slots=True)
class JudgeSettings:
    """What turns are paid.

    `rewards`: the parts of what a turn is paid. `truncated` is about a turn that the length limit cut: "zero" gives it
    a score of 0, "unjudged" leaves its attempt out. `seed` keys the coins of the control reward "random".
    """

    rewards: tuple[Part, ...] = ONLY_VERDICT
    truncated: TruncatedRule = "zero"
    seed: int = 0


def judge_group(group: SolvedGroup, domain: Domain, read: Read, settings: JudgeSettings, step: int) -> JudgedGroup:
    """A verdict of the domain, and a reward, for every turn of every attempt."""
    return with_verdicts(group, lambda sampled: verdict(group.problem, sampled, domain, read), read, settings, step)


def with_verdicts(
    group: SolvedGroup, judge: Callable[[Sampled], Verdict], read: Read, settings: JudgeSettings, step: int
) -> JudgedGroup:
    """`group` with the verdicts that `judge` gives on its turns, their rewards, and the reports as numbers."""
    payer = Payer(settings.rewards)
    found = [[judge(sampled) for sampled in said] for said in group.attempts]
    drawn = _drawn(found, group.problem, settings, step)
    attempts = []
    for index, said in enumerate(group.attempts):
        turns = []
        for turn, sampled in enumerate(said):
            key = _key(settings.seed, step, group.problem, index, turn)
            text, length = read(sampled.completion.text), len(sampled.completion.ids)
            paid = Said(group.problem, text, found[index][turn], length, key, drawn.get(key, 0.0))
            turns.append(_paid(sampled, paid, payer, settings.truncated))
        report = report_of(group.report, group.reports[index], read) if group.reports else None
        attempts.append(JudgedAttempt(index, tuple(turns), report))
    return JudgedGroup(group.problem, tuple(attempts), group.looks, group.help)


def _key(seed: int, step: int, problem: Problem, attempt: int, turn: int) -> str:
    """Names a turn among all of a run's."""
    return f"{seed}/judge/{step}/{problem.problem_id}/{attempt}/{turn}"


def _drawn(
    found: Sequence[Sequence[Verdict]], problem: Problem, settings: JudgeSettings, step: int
) -> dict[str, float]:
    """The scores of each turn's verdicts, shuffled among the attempts that are paid for it, by the turns' keys."""
    drawn: dict[str, float] = {}
    for turn in range(max((len(verdicts) for verdicts in found), default=0)):
        scores = {
            _key(settings.seed, step, problem, index, turn): score_of(verdicts[turn])
            for index, verdicts in enumerate(found)
            if turn < len(verdicts) and _counts(verdicts[turn].outcome, settings.truncated)
        }
        drawn |= shuffled_scores(scores)
    return drawn


def _counts(outcome: Outcome, truncated: TruncatedRule) -> bool:
    """Whether a turn with this verdict is paid."""
    return outcome is not Outcome.UNJUDGED and not (outcome is Outcome.TRUNCATED and truncated == "unjudged")


def _paid(sampled: Sampled, said: Said, payer: Payer, truncated: TruncatedRule) -> JudgedTurn:
    """The turn with what it is paid; UNJUDGED where a reward fails on it."""
    outcome, answer, _, error = said.verdict
    if outcome is Outcome.UNJUDGED:
        return JudgedTurn(sampled, outcome, answer, None, error)
    score = score_of(said.verdict)
    if not _counts(outcome, truncated):
        return JudgedTurn(sampled, outcome, answer, None, error, score)
    parts, failure = payer.pay(said)
    if failure:
        return JudgedTurn(sampled, Outcome.UNJUDGED, answer, None, failure)
    return JudgedTurn(sampled, outcome, answer, total(parts), error, score, parts)


def verdict(problem: Problem, sampled: Sampled, domain: Domain, read: Read) -> Verdict:
    """TRUNCATED where the length limit cut the completion, else the domain's verdict on what is read of it."""
    if sampled.completion.finish is Finish.LENGTH:
        return Verdict(Outcome.TRUNCATED)
    return judged(domain, problem, read(sampled.completion.text))


def report_of(kind: ReportKind, sampled: Sampled, read: Read) -> JudgedReport:
    """The report as a number. One that the length limit cut, or that is spelled in another way, has none."""
    if sampled.completion.finish is Finish.LENGTH:
        return JudgedReport(sampled, None)
    text = read(sampled.completion.text)
    if kind == "confidence":
        return JudgedReport(sampled, parse_confidence(text))
    claim = parse_self_evaluation(text)
    return JudgedReport(sampled, None if claim is None else float(claim))


def pass_rate(group: JudgedGroup, policy_version: int) -> PassRate | None:
    """What the group measured of its problem, by its verdicts; None where nothing was judged, or with help."""
    if not group.first_tries or group.help is not None:
        return None
    right = [[turn.is_right for turn in attempt.turns] for attempt in group.judged]
    pairs = [(turns[0], turns[1]) for turns in right if len(turns) > 1]
    return PassRate(
        problem_id=group.problem.problem_id,
        policy_version=policy_version,
        attempts=len(group.first_tries),
        successes=group.num_first_right,
        kept=sum(a and b for a, b in pairs),
        broken=sum(a and not b for a, b in pairs),
        fixed=sum(b and not a for a, b in pairs),
        missed=sum(not a and not b for a, b in pairs),
        is_graded=_is_graded([attempt.turns[0] for attempt in group.first_tries]),
    )


def _is_graded(firsts: Sequence[JudgedTurn]) -> bool:
    """Whether first tries that were right, or that were not, differ in their scores."""
    return any(len({turn.score for turn in firsts if turn.is_right is right}) > 1 for right in (True, False))


def attempt_record(
    group: JudgedGroup,
    attempt: JudgedAttempt,
    paid: Sequence[float | None],
    parts: Sequence[Mapping[str, float]],
) -> Attempt:
    """The attempt for the store. `paid` has the reward of each turn as the loss was paid it, bonus included, `parts`
    what it is the sum of."""
    completions = [turn.sampled.completion for turn in attempt.turns]
    return Attempt(
        problem_id=group.problem.problem_id,
        attempt=attempt.index,
        turns=tuple(
            Turn(c.text, turn.answer, turn.outcome, c.finish, len(c.ids), reward, turn.score, of, turn.error)
            for turn, c, reward, of in zip(attempt.turns, completions, paid, parts, strict=True)
        ),
        first_version=min(c.first_version for c in completions),
        last_version=max(c.last_version for c in completions),
        report=None if attempt.report is None else attempt.report.sampled.completion.text,
        confidence=None if attempt.report is None else attempt.report.value,
    )


def node_values(parents: Sequence[int], leaf_rewards: Mapping[int, Sequence[float]]) -> dict[int, float]:
    """V(n), the mean reward of the samples that end at or below node n, for each such node and for ROOT.

    `leaf_rewards`: by the last token's node, the rewards of all samples that end there. Along a path the differences
    telescope: the sum of V(n) - V(parent) is V(leaf) - V(ROOT) (VinePPO, arXiv 2410.01679).
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
