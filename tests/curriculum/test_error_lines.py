"""One line of an error, whatever it says."""

import pytest

from curriculum.error_lines import LONGEST, described, first_line


class Silent(Exception):
    def __str__(self) -> str:
        raise RuntimeError("ouch")


@pytest.mark.parametrize(
    ("error", "whole", "first"),
    [
        (StopIteration(), "StopIteration", "StopIteration"),
        (KeyError("a"), "KeyError: 'a'", "'a'"),
        (ValueError("\na\n  b"), "ValueError: a b", "a"),
        (Silent(), "Silent", "Silent"),
    ],
)
def test_a_line_is_never_empty_and_never_two(error: Exception, whole: str, first: str) -> None:
    assert (described(error), first_line(error)) == (whole, first)


def test_a_line_has_an_end() -> None:
    error = ValueError("a" * 10_000)
    assert len(described(error)) == len(first_line(error)) == LONGEST
