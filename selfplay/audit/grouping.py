"""Tensors of an audit put together: by kind of matrix, by layer, and all."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from selfplay.audit.counting import NOTHING, plus
from selfplay.audit.records import COUNTS, Count, Counts, OfSize, Overlap, TensorAudit


@dataclass(frozen=True, slots=True)
class Group:
    """Some tensors. `changed`: shares of their parameters by way of counting. `moved`: L2 norm of their updates over
    that of their start. Ranks are means over the matrices that were ranked, as shares of the full rank; None without
    any. `sampled`: how many of these were too large to be ranked whole."""

    name: str
    tensors: int
    numbers: int
    changed: dict[Count, float]
    moved: float
    ranked: int = 0
    sampled: int = 0
    rank: float | None = None
    rank99: float | None = None
    rank_bf16: float | None = None
    rank99_bf16: float | None = None


def groups(tensors: Sequence[TensorAudit], by: Callable[[str], str]) -> list[Group]:
    """In the order in which `by` first gives each group's name for a tensor's."""
    names = dict.fromkeys(by(each.name) for each in tensors)
    return [group(name, [each for each in tensors if by(each.name) == name]) for name in names]


def group(name: str, tensors: Sequence[TensorAudit]) -> Group:
    numbers = sum(each.numbers for each in tensors)
    ranks = [each.ranks for each in tensors if each.ranks is not None]
    whole = math.fsum(each.start_squares for each in tensors)
    plain = Group(
        name=name,
        tensors=len(tensors),
        numbers=numbers,
        changed={count: sum(getattr(each.changed, count) for each in tensors) / max(1, numbers) for count in COUNTS},
        moved=math.sqrt(math.fsum(each.squares for each in tensors) / whole) if whole else 0.0,
    )
    if not ranks:
        return plain
    return Group(
        *(plain.name, plain.tensors, plain.numbers, plain.changed, plain.moved),
        ranked=len(ranks),
        sampled=sum(each.is_sampled for each in ranks),
        rank=_mean([each.fp32.rank / each.fp32.size for each in ranks]),
        rank99=_mean([each.fp32.rank99 / each.fp32.size for each in ranks]),
        rank_bf16=_mean([each.bf16.rank / each.bf16.size for each in ranks]),
        rank99_bf16=_mean([each.bf16.rank99 / each.bf16.size for each in ranks]),
    )


def layer_of(name: str) -> str:
    """ "layer 3" of model.layers.3.mlp.up_proj.weight; "outside layers" where no part of the name is a number."""
    number = next((part for part in name.split(".") if part.isdecimal()), None)
    return "outside layers" if number is None else f"layer {number}"


def kind_of(name: str) -> str:
    """What a tensor is, whatever its layer: mlp.up_proj of model.layers.3.mlp.up_proj.weight; an expert's number is *.

    Example: model.embed_tokens.weight is embed_tokens, transformer.h.0.attn.c_attn.bias is attn.c_attn.bias.
    """
    parts = name.removesuffix(".weight").split(".")
    first = next((place for place, part in enumerate(parts) if part.isdecimal()), None)
    inside = parts[-1:] if first is None else parts[first + 1 :]
    return ".".join("*" if part.isdecimal() else part for part in inside)


def overlap(tensors: Sequence[TensorAudit], count: Count) -> Overlap:
    """Of all tensors, each of which has `shared`."""
    found = [(each, each.shared) for each in tensors if each.shared is not None]
    numbers = sum(each.numbers for each, _ in found)
    first = sum(getattr(each.changed, count) for each, _ in found)
    second = sum(getattr(shared.other, count) for _, shared in found)
    both = sum(getattr(shared.both, count) for _, shared in found)
    within = math.fsum(getattr(e.changed, count) * getattr(s.other, count) / max(1, e.numbers) for e, s in found)
    alike = math.fsum(getattr(shared.alike, count) for _, shared in found)
    return Overlap(
        of_first=both / max(1, first),
        of_second=both / max(1, second),
        chance_first=second / max(1, numbers) if first else 0.0,
        chance_second=first / max(1, numbers) if second else 0.0,
        chance_first_within=within / max(1, first),
        chance_second_within=within / max(1, second),
        chance_first_alike=alike / max(1, first),
        chance_second_alike=alike / max(1, second),
    )


def by_size(tensors: Sequence[TensorAudit]) -> list[OfSize]:
    """Weights of all tensors by size, rising."""
    found: dict[int, tuple[int, Counts]] = {}
    for each in (size for tensor in tensors for size in tensor.sizes):
        numbers, changed = found.get(each.power, (0, NOTHING))
        found[each.power] = numbers + each.numbers, plus(changed, each.changed)
    return [OfSize(power, *found[power]) for power in sorted(found)]


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)
