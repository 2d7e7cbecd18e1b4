"""Rewards: small pure functions, each with its formula, range and source."""

import math
import re
from typing import Literal

from curriculum.tracking.posterior import learnability

ChallengerRule = Literal["learnability", "azr", "r_zero", "difficulty"]
ConfidenceRule = Literal["brier", "log"]

LOG_FLOOR = 0.001  # the log score clips confidences to [LOG_FLOOR, 1 - LOG_FLOOR]; at 0 and 1 it may be infinite
_CONFIDENCE = re.compile(r"(0|1)|0\.[0-9]{1,4}|1\.0{1,4}")  # ASCII digits; spellings differ in final zeros only


def azr(pass_rate: float) -> float:
    """1 - p, and 0 at p = 0: in [0, 1). Harder pays more, unsolved nothing (Absolute Zero, arXiv 2505.03335)."""
    return 1.0 - pass_rate if pass_rate > 0.0 else 0.0


def r_zero(pass_rate: float) -> float:
    """1 - 2|p - 1/2| in [0, 1]: 1 at p = 1/2 (R-Zero, arXiv 2508.05004, in the paper's form, not the code's)."""
    return 1.0 - 2.0 * abs(pass_rate - 0.5)


def difficulty(pass_rate: float) -> float:
    """1 - p in [0, 1]: what nobody solves pays most. A control, for what becomes of a challenger that may pose what is
    hopeless."""
    return 1.0 - pass_rate


def challenger_reward(rule: ChallengerRule, pass_rate: float) -> float:
    """What the challenger is paid for a problem of a measured pass rate."""
    match rule:
        case "learnability":
            return learnability(pass_rate)
        case "azr":
            return azr(pass_rate)
        case "r_zero":
            return r_zero(pass_rate)
        case "difficulty":
            return difficulty(pass_rate)


def correction_reward(before: float, after: float, alpha: float) -> float:
    """r2 + alpha (r2 - r1) for the later turn's tokens; r1 is `before`, r2 is `after` (SCoRe, arXiv 2409.12917).

    In [-alpha, 1 + alpha] for rewards in [0, 1]. (r1, r2): (0,0) 0; (0,1) 1 + alpha; (1,1) 1; (1,0) -alpha.
    """
    return after + correction_bonus(before, after, alpha)


def correction_bonus(before: float, after: float, alpha: float) -> float:
    """alpha (r2 - r1): what `correction_reward` adds to the later turn's own reward."""
    return alpha * (after - before)


def soft_overlong(num_tokens: int, free: int, limit: int) -> float:
    """How much too long an answer is, in [-1, 0]: 0 up to `free` tokens, -1 from `limit` > `free` on, linear between.

    DAPO's soft overlong punishment (arXiv 2503.14476, equation 13).
    """
    if num_tokens <= free:
        return 0.0
    return -min(1.0, (num_tokens - free) / (limit - free))


def parse_confidence(text: str) -> float | None:
    """A stated probability in [0, 1]: "0", "1", "0.7", "1.00", up to four decimals; None for anything else.

    Text of a model: read by its spelling, never evaluated.
    """
    stripped = text.strip(" \t\r\n")
    return float(stripped) if _CONFIDENCE.fullmatch(stripped) else None


def calibrated_reward(rule: ConfidenceRule, is_right: bool, confidence: float | None) -> float:
    """The reward of an answer plus a proper score of the stated confidence q. c is 1 if the answer is right, else 0.

    brier  c - (q - c)^2, in [-1, 1]. With P(right) = p its mean is p^2 - (q - p)^2. That is largest, p^2, at q = p, so
           the likeliest answer with an honest confidence is best (RLCR, arXiv 2507.16806).
    log    c + ln(q if right else 1 - q), in [ln LOG_FLOOR, 1]. Its mean too is largest at q = p, where it is p - H(p).
           For 0 < p < 0.65 that is below 0, so a surely wrong answer with q = 0 beats an honest hard one. A control.

    A confidence that could not be read is paid the lowest value of its rule. With 0 in its place, saying nothing would
    beat an honest "probably wrong". (RLCR's code pays 0 too, on a scale where 0 is the lowest value.)
    """
    if confidence is None:
        return -1.0 if rule == "brier" else math.log(LOG_FLOOR)
    right = float(is_right)
    if rule == "brier":
        return right - (confidence - right) ** 2
    inside = min(max(confidence, LOG_FLOOR), 1.0 - LOG_FLOOR)
    return right + math.log(inside if is_right else 1.0 - inside)


def parse_self_evaluation(text: str) -> bool | None:
    """What an attempt claims of itself: "1" or "0"; None for anything else."""
    return {"1": True, "0": False}.get(text.strip(" \t\r\n"))


def consistency(truth: float, prediction: float) -> float:
    """How near a self-evaluation p is to the truth g: 1 - |g - p| / max(g, p), in [0, 1] for g, p >= 0.

    It is 1 where both are 0 (post-completion learning, arXiv 2507.20252, with 0/0 counted as no error).
    """
    largest = max(truth, prediction)
    return 1.0 - abs(truth - prediction) / largest if largest > 0.0 else 1.0


def consistency_original(truth: float, prediction: float) -> float:
    """`consistency` as the published code computes it, with 0 where both are 0. An honest "I was wrong" about a wrong
    answer then never pays. A control."""
    return 0.0 if truth == prediction == 0.0 else consistency(truth, prediction)


def class_weights(num_right: int, num_wrong: int) -> tuple[float, float]:
    """(weight of a right answer, weight of a wrong one), each n / (2 n_class), so that each class counts half in all.

    Each is in (1/2, n / 2]. Where one class is absent, its weight is 0 and the other's 1.
    """
    if num_right == 0 or num_wrong == 0:
        return float(num_right > 0), float(num_wrong > 0)
    total = num_right + num_wrong
    return total / (2 * num_right), total / (2 * num_wrong)


def self_evaluation_reward(is_right: bool, claim: bool | None, weight_right: float, weight_wrong: float) -> float:
    """The weight of the answer's class for a true claim; 0 for a false one, or one that could not be read.

    Without weights, once most answers are right, claiming "right" would pay whatever the answer. With them, claiming
    "right" pays if the odds that the answer is right, taken as if both classes were equally frequent, are above 1.
    """
    if claim is not is_right:
        return 0.0
    return weight_right if is_right else weight_wrong
