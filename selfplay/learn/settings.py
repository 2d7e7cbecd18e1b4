"""Settings of what is learned: who is paid for what, and how much each label weighs in the loss."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from roles.pay.advantages import AdvantageRule
from roles.pay.formats import BaselineRule
from roles.pay.rewards import ChallengerRule
from roles.search.credit import CreditSettings
from selfplay.learn.batch import TOKENS, Mean
from selfplay.learn.clip_cov import ClipCovSettings
from selfplay.learn.copies.experience import ExperienceTeaching
from selfplay.learn.copies.imitation import ImitationRule
from selfplay.learn.reports import ReportRule
from selfplay.learn.scaling import ScaleRule
from selfplay.learn.stages import Stage, StageSettings

FirstTurnRule = Literal["own", "last"]


@dataclass(frozen=True, slots=True)
class Objective:
    """What the loss weighs in a stage: label -> weight of its rewards, label -> weight of its KL to the start."""

    weights: Mapping[str, float]
    kl: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class LearningSettings:
    """See the configuration's judge.*, challenger.* and train.* keys of the same names.

    `right_pays`: what a right answer is paid beyond a wrong one, as far as is known before it is judged.

    `kl_labels`: labels with a KL to the start weights. All of their tokens are trained on it, also those of groups that
    teach nothing.
    """

    advantage: AdvantageRule
    correction_bonus: float
    challenger_reward: ChallengerRule
    invalid_reward: float
    first_turn_reward: FirstTurnRule = "own"
    report_reward: ReportRule = "none"
    kl_labels: frozenset[str] = frozenset()
    right_pays: float = 1.0
    baseline: BaselineRule = "group"
    scale: ScaleRule = "none"


@dataclass(frozen=True, slots=True)
class TeachingSettings:
    """`credit` None: first tries are paid for the whole answer. `objectives`: one for each of SCoRe's stages.
    `format_quota`: the least share of the positive advantages of first tries that each format has (quota.py). `seed`
    keys what is drawn. `keeps_sequences`: the update weighs whole completions, so batches say which these are."""

    learning: LearningSettings
    objectives: Mapping[Stage, Objective]
    stage_one: StageSettings = field(default_factory=StageSettings)
    imitation: ImitationRule = "none"
    credit: CreditSettings | None = None
    keeps_sequences: bool = False
    format_quota: float = 0.0
    clip_cov: ClipCovSettings = field(default_factory=ClipCovSettings)
    seed: int = 0
    mean: Mean = TOKENS
    experience: ExperienceTeaching = field(default_factory=ExperienceTeaching)
