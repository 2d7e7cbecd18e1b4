"""What the experiments on self-correction share: which arms there are, what is measured, what decides.

Criteria were written before the runs; a threshold is changed only with the reason beside it.
"""

from collections.abc import Mapping, Sequence

from selfplay.lab.experiments.experiment import Arm, Column
from selfplay.lab.verdict.criteria import Criterion
from selfplay.lab.verdict.measures import (
    acc_t1,
    acc_t2,
    at_start,
    between,
    c2i,
    change,
    delta,
    difference,
    from_metrics,
    i2c,
    largest,
    of,
    same_share,
    scaled,
)
from selfplay.lab.verdict.views import Statistic

OFFLINE = "solver.source=frozen"
BONUS = "judge.correction_bonus=1.0"
CLAIM = (
    "SCoRe gives second looks that mend more than they break; imitating recorded or fresh corrections does not "
    "(arXiv 2409.12917)."
)

DELTA = Criterion("delta", "score: Delta = acc@t2 - acc@t1 at the end", 0.03, ">=", of("score", delta), is_signed=True)
FIRST_TRY = Criterion("first try", "score: change of acc@t1", -0.01, ">=", change("score", acc_t1), is_signed=True)
COLLAPSE = Criterion(
    "collapse", "answers repeated: last-reward less score", 0.2, ">=", between("last-reward", "score", same_share),
    is_signed=True,
)  # fmt: skip
CONTROL = Criterion(
    "control", "truth: Delta of second looks that are told the answers", 0.03, ">=", of("truth", delta), is_signed=True
)

COLUMNS = (
    Column("Delta", delta, is_signed=True),
    Column("acc@t1", acc_t1),
    Column("acc@t2", acc_t2),
    Column("mended", i2c),
    Column("broken", c2i),
    Column("same answer", same_share),
    Column("mends own", from_metrics("fix_own")),
    Column("mends start's", from_metrics("fix_start")),
    Column("error distance", from_metrics("error_distance")),
)


def over_best(name: str, statement: str, arms: Sequence[str], is_gated: bool = True) -> Criterion:
    """score's Delta is two points above the best Delta among `arms`."""
    best = largest(*(of(arm, delta) for arm in arms))
    return Criterion(
        name, statement, 0.02, ">=", difference(of("score", delta), best), is_gated=is_gated, is_signed=True
    )


def broken(statement: str, statistic: Statistic) -> Criterion:
    """What score breaks at the end, by `statistic`, is at most half of what the start model does."""
    half = scaled(of("score", at_start(statistic)), 0.5)
    return Criterion("broken", statement, 0.0, "<=", difference(of("score", statistic), half), is_signed=True)


def stage_one(steps: int) -> tuple[str, ...]:
    """SCoRe's first stage, always as long as that."""
    return f"train.stage_one.max_steps={steps}", "train.stage_one.kl_first=1.0", "train.stage_one.plateau_window=0"


def rewarded(stage: tuple[str, ...]) -> Mapping[str, Arm]:
    """The arms that are paid for what they said, each a table of which reward pays which turn."""
    return {
        "score": Arm((BONUS, *stage), note="r1 pays turn 1, r2 + alpha (r2 - r1) turn 2; stage I first"),
        "no-stage-one": Arm((BONUS,), note="r1 pays turn 1, r2 + alpha (r2 - r1) turn 2"),
        "no-bonus": Arm(stage, note="r1 pays turn 1, r2 turn 2; stage I first"),
        "last-reward": Arm(("judge.first_turn_reward=last",), note="r2 pays turn 1 and turn 2"),
        "first-turn": Arm(("train.weights.solver_second=0.0",), note="r1 pays turn 1, nothing turn 2"),
        "offline-rl": Arm((OFFLINE, BONUS), note="score's rewards on recorded traces"),
    }


COPYING: Mapping[str, Arm] = {
    "offline-pair-sft": Arm((OFFLINE, "train.imitation=pair_sft"), note="copies right answers after wrong ones"),
    "offline-star": Arm((OFFLINE, "train.imitation=star"), note="copies second looks that mended"),
    "online-sft": Arm(("train.imitation=rft",), note="copies every right turn, sampled anew each step"),
    "truth": Arm(("train.imitation=truth",), note="control: the second look is told the answer, on live mistakes"),
    "offline-sft": Arm((OFFLINE, "train.imitation=rft"), note="STaR+: every right recorded turn"),
    "offline-pair-sft-plus": Arm((OFFLINE, "train.imitation=pair_sft_plus"), note="also after right ones"),
    "online-pair-sft": Arm(("train.imitation=pair_sft",), note="pair-SFT on traces sampled anew"),
    "online-pair-sft-plus": Arm(("train.imitation=pair_sft_plus",), note="the same on traces sampled anew"),
    "online-star": Arm(("train.imitation=star",), note="STaR on traces sampled anew"),
}
