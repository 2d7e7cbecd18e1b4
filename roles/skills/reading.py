"""What is read of what a side said of its skills: strictly, or not at all.

A skill stands in later prompts, so a model could end their structure with it, or speak as somebody else. Its text is
one line without quotation marks and tags; one that has a stop of the prompts or one of their headings is refused.
"""

import re
from collections.abc import Callable, Sequence

from roles.prompts import BLANK_LINE, CUES, PromptStyle, skill_lines
from roles.quoting import as_data
from roles.skills.asking import ACTION, HEADINGS, NAME, WHY, WRITTEN, SkillChange
from store.records import Completion, Finish, RoundOutcome, Skill, SkillAction, SkillSet

MOST_NAME_CHARS = 60
MOST_CHARS = 400  # of a skill or a reason, however few tokens they are

_PROPOSAL = re.compile(rf"{ACTION} *(add|merge) *\n{NAME} *([^\n:]+)\n{WHY} *([^\n]+)", re.IGNORECASE)
_LINE = re.compile(r"- *([^\n:]+): *(\S.*)")


def said_in(completion: Completion, style: PromptStyle, cue: str) -> str:
    """The text that is read. `cue`: how it begins in few-shot text, where the prompt has said that already."""
    if style.render is None:
        return f"{cue}{completion.text.partition(BLANK_LINE)[0]}".strip()
    return style.visible(completion.text).strip()


def read_proposal(completion: Completion, kept: SkillSet, style: PromptStyle) -> SkillChange | RoundOutcome:
    """Three lines: an action, a name, a reason."""
    if completion.finish is Finish.LENGTH:
        return RoundOutcome.TRUNCATED
    found = _PROPOSAL.fullmatch(said_in(completion, style, ACTION))
    if found is None:
        return RoundOutcome.UNPARSED
    action = SkillAction(found[1].upper())
    name, reason = (as_data(found[group], MOST_CHARS + 1) for group in (2, 3))
    if not name or not reason:
        return RoundOutcome.UNPARSED
    if is_forged(name, style) or is_forged(reason, style):
        return RoundOutcome.FORGED
    if len(name) > MOST_NAME_CHARS or len(reason) > MOST_CHARS:
        return RoundOutcome.TOO_LARGE
    is_known = any(_same(skill.name, name) for skill in kept.skills)
    if is_known and action is SkillAction.ADD:
        return RoundOutcome.TAKEN
    if not is_known and action is SkillAction.MERGE:
        return RoundOutcome.UNKNOWN
    return SkillChange(action, name, reason)


def read_skills(
    completion: Completion,
    kept: SkillSet,
    change: SkillChange,
    style: PromptStyle,
    most: int,
    is_short: Callable[[str], bool],
) -> SkillSet | RoundOutcome:
    """The set in place of `kept`: a line for each skill. `is_short`: whether a skill's line has few enough tokens."""
    if completion.finish is Finish.LENGTH:
        return RoundOutcome.TRUNCATED
    lines = said_in(completion, style, "-").removeprefix(WRITTEN).strip().split("\n")
    found = [match for line in lines if (match := _LINE.fullmatch(line.strip()))]
    pairs = [(as_data(match[1], MOST_CHARS + 1), as_data(match[2], MOST_CHARS + 1)) for match in found]
    names = [name.casefold() for name, _ in pairs]
    if len(found) < len(lines) or len(set(names)) < len(names) or not all(map(all, pairs)):
        return RoundOutcome.UNPARSED
    if any(is_forged(text, style) for pair in pairs for text in pair):
        return RoundOutcome.FORGED
    new = SkillSet(kept.side, kept.version + 1, tuple(_skill(name, body, kept) for name, body in pairs))
    if len(pairs) > most or not all(_fits(skill, is_short) for skill in new.skills):
        return RoundOutcome.TOO_LARGE
    if not any(_same(name, change.name) for name, _ in pairs):
        return RoundOutcome.MISSED
    return RoundOutcome.UNCHANGED if skill_lines(new.skills) == skill_lines(kept.skills) else new


def is_forged(text: str, style: PromptStyle) -> bool:
    """Whether a text has what ends a completion, or a heading that the prompts are made of."""
    low = text.casefold()
    marks = [stop.strip() for stop in style.stop if stop.strip()]
    return any(mark.casefold() in low for mark in (*marks, *HEADINGS, *CUES))


def _skill(name: str, body: str, kept: SkillSet) -> Skill:
    """As old as it is, where it reads as before."""
    return next((each for each in kept.skills if (each.name, each.body) == (name, body)), None) or Skill(
        name, body, kept.version + 1
    )


def _fits(skill: Skill, is_short: Callable[[str], bool]) -> bool:
    line = skill_lines([skill])
    return len(skill.name) <= MOST_NAME_CHARS and len(line) <= MOST_CHARS and is_short(line)


def _same(one: str, other: str) -> bool:
    return one.casefold() == other.casefold()


def newest_first(skills: Sequence[Skill]) -> list[Skill]:
    """The skills by the version in which they were written; of one version, the later in the set first."""
    return sorted(reversed(skills), key=lambda skill: -skill.since)
