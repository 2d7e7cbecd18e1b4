"""Deliberate faults: each is put into a copy of the code, and the test that guards against it must turn red.

    python scripts/faults.py             all of docs/faults.md, about two minutes
    python scripts/faults.py NAME ...    some of it

A fault is one replaced piece of source. The copy is made anew in a temporary folder; the working tree is not touched.
Tests run in forked children of this process, which has imported what is slow to import and nothing of ours. Exit code 1
when a guard stays green, or is red without the fault.
"""

import os
import shutil
import sys
import tempfile
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import hypothesis  # noqa: F401
import numpy  # noqa: F401
import omegaconf  # noqa: F401
import pytest
import sqlalchemy  # noqa: F401
import torch  # noqa: F401
import typer
from transformers import AutoModelForCausalLM, LlamaForCausalLM  # noqa: F401

ROOT = Path(__file__).resolve().parent.parent
CODE = ("selfplay", "roles", "curriculum", "store")
COPIED = (*CODE, "tests", "configs", "pyproject.toml")


@dataclass(frozen=True, slots=True)
class Fault:
    """`old` stands exactly once in the code, in whichever file; with `new` in its place the test `guard` must fail."""

    name: str
    old: str
    new: str
    guard: str


FAULTS = tuple(Fault(**each) for each in tomllib.loads((ROOT / "scripts" / "faults.toml").read_text())["fault"])


@contextmanager
def copied() -> Iterator[Path]:
    """A copy of the code and its tests, gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="selfplay-faults-") as folder:
        for name in COPIED:
            source, target = ROOT / name, Path(folder) / name
            if source.is_dir():
                shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(source, target)
        yield Path(folder)


def place(fault: Fault, root: Path) -> Path:
    """The file that holds `old`. ValueError when it does not stand exactly once in the code."""
    sources = [path for name in CODE for path in sorted((root / name).rglob("*.py"))]
    counts = {path: path.read_text().count(fault.old) for path in sources}
    if sum(counts.values()) != 1:
        raise ValueError(f"{fault.name}: {fault.old!r} stands {sum(counts.values())} times in the code")
    return next(path for path, count in counts.items() if count)


def guard(fault: Fault, root: Path) -> str:
    """pytest's name of the test, whose function's name is given. ValueError when there is no such test, or several."""
    name = fault.guard.partition("[")[0]
    found = [path for path in (root / "tests").rglob("test_*.py") if f"\ndef {name}(" in path.read_text()]
    if len(found) != 1:
        raise ValueError(f"{fault.name}: {len(found)} files have a test {name}")
    return f"{found[0].relative_to(root)}::{fault.guard}"


def failure(folder: Path, guards: Sequence[str]) -> str | None:
    """Run tests in the copy, in a forked child; None when they pass, else the first line of what failed.

    RuntimeError when pytest neither passed nor failed: that would prove nothing.
    """
    log = folder / "log.txt"
    child = os.fork()
    if child == 0:
        code = 70
        try:
            os.chdir(folder)
            output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(output, 1)
            os.dup2(output, 2)
            # a slow machine is no failure, and a guard must fail by what it says itself
            code = pytest.main(["-x", "-q", "-n", "0", "-p", "no:cacheprovider", "-o", "timeout=0", "-m", "", *guards])
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    said = log.read_text(errors="replace")
    if os.waitstatus_to_exitcode(status) not in (0, 1):
        raise RuntimeError(f"pytest neither passed nor failed:\n{said[-3000:]}")
    if status == 0:
        return None
    return next((line[1:].strip() for line in said.splitlines() if line.startswith("E  ")), "no reason given")


def failure_with(folder: Path, fault: Fault) -> str | None:
    """How the guard fails with the fault, None if it does not; the copy is whole again afterwards."""
    path = place(fault, folder)
    honest = path.read_text()
    path.write_text(honest.replace(fault.old, fault.new))
    try:
        return failure(folder, [guard(fault, folder)])
    finally:
        path.write_text(honest)


def main(names: Annotated[list[str] | None, typer.Argument(help="names in docs/faults.md; none: all")] = None) -> None:
    """Put each deliberate fault into a copy of the code: the test that guards against it must turn red."""
    if unknown := set(names or ()) - {fault.name for fault in FAULTS}:
        raise typer.BadParameter(f"no such fault: {', '.join(sorted(unknown))}")
    sys.dont_write_bytecode = True  # a fault of the same length in the same second would not be seen
    chosen = [fault for fault in FAULTS if not names or fault.name in names]
    missed = 0
    with copied() as folder:
        if honest := failure(folder, sorted({guard(fault, folder) for fault in chosen})):
            raise SystemExit(f"a guard is red without any fault: {honest}")
        for fault in chosen:
            reason = failure_with(folder, fault)
            missed += reason is None
            print(f"{'red' if reason else 'STILL GREEN':12} {fault.name:38} {fault.guard}", flush=True)
            print(f"{'':12} {reason}"[:160], flush=True)
    print(f"{len(chosen) - missed} of {len(chosen)} faults turn their test red")
    raise SystemExit(int(missed > 0))


if __name__ == "__main__":
    typer.run(main)
