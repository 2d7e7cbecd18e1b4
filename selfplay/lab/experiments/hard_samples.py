"""Do samples that are far too hard harm what a model can do already? Nearly all problems of a step are impossible.

Criteria were written before the runs, when three arms had been seen with seed 100, on which settings were chosen and
which is none of the seeds compared. A threshold is changed only with the reason beside it. The claim is that of Cheng
et al. (arXiv 2605.28388); what is impossible and what is the shortcut follows the design's Appendix A, a bandit.
"""

from selfplay.lab.experiments.experiment import Arm, Column, Experiment
from selfplay.lab.forms import FormStart
from selfplay.lab.verdict.criteria import Criterion
from selfplay.lab.verdict.measures import acc_t1, between, change, from_metrics, ratio, scaled
from selfplay.lab.verdict.parts import on

SHORT, KNOWN = on("chain2", acc_t1), on("chain3", acc_t1)
DIRECT = from_metrics("format/share_direct")
GRPO = ("train.advantage_scale=group",)
HARD_SHARE = (3, *[6] * 39)  # 97.5% impossible
HARD = (f"domain_options.drawn={list(HARD_SHARE)}",)

HARD_SAMPLES = Experiment(
    name="hard-samples",
    title="Do overly hard samples harm what a model can do?",
    claim=(
        "Training on problems that are nearly all too hard makes accidental successes of a shortcut count, above all "
        "with GRPO's division by the group's deviation, and damages what was known; a group that needs two successes "
        "prevents it."
    ),
    base_config="configs/lab/hard-samples.yaml",
    warm_start=FormStart(
        layers=2, width=64, heads=4, turns=1, iterations=1500, batch=64, until_loss=0.36,
        forms=(("steps", 0.8), ("direct", 0.2)),
    ),
    arms={
        "medium": Arm((*GRPO, "domain_options.drawn=[3]"), note="chains of three alone, GRPO's division"),
        "hard-grpo": Arm((*GRPO, *HARD), note="39 of 40 chains have six operations; GRPO's division"),
        "hard-centred": Arm(HARD, note="the same problems, advantages centred only (Dr. GRPO)"),
        "hard-filtered": Arm(
            (*GRPO, *HARD, "curriculum.min_successes=2", "curriculum.bank_delay=1000"),
            note="as hard-grpo, groups with fewer than 3 right of 16 left out, for good",
        ),
    },
    criteria=(
        Criterion(
            "held", "medium's accuracy on chains of three less hard-grpo's, greedy", 0.05, ">=",
            between("medium", "hard-grpo", KNOWN), is_signed=True,
        ),
        Criterion(
            "retained", "hard-grpo: change of accuracy on chains of three, which the start knows", -0.03, "<=",
            change("hard-grpo", KNOWN), is_signed=True,
        ),
        Criterion(
            "filter", "share of hard-grpo's loss there that hard-filtered does not have", 0.7, ">=",
            ratio(between("hard-filtered", "hard-grpo", KNOWN), scaled(change("hard-grpo", KNOWN), -1.0)),
            smallest_effect=0.3,
        ),
        Criterion(
            "shortcut", "share of direct answers in the last 20 steps, hard-grpo less hard-filtered", 0.2, ">=",
            between("hard-grpo", "hard-filtered", DIRECT), is_signed=True, smallest_effect=0.2,
        ),
        Criterion(
            "centred", "hard-centred's accuracy on chains of three less hard-grpo's", 0.05, ">=",
            between("hard-centred", "hard-grpo", KNOWN), is_gated=False, is_signed=True,
        ),
    ),
    control=Criterion(
        "control", "medium: change of accuracy on chains of three, so that training teaches", 0.05, ">=",
        change("medium", KNOWN), is_signed=True,
    ),
    smallest_effect=0.05,
    columns=(
        Column("chains of 2", SHORT),
        Column("chains of 3", KNOWN),
        Column("direct", DIRECT),
        Column("direct right", from_metrics("format/accuracy_direct")),
        Column("groups with a signal", from_metrics("signal_run")),
        Column("answer prior", from_metrics("shortcut/answer_prior")),
        Column("repetition", from_metrics("shortcut/repetition")),
    ),
    series=("acc_t1",),
    notes=(
        "Problems are chains of sums and products modulo 17. They may be answered step by step (`3*2+4 =` by `6,10`) "
        "or directly (`10`); what counts is the last value. An answer has room for three values, so one that works a "
        "chain of six out is always cut: it is impossible, but for a direct guess, which is right once in 17. The "
        "start model was taught chains of two and three, four fifths of them step by step, a fifth directly. No arm "
        "practises chains of two.",
        "`direct` and the columns behind it are of what each arm was posed in the last 20 steps: of chains of six in "
        "the hard arms, of chains of three in `medium`. Accuracy is greedy, on held-out chains, the same in every arm.",
    ),
)  # fmt: skip
