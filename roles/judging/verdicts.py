"""Verdicts on the answers that a search finds, by the domain's verifier or, where there is none, by the model.

A verifier judges at once. The model has to be asked (roles/judging/by_model.py), so its verdict is there after the
next wave. It is asked once about each different answer to a problem, attempts included.
"""

from dataclasses import dataclass
from typing import Protocol

from curriculum.domains.judging import judged
from curriculum.domains.protocol import Domain
from roles.judging.by_model import ModelJudgeSettings, answer_in, ask, is_blocked, outcome_of
from roles.judging.groups import JudgedGroup
from roles.prompts import PromptStyle
from roles.requests import Score, Scored
from store.records import Outcome, Problem


class Judging(Protocol):
    """Judges finished answers to one problem. Texts are given as they are read, without a stop string or a thought."""

    def question(self, text: str) -> Score | None:
        """What has to be asked before the verdict can be given; None where that is nothing."""
        ...

    def verdict(self, text: str, scored: Scored | None) -> Outcome:
        """The verdict. `scored` is what came of `question`, None where it was None."""
        ...


@dataclass(frozen=True, slots=True)
class ByVerifier:
    """The verdicts of the domain, which executes the problem."""

    problem: Problem
    domain: Domain

    def question(self, text: str) -> Score | None:
        """None: a verifier asks nobody."""
        return None

    def verdict(self, text: str, scored: Scored | None) -> Outcome:
        """CORRECT, INCORRECT or UNPARSED; UNJUDGED where the domain cannot tell."""
        return judged(self.domain, self.problem, text).outcome


@dataclass(frozen=True, slots=True)
class ByModel:
    """The verdicts of the model. `known` has those already given, by answer; new ones are added to it."""

    problem: Problem
    style: PromptStyle
    model: ModelJudgeSettings
    known: dict[str, Outcome]

    def question(self, text: str) -> Score | None:
        """Whether the answer is right; None where its verdict is known, or it is blocked."""
        said = text.strip()
        if said in self.known or is_blocked(self.problem, said, self.style):
            return None
        return ask(self.problem, said, self.style, self.model)

    def verdict(self, text: str, scored: Scored | None) -> Outcome:
        """See `outcome_of`; the first verdict on an answer stands."""
        said = text.strip()
        return self.known.setdefault(said, outcome_of(self.problem, said, scored, self.style, self.model))


def by_model(group: JudgedGroup, style: PromptStyle, model: ModelJudgeSettings) -> ByModel:
    """The model's verdicts for a search that begins with `group`, which it has judged: those verdicts are known."""
    turns = [turn for attempt in group.attempts for turn in attempt.turns]
    answers = [(answer_in(turn.sampled, style), turn.outcome) for turn in turns]
    return ByModel(group.problem, style, model, {text: outcome for text, outcome in answers if text is not None})
