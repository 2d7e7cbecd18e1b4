"""What the solver has learned of a family: the change of its held pass rate, booked so that no rise is paid twice.

Held is a pass rate of problems that were never practised: first groups alone, whose tries were sampled before any
update saw the problem. What a problem taught cannot be told from the problem itself, which is practised then, nor from
the step that taught it. So the credit comes later, and to the family:

    h <- h + n (x - h) / (min(N, HELD_GROUPS) + n)     at n groups of first tries with x of them right; N came before
    b <- h                                             while N < HELD_GROUPS: nothing is known yet to compare with
    credit = h - b                                     what was learned and not paid for
    b <- b + BOOKED (h - b)                            in a step that pays proposals of the family

A step pays BOOKED (h - b) in all, shared out among the family's measured proposals, and books as much. So over any
steps what is paid is what b has moved by, whoever is paid and however often: a rise of the family counts once. A fall
is charged, so posing hard problems and then easy ones gains nothing.
"""

from dataclasses import dataclass

HELD_GROUPS = 4  # of first tries, that a family's held rate is made of
BOOKED = 0.25  # share of the credit that a step pays


@dataclass(slots=True)
class Held:
    """`groups`: of first tries so far, which may be fractions of whole ones. `rate` and `booked` are in [0, 1]."""

    groups: float = 0.0
    rate: float = 0.0
    booked: float = 0.0

    @property
    def credit(self) -> float:
        """h - b, in [-1, 1]: above 0 where problems of the family are solved more often than was paid for."""
        return self.rate - self.booked

    def observe(self, groups: float, share: float) -> None:
        """`groups` > 0 of first tries at an untried problem, of which `share` are right."""
        before = min(self.groups, HELD_GROUPS)
        self.rate += groups * (share - self.rate) / (before + groups)
        self.groups += groups
        if self.groups < HELD_GROUPS:
            self.booked = self.rate

    def pay(self) -> None:
        """A step has paid proposals of the family by the credit as it stood before."""
        self.booked += BOOKED * self.credit
