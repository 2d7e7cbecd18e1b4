"""One line of an error that somebody else's code raised: its message may have many lines, or none."""

LONGEST = 200  # characters


def described(error: BaseException) -> str:
    """Its type and all that it says, white space made single: "LookupError: no a"."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:LONGEST].removesuffix(":")


def first_line(error: BaseException) -> str:
    """The first line of what it says, "no a"; its type where it says nothing."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:LONGEST]
