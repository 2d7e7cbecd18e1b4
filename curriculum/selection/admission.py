"""Which of the challenger's proposals become problems: valid, new, not held out, and likely to be worth attempting.

Proposals that were solved already, or only look new, would let self-play collapse onto what it can do, so the gate is
strict, and every rejection has a name and is counted. Formulas and numbers: docs/curriculum.md.
"""

import math
import random
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from curriculum.domains.protocol import Posable, Statement, problem_id_of, problem_of
from curriculum.holdout import HeldOut
from curriculum.selection.novelty import archive_of, most_novel_first
from curriculum.settings import CurriculumSettings
from curriculum.tracking.difficulty import Tracker
from store.records import Fate, Finish, Origin, Problem


@dataclass(frozen=True, slots=True)
class Candidate:
    """A valid and new proposal, and the problem that it would be."""

    group: int  # index of its parent in the step
    index: int  # among the proposals of that parent
    problem: Problem
    logprob: float | None = None  # of its text by the policy that proposed it, a mean over tokens


def triage(
    parent: Problem,
    text: str,
    finish: Finish,
    domain: Posable,
    known: Callable[[str], bool],
    held_out: HeldOut,
    seen_this_step: set[str],
    fits: Callable[[Problem], bool] = lambda problem: True,
) -> tuple[Fate, Statement | None]:
    """The first thing wrong with a proposal, in this order: TRUNCATED or UNPARSED, INVALID or TOO_LARGE, TRIVIAL_EDIT,
    HELD_OUT, DUPLICATE. ACCEPTED means valid and new here: curriculum/selection/filling.py then decides between
    ACCEPTED and SURPLUS.

    `text` has its stop string cut. `known` says whether a problem_id is in the store. `seen_this_step` holds the ids of
    this step's valid proposals; the id of an ACCEPTED one is added to it. `fits` says whether the model can read all
    that is said about a problem; one that does not fit is TOO_LARGE. A statement is returned where there is one, so
    that a DUPLICATE can be recorded with its problem's id.
    """
    if finish is Finish.LENGTH:
        return Fate.TRUNCATED, None
    statement = domain.parse(text)
    if isinstance(statement, Fate):
        return statement, None
    if not fits(problem_of(statement, domain.name, Origin.CHALLENGER, parent.problem_id)):
        return Fate.TOO_LARGE, None
    if domain.is_trivial_edit(parent, statement):
        return Fate.TRIVIAL_EDIT, statement
    if held_out.contains(statement.canonical):
        return Fate.HELD_OUT, statement
    problem_id = problem_id_of(domain.name, statement.canonical)
    if problem_id in seen_this_step or known(problem_id):
        return Fate.DUPLICATE, statement
    seen_this_step.add(problem_id)
    return Fate.ACCEPTED, statement


@dataclass(frozen=True, slots=True)
class Ranking:
    """Every candidate is in one of the two, the best first."""

    promising: tuple[Candidate, ...]
    others: tuple[Candidate, ...]


def ranked(
    candidates: Sequence[Candidate], num_wanted: int, tracker: Tracker, settings: CurriculumSettings, rng: random.Random
) -> Ranking:
    """Ordered by priority = l u d, the highest first; of equal ones the most novel first (novelty.py).

    l  learnability of the candidate's family, drawn from its posterior once a step (`Tracker.drawn_learnability`).
       Thompson sampling (Russo et al., arXiv 1707.02038): a family that is refused is not measured, so one of which
       little was seen, or nothing of late, must win now and then. With `curriculum.forecast=features` it is times
       what the candidate's own features let expect of its first group, over what its family does
       (`Tracker.untried_ratio`), and at most 1.
    u  P(the next proposal of the family is new) (`Tracker.unseen_mass`): practice in a family transfers to what is
       still to be found in it, and replays take care of an exhausted one.
    d  0.5 for each level above the gapless one (`Tracker.level_discount`).

    A candidate is promising where l is at least what a replay teaches whose last group taught nothing
    (`Tracker.flat_learnability`): such a replay would get its place. The first ceil(num_wanted max_family_share) of
    each family come before all other promising ones.
    """
    order = sorted(candidates, key=lambda candidate: (candidate.group, candidate.index))
    rng.shuffle(order)  # ties are a matter of chance
    of_family = _drawn_learnability(order, tracker, rng)
    drawn = {
        (each.group, each.index): min(
            1.0, of_family[each.problem.family] * tracker.untried_ratio(each.problem, each.logprob)
        )
        for each in order
    }
    priority = {
        (each.group, each.index): _priority(drawn[each.group, each.index], each.problem, tracker) for each in order
    }
    by_priority = sorted(_most_novel_first(order, tracker, rng), key=lambda each: -priority[each.group, each.index])
    least = tracker.flat_learnability()
    promising = [each for each in by_priority if drawn[each.group, each.index] >= least]
    others = [each for each in by_priority if drawn[each.group, each.index] < least]
    cap = max(1, math.ceil(num_wanted * settings.max_family_share))
    return Ranking(tuple(_spread(promising, cap)), tuple(others))


def _spread(ordered: Sequence[Candidate], cap: int) -> list[Candidate]:
    """The first `cap` of each family, then all others."""
    taken: Counter[str] = Counter()
    first: list[Candidate] = []
    later: list[Candidate] = []
    for candidate in ordered:
        (first if taken[candidate.problem.family] < cap else later).append(candidate)
        taken[candidate.problem.family] += 1
    return first + later


def fate_counts(fates: Iterable[Fate]) -> Mapping[Fate, int]:
    """How many proposals met each fate; every fate is a key."""
    counted = Counter(fates)
    return {fate: counted[fate] for fate in Fate}


def _most_novel_first(candidates: Sequence[Candidate], tracker: Tracker, rng: random.Random) -> list[Candidate]:
    """Families in the order of their first candidates; in each, the most novel candidate first."""
    families: dict[str, list[Candidate]] = {}
    for candidate in candidates:
        families.setdefault(candidate.problem.family, []).append(candidate)
    ordered: list[Candidate] = []
    for family, members in families.items():
        archive = archive_of(family, tracker, rng)
        ordered += [members[place] for place in most_novel_first([each.problem.text for each in members], archive)]
    return ordered


def _drawn_learnability(candidates: Sequence[Candidate], tracker: Tracker, rng: random.Random) -> dict[str, float]:
    """One draw a family; the generator serves families in the order of their first candidates."""
    drawn: dict[str, float] = {}
    for candidate in candidates:
        family, level = candidate.problem.family, candidate.problem.level
        if family not in drawn:
            drawn[family] = tracker.drawn_learnability(family, level, rng)
    return drawn


def _priority(drawn: float, problem: Problem, tracker: Tracker) -> float:
    """l u d of `ranked`."""
    return drawn * (tracker.unseen_mass(problem.family) * tracker.level_discount(problem.level))
