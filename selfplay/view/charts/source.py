"""What charts of a run are made of, each read from its store once, when it is first needed."""

from collections.abc import Mapping
from functools import cached_property
from typing import Any

from curriculum.settings import CurriculumSettings
from selfplay.config.stored import config_of
from selfplay.view.queries import settings_of
from store.overview.records import Listed, Measured, TurnMean
from store.overview.store import OverviewStore
from store.records import Alarm, Evaluation, StepRow


class Source:
    """A run that is looked at. It holds an open store, which the caller closes."""

    def __init__(self, store: OverviewStore) -> None:
        self.store = store

    @cached_property
    def steps(self) -> list[StepRow]:
        """Live steps but the start, in order."""
        return [row for row in self.store.steps() if row.step > 0]

    @cached_property
    def evaluations(self) -> list[Evaluation]:
        """In order of step and set; of two of a set at one step, the full one alone."""
        rows = sorted(self.store.evaluations(), key=lambda each: each.kind == "full")
        found = {(each.step, each.set_name): each for each in rows}
        return [found[key] for key in sorted(found)]

    @cached_property
    def alarms(self) -> list[tuple[int, Alarm]]:
        """What the guards raised and what was over, with the step."""
        return self.store.alarms()

    @cached_property
    def measured(self) -> list[Measured]:
        return self.store.measured()

    @cached_property
    def problems(self) -> dict[str, Listed]:
        """All problems by id, in the order of their admission."""
        return {each.problem_id: each for each in self.store.listed()}

    @cached_property
    def turn_means(self) -> list[TurnMean]:
        return self.store.turn_means()

    @cached_property
    def config(self) -> Mapping[str, Any]:
        """The run's stored configuration, as plain values."""
        return config_of(self.store)

    @cached_property
    def settings(self) -> CurriculumSettings:
        return settings_of(self.store)
