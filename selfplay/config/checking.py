"""What is wrong with a configuration: values that break their key's rule, or cannot stand beside another key's.

Keys of the curriculum have no rules in keys.py: curriculum/settings.py checks its own.
"""

import math
from collections.abc import Iterator
from functools import cache
from typing import Any, get_args

from omegaconf import OmegaConf

from selfplay.config.declared import Key, declared
from selfplay.config.keys import EXPERIENCE_LOSSES, ChallengerConfig, Config, ExperienceConfig, TrainConfig
from selfplay.learn.reports import ReportRule
from store.encoding import is_storable

CONFIDENCE_REWARDS: tuple[ReportRule, ...] = ("brier", "log", "brier_apart")
SELF_EVALUATION_REWARDS = tuple(each for each in get_args(ReportRule) if each not in ("none", *CONFIDENCE_REWARDS))
LEAST_VLLM_TEMPERATURE = 0.01
MOST_VLLM_RANK = 512  # of adapters
MOST_TEXT = 4096  # characters of a value: no path is longer


@cache
def all_keys() -> dict[str, Key]:
    """Every key by its dotted name, in order, without sections."""
    return {each.name: each for each in declared(Config) if not each.is_section}


def broken_rules(config: Config, whole: Any) -> Iterator[tuple[str, str]]:
    """(key, what it must be) of every value that is not, in the order of the keys. `whole`: the same for OmegaConf."""
    for name, each in all_keys().items():
        if each.rule is not None and not each.rule.holds(OmegaConf.select(whole, name)):
            yield name, each.rule.wanted
    yield from _broken_pairs(config)


def odd_values(whole: Any) -> Iterator[tuple[str, str]]:
    """As `broken_rules`, for what no key takes."""
    for key in all_keys():
        value = OmegaConf.select(whole, key)
        if isinstance(value, float) and not math.isfinite(value):
            yield key, "a finite number"
        if not all(is_storable(text) and len(text) <= MOST_TEXT for text in _texts(value)):
            yield key, f"UTF-8 without NUL, {MOST_TEXT} characters at most"


def idle(config: Config) -> list[str]:
    """A line for every key that was set and cannot act beside the others."""
    train, usual = config.train, TrainConfig()
    anchor = "none" if train.imitation != "none" else train.anchor
    copies = "while train.imitation is set"
    names: dict[str, str] = {}  # key -> why it does nothing
    if anchor != "sampler":
        reason = copies if anchor == "none" else "while train.anchor is policy: the ratio is always 1"
        names |= dict.fromkeys(("clip_low", "clip_high", "surrogate"), reason)
    if anchor != "policy":
        reason = copies if anchor == "none" else "while train.anchor is sampler: the ratio bounds the mismatch"
        names |= dict.fromkeys(("importance_mode", "importance_cap"), reason)
    if anchor == "none":
        names["advantage_scale"] = copies
    if anchor == "policy" and train.importance_mode == "none":
        names["importance_cap"] = "while train.importance_mode is none"
    lines = [
        f"train.{name}={getattr(train, name)} does nothing {reason}"
        for name, reason in names.items()
        if getattr(train, name) != getattr(usual, name)
    ]
    lines += _idle_pay(config) + _idle_experience(config)
    if config.policy.lora.per_role and not has_challengers_adapters(config):
        source = config.challenger.source
        lines.append(
            f"policy.lora.per_role=true does nothing while challenger.source is {source}: no challenger is trained"
        )
    return lines


def has_challengers_adapters(config: Config) -> bool:
    """Whether the challenger has adapters of its own: where nobody trains it, it has none."""
    return config.policy.lora.per_role and config.challenger.source == "self"


def learns_experience(config: Config) -> bool:
    """Whether any loss of train.experience has a weight."""
    return any(getattr(config.train.experience, name) > 0 for name in EXPERIENCE_LOSSES)


def _idle_experience(config: Config) -> list[str]:
    """What says how the model gathers experience that nothing learns from."""
    experience, usual = config.train.experience, ExperienceConfig()
    names: dict[str, str] = {}
    if not learns_experience(config):
        reason = "while no loss of train.experience has a weight"
        names |= dict.fromkeys(("steps", "alternatives", "states", "max_tokens", "grounded"), reason)
    elif experience.reflection == 0:
        names["max_tokens"] = "while train.experience.reflection is 0"
    return [
        f"train.experience.{name}={getattr(experience, name)} does nothing {reason}"
        for name, reason in names.items()
        if getattr(experience, name) != getattr(usual, name)
    ]


def _idle_pay(config: Config) -> list[str]:
    """What pays a challenger that is not trained, or aims at nothing."""
    challenger, usual = config.challenger, ChallengerConfig()
    names: dict[str, str] = {}
    if not challenger.aim:
        names["aim_weight"] = "while challenger.aim is empty"
    if challenger.source != "self":
        reason = f"while challenger.source is {challenger.source}: no challenger is trained"
        names |= dict.fromkeys(("gate", "novelty", "learned_credit", "aim", "aim_weight"), reason)
    return [
        f"challenger.{name}={getattr(challenger, name)} does nothing {reason}"
        for name, reason in names.items()
        if getattr(challenger, name) != getattr(usual, name)
    ]


def _texts(value: Any) -> Iterator[str]:
    """Every text in a value, names of a section included."""
    if isinstance(value, str):
        yield value
    elif OmegaConf.is_dict(value):
        for name, inner in value.items():
            yield str(name)
            yield from _texts(inner)
    elif OmegaConf.is_list(value):
        for inner in value:
            yield from _texts(inner)


def _broken_pairs(config: Config) -> Iterator[tuple[str, str]]:
    """Values that are possible, but not beside another key's."""
    source = config.challenger.source
    if config.challenger.drawn_share > 0 and source not in ("self", "frozen"):
        yield "challenger.drawn_share", f"0 while challenger.source is {source}: no challenger poses beside the sampler"
    wanted = {"none": ("none",), "confidence": ("none", *CONFIDENCE_REWARDS)}
    allowed = wanted.get(config.solver.report, ("none", *SELF_EVALUATION_REWARDS))
    if config.judge.report_reward not in allowed:
        yield "judge.report_reward", f"one of {', '.join(allowed)} while solver.report is {config.solver.report}"
    if config.train.stage_one.max_steps > 0 and config.solver.turns < 2:
        yield "train.stage_one.max_steps", "0 while solver.turns is 1: stage I pays the second turn"
    if config.skills.pick and not (config.skills.every and config.probes.size):
        yield (
            "skills.pick",
            "false while skills.every or probes.size is 0: nothing is there to compare, or to compare by",
        )
    if config.policy.lora.r > 0 and not config.policy.lora.target_modules:
        yield "policy.lora.target_modules", "the names of some layers while policy.lora.r is above 0"
    if config.policy.lora.per_role and config.policy.lora.r == 0:
        yield "policy.lora.per_role", "false while policy.lora.r is 0: roles have adapters of their own, not models"
    if config.train.mask and config.policy.lora.r > 0:
        yield "train.mask", "empty while policy.lora.r is above 0: a mask is of the model's own parameters"
    if config.train.mask_digest and not config.train.mask:
        yield "train.mask_digest", "empty while train.mask is"
    yield from _broken_formats(config)
    if learns_experience(config):
        weighs = config.train.importance_mode.startswith("sequence") and config.train.anchor == "policy"
        clips = config.train.surrogate == "gspo" and config.train.anchor == "sampler"
        if config.train.imitation == "none" and (weighs or clips):
            name, value = ("importance_mode", "token_truncate") if weighs else ("surrogate", "ppo")
            yield f"train.{name}", f"{value} while train.experience has a weight: what nobody sampled has no ratio"
    yield from _broken_searches(config)
    yield from _broken_engine(config)
    if config.evaluate.mechanism and config.solver.turns < 2:
        yield "evaluate.mechanism", "false while solver.turns is 1: it measures second looks"


def _broken_formats(config: Config) -> Iterator[tuple[str, str]]:
    """What keeps formats or entropy acts on the advantages of first tries and on tokens."""
    train = config.train
    if train.imitation != "none" or config.judge.credit.rule != "outcome":
        reason = "train.imitation is set" if train.imitation != "none" else "judge.credit.rule is not outcome"
        if train.baseline != "group":
            yield "train.baseline", f"group while {reason}"
        if train.format_quota > 0:
            yield "train.format_quota", f"0 while {reason}"
    if train.clip_cov > 0 and train.importance_mode.startswith("sequence"):
        yield "train.clip_cov", f"0 while train.importance_mode is {train.importance_mode}: tokens have no weights"
    if train.clip_cov > 0 and train.anchor == "sampler" and train.surrogate == "gspo":
        yield "train.clip_cov", "0 while train.surrogate is gspo: tokens have no ratios"
    if train.clip_cov_high < train.clip_cov_low:
        yield "train.clip_cov_high", "at least train.clip_cov_low"


def _broken_engine(config: Config) -> Iterator[tuple[str, str]]:
    """What vLLM cannot do here. It samples at a temperature of 0.01 where it is asked for a lower one."""
    if config.engine.kind != "vllm":
        reason = f"while engine.kind is {config.engine.kind}"
        if config.engine.url:
            yield "engine.url", f"empty {reason}"
        if config.engine.gpu:
            yield "engine.gpu", f"0 {reason}"
        if config.engine.weights != "files":
            yield "engine.weights", f"files {reason}"
        return
    yield from _broken_transfer(config)
    if config.engine.decoding == "rows":
        yield "engine.decoding", "auto or tree while engine.kind is vllm"
    if config.policy.lora.r > MOST_VLLM_RANK:
        yield "policy.lora.r", f"at most {MOST_VLLM_RANK} while engine.kind is vllm"
    if config.policy.lora.per_role:
        yield "policy.lora.per_role", "false while engine.kind is vllm: its worker has one set of adapters at a time"
    for role, params in (("challenger", config.challenger), ("solver", config.solver)):
        if params.temperature < LEAST_VLLM_TEMPERATURE:
            yield f"{role}.temperature", f"at least {LEAST_VLLM_TEMPERATURE} while engine.kind is vllm"


def _broken_transfer(config: Config) -> Iterator[tuple[str, str]]:
    """Weights that cannot come to vLLM in this way."""
    engine = config.engine
    if engine.url and engine.gpu:
        yield "engine.gpu", "0 while engine.url is set: CUDA_VISIBLE_DEVICES chooses one where the server is started"
    if engine.weights == "files":
        return
    if config.policy.lora.r > 0:
        yield "engine.weights", "files while policy.lora.r is above 0: only adapters travel then, a few MB"
    elif engine.weights == "ipc" and engine.url:
        yield "engine.weights", "files or nccl while engine.url is set: ipc is for two processes of one machine"
    elif engine.weights == "ipc" and engine.gpu:
        yield "engine.weights", "files or nccl while engine.gpu is above 0: ipc is for two processes on one GPU"
    elif engine.weights == "nccl" and not engine.url and not engine.gpu:
        yield (
            "engine.weights",
            (
                "files or ipc while the worker is on the run's own GPU: NCCL goes from one GPU to another, which "
                "engine.gpu or engine.url names"
            ),
        )


def _broken_searches(config: Config) -> Iterator[tuple[str, str]]:
    search, critics = config.judge.search, config.judge.critics
    if search.when == "never" and config.judge.credit.rule != "outcome":
        yield "judge.credit.rule", "outcome while judge.search.when is never: dense rewards are read from its trees"
    if search.when == "never" and config.train.imitation == "best_path":
        yield "train.imitation", "another rule while judge.search.when is never: best_path copies what a search found"
    if search.when != "never" and config.solver.source == "frozen":
        yield "judge.search.when", "never while solver.source is frozen: the search is by the policy that is trained"
    if search.rollouts == 0 and search.method == "monte_carlo":
        yield "judge.search.rollouts", "at least 1 while judge.search.method is monte_carlo"
    if search.method == "mcts" and search.rollouts == 0 and critics.value == critics.process == 0:
        yield "judge.search.rollouts", "at least 1 while no critic has a weight: nothing would value a new step"
    if search.method == "n_ary" and search.min_children < 2:
        yield "judge.search.min_children", "at least 2 while judge.search.method is n_ary"
    for low, high in (("min_children", "max_children"), ("min_first", "max_first")):
        if getattr(search, high) < getattr(search, low):
            yield f"judge.search.{high}", f"at least judge.search.{low}"
