"""What a run says while it works: a live line on a terminal, plain lines elsewhere, a table at the end.

Everything shown is also in the store; this only looks. Model text is quoted, never interpreted, and nobody has to read
(selfplay/machine/outlet.py).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.table import Table

from roles.judging.by_model import ALARM_RATE
from roles.judging.groups import JudgedGroup
from selfplay.config.keys import Config
from selfplay.evaluate.alarms import COLLAPSE_STEPS, WATCHED_STEPS, collapses
from selfplay.view.terminal import drawn, say
from store.records import Evaluation, StepRow

COPYING_STEPS = 5  # in a row, before the alarm is worth a line


class Progress:
    """Talks to whoever started the run."""

    def __init__(self, config: Config, console: Console | None = None) -> None:
        self._config = config
        self._console = console or drawn(None, soft_wrap=True)
        self._bar: Bar | None = None
        self._task: TaskID | None = None
        self._interim: list[Evaluation] = []
        self._copying = 0  # steps in a row
        self._steps: deque[Mapping[str, float]] = deque(maxlen=WATCHED_STEPS)  # metrics of the newest steps
        self._collapsed: set[str] = set()  # what was said to have collapsed, and has not come back

    def show(self, table: Table) -> None:
        """A table, as wide as there is room."""
        self._console.print(table)

    def note(self, line: str) -> None:
        """One line, above the live one if there is one."""
        say(line, self._console)

    @contextmanager
    def running(self, head: int, recent: Sequence[Mapping[str, float]]) -> Iterator[None]:
        """Show a bar for the length of the run, on a terminal."""
        self._steps.extend(recent)
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
            total = self._config.run.steps
            self._task = bar.add_task("step", total=total, completed=head)
            yield
        self._bar = None

    def step_begins(self, number: int) -> None:
        """Nothing on a plain stream."""
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, description=f"step {number}")

    def step_done(self, row: StepRow, groups: Sequence[JudgedGroup], frontier: int) -> None:
        """One line a step; a transcript now and then."""
        m = row.metrics
        self.note(
            f"step {row.step:>3}/{self._config.run.steps}  pass {m['solver/pass_rate']:.2f}  "
            f"signal {m['curriculum/signal_share']:.2f}  fixed {m['solver/fixed_share']:.2f}  "
            f"new {m['curriculum/new']:.0f}  valid {m['challenger/valid_new']:.0f}/{m['challenger/proposals']:.0f}  "
            f"reward {m['reward/mean']:+.2f}/{m['challenger/reward']:.2f}  frontier {frontier}  "
            f"{row.seconds:.1f}s"
        )
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=row.step)
        self._copying = self._copying + 1 if m.get("alarm/copies") else 0
        if self._copying == COPYING_STEPS:
            self.note(
                f"ALARM     second looks repeat the first answer: {COPYING_STEPS} steps in a row gave back nearly "
                "every wrong one. A bonus or stage I keeps the turns apart (judge.correction_bonus, train.stage_one)"
            )
        if m.get("judge/canary_false_positive_rate", 0.0) > ALARM_RATE:
            self.note(
                f"ALARM     the model judge took {100 * m['judge/canary_false_positive_rate']:.1f}% of empty or forged "
                "answers for right ones: it can be pleased without solving anything (judge.source=verifier)"
            )
        self._steps.append(m)
        self._say_collapses()
        every = self._config.logging.transcript_every
        if every and row.step % every == 0:
            self._transcript(groups)

    def _say_collapses(self) -> None:
        found = collapses(list(self._steps))
        for each in found:
            if each.what not in self._collapsed:
                self.note(
                    f"ALARM     {100 * each.now:.0f}% of the last {COLLAPSE_STEPS} steps' {each.what} can be read, "
                    f"{100 * each.once:.0f}% could be before: the model collapses. A smaller train.learning_rate or a "
                    "KL (train.kl_coef) keeps it; resume.mode=rewind goes back to the last checkpoint"
                )
        self._collapsed = {each.what for each in found}

    def evaluating(self, step: int, kind: str, names: Sequence[str]) -> Iterator[str]:
        """Yields the names, saying what is going on."""
        self._interim = []
        if names and kind == "full":
            self.note(f"evaluating step {step} on held-out problems: {', '.join(names)} ...")
        yield from names
        if self._interim and kind == "interim":
            shown = "  ".join(f"{e.set_name} {e.metrics['acc_t1']:.2f}" for e in self._interim)
            self.note(f"          held out, first try: {shown}")

    def evaluated(self, evaluation: Evaluation) -> None:
        """Remembered until the others of its step are there."""
        self._interim.append(evaluation)
        if evaluation.metrics.get("alarm_first_try"):
            change, low, high = (
                f"{100 * evaluation.metrics[f'first_try_change{bound}']:+.0f}" for bound in ("", "_low", "_high")
            )
            why = " Failing, so that the second look can mend it?" if self._config.solver.turns > 1 else ""
            self.note(
                f"ALARM     {evaluation.set_name}: the first try changed by {change} points since the start, 95% "
                f"[{low}, {high}].{why} A KL holds it (train.kl.solver_first)"
            )

    def _transcript(self, groups: Sequence[JudgedGroup]) -> None:
        """The first problem of the step whose second look changed something, else the first: as it was said."""
        pick = next(
            (
                (g, a)
                for g in groups
                for a in g.attempts
                if len(a.turns) > 1 and a.turns[0].answer != a.turns[-1].answer
            ),
            (groups[0], groups[0].attempts[0]),
        )
        group, attempt = pick
        said = " | then: ".join(
            f"{turn.sampled.completion.text.strip()!r} {turn.outcome.value}" for turn in attempt.turns
        )
        origin = group.problem.origin.value.lower()
        self.note(f"          {origin} posed: {group.problem.text!r}  solver: {said}")
