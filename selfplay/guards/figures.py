"""What the guards see of a step: figures, by the names of docs/metrics.md. Records in, numbers out.

They are of first tries and of proposals, which are drawn independently of each other; second looks are conditioned on
what they look at. Nothing here is sampled, and nothing of it reaches what is trained.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from curriculum.answers.formats import Formats
from roles.judging.groups import JudgedAttempt, JudgedGroup, Read
from selfplay import metrics
from selfplay.guards import shortcuts
from selfplay.guards.formats import format_detail, format_figures
from selfplay.guards.spread import distinct_share, token_entropy
from selfplay.play.step import Played
from store.records import Fate

UNREADABLE = (Fate.UNPARSED, Fate.TRUNCATED, Fate.INVALID, Fate.TOO_LARGE)
LONGEST_QUOTE = 40  # characters of an answer in an alarm


@dataclass(frozen=True, slots=True)
class Look:
    """A step's figures, and by figure what they are of, in words, where there is more to say than a number."""

    figures: Mapping[str, float]
    details: Mapping[str, str]


def look(played: Played, formats: Formats, read: Read) -> Look:
    """The figures that could be measured. `read`: what is read of a completion's text."""
    groups, proposals = played.judged.groups, played.posed.proposals
    counted = format_figures(told(groups, formats, read), formats.names)
    said = [attempt.turns[0].sampled.completion for group in groups for attempt in _firsts(group)]
    proposed = [each.sampled.completion for each in proposals]
    prior = shortcuts.answer_prior(groups)
    unread = sum(each.fate in UNREADABLE for each in proposals)
    measured = {
        metrics.ANSWER_PRIOR: None if prior is None else prior[0],
        metrics.ANSWER_COPIED: shortcuts.answer_copied(groups),
        metrics.ANSWER_VISIBLE: shortcuts.answer_visible(groups),
        metrics.ANSWERED_ALIKE: shortcuts.answered_alike(groups),
        metrics.REPETITION: shortcuts.repetition([each.ids for each in said]),
        metrics.ROLE_ENTROPY.format(role="solver"): token_entropy(said),
        metrics.ROLE_ENTROPY.format(role="challenger"): token_entropy(proposed),
        metrics.DISTINCT_PROPOSALS: distinct_share([each.text for each in proposed]),
        metrics.READABLE_PROPOSALS: 1.0 - unread / len(proposals) if proposals else None,
    }
    return Look(
        counted | {name: value for name, value in measured.items() if value is not None},
        {
            metrics.FORMAT_MOST: format_detail(counted, formats.names),
            metrics.ANSWER_PRIOR: "" if prior is None else repr(prior[1][:LONGEST_QUOTE]),
        },
    )


def told(groups: Sequence[JudgedGroup], formats: Formats, read: Read) -> list[tuple[str, bool]]:
    """(format, whether it is right) of every first try."""
    firsts = [(group.problem, attempt.turns[0]) for group in groups for attempt in _firsts(group)]
    return [(formats.of(problem, read(turn.sampled.completion.text)), turn.is_right) for problem, turn in firsts]


def _firsts(group: JudgedGroup) -> list[JudgedAttempt]:
    """One attempt for each first try, judged or not."""
    return [attempt for attempt in group.attempts if attempt.index % group.looks == 0]
