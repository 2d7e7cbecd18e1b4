"""What is said to environments: the forms in which they want an answer written, and what is no text."""

from collections.abc import Mapping

FORMS: Mapping[str, str] = {  # the plainest first
    "text": "%s",
    "boxed": "\\boxed{%s}",
    "tag": "<answer>%s</answer>",
    "hashes": "#### %s",
}


def is_unicode(text: str) -> bool:
    """Whether it can be stored: half of a surrogate pair cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
