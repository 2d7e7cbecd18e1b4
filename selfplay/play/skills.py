"""The skills of a step: the rounds that come before it, and which of them its prompts show."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from roles.skills.sets import SkillSets
from store.records import Problem, Side, Skill, SkillPick, SkillRound

Fitting = Callable[..., tuple[Skill, ...]]  # of a side, its skills, problems and their help: those that a step can show

NO_HELP: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True)
class Skilled:
    """The sets that a step's prompts are made with, and the rounds in which they were written just before.
    `num_sampled`: tokens that the rounds sampled."""

    sets: SkillSets = field(default_factory=SkillSets)
    rounds: tuple[SkillRound, ...] = ()
    num_sampled: int = 0
    picks: tuple[SkillPick, ...] = ()  # what probes said of the solver's sets


@dataclass(frozen=True, slots=True)
class Shown:
    """What a side's prompts of a step show: the skills, how many of its set found no room, and the tokens that those
    that are shown take."""

    skills: tuple[Skill, ...]
    left_out: int
    tokens: int


def all_of_them(
    side: Side, skills: Sequence[Skill], problems: Sequence[Problem], help: Mapping[str, str] = NO_HELP
) -> tuple[Skill, ...]:
    """Where nothing bounds a context."""
    return tuple(skills)
