"""A side writes its set of skills anew (Ctx2Skill, arXiv 2604.27660): a proposer says what should change, and why; a
generator writes the whole set. Both are the model itself. What cannot be read leaves the set as it was, and is counted.
"""

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass

from roles.prompts import BLANK_LINE, PromptStyle
from roles.requests import Sample, Sampled, SamplingParams
from roles.skills.asking import SkillChange, generator_prompt, proposer_prompt
from roles.skills.reading import read_proposal, read_skills
from roles.skills.sets import Case
from store.records import RoundOutcome, SkillRound, SkillSet

LABEL = "skills"
_PROPOSAL_SKILLS = 3  # a proposal may be as long as so many skills
_SLACK = 8  # tokens of a set beside its skills'


@dataclass(frozen=True, slots=True)
class SkillSettings:
    """A round every `every` >= 1 steps, on up to `cases` >= 1 cases. A set has `most` >= 1 skills of up to `tokens`
    each. `temperature` >= 0 of both who write."""

    every: int
    most: int = 5
    tokens: int = 40
    cases: int = 6
    temperature: float = 0.7

    def is_due(self, step: int) -> bool:
        """Whether a round comes before `step`, on what the `every` steps before it have shown."""
        return step > 1 and (step - 1) % self.every == 0


@dataclass(frozen=True, slots=True)
class RoundMade:
    """A round, and how many tokens were sampled for it."""

    round: SkillRound
    num_sampled: int = 0


def write_round(
    kept: SkillSet,
    cases: Sequence[Case],
    style: PromptStyle,
    settings: SkillSettings,
    count: Callable[[str], int],
    limit: int | None,
    step: int,
) -> Generator[Sample, list[Sampled], RoundMade]:
    """Yields one question to the proposer, and one to the generator where the first could be read.

    `cases`: at least one; those that do not fit are left out, from the last on. `count`: tokens of a text that stands
    alone. `limit`: tokens of a context (None: no limit).
    """
    side = kept.side

    def fits(prompt: str, more: int) -> bool:
        return limit is None or count(prompt) + more <= limit

    def ask(prompt: str, max_tokens: int, who: str) -> Sample:
        stop = (BLANK_LINE,) if style.render is None else style.stop
        params = SamplingParams(settings.temperature, max_tokens, stop)
        return Sample(None, prompt, 1, params, (LABEL, step, side.value, who), f"{LABEL}/{who}")

    shown = list(cases[: settings.cases])
    room = _PROPOSAL_SKILLS * settings.tokens
    while shown and not fits(prompt := proposer_prompt(side, kept.skills, shown, style), room):
        shown.pop()
    ids = tuple(case.problem.problem_id for case in shown)
    if not shown:
        return RoundMade(SkillRound(side, RoundOutcome.NO_ROOM, ids, kept.version))
    [said] = yield ask(prompt, room, "propose")
    sampled = len(said.completion.ids)
    change = read_proposal(said.completion, kept, style)
    if not isinstance(change, SkillChange):
        return RoundMade(SkillRound(side, change, ids, kept.version), sampled)

    def made(outcome: RoundOutcome, written: SkillSet | None = None) -> SkillRound:
        return SkillRound(side, outcome, ids, kept.version, change.action, change.name, change.reason, written)

    prompt, room = generator_prompt(side, kept.skills, change, settings.most, style), _set_tokens(settings)
    if not fits(prompt, room):
        return RoundMade(made(RoundOutcome.NO_ROOM), sampled)
    [said] = yield ask(prompt, room, "write")
    sampled += len(said.completion.ids)
    written = read_skills(
        said.completion, kept, change, style, settings.most, lambda line: count(line) <= settings.tokens
    )
    if isinstance(written, RoundOutcome):
        return RoundMade(made(written), sampled)
    return RoundMade(made(RoundOutcome.WRITTEN, written), sampled)


def _set_tokens(settings: SkillSettings) -> int:
    return settings.most * settings.tokens + _SLACK
