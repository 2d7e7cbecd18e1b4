"""The end of a run: its summary, the table of what it reached, where its weights are, its exit code."""

import json
from typing import Any

from rich.table import Table
from rich.text import Text

from selfplay.machine.errors import DATA, DISK, INTERRUPTED, OK, TERMINATED, CheckpointError
from selfplay.machine.run_folder import SUMMARY, write_file
from selfplay.metrics import ACC_T1, ACC_T2, C2I, I2C, NOTHING, shown
from selfplay.run.checkpoint_files import PRODUCT, verify
from selfplay.run.session import Run
from selfplay.view.progress import Progress
from selfplay.view.summary import summarise
from selfplay.view.terminal import plain


def close(run: Run, again: str, progress: Progress) -> int:
    """Write summary.json, show the table, say where things are. Returns the exit code.

    `again`: what to type to go on.
    """
    run.note_use()
    summary = summarise(run.store)
    path = run.folder / SUMMARY
    write_file(path, [json.dumps(summary, indent=1)], progress.note)
    is_stopped = run.is_stopping and run.store.head().step < run.schedule.steps
    run.reporting.finish(None if is_stopped else summary)
    if is_stopped:
        progress.note(f"stopped after step {run.store.head().step}; to go on: {again}")
        return INTERRUPTED if run.signal_number == 2 else TERMINATED
    if summary["evaluation"]["after"]:
        progress.show(closing_table(summary))
    else:
        progress.note(
            "nothing was evaluated: the domain has no held-out problems. It can have them: evaluation_sets() or "
            "test_sets() (docs/domains.md)"
        )
    checkpoints, head = run.store.checkpoints(), run.store.head().step
    memory, on_gpu = f"{summary['peak_memory_bytes'] / 1e9:.1f} GB", summary["peak_device_bytes"]
    if on_gpu:
        memory += f" and {on_gpu / 1e9:.1f} GB on the GPU"
    progress.note(
        f"{summary['steps']} steps, {summary['seconds']:.0f} s, {memory}; "
        f"tokens through the model {summary['tokens']['computed']:,}, a flat batch's {summary['tokens']['flat']:,}"
    )
    progress.note(f"summary  {path}")
    if head > 0 and not any(row.step == head for row in checkpoints):
        progress.note(f"the weights of step {head} are not saved: free some space, then: {again}")
        return DISK
    if checkpoints:
        try:
            verify(run.folder, checkpoints[0], hashed=PRODUCT)  # nothing damaged is named as the weights
        except CheckpointError as error:
            progress.note(f"the weights are damaged ({error}); from an older checkpoint they are made again: {again}")
            return DATA
        progress.note(f"weights  {run.folder / checkpoints[0].path / PRODUCT}")
        best = next((row for row in checkpoints if row.step == run.store.best_step() != head), None)
        if best is not None:
            progress.note(f"best     {run.folder / best.path / PRODUCT}, by its probes: step {best.step}")
    progress.note(f"look     python -m selfplay.inspect status {run.folder}")
    return OK


def closing_table(summary: dict[str, Any]) -> Table:
    """Figures before and after, a row for each held-out set. Where room is short names are folded; no figure is cut."""
    table = Table(title="held-out problems, greedy, before -> after", title_justify="left")
    for column in ("set", "first try", "second look", "fixed", "broken", "first try by [95%]"):
        is_name = column == "set"
        table.add_column(column, justify="left" if is_name else "right", no_wrap=not is_name, overflow="fold",
                         min_width=None if is_name else len(column))  # fmt: skip
    before, after = summary["evaluation"]["before"], summary["evaluation"]["after"]
    for name, new in after.items():
        old = before.get(name, {})

        def pair(key: str, old: dict[str, float] = old, new: dict[str, float] = new) -> str:
            return f"{shown(old, key)}→{shown(new, key)}" if key in old and key in new else NOTHING

        mean, low, high = summary["change"].get(name, {}).get(ACC_T1, (0.0, 0.0, 0.0))
        corrected = (shown(new, key) for key in (I2C, C2I))
        table.add_row(
            Text(plain(name)), pair(ACC_T1), pair(ACC_T2), *corrected, f"{mean:+.2f} [{low:+.2f}, {high:+.2f}]"
        )
    return table
