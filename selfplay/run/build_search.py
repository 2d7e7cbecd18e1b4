"""The judge's search as the configuration has it."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch

from curriculum.domains.abilities import ability
from curriculum.domains.protocol import ComparesAnswers, Stepwise
from roles.judging.by_majority import MajoritySettings, by_majority
from roles.judging.by_model import ModelJudgeSettings
from roles.judging.groups import JudgedGroup
from roles.judging.verdicts import ByVerifier, Judging, by_model
from roles.prompts import PromptStyle
from roles.requests import SamplingParams
from roles.search.credit import CreditSettings
from roles.search.critics import CriticWeights
from roles.search.growth import StepStyle
from roles.search.mcts import SearchSettings
from selfplay.config.keys import Config
from selfplay.evaluation.search import SearchEvaluation
from selfplay.learn.critic_batch import CriticTeaching
from selfplay.model.policy import Policy
from selfplay.play.searching import Searcher
from selfplay.prompting.codec import stop_tokens, text_of
from selfplay.train.critic import Critic, CriticSettings


def step_style(style: PromptStyle, params: SamplingParams, tokenizer: Any) -> StepStyle:
    """How answers are cut into steps: where the domain says, else an answer is one step."""
    ends = tuple(ability(style.domain, Stepwise).step_ends)
    step_tokens = stop_tokens(tokenizer, ends) - {tokenizer.eos_token_id} if ends else frozenset()
    stops = stop_tokens(tokenizer, style.stop)
    return StepStyle(style, params, step_tokens, lambda ids: text_of(tokenizer, ids, stops))


def search_settings(config: Config) -> SearchSettings:
    """The search of the loop; evaluations search with another budget."""
    s, c = config.judge.search, config.judge.critics
    return SearchSettings(
        rule=s.rule,
        exploration=s.exploration,
        node_budget=s.nodes,
        token_budget=s.tokens,
        at_once=s.at_once,
        min_children=s.min_children,
        max_children=s.max_children,
        min_first=s.min_first,
        max_first=s.max_first,
        branching=s.branching,
        rollouts=s.rollouts,
        weights=CriticWeights(c.value, c.process, c.outcome, c.process_from),
    )


def search_evaluation(config: Config, steps: StepStyle) -> SearchEvaluation | None:
    """Ends with the first right answer; None where evaluations do not search."""
    budget = config.evaluate.search_tokens
    if budget == 0:
        return None
    settings = replace(
        search_settings(config), node_budget=budget, token_budget=budget, stop_when_right=True,
        seconds=config.evaluate.search_seconds,
    )  # fmt: skip
    return SearchEvaluation(settings, steps, config.judge.search.merge, config.judge.search.prune)


def searcher(config: Config, steps: StepStyle) -> Searcher | None:
    """None where the judge does not search."""
    s = config.judge.search
    if s.when == "never":
        return None
    return Searcher(
        method=s.method,
        settings=search_settings(config),
        steps=steps,
        band=(0.0, 1.0) if s.when == "every" else (config.curriculum.band_low, config.curriculum.band_high),
        merge=s.merge,
        prune=s.prune,
        judging=_judging(config, steps.style),
    )


def critic_teaching(config: Config, has_heads: bool) -> CriticTeaching:
    """What the trees of a search teach the critics."""
    c = config.judge.critics
    return CriticTeaching(c.held_out, c.process_threshold, has_heads)


def credit_settings(config: Config) -> CreditSettings | None:
    """How a search pays the steps of first tries; None where they are paid for the whole answer."""
    credit = config.judge.credit
    if credit.rule == "outcome":
        return None
    return CreditSettings(
        rule=credit.rule,
        local_weight=credit.local_weight,
        global_weight=credit.global_weight,
        outcome_weight=credit.outcome_weight,
        shrink=credit.shrink,
        noise_floor=credit.noise_floor,
    )


def model_judge(config: Config) -> ModelJudgeSettings | None:
    """How the model is asked for verdicts; None where the domain gives them."""
    if config.judge.source != "model":
        return None
    m = config.judge.model
    return ModelJudgeSettings(m.threshold, m.floor, m.max_chars)


def majority(config: Config) -> MajoritySettings | None:
    """How first tries vote; None where they do not."""
    return MajoritySettings(config.judge.majority.min_share) if config.judge.source == "majority" else None


def _judging(config: Config, style: PromptStyle) -> Callable[[JudgedGroup], Judging]:
    """The verifier, or who `judge.source` says: then no verdict in a search is the verifier's."""
    if config.judge.source == "majority":
        domain = ability(style.domain, ComparesAnswers)
        return lambda group: by_majority(group, domain)
    settings = model_judge(config)
    if settings is None:
        return lambda group: ByVerifier(group.problem, style.domain)
    return lambda group: by_model(group, style, settings)


def critic(config: Config, policy: Policy, device: torch.device) -> Critic | None:
    """The heads, where some critic that reads them has a weight and there are trees to learn from."""
    c = config.judge.critics
    reads_heads = c.value > 0 or (c.process > 0 and c.process_from == "head")
    if not reads_heads or config.judge.search.when == "never":
        return None
    settings = CriticSettings(c.width, c.learning_rate, c.epochs, c.last_step)
    return Critic(policy.head.weight.shape[1], config.seed, device, settings)
