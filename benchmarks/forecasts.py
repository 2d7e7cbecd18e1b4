"""How well a problem's first group is foretold by its family's rate and by its features, in five universes.

    uv run python benchmarks/forecasts.py [--steps N] [--seed N]

A universe is pass rates by problem, and no model (tests/helpers/universes/curriculum_universes.py); the curriculum
chooses by the family's rate. Both rules are scored on the same groups. A run of yours is scored by
`selfplay.inspect forecasts`.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from curriculum.settings import CurriculumSettings
from curriculum.tracking.forecasts import scored, scores

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "helpers" / "universes"))

from curriculum_universes import Abrupt, Ladder, ManyLevels, Rare, TinyFamilies, Universe, play_curriculum

UNIVERSES = (Ladder, TinyFamilies, ManyLevels, Abrupt, Rare)


def row(universe: Universe, num_steps: int) -> str:
    history = play_curriculum(universe, num_steps).history
    first = [each for each in scored(history, CurriculumSettings()) if each.is_first]
    beta, features = scores(first, "beta"), scores(first, "features")
    if beta is None or features is None:
        return f"| `{type(universe).__name__}` | 0 | | | |"
    return (
        f"| `{type(universe).__name__}` | {len(first):,} | {beta.brier:.4f}, {features.brier:.4f} "
        f"| {beta.signal_brier:.4f}, {features.signal_brier:.4f} | {features.coverage:.2f} |"
    )


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args(arguments)
    print("| universe | first groups | Brier score of a try: beta, features | of a signal | within 90%: features |")
    print("|---|---|---|---|---|")
    for each in UNIVERSES:
        print(row(each(seed=asked.seed), asked.steps), flush=True)


if __name__ == "__main__":
    main()
