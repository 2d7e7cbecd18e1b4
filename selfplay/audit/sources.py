"""What is audited, found by name: a checkpoint's masters, and the weights that its run began with."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from selfplay.audit.records import Audited
from selfplay.audit.streaming import Pair
from selfplay.config.keys import Config
from selfplay.machine.errors import DATA, USAGE, CheckpointError, Refused
from selfplay.model.weights.places import stored_folder
from selfplay.model.weights.tensor_files import Floats, TensorFiles, Tensors
from selfplay.run.checkpoint_files import MASTER, STATE_FILE, folder_of, verify
from selfplay.suite.subjects import Subject, subject

Note = Callable[[str], None]


def opened(named: str, since: int, directory: Path, note: Note) -> tuple[Audited, Pair]:
    """RUN[@STEP], against what it began with, or against its own checkpoint of step `since` where that is above 0.

    `note` hears of checkpoints that are passed over, and of slow work. Raises Refused or ModelError.
    """
    wanted = subject(named, directory, ())
    if wanted.folder is None:
        raise Refused(f"{named} is no run: neither a folder of one nor a name in {directory}/ (--dir)", USAGE)
    if not wanted.rows:
        raise Refused(f"{named}: at step 0 nothing has changed; leave @0 out for the newest checkpoint", USAGE)
    if wanted.config.policy.lora.r > 0:
        raise Refused(
            f"{named}: trained adapters, whose update has rank {wanted.config.policy.lora.r} and touches every number "
            "by construction; audit a run with policy.lora.r=0",
            USAGE,
        )
    step, now = _masters(wanted, note)
    dtype = _dtype(wanted.config)
    audited = Audited(wanted.folder.resolve().name, step, since, wanted.config.model.name, dtype)
    if since > 0:
        if since >= step:
            raise Refused(f"{named}: step {since} (--since) is not before step {step}", USAGE)
        _, before = _masters(subject(f"{wanted.folder}@{since}", directory, ()), note)
        return audited, Pair(now, before, rounds=False)
    return audited, Pair(now, _start(wanted.config.model.name, dtype, now, note), rounds=dtype == "bfloat16")


def _masters(wanted: Subject, note: Note) -> tuple[int, Tensors]:
    """(step, fp32 masters) of the newest of its checkpoints that verifies."""
    assert wanted.folder is not None
    file = STATE_FILE.format(MASTER)
    for row, _ in wanted.rows:
        try:
            verify(wanted.folder, row, hashed=file)
            return row.step, TensorFiles([folder_of(wanted.folder, row) / file], _without_part)
        except (CheckpointError, SafetensorError, OSError) as error:
            note(f"passed over a checkpoint: {error}")
    raise Refused(f"{wanted.name}: no checkpoint of {wanted.folder} that was asked for can be used", DATA)


def _without_part(name: str) -> str:
    return name.removeprefix(f"{MASTER}/")


def _dtype(config: Config) -> str:
    if config.model.dtype != "auto":
        return config.model.dtype
    from selfplay.run.build_model import dtype_of  # loads torch: only for a run of before there was this key

    return dtype_of(config)


def _start(name: str, dtype: str, now: Tensors, note: Note) -> Tensors:
    """The weights of `model.name`: out of its files where these name and shape tensors as the model does, else loaded.

    They are those that the name has today: whether a folder still holds what the run began with, nobody has noted.
    """
    wanted = now.shapes()
    found = _files_of(name)
    if found is None or not _has(found, wanted):
        from selfplay.model.weights.loading import load_model

        note(f"{name}: loaded whole, since its files do not have the trained tensors as they are")
        found = _Loaded(dict(load_model(name, dtype, note).model.named_parameters()))
    for tensor, shape in wanted.items():
        if (there := found.shapes().get(tensor)) != shape:
            raise Refused(
                f"{name} is not the model that the run began with: it has {tensor} as {there}, the run as {shape}", DATA
            )
    return found


def _files_of(name: str) -> Tensors | None:
    folder = stored_folder(name)
    paths = sorted(folder.glob("*.safetensors")) if folder is not None else []
    try:
        return TensorFiles(paths) if paths else None
    except (SafetensorError, OSError, ValueError):
        return None  # loading it says what is wrong


def _has(found: Tensors, wanted: Mapping[str, tuple[int, ...]]) -> bool:
    shapes = found.shapes()
    return all(shapes.get(name) == shape for name, shape in wanted.items())


@dataclass(frozen=True, slots=True)
class _Loaded:
    """A model's parameters, by name."""

    parameters: Mapping[str, Any]

    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        return {name: tuple(each.shape) for name, each in self.parameters.items()}

    def rows(self, name: str, start: int, stop: int) -> Floats:
        tensor = self.parameters[name].detach()
        return (tensor if tensor.dim() else tensor[None])[start:stop].float().numpy()
