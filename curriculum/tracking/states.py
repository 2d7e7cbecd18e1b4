"""The state machine of a problem: NEW, ACTIVE, MASTERED, TOO_HARD, RETIRED. Pure; moved by one observation at a time.

NEW       fewer attempts in all than one group has
TOO_HARD  all attempts since the last success failed alike, and are two groups or more; ACTIVE once it is solved again.
          Attempts that failed with different scores teach something, and count as a success here
MASTERED  posterior mean above 0.9 after two observations in a row; ACTIVE when an observation is below 0.8
RETIRED   MASTERED, observed at least 4 times, and its family is mastered too: drawn for rehearsal, or where a step
          has nothing else. ACTIVE when an observation is below 0.8, MASTERED when its family no longer is mastered
ACTIVE    all others
"""

from dataclasses import dataclass

from store.records import ProblemState

NEW_GROUPS = 1
TOO_HARD_GROUPS = 2
MASTERED_MEAN = 0.9
MASTERED_STREAK = 2
FALLEN_RATE = 0.8
RETIRED_OBSERVATIONS = 4


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known of a problem right after an observation."""

    groups: float  # attempts in all, in groups
    observations: int  # groups measured, in all
    groups_failed: float  # attempts since the last group with a success or a signal, in groups
    mastered_streak: int  # observations in a row of at least FALLEN_RATE, the mean above MASTERED_MEAN after each
    newest_rate: float  # successes / attempts of this observation
    family_mastered: bool


def next_state(state: ProblemState, evidence: Evidence) -> ProblemState:
    """The state after the observation. A NEW problem that leaves follows the rules of an ACTIVE one."""
    if evidence.groups < NEW_GROUPS:
        return ProblemState.NEW
    if evidence.groups_failed >= TOO_HARD_GROUPS:
        return ProblemState.TOO_HARD
    match state:
        case ProblemState.TOO_HARD:
            return ProblemState.TOO_HARD if evidence.groups_failed else ProblemState.ACTIVE
        case ProblemState.MASTERED | ProblemState.RETIRED:
            if evidence.newest_rate < FALLEN_RATE:
                return ProblemState.ACTIVE
        case _:
            if evidence.mastered_streak < MASTERED_STREAK:
                return ProblemState.ACTIVE
    retired = evidence.family_mastered and evidence.observations >= RETIRED_OBSERVATIONS
    return ProblemState.RETIRED if retired else ProblemState.MASTERED


def is_banked(successes: int, least_successes: int, is_retry: bool) -> bool:
    """0 < successes < least_successes, and the group is no retry: too few to be trained on.

    A lone success may be a lucky guess or a shortcut, and normalized advantages push it hard: (1 - p) / sqrt(p (1 - p))
    grows as p falls. So the problem is tried again later with more attempts (`is_retry`), and then the group counts
    whatever it shows. Curriculum and trainer both ask here: what is not trained on is always in the bank.
    """
    return not is_retry and 0 < successes < least_successes
