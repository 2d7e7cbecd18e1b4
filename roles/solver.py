"""The solver: a group of first tries at a problem, second looks at each of them, and a report on the result.

The report comes after the last turn. It is a stated confidence (RLCR, arXiv 2507.16806), or a self-evaluation that is
trained but not asked for at inference (post-completion learning, arXiv 2507.20252).
"""

from collections.abc import Generator, Sequence
from dataclasses import dataclass

from roles.prompts import PromptStyle, ReportKind
from roles.requests import Sample, Sampled, SamplingParams
from store.records import Completion, Help, Problem


@dataclass(frozen=True, slots=True)
class SolverSettings:
    """`group_size` >= 1 first tries, each with `looks` >= 1 second looks; an attempt has `turns` >= 1 turns in all.

    `role` begins the random keys, so that training and evaluation draw different numbers.
    """

    group_size: int
    turns: int
    params: SamplingParams
    role: str = "solver"
    report: ReportKind = "none"
    report_params: SamplingParams | None = None  # needed for a report
    looks: int = 1


@dataclass(frozen=True, slots=True)
class SolvedGroup:
    """The attempts at one problem: attempts[i][k] is turn k of attempt i, and reports[i] its report.

    Each run of `looks` attempts shares its first try.
    """

    problem: Problem
    attempts: tuple[tuple[Sampled, ...], ...]
    report: ReportKind = "none"
    reports: tuple[Sampled, ...] = ()  # empty for "none"
    looks: int = 1
    help: Help | None = None  # that the prompt had


REPORT_LABEL = "solver/report"


def turn_label(turn: int) -> str:
    """The label of a turn's tokens. Loss weights and baselines go by label."""
    return f"solver/{turn}"


def attempt(
    problem: Problem,
    style: PromptStyle,
    settings: SolverSettings,
    step: int,
    group_size: int | None = None,
    given: Sequence[Completion] = (),
    help: Help | None = None,
) -> Generator[Sample | list[Sample], list[Sampled] | list[list[Sampled]], SolvedGroup]:
    """Yields what it wants sampled, is sent the completions, returns the group.

    The second turn is sampled `looks` times for each first try, later turns once for each attempt. A turn is sampled
    below the last token of the one before, so attempts that said the same share all nodes up to there.
    `help`: what the prompt says beside the problem. `given`: known first tries, as many as the group has, in place of
    sampled ones.
    """
    size = group_size or settings.group_size
    key = (settings.role, step, problem.problem_id)
    prompt = style.solver(problem, "" if help is None else help.text)
    firsts = yield Sample(None, prompt, size, settings.params, (*key, 0), turn_label(0), tuple(given))
    attempts: list[tuple[Sampled, ...]] = [(first,) for first in firsts]  # type: ignore[misc]
    looks_taken = settings.looks if settings.turns > 1 else 1
    for turn in range(1, settings.turns):
        looks = yield [
            Sample(
                said[-1].node,
                style.recheck(problem, said[-1].completion),
                looks_taken if turn == 1 else 1,
                settings.params,
                (*key, turn, index),
                turn_label(turn),
            )
            for index, said in enumerate(attempts)
        ]
        attempts = [(*said, look) for said, each in zip(attempts, looks, strict=True) for look in each]  # type: ignore[attr-defined]
    if settings.report == "none":
        return SolvedGroup(problem, tuple(attempts), looks=looks_taken, help=help)
    assert settings.report_params is not None
    reports = yield [
        Sample(
            said[-1].node,
            style.report(settings.report, said[-1].completion),
            1,
            settings.report_params,
            (*key, "report", index),
            REPORT_LABEL,
        )
        for index, said in enumerate(attempts)
    ]
    said_of_it = tuple(r[0] for r in reports)  # type: ignore[index]
    return SolvedGroup(problem, tuple(attempts), settings.report, said_of_it, looks_taken, help)
