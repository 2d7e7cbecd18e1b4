"""How often intervals (intervals.py) hold the truth, by simulation: `python -m selfplay.lab coverage`.

An outcome is right with probability Phi(level + z + s + w): z belongs to the problem and is shared by all seeds and
arms, s to a run (an arm with a seed), w to an arm's problem. All are normal, so that the true accuracy of an arm is in
closed form, Phi(level / sqrt(1 + variances)).
"""

import math
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np

from selfplay.lab.rows import Moment
from selfplay.lab.verdict.intervals import half_width, interval
from selfplay.lab.verdict.measures import calibrated, of
from selfplay.lab.verdict.views import CellView, Field, SetFacts, Values
from selfplay.stats.intervals import Z95, t95

NORMAL = NormalDist()
DEVIATIONS = (0.0, 0.02, 0.05, 0.1)  # between seeds, of accuracy
STATED = np.arange(11) / 10
_phi = np.vectorize(NORMAL.cdf, otypes=[float])


@dataclass(frozen=True, slots=True)
class Coverage:
    """Of `trials` intervals: the share that hold the truth, and their mean width over that of 1.96 true deviations.

    seeds_alone: the share of t intervals over the seeds' values, which do not know of problems. range_alone: of the
    range of the seeds' values, which is what a bootstrap over three seeds gives.
    """

    held: float
    width: float
    seeds_alone: float
    range_alone: float


def accuracy_coverage(
    rng: np.random.Generator,
    seeds: int,
    problems: int,
    deviation: float,
    spread: float,
    is_difference: bool,
    trials: int,
) -> Coverage:
    """Of an arm's accuracy, or of what it has more than another on the same problems.

    deviation: between seeds, of an arm's accuracy. spread: of z; 0.5: problems are much alike, 2: most are always right
    or always wrong.
    """
    own = 0.5 if is_difference else 0.0
    scale = math.sqrt(1 + spread**2 + own**2)
    slope = NORMAL.pdf(0.0) / scale  # of accuracy by what is added to a level of 0
    levels = (0.3, 0.0) if is_difference else (0.3,)
    seed = deviation / slope
    z = rng.normal(0, spread, (1, problems, trials))
    values = np.zeros((seeds, problems, trials))
    for sign, level in zip((1, -1), levels, strict=False):
        noise = rng.normal(0, 1, (seeds, problems, trials))
        effect = rng.normal(0, seed, (seeds, 1, trials)) + rng.normal(0, own, (1, problems, trials))
        values += sign * (level + z + effect + noise > 0)
    total = math.sqrt(scale**2 + seed**2)
    truth = sum(s * NORMAL.cdf(level / total) for s, level in zip((1, -1), levels, strict=False))
    by_run = values.mean(axis=1)
    mean, by_seed = by_run.mean(axis=0), by_run.var(axis=0, ddof=1) / seeds
    half = half_width(values - values.mean(axis=1, keepdims=True), by_seed, (problems,))
    off = np.abs(mean - truth)
    return Coverage(
        held=float((off <= half).mean()),
        width=float(half.mean() / (Z95 * mean.std())),
        seeds_alone=float((off <= t95(seeds - 1) * np.sqrt(by_seed)).mean()),
        range_alone=float(((by_run.min(axis=0) <= truth) & (truth <= by_run.max(axis=0))).mean()),
    )


def calibration_coverage(
    rng: np.random.Generator, name: str, seeds: int, problems: int, deviation: float, trials: int
) -> tuple[float, float]:
    """(share of intervals that hold the truth, mean value less the truth) of a calibration figure of one arm.

    Each of eleven values is stated as often; what is stated as q is right with probability
    Phi((1.5 + s) (q - 1/2) + z), s of `deviation` times 5 by seed, z of 1/2 by problem.
    """
    slopes = [1.5 + 5 * deviation * NORMAL.inv_cdf((i + 0.5) / 400) for i in range(400)]
    truth = float(np.mean([_expected(name, _right(slope)) for slope in slopes]))
    held, total = 0, 0.0
    for _ in range(trials):
        z = rng.normal(0, 0.5, problems)
        cells = {"arm": {seed: _reporting(rng, z, 1.5 + rng.normal(0, 5 * deviation)) for seed in range(seeds)}}
        value, low, high = interval(of("arm", calibrated(name)), cells)
        held += low <= truth <= high
        total += value - truth
    return held / trials, total / trials


def page(trials: int = 4000) -> str:
    """docs/lab/coverage.md."""
    rng = np.random.default_rng(24)
    lines = [
        "# What intervals over three seeds hold",
        textwrap.fill(
            f"Simulated by `python -m selfplay.lab coverage`, which wrote this page: {trials:,} experiments a row,"
            f" {trials // 10} for calibration. How intervals are made, and whose formulas they are: "
            "[selfplay/lab/verdict/intervals.py](../../selfplay/lab/verdict/intervals.py); what is drawn: "
            "[selfplay/lab/verdict/coverage.py](../../selfplay/lab/verdict/coverage.py). 95% is claimed. `seed` is the "
            "standard deviation of accuracy between seeds, `spread` how much problems differ (0.5: much alike; 2: most "
            "are always right or always wrong). `width` is the mean width over that of 1.96 true deviations, which "
            "nobody knows from three seeds. Beside ours: Student's t over the seeds' values, and their range, which is "
            "what a bootstrap over three seeds gives.",
            120, break_long_words=False, break_on_hyphens=False,
        ),
        "| measure | seeds | problems | seed | spread | holds the truth | width | t over seeds | range of seeds |\n"
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |\n" + "\n".join(_accuracy_rows(rng, trials)),
        "Calibration, 200 problems; `bias` is the mean of the figure less the truth.",
        "| measure | seeds | seed | holds the truth | bias |\n| --- | --- | --- | --- | --- |\n"
        + "\n".join(_calibration_rows(rng, trials // 10)),
    ]  # fmt: skip
    return "\n\n".join(lines) + "\n"


def write_page(folder: Path) -> Path:
    """Simulate, and write coverage.md to `folder`; its path."""
    path = folder / "coverage.md"
    path.write_text(page(), encoding="utf-8")
    return path


def _accuracy_rows(rng: np.random.Generator, trials: int) -> Iterator[str]:
    for is_difference in (False, True):
        for seeds, problems in ((3, 200), (3, 300), (5, 200)):
            for spread in (0.5, 2.0):
                for deviation in DEVIATIONS:
                    found = accuracy_coverage(rng, seeds, problems, deviation, spread, is_difference, trials)
                    name = "difference of two arms" if is_difference else "accuracy"
                    yield _row(
                        name, seeds, problems, deviation, spread, f"{found.held:.3f}", f"{found.width:.2f}",
                        f"{found.seeds_alone:.3f}", f"{found.range_alone:.3f}",
                    )  # fmt: skip


def _calibration_rows(rng: np.random.Generator, trials: int) -> Iterator[str]:
    for name in ("auroc", "ece", "ece_corrected"):
        for seeds in (3, 5):
            for deviation in (0.0, 0.05):
                held, bias = calibration_coverage(rng, name, seeds, 200, deviation, trials)
                yield _row(name, seeds, deviation, f"{held:.3f}", f"{bias:+.4f}")


def _row(*cells: object) -> str:
    return f"| {' | '.join(map(str, cells))} |"


def _right(slope: float) -> Values:
    """[11]: how often each stated value is right, over all problems."""
    return np.asarray(_phi(slope * (STATED - 0.5) / math.sqrt(1.25)))


def _expected(name: str, right: Values) -> float:
    """A figure of a run that answers without end."""
    if name == "auroc":
        wrong = 1 - right
        return float((right * (np.cumsum(wrong) - wrong / 2)).sum() / (right.sum() * wrong.sum()))
    gaps = right - STATED
    return float((np.abs(gaps[:9]).sum() + abs(gaps[9:].sum())) / len(STATED))  # 0.9 and 1 share a bin


def _reporting(rng: np.random.Generator, z: Values, slope: float) -> CellView:
    confidence = rng.choice(STATED, len(z))
    chance = _phi(slope * (confidence - 0.5) + z)
    arrays: dict[tuple[Field, Moment], Any] = {
        ("correct", "end"): rng.random(len(z)) < chance,
        ("confidence", "end"): confidence,
    }
    return CellView({"set": SetFacts(len(z), arrays, {"start": {}, "end": {}})}, ("set",))
