"""A stored configuration beside what every key is if nobody says otherwise."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from omegaconf import OmegaConf

from selfplay.config.checking import all_keys
from selfplay.config.keys import Config
from selfplay.config.stored import stored_value


@dataclass(frozen=True, slots=True)
class Setting:
    """A key of a run. `help` is "" and `default` None of a key that today's code does not know."""

    key: str
    value: Any
    default: Any
    help: str
    is_changed: bool


def settings(config: Mapping[str, Any]) -> list[Setting]:
    """Every key of a stored configuration, in the order of the keys, those that are not known any more at the end."""
    defaults = OmegaConf.structured(Config)
    found = []
    for key, declared in all_keys().items():
        value, default = stored_value(config, key), _plain(OmegaConf.select(defaults, key))
        if value is not None or default is None:
            found.append(Setting(key, value, default, declared.help, value != default))
    known = set(all_keys())
    unknown = [key for key in _leaves(config) if not any(key == name or key.startswith(f"{name}.") for name in known)]
    return found + [Setting(key, stored_value(config, key), None, "", True) for key in unknown]


def _plain(value: Any) -> Any:
    return OmegaConf.to_container(value) if OmegaConf.is_config(value) else value


def _leaves(config: Mapping[str, Any], prefix: str = "") -> list[str]:
    found = []
    for name, value in config.items():
        key = f"{prefix}{name}"
        found += _leaves(value, f"{key}.") if isinstance(value, Mapping) and value else [key]
    return found
