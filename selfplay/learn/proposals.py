"""What proposals teach the challenger: it is paid by the measured pass rate of what it posed."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from roles import challenger
from roles.pay.advantages import AdvantageRule, group_advantages, has_signal
from roles.pay.gate import Gate
from roles.pay.rewards import challenger_reward
from roles.pay.shaping import UNSHAPED, Shaped, Shaping
from selfplay.learn.batch import TrainSample
from selfplay.learn.lessons import train_samples
from selfplay.learn.scaling import ScaleRule, scaled_by_group
from selfplay.learn.settings import LearningSettings
from selfplay.play.step import Posed, TriagedProposal
from store.records import Fate, Problem


@dataclass(frozen=True, slots=True)
class PaidProposal:
    """`reward` None: unmeasured, so it is in no group. `shaped`: the parts of a measured one that passed the gate.
    `is_gated`: it was measured, and the gate kept it from its pay."""

    triaged: TriagedProposal
    reward: float | None
    shaped: Shaped = UNSHAPED
    is_gated: bool = False


@dataclass(frozen=True, slots=True)
class ProposalPay:
    """What pays the challenger. `verified`: whether nothing contradicts the answer that a problem came with.
    `foretold`: the first-try pass rate that is likely of a problem by its id, if it is known, else of a proposal's
    parent. `shaping` None: nothing beside the pass rate."""

    settings: LearningSettings
    gate: Gate = field(default_factory=Gate)
    shaping: Shaping | None = None
    verified: Callable[[Problem], bool] = lambda problem: True
    foretold: Callable[[str, Problem], float] = lambda problem_id, parent: 0.5

    def paid(self, posed: Posed, rates: Mapping[str, float | None]) -> tuple[PaidProposal, ...]:
        """`rates`: problem_id -> measured first-try pass rate, None where nobody could judge it."""
        new = {problem.problem_id: problem for problem in posed.new}
        accepted = (each.problem_id or "" for each in posed.proposals if each.fate is Fate.ACCEPTED)
        measured = [new[name] for name in accepted if rates.get(name) is not None and name in new]
        parts = {} if self.shaping is None else self.shaping.parts(measured)
        return tuple(self._paid(each, new.get(each.problem_id or ""), rates, parts) for each in posed.proposals)

    def _paid(
        self,
        proposal: TriagedProposal,
        problem: Problem | None,
        rates: Mapping[str, float | None],
        parts: Mapping[str, Shaped],
    ) -> PaidProposal:
        rate = rates.get(proposal.problem_id or "")
        if self.gate.pays_unmeasured(proposal.fate):
            likely = self.foretold(proposal.problem_id or "", proposal.parent) if rate is None else rate
            return PaidProposal(proposal, challenger_reward(self.settings.challenger_reward, likely))
        reward = proposal_reward(proposal.fate, rate, self.settings)
        if proposal.fate is not Fate.ACCEPTED or rate is None or problem is None or reward is None:
            return PaidProposal(proposal, reward)
        if not self.gate.passes(rate, self.verified(problem)):
            return PaidProposal(proposal, self.settings.invalid_reward, is_gated=True)
        if self.shaping is None:
            return PaidProposal(proposal, reward)
        shaped = parts[problem.problem_id]
        return PaidProposal(proposal, self.shaping.shaped(reward, shaped), shaped)


def proposal_reward(fate: Fate, rate: float | None, settings: LearningSettings) -> float | None:
    """By the standard gate: ACCEPTED is paid by its pass rate (None if nobody could judge it), SURPLUS is unmeasured, a
    rejection is paid `invalid_reward`."""
    match fate:
        case Fate.ACCEPTED:
            return None if rate is None else challenger_reward(settings.challenger_reward, rate)
        case Fate.SURPLUS:
            return None
        case _:
            return settings.invalid_reward


def marginal_rewards(proposals: Sequence[PaidProposal], invalid_reward: float) -> list[float | None]:
    """What the step would have lost without each proposal. One that was not measured stays unmeasured.

    Of n > 1 that say the same, one is paid r and the others `invalid_reward`: r + (n - 1) invalid_reward in all, and
    r + (n - 2) invalid_reward without any one of them. So the difference is `invalid_reward` for each, the accepted one
    too; for any other proposal it is its own reward.

    Paid as they are, proposals that say the same share one reward and are pushed up together, until a parent is always
    answered alike; then all are rejected, and nothing pushes any more. Source: difference rewards, Wolpert and Tumer,
    "Optimal Payoff Functions for Members of Collectives" (2001).
    """
    repeated = {each.triaged.problem_id for each in proposals if each.triaged.fate is Fate.DUPLICATE}

    def is_repeated(triaged: TriagedProposal) -> bool:
        return triaged.fate is Fate.ACCEPTED and triaged.problem_id in repeated

    return [
        invalid_reward if each.reward is not None and is_repeated(each.triaged) else each.reward for each in proposals
    ]


def challenger_samples(
    proposals: Sequence[PaidProposal],
    rule: AdvantageRule,
    invalid_reward: float,
    kl_labels: Collection[str] = (),
    scale: ScaleRule = "none",
    is_marginal: bool = True,
) -> list[TrainSample]:
    """Advantages of proposals by their marginal rewards, those from one parent a group; `proposals` group by group.
    Not `is_marginal`: by their rewards as they are."""
    samples: list[TrainSample] = []
    marginal = marginal_rewards(proposals, invalid_reward) if is_marginal else [each.reward for each in proposals]
    for _, group in groupby(zip(proposals, marginal, strict=True), key=lambda pair: pair[0].triaged.group):
        paid = [(each.triaged.sampled, reward) for each, reward in group]
        measured = [(sampled, reward) for sampled, reward in paid if reward is not None]
        rewards = [reward for _, reward in measured]
        advantages = group_advantages(rewards, rule)
        if scale == "group":
            advantages = scaled_by_group(advantages, rewards)
        rewarded = [sampled for sampled, _ in measured]
        samples += train_samples(challenger.LABEL, rewarded, advantages, has_signal(advantages), kl_labels)
        unmeasured = [sampled for sampled, reward in paid if reward is None]
        samples += train_samples(challenger.LABEL, unmeasured, [0.0] * len(unmeasured), False, kl_labels)
    return samples
