"""Probes: problems of a run's own, hard and easy ones, that are kept to compare its versions and are trained no more.

Every few steps the hardest problem that was failed and the easiest one that was solved may become probes. Of all that
might have, the sets keep a uniform sample of a bounded size, whatever the length of the run: those with the smallest
keyed hashes (bottom-k sampling). So a set has probes of every time of the run, and it is a fold over the rows of those
that were taken. One that a smaller hash drives out may be practised again.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from curriculum.tracking.difficulty import Tracker
from store.records import PassRate, Probe, ProbeKind

MAX_SHARE = 0.25  # of the known problems, as probes: a run of few problems keeps something to practise
SOLVED = 0.5  # a problem was solved in a step where this share of its first tries was right, or more


@dataclass(slots=True)
class ProbeSets:
    """At most `size` >= 0 probes of each kind; one of each kind may be taken every `every` >= 1 steps."""

    size: int
    every: int
    seed: int
    withheld: set[str] = field(default_factory=set)  # ids of all probes: membership only
    _kept: dict[ProbeKind, dict[str, bytes]] = field(default_factory=lambda: {kind: {} for kind in ProbeKind})

    def add(self, probes: Iterable[Probe]) -> None:
        """Folds what was taken into the sets."""
        for probe in probes:
            kept = self._kept[probe.kind]
            kept[probe.problem_id] = self._rank(probe)
            while len(kept) > self.size:
                kept.pop(max(kept, key=lambda each: (kept[each], each)))
        self.withheld.clear()
        self.withheld.update(each for kept in self._kept.values() for each in kept)

    def of(self, kind: ProbeKind) -> tuple[str, ...]:
        """The ids of a set's probes, in the order in which they were taken."""
        return tuple(self._kept[kind])

    def taken(self, step: int, rates: Sequence[PassRate], tracker: Tracker) -> tuple[Probe, ...]:
        """What becomes a probe by a step that measured `rates`; `tracker` has seen the step. `add` is to be told.

        Hard: the lowest pass rate of the step below `SOLVED`; easy: the highest from there on. Of equal ones the one
        whose rate the curriculum foretells to be lowest, or highest, then by id. At most `MAX_SHARE` of the known
        problems are probes.
        """
        if self.size == 0 or step % self.every:
            return ()
        room = int(tracker.num_problems() * MAX_SHARE) - len(self.withheld)
        return tuple(probe for probe in _extremes(rates, tracker) if self._enters(probe))[: max(0, room)]

    def _enters(self, probe: Probe) -> bool:
        kept = self._kept[probe.kind]
        if probe.problem_id in self.withheld:
            return False
        return len(kept) < self.size or self._rank(probe) < max(kept.values())

    def _rank(self, probe: Probe) -> bytes:
        text = f"{self.seed}/probes/{probe.kind.value}/{probe.problem_id}"
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


def _extremes(rates: Sequence[PassRate], tracker: Tracker) -> Iterator[Probe]:
    """The hardest problem that was failed and the easiest that was solved."""
    found = [
        (each.successes / each.attempts, tracker.rate(each.problem_id), each.problem_id)
        for each in rates
        if each.attempts
    ]
    failed, solved = ([each for each in found if (each[0] >= SOLVED) == is_solved] for is_solved in (False, True))
    if failed:
        rate, _, problem_id = min(failed)
        yield Probe(problem_id, ProbeKind.HARD, rate)
    if solved:
        rate, _, problem_id = max(solved)
        yield Probe(problem_id, ProbeKind.EASY, rate)
