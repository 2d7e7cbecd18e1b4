"""Does RL leave one of several formats, early, and what keeps the others?

Criteria were written before any run; a threshold is changed only with the reason beside it. Settings have not been
tried yet: that is for seed 100, which is none of the seeds compared. The claim is that of Zhao et al. (arXiv
2504.07912).
"""

from selfplay.lab.experiments.experiment import Arm, Column, Experiment
from selfplay.lab.forms import FormStart
from selfplay.lab.verdict.criteria import Criterion
from selfplay.lab.verdict.measures import acc_t1, between, change, from_metrics, of

STEPS = 40
SHARES, RIGHT = (
    [from_metrics(f"format/{what}_{name}") for name in ("steps", "direct", "back")] for what in ("share", "accuracy")
)
ENTROPY, FIRST_OVER = from_metrics("format/entropy"), from_metrics("first_over_80")
BALANCED = ("train.baseline=format", "train.format_quota=0.25")

FORMAT_COLLAPSE = Experiment(
    name="format-collapse",
    title="Does RL leave one of several formats, and what keeps the others?",
    claim=(
        "Of several formats that a start model has, RL soon leaves one, usually the most accurate and not the most "
        "frequent; a KL to the start, or advantages within a format, keep the others at the same accuracy."
    ),
    base_config="configs/lab/format-collapse.yaml",
    warm_start=FormStart(
        layers=2, width=64, heads=4, turns=1, iterations=1500, batch=64, until_loss=0.65,
        forms=(("steps", 0.3), ("direct", 0.5), ("back", 0.2)),
    ),
    arms={
        "plain": Arm((), note="nothing against it"),
        "kl": Arm(("train.kl_coef=0.1",), note="a KL to the start model"),
        "balanced": Arm(BALANCED, note="tries are compared with those of the same format, and each keeps its push"),
        "clip-cov": Arm(
            ("train.clip_cov=0.02",), is_gated=False, note="Clip-Cov: a fiftieth of the tokens is left out of an update"
        ),
    },
    criteria=(
        Criterion(
            "early", f"plain: first step with one format above 0.8, of {STEPS}", STEPS / 2, "<=",
            of("plain", FIRST_OVER), smallest_effect=10.0,
        ),
        Criterion(
            "accurate", "plain: share of answers step by step, the most accurate and not the most frequent format, in "
            "the last 20 steps", 0.8, ">=", of("plain", SHARES[0]),
        ),
        Criterion(
            "kept", "balanced: normalised entropy of formats in the last 20 steps", 0.4, ">=", of("balanced", ENTROPY)
        ),
        Criterion(
            "cost", "balanced's accuracy less plain's, greedy", -0.02, ">=", between("balanced", "plain", acc_t1),
            is_signed=True,
        ),
        Criterion(
            "kl", "kl: normalised entropy of formats in the last 20 steps", 0.4, ">=", of("kl", ENTROPY),
            is_gated=False,
        ),
        Criterion(
            "kl's cost", "kl's accuracy less plain's", -0.02, ">=", between("kl", "plain", acc_t1), is_gated=False,
            is_signed=True,
        ),
    ),
    control=Criterion(
        "control", "plain: change of greedy accuracy, so that training teaches", 0.05, ">=", change("plain", acc_t1),
        is_signed=True,
    ),
    smallest_effect=0.1,
    columns=(
        Column("accuracy", acc_t1),
        Column("steps", SHARES[0]),
        Column("direct", SHARES[1]),
        Column("back", SHARES[2]),
        Column("steps right", RIGHT[0]),
        Column("direct right", RIGHT[1]),
        Column("back right", RIGHT[2]),
        Column("entropy", ENTROPY),
        Column("first step over 0.8", FIRST_OVER),
    ),
    series=("acc_t1",),
    notes=(
        "Problems are chains of three sums and products modulo 17. `3*2+4*2 =` may be answered step by step, `6,10,3`; "
        "directly, `3`; or backwards, `3<10<6`. What counts is the last value. The start model was taught direct "
        "answers half of the time, steps in three of ten, backwards in two of ten.",
        "Shares, accuracies of a format and their entropy (1: all three as often) are of sampled first tries in the "
        "last 20 steps. `first step over 0.8` is one more than there are steps where it did not come.",
    ),
)  # fmt: skip
