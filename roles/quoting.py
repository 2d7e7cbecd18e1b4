"""What somebody else said, as data in a prompt: one line that cannot end what it is shown between."""

import re
import unicodedata

CUT = " ... "

_MARKS = str.maketrans(dict.fromkeys('"\u201c\u201d\u201e\u201f\u2033\u2036\u00ab\u00bb\uff02\u3003\u301d\u301e', "'"))
_FILLERS = "\u115f\u1160\u3164\uffa0"  # letters, says Unicode, but nothing is drawn
_UNDRAWN = {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}  # categories: control, format, surrogate, private use, separators
_TAG = re.compile(r"<(?=\S)|\[(?=[^\s\d])")  # "<|im_end|>", "</s>", "[INST]"


def as_data(text: str, max_chars: int) -> str:
    """`text` as one line without quotation marks, so that it cannot close those that it is shown between.

    The middle of a text longer than `max_chars` is cut out. Characters that break a line or draw nothing are written
    as escapes of at most ten characters. Tags are broken up, so that no special token of a tokenizer is left.
    """
    if len(text) > max_chars:
        text = text[: max_chars // 2] + CUT + text[-(max_chars // 2) :]
    spelled = "".join(_spelled(character) for character in text.strip().translate(_MARKS))
    return _TAG.sub(r"\g<0> ", spelled)


def is_undrawn(character: str) -> bool:
    """Whether a character breaks a line, directs text, or draws nothing."""
    return character in _FILLERS or unicodedata.category(character) in _UNDRAWN


def _spelled(character: str) -> str:
    if character == "\n":
        return "\\n"
    if is_undrawn(character):
        return f"\\u{{{ord(character):x}}}"
    return " " if character.isspace() else character
