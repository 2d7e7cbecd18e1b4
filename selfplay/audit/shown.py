"""An audit as people read it, and as one JSON value."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from selfplay.audit.grouping import Group, by_size, group, groups, kind_of, layer_of, overlap
from selfplay.audit.ranks import MOST_SIDE
from selfplay.audit.records import ABSOLUTE, COUNTS, RELATIVE, Audit, Audited

EVERYTHING = "all"


def audit_json(audit: Audit) -> dict[str, Any]:
    """Plain values: shares of all, of kinds and of layers; every tensor; overlaps by way of counting."""
    found: dict[str, Any] = {
        "audited": asdict(audit.audited),
        "against": None if audit.against is None else asdict(audit.against),
        "tolerances": {"bf16": ABSOLUTE, "fp32": ABSOLUTE, "relative": RELATIVE},
        EVERYTHING: asdict(group(EVERYTHING, audit.tensors)),
        "kinds": [asdict(each) for each in groups(audit.tensors, kind_of)],
        "layers": [asdict(each) for each in groups(audit.tensors, layer_of)],
        "sizes": [_plain(asdict(each)) for each in by_size(audit.tensors)],
        "tensors": [_plain(asdict(each)) for each in audit.tensors],
    }
    if audit.against is not None:
        found["overlap"] = {count: asdict(overlap(audit.tensors, count)) for count in COUNTS}
    return found


def _plain(each: dict[str, Any]) -> dict[str, Any]:
    """Counts and ranks by their names: `asdict` leaves named tuples as they are."""

    def named(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: named(inner) for key, inner in value.items()}
        if isinstance(value, tuple) and not hasattr(value, "_asdict"):
            return [named(inner) for inner in value]
        return value._asdict() if hasattr(value, "_asdict") else value

    return dict(named(each))


def heading(audit: Audit) -> str:
    numbers = sum(each.numbers for each in audit.tensors)
    return f"{_named(audit.audited)}: {numbers:,} trained parameters in {len(audit.tensors)} tensors"


def _named(audited: Audited) -> str:
    began = f"its start ({audited.model}, {audited.dtype})"
    return f"{audited.run}, step {audited.step}, against " + (f"its step {audited.since}" if audited.since else began)


def explained(audit: Audit) -> Iterator[str]:
    """Lines below the tables."""
    yield (
        f"changed: as bf16 by more than {ABSOLUTE:g}; of the fp32 masters by more than {ABSOLUTE:g}; relative: by more "
        f"than {RELATIVE:g} of itself. moved: L2 norm of the update over that of the start"
    )
    whole = group(EVERYTHING, audit.tensors)
    if whole.rank is not None:
        yield (
            "rank: of the update, of the full rank, mean over matrices; singular values above max(rows, columns) 2^-23 "
            "of the largest count. 99%: the fewest that hold 99% of the squares. fp32: of masters; bf16: as served"
        )
    if whole.sampled:
        part = f"{MOST_SIDE:,} rows and {MOST_SIDE:,} columns"
        yield f"{whole.sampled} matrices are too large: ranks are of {part} drawn of each"


def group_rows(audit: Audit) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Of all and by kind, and by layer."""
    kinds = [group(EVERYTHING, audit.tensors), *groups(audit.tensors, kind_of)]
    return [_row(each, "tensors") for each in kinds], [_row(each, "layer") for each in groups(audit.tensors, layer_of)]


def size_rows(audit: Audit) -> list[dict[str, Any]]:
    """By the size of the weight at the start, rising; sizes that fewer than a ten-thousandth have are left out."""
    sizes = by_size(audit.tensors)
    least = sum(each.numbers for each in sizes) / 10_000
    return [
        {"from": f"2^{each.power}", "parameters": f"{each.numbers:,}"}
        | {f"{name} changed": _share(getattr(each.changed, name) / each.numbers) for name in COUNTS}
        for each in sizes
        if each.numbers >= least
    ]


def _row(each: Group, what: str) -> dict[str, Any]:
    row: dict[str, Any] = {what: each.name, "parameters": f"{each.numbers:,}"}
    row |= {f"{name} changed": _share(each.changed[name]) for name in COUNTS} | {"moved": f"{each.moved:.2e}"}
    if each.rank is not None:
        row |= {"rank fp32": _share(each.rank), "99%": _share(each.rank99)}
        row |= {"rank bf16": _share(each.rank_bf16), "99% bf16": _share(each.rank99_bf16)}
    return row


def overlap_rows(audit: Audit) -> list[Mapping[str, Any]]:
    """One row for each way of counting: A is the first run, B the other."""
    rows: list[Mapping[str, Any]] = []
    for count in COUNTS:
        found = overlap(audit.tensors, count)
        rows.append(
            {
                "counted": count,
                "A and B / A": _share(found.of_first),
                "by chance": _share(found.chance_first),
                "within tensors": _share(found.chance_first_within),
                "of like size": _share(found.chance_first_alike),
                "A and B / B": _share(found.of_second),
                "chance": _share(found.chance_second),
                "within": _share(found.chance_second_within),
                "like size": _share(found.chance_second_alike),
            }
        )
    return rows


def overlap_title(audit: Audit) -> str:
    assert audit.against is not None
    return (
        f"what both changed: A is {audit.audited.run}, step {audit.audited.step}, B is {audit.against.run}, step "
        f"{audit.against.step}"
    )


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.2%}"
