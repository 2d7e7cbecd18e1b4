"""MLflow: a run that has the history's id as a tag, on the server or database that MLFLOW_TRACKING_URI names.

After each line a tag says how many there are. A kill may come between a line and its tag: of the first line that a
resumed run sends, figures that are there already are left out.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from logging import WARNING, getLogger
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, Run

from selfplay.trackers.lines import Line
from selfplay.trackers.sink import RunFacts
from selfplay.trackers.texts import as_markdown, flat

_HISTORY, _LINES = "selfplay.history", "selfplay.lines"
_DESCRIPTION = "mlflow.note.content"  # the tag that MLflow shows as a run's description
_AT_ONCE = 500  # figures in a request; MLflow takes a thousand
_LONGEST = 500  # characters of a parameter that every version of MLflow takes


class Mlflow:
    """A `Sink`."""

    def open(self, run: RunFacts) -> int:
        getLogger("mlflow").setLevel(WARNING)  # it tells of its database's tables
        self._client = MlflowClient()
        experiment = self._experiment(run.project)
        found = self._client.search_runs([experiment], filter_string=f"tags.`{_HISTORY}` = '{run.history_id}'")
        begun = found[0] if found else self._new(experiment, run)
        self._id = begun.info.run_id
        self._client.update_run(self._id, status="RUNNING")
        self._note_config(run.config, begun.data.params)
        num_there = int(begun.data.tags.get(_LINES, 0))
        self._doubtful = num_there if found else -1  # the number of a line that may be there in part
        return num_there

    def _new(self, experiment: str, run: RunFacts) -> Run:
        return self._client.create_run(experiment, run_name=run.name, tags={_HISTORY: run.history_id})

    def _experiment(self, project: str) -> str:
        found = self._client.get_experiment_by_name(project)
        return self._client.create_experiment(project) if found is None else found.experiment_id

    def _note_config(self, config: Mapping[str, Any], known: Mapping[str, str]) -> None:
        """A parameter is written once; what a resumed run has otherwise is a tag."""
        texts = {name: str(value)[:_LONGEST] for name, value in config.items()}
        new = [Param(name, text) for name, text in texts.items() if name not in known]
        self._client.log_batch(self._id, params=new)
        for name, text in texts.items():
            if known.get(name, text) != text:
                self._client.set_tag(self._id, f"resumed.{name}", text)

    def send(self, lines: Sequence[tuple[int, Line]]) -> None:
        for number, line in lines:
            time = 0 if line.time is None else int(datetime.fromisoformat(line.time).timestamp() * 1000)
            metrics = [
                Metric(name, value, time, line.step)
                for name, value in line.figures.items()
                if number != self._doubtful or not self._has(name, line.step)
            ]
            for i in range(0, len(metrics), _AT_ONCE):
                self._client.log_batch(self._id, metrics=metrics[i : i + _AT_ONCE])
            self._client.set_tag(self._id, _LINES, str(number + 1))

    def _has(self, name: str, step: int) -> bool:
        return any(each.step == step for each in self._client.get_metric_history(self._id, name))

    def close(self, summary: Mapping[str, Any] | None) -> None:
        if summary is not None:
            self._client.set_tag(self._id, _DESCRIPTION, as_markdown(flat(summary)))
        self._client.set_terminated(self._id, "FINISHED" if summary is not None else "KILLED")
