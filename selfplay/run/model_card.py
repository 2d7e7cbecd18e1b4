"""The README.md of an exported model, with the front matter that the Hugging Face hub reads.

Its text is made of what the store says at the checkpoint's step and of nothing else, no clock and no path of this
machine, so that a run has the same card, and the same manifest, however often it was killed.
"""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from selfplay.config.stored import stored_value, what_was_run
from selfplay.metrics import ACC_T1, ACC_T2, N, shown
from store.records import Evaluation, RunRow

CARD = "README.md"
EMBEDDED = {"smollm2-135m": ("HuggingFaceTB/SmolLM2-135M-Instruct", "apache-2.0")}  # name: (id at the hub, license)
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+", re.ASCII)


def model_card(run: RunRow, config: Mapping[str, Any], step: int, evaluations: Sequence[Evaluation]) -> str:
    """The card of the weights after `step`. `config` is the run's stored configuration; `evaluations` are the run's."""
    name, has_adapters = str(stored_value(config, "model.name")), bool(stored_value(config, "policy.lora.r"))
    base, license_id = _base(name)
    made = f"{'adapters for' if has_adapters else 'a model made of'} `{base or Path(name).name}`"
    return "\n".join(
        [
            *_front_matter(base, license_id, has_adapters),
            f"# {run.name}, step {step}",
            "",
            f"The weights of one run of selfplay: {made}, trained by reinforcement learning",
            f"on problems that the run posed ({what_was_run(config)}).",
            "",
            f"- base model: `{base or Path(name).name}`",
            f"- run: `{run.name}`, seed {run.seed}, step {step} of {stored_value(config, 'run.steps')}",
            f"- configuration: sha256 `{run.config_digest}`",
            f"- license: {license_id if license_id != 'other' else 'that of the base model'}",
            "",
            *_roles(config, has_adapters),
            *_figures([each for each in evaluations if each.step <= step]),
            "",
        ]
    )


def _roles(config: Mapping[str, Any], has_adapters: bool) -> list[str]:
    """Whose adapters these are, where the challenger has others."""
    is_apart = (
        bool(stored_value(config, "policy.lora.per_role")) and stored_value(config, "challenger.source") == "self"
    )
    if not (has_adapters and is_apart):
        return []
    return ["These adapters are the solver's, which the figures are of. The challenger's are in `challenger/`.", ""]


def _front_matter(base: str | None, license_id: str, has_adapters: bool) -> list[str]:
    """YAML, each value as JSON, which is YAML too."""
    front: dict[str, Any] = {"license": license_id}
    if license_id == "other":
        front["license_name"] = "that-of-the-base-model"
    if base is not None:
        front |= {"base_model": base, "base_model_relation": "adapter" if has_adapters else "finetune"}
    front |= {"library_name": "peft" if has_adapters else "transformers", "pipeline_tag": "text-generation"}
    front["tags"] = ["selfplay", "reinforcement-learning"]
    return ["---", *(f"{key}: {json.dumps(value)}" for key, value in front.items()), "---", ""]


def _base(name: str) -> tuple[str | None, str]:
    """(id at the hub, license) of the model that a run began with; no id for a folder, which only this machine has."""
    if name in EMBEDDED:
        return EMBEDDED[name]
    return (name if _HUB_ID.fullmatch(name) and not Path(name).exists() else None), "other"


def _figures(evaluations: Sequence[Evaluation]) -> list[str]:
    """A table of the newest evaluation of each held-out set beside the first."""
    by_set: dict[str, list[Evaluation]] = {}
    for each in sorted(evaluations, key=lambda e: (e.set_name, e.step, e.kind == "full")):
        by_set.setdefault(each.set_name, []).append(each)
    if not by_set:
        return ["No held-out figures were measured."]
    head = "| held-out set | at step | problems | first try at step 0 | first try | second look |"
    return ["Held-out accuracy, greedy:", "", head, "|---|---|---|---|---|---|", *map(_row, by_set.values())]


def _row(found: Sequence[Evaluation]) -> str:
    first, newest = found[0].metrics, found[-1].metrics
    figures = ((newest, N), (first, ACC_T1), (newest, ACC_T1), (newest, ACC_T2))
    cells = (shown(measured, name) if name in measured else "" for measured, name in figures)
    return f"| {found[-1].set_name} | {found[-1].step} | {' | '.join(cells)} |"
