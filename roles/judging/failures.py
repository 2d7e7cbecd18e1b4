"""A domain's judge may fail on an answer. What is said of it, and when it is too much."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from curriculum.domains.seed_files import DomainError
from roles.judging.groups import JudgedGroup


@dataclass(frozen=True, slots=True)
class JudgeWatch:
    """Says each kind of failure once. `max_share` in [0, 1] of the answers judged together may meet one."""

    domain: str
    max_share: float
    say: Callable[[str], None]
    said: set[str] = field(default_factory=set)

    def check(self, groups: Sequence[JudgedGroup], when: str) -> None:
        """Raises DomainError where the judge failed on more than `max_share` of the answers."""
        turns = [turn for group in groups for attempt in group.attempts for turn in attempt.turns]
        errors = [turn.error for turn in turns if turn.error]
        for error in dict.fromkeys(errors):
            if error not in self.said:
                self.said.add(error)
                self.say(f"{when}: the domain's judge failed, and nobody judged what it failed on: {error}")
        if len(errors) > self.max_share * len(turns):
            raise DomainError(
                f"{when}: the judge of domain {self.domain} failed on {len(errors)} of {len(turns)} answers "
                f"({errors[0]}): mend it, and go on with --resume (more than judge.max_error_share={self.max_share:g})"
            )
