"""What a page shows of many steps or problems at once, as plain frozen records."""

from dataclasses import dataclass
from enum import StrEnum

from store.records import Origin, ProblemState, Proposal


@dataclass(frozen=True, slots=True)
class Measured:
    """What one step measured of one problem, and where the curriculum had it then."""

    step: int
    policy_version: int  # that the attempts are of
    problem_id: str
    attempts: int
    successes: int
    state: ProblemState | None  # None before schema 0006
    rate: float | None  # the pass rate as the curriculum foretold it, in (0, 1); None before schema 0006
    kept: int = 0  # second looks, as `PassRate` counts them
    broken: int = 0
    fixed: int = 0
    missed: int = 0


@dataclass(frozen=True, slots=True)
class Listed:
    """A problem without what it was asked: enough to count it."""

    problem_id: str
    family: str
    level: int
    origin: Origin
    admitted_step: int


@dataclass(frozen=True, slots=True)
class ProblemLine:
    """One line of a table of problems. `rate` and `last_step` are None where nobody tried it."""

    problem_id: str
    text: str
    answer: str
    domain: str
    family: str
    level: int
    origin: Origin
    state: ProblemState
    admitted_step: int
    last_step: int | None
    attempts: int
    successes: int
    rate: float | None
    parent_id: str | None


class ProblemOrder(StrEnum):
    """What a table of problems can be sorted by."""

    RATE = "rate"
    ATTEMPTS = "attempts"
    ADMITTED = "admitted"
    LAST = "last"
    LEVEL = "level"
    FAMILY = "family"
    TEXT = "text"


Place = tuple[float | str, str]  # of a line in its order: what it is sorted by, and its id


@dataclass(frozen=True, slots=True)
class ProblemQuery:
    """Which problems, and in which order. None and "" do not filter; rates are those foretold, from 0 to 1.

    `after`: the place of the last line of the page before. Pages by place stay right while a run adds problems.
    """

    text: str = ""
    domain: str = ""
    family: str = ""
    state: ProblemState | None = None
    origin: Origin | None = None
    min_rate: float | None = None
    max_rate: float | None = None
    step: int | None = None  # that tried it
    order: ProblemOrder = ProblemOrder.ADMITTED
    is_descending: bool = True
    after: Place | None = None
    limit: int = 50


@dataclass(frozen=True, slots=True)
class ProblemPage:
    """`matching`: how many problems the filters leave, on all pages. `following`: where the next page begins."""

    lines: tuple[ProblemLine, ...]
    matching: int
    following: Place | None


@dataclass(frozen=True, slots=True)
class ProposalLine:
    """A proposal with its step, its place in the run's order, and the text of the problem it was made of."""

    step: int
    place: int
    proposal: Proposal
    parent_text: str


@dataclass(frozen=True, slots=True)
class TurnMean:
    """The mean of what turns of one place in the attempt were paid in one step, over `count` of them."""

    step: int
    turn: int
    reward: float
    count: int
