"""Which experiment trackers there are, and whether their packages are installed. None is imported here."""

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Literal

from selfplay.machine.errors import ConfigError
from selfplay.trackers.sink import Sink

TrackerName = Literal["tensorboard", "wandb", "mlflow", "trackio"]
_CLASSES: Mapping[TrackerName, str] = {
    "tensorboard": "TensorBoard", "wandb": "Wandb", "mlflow": "Mlflow", "trackio": "Trackio",
}  # fmt: skip
_PIP: Mapping[TrackerName, str] = {"mlflow": "mlflow-skinny"}  # the others' packages have the names of their modules


def require_installed(names: Sequence[TrackerName]) -> None:
    """ConfigError, one line with the command to type, for the first tracker whose package is missing."""
    for name in names:
        if find_spec(name) is None:
            raise ConfigError(
                f"logging.report_to: {name} is not installed. Run it with `uv run --extra {name} python -m "
                f"selfplay.loop ...`, or install it with `pip install {_PIP.get(name, name)}`; without it: "
                "logging.report_to=[]"
            )


def opener(name: TrackerName) -> Callable[[], Sink]:
    """What makes the sink, and imports its package then."""
    return lambda: getattr(import_module(f"selfplay.trackers.to_{name}"), _CLASSES[name])()
