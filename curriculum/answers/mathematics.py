"""Whether two expressions are the same mathematics, by math-verify in a process that may be ended.

An expression can keep a computer algebra system busy for ever (5^{5^{5^{5^5}}} did), so what is too long or too deep is
not even asked, and the child has limits of time and memory. What cannot be told is not the same. Left out: sets and
matrices that are written as something else than LaTeX.
"""

import re
from functools import lru_cache
from pathlib import Path

from curriculum.child import Child, ChildEnded, ChildLate

LONGEST_EXPRESSION = 300  # characters
_DEEP = re.compile(r"\^[^+\-*/=]{0,40}\^|!|\d{25,}|[({\[]{12}")  # towers of powers, factorials, very large numbers

_child = Child(Path(__file__).with_name("mathematics_child.py"), seconds=2.0, patience=120.0)


@lru_cache(maxsize=65536)
def is_same_expression(given: str, right: str) -> bool:
    """Both in LaTeX or as plain expressions. False where it takes too long, or is nothing that can be read."""
    if any(len(text) > LONGEST_EXPRESSION or _DEEP.search(text) for text in (given, right)):
        return False
    try:
        return _child.ask({"given": given, "right": right}).get("same") is True
    except (ChildLate, ChildEnded):
        return False
