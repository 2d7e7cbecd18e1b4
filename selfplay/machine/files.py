"""Files that are there whole or not at all."""

from collections.abc import Iterable
from pathlib import Path


def write_whole(path: Path, text: Iterable[str]) -> None:
    """Writes a file under a temporary name beside it and renames it: a reader finds the old file or the new one.

    One process at a time may write a path. Not synced: a crash of the machine may lose it.
    """
    with temporary_of(path).open("w", encoding="utf-8") as file:
        file.writelines(text)
    temporary_of(path).replace(path)


def temporary_of(path: Path) -> Path:
    """Where `write_whole` writes first."""
    return path.with_name(f".{path.name}.tmp")
