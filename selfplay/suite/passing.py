"""pass@k of one model and of another, out of reports or of the files that `evaluate --out` writes.

A file's rows are somebody else's: what is not a row of a model's samples is one line that says so.
"""

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from curriculum.error_lines import first_line
from selfplay.machine.errors import DATA, USAGE, Refused
from selfplay.stats.pass_curves import Counted, paired_curves
from selfplay.suite.records import ComparedPassing, ModelReport

MOST_SAMPLES = 1 << 16


@dataclass(frozen=True, slots=True)
class SampledSet:
    """One model's samples on one set: `right` has, by problem, how many of `samples` were right. `likelihood`: how
    likely they are to it and to another."""

    model: str
    step: int
    set_name: str
    samples: int
    right: Mapping[str, int]
    likelihood: "Likelihood | None" = None

    @property
    def named(self) -> str:
        return f"{self.model}, step {self.step}" if self.step else self.model


@dataclass(frozen=True, slots=True)
class Likelihood:
    """Of all samples of a set: `tokens`, and -sum of their log p in nats by the model that said them and by `against`,
    "" where it is not told which that is."""

    tokens: int
    nats: float
    nats_against: float
    against: str = ""

    @property
    def perplexities(self) -> tuple[float, float]:
        """exp of the mean -log p of a token, by both."""
        return math.exp(self.nats / self.tokens), math.exp(self.nats_against / self.tokens)


def sampled_sets(model: ModelReport) -> Iterator[SampledSet]:
    """Of every set that samples were drawn of."""
    for each in model.sets:
        if each.num_samples:
            right = {problem.problem_id: problem.num_right for problem in each.problems}
            told = [problem for problem in each.problems if problem.nats_against is not None]
            tokens = sum(problem.num_tokens for problem in told)
            nats = math.fsum(problem.nats for problem in told)
            against = math.fsum(problem.nats_against or 0.0 for problem in told)
            likelihood = Likelihood(tokens, nats, against) if tokens and len(told) == len(each.problems) else None
            yield SampledSet(model.model, model.step, each.set_name, each.num_samples, right, likelihood)


def compared_passing(first: Iterable[SampledSet], second: Iterable[SampledSet]) -> Iterator[ComparedPassing]:
    """Every set that both were asked, paired by problem. Raises Refused where its problems or samples differ."""
    others = {each.set_name: each for each in second}
    for one in first:
        if (other := others.get(one.set_name)) is None:
            continue
        if one.right.keys() != other.right.keys():
            raise Refused(f"{one.set_name}: {one.named} and {other.named} were asked different problems", USAGE)
        if one.samples != other.samples:
            raise Refused(
                f"{one.set_name}: {one.samples} samples of {one.named} and {other.samples} of {other.named}: draw as "
                "many of both (evaluate --samples)",
                USAGE,
            )
        ids = sorted(one.right)
        mine, theirs = (Counted(each.samples, [each.right[problem] for problem in ids]) for each in (one, other))
        curves, likelihood = paired_curves(mine, theirs, one.set_name), one.likelihood
        is_told = likelihood is not None and likelihood.against in ("", other.named)
        perplexity = likelihood.perplexities if likelihood is not None and is_told else None
        yield ComparedPassing(one.set_name, one.named, other.named, len(ids), curves, perplexity)


def read_outcomes(paths: Sequence[Path]) -> list[SampledSet]:
    """All models and sets in files of `evaluate --out`, in the order of their rows. Raises Refused."""
    found: dict[tuple[str, int, str], tuple[int, dict[str, int]]] = {}
    likely: dict[tuple[str, int, str], list[Likelihood]] = {}
    for path in paths:
        for row in _rows(path):
            key, problem, samples, right = _checked(row, path)
            number, counts = found.setdefault(key, (samples, {}))
            if number != samples or problem in counts:
                raise Refused(f"{path}: {key[0]} on {key[2]} is there twice, or with other numbers of samples", DATA)
            counts[problem] = right
            if (told := _likelihood(row, path)) is not None:
                likely.setdefault(key, []).append(told)
    if not found:
        raise Refused("no samples in these files: write them by evaluate --samples N --out FILE", DATA)
    return [
        SampledSet(*key, samples, counts, _summed(likely.get(key, []), len(counts)))
        for key, (samples, counts) in found.items()
    ]


def _summed(told: Sequence[Likelihood], problems: int) -> Likelihood | None:
    """Of a whole set; None where it is not told of every problem, or not against one model."""
    names = {each.against for each in told}
    tokens = sum(each.tokens for each in told)
    if len(told) != problems or len(names) != 1 or not tokens:
        return None
    nats, against = (math.fsum(column) for column in zip(*((t.nats, t.nats_against) for t in told), strict=True))
    return Likelihood(tokens, nats, against, *names)


def by_model(found: Iterable[SampledSet]) -> list[list[SampledSet]]:
    """The sets of each model, in the order in which models come."""
    models: dict[str, list[SampledSet]] = {}
    for each in found:
        models.setdefault(each.named, []).append(each)
    return list(models.values())


def _rows(path: Path) -> Iterator[Any]:
    try:
        if path.suffix == ".parquet":
            from pyarrow import parquet

            yield from parquet.read_table(path).to_pylist()
            return
        with path.open(encoding="utf-8") as file:
            for line in file:
                yield json.loads(line)
    except ImportError:
        raise Refused(f"{path}: Parquet needs pyarrow: `uv pip install pyarrow`, or give .jsonl", USAGE) from None
    except (OSError, ValueError, RecursionError) as error:
        raise Refused(f"{path} cannot be read ({first_line(error)}): give what evaluate --out wrote", DATA) from None


def _checked(row: Any, path: Path) -> tuple[tuple[str, int, str], str, int, int]:
    """((model, step, set), problem, samples, right answers)."""
    match row:
        case {
            "model": str(model), "step": int(step), "set": str(named), "problem_id": str(problem),
            "num_samples": int(samples), "num_right": int(right),
        } if 0 <= right <= samples and 0 < samples <= MOST_SAMPLES:  # fmt: skip
            return (model, step, named), problem, samples, right
    raise Refused(f"{path}: a row has no samples: write it by evaluate --samples N --out FILE", DATA)


def _likelihood(row: Any, path: Path) -> Likelihood | None:
    """What a row tells of how likely its samples are; None where it tells nothing. Raises Refused."""
    if row.get("sampled_nats_against") is None:
        return None
    match row:
        case {
            "sampled_tokens": int(tokens), "sampled_nats": int() | float() as nats,
            "sampled_nats_against": int() | float() as theirs, "against": str(against),
        } if tokens >= 0 and all(math.isfinite(each) and each >= 0 for each in (nats, theirs)):  # fmt: skip
            return Likelihood(tokens, float(nats), float(theirs), against)
    raise Refused(f"{path}: a row's sampled_nats are not numbers: write it by evaluate --samples N --out FILE", DATA)
