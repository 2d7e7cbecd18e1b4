"""What a run's stored configuration says of it, as plain values: of any version of the code, so never checked."""

from collections.abc import Mapping
from typing import Any

from omegaconf import OmegaConf

from store.store import Store

OLD_REWARD = "judge.reward"
PLAIN_SELF_PLAY = {  # what makes a run more or less than self-play with a judge that knows, as its keys have it
    "challenger.source": "self",
    "solver.source": "self",
    "judge.source": "verifier",
    "judge.rewards": "verdict",
    "train.imitation": "none",
    "train.mask": "",
}


def what_was_run(config: Mapping[str, Any]) -> str:
    """One phrase out of a stored configuration: the domain, and each thing that is not as in plain self-play.

    Example: "self-play on arithmetic", "on arithmetic, challenger.source=procedural".
    """
    told = {key: stored_value(config, key) for key in PLAIN_SELF_PLAY} | {"judge.rewards": _parts(config)}
    others = [f"{key}={value}" for key, value in told.items() if value not in (None, PLAIN_SELF_PLAY[key])]
    domain = f"on {stored_value(config, 'domain') or 'a domain that is not stored'}"
    return ", ".join([domain, *others]) if others else f"self-play {domain}"


def stored_value(config: Mapping[str, Any], key: str) -> Any:
    """A dotted key's value; None where there is none."""
    node: Any = config
    for name in key.split("."):
        node = node.get(name) if isinstance(node, Mapping) else None
    return node


def _parts(config: Mapping[str, Any]) -> str | None:
    """The parts of the reward, "verdict+length"."""
    old = stored_value(config, OLD_REWARD)
    parts = [_part_of(old)] if isinstance(old, str) else stored_value(config, "judge.rewards")
    if not isinstance(parts, list):
        return None
    return "+".join(str(part.get("part")) if isinstance(part, Mapping) else str(part) for part in parts)


def renamed(config: Any) -> Any:
    """A stored configuration with keys of earlier versions under the names and with the values that they have today:
    judge.reward=random is judge.rewards=[{part: random, weight: 1}], and truth is verdict."""
    section, _, name = OLD_REWARD.rpartition(".")
    old = stored_value(config, OLD_REWARD)
    if isinstance(old, str):
        config = OmegaConf.merge(config, {section: {"rewards": [_part_of(old)]}})
        del config[section][name]
    return config


def _part_of(old: str) -> dict[str, Any]:
    return {"part": "verdict" if old == "truth" else old, "weight": 1.0}


def config_of(store: Store) -> dict[str, Any]:
    """The run's stored configuration."""
    stored = OmegaConf.to_container(OmegaConf.create(store.run().config_yaml))
    return {str(key): value for key, value in stored.items()} if isinstance(stored, dict) else {}
