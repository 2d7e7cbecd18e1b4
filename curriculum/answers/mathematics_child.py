"""Compares expressions by math-verify. Run as a script: a line of JSON in, a line of JSON out (curriculum/child.py)."""

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from math_verify import parse, verify

from curriculum.child import serve

EXACTLY = {"float_rounding": 20, "numeric_precision": 40}  # 0.333333 is not 1/3
MEMORY = 512 * 2**20  # bytes, beyond what the libraries take


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """{"same": whether they are the same}. Time limits of math-verify's own are off: this process has one."""
    given, right = (_parsed(request[name]) for name in ("given", "right"))
    return {"same": bool(given and right and verify(right, given, timeout_seconds=None, strict=True, **EXACTLY))}


def _parsed(text: str) -> list[Any]:
    return list(parse(f"${text}$", parsing_timeout=None))


if __name__ == "__main__":
    serve(answer, MEMORY)
