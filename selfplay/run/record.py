"""A step as the store remembers it, made from what was played and taught."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

from curriculum.selection.rescue import rescues_of
from curriculum.settings import ForecastRule
from curriculum.tracking.difficulty import Tracker
from curriculum.tracking.forecasts import Forecast, Scored, scores
from roles.experience import Experienced
from roles.judging.groups import JudgedGroup, attempt_record, pass_rate
from roles.requests import mean_logprob
from roles.search.credit import CreditSettings, step_advantages
from roles.search.growth import Searched
from roles.search.step_tree import STEP_ROOT
from selfplay import metrics
from selfplay.learn.proposals import PaidProposal
from selfplay.learn.teacher import Taught
from selfplay.play.game import Game
from selfplay.play.step import Played, Step
from selfplay.run.figures import rescue_metrics, step_metrics
from store.records import (
    Experience,
    Foretold,
    Proposal,
    Rescue,
    SearchNode,
    Standing,
    StepCommit,
    StepHistory,
)


@dataclass(frozen=True, slots=True)
class Made:
    """What an update made: the policy's new version, its weights' digest, and the journal's (file, sha256)."""

    policy_version: int
    weights_digest: str
    journal: tuple[str, str]


def step_commit(
    step: Step, played: Played, taught: Taught, made: Made, game: Game, measured: dict[str, float], seconds: float
) -> StepCommit:
    """Everything the step adds to the store. `measured`: figures of the update, and what it all took."""
    is_frozen = "solver" in game.voices.frozen  # it does not change: what it shows is of now
    rates = [pass_rate(g, step.policy_version if is_frozen else oldest_version(g)) for g in played.judged.groups]
    measured_rates = tuple(rate for rate in rates if rate is not None)
    rescues = _rescues(played, game)
    return StepCommit(
        step=step.number,
        policy_version=made.policy_version,
        problems=played.posed.new,
        proposals=tuple(_proposal(paid) for paid in taught.proposals),
        attempts=tuple(
            attempt_record(lesson.group, attempt, paid, parts)
            for lesson in taught.lessons
            for attempt, paid, parts in zip(lesson.group.attempts, lesson.paid, lesson.parts, strict=True)
        ),
        pass_rates=measured_rates,
        metrics=step_metrics(step, played, taught, measured_rates, game) | rescue_metrics(rescues) | measured,
        weights_digest=made.weights_digest,
        journal_file=made.journal[0],
        journal_sha256=made.journal[1],
        seconds=seconds,
        skill_rounds=played.skilled.rounds,
        skill_picks=played.skilled.picks,
        search_nodes=tuple(
            node
            for found in played.searches.values()
            for node in search_nodes(found, step.policy_version, taught.credit)
        ),
        rescues=rescues or (),
        experiences=tuple(
            row for state in played.experienced for row in experience_records(state, step.policy_version)
        ),
    )


def _rescues(played: Played, game: Game) -> tuple[Rescue, ...] | None:
    """What the step tried of rescues; None where nothing is rescued."""
    if game.poser.rescuer is None:
        return None
    groups = {g.problem.problem_id: (g.help, len(g.first_tries), g.num_first_right) for g in played.judged.groups}
    return rescues_of(game.poser.rescuer, groups)


def oldest_version(group: JudgedGroup) -> int:
    """The oldest policy version that sampled any token of the group: its pass rate is taken to be of that version."""
    return min(turn.sampled.completion.first_version for attempt in group.attempts for turn in attempt.turns)


def standings(commit: StepCommit, tracker: Tracker) -> dict[str, Standing]:
    """Where each problem that was measured stands, told by a tracker that has seen the step."""
    ids = [rate.problem_id for rate in commit.pass_rates]
    return {each: Standing(tracker.state(each), tracker.rate(each)) for each in ids}


def foretold(commit: StepCommit, tracker: Tracker) -> tuple[Foretold, ...]:
    """What was foretold of each problem that had its first group in the step, by a tracker that has not seen it."""
    return tuple(
        Foretold(
            name,
            *(number for rule in get_args(ForecastRule) for number in tracker.untried_forecast(problem, rule, logprob)),
        )
        for name, (problem, logprob) in tracker.untried_in(commit).items()
    )


def forecast_metrics(commit: StepCommit, foretold: Sequence[Foretold]) -> dict[str, float]:
    """How well the step's first groups were foretold by each rule; nothing without such groups."""
    rates = {rate.problem_id: rate for rate in commit.pass_rates}
    groups = []
    for each in foretold:
        tries, right = rates[each.problem_id].attempts, rates[each.problem_id].successes
        beta = Forecast(each.beta_mean, each.beta_strength)
        features = Forecast(each.features_mean, each.features_strength)
        groups.append(Scored(commit.step, True, tries, right, beta, beta, features))
    found: dict[str, float] = {}
    for rule in get_args(ForecastRule):
        told = scores(groups, rule)
        if told is not None:
            found |= {
                metrics.FORECAST_BRIER.format(rule=rule): told.brier,
                metrics.FORECAST_COVERAGE.format(rule=rule): told.coverage,
                metrics.FORECAST_SIGNAL.format(rule=rule): told.signal_foretold,
                metrics.FIRST_SIGNAL: told.signal,
            }
    return found


def history(commit: StepCommit) -> StepHistory:
    """The part of a commit that the curriculum folds over."""
    return StepHistory(commit.step, commit.policy_version, commit.problems, commit.proposals, commit.pass_rates)


def _proposal(paid: PaidProposal) -> Proposal:
    triaged = paid.triaged
    return Proposal(
        parent_id=triaged.parent.problem_id,
        target=triaged.group,
        index=triaged.index,
        text=triaged.sampled.completion.text,
        fate=triaged.fate,
        problem_id=triaged.problem_id,
        reward=paid.reward,
        logprob=mean_logprob(triaged.sampled.completion),
    )


def experience_records(found: Experienced, version: int) -> list[Experience]:
    """What came of the actions in a state, a row for each."""
    was_asked = found.reflection != ""
    return [
        Experience(
            problem_id=found.problem.problem_id,
            state_index=found.index,
            place=place,
            state=found.state,
            action=each.action,
            next_state=each.next_state,
            is_expert=each.is_expert,
            is_right=each.is_right,
            policy_version=version,
            reflection=found.reflection if each.is_expert and was_asked else None,
            is_kept=found.is_kept if each.is_expert and was_asked else None,
        )
        for place, each in enumerate(found.tried)
    ]


def search_nodes(found: Searched, version: int, credit: CreditSettings | None) -> list[SearchNode]:
    """The tree for the store."""
    advantages = {} if credit is None else step_advantages(found.tree, credit)
    return [
        SearchNode(
            problem_id=found.problem.problem_id,
            node=node.index,
            parent=None if node.index == STEP_ROOT else node.parent,
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
