"""Configuration in, working parts out. The configuration stops here: what is built takes plain values."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from curriculum.domains.abilities import ability
from curriculum.domains.judging import contradiction
from curriculum.domains.loading import is_ours
from curriculum.domains.protocol import Domain, Featured, problem_of
from curriculum.domains.seed_files import DomainError
from curriculum.holdout import HeldOut
from curriculum.selection.probes import ProbeSets
from curriculum.selection.rescue import Rescuer
from curriculum.selection.scheduler import Scheduler
from curriculum.tracking.difficulty import Tracker
from roles.judging.failures import JudgeWatch
from roles.judging.groups import JudgeSettings
from roles.judging.rewards import Part
from roles.prompts import PromptStyle
from roles.requests import SamplingParams
from roles.search.growth import StepStyle
from roles.skills.writing import SkillSettings
from roles.solver import SolverSettings
from selfplay.config.files import curriculum_settings
from selfplay.config.keys import ChallengerConfig, Config, SolverConfig
from selfplay.config.task import Task, load_task
from selfplay.engine.rollout import Ask
from selfplay.engine.voices import Voices
from selfplay.evaluation.evaluator import Evaluator
from selfplay.guards.recheck import Rechecker
from selfplay.guards.watch import Watch
from selfplay.learn.teacher import Teacher
from selfplay.machine.errors import ConfigError
from selfplay.model.policy import Policy
from selfplay.model.positions import learned_positions, positions
from selfplay.model.probe import Parity, longest_context
from selfplay.play.game import ChallengerSettings, Game, ModelJudge, Source
from selfplay.play.posing import Poser
from selfplay.prompting.checks import check_stops
from selfplay.prompting.choosing import chosen_style
from selfplay.prompting.codec import Encode, Encoder
from selfplay.prompting.room import Room, check_room
from selfplay.run import build_guards, build_learning, build_model, build_search
from selfplay.run.session import Schedule
from selfplay.run.versions.picking import Picker
from selfplay.run.versions.skill_picking import SkillPicker
from selfplay.train.scorer import Scorer
from selfplay.train.trainer import Trainer
from store.records import HelpKind, Origin, Problem

_WHO_POSES: Mapping[str, Source] = {"self": "model", "frozen": "model", "procedural": "procedural", "none": "none"}


@dataclass(frozen=True, slots=True)
class Parts:
    """Everything a run works with, apart from its store and folder."""

    domain: Domain
    held_out: HeldOut
    policy: Policy
    tracker: Tracker
    game: Game
    teacher: Teacher
    trainer: Trainer
    evaluator: Evaluator
    guards: Watch
    rechecker: Rechecker
    picker: Picker
    skill_picker: SkillPicker | None
    schedule: Schedule


def build(config: Config, task: Task | None, say: Callable[[str], None]) -> Parts:
    """Load the model, check how it can run, and put the parts together. `task`: what the configuration names to be
    played, where it is loaded already. Raises ModelError, DomainError, RewardError, Refused."""
    build_model.require_engine(config)
    task = task or load_task(config)
    domain = task.domain
    held_out = HeldOut(domain, config.evaluate.holdout_key)
    measured = _measured(config, held_out.sets)
    if not is_ours(config.domain) and config.judge.source == "verifier" and (line := contradiction(domain)):
        say(line)
    tracker = Tracker(curriculum_settings(config), ability(domain, Featured).features)
    teaching = build_learning.teaching_settings(config)
    pay = build_learning.proposal_pay(config, teaching.learning, domain, tracker, held_out)
    policy, parity = build_model.proved_policy(config, say)
    style = prompt_style(config, domain, policy.tokenizer, say)
    start = build_model.start_policy(config, policy, teaching.objectives.values())
    sampler = build_model.policy_sampler(config, policy, parity, say)
    voices = build_model.voices(config, policy, sampler, start, parity, say)
    training = build_learning.trainer_settings(config, parity)
    critic = build_search.critic(config, policy, policy.device)
    encode = build_model.encoder(policy)
    asked = _asked(config, style, policy)
    room = _room(config, policy, encode, asked, [*known_problems(domain, held_out)], say)
    score = Scorer(policy, sampler, critic)
    watch = JudgeWatch(config.judge.max_error_share, say)
    probes = ProbeSets(config.probes.size, config.probes.every, config.seed)
    scheduler = Scheduler(tracker, tracker.settings, config.seed, probes.withheld)
    poser = Poser(
        domain, held_out, tracker, scheduler, tracker.settings, config.seed, room.fits,
        config.challenger.levels, config.challenger.drawn_share,
        _rescuer(config, domain, held_out, tracker, probes),
    )  # fmt: skip
    trainer = Trainer(
        policy,
        training,
        None if start is None else build_model.reference(start, training),
        critic,
        build_learning.subnetwork(config),
    )
    evaluator = _evaluator(config, asked, voices, score, encode, room, measured, watch)
    rule, rollback = config.probes.rule, config.probes.rollback
    return Parts(
        domain=domain,
        held_out=held_out,
        policy=policy,
        tracker=tracker,
        game=_game(config, asked, voices, score, encode, room, poser, watch, task.rewards),
        teacher=Teacher(
            teaching,
            tracker,
            style,
            encode,
            build_search.critic_teaching(config, critic is not None),
            build_guards.formats(config, domain),
            pay,
            room.limit,
        ),
        trainer=trainer,
        evaluator=evaluator,
        guards=build_guards.watch(config, domain, style),
        rechecker=build_guards.rechecker(config, domain, style),
        skill_picker=SkillPicker(rule, evaluator, voices, room.fitting) if config.skills.pick else None,
        picker=Picker(probes, rule, rollback, tracker, evaluator, voices, policy, trainer, say),
        schedule=_schedule(config),
    )


def _rescuer(config: Config, domain: Domain, held_out: HeldOut, tracker: Tracker, probes: ProbeSets) -> Rescuer | None:
    rescue, settings = config.curriculum.rescue, tracker.settings
    if rescue == "none":
        return None
    kind, share, delay = HelpKind(rescue.upper()), settings.rescue_share, settings.reprobe_delay
    return Rescuer(kind, share, delay, domain, held_out, tracker, config.seed, probes.withheld)


def _measured(config: Config, sets: Mapping[str, Sequence[Problem]]) -> dict[str, Sequence[Problem]]:
    """Of what is held out, what this run measures. Raises ConfigError for a set that is not there."""
    wanted, size = config.evaluate.sets, config.evaluate.size
    if unknown := [name for name in wanted if name not in sets]:
        there = ", ".join(sets) or "none"
        raise ConfigError(f"evaluate.sets: there is no set {unknown[0]}; those of this domain: {there}")
    return {name: each[: size or None] for name, each in sets.items() if not wanted or name in wanted}


def _schedule(config: Config) -> Schedule:
    return Schedule(
        steps=config.run.steps,
        evaluate_every=config.evaluate.every,
        checkpoint_every=config.run.checkpoint_every,
        merge=config.train.merge,
        kept_bytes=config.run.kept_mib << 20,
    )


@dataclass(frozen=True, slots=True)
class _Asked:
    """How the roles are asked."""

    style: PromptStyle
    solver: SolverSettings
    challenger: ChallengerSettings
    model_judge: ModelJudge | None
    steps: StepStyle


def _asked(config: Config, style: PromptStyle, policy: Policy) -> _Asked:
    params = _params(config.solver, style)
    solver = SolverSettings(
        group_size=config.solver.group_size,
        turns=config.solver.turns,
        looks=config.solver.looks,
        params=params,
        report=config.solver.report,
        report_params=replace(params, max_tokens=config.solver.report_tokens),
    )
    challenger = ChallengerSettings(
        parents=config.challenger.targets,
        proposals=config.challenger.proposals,
        params=_params(config.challenger, style),
        source=_WHO_POSES[config.challenger.source],
    )
    settings = build_search.model_judge(config)
    model_judge = None if settings is None else ModelJudge(settings, config.evaluate.every)
    return _Asked(style, solver, challenger, model_judge, build_search.step_style(style, params, policy.tokenizer))


def _params(role: SolverConfig | ChallengerConfig, style: PromptStyle) -> SamplingParams:
    return SamplingParams(role.temperature, role.max_tokens, style.stop, role.top_k, role.top_p, role.min_p)


def _game(
    config: Config,
    asked: _Asked,
    voices: Voices,
    score: Ask,
    encode: Encode,
    room: Room,
    poser: Poser,
    watch: JudgeWatch,
    rewards: tuple[Part, ...],
) -> Game:
    return Game(
        style=asked.style,
        voices=voices,
        encode=encode,
        score=score,
        limit=room.limit,
        poser=poser,
        num_problems=config.solver.problems,
        challenger=asked.challenger,
        solver=asked.solver,
        judge=JudgeSettings(rewards, config.judge.truncated, config.seed),
        model_judge=asked.model_judge,
        majority=build_search.majority(config),
        judge_watch=watch,
        searcher=build_search.searcher(config, asked.steps),
        skills=_skills(config),
        fitting=room.fitting,
        explorer=build_learning.explorer(config, asked.style, asked.solver.params, encode, room.limit),
    )


def _skills(config: Config) -> SkillSettings | None:
    s = config.skills
    return SkillSettings(s.every, s.most, s.tokens, s.cases, s.temperature) if s.every else None


def _evaluator(
    config: Config,
    asked: _Asked,
    voices: Voices,
    score: Ask | None,
    encode: Encode,
    room: Room,
    sets: Mapping[str, Sequence[Problem]],
    watch: JudgeWatch,
) -> Evaluator:
    e = config.evaluate
    return Evaluator(
        sampler=voices.policy,
        encode=encode,
        style=asked.style,
        sets=sets,
        turns=config.solver.turns,
        max_tokens=config.solver.max_tokens,
        interim_size=e.interim_size,
        pass_k=e.pass_k,
        pass_size=e.pass_size,
        judge_watch=watch,
        report=e.report,
        report_tokens=config.solver.report_tokens,
        search=build_search.search_evaluation(config, asked.steps),
        score=score,
        start=voices.start if e.mechanism else None,
        shows_skills=config.skills.evaluate,
        limit=room.limit,
    )


def build_evaluator(
    config: Config, policy: Policy, parity: Parity, domain: Domain, sets: Mapping[str, Sequence[Problem]],
    say: Callable[[str], None],
) -> Evaluator:  # fmt: skip
    """What a run with this configuration evaluates with, alone. Where it searches, no critic may be asked. Raises
    ModelError where the model has no room for a problem."""
    asked = _asked(config, prompt_style(config, domain, policy.tokenizer, say), policy)
    encode = build_model.encoder(policy)
    room = _room(config, policy, encode, asked, [each for members in sets.values() for each in members], say)
    voices = Voices(build_model.sampler(config, policy, parity, say))
    watch = JudgeWatch(config.judge.max_error_share, say)
    return _evaluator(config, asked, voices, None, encode, room, sets, watch)


def seed_problems(domain: Domain) -> list[Problem]:
    """The domain's seeds as problems of step 0. Raises DomainError where there is none, or one twice."""
    problems = [problem_of(seed, domain.name, Origin.SEED) for seed in domain.seeds()]
    if not problems:
        raise DomainError(f"domain {domain.name} has no seeds: give at least one problem to begin with")
    known: set[str] = set()
    for problem in problems:
        if problem.problem_id in known:
            raise DomainError(
                f"domain {domain.name}: two seeds are the same problem, {problem.text[:80]!r}: remove one"
            )
        known.add(problem.problem_id)
    return problems


def known_problems(domain: Domain, held_out: HeldOut) -> Iterator[Problem]:
    """The domain's seeds, and the problems that are kept for evaluation."""
    yield from seed_problems(domain)
    for members in held_out.sets.values():
        yield from members


def _room(
    config: Config, policy: Policy, encode: Encoder, asked: _Asked, problems: Sequence[Problem],
    say: Callable[[str], None],
) -> Room:  # fmt: skip
    """How long problems may be. Raises ModelError where those that are known cannot be asked of the model."""
    name, solver, model = config.model.name, asked.solver, policy.model
    if problems:
        check_stops(asked.style, encode, problems, name)
    report = config.evaluate.report if solver.report == "none" else solver.report
    room = Room(
        style=asked.style,
        encode=encode,
        solver=replace(solver, report=report),
        proposal=asked.challenger.params if asked.challenger.source == "model" else None,
        judge=None if asked.model_judge is None else asked.model_judge.settings,
        is_told=config.train.imitation == "truth",
    )
    is_table = learned_positions(model) is not None
    border, sampled = longest_context(policy), build_model.engine_limit(config, policy)
    return replace(room, limit=check_room(room, problems, positions(model), is_table, border, sampled, name, say))


def prompt_style(
    config: Config, domain: Domain, tokenizer: Any, say: Callable[[str], None] = lambda line: None
) -> PromptStyle:
    """How roles are put into words: few-shot text, or the tokenizer's chat template. Raises Refused."""
    p, feedback = config.prompts, config.solver.feedback
    return chosen_style(p.style, domain, tokenizer, config.model.name, p.thinking, feedback, say)
