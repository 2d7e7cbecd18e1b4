"""Configuration: dataclasses with a comment on every key, filled by OmegaConf, strict.

    python -m selfplay.loop configs/default.yaml train.learning_rate=2e-5 run.name=x

Defaults here, then the file, then `key=value` arguments. An unknown key, a wrong type or an impossible value is one
line that names the key, before anything heavy is imported. The configuration stops at selfplay/run/build.py: everything
behind it takes plain values. Left out: interpolation, which could copy secrets of the environment into saved files.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from rapidfuzz import process

from curriculum.settings import CurriculumSettings
from selfplay.config.keys_judge import JudgeConfig
from selfplay.config.rules import broken_rules, odd_values
from selfplay.machine.errors import ConfigError

CHANGEABLE_ON_RESUME = ("run.steps", "evaluate.", "logging.", "resume.")
FIXED_ON_RESUME = ("evaluate.holdout_key",)  # another key would evaluate on problems that were trained on


@dataclass
class RunConfig:
    name: str = ""  # the run's folder; empty: <config file>-seed<seed>
    dir: str = "runs"  # where run folders are
    steps: int = 58  # optimizer steps in all; a finished run goes on with --resume and a larger number
    checkpoint_every: int = 29  # steps between checkpoints; the last step always has one
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
    target_modules: list[str] = field(  # the decoder's linear layers that get adapters, by name; all-linear: every one
        default_factory=lambda: ["all-linear"]
    )


@dataclass
class PolicyConfig:
    lora: LoraConfig = field(default_factory=LoraConfig)  # adapters in place of full training


@dataclass
class PromptsConfig:
    style: str = "few_shot"  # few_shot (base-like use) or chat (the model's template)
    thinking: bool = False  # chat: the template's switch; what is read is what comes after </think>


@dataclass
class ChallengerConfig:
    source: str = "self"  # self; or a control: frozen (asked, not trained) or procedural (the domain's own sampler)
    targets: int = 8  # parents escalated per step
    proposals: int = 6  # proposals per parent: a group with a baseline of its own
    max_tokens: int = 12  # longest proposal
    temperature: float = 1.0  # of its sampling
    reward: str = "learnability"  # learnability 4p(1-p), azr or r_zero
    invalid_reward: float = 0.0  # what a rejected proposal is paid; negative values have caused death spirals


@dataclass
class SolverConfig:
    source: str = "self"  # who attempts: self; or frozen: the start weights, so that all traces are offline
    problems: int = 24  # problems per step, new and replayed
    group_size: int = 8  # attempts per problem
    turns: int = 2  # 1: first try only; 2: one second look at it
    looks: int = 1  # second looks at each first try: with 2 or more they are each other's baseline
    max_tokens: int = 8  # longest completion of a turn
    temperature: float = 1.2  # of its sampling: above 1, so that groups of what is nearly always right still differ
    feedback: bool = False  # the second look is shown what the domain observed of the first answer; else it is blind
    report: str = "none"  # after the last turn: none, confidence (stated), or self_evaluation (only in training)
    report_tokens: int = 6  # longest report


@dataclass
class CurriculumConfig:
    forgetting: float = 0.97  # what a past observation of a problem is still worth, per policy version
    family_forgetting: float = 0.9  # ... of a family, whose rate is news sooner
    band_low: float = 0.1  # replays are drawn from problems solved at least this often
    band_high: float = 0.9  # and at most this often
    min_new_share: float = 0.4  # at least this share of a step is new problems, if there are any
    max_new_share: float = 0.6  # and at most this, unless no known problem is worth its place
    min_successes: int = 2  # a group with fewer (but some) is banked: not trained on, tried again with more attempts
    mastered_share: float = 0.06  # usual share of a step for families once mastered, moved by their risk
    staleness_weight: float = 0.15  # weight of staleness beside learnability when replays are drawn
    parent_low: float = 0.2  # a problem solved less often than this is no parent to escalate from
    max_family_share: float = 0.34  # most of a step's parents, or of its promising new problems, from one family
    bank_delay: int = 4  # steps before a banked problem is tried again, with twice the attempts
    reprobe_delay: int = 10  # steps before a problem that was too hard is tried again, if its family has improved
    max_candidates: int = 1024  # known problems looked at per draw: bounds a step's work whatever the store's size


@dataclass
class WeightsConfig:
    challenger: float = 1.0  # weight of the challenger's part of the loss
    solver_first: float = 1.0  # ... of the solver's first turn
    solver_second: float = 2.0  # ... of its later turns
    report: float = 1.0  # ... of its reports


@dataclass
class KlConfig:
    challenger: float = 0.0  # weight of the KL to the start on the challenger's tokens, on top of train.kl_coef
    solver_first: float = 0.0  # ... on the solver's first turn
    solver_second: float = 0.0  # ... on its later turns


@dataclass
class StageOneConfig:
    max_steps: int = 0  # SCoRe's stage I lasts at most this many steps; 0: there is none
    kl_first: float = 1.0  # KL to the start on first-turn tokens while it lasts
    plateau_window: int = 20  # it ends when this many steps gain less than plateau_gain over as many before; 0: never
    plateau_gain: float = 0.01  # ... in the share of right second looks
    kl_budget: float = 0.0  # or when a step's mean KL of first-turn tokens is above this; 0: no budget


@dataclass
class TrainConfig:
    learning_rate: float = 5e-5  # AdamW, at its highest
    weight_decay: float = 0.0  # AdamW
    betas: list[float] = field(default_factory=lambda: [0.9, 0.999])  # AdamW
    warmup_steps: int = 0  # linear warm-up of the learning rate
    decay_steps: int = 64  # the learning rate falls linearly towards 0 at this step; 0: it does not fall
    decay_floor: float = 0.1  # ... but not below this share of itself
    grad_clip: float = 1.0  # bound on the gradient's norm
    clip_low: float = 0.2  # ratio clip below 1: acts with anchor sampler alone, as there is one update a sample
    clip_high: float = 0.28  # ratio clip above 1: acts with anchor sampler alone
    anchor: str = "policy"  # what the ratio is taken against: policy or sampler (selfplay/train/loss.py)
    importance_cap: float = 2.0  # truncation of the sampler's importance weights
    imitation: str = "none"  # copy right answers instead: rft, star, pair_sft[_plus], best_path, or truth (a control)
    kl_coef: float = 0.0  # weight of the KL to the start policy, on all tokens that were said
    kl: KlConfig = field(default_factory=KlConfig)  # more of it, by who said them
    stage_one: StageOneConfig = field(default_factory=StageOneConfig)  # reward on the second turn only, at first
    advantage: str = "centred"  # centred (Dr.GRPO) or rloo
    weights: WeightsConfig = field(default_factory=WeightsConfig)  # of the parts of the loss
    pack_tokens: int = 1536  # tokens per forward and backward pass; does not change the update
    logprob_chunk: int = 64  # rows of logits made at a time; does not change the update
    gradient_checkpointing: bool = False  # recompute activations: less memory, more time
    pass_mode: str = "auto"  # tree, flat, or auto: whichever is cheaper for each pack
    merge: bool = True  # identical samples of a group become one


@dataclass
class EvaluateConfig:
    every: int = 20  # steps between interim evaluations
    interim_size: int = 100  # problems of each set in between: first try only
    pass_k: int = 8  # samples per problem for pass@k, before and after
    pass_size: int = 100  # problems of each set for pass@k
    report: str = "none"  # ask for a report after sampled answers: none, confidence or self_evaluation
    search_tokens: int = 0  # also search, beside best-of-N and voting, with so many sampled tokens a problem; 0: no
    search_seconds: float = 0.0  # ... ended by a clock as well, marked as not reproducible; 0: no such limit
    mechanism: bool = False  # also measure second looks at the start model's own first tries, and how errors moved
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
    domain: str = "arithmetic"  # a domain's name, or my_package.my_module:MyDomain, named again on resume
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
        stem = re.sub(r"[^A-Za-z0-9._-]+", "-", file.stem if file else "run").strip("-.")[:40]
        config.run.name = f"{stem or 'run'}-seed{config.seed}"
    check(config)
    return config


def resumed(stored_yaml: str, overrides: Sequence[str]) -> Config:
    """The stored configuration with `overrides`, of which only those that cannot change the past are allowed.

    Values are compared, not spellings: saying again what is stored is no change. Raises ConfigError.
    """
    stored = _stored(stored_yaml)
    config = _merge([OmegaConf.structured(stored), _dotlist(overrides)])
    _refuse_changes(stored, config)
    check(config)
    return config


def matching(stored_yaml: str, wanted: Config) -> Config:
    """`wanted`, if a run with the stored configuration can go on with it: the rule of `resumed`. Raises ConfigError."""
    stored = _stored(stored_yaml)
    stored.run.dir, stored.run.name = wanted.run.dir, wanted.run.name  # a folder may have been moved
    _refuse_changes(stored, wanted)
    return wanted


def _stored(stored_yaml: str) -> Config:
    return _merge([OmegaConf.structured(Config), _parsed("the stored configuration", stored_yaml)])


def _refuse_changes(stored: Config, config: Config) -> None:
    before, after = OmegaConf.structured(stored), OmegaConf.structured(config)
    for key in keys():
        may_change = key.startswith(CHANGEABLE_ON_RESUME) and key not in FIXED_ON_RESUME
        if not may_change and OmegaConf.select(before, key) != OmegaConf.select(after, key):
            raise ConfigError(
                f"{key} cannot change on resume: the stored configuration is used. Only "
                f"{', '.join(c + '*' * c.endswith('.') for c in CHANGEABLE_ON_RESUME)} may "
                f"(and not {', '.join(FIXED_ON_RESUME)}); start a new run for anything else"
            )


def to_yaml(config: Config) -> str:
    """The whole configuration, resolved, keys in the order of the dataclasses."""
    return OmegaConf.to_yaml(OmegaConf.structured(config))


def digest(config: Config) -> str:
    """sha256 of what `to_yaml` says."""
    return hashlib.sha256(to_yaml(config).encode()).hexdigest()


def check(config: Config) -> None:
    """Raise ConfigError for the first impossible value."""
    try:
        whole = OmegaConf.structured(config)
    except OmegaConfBaseException as error:  # such as a list in a list of numbers, which merging lets through
        raise ConfigError(f"{error.full_key or error.key}: {_first_line(error)}") from error
    for key, wanted in (*odd_values(whole, keys()), *broken_rules(config, whole)):
        raise ConfigError(f"{key} is {OmegaConf.select(whole, key)!r}: it must be {wanted}")
    curriculum_settings(config)


def curriculum_settings(config: Config) -> CurriculumSettings:
    """What the curriculum is told; the rest of its numbers are its own. Raises ConfigError for an impossible value."""
    try:
        return CurriculumSettings(**asdict(config.curriculum))
    except ValueError as error:
        raise ConfigError(str(error)) from None


def _read(file: Path) -> Any:
    try:
        text = file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: cannot be read ({error})") from error
    return _parsed(str(file), text)


def _parsed(source: str, text: str) -> Any:
    try:
        loaded = OmegaConf.create(text)
    except Exception as error:  # the YAML reader's own errors share no base class
        raise ConfigError(f"{source}: not YAML ({_first_line(error)})") from error
    if not OmegaConf.is_dict(loaded):
        raise ConfigError(f"{source}: must hold keys and values")
    return loaded


def _dotlist(overrides: Sequence[str]) -> Any:
    """Overrides as one layer. Values of text keys are taken as typed: YAML would read 12e4567 as a number."""
    defaults = OmegaConf.create(_defaults())
    texts = {key for key in keys() if isinstance(OmegaConf.select(defaults, key), str)}
    layer = OmegaConf.create({})
    for override in overrides:
        key, equals, value = override.partition("=")
        if not equals:
            raise ConfigError(f"{override!r} is neither a YAML file nor key=value")
        try:
            if key in texts:
                OmegaConf.update(layer, key, value)
            else:
                layer.merge_with_dotlist([override])
        except Exception as error:
            raise ConfigError(f"{override}: {_first_line(error)}") from error
    return layer


def _merge(layers: Sequence[Any]) -> Config:
    known = _defaults()
    for layer in layers[1:]:
        _check_keys(OmegaConf.to_container(layer), known, "")
    try:
        config = OmegaConf.to_object(OmegaConf.merge(*_with_own_options(layers)))
    except OmegaConfBaseException as error:
        raise ConfigError(f"{error.full_key or error.key}: {_first_line(error)}") from error
    assert isinstance(config, Config)
    return config


def _with_own_options(layers: Sequence[Any]) -> list[Any]:
    """Options belong to the domain they were written for: a layer that names another domain, or sets
    `domain_options={}`, starts without those of the layers below it."""
    kept = [layers[0]]
    for layer in layers[1:]:
        below = next(each.domain for each in reversed(kept) if "domain" in each)
        is_another = "domain" in layer and layer.domain != below
        if is_another or ("domain_options" in layer and not layer.domain_options):
            whole = OmegaConf.merge(kept[0], {})
            whole.domain_options = {}
            names = [[name for name in each if name != "domain_options"] for each in kept[1:]]
            kept = [whole, *(OmegaConf.masked_copy(each, own) for each, own in zip(kept[1:], names, strict=True))]
        kept.append(layer)
    return kept


def _check_keys(layer: Any, known: Any, prefix: str) -> None:
    """Every key of `layer` is one of `known`, sections are sections, and values are values."""
    for name, value in layer.items():
        key = f"{prefix}{name}"
        if name not in known:
            best = process.extractOne(key, keys())
            raise ConfigError(f"{key!r} is not a configuration key; did you mean {best[0]}?")
        if isinstance(known[name], dict) and known[name]:
            if not isinstance(value, dict):
                raise ConfigError(f"{key} is a section: set a key in it, such as {key}.{next(iter(known[name]))}")
            _check_keys(value, known[name], f"{key}.")
        elif {type(value), type(known[name])} == {list, dict}:  # OmegaConf names no key where these meet
            raise ConfigError(f"{key} is a {'list' if isinstance(known[name], list) else 'section'}: {value} is none")
        elif "${" in str(value):
            raise ConfigError(f"{key}: interpolation (${{...}}) is not allowed: write the value itself")
        elif value == "???":  # OmegaConf's "no value yet" would leave the default in place without a word
            raise ConfigError(f"{key}: ??? is not a value")


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0]


def keys() -> Sequence[str]:
    """Every key, dotted, in order: what --help lists."""
    return _keys()


@cache
def _defaults() -> Any:
    """What every key is if nobody says otherwise, as plain values. Not to be changed."""
    return OmegaConf.to_container(OmegaConf.structured(Config))


@cache
def _keys() -> tuple[str, ...]:
    def walk(prefix: str, node: Any) -> list[str]:
        found = []
        for name, value in node.items():
            is_section = isinstance(value, dict) and value
            found += walk(f"{prefix}{name}.", value) if is_section else [f"{prefix}{name}"]
        return found

    return tuple(walk("", _defaults()))
