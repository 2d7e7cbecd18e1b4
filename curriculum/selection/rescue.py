"""Rescue of problems that are too hard: they are posed with help, with less of it as they are solved, and bare again.

How far each one is, is a fold over stored groups (`Rescue`). Only a bare group has a pass rate, so a problem's state
moves by what is solved without help, and by nothing else. What each rule is from: docs/curriculum.md.
"""

import random
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Literal

from curriculum.domains.abilities import ability
from curriculum.domains.protocol import Decomposable, Domain, Explained, Prompted, problem_of
from curriculum.holdout import HeldOut
from curriculum.tracking.difficulty import Tracker
from store.records import Help, HelpKind, Origin, Problem, ProblemState, Rescue

RescueRule = Literal["none", "hint", "subproblem", "reverse"]
_MOST_DOUBLED = 6  # times that a rest is doubled
PASSED = 0.5  # share of right first tries from which on a group gets less help
_LOOKED_AT = 64  # problems that a step looks at


def next_given(last: Rescue) -> int:
    """Pieces of help of the problem's next group; 0: it is posed bare.

    Of a reversed solution one piece less, or one more where the group failed; of any other help half, or twice as much.
    A bare group that failed is followed by one piece.
    """
    if last.given == 0:
        return 1
    has_passed = last.successes >= PASSED * last.attempts
    if last.kind is HelpKind.REVERSE:
        return last.given - 1 if has_passed else min(last.pieces, last.given + 1)
    return last.given // 2 if has_passed else min(last.pieces, 2 * last.given)


@dataclass(slots=True)
class Rescuer:
    """Problems under rescue by `kind` of help, at most `share` of a step's places. One that fails with all help rests
    for `delay` steps, and one that fails bare for 0, 1, 3, 7 ... times as many, by how often it has. What is in
    `withheld` (probes.py) is never chosen."""

    kind: HelpKind
    share: float
    delay: int
    domain: Domain
    held_out: HeldOut
    tracker: Tracker
    seed: int
    withheld: Collection[str] = frozenset()
    _open: dict[str, tuple[int, Rescue]] = field(default_factory=dict)  # with the step of each one's last group
    _relapses: dict[str, int] = field(default_factory=dict)  # how often each open one has failed bare
    _due: dict[str, None] = field(default_factory=dict)  # those to be posed bare, in the order in which they passed

    def add(self, step: int, rescues: Iterable[Rescue]) -> None:
        """Folds a step's groups in. A problem that was solved bare is rescued; another kind's groups are not counted on
        when it begins anew."""
        for each in rescues:
            self._due.pop(each.problem_id, None)
            if each.given == 0 and each.successes:
                self._open.pop(each.problem_id, None)
                self._relapses.pop(each.problem_id, None)
                continue
            if each.given == 0:
                self._relapses[each.problem_id] = self._relapses.get(each.problem_id, 0) + 1
            self._open[each.problem_id] = step, each
            if each.kind is self.kind and next_given(each) == 0:
                self._due[each.problem_id] = None

    def last(self, problem_id: str) -> Rescue | None:
        """The last group of a problem that is under rescue."""
        found = self._open.get(problem_id)
        return None if found is None else found[1]

    def chosen(self, step: int, num_problems: int) -> dict[str, Help | None]:
        """By id the problems of num_problems `share` places, rounded, and their help; None: bare again.

        First those that have passed with the least help, then TOO_HARD ones, those first that were not posed for
        longest. None that the domain has no help for.
        """
        places = round(num_problems * self.share)
        bare = (each for each in self._due if each not in self.withheld)
        chosen: dict[str, Help | None] = dict.fromkeys(islice(bare, places))
        for problem_id in self._waiting(step):
            if len(chosen) >= places:
                break
            found = None if problem_id in chosen else self._help(self.tracker.problem(problem_id))
            if found is not None:
                chosen[problem_id] = found
        return chosen

    def _waiting(self, step: int) -> list[str]:
        rng = random.Random(f"{self.seed}/rescue/{step}")
        ids = self.tracker.members(ProblemState.TOO_HARD).sample(rng, _LOOKED_AT)
        ids = [each for each in ids if each not in self.withheld and each not in self._due]
        ids = [each for each in ids if not self._is_resting(each, step)]
        return sorted(ids, key=lambda each: (self._open[each][0] if each in self._open else -1, each))

    def _is_resting(self, problem_id: str, step: int) -> bool:
        """A problem that is solved with one piece and never without would else take a place for ever."""
        if problem_id not in self._open:
            return False
        at, last = self._open[problem_id]
        if last.given == 0:
            times = 2 ** min(_MOST_DOUBLED, self._relapses[problem_id] - 1) - 1
        else:
            times = int(last.given == last.pieces == next_given(last))
        return step - at < times * self.delay

    def _help(self, problem: Problem) -> Help | None:
        """None where there is none for the problem."""
        texts = self._texts(problem)
        if not texts:
            return None
        last = self.last(problem.problem_id)
        first = (len(texts) + 1) // 2 if self.kind is HelpKind.HINT else len(texts)
        wanted = first if last is None or last.kind is not self.kind else next_given(last)
        given = max(1, min(wanted, len(texts)))
        return Help(self.kind, given, len(texts), texts[given - 1])

    def _texts(self, problem: Problem) -> list[str]:
        """What the prompt says with 1, 2, ... pieces of help."""
        if self.kind is not HelpKind.SUBPROBLEM:
            return [f"Hint: {text}" for text in self._hints(problem)]
        given = [f"Given: {line}" for line in self._worked_out(problem)]
        return ["\n".join(given[: count + 1]) for count in range(len(given))]

    def _hints(self, problem: Problem) -> Sequence[str]:
        """Up to the first that is a held-out problem, or tells the answer of one."""
        explained = ability(self.domain, Explained, "curriculum.rescue")
        hints = explained.hints(problem)
        for place, told in enumerate(explained.told(problem)):
            if any(self.held_out.contains(each.canonical) for each in told):
                return hints[:place]
        return hints

    def _worked_out(self, problem: Problem) -> Iterator[str]:
        """Parts of the problem with their answers; where it has none, what it was made of. Nothing that is held out."""
        asked = ability(self.domain, Prompted)
        parts = ability(self.domain, Decomposable, "curriculum.rescue").easier(problem)
        shown = [problem_of(each, problem.domain, Origin.SEED) for each in parts]
        if not parts and problem.parent_id is not None and self.tracker.knows(problem.parent_id):
            shown = [self.tracker.problem(problem.parent_id)]
        for each in shown:
            if each.answer and not self.held_out.contains(each.canonical):
                yield f"{asked.question(each)} {asked.written(each.answer)}"


def rescues_of(rescuer: Rescuer, groups: Mapping[str, tuple[Help | None, int, int]]) -> tuple[Rescue, ...]:
    """What a step tried of rescues. `groups`: by problem the help, the judged first tries and the right ones."""
    found = []
    for problem_id, (given, attempts, successes) in groups.items():
        last = rescuer.last(problem_id)
        if attempts and given is not None:
            found.append(Rescue(problem_id, given.kind, given.given, given.pieces, attempts, successes))
        elif attempts and last is not None:
            found.append(Rescue(problem_id, last.kind, 0, last.pieces, attempts, successes))
    return tuple(found)
