"""What an audit finds: which parameters a run changed, of what rank the changes are, what two runs have in common."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

Count = Literal["bf16", "fp32", "relative"]
COUNTS: tuple[Count, ...] = get_args(Count)

ABSOLUTE = 1e-5  # of the first two counts; that of the paper below
RELATIVE = 1e-3


class Counts(NamedTuple):
    """Parameters that count as changed from w to v, counted three ways.

    bf16: |bf16(v) - bf16(w)| > ABSOLUTE, as in Mukherjee et al. 2025 (arXiv 2505.11711), where what is smaller than the
    spacing of bfloat16 near w is no change. fp32: |v - w| > ABSOLUTE of the fp32 masters. relative: |v - w| > RELATIVE
    |w| of these; of a parameter that was 0, any change.
    """

    bf16: int
    fp32: int
    relative: int


class ByChance(NamedTuple):
    """Parameters of a tensor that two runs would both change by chance, expected, counted as `Counts` does."""

    bf16: float
    fp32: float
    relative: float


@dataclass(frozen=True, slots=True)
class OfSize:
    """Of `numbers` weights w with 2^power <= |w| < 2^(power + 1) at the start, how many count as changed."""

    power: int
    numbers: int
    changed: Counts


class Ranks(NamedTuple):
    """Of a matrix of rank `size` at most. `rank`: its singular values above max(rows, columns) 2^-23 times the largest,
    as numpy.linalg.matrix_rank has it for float32. `rank99`: fewest that hold 99% of their squares' sum."""

    size: int
    rank: int
    rank99: int


@dataclass(frozen=True, slots=True)
class MatrixRanks:
    """Of one matrix's update: in fp32, and as what was served in bf16 has changed. `is_sampled`: of a part of it."""

    fp32: Ranks
    bf16: Ranks
    is_sampled: bool


@dataclass(frozen=True, slots=True)
class Shared:
    """Parameters of one tensor that the other run changed, and that both did. `alike`: that both would by chance, if
    each run changed as many of each size as it did (selfplay/audit/sizes.py)."""

    other: Counts
    both: Counts
    alike: ByChance


@dataclass(frozen=True, slots=True)
class TensorAudit:
    """One trained tensor. `squares`, `start_squares`: sums of the update's and the start's squares. `sizes`: its
    weights by size, rising. `ranks`: of a matrix, where asked for. `shared`: where there is another run."""

    name: str
    shape: tuple[int, ...]
    numbers: int
    changed: Counts
    squares: float
    start_squares: float
    sizes: tuple[OfSize, ...] = ()
    ranks: MatrixRanks | None = None
    shared: Shared | None = None


@dataclass(frozen=True, slots=True)
class Overlap:
    """How much of what each of two runs changed the other changed too, and what that share would be by chance.

    `of_first` = |A and B| / |A|, `of_second` = |A and B| / |B|. By chance over all parameters |B| / n and |A| / n;
    `..._within` keeps to how many each run changed of each tensor, since both may change more of the same tensors:
    sum_t |A_t| |B_t| / n_t over |A|, and over |B|. `..._alike` keeps to that by weights of like size within
    tensors too, since what bf16 shows as changed depends on the size. 0 where a run changed nothing.
    """

    of_first: float
    of_second: float
    chance_first: float
    chance_second: float
    chance_first_within: float
    chance_second_within: float
    chance_first_alike: float
    chance_second_alike: float


@dataclass(frozen=True, slots=True)
class Audited:
    """What was audited: a run's checkpoint of `step` against its start, or against its checkpoint of step `since`."""

    run: str
    step: int
    since: int
    model: str  # that the run began with
    dtype: str  # in which it is served


@dataclass(frozen=True, slots=True)
class Audit:
    """`tensors` are those that were trained. `against`: the other run, where there is one."""

    audited: Audited
    tensors: Sequence[TensorAudit]
    against: Audited | None = None
