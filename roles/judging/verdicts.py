"""Who says what the answers that a search finds are worth: the domain's verifier, or the model where there is none.

A verifier says it at once. The model has to be asked (roles/judging/by_model.py), so its verdict comes with a wave;
what it was asked once it is not asked again, neither about a problem's attempts nor about what a search says after
them.
"""

from dataclasses import dataclass
from typing import Protocol

from roles.judging.by_model import ModelJudgeSettings, answer_in, ask, is_blocked, outcome_of
from roles.judging.groups import JudgedGroup
from roles.prompts import PromptStyle
from roles.requests import Score, Scored
from store.records import Outcome, Problem


class Judging(Protocol):
    """The verdicts on finished answers to one problem; their text is without its stop string."""

    def question(self, text: str) -> Score | None:
        """What has to be asked before there can be a verdict; None where nothing has."""
        ...

    def verdict(self, text: str, scored: Scored | None) -> Outcome:
        """The verdict; `scored` answers `question`."""
        ...


@dataclass(frozen=True, slots=True)
class ByVerifier:
    """The domain's own verdicts, exact and executed."""

    problem: Problem
    style: PromptStyle

    def question(self, text: str) -> Score | None:
        """Nothing, ever."""
        return None

    def verdict(self, text: str, scored: Scored | None) -> Outcome:
        """CORRECT, INCORRECT or UNPARSED; UNJUDGED where the domain cannot tell."""
        return self.style.domain.judge(self.problem, text)[0]


@dataclass(frozen=True, slots=True)
class ByModel:
    """The model's verdicts. `known`, by answer, has those that were given before and grows."""

    problem: Problem
    style: PromptStyle
    model: ModelJudgeSettings
    known: dict[str, Outcome]

    def question(self, text: str) -> Score | None:
        """About an answer that is new and not blocked."""
        said = text.strip()
        if said in self.known or is_blocked(self.problem, said, self.style):
            return None
        return ask(self.problem, said, self.style, self.model)

    def verdict(self, text: str, scored: Scored | None) -> Outcome:
        """CORRECT or INCORRECT; UNPARSED where it is blocked, UNJUDGED where the model said neither yes nor no."""
        said = text.strip()
        return self.known.setdefault(said, outcome_of(self.problem, said, scored, self.style, self.model))


def by_model(group: JudgedGroup, style: PromptStyle, model: ModelJudgeSettings) -> ByModel:
    """For a search that begins with a group which the model has judged: its verdicts stay."""
    turns = [turn for attempt in group.attempts for turn in attempt.turns]
    answers = [(answer_in(turn.sampled, style), turn.outcome) for turn in turns]
    return ByModel(group.problem, style, model, {text: outcome for text, outcome in answers if text is not None})
