"""A folder that is made once and used often: whole or not there, and safe when several processes want it at once.

Every file's size and content are checked at each use (xxh3: 540 MB in 0.1 s), so that a crash of the machine, a full
disk or a flipped bit leads to making it again. Left out: tampering. Who can write here can change the programme too.
"""

import fcntl
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import xxhash

MANIFEST = "manifest.json"


def made_once(folder: Path, source: str, make: Callable[[Path], None]) -> Path:
    """`folder`, filled by `make` unless it is there, whole, and made from `source` (what it says, compared as text).

    `make` gets an empty folder beside it and runs in one process at a time; if it raises, nothing is left behind.
    Raises OSError where the folder cannot be written.
    """
    if is_whole(folder, source):
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _alone(folder.parent / f".{folder.name}.lock"):
        if not is_whole(folder, source):  # another process may have been faster
            _make(folder, source, make)
    return folder


def is_whole(folder: Path, source: str) -> bool:
    """Whether `folder` was made from `source` and holds what was put there then."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text())
        return manifest["source"] == source and manifest["files"] == _contents(folder)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _make(folder: Path, source: str, make: Callable[[Path], None]) -> None:
    temporary = folder.parent / f".{folder.name}.new"  # one name: the lock's holder is alone
    shutil.rmtree(temporary, ignore_errors=True)  # left by a process that was killed
    temporary.mkdir()
    try:
        make(temporary)
        (temporary / MANIFEST).write_text(json.dumps({"source": source, "files": _contents(temporary)}, indent=1))
        if folder.exists():
            shutil.rmtree(folder)
        temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _contents(folder: Path) -> dict[str, str]:
    """File name -> xxh3 of its bytes, the manifest left out. No folders are expected inside."""
    return {path.name: digest_of(path) for path in sorted(folder.iterdir()) if path.name != MANIFEST}


def digest_of(path: Path) -> str:
    digest, block = xxhash.xxh3_128(), memoryview(bytearray(1 << 20))
    with path.open("rb", buffering=0) as file:
        while size := file.readinto(block):
            digest.update(block[:size])
    return digest.hexdigest()


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Wait until no other process holds the lock; it goes with the process, however that ends."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
