"""Asks a domain for a capability: one of the Protocols of curriculum/domains/protocol.py.

What a capability consists of, what of it must be written, and what holds where a domain does not say the rest, all
that is read from the Protocol itself.
"""

import inspect
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, cast

from curriculum.domains.protocol import Domain, HasByOption
from curriculum.domains.seed_files import DomainError

C = TypeVar("C", bound=Domain)
Capability = Callable[..., C]  # a Protocol; mypy takes no abstract class for a `type[C]`


def able(domain: Domain, wanted: Capability[C]) -> C | None:
    """The domain as `wanted`: members that it does not say are the Protocol's own. None where it lacks one that has to
    be written."""
    if lacking(domain, wanted):
        return None
    is_whole = all(hasattr(domain, member) for member in members_of(wanted))
    return cast(C, domain if is_whole else _Completed(domain, wanted))


def ability(domain: Domain, wanted: Capability[C], wanted_by: str = "") -> C:
    """The domain as `wanted`. DomainError, one line that names the members to write, where it lacks any.

    `wanted_by`: who needs it, as a user knows it, such as "solver.feedback=true"; it may be left out where nothing of
    `wanted` has to be written. A domain that has the members by an option says by which (`HasByOption`).
    """
    found = able(domain, wanted)
    if found is None:
        missing = lacking(domain, wanted)
        calls = " and ".join(call_of(wanted, member) for member in missing)
        options = ability(domain, HasByOption).by_option
        what = "; ".join(
            f"set {options[member]}" if member in options else _meaning(wanted, member) for member in missing
        )
        raise DomainError(
            f"{wanted_by or _name(wanted)} needs a domain with {calls}, which {domain.name} lacks: {what} "
            "(docs/domains.md)"
        )
    return found


def members_of(wanted: Capability[C]) -> Sequence[str]:
    """Everything that the Protocol asks of a domain, the core first."""
    protocols = [each for each in inspect.getmro(cast(type, wanted)) if getattr(each, "_is_protocol", False)]
    return [name for each in reversed(protocols) for name in vars(each) if not name.startswith("_")]


def lacking(domain: Any, wanted: Capability[C]) -> Sequence[str]:
    """The members of `wanted` that have to be written and are not there."""
    must = cast(Any, wanted).__abstractmethods__
    return [member for member in members_of(wanted) if member in must and not hasattr(domain, member)]


def call_of(wanted: Capability[C], member: str) -> str:
    """How the member is spelled: "parse(text)", "levels"."""
    if isinstance(getattr(wanted, member), property):
        return member
    return f"{member}({', '.join(parameters_of(wanted, member))})"


def parameters_of(wanted: Capability[C], method: str) -> Sequence[str]:
    """What the method is given, without self."""
    _, *parameters = inspect.signature(getattr(wanted, method)).parameters
    return parameters


def _meaning(wanted: Capability[C], member: str) -> str:
    """The first sentence of the member's documentation, as the end of a line."""
    first = " ".join((inspect.getdoc(getattr(wanted, member)) or "").split()).split(". ")[0].rstrip(".")
    return first[:1].lower() + first[1:]


def _name(wanted: Capability[C]) -> str:
    return cast(type, wanted).__name__


class _Completed:
    """`own`, with the Protocol's own bodies for what it does not say."""

    def __init__(self, own: Domain, wanted: Capability[C]) -> None:
        self.own, self.wanted = own, wanted

    def __getattr__(self, member: str) -> Any:
        own, wanted = self.__dict__["own"], self.__dict__["wanted"]
        if hasattr(own, member) or member not in members_of(wanted):
            return getattr(own, member)
        return getattr(wanted, member).__get__(self)  # a method becomes a bound one, a property its value
