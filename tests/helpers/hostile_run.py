"""A run whose problems, proposals and answers try to harm whoever shows them."""

from dataclasses import replace
from pathlib import Path

from store_samples import SEED, create, step_commit

from selfplay import metrics
from selfplay.machine.run_folder import DATABASE
from store.records import (
    Attempt,
    Evaluation,
    Fate,
    Finish,
    Origin,
    Outcome,
    PassRate,
    Problem,
    ProblemState,
    Proposal,
    Standing,
    Turn,
)

HOSTILE = (
    "<script>window.harmed=1</script>",
    '"><img src=x onerror="window.harmed=1">',
    "</script><svg onload=window.harmed=1>",
    "{{ 7 * 7 }}{% include 'base.html' %}",
    "w" * 5000,
    "\u202egnihtyna\u202c and \u05e9\u05dc\u05d5\u05dd \u05e2\u05d5\u05dc\u05dd",
    "\U0001f469\u200d\U0001f469\u200d\U0001f467 emoji \U0001f600",
    "a NUL \x00 and \x1b[31mANSI\x1b[2J \x07",
    '=HYPERLINK("http://x")',
    "javascript:window.harmed=1",
    "%{y} <b>bold</b> <a href='javascript:window.harmed=1'>go</a>",
    "../../etc/passwd?a=b&c=d#e",
)


def hostile_run(folder: Path, name: str = "hostile") -> Path:
    """The run's folder: two steps, each hostile text once as a problem, a family, a proposal and an answer."""
    problems = [_problem(i, text) for i, text in enumerate(HOSTILE)]
    (folder / name).mkdir(parents=True)
    config = "domain: arithmetic\nrun:\n  steps: 5\nmodel:\n  name: '<script>window.harmed=1</script>'\n"
    with create(folder / name / DATABASE, name="<b>stored</b>", config_yaml=config, seeds=(SEED,)) as store:
        for step, new in ((1, problems), (2, [])):
            tried = [SEED, *problems]
            commit = step_commit(
                step,
                problems=tuple(new),
                proposals=tuple(_proposal(i, problem) for i, problem in enumerate(problems)) if new else (),
                attempts=tuple(
                    _attempt(problem, step, text) for problem, text in zip(tried, (*HOSTILE, "4"), strict=True)
                ),
                pass_rates=tuple(PassRate(problem.problem_id, step - 1, 1, step - 1) for problem in tried),
                standings={each.problem_id: Standing(ProblemState.ACTIVE, 0.3 * step) for each in tried},
                search_nodes=(),
                metrics={metrics.PASS_RATE: 0.5, metrics.ENTROPY: 1.0, "reward/verdict_mean": 0.5, metrics.COPIES: 0.0},
            )
            store.commit_step(commit)
        for step, right in ((0, 0.25), (2, 0.5)):
            figures = {metrics.ACC_T1: right, metrics.low(metrics.ACC_T1): 0.1, metrics.high(metrics.ACC_T1): 0.9}
            store.commit_evaluation(
                Evaluation(step, "<i>set</i>", "full", figures | {metrics.N: 4}, "2000", "1:0.7 0:0.9 1:0.7 0:-")
            )
    return folder / name


def _problem(index: int, text: str) -> Problem:
    """A child of the one before it."""
    parent = SEED.problem_id if index == 0 else f"h-{index - 1}"
    clean = text.replace("\x00", "\\x00")
    made = Problem(
        f"h-{index}", "arithmetic", clean, f"h{index}", clean[:60], 1, clean[:200], "executed", Origin.CHALLENGER
    )
    return replace(made, parent_id=parent)


def _proposal(index: int, problem: Problem) -> Proposal:
    return Proposal(SEED.problem_id, 0, index, problem.text, Fate.ACCEPTED, problem.problem_id, 0.5)


def _attempt(problem: Problem, step: int, text: str) -> Attempt:
    first = Turn(text, text[:50].replace("\x00", ""), Outcome.INCORRECT, Finish.STOP, 3, 0.0, 0.0, {"verdict": 0.0})
    outcome = Outcome.CORRECT if step == 2 else Outcome.UNPARSED
    second = Turn(
        f"{text}!", None, outcome, Finish.STOP, 3, 1.0, 0.5, {"verdict": 0.5, "<u>part</u>": 0.5}, "<b>error</b>"
    )
    return Attempt(problem.problem_id, 0, (first, second), step - 1, step - 1, text[:80].replace("\x00", ""), 0.5)
