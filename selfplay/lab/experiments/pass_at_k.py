"""What training adds at k samples a problem: does it solve what its start could not, or solve known things oftener?

Criteria were written before the runs; a threshold is changed only with the reason beside it. What fits the time was
chosen beforehand: problems a step, steps, and how many held-out problems are sampled. The claims are those of Yue et
al. (arXiv 2504.13837) and, of rewards that say nothing true, Shao et al. (arXiv 2506.10947).
"""

from collections.abc import Sequence

from selfplay.lab.afterwards import Afterwards
from selfplay.lab.experiments.experiment import Arm, Column, Experiment
from selfplay.lab.verdict.criteria import Criterion
from selfplay.lab.verdict.curves import Curves, Line, Panel
from selfplay.lab.verdict.measures import (
    acc_t1,
    at_start,
    between,
    change,
    difference,
    from_metrics,
    lost,
    newly_solved,
    of,
    passed_at,
    passed_curve,
    scaled,
    unsolved_at_start,
)
from selfplay.lab.verdict.views import CellView, Statistic, Values

MOST = 256
PLACES = [1 << power for power in range(MOST.bit_length())]
SELF_PLAY = "challenger.source=self"


def net_solved(view: CellView) -> Values:
    """Problems that the end alone solved less those that the start alone did, as a share of all."""
    return newly_solved(view) - lost(view)


CRITERIA = (
    Criterion(
        "start catches up", f"pool: gain at pass@{MOST} less a quarter of the gain at pass@1", 0.0, "<=",
        difference(change("pool", passed_at(MOST)), scaled(change("pool", passed_at(1)), 0.25)), is_signed=True,
        smallest_effect=0.12,
    ),
    Criterion(
        "nothing new", "pool: share of problems solved by the end alone less that by the start alone", 0.05, "<=",
        of("pool", net_solved), is_signed=True, smallest_effect=0.12,
    ),
    Criterion(
        "self-play expands", f"self-play: share of problems solved in {MOST} by the end alone less by the start alone",
        0.05, ">=", of("self-play", net_solved), is_gated=False, is_signed=True, smallest_effect=0.12,
    ),
    Criterion(
        "self-play or pool", f"pass@{MOST}: self-play less pool", 0.0, ">=",
        between("self-play", "pool", passed_at(MOST)), is_gated=False, is_signed=True, smallest_effect=0.12,
    ),
    Criterion(
        "truth or coins", "pass@1: pool less random", 0.08, ">=", between("pool", "random", passed_at(1)),
        is_gated=False, is_signed=True,
    ),
    Criterion(
        "truth or format", "pass@1: pool less format", 0.08, ">=", between("pool", "format", passed_at(1)),
        is_gated=False, is_signed=True,
    ),
    Criterion(
        "coins alone", "pass@1: change of random", 0.02, ">=", change("random", passed_at(1)), is_gated=False,
        is_signed=True,
    ),
)  # fmt: skip


def _lines(arms: Sequence[str]) -> tuple[Line, ...]:
    def start(places: Sequence[int]) -> Statistic:
        return at_start(passed_curve(places))

    return (Line("start", "pool", start, has_band=True), *(Line(a, a, passed_curve, a == "pool") for a in arms))


CURVES = Curves(
    "pass@k",
    (Panel("all three sets", "k, samples a problem", PLACES, _lines(("pool", "self-play", "random", "format"))),),
    f"Share of problems that one of k samples solves, estimated without bias from {MOST} samples at temperature 1, "
    "mean over seeds; bands: 95% intervals of a line alone.",
)

PASS_AT_K = Experiment(
    name="pass-at-k",
    title="Does training solve new problems, or known ones more often?",
    claim=(
        "RL with verifiable rewards makes likelier what the start model could do already; with enough samples the "
        "start solves as much (arXiv 2504.13837)."
    ),
    base_config="configs/lab/pass-at-k.yaml",
    arms={
        "pool": Arm(note="right answers are paid, on 72 fixed problems"),
        "self-play": Arm(
            (SELF_PLAY,), is_gated=False, note="the same, from these problems on to harder ones that the model poses"
        ),
        "random": Arm(
            ("judge.rewards=[{part: random}]",), is_gated=False, note="the 72 problems, paid by coin flips"
        ),
        "format": Arm(
            ("judge.rewards=[{part: format}]",), is_gated=False, note="the 72 problems, any number is paid"
        ),
    },
    criteria=CRITERIA,
    control=Criterion(
        "control", "pool: change of pass@1, so that there is something that might be new", 0.05, ">=",
        change("pool", passed_at(1)), is_signed=True,
    ),
    smallest_effect=0.06,
    columns=(
        Column("pass@1", passed_at(1)),
        Column("pass@16", passed_at(16)),
        Column(f"pass@{MOST}", passed_at(MOST)),
        Column("start's pass@1", at_start(passed_at(1))),
        Column(f"start's pass@{MOST}", at_start(passed_at(MOST))),
        Column("unsolved at the start", unsolved_at_start),
        Column("end alone", newly_solved),
        Column("start alone", lost),
        Column("greedy", acc_t1),
        Column("perplexity", from_metrics("perplexity")),
        Column("at the start", from_metrics("perplexity_at_start")),
    ),
    series=(),
    curves=CURVES,
    afterwards=Afterwards(samples=MOST),
    notes=(
        f"SmolLM2-135M, {MOST} samples at temperature 1 of each of 24 held-out problems of three sets (sums and "
        "differences of two-digit numbers, three one-digit terms), by the start and by the end of each run; the "
        "same start samples for all arms of a seed. pass@k: the mean over problems of 1 - C(n - c, k) / C(n, k).",
        "All arms have 16 steps of 12 problems by 8 first tries. `pool` practises on 72 problems of the same "
        "three kinds, again and again; `self-play` begins with them, and its challenger, the model itself, makes "
        "harder ones. `end alone` is the share of all problems that the end solved at least once in 256 and the "
        "start never; `start alone` the reverse. Both happen by chance too, since a problem that is solved once "
        "in 256 is not solved in every 256: only their difference says anything.",
        "`perplexity` is that of the end's samples, a token, by the end itself, and `at the start` by the start: "
        "samples that are likely to the start were there before.",
    ),
)  # fmt: skip
