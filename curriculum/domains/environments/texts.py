"""What of an environment's texts can be stored."""


def is_unicode(text: str) -> bool:
    """Whether it can be stored: half of a surrogate pair cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
