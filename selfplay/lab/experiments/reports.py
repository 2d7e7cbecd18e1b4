"""What an answer says of itself: stated confidence, and self-evaluation after the answer's end.

Criteria were written before the runs; a threshold is changed only with the reason beside it. Settings were chosen for
what fits the time: learning rate and steps on seed 100, which is none of the seeds compared; before that, task and size
of the model on seed 0 with other start models.
"""

from dataclasses import replace

from selfplay.lab.experiments.experiment import Arm, Column, Experiment
from selfplay.lab.scratch import WarmStart
from selfplay.lab.verdict.criteria import Criterion
from selfplay.lab.verdict.measures import (
    acc_t1,
    at_start,
    between,
    calibrated,
    change,
    difference,
    from_metrics,
    of,
    ratio,
    report_parsed,
    scaled,
    wrong_admitted,
)

TOKENS = from_metrics("tokens_mean")
ECE = calibrated("ece_corrected")
CONFIDENT = ("solver.report=confidence", "evaluate.report=confidence")
LIGHT = "train.weights.report=0.25"
SELF_EVALUATED = "evaluate.report=self_evaluation"
REPORT_SETTINGS = WarmStart(turns=1, iterations=900, first_share=0.9)

CALIBRATION = Experiment(
    name="calibration",
    title="Does a reward that pays for calibration make stated confidence true?",
    claim="R = c - (q - c)^2 makes stated confidence true without costing accuracy; a log score costs it (RLCR, "
    "arXiv 2507.16806).",
    base_config="configs/lab/calibration.yaml",
    warm_start=replace(REPORT_SETTINGS, report="confidence"),
    arms={
        "rlcr": Arm((*CONFIDENT, "judge.report_reward=brier"), note="c - (q - c)^2 pays answer and confidence"),
        "binary": Arm(CONFIDENT, note="c pays the answer; the confidence is asked for and not paid"),
        "log": Arm((*CONFIDENT, "judge.report_reward=log"), note="c + ln(q if right else 1 - q) pays both"),
        "apart": Arm(
            (*CONFIDENT, "judge.report_reward=brier_apart"), is_gated=False,
            note="c pays the answer, (q - c)^2 the report",
        ),
        "light": Arm(
            (*CONFIDENT, "judge.report_reward=brier", LIGHT), is_gated=False,
            note="as rlcr, the report's tokens weighing a quarter",
        ),
    },
    criteria=(
        Criterion(
            "half", "rlcr's ECE less half of binary's", 0.0, "<=",
            difference(of("rlcr", ECE), scaled(of("binary", ECE), 0.5)), is_signed=True,
        ),
        Criterion("ECE", "rlcr: expected calibration error", 0.1, "<=", of("rlcr", ECE)),
        Criterion(
            "accuracy", "rlcr's accuracy less binary's, greedy", -0.01, ">=", between("rlcr", "binary", acc_t1),
            is_signed=True,
        ),
        # the claim needs resolution > 0, but noise alone puts it there: AUROC is asked to be above chance instead
        Criterion("not constant", "rlcr: AUROC of the confidence", 0.6, ">=", of("rlcr", calibrated("auroc"))),
        Criterion(
            "log score", "rlcr's accuracy less log's, greedy", 0.0, ">=", between("rlcr", "log", acc_t1),
            is_gated=False, is_signed=True,
        ),
        # why accuracy was lost: written when the gated arms had been seen and these had not
        Criterion(
            "accuracy, apart", "apart's accuracy less binary's, greedy", -0.01, ">=",
            between("apart", "binary", acc_t1), is_gated=False, is_signed=True,
        ),
        Criterion(
            "accuracy, light", "light's accuracy less binary's, greedy", -0.01, ">=",
            between("light", "binary", acc_t1), is_gated=False, is_signed=True,
        ),
    ),
    control=Criterion(
        "control", "the start model, which states numbers at random: its ECE", 0.15, ">=",
        of("binary", at_start(ECE)),
    ),
    smallest_effect=0.03,
    plotted="ECE",
    series=("acc_t1",),
    columns=(
        Column("accuracy", acc_t1),
        Column("ECE", ECE),
        Column("ECE, equal mass", calibrated("ece_mass_corrected")),
        Column("Brier", calibrated("brier")),
        Column("reliability", calibrated("reliability_corrected")),
        Column("resolution", calibrated("resolution_corrected")),
        Column("AUROC", calibrated("auroc")),
        Column("values", calibrated("distinct")),
        Column("read", report_parsed),
    ),
    notes=(
        "Sums of two four-digit numbers, half of whose columns add up to nine: those with few such columns are nearly "
        "always right, those with many mostly wrong, so that there is something to be calibrated about. After each "
        "answer the model is asked 'Confidence:' and samples a number from 0.0 to 1.0; the start model has learned "
        "the format with numbers drawn at random. Accuracy is greedy; confidences are of one sampled answer a problem. "
        "A confidence that cannot be read is paid the rule's lowest value.",
        "`apart` trains the same confidence without paying the answer for it: a probe of the policy, in place of a "
        "classifier fitted afterwards.",
    ),
)  # fmt: skip

POST_COMPLETION = Experiment(
    name="post-completion",
    title="Is self-evaluation learned after the end of the answer, at no cost when answering?",
    claim="A model can be trained past the end of its answer to judge it, with the answer and its length unchanged "
    "(post-completion learning, arXiv 2507.20252).",
    base_config="configs/lab/calibration.yaml",
    warm_start=replace(REPORT_SETTINGS, report="self_evaluation"),
    arms={
        "rl": Arm((SELF_EVALUATED,), note="c pays the answer; the self-evaluation is asked for at the end only"),
        "balanced": Arm(
            (SELF_EVALUATED, "solver.report=self_evaluation", "judge.report_reward=balanced"),
            note="a true claim is paid, right and wrong answers counting half each",
        ),
        "consistency": Arm(
            (SELF_EVALUATED, "solver.report=self_evaluation", "judge.report_reward=consistency"),
            note="1 - |g - p| / max(g, p), with 0/0 no error",
        ),
        "consistency-original": Arm(
            (SELF_EVALUATED, "solver.report=self_evaluation", "judge.report_reward=consistency_original"),
            note="the same as published: 0/0 is paid 0",
        ),
        "light": Arm(
            (SELF_EVALUATED, "solver.report=self_evaluation", "judge.report_reward=balanced", LIGHT), is_gated=False,
            note="as balanced, the report's tokens weighing a quarter",
        ),
    },
    criteria=(
        Criterion("AUROC", "balanced: AUROC of P(right)", 0.7, ">=", of("balanced", calibrated("auroc"))),
        Criterion(
            "over RL", "balanced's AUROC less that of rl, never trained to judge", 0.05, ">=",
            between("balanced", "rl", calibrated("auroc")), is_signed=True,
        ),
        Criterion(
            "accuracy", "balanced's accuracy less rl's, greedy", -0.01, ">=", between("balanced", "rl", acc_t1),
            is_signed=True,
        ),
        Criterion(
            "more tokens", "tokens of an answer, balanced over rl", 1.02, "<=",
            ratio(of("balanced", TOKENS), of("rl", TOKENS)), smallest_effect=0.02,
        ),
        Criterion(
            "fewer tokens", "the same", 0.98, ">=",
            ratio(of("balanced", TOKENS), of("rl", TOKENS)), smallest_effect=0.02, every_seed=False,
        ),
        # why accuracy was lost: written when the gated arms had been seen and this one had not
        Criterion(
            "accuracy, light", "light's accuracy less rl's, greedy", -0.01, ">=", between("light", "rl", acc_t1),
            is_gated=False, is_signed=True,
        ),
        Criterion("admits", "consistency: wrong answers called wrong", 0.3, ">=", of("consistency", wrong_admitted)),
        Criterion(
            "original", "consistency-original: wrong answers called wrong", 0.1, "<=",
            of("consistency-original", wrong_admitted),
        ),
    ),
    control=Criterion(
        "control", "rl: change of sampled accuracy, so that training moves what it pays", 0.02, ">=",
        change("rl", from_metrics("pass_at_1")), is_signed=True,
    ),
    smallest_effect=0.05,
    plotted="AUROC",
    series=("acc_t1",),
    columns=(
        Column("accuracy", acc_t1),
        Column("tokens", TOKENS),
        Column("AUROC", calibrated("auroc")),
        Column("Brier", calibrated("brier")),
        Column("mean P(right)", calibrated("mean_confidence")),
        Column("wrong called wrong", wrong_admitted),
        Column("read", report_parsed),
    ),
    notes=(
        "The sums of the experiment `calibration`. An answer ends at its newline: there inference stops. In training "
        "the context goes on with 'Right:' and the model says 1 or 0, paid for that alone: the answer's tokens are "
        "paid for being right in every arm. P(right) is the probability with which it says 1.",
        "The threshold of `original` is 0.1 where the design says 'about 0'.",
    ),
)  # fmt: skip
