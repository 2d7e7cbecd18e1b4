"""What every configuration value must be: one line a key, read by selfplay/config.py before anything is built."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from selfplay.config import Config

RUN_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")


def rules(c: Config) -> list[tuple[str, str, bool]]:
    """(key, what it must be, whether it is) for every rule; a key may have several."""

    def one_of(key: str, value: str, *choices: str) -> tuple[str, str, bool]:
        return key, f"one of {', '.join(choices)}", value in choices

    def positive(key: str, value: float) -> tuple[str, str, bool]:
        return key, "above 0", value > 0

    def at_least(key: str, value: float, low: float) -> tuple[str, str, bool]:
        return key, f"at least {low}", value >= low

    def share(key: str, value: float) -> tuple[str, str, bool]:
        return key, "from 0 to 1", 0 <= value <= 1

    cur, t = c.curriculum, c.train
    return [
        ("seed", "from 0 to 2^63 - 1", 0 <= c.seed < 2**63),
        ("run.name", "1 to 64 of A-Z a-z 0-9 . _ -, not only dots, no - in front, no .yaml or .yml at the end",
         _is_run_name(c.run.name)),
        ("run.dir", "a folder", bool(c.run.dir)),
        at_least("run.steps", c.run.steps, 1),
        at_least("run.checkpoint_every", c.run.checkpoint_every, 1),
        at_least("run.keep_checkpoints", c.run.keep_checkpoints, 1),
        at_least("run.threads", c.run.threads, 1),
        one_of("run.device", c.run.device, "auto", "cpu", "cuda"),
        ("model.name", "a model's name", bool(c.model.name)),
        one_of("model.dtype", c.model.dtype, "bfloat16", "float32"),
        at_least("policy.lora.r", c.policy.lora.r, 0),
        positive("policy.lora.alpha", c.policy.lora.alpha),
        one_of("prompts.style", c.prompts.style, "few_shot", "chat"),
        one_of("challenger.source", c.challenger.source, "self", "frozen", "procedural"),
        at_least("challenger.targets", c.challenger.targets, 1),
        at_least("challenger.proposals", c.challenger.proposals, 2),
        at_least("challenger.max_tokens", c.challenger.max_tokens, 1),
        positive("challenger.temperature", c.challenger.temperature),
        one_of("challenger.reward", c.challenger.reward, "learnability", "azr", "r_zero"),
        ("challenger.invalid_reward", "from -1 to 0", -1 <= c.challenger.invalid_reward <= 0),
        at_least("solver.problems", c.solver.problems, 1),
        at_least("solver.group_size", c.solver.group_size, 2),
        ("solver.turns", "from 1 to 8", 1 <= c.solver.turns <= 8),
        at_least("solver.max_tokens", c.solver.max_tokens, 1),
        positive("solver.temperature", c.solver.temperature),
        ("solver.temperature", "equal to challenger.temperature, since both are trained in one update",
         c.solver.temperature == c.challenger.temperature),
        one_of("judge.reward", c.judge.reward, "truth", "random", "format"),
        one_of("judge.truncated", c.judge.truncated, "zero", "unjudged"),
        at_least("judge.correction_bonus", c.judge.correction_bonus, 0),
        at_least("curriculum.min_successes", c.curriculum.min_successes, 1),
        ("curriculum.forgetting", "above 0 and at most 1", 0 < cur.forgetting <= 1),
        ("curriculum.family_forgetting", "above 0 and at most 1", 0 < cur.family_forgetting <= 1),
        share("curriculum.band_low", cur.band_low),
        share("curriculum.band_high", cur.band_high),
        ("curriculum.band_low", "below curriculum.band_high", cur.band_low < cur.band_high),
        share("curriculum.min_new_share", cur.min_new_share),
        share("curriculum.max_new_share", cur.max_new_share),
        ("curriculum.min_new_share", "at most curriculum.max_new_share", cur.min_new_share <= cur.max_new_share),
        ("curriculum.mastered_share", "from 0 to 0.5", 0 <= cur.mastered_share <= 0.5),
        share("curriculum.staleness_weight", cur.staleness_weight),
        positive("train.learning_rate", t.learning_rate),
        at_least("train.weight_decay", t.weight_decay, 0),
        ("train.betas", "two numbers from 0 to below 1", len(t.betas) == 2 and all(0 <= b < 1 for b in t.betas)),
        at_least("train.warmup_steps", t.warmup_steps, 0),
        at_least("train.decay_steps", t.decay_steps, 0),
        share("train.decay_floor", t.decay_floor),
        positive("train.grad_clip", t.grad_clip),
        ("train.clip_low", "above 0 and below 1", 0 < t.clip_low < 1),
        positive("train.clip_high", t.clip_high),
        one_of("train.anchor", t.anchor, "policy", "sampler"),
        at_least("train.importance_cap", t.importance_cap, 1),
        at_least("train.kl_coef", t.kl_coef, 0),
        one_of("train.advantage", t.advantage, "centred", "rloo"),
        at_least("train.weights.challenger", t.weights.challenger, 0),
        at_least("train.weights.solver_first", t.weights.solver_first, 0),
        at_least("train.weights.solver_second", t.weights.solver_second, 0),
        at_least("train.pack_tokens", t.pack_tokens, 1),
        at_least("train.logprob_chunk", t.logprob_chunk, 1),
        one_of("train.pass_mode", t.pass_mode, "auto", "tree", "flat"),
        at_least("evaluate.every", c.evaluate.every, 1),
        at_least("evaluate.interim_size", c.evaluate.interim_size, 1),
        at_least("evaluate.pass_k", c.evaluate.pass_k, 1),
        at_least("evaluate.pass_size", c.evaluate.pass_size, 1),
        one_of("resume.mode", c.resume.mode, "replay", "rewind"),
        at_least("logging.transcript_every", c.logging.transcript_every, 0),
    ]  # fmt: skip


def _is_run_name(name: str) -> bool:
    """A folder of its own, and something `--resume NAME` can tell from an option and from a file."""
    is_plain = RUN_NAME.fullmatch(name) is not None and name.strip(".") != ""
    return is_plain and not name.startswith("-") and not name.endswith((".yaml", ".yml"))
