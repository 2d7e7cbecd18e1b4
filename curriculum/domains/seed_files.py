"""Reads seed problems from JSONL: one object a line, {"text": "3 + 4"}; empty lines are skipped."""

import json
from collections.abc import Callable, Collection
from pathlib import Path

from curriculum.domains.protocol import Statement
from store.errors import SelfplayError
from store.records import Fate

_KEY = "domain_options.seeds_path"
_MAX_LINES = 100_000


class DomainError(SelfplayError, ValueError):
    """A domain cannot be used: not found, incomplete, or its seeds are wrong. One line that says what to do."""


def read_seeds(
    path: Path, parse: Callable[[str], Statement | Fate], *, left_out: Collection[Fate] = (), key: str = _KEY
) -> tuple[Statement, ...]:
    """The file's statements, in order. DomainError, naming the line, for a bad line or a problem posed twice.

    `left_out`: rejections that leave a line out in place of an error, as where a domain's options allow only some of
    the seeds that are shipped with it. `key`: that names the file.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:  # ValueError: not UTF-8, or no name for a file
        raise DomainError(f"{key}: {path} cannot be read ({error}): give a JSONL file in UTF-8") from None
    if len(lines) > _MAX_LINES:
        raise DomainError(f"{key}: {path} has {len(lines)} lines, the limit is {_MAX_LINES}")
    statements: dict[str, Statement] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        statement = parse(_text_of(line, f"{path}:{number}"))
        if statement in left_out:
            continue
        if isinstance(statement, Fate):
            raise DomainError(f"{path}:{number}: the domain rejects this problem as {statement}: correct or remove it")
        if statement.canonical in statements:
            raise DomainError(f"{path}:{number}: the same problem as an earlier line: remove it")
        statements[statement.canonical] = statement
    if not statements:
        raise DomainError(f'{key}: {path} has no problems: give at least one line such as {{"text": "3 + 4"}}')
    return tuple(statements.values())


def _text_of(line: str, place: str) -> str:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise DomainError(f"{place}: not JSON ({error})") from None
    if not isinstance(record, dict) or set(record) != {"text"} or not isinstance(record["text"], str):
        raise DomainError(f'{place}: a seed is {{"text": "..."}} and nothing else')
    return record["text"]
