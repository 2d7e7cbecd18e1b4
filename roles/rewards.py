"""Rewards: small pure functions, each with its formula, range and source."""

from typing import Literal

ChallengerRule = Literal["learnability", "azr", "r_zero"]


def learnability(pass_rate: float) -> float:
    """4p(1-p) in [0, 1]: 1 at p = 1/2, 0 where all or nothing is solved. Source: SFL/LILO (algorithms.md 11.5)."""
    return 4.0 * pass_rate * (1.0 - pass_rate)


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
