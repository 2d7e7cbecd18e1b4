"""Loads what is to be evaluated."""

from collections.abc import Callable
from dataclasses import dataclass

from selfplay.machine.errors import DATA, CheckpointError, Refused
from selfplay.model.policy import Policy
from selfplay.model.probe import Parity
from selfplay.run.build_model import proved_policy
from selfplay.run.checkpoint import load_weights
from selfplay.suite.subjects import Subject


@dataclass(frozen=True, slots=True)
class LoadedPolicy:
    """A model with its tokenizer, ready to sample. `step`: of the checkpoint; 0 for a model itself."""

    subject: Subject
    policy: Policy
    parity: Parity
    step: int = 0


def load(subject: Subject, note: Callable[[str], None]) -> LoadedPolicy:
    """The model, proved as a run proves it, with the newest of the checkpoints that verifies. `note` hears of those
    that do not. Raises ModelError, Refused."""
    policy, parity = proved_policy(subject.config, note)
    if subject.folder is None:
        note(f"{subject.name}: a model")
        return LoadedPolicy(subject, policy, parity)
    if not subject.rows:
        note(f"{subject.name}: the model that run {subject.folder} began with, {subject.config.model.name}")
        return LoadedPolicy(subject, policy, parity)
    for row, version in subject.rows:
        try:
            load_weights(subject.folder, row, policy, version)
        except CheckpointError as error:
            note(f"passed over a checkpoint: {error}")
            continue
        note(f"{subject.name}: the weights of run {subject.folder} at step {row.step}")
        return LoadedPolicy(subject, policy, parity, row.step)
    raise Refused(f"{subject.name}: no checkpoint of {subject.folder} that was asked for can be used", DATA)
