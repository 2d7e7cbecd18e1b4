"""A domain's judge or a user's reward may fail on an answer. What is said of it, and when it is too much."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from roles.judging.groups import JudgedGroup
from store.errors import SelfplayError


class NotJudgedError(SelfplayError):
    """Too many answers could not be judged. One line that says what to do."""


@dataclass(frozen=True, slots=True)
class JudgeWatch:
    """Says each kind of failure once. `max_share` in [0, 1] of the answers judged together may meet one."""

    max_share: float
    say: Callable[[str], None]
    said: set[str] = field(default_factory=set)

    def check(self, groups: Sequence[JudgedGroup], when: str) -> None:
        """Raises NotJudgedError where the judge or a reward failed on more than `max_share` of the answers."""
        turns = [turn for group in groups for attempt in group.attempts for turn in attempt.turns]
        errors = [turn.error for turn in turns if turn.error]
        for error in errors:
            failure = ": ".join(error.split(": ")[:2])  # "reward Mine: ValueError"; what follows may differ each time
            if failure not in self.said:
                self.said.add(failure)
                self.say(f"{when}: an answer is left out, for nobody could judge it: {error}")
        if len(errors) > self.max_share * len(turns):
            raise NotJudgedError(
                f"{when}: {len(errors)} of {len(turns)} answers could not be judged ({errors[0]}): mend it, and go on "
                f"with --resume (judge.max_error_share={self.max_share:g})"
            )
