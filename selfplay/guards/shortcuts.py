"""Signs that answers come from somewhere else than the problem: each is a share of a step's first tries.

What a rare lucky answer is paid teaches the policy whatever gave it: one answer for everything, what stands in the
problem, what was right before the problem was changed, the same words again and again. Problems that are too hard
teach little else (Cheng et al., arXiv 2605.28388). Answers are a model's text; here they are only compared.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

from roles.judging.groups import JudgedGroup
from store.records import Problem

GRAM = 4  # tokens that are looked for again
LEAST_TOKENS = 8  # of a completion whose repetition can be told: it has five such pieces
LONGEST_ANSWER = 200  # characters of one that is looked for in its problem


def answer_prior(groups: Sequence[JudgedGroup]) -> tuple[float, str] | None:
    """(share, answer): the answer that is given more often than it is right, by the most, and by how much.

    With a(g) the share of group g's first tries that answer a: the mean of a(g) over groups, less the share of groups
    whose right answer is a. So 0 for a solver that is right, though all problems had one answer, and 0.5 for one that
    always says yes where half are yes. None without two groups, or without any answer.
    """
    if len(groups) < 2:
        return None
    given: Counter[str] = Counter()
    for group in groups:
        given.update(_answer_shares(group))
    if not given:
        return None
    right = Counter(group.problem.answer for group in groups)
    excess = {answer: (share - right[answer]) / len(groups) for answer, share in given.items()}
    most = max(excess, key=lambda answer: excess[answer])
    return max(0.0, excess[most]), most


def answered_alike(groups: Sequence[JudgedGroup]) -> float | None:
    """How often two problems of which one is the other changed, with different right answers, get the same answer:
    the sum of p(a) q(a) over answers a, whose shares in the two groups are p and q, as a mean over such pairs.

    Pairs are a problem with the one it was made of, and neighbours among the problems made of one. None without a pair.
    """
    alike = [_agreement(_answer_shares(one), _answer_shares(other)) for one, other in _changed(groups)]
    return sum(alike) / len(alike) if alike else None


def _agreement(one: Mapping[str, float], other: Mapping[str, float]) -> float:
    return sum(share * other.get(answer, 0.0) for answer, share in one.items())


def answer_visible(groups: Sequence[JudgedGroup]) -> float | None:
    """The share of problems whose right answer stands in their text, of those whose answer is known."""
    known = [group.problem for group in groups if group.problem.answer]
    return sum(stands_in(each.answer, each) for each in known) / len(known) if known else None


def answer_copied(groups: Sequence[JudgedGroup]) -> float | None:
    """By how much more often first tries answer with what stands in the problem than right answers stand there, at
    least 0; None without groups."""
    if not groups:
        return None
    copied = [
        sum(share for answer, share in _answer_shares(group).items() if stands_in(answer, group.problem))
        for group in groups
    ]
    return max(0.0, sum(copied) / len(groups) - (answer_visible(groups) or 0.0))


def stands_in(answer: str, problem: Problem) -> bool:
    """Whether the answer stands in the problem's text as a whole: 12 does in "12 + 3", 2 does not."""
    if not 0 < len(answer) <= LONGEST_ANSWER:
        return False
    return re.search(rf"(?<!\w){re.escape(answer)}(?!\w)", problem.text) is not None


def repetition(completions: Sequence[Sequence[int]]) -> float | None:
    """The share of completions, as token ids, that mostly repeat themselves; None without any."""
    return sum(map(repeats_itself, completions)) / len(completions) if completions else None


def repeats_itself(ids: Sequence[int]) -> bool:
    """Whether more than half of the runs of GRAM tokens were said before in it; False under LEAST_TOKENS tokens."""
    if len(ids) < LEAST_TOKENS:
        return False
    grams = [tuple(ids[i : i + GRAM]) for i in range(len(ids) - GRAM + 1)]
    return 2 * len(set(grams)) < len(grams)


def _answer_shares(group: JudgedGroup) -> dict[str, float]:
    """By answer, the share of the group's first tries that give it; what could not be read is no answer."""
    firsts = [attempt.turns[0].answer for attempt in group.first_tries]
    counts = Counter(answer for answer in firsts if answer is not None)
    return {answer: count / len(firsts) for answer, count in counts.items()}


def _changed(groups: Sequence[JudgedGroup]) -> Iterator[tuple[JudgedGroup, JudgedGroup]]:
    """Pairs of which one is the other changed, where both answers are known and differ."""
    by_id = {group.problem.problem_id: group for group in groups}
    families: dict[str, list[JudgedGroup]] = {}
    for group in groups:
        parent = group.problem.parent_id
        if parent is not None:
            families.setdefault(parent, []).append(group)
    for parent, children in families.items():
        first = [by_id[parent]] if parent in by_id else []
        for one, another in pairwise([*first, *children]):
            if one.problem.answer and another.problem.answer and one.problem.answer != another.problem.answer:
                yield one, another
