"""How much of a model does RL change, and what of that is precision? RL, RFT and a stranger's text at equal rates.

Criteria were written before the runs; a threshold is changed only with the reason beside it. The claim is that of
Mukherjee et al. (arXiv 2505.11711).
"""

from selfplay.lab.afterwards import Afterwards
from selfplay.lab.experiments.early_experience import START
from selfplay.lab.experiments.experiment import Arm, Column, Experiment
from selfplay.lab.verdict.criteria import Criterion
from selfplay.lab.verdict.measures import acc_t1, at_start, between, difference, from_metrics, of

RATES = ("1e-6", "1e-5", "1e-4")
WAYS = {
    "rl": ((), "right answers are paid"),
    "rft": (("train.imitation=rft",), "the model's own right answers are copied"),
    "sft": (
        ("train.experience.world_model=1", "train.experience.steps=1000"),
        "what the executor says of the model's actions is copied: a stranger's text",
    ),
}
BF16, FP32, RELATIVE = (from_metrics(f"changed_{count}") for count in ("bf16", "fp32", "relative"))


def _arms() -> dict[str, Arm]:
    found = {
        f"{way}-{rate}": Arm((*keys, f"train.learning_rate={rate}"), note=f"{note}, rate {rate}")
        for rate in RATES
        for way, (keys, note) in WAYS.items()
        if way == "rl" or rate != RATES[0]
    }
    kept = Arm(("train.learning_rate=1e-4",), is_gated=False, mask_of="rl-1e-4",
               note="rl-1e-4 once more, training only what that run changed as bf16 shows it")  # fmt: skip
    return found | {"subnetwork": kept}


CRITERIA = (
    Criterion(
        "sparser than SFT", "share changed as bf16 shows it, rate 1e-5: sft less rl", 0.2, ">=",
        between("sft-1e-5", "rl-1e-5", BF16), is_signed=True,
    ),
    Criterion(
        "full rank", "rank of rl's update over full rank, rate 1e-5", 0.9, ">=",
        of("rl-1e-5", from_metrics("rank_fp32")),
    ),
    Criterion(
        "at any rate", "share changed as bf16 shows it, rl: rate 1e-4 less 1e-6", 0.25, "<=",
        between("rl-1e-4", "rl-1e-6", BF16), is_signed=True,
    ),
    Criterion(
        "in exact numbers", "share of rl's fp32 numbers that changed by a thousandth of themselves, rate 1e-4", 0.3,
        "<=", of("rl-1e-4", RELATIVE),
    ),
    Criterion(
        "own text", "share changed as bf16 shows it, rate 1e-5: rft less rl", 0.2, "<=",
        between("rft-1e-5", "rl-1e-5", BF16), is_gated=False, is_signed=True,
    ),
    Criterion(
        "subnetwork", "accuracy: subnetwork less rl-1e-4", -0.01, ">=", between("subnetwork", "rl-1e-4", acc_t1),
        is_gated=False, is_signed=True,
    ),
)  # fmt: skip

SPARSITY = Experiment(
    name="sparsity",
    title="How much of a model does RL change?",
    claim=(
        "RL changes 5 to 30% of a model's parameters, in updates of nearly full rank; SFT changes most of them (arXiv "
        "2505.11711)."
    ),
    base_config="configs/lab/sparsity.yaml",
    warm_start=START,
    arms=_arms(),
    criteria=CRITERIA,
    control=Criterion(
        "control", "share of fp32 numbers that changed by more than 1e-5: sft at rate 1e-4 less rl at rate 1e-6, so "
        "that the audit tells updates apart", 0.5, ">=",
        difference(of("sft-1e-4", FP32), of("rl-1e-6", FP32)), is_signed=True,
    ),
    smallest_effect=0.1,
    columns=(
        Column("changed, bf16", BF16),
        Column("changed, fp32", FP32),
        Column("changed, relative", RELATIVE),
        Column("rank", from_metrics("rank_fp32")),
        Column("rank, bf16", from_metrics("rank_bf16")),
        Column("99% of it", from_metrics("rank99_fp32")),
        Column("moved", from_metrics("moved")),
        Column("accuracy", acc_t1),
        Column("at the start", at_start(acc_t1)),
    ),
    series=(),
    afterwards=Afterwards(audits=True),
    notes=(
        "The paper's measure casts both models to bf16 and counts a parameter as changed where they differ by more "
        "than 1e-5. A number of bf16 has 8 significant bits, so a change of less than about 1/512 of a weight is not "
        "seen at all. So each update is counted three ways: as bf16 shows it; in the fp32 numbers that are trained, by "
        "more than 1e-5; and in these by more than a thousandth of the weight itself. Rank is that of the update's "
        "matrices over full rank, in float32; `99% of it` the share of directions that hold 99% of its squares; "
        "`moved` its norm over that of the weights.",
        "All arms have AdamW, 20 steps of 12 problems by 8 tries and the same problems in the same order; rate is the "
        "learning rate. AdamW moves every number that has a gradient by about the rate in a step, whatever the "
        "gradient's size: so if what bf16 shows were the method's doing, it would not depend on the rate.",
        "The model has two layers and was trained from scratch, since the time was too short for seven arms of a "
        "pretrained one. What this can show is the part of precision. Whether pretraining makes updates sparse it "
        "cannot show; of runs of SmolLM2-135M from another page stands below what an audit says of them. Start models "
        "differ between seeds, so the overlap of two seeds cannot be told here.",
    ),
)  # fmt: skip
