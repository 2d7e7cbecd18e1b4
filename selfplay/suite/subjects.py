"""What is evaluated, by name: a model, or the weights that a run had at a checkpoint. No torch is loaded here."""

import re
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path

from selfplay.config import files as configuration
from selfplay.config.keys import Config, CriticsConfig
from selfplay.machine.errors import USAGE, ConfigError, Refused
from selfplay.machine.run_folder import DATABASE, is_file
from store.records import CheckpointRow
from store.store import Store

BEST = "best"
_AT = re.compile(rf"(?P<run>.+)@(?P<step>\d+|{BEST})")


@dataclass(frozen=True, slots=True)
class Subject:
    """A model, or a run's weights: those of the first of `rows` that verifies, or of its start where there is none."""

    name: str  # as it was named
    config: Config  # the run's, or what every key is if nobody says otherwise, with `model.name`
    folder: Path | None = None  # the run's
    rows: tuple[tuple[CheckpointRow, int], ...] = ()  # (checkpoint, policy version), newest first


def subject(named: str, directory: Path, overrides: Sequence[str]) -> Subject:
    """MODEL_OR_RUN[@STEP]. A run is a folder, or a name in `directory`; anything else is what `model.name` takes.

    Step 0 of a run is the model that it began with, step "best" what its probes picked. Raises Refused, with the steps
    that are kept, for another step.
    """
    at = _AT.fullmatch(named)
    folder = _run_folder(at["run"], directory) if at else _run_folder(named, directory)
    if folder is None:
        if at and at["run"].count("/") < 2 and not Path(named).exists():
            raise Refused(f"{named}: there is no run {at['run']}: neither a folder nor in {directory}/ (--dir)", USAGE)
        return Subject(named, _evaluating(configuration.load(None, [f"model.name={named}", *_checked(overrides)])))
    with Store.open_readonly(folder / DATABASE) as store:
        config = configuration.varied(store.run().config_yaml, _checked(overrides))
        kept = store.checkpoints()
        versions = {row.step: store.step(row.step).policy_version for row in kept}
        best = store.best_step()
    if at and at["step"] == BEST and best is None:
        raise Refused(f"{named}: nothing has compared its checkpoints: a run with probes.size above 0 does", USAGE)
    wanted = None if at is None else best if at["step"] == BEST else int(at["step"])
    if wanted is not None:
        kept = [row for row in kept if row.step == wanted]
    if not kept and wanted != 0:
        have = ", ".join(str(step) for step in sorted(versions)) or "none"
        raise Refused(f"{named}: no such checkpoint is kept. Steps that are: 0 (the start), {have}", USAGE)
    return Subject(named, _evaluating(config), folder, tuple((row, versions[row.step]) for row in kept))


def changed(own: Subject, overrides: Sequence[str]) -> Subject:
    """`own`, which is loaded, asked in another way. Raises ConfigError for what its loading depended on."""
    for override in _checked(overrides):
        if override.startswith(("model.", "policy.", "run.")):
            raise ConfigError(f"{override}: the model is loaded already; give this to load_policy")
    return replace(own, config=_evaluating(configuration.varied(configuration.to_yaml(own.config), overrides)))


def with_settings_of(other: Subject, first: Subject) -> Subject:
    """`other` asked as `first` is: the settings of `first`, with the model of `other`."""
    config = deepcopy(first.config)
    config.model.name, config.policy = other.config.model.name, other.config.policy
    return replace(other, config=config)


def _run_folder(name: str, directory: Path) -> Path | None:
    return next((folder for folder in (Path(name), directory / name) if is_file(folder / DATABASE)), None)


def _checked(overrides: Sequence[str]) -> Sequence[str]:
    for override in overrides:
        if override.startswith(("-", "domain")) or "=" not in override:
            raise ConfigError(f"{override!r} is no key=value of a configuration; --set and --option name the problems")
    return overrides


def _evaluating(config: Config) -> Config:
    """What of a configuration is for training is put to rest: a challenger, reports, critics, the start weights."""
    config = deepcopy(config)
    config.challenger.source, config.solver.source = "none", "self"
    config.solver.report = config.evaluate.report = "none"
    config.judge.report_reward, config.judge.critics = "none", CriticsConfig()
    config.evaluate.mechanism, config.train.imitation = False, "none"
    config.judge.source, config.train.gradient_checkpointing = "verifier", False
    config.train.mask = config.train.mask_digest = ""
    return config
