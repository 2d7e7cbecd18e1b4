"""Majority vote as judge, for problems that nothing can verify: what most first tries say is taken to be right.

After R-Zero (arXiv 2508.05004) and its published code: a try in which no answer can be read has no vote; of answers
with as many votes the one that was said first wins; problems with a small share of votes for their answer are left out
(there below 0.3). What is R-Zero's no more: an answer that nobody repeats is no label, and then no turn of the group is
judged; second looks are judged by the label of the first tries.

Such labels are often wrong, and a solver that says the same everywhere is always right. How true they are is measured
where the domain knows (`judge/label_accuracy`); nothing is paid for that.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from curriculum.domains.judging import judged
from curriculum.domains.protocol import ComparesAnswers, Verdict
from roles.judging.groups import JudgedGroup, JudgeSettings, Read, verdict, with_verdicts
from roles.requests import Sampled, Score, Scored
from roles.solver import SolvedGroup
from store.records import Outcome, Problem

LEAST_VOTES = 2  # an answer that was said once agrees with nobody
Same = Callable[[str, str], bool]  # whether two answers say the same


@dataclass(frozen=True, slots=True)
class MajoritySettings:
    """Where the label has a smaller share of the votes than `min_share`, in [0, 1], nothing is judged."""

    min_share: float = 0.0


@dataclass(frozen=True, slots=True)
class Vote:
    """The answer with the most votes, as it was first said. `votes` <= `voters`, the tries whose answer was read."""

    answer: str
    votes: int
    voters: int

    @property
    def share(self) -> float:
        """Its share of the votes, in (0, 1]."""
        return self.votes / self.voters


def vote(answers: Sequence[str], is_same: Same) -> Vote | None:
    """The vote on answers in the order in which they were said; None without any. Each counts for the first one that it
    is the same as; of several with the most votes, the first one wins."""
    counts: dict[str, int] = {}
    for answer in answers:
        said = next((known for known in counts if is_same(answer, known)), answer)
        counts[said] = counts.get(said, 0) + 1
    if not counts:
        return None
    winner = max(counts, key=lambda answer: counts[answer])  # the first of the largest
    return Vote(winner, counts[winner], len(answers))


def label_of(found: Vote | None, settings: MajoritySettings) -> str | None:
    """The answer that is taken to be right; None where nobody repeats it, or its share is too small."""
    if found is None or found.votes < LEAST_VOTES or found.share < settings.min_share:
        return None
    return found.answer


def judge_by_majority(
    group: SolvedGroup,
    domain: ComparesAnswers,
    read: Read,
    majority: MajoritySettings,
    settings: JudgeSettings,
    step: int,
) -> JudgedGroup:
    """`judge_group` with the first tries' most frequent answer in the place of the domain's. The domain only reads
    answers here. Without a label every turn is UNJUDGED, so that the group counts nowhere."""
    firsts = [verdict(group.problem, said[0], domain, read) for said in group.attempts[:: group.looks]]
    answers = [each.answer for each in firsts if each.answer is not None and each.outcome is not Outcome.UNPARSED]
    label = label_of(vote(answers, domain.same_answer), majority)

    def judge(sampled: Sampled) -> Verdict:
        return labelled(verdict(group.problem, sampled, domain, read), label, domain)

    return with_verdicts(group, judge, read, settings, step)


def labelled(own: Verdict, label: str | None, domain: ComparesAnswers) -> Verdict:
    """The verdict by `label` on an answer to which the domain's is `own`; only what was read of it counts."""
    if label is None or own.error:
        return Verdict(Outcome.UNJUDGED, own.answer, error=own.error)
    if own.outcome in (Outcome.TRUNCATED, Outcome.UNPARSED):
        return Verdict(own.outcome, own.answer)
    if own.answer is None:
        return Verdict(Outcome.UNPARSED)
    is_right = domain.same_answer(own.answer, label)
    return Verdict(Outcome.CORRECT if is_right else Outcome.INCORRECT, own.answer)


@dataclass(frozen=True, slots=True)
class ByMajority:
    """The verdicts of a search that begins with a group: by the label of that group (roles/judging/verdicts.py)."""

    problem: Problem
    domain: ComparesAnswers
    label: str | None

    def question(self, text: str) -> Score | None:
        """None: the vote is over."""
        return None

    def verdict(self, text: str, scored: Scored | None) -> Outcome:
        """CORRECT where the answer is the label."""
        return labelled(judged(self.domain, self.problem, text), self.label, self.domain).outcome


def by_majority(group: JudgedGroup, domain: ComparesAnswers) -> ByMajority:
    """The judge of a search for the group, which the majority has judged. Its first right answer is the label."""
    label = next((a.turns[0].answer for a in group.first_tries if a.turns[0].is_right), None)
    return ByMajority(group.problem, domain, label)
