"""One line of an error that somebody else's code raised: its message may have many lines, or none."""

LONGEST = 200  # characters


def described(error: BaseException) -> str:
    """Its type and all that it says, white space made single: "LookupError: no a"."""
    return " ".join(f"{type(error).__name__}: {_said(error)}".split())[:LONGEST].removesuffix(":")


def first_line(error: BaseException) -> str:
    """The first line of what it says, "no a"; its type where it says nothing."""
    return (_said(error).strip().splitlines() or [type(error).__name__])[0][:LONGEST]


def _said(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # an error of a user's own class may fail when it is asked
        return ""
