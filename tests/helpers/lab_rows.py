"""Rows of cells that nobody ran, with effects that are known."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from selfplay.lab.rows import Row

SETS = ("easy", "hard")


def outcomes(rng: np.random.Generator, n: int, first: float, mended: float, broken: float) -> str:
    """Digits of n problems: `first` right at once, then a share of wrong ones mended and of right ones broken."""
    right = rng.random(n) < first
    last = np.where(right, rng.random(n) >= broken, rng.random(n) < mended)
    return "".join(str(2 * int(a) + int(b)) for a, b in zip(right, last, strict=True))


def made_row(arm: str, seed: int, mended: float, n: int = 300) -> Row:
    """A cell that begins at 0.5 without mending anything, and ends at 0.6 with `mended` of the rest."""
    rng = np.random.default_rng([seed, *arm.encode()])
    return Row(
        experiment="fake",
        arm=arm,
        seed=seed,
        commit="abc1234",
        config=("configs/tiny.yaml@12345678", f"solver.bonus={mended}"),
        steps=200,
        seconds=81.5,
        fingerprint="torch 2.13, one core",
        start={name: {"n": float(n), "change_rate": 0.25} for name in SETS},
        end={name: {"n": float(n), "change_rate": 0.5, "tokens_mean": 4.0 + seed} for name in SETS},
        outcomes={
            name: {"start": outcomes(rng, n, 0.5, 0.0, 0.1), "end": outcomes(rng, n, 0.6, mended, 0.02)}
            for name in SETS
        },
        series={name: {"fix_own": [(0, 0.0), (200, mended)], "fix_start": [(0, 0.0), (200, 0.1)]} for name in SETS},
    )


def reporting(row: Row, rng: np.random.Generator, n: int = 300) -> Row:
    """The same cell with honest reports: what is stated with q is right with probability q."""
    stated = rng.integers(0, 11, (len(SETS), n)) / 10
    right = rng.random((len(SETS), n)) < stated
    said = [
        " ".join(f"{c:d}:{q:g}" for c, q in zip(*pair, strict=True)) + " 0:-"
        for pair in zip(right, stated, strict=True)
    ]
    grown = {s: {m: text + "0" for m, text in texts.items()} for s, texts in row.outcomes.items()}
    return replace(row, outcomes=grown, reports={s: {"end": text} for s, text in zip(SETS, said, strict=True)})


def made_rows(full: float, seeds: Sequence[int] = (0, 1, 2), n: int = 300) -> list[Row]:
    arms = {"base": 0.0, "full": full, "told": 0.9}
    return [made_row(arm, seed, mended, n) for arm, mended in arms.items() for seed in seeds]
