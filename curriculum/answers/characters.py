"""Characters that say the same, made one: full-width forms, kinds of blanks and of the minus sign.

Not NFKC: that makes 52 of 5\u00b2, and 31/4 of 3\u00bc.
"""

_SAME = {code: chr(code - 0xFEE0) for code in range(0xFF01, 0xFF5F)}  # full-width forms
_SAME |= dict.fromkeys((0x2212, 0x2010, 0x2011, 0x2013), "-")
_SAME |= dict.fromkeys((0x00A0, 0x2009, 0x202F, 0x3000), " ")


def folded(text: str) -> str:
    """`text` with such characters as ASCII has them."""
    return text.translate(_SAME)
