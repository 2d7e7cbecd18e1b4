"""Two ways in which self-correction goes wrong without a lower reward, watched for in every run with a second look.

Failing on purpose: a first try that gets worse so that the second can mend it. Copying: second looks that repeat the
first answer, so that the two turns are one (SCoRe, arXiv 2409.12917, section 4).
"""

from collections.abc import Sequence

from roles.behaviour import edit_histogram, edit_ratio
from roles.judge import JudgedGroup
from selfplay.evaluate import paired_change

FELL_BY = 0.02  # two points of accuracy
COPIED_SHARE = 0.95
MIN_WRONG = 16  # fewer wrong first tries say nothing about copying
BINS = 10


def first_try_alarm(start: str, now: str) -> dict[str, float]:
    """From `Evaluation.outcomes` of one set at step 0 and now (its first problems will do).

    first_try_change: mean change of the first try, problem by problem, with its 95% interval (_low, _high).
    alarm_first_try: 1 when it fell by more than two points, which of 100 problems may be chance: the interval tells.
    Of fewer than 50 problems a single one is more than two points, and there is no alarm.
    """
    mean, low, high = paired_change(start[: len(now)], now, turn=0)
    interval = {"first_try_change_low": low, "first_try_change_high": high}
    return {"first_try_change": mean, **interval, "alarm_first_try": float(mean < -FELL_BY and len(now) * FELL_BY >= 1)}


def copying_metrics(groups: Sequence[JudgedGroup]) -> dict[str, float]:
    """How far second looks are from first tries in a step; {} where there are none.

    solver/edit_ratio_mean in [0, 1], its histogram as shares in tenths, and alarm/copies: 1 when at least 95% of wrong
    answers (and there are at least 16) were given again.
    """
    pairs = [(a.turns[0], a.turns[-1]) for group in groups for a in group.judged if len(a.turns) > 1]
    if not pairs:
        return {}
    ratios = [edit_ratio(first.sampled.completion.text, last.sampled.completion.text) for first, last in pairs]
    wrong = [first.answer == last.answer for first, last in pairs if not first.is_right]
    histogram = edit_histogram(ratios, BINS)
    shares = {f"solver/edit_ratio_{i / BINS:.1f}": count / len(ratios) for i, count in enumerate(histogram)}
    copies = len(wrong) >= MIN_WRONG and sum(wrong) >= COPIED_SHARE * len(wrong)
    return {"solver/edit_ratio_mean": sum(ratios) / len(ratios), "alarm/copies": float(copies)} | shares
