"""A step as the store remembers it: records and metrics, made from what the loop gathered."""

from __future__ import annotations

from typing import TYPE_CHECKING

from curriculum.selection.admission import fate_counts
from curriculum.tracking.difficulty import Tracker
from roles.judging.groups import attempt_record, node_values, pass_rate, verdict
from roles.solver import turn_label
from selfplay.evaluate.alarms import copying_metrics
from selfplay.learn.lessons import SolverLesson, measured_rate, share
from selfplay.play.searching import search_metrics, search_nodes, verdict_metrics
from selfplay.run.build import Parts
from store.records import Fate, Origin, Outcome, PassRate, Proposal, SearchNode, Standing, StepCommit, StepHistory

if TYPE_CHECKING:
    from selfplay.run.session import Step


def step_commit(
    step: Step, update_metrics: dict[str, float], parts: Parts, journal: tuple[str, str], seconds: float
) -> StepCommit:
    """Everything the step adds to the store."""
    assert step.posed is not None
    version = parts.policy.version
    rates = tuple(r for r in (pass_rate(lesson.group, version - 1) for lesson in step.lessons) if r is not None)
    return StepCommit(
        step=step.number,
        policy_version=version,
        problems=step.posed.new,
        proposals=_proposals(step),
        attempts=tuple(
            attempt_record(lesson.group, attempt, paid)
            for lesson in step.lessons
            for attempt, paid in zip(lesson.group.attempts, lesson.paid, strict=True)
        ),
        pass_rates=rates,
        metrics=_all_metrics(step, rates, parts, update_metrics),
        weights_digest=parts.trainer.digest(),
        journal_file=journal[0],
        journal_sha256=journal[1],
        seconds=seconds,
        search_nodes=tuple(_search_nodes(step, parts, version - 1)),
    )


def standings(commit: StepCommit, tracker: Tracker) -> dict[str, Standing]:
    """Where each problem that was measured stands, told by a tracker that has seen the step."""
    ids = [rate.problem_id for rate in commit.pass_rates]
    return {each: Standing(tracker.state(each), tracker.rate(each)) for each in ids}


def _all_metrics(
    step: Step, rates: tuple[PassRate, ...], parts: Parts, update_metrics: dict[str, float]
) -> dict[str, float]:
    seconds = {f"seconds/{stage}": wall for stage, wall in step.seconds.items()}
    found = (
        {"tokens/sampled": float(_sampled(step))}
        | update_metrics
        | step_metrics(step, rates)
        | _search_metrics(step, parts)
        | seconds
    )
    return found | (_model_judge_metrics(step, parts) if parts.config.judge.source == "model" else {})


def _sampled(step: Step) -> int:
    """Tokens that were sampled in the step, by all roles and by the judge's searches."""
    groups = [lesson.group for lesson in step.lessons]
    attempts = [(group, attempt) for group in groups for attempt in group.attempts]
    said = [turn.sampled for _, attempt in attempts for turn in attempt.turns[1:]]
    said += [attempt.turns[0].sampled for group, attempt in attempts if attempt.index % group.looks == 0]  # shared
    said += [a.report.sampled for lesson in step.lessons for a in lesson.group.attempts if a.report is not None]
    said += [proposal for group in step.proposed for proposal in group.proposals]
    return sum(len(s.completion.ids) for s in said) + sum(found.tokens for found in step.searched.values())


def _model_judge_metrics(step: Step, parts: Parts) -> dict[str, float]:
    """How far the model's verdicts are from the domain's, which nothing is paid by, and how its canaries fared."""
    turns = [(lesson.group.problem, turn) for lesson in step.lessons for a in lesson.group.attempts for turn in a.turns]
    pairs = [(turn.is_right, verdict(problem, turn.sampled, parts.style)[0]) for problem, turn in turns]
    wrong = [said for said, truth in pairs if truth is not Outcome.CORRECT]
    found = {
        "judge/agrees": share([said == (truth is Outcome.CORRECT) for said, truth in pairs]),
        "judge/false_positive_rate": share(wrong),
    }
    if step.canaries is not None:
        found |= {
            "judge/canary_false_positive_rate": step.canaries.rate,
            "judge/canary_blocked_share": step.canaries.blocked / max(1, step.canaries.tried),
        }
    return found | verdict_metrics(step.searched.values(), parts.style)


def _search_metrics(step: Step, parts: Parts) -> dict[str, float]:
    if parts.searcher is None:
        return {}
    rates = {lesson.group.problem.problem_id: measured_rate(lesson.group) or 0.0 for lesson in step.lessons}
    return search_metrics(parts.searcher, list(step.searched.values()), rates)


def _search_nodes(step: Step, parts: Parts, version: int) -> list[SearchNode]:
    if parts.searcher is None:
        return []
    return [node for found in step.searched.values() for node in search_nodes(found, version, parts.searcher.credit)]


def history(commit: StepCommit) -> StepHistory:
    """The part of a commit that the curriculum folds over."""
    return StepHistory(commit.step, commit.policy_version, commit.problems, commit.proposals, commit.pass_rates)


def step_metrics(step: Step, rates: tuple[PassRate, ...]) -> dict[str, float]:
    """The step's own figures; docs/metrics.md says how to read each."""
    assert step.posed is not None
    kept = [lesson for lesson in step.lessons if lesson.is_kept]
    found = {
        "curriculum/problems": float(len(step.lessons)),
        "curriculum/new": float(len(step.posed.new)),
        "curriculum/signal_share": share([lesson.is_kept for lesson in step.lessons]),
        "curriculum/mixed_share": share([lesson.is_mixed for lesson in step.lessons]),
        "curriculum/trained": float(len(kept)),
        "curriculum/trained_challenger": float(sum(k.group.problem.origin is Origin.CHALLENGER for k in kept)),
        "train/stage": float(step.stage),
        "curriculum/level_mean": _mean([float(lesson.group.problem.level) for lesson in step.lessons]),
    }
    said = copying_metrics([lesson.group for lesson in step.lessons])
    return found | _solver_metrics(step.lessons, rates) | said | _challenger_metrics(step) | _tree_metrics(step)


def _solver_metrics(lessons: list[SolverLesson], rates: tuple[PassRate, ...]) -> dict[str, float]:
    turns = [turn for lesson in lessons for attempt in lesson.group.attempts for turn in attempt.turns]
    firsts = [attempt.turns[0] for lesson in lessons for attempt in lesson.group.attempts]
    changed = [a.turns[0].answer != a.turns[-1].answer for lesson in lessons for a in lesson.group.attempts]
    tried = sum(rate.attempts for rate in rates)
    wrong, right = sum(r.fixed + r.missed for r in rates), sum(r.kept + r.broken for r in rates)
    paid = [value for lesson in lessons for values in lesson.paid for value in values if value is not None]
    return {
        "reward/mean": _mean(paid),
        "solver/pass_rate": sum(rate.successes for rate in rates) / max(1, tried),
        "solver/last_pass_rate": share([attempt.is_right for lesson in lessons for attempt in lesson.group.judged]),
        "solver/fixed_share": sum(rate.fixed for rate in rates) / max(1, wrong),
        "solver/broken_share": sum(rate.broken for rate in rates) / max(1, right),
        "solver/change_rate": share(changed),
        "solver/parsed": share([turn.answer is not None for turn in firsts]),
        "completions/mean_length": _mean([float(len(turn.sampled.completion.ids)) for turn in turns]),
        "completions/clipped_ratio": share([turn.outcome is Outcome.TRUNCATED for turn in turns]),
        "judge/unjudged": float(sum(turn.outcome is Outcome.UNJUDGED for turn in turns)),
    }


def _tree_metrics(step: Step) -> dict[str, float]:
    """Size of the tree, and how much one token of a first try decides: mean |V(node) - V(parent)|."""
    leaves: dict[int, list[float]] = {}
    for lesson in step.lessons:
        for attempt in lesson.group.judged:
            leaves.setdefault(attempt.turns[0].sampled.node, []).append(attempt.rewards()[0])
    parents, labels = step.tree.parents, step.tree.labels
    values = node_values(parents, leaves)
    gaps = [abs(values[n] - values[parents[n]]) for n in values if n >= 0 and labels[n] == turn_label(0)]
    return {"tree/nodes": float(len(step.tree)), "tree/value_gap": _mean(gaps)}


def _challenger_metrics(step: Step) -> dict[str, float]:
    assert step.posed is not None
    fates = fate_counts([fate for fate, _ in step.posed.fates.values()])
    paid = [reward for reward in step.rewards.values() if reward is not None]
    found = {f"challenger/{fate.value.lower()}": float(count) for fate, count in fates.items()}
    return found | {
        "challenger/proposals": float(len(step.posed.fates)),
        "challenger/valid_new": float(fates[Fate.ACCEPTED] + fates[Fate.SURPLUS]),
        "challenger/reward": _mean(paid),
    }


def _proposals(step: Step) -> tuple[Proposal, ...]:
    assert step.posed is not None
    return tuple(
        Proposal(
            parent_id=group.parent.problem_id,
            target=group.target,
            index=index,
            text=said.completion.text,
            fate=step.posed.fates[group.target, index][0],
            problem_id=step.posed.fates[group.target, index][1],
            reward=step.rewards[group.target, index],
        )
        for group in step.proposed
        for index, said in enumerate(group.proposals)
    )


def _mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else 0.0
