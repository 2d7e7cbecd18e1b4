"""What is learned and how, as the configuration has it."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal

from torch import Tensor

from curriculum.domains.abilities import ability, able
from curriculum.domains.environments.extras import version_of
from curriculum.domains.protocol import ChecksAgain, ComparesProblems, Domain, Prompted
from curriculum.holdout import HeldOut
from curriculum.selection.aim import targets_of
from curriculum.selection.archive import Archive
from curriculum.tracking.difficulty import Tracker
from roles.challenger import LABEL as CHALLENGER_LABEL
from roles.experience import EXPERT, LABELS, REFLECTION, STATE, ExperienceSettings
from roles.judging.rewards import verdict_weight
from roles.pay.gate import Gate
from roles.pay.shaping import Shaping
from roles.prompts import PromptStyle
from roles.requests import SamplingParams
from roles.solver import REPORT_LABEL, turn_label
from selfplay.config.checking import has_challengers_adapters
from selfplay.config.files import rewards
from selfplay.config.keys import Config
from selfplay.learn.batch import Mean
from selfplay.learn.clip_cov import ClipCovSettings
from selfplay.learn.copies.experience import ExperienceTeaching
from selfplay.learn.proposals import ProposalPay
from selfplay.learn.settings import LearningSettings, Objective, TeachingSettings
from selfplay.learn.stages import Stage, StageSettings
from selfplay.machine.errors import USAGE, Refused
from selfplay.model.probe import Parity
from selfplay.play.exploring import Explorer
from selfplay.prompting.codec import Encode
from selfplay.run import build_search
from selfplay.train.choices import Anchor
from selfplay.train.loss import LossSettings
from selfplay.train.masks import Mask, read_mask
from selfplay.train.subnetwork import Subnetwork
from selfplay.train.trainer import TrainerSettings
from store.records import Problem


def teaching_settings(config: Config) -> TeachingSettings:
    """What pays whom, in each of SCoRe's stages."""
    objectives: dict[Stage, Objective] = {1: _objective(config, 1), 2: _objective(config, 2)}
    loss = _loss(config)
    return TeachingSettings(
        learning=_learning(config, objectives.values()),
        objectives=objectives,
        stage_one=_stage_one(config),
        imitation=config.train.imitation,
        credit=build_search.credit_settings(config),
        format_quota=config.train.format_quota,
        clip_cov=ClipCovSettings(config.train.clip_cov, config.train.clip_cov_low, config.train.clip_cov_high),
        seed=config.seed,
        keeps_sequences=loss.weighs_sequences or loss.clips_sequences,
        mean=Mean(config.train.mean, _longest(config), frozenset(LABELS)),
        experience=_experience(config),
    )


def _experience(config: Config) -> ExperienceTeaching:
    e = config.train.experience
    weights = {STATE: e.world_model, EXPERT: e.imitation, REFLECTION: e.reflection}
    return ExperienceTeaching({label: weight for label, weight in weights.items() if weight > 0}, e.steps)


def explorer(
    config: Config, style: PromptStyle, params: SamplingParams, encode: Encode, limit: int | None
) -> Explorer | None:
    """Who gathers early experience; None where nothing learns from it. `params`: of an answer."""
    e = config.train.experience
    if not _experience(config).weights:
        return None
    reflection = replace(params, max_tokens=e.max_tokens) if e.reflection > 0 else None
    settings = ExperienceSettings(e.alternatives, params, e.states, reflection, e.grounded)
    return Explorer(style, settings, encode, limit, e.steps)


def proposal_pay(
    config: Config, learning: LearningSettings, domain: Domain, tracker: Tracker, held_out: HeldOut
) -> ProposalPay:
    """What pays the challenger. Raises DomainError for an aim that names nothing, or where an extra is missing."""
    gate = Gate(config.challenger.gate, config.curriculum.band_low, config.curriculum.band_high)
    shaping = _shaping(config, domain, tracker, held_out)

    def foretold(problem_id: str, parent: Problem) -> float:
        problem = tracker.problem(problem_id) if tracker.knows(problem_id) else parent
        return tracker.forecast(problem)[0]

    return ProposalPay(learning, gate, shaping, _verified(domain), foretold)


def _shaping(config: Config, domain: Domain, tracker: Tracker, held_out: HeldOut) -> Shaping | None:
    c = config.challenger
    if c.novelty == 0 and c.learned_credit == 0 and not c.aim:
        return None
    if c.novelty > 0:
        version_of("datasketch", "datasketch", f"challenger.novelty={c.novelty:g}")
    return Shaping(
        tracker=tracker,
        novelty=c.novelty,
        aim=c.aim_weight,
        learned=c.learned_credit,
        archive=Archive(tracker, ability(domain, ComparesProblems)) if c.novelty > 0 else None,
        targets=targets_of(c.aim, domain, held_out) if c.aim else None,
    )


def _verified(domain: Domain) -> Callable[[Problem], bool]:
    """Whether the domain's other means, where it has any, do not contradict the answer that a problem came with."""
    again, written = able(domain, ChecksAgain), ability(domain, Prompted).written
    if again is None:
        return lambda problem: True
    return lambda problem: not problem.answer or again.check_again(problem, written(problem.answer))[0] is not False


def trainer_settings(config: Config, parity: Parity) -> TrainerSettings:
    t = config.train
    return TrainerSettings(
        learning_rate=t.learning_rate,
        weight_decay=t.weight_decay,
        betas=(t.betas[0], t.betas[1]),
        warmup_steps=t.warmup_steps,
        decay_steps=t.decay_steps,
        decay_floor=t.decay_floor,
        grad_clip=t.grad_clip,
        step_kl=t.step_kl,
        pack_tokens=t.pack_tokens,
        logprob_chunk=t.logprob_chunk,
        temperatures=_temperatures(config),
        copied=frozenset(LABELS),
        adapters=_adapters(config),
        mode=t.pass_mode if parity.holds else "flat",
        loss=_loss(config),
    )


def _adapters(config: Config) -> dict[str, str]:
    """Label -> the adapter of its own, which is named as the role is; empty where all roles share one."""
    return {CHALLENGER_LABEL: CHALLENGER_LABEL} if has_challengers_adapters(config) else {}


def _loss(config: Config) -> LossSettings:
    t = config.train
    return LossSettings(t.clip_low, t.clip_high, _anchor(config), t.importance_cap, t.importance_mode, t.surrogate)


def _longest(config: Config) -> dict[str, int]:
    """Label -> tokens of its longest completion."""
    turns = {turn_label(turn): config.solver.max_tokens for turn in range(config.solver.turns)}
    return turns | {CHALLENGER_LABEL: config.challenger.max_tokens, REPORT_LABEL: config.solver.report_tokens}


def _anchor(config: Config) -> Anchor | Literal["none"]:
    return config.train.anchor if config.train.imitation == "none" else "none"


def subnetwork(config: Config) -> Callable[[Mapping[str, Tensor]], Subnetwork] | None:
    """What makes the trained part of the masters; None where all of them are trained. Raises Refused."""
    mask, path = mask_of(config), config.train.mask
    return None if mask is None else lambda masters: Subnetwork(mask, masters, path)


def mask_of(config: Config) -> Mask | None:
    """The subnetwork that is trained, if it is one. Raises Refused for a file with another than the digest says."""
    t = config.train
    if not t.mask:
        return None
    mask = read_mask(Path(t.mask))
    if t.mask_digest and mask.digest() != t.mask_digest:
        raise Refused(
            f"train.mask={t.mask}: holds another subnetwork (digest {mask.digest()}) than it is to (train.mask_digest "
            f"{t.mask_digest}): put the file back that the run began with, or start a new run",
            USAGE,
        )
    return mask


def _learning(config: Config, objectives: Iterable[Objective]) -> LearningSettings:
    return LearningSettings(
        advantage=config.train.advantage,
        correction_bonus=config.judge.correction_bonus,
        challenger_reward=config.challenger.reward,
        invalid_reward=config.challenger.invalid_reward,
        first_turn_reward=config.judge.first_turn_reward,
        report_reward=config.judge.report_reward,
        baseline=config.train.baseline,
        scale=config.train.advantage_scale,
        right_pays=verdict_weight(rewards(config)),
        kl_labels=frozenset(label for objective in objectives for label, weight in objective.kl.items() if weight > 0),
    )


def _objective(config: Config, stage: Stage) -> Objective:
    """Stage I pays later turns only, and holds the first one."""
    w, kl = config.train.weights, config.train.kl
    is_first_stage = stage == 1 and config.train.stage_one.max_steps > 0
    later = [turn_label(turn) for turn in range(1, config.solver.turns)]
    weights = {
        CHALLENGER_LABEL: w.challenger if config.challenger.source == "self" else 0.0,
        turn_label(0): 0.0 if is_first_stage else w.solver_first,
        REPORT_LABEL: w.report,
    } | dict.fromkeys(later, w.solver_second)
    pulls = {
        CHALLENGER_LABEL: kl.challenger,
        REPORT_LABEL: 0.0,
        turn_label(0): config.train.stage_one.kl_first if is_first_stage else kl.solver_first,
    } | dict.fromkeys(later, kl.solver_second)
    return Objective(weights, {label: pull + config.train.kl_coef for label, pull in pulls.items()})


def _stage_one(config: Config) -> StageSettings:
    s = config.train.stage_one
    return StageSettings(s.max_steps, s.plateau_window, s.plateau_gain, s.kl_budget)


def _temperatures(config: Config) -> dict[str, float]:
    """Label -> what its tokens are drawn at."""
    turns = {turn_label(turn): config.solver.temperature for turn in range(config.solver.turns)}
    return {CHALLENGER_LABEL: config.challenger.temperature, REPORT_LABEL: config.solver.temperature, **turns}
