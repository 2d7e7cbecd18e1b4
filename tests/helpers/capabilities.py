"""The capabilities that a domain may have, as the code has them."""

from typing import Any

from curriculum.domains import protocol
from curriculum.domains.protocol import Domain

CAPABILITIES: list[Any] = [
    each for each in vars(protocol).values() if Domain in getattr(each, "__mro__", ()) and each is not Domain
]
