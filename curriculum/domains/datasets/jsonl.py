"""Rows of a JSONL file, each with its place, so that every complaint names file and line."""

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from curriculum.domains.seed_files import DomainError

MAX_ROWS = 1_000_000
LONGEST_ROW = 1 << 20  # bytes
LONGEST_TEXT = 20_000  # characters of a question or an answer


@dataclass(frozen=True, slots=True)
class Row:
    """One object of the file; `place` is "file:line"."""

    place: str
    values: dict[str, Any]

    def text(self, key: str) -> str:
        """A text, or a number as text. DomainError where there is none, or one that is empty or too long."""
        if key not in self.values:
            raise DomainError(f"{self.place}: it has no {key!r} (keys: {', '.join(self.values)[:200]})")
        text = self.text_of(key, self.values[key]).strip()
        if not text:
            raise DomainError(f"{self.place}: {key} is empty")
        return text

    def text_of(self, key: str, value: Any) -> str:
        """`value`, which is that of `key` or made of it: a text, or a number as text. DomainError for one of another
        kind, one that cannot be stored and one that is too long."""
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise DomainError(f"{self.place}: {key} is {str(value)[:80]!r}, and must be a text or a number")
        if isinstance(value, float) and not math.isfinite(value):
            raise DomainError(f"{self.place}: {key} is {value}, and must be a text or a finite number")
        text = str(value)
        if "\0" in text:
            raise DomainError(f"{self.place}: {key} holds a NUL character")
        if len(text) > LONGEST_TEXT:
            raise DomainError(f"{self.place}: {key} has {len(text):,} characters; at most {LONGEST_TEXT:,} are taken")
        try:
            text.encode()
        except UnicodeEncodeError:
            raise DomainError(f"{self.place}: {key} is no text in Unicode: half of a surrogate pair") from None
        return text


def read_rows(path: Path, option: str) -> list[Row]:
    """Every line that is not empty. DomainError for the first that cannot be read; `option` is what named the file."""
    try:
        if path.exists() and not path.is_file() and not path.is_dir():  # it is read again on resume
            raise DomainError(f"{option}: {path} is no file but a pipe or a device: save it as a JSONL file")
        with path.open("rb") as file:
            rows = list(_rows(path, file))
    except (OSError, ValueError) as error:  # ValueError: no name for a file
        if isinstance(error, DomainError):
            raise
        why = getattr(error, "strerror", None) or error
        raise DomainError(f"{option}: {path} cannot be read ({why}): give a JSONL file") from None
    if not rows:
        raise DomainError(f"{option}: {path} has no rows: give a JSONL file, one object a line")
    return rows


def _rows(path: Path, file: Any) -> Iterator[Row]:
    number = 0
    while line := file.readline(LONGEST_ROW + 1):
        number += 1
        place = f"{path}:{number}"
        if len(line) > LONGEST_ROW:
            raise DomainError(f"{place}: a row has at most {LONGEST_ROW >> 20} MB: is this JSONL, one object a line?")
        if number > MAX_ROWS:
            raise DomainError(f"{path}: more than {MAX_ROWS:,} rows")
        if not line.strip():
            continue
        try:
            if b"\0" in line:  # as UTF-16 without its mark has it
                raise UnicodeError
            values = json.loads(line.decode("utf-8-sig" if number == 1 else "utf-8"))
        except UnicodeError:
            raise DomainError(f"{place}: not UTF-8: save the file in this encoding") from None
        except (ValueError, RecursionError) as error:
            raise DomainError(f"{place}: not JSON ({error}): is the line whole?") from None
        if not isinstance(values, dict):
            raise DomainError(f"{place}: a row is an object, such as {{...}}")
        yield Row(place, values)
