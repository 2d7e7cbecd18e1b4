"""The vocabulary: what a run is made of, as plain frozen records. Standard library only.

A problem is escalated by proposals; one that is accepted is a new problem; attempts at it, each of some turns, give a
pass rate, and that decides what is escalated next. Every package uses these records; the store returns them, not rows.
Left out: token trees, tensors and random generators, which are derived and not stored.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Outcome(StrEnum):
    """What a judge said of one turn. UNJUDGED is in no group, no pass rate and no reward."""

    CORRECT = "CORRECT"
    INCORRECT = "INCORRECT"
    UNPARSED = "UNPARSED"
    TRUNCATED = "TRUNCATED"
    UNJUDGED = "UNJUDGED"


class Fate(StrEnum):
    """What became of a proposal. ACCEPTED and SURPLUS were valid and new; the rest are rejections by name."""

    ACCEPTED = "ACCEPTED"  # became a problem and was attempted in this step
    SURPLUS = "SURPLUS"  # valid and new, but the step had no room for it: unmeasured, so unpaid and untrained
    UNPARSED = "UNPARSED"  # not in the domain's syntax
    TRUNCATED = "TRUNCATED"  # cut by the length limit
    INVALID = "INVALID"  # syntax right, meaning outside the domain (negative result, division by zero ...)
    TOO_LARGE = "TOO_LARGE"  # outside the domain's size limits, or longer than the model can read
    DUPLICATE = "DUPLICATE"  # its canonical form is in the store or earlier in this step
    TRIVIAL_EDIT = "TRIVIAL_EDIT"  # same canonical form as its parent, or differs by nothing that counts
    HELD_OUT = "HELD_OUT"  # belongs to an evaluation set


class ProblemState(StrEnum):
    """Where a problem stands in the curriculum, which alone decides it (`curriculum`, docs/curriculum.md)."""

    NEW = "NEW"
    ACTIVE = "ACTIVE"
    MASTERED = "MASTERED"
    TOO_HARD = "TOO_HARD"
    RETIRED = "RETIRED"


class Origin(StrEnum):
    """Who posed a problem."""

    SEED = "SEED"
    CHALLENGER = "CHALLENGER"
    PROCEDURAL = "PROCEDURAL"


class Finish(StrEnum):
    """Why a completion ended."""

    STOP = "STOP"
    LENGTH = "LENGTH"


class AlarmEvent(StrEnum):
    """What a guard says of a step. It is silent while an alarm that it has raised goes on."""

    RAISED = "RAISED"
    OVER = "OVER"


class ProbeKind(StrEnum):
    """Why a problem is a probe: it was failed, or solved."""

    HARD = "HARD"
    EASY = "EASY"


class Side(StrEnum):
    """Who keeps a set of skills."""

    CHALLENGER = "CHALLENGER"
    SOLVER = "SOLVER"


class SkillAction(StrEnum):
    """What a side wants done with its set: a skill more, or something merged into one that it has."""

    ADD = "ADD"
    MERGE = "MERGE"


class RoundOutcome(StrEnum):
    """What became of a side's round. After any but WRITTEN the set is what it was."""

    WRITTEN = "WRITTEN"
    NO_ROOM = "NO_ROOM"  # not even one case fits into the model with the question
    TRUNCATED = "TRUNCATED"  # what was said was cut by the length limit
    UNPARSED = "UNPARSED"  # what was said is not in the form that was asked for
    TAKEN = "TAKEN"  # a skill was to be added under a name that there is
    UNKNOWN = "UNKNOWN"  # something was to be merged into a skill that there is not
    TOO_LARGE = "TOO_LARGE"  # too many skills, or one that is too long
    FORGED = "FORGED"  # what was said has a stop or a heading of the prompts
    MISSED = "MISSED"  # the new set lacks the skill that it was written for
    UNCHANGED = "UNCHANGED"  # the new set says what the old one said


class HelpKind(StrEnum):
    """What a prompt says beside a problem that is too hard."""

    HINT = "HINT"  # how its solution begins: half of it first
    SUBPROBLEM = "SUBPROBLEM"  # problems that are part of it, with their answers
    REVERSE = "REVERSE"  # how its solution begins: nearly all of it first


class StepStatus(StrEnum):
    """LIVE steps are the head and its ancestors; ABANDONED ones were left behind by a rewind and stay readable."""

    LIVE = "LIVE"
    ABANDONED = "ABANDONED"


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem. `problem_id` is a hash of (domain, canonical), so the same problem always has the same id."""

    problem_id: str
    domain: str
    text: str  # as shown to the solver, e.g. "47 + 38"
    canonical: str  # equal for problems that are the same, e.g. "+38 +47"
    family: str  # the domain's class of the problem, e.g. "dd+dd"
    level: int  # the domain's measure of size, >= 1
    answer: str
    answer_source: str  # "executed", "seed" ...
    origin: Origin
    parent_id: str | None = None  # what it was escalated from


@dataclass(frozen=True, slots=True)
class Completion:
    """What an engine sampled. Ids are the truth; `text` is decoded from them and never tokenised again."""

    ids: tuple[int, ...]  # the stop token included
    logprobs: tuple[float, ...]  # the sampler's, one per id, <= 0
    text: str
    finish: Finish
    first_version: int  # policy version of the first token
    last_version: int


@dataclass(frozen=True, slots=True)
class Wave:
    """The completions of one engine call, in the order of the requests. It is committed as soon as the call ends.

    `key` names the wave inside its step, such as "solver/1". A wave that is sampled again under its key is the same.
    """

    step: int
    key: str
    completions: tuple[Completion, ...]


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn of an attempt: turn 0 is the first try, turn 1 the second look."""

    text: str
    answer: str | None  # what was parsed; None when nothing was
    outcome: Outcome
    finish: Finish
    num_tokens: int
    reward: float | None  # what the loss was paid with, bonus included; None when unjudged
    score: float | None = None  # the verdict's, in [0, 1]; None when unjudged, and before schema 0008
    parts: Mapping[str, float] = field(default_factory=dict)  # what `reward` is the sum of, in this order, by name
    error: str = ""  # how its judge or a reward failed, in one line


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt at a problem: its turns in order, and the first and the last policy version that sampled them."""

    problem_id: str
    attempt: int  # index in its group, from 0
    turns: tuple[Turn, ...]
    first_version: int
    last_version: int
    report: str | None = None  # what it said of its own result, where it was asked
    confidence: float | None = None  # the report as a number in [0, 1]; None where it could not be read


@dataclass(frozen=True, slots=True)
class Proposal:
    """One thing the challenger said when asked to escalate `parent_id`."""

    parent_id: str
    target: int  # index, in the step, of the group of proposals made of one parent
    index: int  # index in the group
    text: str
    fate: Fate
    problem_id: str | None  # set when ACCEPTED, and when DUPLICATE of a known problem
    reward: float | None  # None when unmeasured (SURPLUS) or unjudged
    logprob: float | None = None  # of its text by the policy that said it, a mean over tokens; None before schema 0016


@dataclass(frozen=True, slots=True)
class Foretold:
    """What was foretold of a problem that nobody had tried before its first group: a Beta of its pass rate, by its
    family's rate and by its features. Means are in (0, 1), strengths in tries."""

    problem_id: str
    beta_mean: float
    beta_strength: float
    features_mean: float
    features_strength: float


@dataclass(frozen=True, slots=True)
class PassRate:
    """What one step measured of one problem, in whole numbers; rates are derived from them."""

    problem_id: str
    policy_version: int
    attempts: int  # judged first tries
    successes: int
    kept: int = 0  # second looks after a right first try that stayed right
    broken: int = 0  # ... that turned wrong
    fixed: int = 0  # second looks after a wrong first try that turned right
    missed: int = 0  # ... that stayed wrong
    is_graded: bool = False  # first tries that fared alike, all right or all not, had different scores

    @property
    def has_signal(self) -> bool:
        """Whether the verdicts told first tries apart, by outcome or by score."""
        return self.is_graded or 0 < self.successes < self.attempts


@dataclass(frozen=True, slots=True)
class Standing:
    """Where the curriculum has a problem after a step. Stored for people who read the database; not read back."""

    state: ProblemState
    rate: float  # its first-try pass rate, as the curriculum foretold it after that step


@dataclass(frozen=True, slots=True)
class SearchNode:
    """One step of answers to a problem, in the tree that the judge searched; node 0 is the problem itself.

    `leaves` finished answers are below it, of which `right` are right. `value` and `process` are the critics' scores,
    in [0, 1].
    """

    problem_id: str
    node: int
    parent: int | None  # None of node 0
    text: str
    num_tokens: int
    logprob: float  # the sampler's, summed over the step
    said: int  # how often it was sampled from its parent
    visits: int
    mean: float  # of the values that the search backed up, in [0, 1]
    leaves: int
    right: int
    policy_version: int
    value: float | None = None
    process: float | None = None
    outcome: Outcome | None = None  # of the answer that it ends
    merged_into: int | None = None
    advantage: float | None = None  # what it was paid, where rewards are dense


@dataclass(frozen=True, slots=True)
class Alarm:
    """Something that goes wrong with a run since this step, or no longer does (`selfplay/guards`)."""

    name: str  # the guard's
    event: AlarmEvent
    figure: float  # what it watches, as a mean over a few steps
    threshold: float  # that the figure has passed
    text: str  # what is seen, as a sentence without its full stop; a model's text may be quoted in it
    advice: str  # what to do; "" once it is over


@dataclass(frozen=True, slots=True)
class Disagreement:
    """A turn that was paid by one verdict, and of which other means say the reverse."""

    problem_id: str
    attempt: int
    turn: int
    outcome: Outcome  # by which it was paid
    is_right: bool  # by the other means
    means: str  # which these are, in a few words


@dataclass(frozen=True, slots=True)
class Probe:
    """A problem that is practised no more, so that it can tell versions apart (`curriculum/selection/probes.py`)."""

    problem_id: str
    kind: ProbeKind
    rate: float  # its first-try pass rate in the step that took it


@dataclass(frozen=True, slots=True)
class Help:
    """What a prompt says of a problem that is too hard (`curriculum/selection/rescue.py`): `given` of `pieces`."""

    kind: HelpKind
    given: int  # from 1 to `pieces`
    pieces: int  # that there are for this problem
    text: str


@dataclass(frozen=True, slots=True)
class Rescue:
    """A group of attempts at a problem that is being rescued: with help, or bare again where nothing was `given`. Only
    bare groups have a pass rate."""

    problem_id: str
    kind: HelpKind
    given: int
    pieces: int
    attempts: int  # judged first tries
    successes: int


@dataclass(frozen=True, slots=True)
class Pick:
    """What the probes said of the kept weights at a checkpoint: which are the best, and whether the run goes back.

    Both versions answered the same probes, `hard` and `easy` of them. A product is of rates (`stats/product_rule.py`).
    """

    step: int  # whose weights were compared with the best ones
    best_step: int  # whose weights are the best
    hard: int
    easy: int
    hard_solved: int  # by the weights of `step`
    easy_solved: int
    product: float
    best_hard_solved: int  # by the weights of `best_step`
    best_easy_solved: int
    best_product: float
    standard_error: float  # of best_product - product; 0 where both are of one version
    policy_version: int  # that the run goes on with
    is_rollback: bool = False  # it goes on with the weights of `best_step`, under that new version
    committed_at: str | None = field(default=None, compare=False)  # ISO 8601, UTC: a label


@dataclass(frozen=True, slots=True)
class Skill:
    """A short piece of advice that a model wrote for itself."""

    name: str
    body: str
    since: int  # version of its set from which on it reads as it does


@dataclass(frozen=True, slots=True)
class SkillSet:
    """The skills of a side, in the order in which they were written. `version` counts the rounds that changed it."""

    side: Side
    version: int = 0
    skills: tuple[Skill, ...] = ()


@dataclass(frozen=True, slots=True)
class SkillRound:
    """One try of a side to write its set anew."""

    side: Side
    outcome: RoundOutcome
    cases: tuple[str, ...]  # ids of the problems that it was shown
    parent_version: int  # of the set that it began with
    action: SkillAction | None = None  # None, with no name and no reason, where nothing was proposed that could be read
    name: str = ""
    reason: str = ""
    written: SkillSet | None = None  # where it is WRITTEN


@dataclass(frozen=True, slots=True)
class SkillPick:
    """What the probes said of a version of the solver's skills when another was written."""

    version: int  # 0: no skills
    hard: int
    easy: int
    hard_solved: int
    easy_solved: int
    product: float  # of rates (`stats/product_rule.py`)
    used_as: int | None = None  # of the best: the version that it is from now on; a new one where it is taken up again


@dataclass(frozen=True, slots=True)
class Experience:
    """An action in a state and what came of it; nobody was paid for it."""

    problem_id: str
    state_index: int  # place of the state on the problem's right path, from 0
    place: int  # among the actions in the state, from 0
    state: str
    action: str
    next_state: str
    is_expert: bool  # it is the right action
    is_right: bool | None  # it leads along the right path; None where nobody knows
    policy_version: int  # that was asked for it
    reflection: str | None = None  # of the right action: what the model said of why it is right
    is_kept: bool | None = None  # the reflection was learned from


@dataclass(frozen=True, slots=True)
class StepCommit:
    """Everything one step adds to the store, in one transaction."""

    step: int  # 1, 2, ...
    policy_version: int  # the version this step made; equals `step` on a run without forks
    problems: tuple[Problem, ...]  # newly admitted
    proposals: tuple[Proposal, ...]
    attempts: tuple[Attempt, ...]
    pass_rates: tuple[PassRate, ...]
    metrics: Mapping[str, float]
    weights_digest: str
    journal_file: str  # basename in the run's journal folder
    journal_sha256: str
    seconds: float
    search_nodes: tuple[SearchNode, ...] = ()
    standings: Mapping[str, Standing] = field(default_factory=dict)  # of the problems in `pass_rates`, after the step
    alarms: tuple[Alarm, ...] = ()
    disagreements: tuple[Disagreement, ...] = ()
    probes: tuple[Probe, ...] = ()
    skill_rounds: tuple[SkillRound, ...] = ()
    skill_picks: tuple[SkillPick, ...] = ()
    rescues: tuple[Rescue, ...] = ()
    experiences: tuple[Experience, ...] = ()
    foretold: tuple[Foretold, ...] = ()  # of the problems in `pass_rates` that nobody had tried


@dataclass(frozen=True, slots=True)
class StepRow:
    """A committed step. Step 0 is the base model: no journal, no metrics."""

    step_id: int
    step: int
    parent_step_id: int | None
    status: StepStatus
    policy_version: int
    metrics: Mapping[str, float]
    weights_digest: str
    journal_file: str | None  # None for step 0 and once pruned
    journal_sha256: str | None
    seconds: float
    incarnation_id: int | None = None  # the process that made it; None for step 0, and before schema 0004
    committed_at: str | None = field(default=None, compare=False)  # ISO 8601, UTC: a label; None before schema 0006


@dataclass(frozen=True, slots=True)
class StepHistory:
    """One LIVE step, as far as the curriculum is a fold over it."""

    step: int
    policy_version: int
    problems: tuple[Problem, ...]
    proposals: tuple[Proposal, ...]
    pass_rates: tuple[PassRate, ...]


@dataclass(frozen=True, slots=True)
class SnapshotRow:
    """The state of the curriculum after a LIVE step, as bytes. `label` says what they depend on."""

    step: int
    step_digest: str  # of the step as it is stored now
    label: str
    packed: bytes


@dataclass(frozen=True, slots=True)
class CheckpointRow:
    """A finished checkpoint folder. Its row is committed after its files are on disk."""

    step_id: int
    step: int
    path: str  # relative to the run folder
    manifest_sha256: str
    weights_digest: str


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One evaluation set at one step. `kind` is "full" (before, after) or "interim"."""

    step: int
    set_name: str
    kind: str
    metrics: Mapping[str, float]
    outcomes: str = ""  # one digit a problem, in the set's order: 2 if the first turn was right, +1 if the second was
    reports: str = ""  # "1:0.7 0:-", of one sampled answer a problem: whether it is right, and its report
    searches: str = ""  # "34/7/-/-/0": tokens and nodes until right of a search and of best-of-N; is the vote right
    committed_at: str | None = field(default=None, compare=False)  # ISO 8601, UTC: a label; None before schema 0006


@dataclass(frozen=True, slots=True)
class RunRow:
    """The run itself. A database has one."""

    name: str
    seed: int
    config_yaml: str
    config_digest: str
    code_digest: str
    head_step_id: int
    head_step: int


@dataclass(frozen=True, slots=True)
class Incarnation:
    """One process that worked on the run, and the environment that it worked in."""

    started_at: str  # ISO 8601, UTC: a label, never a decision
    fingerprint: str  # torch version, CPU flags, threads ...
    head_step: int  # where it began
    note: str = ""
    incarnation_id: int = 0
    config_digest: str = ""  # of the configuration it ran, "" before schema 0004
    code_digest: str = ""  # of the code it ran, "" before schema 0004
    seconds: float = 0.0  # wall time from its start to what it last stored, at least 0
    peak_memory_bytes: int = 0  # the most it held resident until then
