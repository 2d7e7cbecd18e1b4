"""What a dry run found, as a table for people and as one JSON value."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from selfplay.dry_run.estimate import DryRun, sized


def as_json(found: DryRun) -> dict[str, Any]:
    """Every figure with its unit in its name: _bytes, _seconds, tokens_, parameters, problems."""
    measured, plan, whole = found.measured, found.plan, found.estimate
    storage, evaluations = measured.storage, measured.evaluations
    low, high = whole.seconds
    return {
        "folder": str(found.folder),
        "parameters": {"trained": measured.trained_parameters, "all": measured.all_parameters},
        "memory": asdict(measured.memory)
        | {
            "evaluation_adds_bytes": whole.evaluation_adds_bytes,
            "checkpoint_adds_bytes": whole.checkpoint_adds_bytes,
            "needed_bytes": whole.memory_bytes,
            "free_bytes": found.free.memory_bytes,
            "free_device_bytes": found.free.device_bytes,
        },
        "disk": {
            "checkpoint_bytes": storage.checkpoint_bytes,
            "journal_bytes_per_step": storage.journal_bytes,
            "database_bytes_per_step": storage.step_bytes,
            "database_bytes": whole.database_bytes,
            "bytes_at_end": whole.disk_bytes_at_end,
            "needed_bytes": whole.disk_bytes_at_most,
            "free_bytes": found.free.disk_bytes,
        },
        "step": {
            "tokens_computed": measured.tokens_computed,
            "tokens_flat": measured.tokens_flat,
            "seconds": round(measured.step_seconds, 3),
            "phase_seconds": {name: round(value, 3) for name, value in measured.phase_seconds.items()},
        },
        "evaluation": {
            "problems": evaluations.problems,
            "sampled_problems": evaluations.sampled,
            "full_seconds": [round(each, 3) for each in sorted(evaluations.full_seconds)],
            "interim_seconds": _rounded(evaluations.interim_seconds),
        },
        "checkpoint_seconds": _rounded(measured.checkpoint_seconds),
        "run": {
            "steps": plan.steps,
            "full_evaluations": 2,
            "interim_evaluations": plan.interim_evaluations,
            "checkpoints": plan.checkpoints,
            "tokens_computed": whole.tokens_computed,
            "tokens_flat": whole.tokens_flat,
            "start_seconds": round(measured.start_seconds, 3),
            "seconds_low": round(low, 1),
            "seconds_high": round(high, 1),
        },
        "said": list(found.lines),
        "notes": list(whole.notes),
        "warnings": list(whole.warnings),
    }


def rows(found: DryRun) -> list[Mapping[str, str]]:
    """Of the table."""
    measured, plan, whole = found.measured, found.plan, found.estimate
    memory, storage, evaluations = measured.memory, measured.storage, measured.evaluations
    phases = ", ".join(f"{name} {value:.1f}" for name, value in measured.phase_seconds.items())
    low, high = sorted(evaluations.full_seconds)
    full = f"{low:.1f} to {high:.1f} s" if evaluations.sets else "none"
    table = [
        ("parameters", f"{measured.trained_parameters:,}", f"trained, of {measured.all_parameters:,}"),
        ("memory", sized(whole.memory_bytes), f"at most; {_of(found.free.memory_bytes)} free"),
        ("  in a step", sized(memory.step_bytes), "at most"),
        ("  an evaluation adds", sized(whole.evaluation_adds_bytes), ""),
        ("  a checkpoint adds", sized(whole.checkpoint_adds_bytes), ""),
        ("disk", sized(whole.disk_bytes_at_most), f"at most, {sized(whole.disk_bytes_at_end)} in the end; "
                                                  f"{sized(found.free.disk_bytes)} free"),
        ("  a checkpoint", sized(storage.checkpoint_bytes), f"{plan.checkpoints_at_end} kept of {plan.checkpoints}"),
        ("  a step's journal", sized(storage.journal_bytes), f"{plan.journals_at_most} at most"),
        ("  the database", sized(whole.database_bytes), f"in the end; {sized(storage.step_bytes)} a step"),
        ("tokens a step", f"{measured.tokens_computed:,}", f"computed; a flat batch's {measured.tokens_flat:,}"),
        ("seconds a step", f"{measured.step_seconds:.1f}", phases),
        ("a full evaluation", full, f"{evaluations.problems:,} problems; 2 in the run"),
    ]  # fmt: skip
    if evaluations.interim_seconds is not None:
        table.append(
            ("an interim evaluation", f"{evaluations.interim_seconds:.1f} s", f"{plan.interim_evaluations} in the run")
        )
    if memory.device_bytes is not None:
        table.insert(5, ("  on the GPU", sized(memory.device_bytes), f"at most; {_of(found.free.device_bytes)} free"))
    saving = measured.checkpoint_seconds
    table.append(("a checkpoint", "unknown" if saving is None else f"{saving:.1f} s", f"{plan.checkpoints} in the run"))
    table.append(("the whole run", lasting(*whole.seconds), f"{plan.steps} steps, evaluations, checkpoints, the start"))
    return [{"what": what, "figure": figure, "remark": remark} for what, figure, remark in table]


def lasting(low: float, high: float) -> str:
    """A range of seconds for people: 40 to 90 s, 5 to 9 min, 3.0 to 5.5 h."""
    for unit, scale, digits in (("d", 86400, 1), ("h", 3600, 1), ("min", 60, 0)):
        if high >= 2 * scale:
            return f"{low / scale:.{digits}f} to {high / scale:.{digits}f} {unit}"
    return f"{low:.0f} to {high:.0f} s"


def _of(amount: int | None) -> str:
    return "unknown" if amount is None else sized(amount)


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)
