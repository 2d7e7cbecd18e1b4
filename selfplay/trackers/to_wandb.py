"""Weights & Biases: one run under the history's id, one row for each line of metrics.jsonl.

wandb's own step counts rows, which is what it goes on from; the training step is the figure "step", and every chart is
drawn over it. A run that is online says how many rows the server has. One that is offline (WANDB_MODE=offline) writes
files under the run's folder whose end a kill may lose, so each start writes the whole history into new ones, in place
of those that it wrote before: `wandb sync RUN/wandb/offline-run-*` sends them.
"""

import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from netrc import NetrcParseError, netrc
from typing import Any
from urllib.parse import urlsplit

import wandb

from selfplay.trackers.lines import Line
from selfplay.trackers.sink import RunFacts
from selfplay.trackers.texts import flat

_NOT_ONLINE = ("offline", "dryrun", "disabled")
_KEYS = ("WANDB_API_KEY", "WANDB_IDENTITY_TOKEN_FILE")


class Wandb:
    """A `Sink`."""

    def open(self, run: RunFacts) -> int:
        settings = wandb.Settings(
            console="off", silent=True, disable_git=True, disable_code=True, x_disable_stats=True
        )  # the terminal is the run's, and nothing is sent that nobody asked for
        if is_offline := os.environ.get("WANDB_MODE", "online") in _NOT_ONLINE:
            for old in run.folder.glob(f"wandb/offline-run-*-{run.history_id}"):
                shutil.rmtree(old)
        else:
            _require_login()
        self._run = wandb.init(
            project=run.project,
            id=run.history_id,
            name=run.name,
            resume="allow",
            dir=str(run.folder),
            config=dict(run.config),
            allow_val_change=True,  # a resumed run may have more steps
            settings=settings,
        )
        self._run.define_metric("step")
        self._run.define_metric("*", step_metric="step")
        return 0 if is_offline else self._run.starting_step

    def send(self, lines: Sequence[tuple[int, Line]]) -> None:
        for number, line in lines:
            self._run.log({"step": line.step, **line.figures}, step=number, commit=True)

    def close(self, summary: Mapping[str, Any] | None) -> None:
        if summary is not None:
            self._run.summary.update({f"summary/{name}": value for name, value in flat(summary).items()})
        self._run.finish(exit_code=0 if summary is not None else 1)


def _require_login() -> None:
    """wandb would ask for a key on the terminal, and wait."""
    if any(os.environ.get(name) for name in _KEYS) or not sys.stdin or not sys.stdin.isatty():
        return  # a missing or wrong key is wandb's own error
    host = urlsplit(os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai")).hostname or ""
    try:
        is_known = netrc().authenticators(host) is not None
    except (OSError, NetrcParseError):
        is_known = False
    if not is_known:
        raise PermissionError("not logged in: `wandb login`, WANDB_API_KEY=..., or WANDB_MODE=offline")
