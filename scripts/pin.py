"""Rewrite the exact pins in pyproject.toml: `python scripts/pin.py`, or with `--keep` after adding a dependency.

A lock file records the addresses of registries, so it is not committed. The versions it resolves are: this script
asks uv for a fresh resolution without the old pins, and writes every package, transitive ones and those of all extras
too, under `[tool.uv] constraint-dependencies`. `HELD` lists what must not move with the newest release, each with its
reason.
"""

import pathlib
import re
import subprocess
from typing import Annotated

import typer

HELD = {"torch": "2.13.0"}  # the release that vLLM's current wheels are built for

PYPROJECT = pathlib.Path(__file__).resolve().parent.parent / "pyproject.toml"
BLOCK = re.compile(r"^constraint-dependencies = \[\n.*?^\]\n", re.MULTILINE | re.DOTALL)
NEVER = "sys_platform == 'never'"  # the mark of what `override-dependencies` leaves out


def main(
    keep: Annotated[bool, typer.Option("--keep", help="leave what is pinned as it is, and pin what is new")] = False,
) -> None:
    """Rewrite the exact versions of all packages in pyproject.toml, each to the newest that fits."""
    before = PYPROJECT.read_text()
    try:
        if keep:
            _write("".join(f"    {pin}\n" for pin in re.findall(r'".*",', BLOCK.search(before)[0]) if NEVER not in pin))
        else:
            _write("".join(f'    "{name}=={version}",\n' for name, version in HELD.items()))
        pins = _resolved()
    except BaseException:
        PYPROJECT.write_text(before)  # the old pins are not lost to a registry that does not answer
        raise
    _write("".join(f'    "{pin}",\n' for pin in pins))
    print(f"pinned {len(pins)} packages in {PYPROJECT.name}")


def _resolved() -> list[str]:
    subprocess.run(["uv", "lock", "--upgrade", "--quiet"], cwd=PYPROJECT.parent, check=True)
    exported = subprocess.run(
        [
            *("uv", "export", "--all-groups", "--all-extras", "--no-hashes", "--no-emit-project", "--no-annotate"),
            *("--no-header", "--quiet"),
        ],
        cwd=PYPROJECT.parent, check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    return [line.strip() for line in exported.splitlines() if "==" in line and NEVER not in line]


def _write(lines: str) -> None:
    text = PYPROJECT.read_text()
    block = f"constraint-dependencies = [\n{lines}]\n"
    if BLOCK.search(text):
        text = BLOCK.sub(lambda _: block, text)
    else:
        text = text.replace("[tool.uv]\n", f"[tool.uv]\n{block}", 1)
    PYPROJECT.write_text(text)


if __name__ == "__main__":
    typer.run(main)
