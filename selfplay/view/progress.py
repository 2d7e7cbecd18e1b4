"""What a run prints while it works: a live line on a terminal, plain lines elsewhere, a table at the end.

Everything printed is in the store too, and nothing here writes to it. Text of a model is quoted and never interpreted.
A run goes on where nobody reads what it prints (selfplay/machine/outlet.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.table import Table

from roles.judging.groups import JudgedGroup
from selfplay.config.shown import ShownSettings
from selfplay.metrics import (
    ACC_T1,
    CHALLENGER_REWARD,
    FIRST_TRY_ALARM,
    FIRST_TRY_CHANGE,
    FIXED_SHARE,
    NEW_PROBLEMS,
    PASS_RATE,
    PROPOSALS,
    REWARD_MEAN,
    SIGNAL_SHARE,
    VALID_NEW,
    high,
    low,
    shown,
)
from selfplay.view.terminal import drawn, say
from store.records import Alarm, AlarmEvent, Evaluation, StepRow


class Progress:
    """Talks to whoever started the run."""

    def __init__(self, settings: ShownSettings, console: Console | None = None) -> None:
        self._settings = settings
        self._console = console or drawn(None, soft_wrap=True)
        self._bar: Bar | None = None
        self._task: TaskID | None = None
        self._interim: list[Evaluation] = []

    def show(self, table: Table) -> None:
        """A table, as wide as there is room."""
        self._console.print(table)

    def note(self, line: str) -> None:
        """One line, above the live one if there is one."""
        say(line, self._console)

    @contextmanager
    def running(self, head: int) -> Iterator[None]:
        """Show a bar for the length of the run, on a terminal."""
        if not self._console.is_terminal:
            yield
            return
        columns = (
            TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}/{task.total}"),
            TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(),
        )  # fmt: skip
        # what others print stays with the outlet: rich would take their escape sequences for styles
        with Bar(*columns, console=self._console, transient=True, redirect_stdout=False, redirect_stderr=False) as bar:
            self._bar = bar
            self._task = bar.add_task("step", total=self._settings.num_steps, completed=head)
            yield
        self._bar = None

    def step_begins(self, number: int) -> None:
        """Nothing on a plain stream."""
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, description=f"step {number}")

    def step_done(self, row: StepRow, groups: Sequence[JudgedGroup], frontier: int) -> None:
        """One line a step; a transcript now and then."""
        figures, settings = row.metrics, self._settings
        said = [
            f"step {row.step:>3}/{settings.num_steps}", f"pass {shown(figures, PASS_RATE)}",
            f"signal {shown(figures, SIGNAL_SHARE)}", f"fixed {shown(figures, FIXED_SHARE)}",
        ]  # fmt: skip
        said += [f"new {shown(figures, NEW_PROBLEMS)}"] if settings.is_any_new else []
        said += [f"valid {shown(figures, VALID_NEW)}/{shown(figures, PROPOSALS)}"] if settings.is_posed_by_model else []
        proposals = f"/{shown(figures, CHALLENGER_REWARD)}" if settings.is_posed_by_model else ""
        said += [f"reward {shown(figures, REWARD_MEAN)}{proposals}"]
        said += [f"frontier {frontier}"] if settings.is_any_new else []
        self.note("  ".join([*said, f"{row.seconds:.1f}s"]))
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=row.step)
        every = self._settings.transcript_every
        if every and row.step % every == 0:
            self._transcript(groups)

    def alarmed(self, alarm: Alarm) -> None:
        """One line when something begins to go wrong, and one when it is over."""
        if alarm.event is AlarmEvent.RAISED:
            self.note(f"ALARM     {alarm.text}. {alarm.advice}")
        else:
            self.note(f"          {alarm.text}")

    def evaluating(self, step: int, kind: str, names: Sequence[str]) -> Iterator[str]:
        """Yields the names, saying what is going on."""
        self._interim = []
        if names and kind == "full":
            self.note(f"evaluating step {step} on held-out problems: {', '.join(names)} ...")
        yield from names
        if self._interim and kind == "interim":
            accuracies = "  ".join(f"{e.set_name} {shown(e.metrics, ACC_T1)}" for e in self._interim)
            self.note(f"          held out, first try: {accuracies}")

    def evaluated(self, evaluation: Evaluation) -> None:
        """Remembered until the others of its step are there."""
        self._interim.append(evaluation)
        if evaluation.metrics.get(FIRST_TRY_ALARM):
            change, least, most = (
                f"{100 * evaluation.metrics[name]:+.0f}"
                for name in (FIRST_TRY_CHANGE, low(FIRST_TRY_CHANGE), high(FIRST_TRY_CHANGE))
            )
            why = " Failing, so that the second look can mend it?" if self._settings.turns > 1 else ""
            self.note(
                f"ALARM     {evaluation.set_name}: the first try changed by {change} points since the start, 95% "
                f"[{least}, {most}].{why} A KL holds it (train.kl.solver_first)"
            )

    def _transcript(self, groups: Sequence[JudgedGroup]) -> None:
        """The first problem of the step whose second look changed something, else the first: as it was said."""
        pairs = [(group, attempt) for group in groups for attempt in group.attempts]
        changed = (
            (group, attempt)
            for group, attempt in pairs
            if len(attempt.turns) > 1 and attempt.turns[0].answer != attempt.turns[-1].answer
        )
        group, attempt = next(changed, pairs[0])
        said = " | then: ".join(
            f"{turn.sampled.completion.text.strip()!r} {turn.outcome.value}" for turn in attempt.turns
        )
        origin = group.problem.origin.value.lower()
        self.note(f"          {origin} posed: {group.problem.text!r}  solver: {said}")
