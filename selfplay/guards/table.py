"""The guards of a run: what each watches, from where on it is an alarm, and what to do then."""

from roles.judging.by_model import ALARM_RATE
from selfplay import metrics
from selfplay.guards.rules import Guard
from selfplay.guards.thresholds import Thresholds

_BACK = 0.75  # of a threshold, below which an alarm is over
_ENOUGH = (metrics.PROBLEMS, 8.0)  # problems in a step: what fewer have in common may be chance
_PROPOSED = (metrics.PROPOSALS, 8.0)
_HARD = (
    "Problems that are too hard teach what is right by luck: pose easier ones (curriculum.band_low, "
    "curriculum.min_successes higher), and read what is said (inspect show)"
)
_LEAST_STAKE = 0.05
COPYING_STEPS = 5  # in a row


def guards(bounds: Thresholds, against_copies: str) -> tuple[Guard, ...]:
    """All guards. `against_copies`: what keeps second looks from repeating first tries, as the run is configured."""
    return (
        *_of_formats(bounds),
        *_of_shortcuts(bounds),
        *_of_spread(bounds),
        *_of_collapse(),
        Guard(
            "copies", metrics.COPIES, "above", 0.99, 0.5,
            f"second looks repeat the first answer: {COPYING_STEPS} steps in a row gave back nearly every wrong one",
            against_copies, COPYING_STEPS,
        ),
        Guard(
            "rechecks", metrics.DISAGREEMENTS, "above", 0.0, 0.0,
            "{now} of the answers that were paid most and judged once more are right by one judge and wrong by another",
            "`inspect alarms` lists them: the judge, or what checks it, is wrong", 1,
        ),
        Guard(
            "canaries", metrics.CANARY_FALSE_POSITIVES, "above", ALARM_RATE, ALARM_RATE,
            "the model judge took {now} of empty or forged answers for right ones: it can be pleased without solving "
            "anything",
            "judge.source=verifier cannot be", 1,
        ),
    )  # fmt: skip


def _of_formats(bounds: Thresholds) -> tuple[Guard, ...]:
    return (
        Guard(
            "format_share", metrics.FORMAT_MOST, "rise", bounds.format_share, 0.875 * bounds.format_share,
            "one format has {now} of first tries and drives out others that were worth something: {detail}",
            "A KL keeps them (train.kl_coef=0.01), or train.baseline=format, or train.format_quota=0.1",
            least=_ENOUGH, stake=(metrics.FORMAT_AT_STAKE, _LEAST_STAKE),
        ),
    )  # fmt: skip


def _of_shortcuts(bounds: Thresholds) -> tuple[Guard, ...]:
    return (
        Guard(
            "answer_prior", metrics.ANSWER_PRIOR, "above", bounds.answer_prior, _BACK * bounds.answer_prior,
            "one answer is given whatever is asked, in {now} of first tries more than it is right: {detail}", _HARD,
            least=_ENOUGH,
        ),
        Guard(
            "answer_copied", metrics.ANSWER_COPIED, "above", bounds.answer_copied, _BACK * bounds.answer_copied,
            "{now} of first tries more than are right that way answer with what stands in the problem", _HARD,
            least=_ENOUGH,
        ),
        Guard(
            "answered_alike", metrics.ANSWERED_ALIKE, "above", bounds.answered_alike, _BACK * bounds.answered_alike,
            "a problem and what it was changed into get the same answer, a wrong one for one of them, in {now} of "
            "pairs of tries", _HARD, least=_ENOUGH,
        ),
        Guard(
            "answer_visible", metrics.ANSWER_VISIBLE, "rise", bounds.answer_visible, 0.5 * bounds.answer_visible,
            "the right answer stands in the text of {now} of the problems: copying solves them",
            "Have the domain's parse or is_trivial_edit reject such proposals, and read them (inspect proposals)",
            least=_ENOUGH,
        ),
        Guard(
            "repetition", metrics.REPETITION, "above", bounds.repetition, 0.5 * bounds.repetition,
            "{now} of first tries say the same again and again",
            "A smaller train.learning_rate or a KL (train.kl_coef) keeps a model from it; a part length in "
            "judge.rewards charges for it", least=_ENOUGH,
        ),
    )  # fmt: skip


def _of_spread(bounds: Thresholds) -> tuple[Guard, ...]:
    return (
        Guard(
            "cut_share", metrics.CLIPPED_RATIO, "above", bounds.cut_share, 0.5 * bounds.cut_share,
            "{now} of the solver's turns were cut by their length",
            "Raise solver.max_tokens, or charge for length (a part length in judge.rewards)", least=_ENOUGH,
        ),
        *(
            Guard(
                f"entropy_{role}", metrics.ROLE_ENTROPY.format(role=role), "below", bounds.entropy,
                2 * bounds.entropy,
                f"what the {role} samples is nearly always the same: an entropy of {{now}} nats a token",
                f"A higher {role}.temperature, a KL (train.kl_coef) or Clip-Cov (train.clip_cov) keeps it open",
                least=_ENOUGH,
            )
            for role in ("solver", "challenger")
        ),
        Guard(
            "distinct_proposals", metrics.DISTINCT_PROPOSALS, "below", bounds.distinct_proposals,
            2 * bounds.distinct_proposals, "the challenger repeats itself: {now} of its proposals are different texts",
            "A higher challenger.temperature, more parents (challenger.targets) or problems that the domain draws "
            "(challenger.drawn_share) keep them different", least=_PROPOSED,
        ),
    )  # fmt: skip


def _of_collapse() -> tuple[Guard, ...]:
    """Less and less of what the model says can be read, as after too large a learning rate."""
    watched = {"proposals": metrics.READABLE_PROPOSALS, "answers": metrics.STEP_PARSED}
    return tuple(
        Guard(
            f"readable_{what}", figure, "fall", 0.5, 0.75,
            f"{{now}} of the last steps' {what} can be read, {{best}} could be before: the model collapses",
            "A smaller train.learning_rate or a KL (train.kl_coef) keeps it; resume.mode=rewind goes back to the last "
            "checkpoint",
        )
        for what, figure in watched.items()
    )  # fmt: skip
