"""Finds a domain by name, such as "arithmetic", or by dotted path, "my_package.my_module:MyDomain".

A dotted path imports the user's own code: it comes from the command line or the user's file, never from a model or a
database (selfplay/config/resuming.py asks for it again on resume).
"""

import importlib
import inspect
import re
from collections.abc import Mapping
from typing import Any

from curriculum.domains.abilities import CORE, completed
from curriculum.domains.arithmetic.domain import ArithmeticDomain
from curriculum.domains.chains import ChainsDomain
from curriculum.domains.countdown import CountdownDomain
from curriculum.domains.dataset import DatasetDomain
from curriculum.domains.environments.reasoning_gym import ReasoningGymDomain
from curriculum.domains.environments.verifiers import VerifiersDomain
from curriculum.domains.factors import FactorsDomain
from curriculum.domains.protocol import Domain
from curriculum.domains.seed_files import DomainError
from curriculum.domains.sorting import SortingDomain
from curriculum.domains.sums import SumsDomain

DOMAINS: Mapping[str, object] = {
    "arithmetic": ArithmeticDomain,
    "chains": ChainsDomain,
    "countdown": CountdownDomain,
    "dataset": DatasetDomain,
    "factors": FactorsDomain,
    "reasoning_gym": ReasoningGymDomain,
    "sorting": SortingDomain,
    "sums": SumsDomain,
    "verifiers": VerifiersDomain,
}
_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
_DOTTED_PATH = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*")


def is_ours(name: str) -> bool:
    """Whether `name` is one of this project's domains, so that loading it imports nothing else."""
    return name in DOMAINS


def code_named(name: str, options: Mapping[str, object]) -> str:
    """What of a configuration names code that is not ours, as it is typed: "domain=my_package.my_module:MyDomain"; ""
    where nothing does."""
    if name == "verifiers":
        return f"domain_options.environment={options.get('environment')}"
    return "" if is_ours(name) else f"domain={name}"


def is_dotted_path(name: str) -> bool:
    """Whether `name` has the form of a path to code, such as my_package.my_module:MyDomain."""
    return _DOTTED_PATH.fullmatch(name) is not None


def load_domain(name: str, options: Mapping[str, object] | None = None) -> Domain:
    """The domain, made with `options` as keyword arguments, with neutral answers for what it does not say.

    Raises DomainError, one line, for whatever goes wrong in it.
    """
    maker = DOMAINS[name] if name in DOMAINS else _imported(name)
    given = {str(key): value for key, value in (options or {}).items()}
    _check_names(name, maker, given)
    try:
        domain = maker(**given)  # type: ignore[operator]  # a user's class: checked by its members below
    except DomainError:
        raise
    except (TypeError, ValueError, OSError) as error:
        with_what = ", ".join(f"domain_options.{key}={value!r}" for key, value in given.items()) or "no domain_options"
        raise DomainError(f"domain {name}: cannot be made with {with_what}: {error}") from None
    missing = [member for member in CORE if not hasattr(domain, member)]
    if missing:
        raise DomainError(f"domain {name} lacks {', '.join(missing)}: see curriculum/domains/protocol.py")
    if not isinstance(domain.name, str) or not _NAME.fullmatch(domain.name):
        raise DomainError(f"domain {name}: its name is {domain.name!r}, and must be 1 to 64 of A-Z a-z 0-9 . _ -")
    return completed(domain)


def _check_names(name: str, maker: Any, given: Mapping[str, object]) -> None:
    """Raise DomainError for an option that the domain does not take, or one that it needs and is not given."""
    try:
        taken = inspect.signature(maker).parameters
    except (TypeError, ValueError):  # not every callable tells
        return
    by_name = {
        key: p for key, p in taken.items() if p.kind in (inspect.Parameter.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)
    }
    if not any(p.kind is p.VAR_KEYWORD for p in taken.values()):
        for key in given:
            if key not in by_name:
                known = ", ".join(by_name) or "none"
                raise DomainError(f"domain_options.{key}: domain {name} has no such option; its options: {known}")
    for key, parameter in by_name.items():
        if parameter.default is parameter.empty and key not in given:
            raise DomainError(f"domain_options.{key} is missing: domain {name} cannot be made without it")


def _imported(path: str) -> object:
    module_name, _, attribute = path.partition(":")
    if not is_dotted_path(path):
        known = ", ".join(f'"{each}"' for each in DOMAINS)
        raise DomainError(f'domain "{path}": give {known} or a path such as my_package.my_module:MyDomain')
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise DomainError(f'domain "{path}": cannot import {module_name} ({error}): is it on PYTHONPATH?') from None
    if not callable(getattr(module, attribute, None)):
        raise DomainError(f'domain "{path}": {module_name} has no class {attribute}')
    return getattr(module, attribute)
