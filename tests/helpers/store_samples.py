"""Small records for the store's tests, with every field set to something that another field is not."""

from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from store.records import (
    Alarm,
    AlarmEvent,
    Attempt,
    Completion,
    Disagreement,
    Experience,
    Fate,
    Finish,
    Foretold,
    HelpKind,
    Origin,
    Outcome,
    PassRate,
    Pick,
    Probe,
    ProbeKind,
    Problem,
    Proposal,
    Rescue,
    RoundOutcome,
    SearchNode,
    Side,
    Skill,
    SkillAction,
    SkillPick,
    SkillRound,
    SkillSet,
    StepCommit,
    Turn,
    Wave,
)
from store.store import Store

SEED = Problem("p-seed", "arithmetic", "1 + 2", "+1 +2", "d+d", 1, "3", "seed", Origin.SEED)


def new_problem(step: int, **changes: Any) -> Problem:
    """The problem that step `step` of the sample run admits."""
    text = f"{step} + 40"
    made = Problem(
        f"p-{step}", "arithmetic", text, f"+{text}", "d+dd", 2, str(step + 40), "executed", Origin.CHALLENGER, "p-seed"
    )
    return replace(made, **changes)


def step_commit(step: int, **changes: Any) -> StepCommit:
    """What step `step` of the sample run commits: one new problem, two proposals, two attempts, two pass rates, a
    searched tree of three nodes."""
    made = new_problem(step)
    parts = {"verdict": 0.875, "correction": step - 0.775}
    right = Turn(" 41\n", "41", Outcome.CORRECT, Finish.STOP, 3, 0.1 + step, 0.875, parts)
    cut = Turn(" 4", None, Outcome.TRUNCATED, Finish.LENGTH, 2, -0.25, 0.0, {"length": -0.25})
    unjudged = Turn(" ?", None, Outcome.UNJUDGED, Finish.STOP, 1, None, error="reward Mine: ValueError: no")
    commit = StepCommit(
        step=step,
        policy_version=step,
        problems=(made,),
        proposals=(
            Proposal("p-seed", 1, 0, made.text, Fate.ACCEPTED, made.problem_id, 0.75, -0.5),
            Proposal("p-seed", 0, 1, "1 + + 2", Fate.INVALID, None, None),
        ),
        attempts=(
            Attempt(made.problem_id, 0, (cut, right), step - 1, step),
            Attempt("p-seed", 1, (unjudged,), step - 1, step - 1),
        ),
        pass_rates=(
            PassRate(made.problem_id, step - 1, 8, 5, 4, 1, 2, 1),
            PassRate("p-seed", step - 1, 7, 7, is_graded=True),
        ),
        metrics={"reward/mean": 0.1 * step, "time/rollout": 2.5},
        weights_digest=f"weights-{step}",
        journal_file=f"step_{step:06d}.safetensors",
        journal_sha256=f"sha-{step}",
        seconds=1.5,
        search_nodes=(
            SearchNode(made.problem_id, 0, None, made.text, 0, 0.0, 0, 9, 0.5, 4, 2, step - 1),
            SearchNode(
                made.problem_id, 1, 0, " 4,", 3, -0.75, 5, 6, 0.25, 3, 1, step - 1, 0.3, 0.6, None, None, -0.125
            ),
            SearchNode(
                made.problem_id, 2, 0, " 41\n", 2, -1.5, 7, 8, 1.0, 1, 1, step - 1, None, None, Outcome.CORRECT, 1, 0.5
            ),
        ),
        alarms=(
            Alarm("repetition", AlarmEvent.RAISED, 0.5, 0.25, "half of it says the same", "Do something else")
            if step % 2 else Alarm("repetition", AlarmEvent.OVER, 0.125, 0.2, "repetition is over", ""),
        ),
    )  # fmt: skip
    return replace(commit, **changes)


def disagreement(step: int) -> Disagreement:
    """Of a turn of the sample run's step."""
    return Disagreement(f"p-{step}", 0, 1, Outcome.CORRECT, False, "by division")


def experience(step: int) -> Experience:
    """Of the problem that the sample run's step admits."""
    return Experience(f"p-{step}", 2, 3, "4 + 5 =", "8", "4 + 5 is 9", True, False, step + 6, "it is. So: 9", True)


def foretold(step: int) -> Foretold:
    """Of the problem that the sample run's step admits."""
    return Foretold(f"p-{step}", 0.25, 1.5, 0.625, 2.25)


def probe(step: int) -> Probe:
    """The problem that the sample run's step admits."""
    return Probe(f"p-{step}", ProbeKind.EASY, 0.625)


def skill_picks(step: int) -> tuple[SkillPick, ...]:
    """Two versions of the solver's, of which the older one is taken up again."""
    return SkillPick(step - 1, 4, 3, 2, 3, 0.4, step + 1), SkillPick(step, 4, 3, 1, 3, 0.2)


def rescue(step: int) -> Rescue:
    """Of the problem that the sample run's step admits, with help."""
    return Rescue(f"p-{step}", HelpKind.REVERSE, 2, 3, 8, 5)


def pick(step: int, best: int) -> Pick:
    """At a step of the sample run: the run goes back."""
    return Pick(step, best, 4, 5, 1, 2, 0.125, 3, 4, 0.375, 0.0625, step + 1, is_rollback=True)


def skill_rounds(step: int) -> tuple[SkillRound, ...]:
    """One round that wrote a set, and one that did not."""
    kept = SkillSet(Side.SOLVER, step, (Skill("carry", "Add the ones first.", 1), Skill("sign", "Look at it.", step)))
    cases, reason = ("p-seed", f"p-{step}"), "Signs were lost."
    return (
        SkillRound(Side.CHALLENGER, RoundOutcome.UNPARSED, ("p-seed",), step - 1),
        SkillRound(Side.SOLVER, RoundOutcome.WRITTEN, cases, step - 1, SkillAction.ADD, "sign", reason, kept),
    )


def wave(step: int, key: str = "solver/0", text: str = " 41\n") -> Wave:
    """Two completions, the first one empty of tokens."""
    full = Completion((7, 0, 2**31 - 1), (-0.1, -1e-300, -12.345678901234567), text, Finish.STOP, step - 1, step)
    return Wave(step, key, (Completion((), (), "", Finish.LENGTH, step - 1, step - 1), full))


def create(path: Path, **changes: Any) -> Store:
    """A new run with one seed problem."""
    given: dict[str, Any] = {
        "name": "sample",
        "seed": 2**40,
        "config_yaml": "seed: 1\n",
        "config_digest": "config-digest",
        "code_digest": "code-digest",
        "seeds": (SEED,),
        "weights_digest": "weights-0",
    }
    return Store.create(path, **(given | changes))


def copy_new(path: Path) -> Path:
    """The same, closed, as a copy of one that was made once: the migrations take a tenth of a second each time."""
    path.write_bytes(_new())
    return path


@cache
def _new() -> bytes:
    with TemporaryDirectory() as folder:
        create(Path(folder) / "new.db").close()
        return (Path(folder) / "new.db").read_bytes()
