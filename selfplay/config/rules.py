"""What every configuration value must be: one line a key, read by selfplay/config/files.py before anything is built.

Keys of the curriculum are not here: curriculum/settings.py checks its own.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from omegaconf import OmegaConf

from selfplay.config.keys import Config

REPORTS = ("none", "confidence", "self_evaluation")
CONFIDENCE_REWARDS = ("brier", "log", "brier_apart")
SELF_EVALUATION_REWARDS = ("consistency", "consistency_original", "balanced")
RUN_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
MOST = 2**31 - 1  # of any count: larger ones overflow what they are handed to
MOST_TEXT = 4096  # characters of a value: no path is longer
MOST_TOKENS = 2**17  # of a completion: its random numbers are drawn at once, before the first token
MOST_THREADS = 1024  # more than systems let a process start, and than a step has work for


@dataclass(frozen=True, slots=True)
class Rule:
    """`wanted` ends the sentence "it must be ..."."""

    wanted: str
    holds: Callable[[Any], bool]


def broken_rules(config: Config, whole: Any) -> Iterator[tuple[str, str]]:
    """(key, what it must be) of every value that is not, in the order of the keys. `whole`: the same for OmegaConf."""
    for key, rule in RULES.items():
        if not _holds(rule, OmegaConf.select(whole, key)):
            yield key, rule.wanted
    yield from _broken_pairs(config)


def odd_values(whole: Any, keys: Sequence[str]) -> Iterator[tuple[str, str]]:
    """As `broken_rules`, for what no key takes."""
    for key in keys:
        value = OmegaConf.select(whole, key)
        if isinstance(value, float) and not math.isfinite(value):
            yield key, "a finite number"
        if not all(_is_storable(text) for text in _texts(value)):
            yield key, f"UTF-8 without NUL, {MOST_TEXT} characters at most"


def idle(config: Config) -> list[str]:
    """A line for every key that was set and cannot act beside the others."""
    train = config.train
    usual = type(train)()
    anchor = "none" if train.imitation != "none" else train.anchor
    if anchor == "sampler":
        return []
    reason = (
        "while train.imitation is set" if anchor == "none" else "while train.anchor is policy: the ratio is always 1"
    )
    names = [name for name in ("clip_low", "clip_high") if getattr(train, name) != getattr(usual, name)]
    return [f"train.{name}={getattr(train, name)} does nothing {reason}" for name in names]


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


def _holds(rule: Rule, value: Any) -> bool:
    """A rule that cannot even be asked about a value, a list in a list for one, does not hold."""
    try:
        return rule.holds(value)
    except (TypeError, ValueError, AttributeError):
        return False


def _is_storable(text: str) -> bool:
    """What a database, a YAML file and a file system all take."""
    try:
        text.encode()
    except UnicodeEncodeError:  # bytes of the command line that are no UTF-8
        return False
    return "\0" not in text and len(text) <= MOST_TEXT


def _broken_pairs(config: Config) -> Iterator[tuple[str, str]]:
    """Values that are possible, but not beside another key's."""
    wanted = {"none": ("none",), "confidence": ("none", *CONFIDENCE_REWARDS)}
    allowed = wanted.get(config.solver.report, ("none", *SELF_EVALUATION_REWARDS))
    if config.judge.report_reward not in allowed:
        yield "judge.report_reward", f"one of {', '.join(allowed)} while solver.report is {config.solver.report}"
    if config.train.stage_one.max_steps > 0 and config.solver.turns < 2:
        yield "train.stage_one.max_steps", "0 while solver.turns is 1: stage I pays the second turn"
    if config.policy.lora.r > 0 and not config.policy.lora.target_modules:
        yield "policy.lora.target_modules", "the names of some layers while policy.lora.r is above 0"
    yield from _broken_searches(config)
    if config.evaluate.mechanism and config.solver.turns < 2:
        yield "evaluate.mechanism", "false while solver.turns is 1: it measures second looks"


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


def _one_of(*choices: str) -> Rule:
    return Rule(f"one of {', '.join(choices)}", lambda value: value in choices)


def _at_least(low: int) -> Rule:
    return Rule(f"at least {low}", lambda value: value >= low)


def _from(low: int, high: int = MOST) -> Rule:
    return Rule(f"from {low} to {high}", lambda value: low <= value <= high)


def _is_hash_key(key: str) -> bool:
    """What curriculum/holdout.py can key its hash with."""
    return 1 <= len(key.encode()) <= 64


def _is_run_name(name: str) -> bool:
    """A folder of its own, and something `--resume NAME` can tell from an option and from a file."""
    is_plain = RUN_NAME.fullmatch(name) is not None and name.strip(".") != ""
    return is_plain and not name.startswith("-") and not name.endswith((".yaml", ".yml"))


_POSITIVE = Rule("above 0", lambda value: value > 0)

RULES = {
    "seed": Rule("from 0 to 2^63 - 1", lambda value: 0 <= value < 2**63),
    "run.name": Rule(
        "1 to 64 of A-Z a-z 0-9 . _ -, not only dots, no - in front, no .yaml or .yml at the end", _is_run_name
    ),
    "run.dir": Rule("a folder", bool),
    "run.steps": _from(1),
    "run.checkpoint_every": _from(1),
    "run.keep_checkpoints": _from(1),
    "run.threads": _from(1, MOST_THREADS),
    "run.device": _one_of("auto", "cpu", "cuda"),
    "model.name": Rule("a model's name", bool),
    "model.dtype": _one_of("bfloat16", "float32"),
    "policy.lora.r": _from(0),
    "policy.lora.alpha": _POSITIVE,
    "prompts.style": _one_of("few_shot", "chat"),
    "challenger.source": _one_of("self", "frozen", "procedural"),
    "challenger.targets": _from(1),
    "challenger.proposals": _from(2),
    "challenger.max_tokens": _from(1, MOST_TOKENS),
    "challenger.temperature": _POSITIVE,
    "challenger.reward": _one_of("learnability", "azr", "r_zero"),
    "challenger.invalid_reward": Rule("from -1 to 0", lambda value: -1 <= value <= 0),
    "solver.source": _one_of("self", "frozen"),
    "solver.looks": Rule("from 1 to 16", lambda value: 1 <= value <= 16),
    "solver.report": _one_of(*REPORTS),
    "solver.report_tokens": _from(1, MOST_TOKENS),
    "solver.problems": _from(1),
    "solver.group_size": _from(2),
    "solver.turns": Rule("from 1 to 8", lambda value: 1 <= value <= 8),
    "solver.max_tokens": _from(1, MOST_TOKENS),
    "solver.temperature": _POSITIVE,
    "judge.source": _one_of("verifier", "model"),
    "judge.reward": _one_of("truth", "random", "format"),
    "judge.truncated": _one_of("zero", "unjudged"),
    "judge.correction_bonus": _at_least(0),
    "judge.first_turn_reward": _one_of("own", "last"),
    "judge.report_reward": _one_of("none", *CONFIDENCE_REWARDS, *SELF_EVALUATION_REWARDS),
    "judge.search.when": _one_of("never", "every", "band"),
    "judge.search.method": _one_of("mcts", "monte_carlo", "n_ary"),
    "judge.search.rule": _one_of("uct", "puct"),
    "judge.search.exploration": _at_least(0),
    "judge.search.nodes": _from(1),
    "judge.search.tokens": _from(0),
    "judge.search.at_once": _from(1),
    "judge.search.min_children": _from(1),
    "judge.search.max_children": _from(1),
    "judge.search.min_first": _from(1),
    "judge.search.max_first": _from(1),
    "judge.search.branching": _at_least(0),
    "judge.search.rollouts": _from(0),
    "judge.critics.value": _at_least(0),
    "judge.critics.process": _at_least(0),
    "judge.critics.outcome": _at_least(0),
    "judge.critics.process_from": _one_of("head", "words"),
    "judge.critics.process_threshold": Rule("from 0 to below 1", lambda value: 0 <= value < 1),
    "judge.critics.held_out": Rule("from 0 to below 1", lambda value: 0 <= value < 1),
    "judge.critics.width": _from(1),
    "judge.critics.learning_rate": _POSITIVE,
    "judge.critics.epochs": _from(1),
    "judge.critics.last_step": _from(0),
    "judge.credit.rule": _one_of("outcome", "tree", "monte_carlo", "siblings"),
    "judge.credit.local_weight": _at_least(0),
    "judge.credit.global_weight": _at_least(0),
    "judge.credit.outcome_weight": _at_least(0),
    "judge.credit.shrink": _at_least(0),
    "judge.credit.noise_floor": _at_least(0),
    "train.learning_rate": _POSITIVE,
    "train.weight_decay": _at_least(0),
    "train.betas": Rule(
        "two numbers from 0 to below 1", lambda betas: len(betas) == 2 and all(0 <= beta < 1 for beta in betas)
    ),
    "train.warmup_steps": _from(0),
    "train.decay_steps": _from(0),
    "train.decay_floor": Rule("from 0 to 1", lambda value: 0 <= value <= 1),
    "train.grad_clip": _POSITIVE,
    "train.clip_low": Rule("above 0 and below 1", lambda value: 0 < value < 1),
    "train.clip_high": _POSITIVE,
    "train.anchor": _one_of("policy", "sampler"),
    "train.importance_cap": _at_least(1),
    "train.imitation": _one_of("none", "rft", "star", "pair_sft", "pair_sft_plus", "best_path", "truth"),
    "train.kl_coef": _at_least(0),
    "train.kl.challenger": _at_least(0),
    "train.kl.solver_first": _at_least(0),
    "train.kl.solver_second": _at_least(0),
    "train.stage_one.max_steps": _from(0),
    "train.stage_one.kl_first": _at_least(0),
    "train.stage_one.plateau_window": _from(0),
    "train.stage_one.plateau_gain": _at_least(0),
    "train.stage_one.kl_budget": _at_least(0),
    "train.advantage": _one_of("centred", "rloo"),
    "train.weights.challenger": _at_least(0),
    "train.weights.solver_first": _at_least(0),
    "train.weights.solver_second": _at_least(0),
    "train.weights.report": _at_least(0),
    "train.pack_tokens": _from(1),
    "train.logprob_chunk": _from(1),
    "train.pass_mode": _one_of("auto", "tree", "flat"),
    "evaluate.every": _from(1),
    "evaluate.interim_size": _from(1),
    "evaluate.pass_k": _from(1),
    "evaluate.pass_size": _from(1),
    "evaluate.search_tokens": _from(0),
    "evaluate.search_seconds": _at_least(0),
    "evaluate.report": _one_of(*REPORTS),
    "evaluate.holdout_key": Rule("1 to 64 bytes", _is_hash_key),
    "resume.mode": _one_of("replay", "rewind"),
    "logging.transcript_every": _from(0),
}
