"""Whether two expressions are the same mathematics, by math-verify in a process that may be ended.

An expression can keep a computer algebra system busy for ever (5^{5^{5^{5^5}}} did), so what is too long or too deep is
not even asked, and the child has limits of time and memory. It also reads words as products of letters, lists as sets
and equations as their right sides. So only single expressions of single letters, numbers and a few commands are asked
about. What cannot be told is not the same. Left out: equations, lists, sets, matrices, words, units, sums and products.
"""

import re
from functools import lru_cache
from pathlib import Path

from curriculum.child import Child, ChildLate

LONGEST_EXPRESSION = 300  # characters
_DEEP = re.compile(r"\^[^+\-*/=]{0,40}\^|!|\d{25,}|[({\[]{12}")  # towers of powers, factorials, very large numbers

_BESIDE = re.compile(r"\d\s+\d|\(\s*\d+\s*\)\s*[\d(]|[\d)]\s*\(\s*\d+\s*\)")  # numbers side by side, read as a sum
_COMMANDS = (
    "frac|dfrac|tfrac|sqrt|pi|cdot|times|div|left|right|infty|sin|cos|tan|log|ln|exp|alpha|beta|gamma|theta|lambda"
)
_ASKED = re.compile(
    rf"(?:[0-9+\-*/^_(){{}}\[\]|.! ]|(?<![A-Za-z])[A-Za-z](?![A-Za-z])|\\(?:{_COMMANDS})(?![A-Za-z])|\\[,;! ])+"
)

_child = Child(Path(__file__).with_name("mathematics_child.py"), seconds=2.0, patience=120.0)


def is_same_expression(given: str, right: str) -> bool:
    """Both in LaTeX or as plain expressions. False where it takes too long, or is nothing that can be read.

    Raises ChildEnded where the comparing process does not work: that is the machine's fault, and no verdict.
    """
    if not all(_is_asked(text) for text in (given, right)):
        return False
    try:
        return _compared(given, right)
    except ChildLate:
        return False


@lru_cache(maxsize=65536)
def _compared(given: str, right: str) -> bool:
    return _child.ask({"given": given, "right": right}).get("same") is True


def _is_asked(text: str) -> bool:
    is_short = len(text) <= LONGEST_EXPRESSION
    return is_short and not (_DEEP.search(text) or _BESIDE.search(text)) and _ASKED.fullmatch(text) is not None
