"""A step as the store remembers it: records and metrics, made from what the loop gathered."""

from __future__ import annotations

from curriculum.tracking.difficulty import Tracker
from roles.judging.groups import attempt_record, pass_rate
from roles.search.credit import CreditSettings, step_advantages
from roles.search.growth import Searched
from roles.search.step_tree import ROOT
from selfplay.run.build import Parts
from selfplay.run.figures import _all_metrics
from selfplay.run.step import Step
from store.records import Proposal, SearchNode, Standing, StepCommit, StepHistory


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


def _search_nodes(step: Step, parts: Parts, version: int) -> list[SearchNode]:
    if parts.searcher is None:
        return []
    return [node for found in step.searched.values() for node in search_nodes(found, version, parts.searcher.credit)]


def history(commit: StepCommit) -> StepHistory:
    """The part of a commit that the curriculum folds over."""
    return StepHistory(commit.step, commit.policy_version, commit.problems, commit.proposals, commit.pass_rates)


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


def search_nodes(found: Searched, version: int, credit: CreditSettings | None) -> list[SearchNode]:
    """The tree for the store."""
    advantages = {} if credit is None else step_advantages(found.tree, credit)
    return [
        SearchNode(
            problem_id=found.problem.problem_id,
            node=node.index,
            parent=None if node.index == ROOT else node.parent,
            text=found.problem.text if node.piece is None else node.piece.text,
            num_tokens=0 if node.piece is None else node.piece.num_tokens,
            logprob=0.0 if node.piece is None else node.piece.logprob,
            said=node.said,
            visits=node.visits,
            mean=node.mean,
            leaves=node.leaves,
            right=node.right,
            policy_version=version,
            value=node.value,
            process=node.process,
            outcome=node.outcome,
            merged_into=node.merged_into,
            advantage=advantages.get(node.index),
        )
        for node in found.tree
    ]
