"""A step as the store remembers it, made from what was played and taught."""

from dataclasses import dataclass

from curriculum.selection.rescue import rescues_of
from curriculum.tracking.difficulty import Tracker
from roles.experience import Experienced
from roles.judging.groups import JudgedGroup, attempt_record, pass_rate
from roles.search.credit import CreditSettings, step_advantages
from roles.search.growth import Searched
from roles.search.step_tree import STEP_ROOT
from selfplay.learn.proposals import PaidProposal
from selfplay.learn.teacher import Taught
from selfplay.play.game import Game
from selfplay.play.step import Played, Step
from selfplay.run.figures import rescue_metrics, step_metrics
from store.records import Experience, Proposal, Rescue, SearchNode, Standing, StepCommit, StepHistory


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
