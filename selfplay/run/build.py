"""Configuration in, working parts out. The configuration stops here: what is built takes plain values."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from curriculum.domains.loading import load_domain
from curriculum.domains.protocol import Domain, problem_of
from curriculum.holdout import HeldOut
from curriculum.selection.scheduler import Scheduler
from curriculum.tracking.difficulty import Tracker
from roles.challenger import LABEL as CHALLENGER_LABEL
from roles.judging.groups import JudgeSettings
from roles.prompts import PromptStyle
from roles.requests import SamplingParams
from roles.solver import REPORT_LABEL, SolverSettings, turn_label
from selfplay.config.files import curriculum_settings
from selfplay.config.keys import Config
from selfplay.engine.flat_engine import FlatEngine
from selfplay.engine.protocol import Engine
from selfplay.engine.tree_engine import TreeEngine
from selfplay.evaluate.evaluator import Evaluator
from selfplay.learn.batch import TrainBatch
from selfplay.learn.settings import LearningSettings
from selfplay.learn.stages import Stage, StageSettings
from selfplay.machine.environment import be_deterministic, device_of
from selfplay.model.adapter_layers import make_adapters
from selfplay.model.policy import Policy
from selfplay.model.probe import Parity, longest_context, prove
from selfplay.model.weights.loading import LoadedModel, load_model
from selfplay.play.posing import Poser
from selfplay.play.searching import Searcher
from selfplay.prompting.chat import chat_style
from selfplay.prompting.checks import check_stops
from selfplay.prompting.codec import Encoder
from selfplay.prompting.room import Room, check_room
from selfplay.run import build_search
from selfplay.train.loss import LossSettings
from selfplay.train.passes import PackPass, pack_hidden, row_temperatures
from selfplay.train.scorer import Scorer
from selfplay.train.trainer import Trainer, TrainerSettings
from store.records import Origin, Problem


@dataclass(frozen=True, slots=True)
class Objective:
    """What the loss weighs in a stage: label -> weight of its rewards, label -> weight of its KL to the start."""

    weights: Mapping[str, float]
    kl: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Parts:
    """Everything a run works with, apart from its store."""

    config: Config
    domain: Domain
    held_out: HeldOut
    style: PromptStyle
    policy: Policy
    parity: Parity
    engine: Engine
    challenger_engine: Engine  # the start weights' own, for the frozen control; else the engine
    solver_engine: Engine  # likewise, for offline traces
    trainer: Trainer
    tracker: Tracker
    poser: Poser
    evaluator: Evaluator
    solver: SolverSettings
    proposal_params: SamplingParams
    judge: JudgeSettings
    learning: LearningSettings
    objectives: Mapping[Stage, Objective]
    stage_one: StageSettings
    searcher: Searcher | None
    scorer: Scorer
    room: Room

    @property
    def encode(self) -> Encoder:
        """From a prompt to ids."""
        return encoder(self.policy)


def build(config: Config, say: Callable[[str], None]) -> Parts:
    """Load the model, check how it can run, and put the parts together. Raises ModelError, DomainError, Refused."""
    torch.set_num_threads(config.run.threads)
    device = device_of(config.run.device)
    be_deterministic(device)
    domain = load_domain(config.domain, config.domain_options)
    held_out = HeldOut(domain, config.evaluate.holdout_key)
    loaded = load_model(config.model.name, config.model.dtype, say)
    policy = _policy(config, loaded, device, say)
    parity = prove(policy, wants_tree=config.train.pass_mode != "flat")
    if not parity.holds:
        say(f"runs as a padded batch, not on the token tree: {parity.reason}")
    style = prompt_style(config, domain, policy.tokenizer)
    engine = _engine(policy, config.seed, parity)
    objectives: dict[Stage, Objective] = {1: _objective(config, 1), 2: _objective(config, 2)}
    start = _start_policy(config, policy.tokenizer, device, objectives.values())
    start_engine = None if start is None else _engine(start, config.seed, parity)
    settings = curriculum_settings(config)
    tracker = Tracker(settings)
    trainer_settings = _trainer_settings(config, parity)
    reference = None if start is None else _reference(start, trainer_settings)
    params = SamplingParams(config.solver.temperature, config.solver.max_tokens, style.stop)
    solver = SolverSettings(
        group_size=config.solver.group_size,
        turns=config.solver.turns,
        looks=config.solver.looks,
        params=params,
        report=config.solver.report,  # type: ignore[arg-type]
        report_params=replace(params, max_tokens=config.solver.report_tokens),
    )
    proposal_params = SamplingParams(config.challenger.temperature, config.challenger.max_tokens, style.stop)
    room = _room(config, policy, style, solver, proposal_params, [*known_problems(domain, held_out)], say)
    scheduler = Scheduler(tracker, settings, config.seed)
    steps = build_search.step_style(style, params, policy.tokenizer)
    critic = build_search.critic(config, policy, device)
    scorer = Scorer(policy, engine, critic)
    parts = Parts(
        config=config,
        domain=domain,
        held_out=held_out,
        style=style,
        policy=policy,
        parity=parity,
        engine=engine,
        challenger_engine=_spoken_by(config.challenger.source, engine, start_engine),
        solver_engine=_spoken_by(config.solver.source, engine, start_engine),
        trainer=Trainer(policy, trainer_settings, reference, critic),
        tracker=tracker,
        poser=Poser(domain, held_out, tracker, scheduler, settings, config.seed, room.fits),
        evaluator=replace(
            _evaluator(config, engine, start_engine, policy, style, held_out),
            search=build_search.search_evaluation(config, steps),
            score=scorer,
            limit=room.limit,
        ),
        solver=solver,
        proposal_params=proposal_params,
        judge=JudgeSettings(config.judge.reward, config.judge.truncated, config.seed),  # type: ignore[arg-type]
        learning=_learning(config, objectives.values()),
        objectives=objectives,
        stage_one=_stage_one(config),
        searcher=build_search.searcher(config, steps),
        scorer=scorer,
        room=room,
    )
    return parts


def known_problems(domain: Domain, held_out: HeldOut) -> Iterator[Problem]:
    """The domain's seeds, and the problems that are kept for evaluation."""
    yield from (problem_of(seed, domain.name, Origin.SEED) for seed in domain.seeds())
    for members in held_out.sets.values():
        yield from members


def _room(
    config: Config, policy: Policy, style: PromptStyle, solver: SolverSettings, proposal: SamplingParams,
    problems: Sequence[Problem], say: Callable[[str], None],
) -> Room:  # fmt: skip
    """How long problems may be. Raises ModelError where those that are known cannot be asked of the model."""
    encode, name = encoder(policy), config.model.name
    if problems:
        check_stops(style, encode, problems[0], name)
    report = config.evaluate.report if solver.report == "none" else solver.report
    longest = replace(solver, report=report)  # type: ignore[arg-type]
    room = Room(style, encode, longest, proposal, judged=config.judge.source == "model")
    return replace(room, limit=check_room(policy.model, room, problems, longest_context(policy), name, say))


def encoder(policy: Policy) -> Encoder:
    return Encoder(policy.tokenizer, policy.head.weight.shape[0])


def _policy(config: Config, loaded: LoadedModel, device: torch.device, say: Callable[[str], None]) -> Policy:
    lora = config.policy.lora
    model, adapter = loaded.model, None
    if lora.r > 0:
        adapter = make_adapters(model, lora.r, lora.alpha, lora.target_modules, config.seed, config.model.name, say)
    policy = Policy(model, loaded.tokenizer, device)
    if adapter is not None:
        policy.adapt(adapter)
    if config.train.gradient_checkpointing:
        policy.enable_gradient_checkpointing()
    return policy


def _engine(policy: Policy, seed: int, parity: Parity) -> Engine:
    return TreeEngine(policy, seed) if parity.holds else FlatEngine(policy, seed)


def prompt_style(config: Config, domain: Domain, tokenizer: Any) -> PromptStyle:
    """How roles are put into words: few-shot text, or the tokenizer's chat template. Raises Refused."""
    if config.prompts.style == "few_shot":
        return PromptStyle(domain, feedback=config.solver.feedback)
    return chat_style(domain, tokenizer, config.model.name, config.prompts.thinking, config.solver.feedback)


def _trainer_settings(config: Config, parity: Parity) -> TrainerSettings:
    t = config.train
    anchor = t.anchor if t.imitation == "none" else "none"
    return TrainerSettings(
        learning_rate=t.learning_rate,
        weight_decay=t.weight_decay,
        betas=(t.betas[0], t.betas[1]),
        warmup_steps=t.warmup_steps,
        decay_steps=t.decay_steps,
        decay_floor=t.decay_floor,
        grad_clip=t.grad_clip,
        pack_tokens=t.pack_tokens,
        logprob_chunk=t.logprob_chunk,
        temperatures=_temperatures(config),
        mode=t.pass_mode if parity.holds else "flat",  # type: ignore[arg-type]
        loss=LossSettings(t.clip_low, t.clip_high, anchor, t.importance_cap),  # type: ignore[arg-type]
    )


def _reference(start: Policy, settings: TrainerSettings) -> Callable[[TrainBatch, PackPass], torch.Tensor]:
    @torch.no_grad()
    def logprobs(batch: TrainBatch, plan: PackPass) -> torch.Tensor:
        targets = torch.from_numpy(batch.ids[batch.targets[plan.pack.targets]]).to(start.device)
        with pack_hidden(start, batch, plan) as hidden:
            temperatures = row_temperatures(batch, plan, settings.temperatures, start.device)
            return start.head.logprobs(hidden, targets, temperatures, settings.logprob_chunk)

    return logprobs


def _evaluator(
    config: Config, engine: Engine, start: Engine | None, policy: Policy, style: PromptStyle, held_out: HeldOut
) -> Evaluator:
    e = config.evaluate
    return Evaluator(
        engine=engine,
        encode=encoder(policy),
        style=style,
        sets=held_out.sets,
        turns=config.solver.turns,
        max_tokens=config.solver.max_tokens,
        interim_size=e.interim_size,
        pass_k=e.pass_k,
        pass_size=e.pass_size,
        report=e.report,  # type: ignore[arg-type]
        report_tokens=config.solver.report_tokens,
        start_engine=start if e.mechanism else None,
    )


def _learning(config: Config, objectives: Iterable[Objective]) -> LearningSettings:
    return LearningSettings(
        advantage=config.train.advantage,  # type: ignore[arg-type]
        correction_bonus=config.judge.correction_bonus,
        challenger_reward=config.challenger.reward,  # type: ignore[arg-type]
        invalid_reward=config.challenger.invalid_reward,
        first_turn_reward=config.judge.first_turn_reward,  # type: ignore[arg-type]
        report_reward=config.judge.report_reward,  # type: ignore[arg-type]
        held=frozenset(label for objective in objectives for label, weight in objective.kl.items() if weight > 0),
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


def _start_policy(
    config: Config, tokenizer: Any, device: torch.device, objectives: Iterable[Objective]
) -> Policy | None:
    """The start weights once more, where something is compared with them or said by them."""
    has_kl = any(weight > 0 for objective in objectives for weight in objective.kl.values())
    is_frozen = "frozen" in (config.challenger.source, config.solver.source)
    if not (has_kl or is_frozen or config.evaluate.mechanism):
        return None
    return Policy(load_model(config.model.name, config.model.dtype).model, tokenizer, device)


def _spoken_by(source: str, engine: Engine, start: Engine | None) -> Engine:
    if source != "frozen":
        return engine
    assert start is not None
    return start


def _temperatures(config: Config) -> dict[str, float]:
    """Label -> what its tokens are drawn at."""
    turns = {turn_label(turn): config.solver.temperature for turn in range(config.solver.turns)}
    return {CHALLENGER_LABEL: config.challenger.temperature, REPORT_LABEL: config.solver.temperature, **turns}
