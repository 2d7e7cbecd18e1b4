"""The experiments by name.

Arms that decide nothing are run with --full. The held-out problems are the same for all seeds.
"""

from selfplay.lab.experiments.early_experience import EARLY_EXPERIENCE
from selfplay.lab.experiments.format_collapse import FORMAT_COLLAPSE
from selfplay.lab.experiments.hard_samples import HARD_SAMPLES
from selfplay.lab.experiments.ladder import REPLAY, ROUNDS, SOLVABLE
from selfplay.lab.experiments.pass_at_k import PASS_AT_K
from selfplay.lab.experiments.reports import CALIBRATION, POST_COMPLETION
from selfplay.lab.experiments.self_correction import SELF_CORRECTION, SORTING
from selfplay.lab.experiments.self_correction_pretrained import PRETRAINED
from selfplay.lab.experiments.sparsity import SPARSITY
from selfplay.lab.experiments.tree_credit import TREE_CREDIT, TREE_CREDIT_COUNTDOWN
from selfplay.lab.experiments.tree_search import SEARCH, SEARCH_CHAINS

EXPERIMENTS = {
    each.name: each
    for each in (
        HARD_SAMPLES, SOLVABLE, REPLAY, ROUNDS, FORMAT_COLLAPSE,
        SELF_CORRECTION, SORTING, PRETRAINED, CALIBRATION, POST_COMPLETION, SEARCH, SEARCH_CHAINS, TREE_CREDIT,
        TREE_CREDIT_COUNTDOWN, PASS_AT_K, SPARSITY, EARLY_EXPERIENCE,
    )
}  # fmt: skip
