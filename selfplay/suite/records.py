"""What an evaluation of a model comes to, as plain frozen records."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from selfplay.stats.pass_at_k import Estimate
from selfplay.stats.pass_curves import PairedCurves
from store.records import Outcome


@dataclass(frozen=True, slots=True)
class SaidTurn:
    """A turn: its text as sampled, the answer that was read (None: none could be), and the verdict. `ids`, `nats`: its
    tokens, and -sum of their log-probabilities at temperature 1, of a first try that was sampled."""

    text: str
    answer: str | None
    outcome: Outcome
    ids: tuple[int, ...] = field(default=(), repr=False)
    nats: float = 0.0


@dataclass(frozen=True, slots=True)
class ProblemOutcome:
    """One problem of a set, and what was said of it. None for what was not asked for.

    `search_tokens`, `best_of_tokens`: sampled tokens until the search, or best-of-N, had a right answer within the
    budget; infinite where it had none.
    """

    problem_id: str
    text: str
    family: str
    level: int
    answer: str
    turns: tuple[SaidTurn, ...]  # greedy
    sampled: tuple[SaidTurn, ...] = ()  # first tries at temperature 1
    vote: bool | None = None  # whether the answer that most of `sampled` gave is right
    search_tokens: float | None = None
    best_of_tokens: float | None = None
    nats_against: float | None = None  # -sum of log p of all tokens of `sampled`, by the model that it is compared with

    @property
    def num_tokens(self) -> int:
        """Tokens of `sampled`."""
        return sum(len(turn.ids) for turn in self.sampled)

    @property
    def nats(self) -> float:
        """-sum of log p of these by the model that said them."""
        return sum(turn.nats for turn in self.sampled)

    @property
    def num_right(self) -> int:
        """How many of `sampled` are right."""
        return sum(turn.outcome is Outcome.CORRECT for turn in self.sampled)

    @property
    def has_first_right(self) -> bool:
        """Whether the greedy first try is right."""
        return self.turns[0].outcome is Outcome.CORRECT

    @property
    def has_last_right(self) -> bool:
        """Whether the last greedy turn is right."""
        return self.turns[-1].outcome is Outcome.CORRECT


@dataclass(frozen=True, slots=True)
class SetReport:
    """One model on one set. Shares are in [0, 1], each with its 95% interval; None for what was not asked for.

    `fixed`, `broken`: shares of all problems that the second look put right, or wrong. `parsed`: share of greedy first
    tries in which an answer could be read. `search`, `best_of`: share of problems with a right answer within
    `search_budget` sampled tokens each. `unjudged`: greedy turns and samples that nobody could judge, counted as wrong.
    `tokens_computed`: what ran through the model; `tokens_flat`: what the same takes one sample after another.
    """

    set_name: str
    num_problems: int
    first_try: Estimate
    parsed: float
    second_look: Estimate | None = None
    change: Estimate | None = None  # second look less first try, paired
    fixed: float | None = None
    broken: float | None = None
    num_samples: int = 0
    pass_at_k: Mapping[int, Estimate] = field(default_factory=dict)
    vote: Estimate | None = None
    search_budget: int = 0
    search: Estimate | None = None
    best_of: Estimate | None = None
    unjudged: int = 0
    seconds: float = 0.0
    tokens_said: float = 0.0  # a greedy conversation, mean
    tokens_computed: int = 0
    tokens_flat: int = 0
    problems: Sequence[ProblemOutcome] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class ModelReport:
    """One model on all sets. `step`: of the run's checkpoint; 0 for a model itself."""

    model: str
    step: int
    sets: tuple[SetReport, ...]

    @property
    def named(self) -> str:
        """As people are told of it."""
        return f"{self.model}, step {self.step}" if self.step else self.model


@dataclass(frozen=True, slots=True)
class Compared:
    """Two models on the same problems by one yes-or-no figure, such as "first try": counts, the difference of their
    shares with its 95% interval (`paired_interval`), and McNemar's exact p value (`mcnemar`), of selfplay/stats."""

    set_name: str
    figure: str
    both: int
    only_first: int
    only_second: int
    neither: int
    difference: Estimate  # first less second
    p_value: float


@dataclass(frozen=True, slots=True)
class ComparedPassing:
    """pass@k of two models on one set: `first` is A, `second` is B."""

    set_name: str
    first: str
    second: str
    problems: int
    curves: PairedCurves
    perplexity: tuple[float, float] | None = None  # of A's samples a token, by A and by B; None where B was not asked


@dataclass(frozen=True, slots=True)
class Report:
    """What `evaluate` returns. `against` and `compared` are there where two models were compared, `passing` where
    samples were drawn of both."""

    model: ModelReport
    against: ModelReport | None = None
    compared: tuple[Compared, ...] = ()
    passing: tuple[ComparedPassing, ...] = ()
