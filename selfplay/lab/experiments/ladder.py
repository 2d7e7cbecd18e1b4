"""Who decides what is practised: `solvable`, `replay` and `rounds`, on a ladder of chains that get longer.

Criteria were written before any run; a threshold is changed only with the reason beside it. Settings of `replay` were
tried on seed 100, which is none of the seeds compared. Claims, measures and most thresholds are those of the design,
rows 11, 6a and 12.

`replay` and `rounds` have their own rungs, since seed 100. A start model that is taught several lengths alike answers
the longest and not the shorter ones (0.15 of the held-out chains of two where 0.95 of those of three are right), and
forty problems of each of seven lengths hide what is learned of two. So chains begin at three and end at six, and the
start is taught those of three, and a few of four. Before that criteria said "2 and 3"; no compared seed had been run.
Their controls asked for 0.05 on all lengths. They ask for 0.03 on chains of three, for on seed 100 training moves
little else: stopped at a loss of 0.42 the start answers 0.89 of these, which leaves 0.11 to gain, and in 30 steps it
gained 0.04; stopped at 0.58 it answers 0.28 and learns nothing.
"""

from selfplay.lab.experiments.experiment import Arm, Column, Experiment
from selfplay.lab.forms import FormStart, SizedStart
from selfplay.lab.verdict.criteria import Criterion
from selfplay.lab.verdict.measures import acc_t1, between, change, difference, from_metrics, of, ratio
from selfplay.lab.verdict.parts import on, reached

SOLVER_START = FormStart(layers=2, width=64, heads=4, turns=1, iterations=1500, batch=64, until_loss=0.3)
FRONTIER = reached(0.5)
ALL = "domain_options.drawn=[2, 3, 4, 5, 6, 7, 8]"
FRESH = ("curriculum.min_new_share=1.0", "curriculum.max_new_share=1.0")
PROCEDURAL = ("challenger.source=procedural", ALL)
LEARNED = (
    Column("accuracy", acc_t1),
    Column("chains of 2, 3", on(("chain2", "chain3"), acc_t1)),
    Column("of 4 to 8", on(("chain4", "chain5", "chain6", "chain7", "chain8"), acc_t1)),
    Column("frontier", FRONTIER),
)
POSED = (
    Column("mean length at the end", from_metrics("top_level")),
    Column("groups with a signal", from_metrics("signal_run")),
    Column("median pass rate", from_metrics("median_rate")),
    Column("tokens, thousands", from_metrics("thousand_tokens")),
)
LADDER_NOTE = (
    "Problems are chains of two to eight sums and products modulo 17, answered step by step: `3*2+4 =` by `6,10`. The "
    "start model was taught to answer chains of two and three. It has answered none that is longer: the steps "
    "are known facts, but nothing has gone on for so long. Accuracy is greedy, on 40 held-out chains of each length. "
    "The frontier is how many lengths, from two on, are solved at least half of the time; the first that is not counts "
    "in part, its accuracy over one half."
)

SOLVABLE = Experiment(
    name="solvable",
    title="Does a controller of difficulty keep problems solvable, and does that teach more?",
    claim=(
        "Problems that the engine chooses by what it foretells of their pass rate have a signal more often than "
        "problems of a fixed or a random level, and more is learned from as many tokens."
    ),
    base_config="configs/lab/ladder.yaml",
    warm_start=SOLVER_START,
    arms={
        "engine": Arm((*PROCEDURAL, "challenger.levels=learnable"), note="lengths by what is learnable now, replays"),
        "fixed": Arm(
            ("challenger.source=procedural", "domain_options.drawn=[4]", *FRESH), note="fresh chains of four only"
        ),
        "random": Arm((*PROCEDURAL, *FRESH), note="fresh chains of two to eight, each length as often"),
    },
    criteria=(
        Criterion(
            "signal", "share of groups with a signal, engine over random", 1.5, ">=",
            ratio(of("engine", from_metrics("signal_run")), of("random", from_metrics("signal_run"))),
            smallest_effect=0.3,
        ),
        Criterion("kept", "engine: share of groups with a signal", 0.6, ">=", of("engine", from_metrics("signal_run"))),
        Criterion(
            "accuracy", "engine's accuracy on all lengths less random's, greedy", 0.03, ">=",
            between("engine", "random", acc_t1), is_signed=True,
        ),
        Criterion(
            "coverage", "engine: share of groups within the 90% interval that was foretold", 0.85, ">=",
            of("engine", from_metrics("foretold_coverage")),
        ),
        Criterion(
            "fixed", "engine's accuracy less fixed's", 0.03, ">=", between("engine", "fixed", acc_t1), is_gated=False,
            is_signed=True,
        ),
    ),
    control=Criterion(
        "control", "random: change of accuracy, so that there is something to learn", 0.05, ">=",
        change("random", acc_t1), is_signed=True,
    ),
    smallest_effect=0.05,
    columns=(*LEARNED, *POSED, Column("within the 90% interval", from_metrics("foretold_coverage"))),
    series=("acc_t1",),
    notes=(LADDER_NOTE,),
)  # fmt: skip

POSER_START = SizedStart(
    layers=2, width=64, heads=4, turns=1, iterations=1200, batch=64, until_loss=0.42, posing=0.15,
    sizes=((3, 1.0), (4, 0.2)),
)  # fmt: skip
EASY, LONG = ("chain3", "chain4"), ("chain5", "chain6")
ON_EASY, ON_LONG, PICKED_EASY = on(EASY, acc_t1), on(LONG, acc_t1), on(EASY, from_metrics("picked_acc_t1"))
ON_KNOWN = on(("chain3",), acc_t1)
UPPER = "domain_options.drawn=[3, 4, 5, 6]"
CLIMBED = (
    Column("accuracy", acc_t1),
    Column("chains of 3, 4", ON_EASY),
    Column("of 5, 6", ON_LONG),
    Column("frontier", FRONTIER),
)
PROPOSED = (Column("valid", from_metrics("valid_share")), Column("new of these", from_metrics("unique_share")))
RUNGS_NOTE = (
    "Problems are chains of three to six sums and products modulo 17, answered step by step: `3*2+4*3 =` by "
    "`6,10,13`. The start model was taught to answer chains of three and a few of four, and to pose chains of any "
    "length, half of them one operation longer than the one it is shown. Accuracy is greedy, on 80 held-out chains of "
    "each length. The frontier is how many lengths, from three on, are solved at least half of the time; the first "
    "that is not counts in part, its accuracy over one half."
)
WATCHED = ("probes.size=16", "run.checkpoint_every=10", "run.keep_checkpoints=2", "evaluate.every=10")
UNBANDED = (
    "challenger.reward=difficulty", "curriculum.level_discount=1.0", "curriculum.parent_low=0.0",
    "curriculum.max_family_share=1.0", "curriculum.min_successes=1", "train.advantage_scale=group", *FRESH,
)  # fmt: skip

REPLAY = Experiment(
    name="replay",
    title="Does replay of old checkpoints on the run's own probes guard against a challenger that only wants failure?",
    claim=(
        "A challenger that is paid 1 - accuracy without regard to solvability drives the solver to forget what is "
        "easy; the checkpoint that the product rule picks by hard and easy probes is better than the last."
    ),
    base_config="configs/lab/rungs.yaml",
    warm_start=POSER_START,
    arms={
        "hostile": Arm(
            (*WATCHED, *UNBANDED),
            note="paid 1 - accuracy; no pull to what is reached, no replays, no filter, GRPO's division",
        ),
        "banded": Arm(WATCHED, note="the engine: paid 4 p (1 - p), with its curriculum"),
    },
    criteria=(
        Criterion(
            "pick", "hostile: accuracy on chains of 3 and 4 of the picked checkpoint less the last's", 0.02, ">=",
            difference(of("hostile", PICKED_EASY), of("hostile", ON_EASY)), is_signed=True,
        ),
        Criterion(
            "drop", "hostile: change of accuracy on chains of 3 and 4", -0.03, "<=", change("hostile", ON_EASY),
            is_signed=True,
        ),
        Criterion(
            "pick, all", "hostile: accuracy on all lengths, picked less last", 0.0, ">=",
            difference(of("hostile", from_metrics("picked_acc_t1")), of("hostile", acc_t1)), is_gated=False,
            is_signed=True,
        ),
    ),
    control=Criterion(
        "control", "banded: change of accuracy on chains of 3, so that training teaches", 0.03, ">=",
        change("banded", ON_KNOWN), is_signed=True,
    ),
    smallest_effect=0.05,
    columns=(
        *CLIMBED,
        Column("3, 4 at the pick", PICKED_EASY),
        Column("all at the pick", from_metrics("picked_acc_t1")),
        Column("step of the pick", from_metrics("picked_step")),
        *POSED,
        *PROPOSED,
    ),
    series=("acc_t1",),
    notes=(
        RUNGS_NOTE,
        "Checkpoints are compared every ten steps on at most 16 hard and 16 easy problems of the run's own "
        "([probes.md](../probes.md)). Accuracy at the pick is that of the evaluation at its step.",
    ),
)  # fmt: skip

ROUNDS = Experiment(
    name="rounds",
    title="Does a trained challenger raise what the solver can do?",
    claim=(
        "With a challenger that is trained the frontier rises further than with one that stays as it was, with the "
        "domain's own sampler, with a fixed pool of problems, with majority votes as labels, or without a gate."
    ),
    base_config="configs/lab/rungs.yaml",
    warm_start=POSER_START,
    arms={
        "full": Arm((), note="the engine: the challenger is paid 4 p (1 - p) and trained"),
        "frozen": Arm(("challenger.source=frozen",), note="the start model poses, throughout"),
        "procedural": Arm(
            ("challenger.source=procedural", UPPER), note="the domain's own sampler, each length as often"
        ),
        "pool": Arm(
            ("challenger.source=none", UPPER, "domain_options.pool=600"),
            note="600 problems drawn once, as many as self-play poses",
        ),
        "majority": Arm(("judge.source=majority",), note="right is what most tries at a problem answer"),
        "no-gate": Arm(
            ("challenger.gate=none",), is_gated=False, note="known problems and broken ones are paid like their parents"
        ),
        "shaped": Arm(
            ("challenger.learned_credit=10.0", "curriculum.family_quota=0.34"), is_gated=False,
            note="full, paid for what families learn too, at most a third of the places for a length",
        ),
        "aimed": Arm(
            ("challenger.aim=chain6", "challenger.aim_weight=0.8"), is_gated=False,
            note="full, paid for being near chains of six that are not solved",
        ),
    },
    criteria=(
        Criterion(
            "over frozen", "full's frontier less frozen's", 0.25, ">=", between("full", "frozen", FRONTIER),
            is_signed=True, smallest_effect=0.5,
        ),
        Criterion(
            "over a pool", "full's accuracy on all lengths less pool's", 0.03, ">=", between("full", "pool", acc_t1),
            is_signed=True,
        ),
        Criterion(
            "easy", "full: change of accuracy on chains of 3 and 4", -0.02, ">=", change("full", ON_EASY),
            is_signed=True,
        ),
        Criterion("unique", "full: share of its valid proposals that is new", 0.8, ">=",
            of("full", from_metrics("unique_share"))),
        Criterion(
            "over procedural", "full's accuracy less procedural's", 0.0, ">=", between("full", "procedural", acc_t1),
            is_gated=False, is_signed=True,
        ),
        Criterion(
            "majority", "full's accuracy less majority's", 0.0, ">=", between("full", "majority", acc_t1),
            is_gated=False, is_signed=True,
        ),
    ),
    control=Criterion(
        "control", "procedural: change of accuracy on chains of 3, so that there is something to learn", 0.03, ">=",
        change("procedural", ON_KNOWN), is_signed=True,
    ),
    smallest_effect=0.05,
    columns=(*CLIMBED, *POSED, *PROPOSED),
    series=("acc_t1",),
    notes=(RUNGS_NOTE,),
)  # fmt: skip
