"""Which of the challenger's proposals become problems: valid, new, not held out, and likely to be worth attempting.

A strict gate here is what keeps self-play from collapsing (reliability.md 3), so every rejection has a name and is
counted. Left out: similarity of texts; the canonical form and the caps per family stand in for it.
"""

import math
import random
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from curriculum.domains.protocol import Domain, Statement, problem_id_of, problem_of
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


def triage(
    parent: Problem,
    text: str,
    finish: Finish,
    domain: Domain,
    known: Callable[[str], bool],
    held_out: HeldOut,
    seen_this_step: set[str],
    fits: Callable[[Problem], bool] = lambda problem: True,
) -> tuple[Fate, Statement | None]:
    """The first thing wrong with a proposal, in this order: TRUNCATED or UNPARSED, INVALID or TOO_LARGE, TRIVIAL_EDIT,
    HELD_OUT, DUPLICATE. ACCEPTED means valid and new: curriculum/selection/filling.py then decides between ACCEPTED and
    SURPLUS.

    `text` has its stop string cut. `known` says whether a problem_id is in the store; `seen_this_step` holds the ids
    of this step's valid proposals, and the id of an ACCEPTED one is added to it. The statement comes with every fate
    that was decided after parsing, so that a DUPLICATE can be recorded with its problem's id. A problem that does not
    fit (`fits`) into what the model can read is TOO_LARGE as well.
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
    """The most learnable first; promising is what is drawn to teach at least as much as a known problem that taught
    nothing last time, for that is what its place would go to.

    How learnable a family is is drawn from what is believed of it (Thompson sampling; Russo et al., arXiv 1707.02038):
    what is refused is not measured, so a family of which little was seen, or nothing of late, must win now and then.
    It counts half for every level beyond reach, since what comes first carries what comes later, and less the more of
    the family is known already: replays cover what is exhausted, practice has to carry where there is more to find.
    Where it is equal, what is least like the family's known problems comes first.
    No family gets more than `max_family_share` of the first `num_wanted` places, unless no other one is promising.
    """
    order = sorted(candidates, key=lambda candidate: (candidate.group, candidate.index))
    rng.shuffle(order)  # ties are a matter of chance
    drawn = _drawn_learnability(order, tracker, rng)
    worth = {id(each): drawn[each.problem.family] * _prospect(each.problem, tracker) for each in order}
    by_worth = sorted(_most_novel_first(order, tracker, rng), key=lambda candidate: -worth[id(candidate)])
    least = tracker.flat_worth()
    promising = [each for each in by_worth if drawn[each.problem.family] >= least]
    others = [each for each in by_worth if drawn[each.problem.family] < least]
    cap = max(1, math.ceil(num_wanted * settings.max_family_share))
    return Ranking(tuple(_spread(promising, cap)), tuple(others))


def _spread(by_worth: Sequence[Candidate], cap: int) -> list[Candidate]:
    """The first `cap` of every family come before all others."""
    taken: Counter[str] = Counter()
    first: list[Candidate] = []
    later: list[Candidate] = []
    for candidate in by_worth:
        (first if taken[candidate.problem.family] < cap else later).append(candidate)
        taken[candidate.problem.family] += 1
    return first + later


def fate_counts(fates: Iterable[Fate]) -> Mapping[Fate, int]:
    """How many proposals met each fate; every fate is a key."""
    counted = Counter(fates)
    return {fate: counted[fate] for fate in Fate}


def _most_novel_first(candidates: Sequence[Candidate], tracker: Tracker, rng: random.Random) -> list[Candidate]:
    """Family by family, in the order of their first candidates."""
    families: dict[str, list[Candidate]] = {}
    for candidate in candidates:
        families.setdefault(candidate.problem.family, []).append(candidate)
    ordered: list[Candidate] = []
    for family, members in families.items():
        archive = archive_of(family, tracker, rng)
        ordered += [members[place] for place in most_novel_first([each.problem.text for each in members], archive)]
    return ordered


def _drawn_learnability(candidates: Sequence[Candidate], tracker: Tracker, rng: random.Random) -> dict[str, float]:
    """One draw for each family, in the order of their first candidates."""
    drawn: dict[str, float] = {}
    for candidate in candidates:
        family, level = candidate.problem.family, candidate.problem.level
        if family not in drawn:
            drawn[family] = tracker.drawn_learnability(family, level, rng)
    return drawn


def _prospect(problem: Problem, tracker: Tracker) -> float:
    """In (0, 1): how far its family is from exhausted, and how near its level is."""
    return tracker.unseen_mass(problem.family) * tracker.nearness(problem.level)
