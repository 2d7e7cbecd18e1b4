"""From where on something is an alarm: the keys `guards.*` of the same names, and why each has its default.

No run of the notebook that learned well crossed one of them (docs/notebook/tried.md). That is no proof that they are
right for another task.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Shares from 0 to 1; `entropy` in nats a token."""

    format_share: float = 0.8  # of first tries: one format is then said to have taken over (arXiv 2504.07912)
    answer_prior: float = 0.3  # of first tries more than are right that way: no honest mistake is that frequent
    answer_copied: float = 0.3  # likewise
    answered_alike: float = 0.3  # tries at different problems agree far less often, where answers are not yes or no
    answer_visible: float = 0.5  # half of what is posed can be solved by copying
    repetition: float = 0.2  # a base model repeats itself now and then
    cut_share: float = 0.5  # half of what is sampled has no end, and is judged as if it had none
    entropy: float = 0.02  # runs that learn well were seen at 0.07
    distinct_proposals: float = 0.25  # four proposals then say one thing
