"""A dataset's problems by their use: shown few-shot, practised, kept for evaluation."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from curriculum.domains.datasets.jsonl import Row, read_rows
from curriculum.domains.datasets.rows import Keys, read_statements
from curriculum.domains.protocol import Statement, by_hash
from curriculum.domains.seed_files import DomainError

MAX_TEST = 500  # problems that a hash keeps for evaluation, at most


@dataclass(frozen=True, slots=True)
class Split:
    """`places`: where each problem stands, by its canonical form. `rows`: the practised file's, by place."""

    examples: Sequence[Statement]
    practised: Sequence[Statement]
    test: Sequence[Statement]
    keys: Keys
    places: Mapping[str, str]
    rows: Mapping[str, Row]


def read_split(
    path: str, test_path: str, test_share: float, examples: int, named: Mapping[str, str], is_posed: bool
) -> Split:
    """The first `examples` problems of `path` are examples. Kept for evaluation are those of `test_path`, or without
    one the share that a hash chooses of the rest. A problem of both files is in the evaluation alone.

    DomainError, which names file and line, for what cannot be read, and where nothing is left to practise."""
    read = read_rows(Path(path), "domain_options.path")
    statements, places, keys = read_statements(read, named, is_posed)
    if not 0 <= examples < len(statements):
        raise DomainError(
            f"domain_options.examples is {examples}: it must be from 0 to {len(statements) - 1}, one less than there"
            " are problems"
        )
    shown, rest = statements[:examples], statements[examples:]
    if test_path:
        given, test_places, _ = read_statements(
            read_rows(Path(test_path), "domain_options.test_path"), named, is_posed, may_lack_program=True
        )
        places = test_places | places  # a problem of both files is named by its line in `path`
    else:
        given = _share(rest, test_share)
    test = {each.canonical: each for each in given}
    practised = [each for each in rest if each.canonical not in test]
    if not practised and test_share < 1.0:
        why = "all its problems are in test_path" if test_path else f"it has {len(test)} besides {examples} examples"
        raise DomainError(f"{path}: nothing is left to practise, because {why}")
    return Split(shown, practised, list(test.values()), keys, places, {row.place: row for row in read})


def _share(statements: Sequence[Statement], share: float) -> list[Statement]:
    """Those whose hash is lowest, a `share` of all, MAX_TEST at most: the same ones whatever their order in the
    file. All of them where the share is 1."""
    ranked = by_hash(statements)
    return ranked if share == 1.0 else ranked[: min(MAX_TEST, max(1, round(share * len(ranked))))]
