"""Configuration: dataclasses with a comment on every key, filled by OmegaConf, strict.

    python -m selfplay.loop configs/default.yaml train.learning_rate=2e-5 run.name=x

Defaults here, then the file, then `key=value` arguments. An unknown key, a wrong type or an impossible value is one
line that names the key, before anything heavy is imported. The configuration stops at selfplay/build.py: everything
behind it takes plain values. Left out: interpolation, which could copy secrets of the environment into saved files.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from rapidfuzz import process

RUN_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
CHANGEABLE_ON_RESUME = ("run.steps", "evaluate.", "logging.", "resume.")
DEFAULT_FILE = Path("configs/default.yaml")


class ConfigError(ValueError):
    """One line that names the key and says what it must be."""


@dataclass
class RunConfig:
    name: str = ""  # the run's folder; empty: <config file>-seed<seed>
    dir: str = "runs"  # where run folders are
    steps: int = 60  # optimizer steps in all; a finished run goes on with --resume and a larger number
    checkpoint_every: int = 30  # steps between checkpoints; the last step always has one
    keep_checkpoints: int = 2  # newest checkpoints kept; journals older than the oldest of them are pruned
    threads: int = 2  # torch threads; part of what makes a run repeatable bit for bit
    device: str = "auto"  # auto, cpu or cuda


@dataclass
class ModelConfig:
    name: str = "smollm2-135m"  # smollm2-135m, tiny-llama/-qwen3/-gpt2/-gemma, a folder, or a Hugging Face id
    dtype: str = "bfloat16"  # what samples and runs forward: bfloat16 or float32; masters are always float32


@dataclass
class LoraConfig:
    r: int = 0  # rank of LoRA adapters; 0 trains all parameters
    alpha: int = 32  # LoRA scale is alpha / r
    target_modules: list[str] = field(  # names of the layers that get adapters
        default_factory=lambda: ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    )


@dataclass
class PolicyConfig:
    lora: LoraConfig = field(default_factory=LoraConfig)  # adapters in place of full training


@dataclass
class PromptsConfig:
    style: str = "few_shot"  # few_shot (base-like use) or chat (the model's template)
    thinking: bool = False  # chat: let the template turn thinking on, where it has that switch


@dataclass
class ChallengerConfig:
    source: str = "self"  # self; or a control: frozen (asked, not trained) or procedural (the domain's own sampler)
    targets: int = 6  # parents escalated per step
    proposals: int = 6  # proposals per parent: a group with a baseline of its own
    max_tokens: int = 16  # longest proposal
    temperature: float = 1.0  # of its sampling
    reward: str = "learnability"  # learnability 4p(1-p), azr or r_zero
    invalid_reward: float = 0.0  # what a rejected proposal is paid; negative values have caused death spirals


@dataclass
class SolverConfig:
    problems: int = 16  # problems per step, new and replayed
    group_size: int = 8  # attempts per problem
    turns: int = 2  # 1: first try only; 2: one second look at it
    max_tokens: int = 8  # longest completion of a turn
    temperature: float = 1.0  # of its sampling


@dataclass
class JudgeConfig:
    reward: str = "truth"  # truth; or a control: random, format
    truncated: str = "zero"  # what a completion cut by length earns: zero, or unjudged
    correction_bonus: float = 1.0  # alpha: the second turn is paid r2 + alpha (r2 - r1)
    min_successes: int = 2  # a group with fewer (but some) is banked and tried again later with more attempts


@dataclass
class CurriculumConfig:
    forgetting: float = 0.9  # what a past observation is still worth, per policy version
    band_low: float = 0.1  # replays are drawn from problems solved at least this often
    band_high: float = 0.9  # and at most this often
    min_new_share: float = 0.25  # at least this share of a step is new problems, if there are any
    max_new_share: float = 0.7  # and at most this
    mastered_share: float = 0.2  # usual share of a step for families once mastered, moved by their risk
    staleness_weight: float = 0.3  # weight of staleness beside learnability when replays are drawn


@dataclass
class WeightsConfig:
    challenger: float = 1.0  # weight of the challenger's part of the loss
    solver_first: float = 1.0  # ... of the solver's first turn
    solver_second: float = 1.0  # ... of its later turns


@dataclass
class TrainConfig:
    learning_rate: float = 1e-5  # AdamW
    weight_decay: float = 0.0  # AdamW
    betas: list[float] = field(default_factory=lambda: [0.9, 0.999])  # AdamW
    warmup_steps: int = 0  # linear warm-up of the learning rate
    grad_clip: float = 1.0  # bound on the gradient's norm
    clip_low: float = 0.2  # ratio clip below 1
    clip_high: float = 0.28  # ratio clip above 1
    anchor: str = "policy"  # what the ratio is taken against: policy or sampler (selfplay/train/loss.py)
    importance_cap: float = 2.0  # truncation of the sampler's importance weights
    kl_coef: float = 0.0  # weight of the KL to the start policy
    advantage: str = "centred"  # centred (Dr.GRPO) or rloo
    weights: WeightsConfig = field(default_factory=WeightsConfig)  # of the parts of the loss
    pack_tokens: int = 1024  # tokens per forward and backward pass; does not change the update
    logprob_chunk: int = 128  # rows of logits made at a time; does not change the update
    gradient_checkpointing: bool = False  # recompute activations: less memory, more time
    pass_mode: str = "auto"  # tree, flat, or auto: whichever is cheaper for each pack
    merge: bool = True  # identical samples of a group become one


@dataclass
class EvaluateConfig:
    every: int = 20  # steps between interim evaluations
    interim_size: int = 100  # problems of each set in between: first try only
    pass_k: int = 8  # samples per problem for pass@k, before and after
    pass_size: int = 100  # problems of each set for pass@k
    holdout_key: str = "selfplay-1"  # keys the hash that chooses held-out problems


@dataclass
class ResumeConfig:
    mode: str = "replay"  # replay: redo updates from the journal; rewind: go back to the last checkpoint


@dataclass
class LoggingConfig:
    transcript_every: int = 10  # steps between transcripts on the terminal; 0 shows none


@dataclass
class Config:
    seed: int = 0  # everything random is derived from it
    domain: str = "arithmetic"  # a domain's name, or my_package.my_module:MyDomain
    domain_options: dict[str, Any] = field(default_factory=dict)  # keyword arguments for the domain
    run: RunConfig = field(default_factory=RunConfig)  # the run folder and its length
    model: ModelConfig = field(default_factory=ModelConfig)  # the start weights
    policy: PolicyConfig = field(default_factory=PolicyConfig)  # what of them is trained
    prompts: PromptsConfig = field(default_factory=PromptsConfig)  # how roles put things into words
    challenger: ChallengerConfig = field(default_factory=ChallengerConfig)  # who poses problems
    solver: SolverConfig = field(default_factory=SolverConfig)  # who attempts them
    judge: JudgeConfig = field(default_factory=JudgeConfig)  # what attempts are paid
    curriculum: CurriculumConfig = field(default_factory=CurriculumConfig)  # what is posed and practised
    train: TrainConfig = field(default_factory=TrainConfig)  # the update
    evaluate: EvaluateConfig = field(default_factory=EvaluateConfig)  # held-out problems
    resume: ResumeConfig = field(default_factory=ResumeConfig)  # how a killed run goes on
    logging: LoggingConfig = field(default_factory=LoggingConfig)  # the terminal


def load(file: Path | None, overrides: Sequence[str]) -> Config:
    """Defaults, then `file` (None: only defaults), then `key=value` overrides; checked whole. Raises ConfigError."""
    layers = [OmegaConf.structured(Config)]
    if file is not None:
        layers.append(_read(file))
    layers.append(_dotlist(overrides))
    config = _merge(layers)
    if not config.run.name:
        config.run.name = f"{file.stem if file else 'run'}-seed{config.seed}"
    check(config)
    return config


def resumed(stored_yaml: str, overrides: Sequence[str]) -> Config:
    """The stored configuration with `overrides`, of which only those that cannot change the past are allowed."""
    for override in overrides:
        key = override.split("=", 1)[0]
        if not any(key == allowed or key.startswith(allowed) for allowed in CHANGEABLE_ON_RESUME):
            raise ConfigError(
                f"{key} cannot change on resume: the stored configuration is used. Only "
                f"{', '.join(c.rstrip('.') for c in CHANGEABLE_ON_RESUME)} may; start a new run for anything else"
            )
    config = _merge([OmegaConf.structured(Config), OmegaConf.create(stored_yaml), _dotlist(overrides)])
    check(config)
    return config


def to_yaml(config: Config) -> str:
    """The whole configuration, resolved, keys in the order of the dataclasses."""
    return OmegaConf.to_yaml(OmegaConf.structured(config))


def digest(config: Config) -> str:
    """sha256 of what `to_yaml` says."""
    return hashlib.sha256(to_yaml(config).encode()).hexdigest()


def check(config: Config) -> None:
    """Raise ConfigError for the first impossible value."""
    for key, wanted, holds in _rules(config):
        if not holds:
            raise ConfigError(f"{key} is {OmegaConf.select(OmegaConf.structured(config), key)!r}: it must be {wanted}")


def _rules(c: Config) -> list[tuple[str, str, bool]]:
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
        ("run.name", "1 to 64 of A-Z a-z 0-9 . _ -", _is_run_name(c.run.name)),
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
        at_least("judge.min_successes", c.judge.min_successes, 1),
        ("curriculum.forgetting", "above 0 and at most 1", 0 < cur.forgetting <= 1),
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
    return bool(RUN_NAME.fullmatch(name)) and name.strip(".") != ""


def _read(file: Path) -> Any:
    try:
        text = file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: cannot be read ({error})") from error
    try:
        loaded = OmegaConf.create(text)
    except Exception as error:  # the YAML reader's own errors share no base class
        raise ConfigError(f"{file}: not YAML ({_first_line(error)})") from error
    if not OmegaConf.is_dict(loaded):
        raise ConfigError(f"{file}: must hold keys and values")
    return loaded


def _dotlist(overrides: Sequence[str]) -> Any:
    for override in overrides:
        if "=" not in override:
            raise ConfigError(f"{override!r} is neither a YAML file nor key=value")
    try:
        return OmegaConf.from_dotlist(list(overrides))
    except Exception as error:
        raise ConfigError(f"{' '.join(overrides)}: {_first_line(error)}") from error


def _merge(layers: Sequence[Any]) -> Config:
    for layer in layers[1:]:
        if "${" in OmegaConf.to_yaml(layer):
            raise ConfigError("interpolation (${...}) is not allowed: write the value itself")
    try:
        config = OmegaConf.to_object(OmegaConf.merge(*layers))
    except OmegaConfBaseException as error:
        raise ConfigError(_explain(error)) from error
    assert isinstance(config, Config)
    return config


def _explain(error: OmegaConfBaseException) -> str:
    key = error.full_key or error.key or ""
    known = keys()
    if str(key) not in known and not any(k.startswith(f"{key}.") for k in known):
        best = process.extractOne(str(key), known)
        hint = f"; did you mean {best[0]}?" if best else ""
        return f"{key} is not a configuration key{hint}"
    return f"{key}: {_first_line(error)}"


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0]


def keys() -> list[str]:
    """Every key, dotted, in order: what --help lists."""

    def walk(prefix: str, node: Any) -> list[str]:
        found = []
        for name, value in node.items():
            is_section = isinstance(value, dict) and value
            found += walk(f"{prefix}{name}.", value) if is_section else [f"{prefix}{name}"]
        return found

    return walk("", OmegaConf.to_container(OmegaConf.structured(Config)))
