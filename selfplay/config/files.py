"""Configuration: the dataclasses of keys.py, filled by OmegaConf, strict.

    python -m selfplay.loop configs/default.yaml train.learning_rate=2e-5 run.name=x

Defaults here, then the file, then `key=value` arguments. An unknown key, a wrong type or an impossible value is one
line that names the key, before anything heavy is imported. The configuration stops at selfplay/run/build.py: everything
behind it takes plain values. Left out: interpolation, which could copy secrets of the environment into saved files.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException, ValidationError
from rapidfuzz import process

from curriculum.error_lines import first_line
from curriculum.settings import CurriculumSettings
from roles.judging.rewards import PartEntry, RewardError, entries
from selfplay.config.checking import all_keys, broken_rules, odd_values
from selfplay.config.keys import Config
from selfplay.config.stored import renamed, stored_value
from selfplay.machine.errors import ConfigError

CHANGEABLE_ON_RESUME = ("run.steps", "run.kept_mib", "engine.", "evaluate.", "guards.", "logging.", "resume.")
MOST_SHOWN = 120  # characters of a wrong value in the line that refuses it
NOTED_BY_RUNS = ("model.dtype", "train.mask_digest")  # left open, they are what a run began with
# another key would evaluate on problems that were trained on; other formats would be other figures by old names
FIXED_ON_RESUME = ("evaluate.holdout_key", "guards.formats")


def load(file: Path | None, overrides: Sequence[str], values: Mapping[str, Any] | None = None) -> Config:
    """Defaults, then `file` (None: only defaults), then `values`, then `key=value` overrides; checked whole.

    `values`: by key, dotted or in sections, or both. Raises ConfigError.
    """
    layers = [_base()]
    if file is not None:
        layers.append(_read(file))
    if values:
        layers.append(_layer(values))
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


def varied(stored_yaml: str, overrides: Sequence[str]) -> Config:
    """The stored configuration with any `overrides`: for something else than going on with its run. Raises
    ConfigError."""
    config = _merge([OmegaConf.structured(_stored(stored_yaml)), _dotlist(overrides)])
    check(config)
    return config


def matching(stored_yaml: str, wanted: Config) -> Config:
    """`wanted`, if a run with the stored configuration can go on with it: the rule of `resumed`. Raises ConfigError."""
    stored = _stored(stored_yaml)
    stored.run.dir, stored.run.name = wanted.run.dir, wanted.run.name  # a folder may have been moved
    wanted = _with_noted(stored, wanted)
    _refuse_changes(stored, wanted)
    return wanted


def begun(stored_yaml: str, wanted: Config) -> Config:
    """`wanted` as the run with the stored configuration began it: with what it noted, where nobody asks for something
    else. The two are the same configuration where their digests are. Raises ConfigError."""
    return _with_noted(_stored(stored_yaml), wanted)


def _with_noted(stored: Config, wanted: Config) -> Config:
    """`wanted` with what the run noted when it began, where nobody asks for something else."""
    neutral, before = OmegaConf.structured(Config()), OmegaConf.structured(stored)
    after = OmegaConf.structured(wanted)
    for key in NOTED_BY_RUNS:
        if OmegaConf.select(after, key) == OmegaConf.select(neutral, key):
            OmegaConf.update(after, key, OmegaConf.select(before, key))
    return _merge([_base(), after])


def _stored(stored_yaml: str) -> Config:
    return _merge([_base(), renamed(_parsed("the stored configuration", stored_yaml))])


def _refuse_changes(stored: Config, config: Config) -> None:
    before, after = OmegaConf.structured(stored), OmegaConf.structured(config)
    for key in keys():
        may_change = key.startswith(CHANGEABLE_ON_RESUME) and key not in FIXED_ON_RESUME
        if not may_change and OmegaConf.select(before, key) != OmegaConf.select(after, key):
            raise ConfigError(
                f"{key} cannot change on resume: the stored configuration is used. Only {changeable()}; start a new "
                "run for anything else"
            )


def changeable() -> str:
    """Which keys may change on resume, in words."""
    may = ", ".join(each + "*" * each.endswith(".") for each in CHANGEABLE_ON_RESUME)
    return f"{may} may change (and not {', '.join(FIXED_ON_RESUME)})"


def to_yaml(config: Config) -> str:
    """The whole configuration, resolved, keys in the order of the dataclasses."""
    return OmegaConf.to_yaml(OmegaConf.create(asdict(config)))


def changed(config: Config) -> dict[str, Any]:
    """Every key, dotted, whose value is not the neutral one."""
    whole, neutral = asdict(config), _defaults()
    values = {key: (stored_value(whole, key), stored_value(neutral, key)) for key in keys()}
    return {key: value for key, (value, usual) in values.items() if value != usual}


def digest(config: Config) -> str:
    """sha256 of what `to_yaml` says."""
    return hashlib.sha256(to_yaml(config).encode()).hexdigest()


def check(config: Config) -> None:
    """Raise ConfigError for the first impossible value."""
    try:
        whole = OmegaConf.structured(config)
    except OmegaConfBaseException as error:  # such as a list in a list of numbers, which merging lets through
        raise ConfigError(_refusal(error)) from error
    for key, wanted in (*odd_values(whole), *broken_rules(config, whole)):
        raise ConfigError(f"{key} is {_shown(OmegaConf.select(whole, key))}: it must be {wanted}")
    curriculum_settings(config)
    rewards(config)


def curriculum_settings(config: Config) -> CurriculumSettings:
    """What the curriculum is told; the rest of its numbers are its own. Raises ConfigError for an impossible value."""
    try:
        numbers = {name: value for name, value in asdict(config.curriculum).items() if name != "rescue"}
        return CurriculumSettings(group_size=config.solver.group_size, **numbers)
    except ValueError as error:
        raise ConfigError(str(error)) from None


def rewards(config: Config) -> tuple[PartEntry, ...]:
    """What turns are paid by, checked; nothing is imported. Raises ConfigError."""
    try:
        return entries(config.judge.rewards)
    except RewardError as error:
        raise ConfigError(f"judge.rewards: {error}") from None


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
        raise ConfigError(f"{source}: not YAML ({_problem_of(error)})") from error
    if not OmegaConf.is_dict(loaded):
        raise ConfigError(f"{source}: must hold keys and values")
    return loaded


def _layer(values: Mapping[str, Any]) -> Any:
    layer = OmegaConf.create({})
    for key, value in values.items():
        try:
            OmegaConf.update(layer, key, str(value) if isinstance(value, Path) else value)
        except Exception as error:  # such as of a value that is no plain data
            raise ConfigError(f"{_shown(key)}: {_short(_problem_of(error))}") from error
    return layer


def _dotlist(overrides: Sequence[str]) -> Any:
    """Overrides as one layer. Values of text keys are taken as typed: YAML would read 12e4567 as a number."""
    defaults = OmegaConf.create(_defaults())
    texts = {key for key in keys() if isinstance(OmegaConf.select(defaults, key), str)}
    layer = OmegaConf.create({})
    for override in overrides:
        key, equals, value = override.partition("=")
        if not equals:
            raise ConfigError(f"{_shown(override)} is neither a YAML file nor key=value")
        try:
            if key in texts:
                OmegaConf.update(layer, key, value)
            else:
                layer.merge_with_dotlist([override])
        except Exception as error:
            raise ConfigError(f"{_typed(override)}: {_short(_problem_of(error))}") from error
    return layer


def _merge(layers: Sequence[Any]) -> Config:
    known = _defaults()
    for layer in layers[1:]:
        _check_keys(OmegaConf.to_container(layer), known, "")
    try:
        config = OmegaConf.to_object(OmegaConf.merge(*_with_own_options(layers)))
    except OmegaConfBaseException as error:
        raise ConfigError(_refusal(error)) from error
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
            alike = [each for each in keys() if f".{name}." in f".{each}."]  # the right name in a wrong section
            best = process.extractOne(key, alike or keys())
            raise ConfigError(f"{_shown(key)} is not a configuration key; did you mean {best[0]}?")
        if isinstance(known[name], dict) and known[name]:
            if not isinstance(value, dict):
                raise ConfigError(f"{key} is a section: set a key in it, such as {key}.{next(iter(known[name]))}")
            _check_keys(value, known[name], f"{key}.")
        elif isinstance(known[name], list | dict) and type(value) is not type(known[name]):
            wanted = "a list, such as [a, b]" if isinstance(known[name], list) else "keys and values, such as {a: 1}"
            raise ConfigError(f"{key} is {_shown(value)}: it must be {wanted}")
        elif "${" in str(value):
            raise ConfigError(f"{key}: interpolation (${{...}}) is not allowed: write the value itself")
        elif value == "???":  # OmegaConf's "no value yet" would leave the default in place without a word
            raise ConfigError(f"{key}: ??? is not a value")


def _refusal(error: OmegaConfBaseException) -> str:
    """One line of OmegaConf's refusal; of an enumerated key the line that its rule has."""
    name = error.full_key or error.key
    key = all_keys().get(str(name))
    if key is not None and key.rule is not None and key.choices and isinstance(error, ValidationError):
        return f"{name} is {_shown(error.value)}: it must be {key.rule.wanted}"
    return f"{name}: {_short(_problem_of(error))}"


def _typed(override: str) -> str:
    """An override as it was typed, where that is one line."""
    return _short(override) if override.isprintable() else _shown(override)


def _shown(value: Any) -> str:
    """A value as Python has it, cut where it is longer than a line."""
    return _short(repr(value))


def _short(text: str) -> str:
    return text if len(text) <= MOST_SHOWN else f"{text[:MOST_SHOWN]} ... (cut here)"


def _problem_of(error: Exception) -> str:
    """What went wrong in one line; of YAML what the problem is and where."""
    problem, mark = getattr(error, "problem", None), getattr(error, "problem_mark", None)
    if problem and mark:
        return f"{problem}, line {mark.line + 1}, column {mark.column + 1}"
    return first_line(error)


def keys() -> Sequence[str]:
    """Every key, dotted, in order."""
    return tuple(all_keys())


@cache
def _base() -> Any:
    """What every key is if nobody says otherwise. Not to be changed: merging copies it."""
    return OmegaConf.structured(Config)


@cache
def _defaults() -> Any:
    """The same as plain values. Not to be changed."""
    return OmegaConf.to_container(_base())
