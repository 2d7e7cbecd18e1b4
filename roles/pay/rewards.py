"""Rewards: small pure functions, each with its formula, range and source."""

import math
import re
from typing import Literal

from curriculum.tracking.posterior import learnability

ChallengerRule = Literal["learnability", "azr", "r_zero"]
ConfidenceRule = Literal["brier", "log"]

LOG_FLOOR = 0.001  # a log score is infinite at a sure mistake: confidences are moved this far from 0 and 1 for it
_CONFIDENCE = re.compile(r"(0|1)|0\.[0-9]{1,4}|1\.0{1,4}")  # ASCII digits, one spelling of each number but for zeros


def azr(pass_rate: float) -> float:
    """1 - p in [0, 1), but 0 at p = 0: hard pays, unsolved does not. Source: Absolute Zero, arXiv 2505.03335."""
    return 1.0 - pass_rate if pass_rate > 0.0 else 0.0


def r_zero(pass_rate: float) -> float:
    """1 - 2|p - 1/2| in [0, 1]: 1 at p = 1/2. Source: R-Zero, arXiv 2508.05004 (the paper's form, not the code's)."""
    return 1.0 - 2.0 * abs(pass_rate - 0.5)


def challenger_reward(rule: ChallengerRule, pass_rate: float) -> float:
    """What a measured problem pays whoever posed it."""
    match rule:
        case "learnability":
            return learnability(pass_rate)
        case "azr":
            return azr(pass_rate)
        case "r_zero":
            return r_zero(pass_rate)


def correction_reward(before: float, after: float, alpha: float) -> float:
    """r2 + alpha (r2 - r1), in [-alpha, 1 + alpha] for rewards in [0, 1]: for the later turn's tokens only.

    (r1, r2): (0,0) 0; (0,1) 1 + alpha; (1,1) 1; (1,0) -alpha. Source: SCoRe, arXiv 2409.12917.
    """
    return after + alpha * (after - before)


def parse_confidence(text: str) -> float | None:
    """A stated probability in [0, 1]: "0", "1", "0.7", "1.00", up to four decimals; None for anything else.

    Text of a model: read by its spelling, never evaluated.
    """
    stripped = text.strip(" \t\r\n")
    return float(stripped) if _CONFIDENCE.fullmatch(stripped) else None


def calibrated_reward(rule: ConfidenceRule, is_right: bool, confidence: float | None) -> float:
    """c plus a score of the stated confidence q for what came true, c = 1 if the answer is right, else 0.

    brier  c - (q - c)^2, in [-1, 1]. With P(right) = p its mean is p^2 - (q - p)^2: best at q = p, worth p^2 there,
           so the likeliest answer is still the best one. Source: RLCR, arXiv 2507.16806.
    log    c + ln(q if right else 1 - q), in [ln LOG_FLOOR, 1]. Also best at q = p, but worth p - H(p) there, which is
           below 0 for 0 < p < 0.65: a sure wrong answer at q = 0 beats an honest hard one. A control.

    A confidence that could not be read is paid the rule's lowest value: paid 0, as an answer without a score, silence
    would beat an honest "probably wrong". (RLCR's code pays it 0 too, on a scale where 0 is the lowest value.)
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
    """1 - |g - p| / max(g, p) in [0, 1] for g, p >= 0: how near a self-evaluation is to the truth; 1 where both are 0.

    Source: post-completion learning, arXiv 2507.20252, with 0/0 counted as no error.
    """
    largest = max(truth, prediction)
    return 1.0 - abs(truth - prediction) / largest if largest > 0.0 else 1.0


def consistency_original(truth: float, prediction: float) -> float:
    """`consistency` with the fault of the published code: 0/0 is caught and paid 0, so an honest "I was wrong" about a
    wrong answer never pays. A control."""
    return 0.0 if truth == prediction == 0.0 else consistency(truth, prediction)


def class_weights(num_right: int, num_wrong: int) -> tuple[float, float]:
    """(weight of a right answer, weight of a wrong one) = n / (2 n_class): each class counts half in all.

    In (1/2, n / 2]: the only answer of its class weighs half of all. A class that is absent has weight 0, and then the
    other has 1: there is nothing to balance.
    """
    if num_right == 0 or num_wrong == 0:
        return float(num_right > 0), float(num_wrong > 0)
    total = num_right + num_wrong
    return total / (2 * num_right), total / (2 * num_wrong)


def self_evaluation_reward(is_right: bool, claim: bool | None, weight_right: float, weight_wrong: float) -> float:
    """The class's weight for a claim that is true, 0 for one that is not or could not be read: in [0, larger weight].

    Once most answers are right, "right" would be a paying claim whatever the answer; weighted by class it is not. For
    a claim of 0 or 1 this is a proper score of the balanced odds (algorithms.md 7, third fault).
    """
    if claim is not is_right:
        return 0.0
    return weight_right if is_right else weight_wrong
