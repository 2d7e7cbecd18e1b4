"""Checks of a domain's options, in the words that every domain has for them."""

from collections.abc import Mapping

from curriculum.domains.seed_files import DomainError


def require_flag(option: str, value: object) -> None:
    """DomainError unless it is True or False."""
    if type(value) is not bool:
        raise DomainError(f"domain_options.{option} is {value!r}: it must be true or false")


def require_integers(options: Mapping[str, object]) -> None:
    """DomainError for the first option that is no integer, which True and 4.0 are not."""
    for option, value in options.items():
        if type(value) is not int:
            raise DomainError(f"domain_options.{option} is {value!r}: it must be an integer")


def require_integer(option: str, value: object, low: int, high: int) -> None:
    """DomainError unless low <= value <= high. A bool is no integer here."""
    if type(value) is not int or not low <= value <= high:
        raise DomainError(f"domain_options.{option} is {value!r}: it must be an integer from {low} to {high}")


def require_number(option: str, value: object, low: float, high: float) -> None:
    """DomainError unless low <= value <= high. A bool is no number here, and NaN is none."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise DomainError(f"domain_options.{option} is {value!r}: it must be a number from {low:g} to {high:g}")
