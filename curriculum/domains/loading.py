"""Finds a domain by name, such as "arithmetic", or by dotted path, "my_package.my_module:MyDomain".

A dotted path imports the user's own code (curriculum/own_code.py).
"""

import re
from collections.abc import Mapping
from typing import Any

from curriculum.domains.abilities import call_of, lacking
from curriculum.domains.arithmetic.domain import ArithmeticDomain
from curriculum.domains.chains import ChainsDomain
from curriculum.domains.countdown import CountdownDomain
from curriculum.domains.datasets.domain import DatasetDomain
from curriculum.domains.environments.reasoning_gym import ReasoningGymDomain
from curriculum.domains.environments.verifiers import ENVIRONMENT, VerifiersDomain
from curriculum.domains.factors import FactorsDomain
from curriculum.domains.own import OwnDomain
from curriculum.domains.protocol import Domain
from curriculum.domains.python.domain import PythonDomain
from curriculum.domains.seed_files import DomainError
from curriculum.domains.sorting import SortingDomain
from curriculum.domains.sums import SumsDomain
from curriculum.domains.words.domain import WordsDomain
from curriculum.own_code import imported, is_dotted_path, result_of, wrong_option

DOMAINS: Mapping[str, object] = {
    "arithmetic": ArithmeticDomain,
    "chains": ChainsDomain,
    "countdown": CountdownDomain,
    "dataset": DatasetDomain,
    "factors": FactorsDomain,
    "python": PythonDomain,
    "reasoning_gym": ReasoningGymDomain,
    "sorting": SortingDomain,
    "sums": SumsDomain,
    "verifiers": VerifiersDomain,
    "words": WordsDomain,
}
_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")


def is_ours(name: str) -> bool:
    """Whether `name` is one of this project's domains, so that loading it imports nothing else."""
    return name in DOMAINS


def code_named(name: str, options: Mapping[str, object]) -> str:
    """What of a configuration names code that is not ours, as it is typed: "domain=my_package.my_module:MyDomain"; ""
    where nothing does."""
    if name == "verifiers":
        return f"domain_options.environment={options.get('environment')}"
    return "" if is_ours(name) else f"domain={name}"


def names_code_well(name: str, options: Mapping[str, object]) -> bool:
    """Whether what `code_named` names has the form of code that can be named, so that it may stand in a command."""
    if name == "verifiers":
        return ENVIRONMENT.fullmatch(str(options.get("environment"))) is not None
    return is_ours(name) or is_dotted_path(name)


def load_domain(name: str, options: Mapping[str, object] | None = None, judge_seconds: float | None = None) -> Domain:
    """The domain, made with `options` as keyword arguments: its core, and whatever else it can do
    (curriculum/domains/abilities.py).

    `judge_seconds` > 0: how long the judge of a domain that is a user's code may take for an answer; None: no limit.
    Those of ours have limits of their own, where there is something to limit.

    Raises DomainError, one line, for whatever goes wrong in it.
    """
    maker = DOMAINS[name] if name in DOMAINS else _imported(name)
    given = {str(key): value for key, value in (options or {}).items()}
    _check_names(name, maker, given)
    domain = _made(name, maker, given)
    missing, _ = result_of(lambda: lacking(domain, Domain))  # what it raises instead, OwnDomain says in a line
    if missing:
        calls = ", ".join(call_of(Domain, member) for member in missing)
        raise DomainError(f"domain {name} lacks {calls}: see curriculum/domains/protocol.py")
    known = domain if is_ours(name) else OwnDomain(domain, name, judge_seconds)
    if not isinstance(known.name, str) or not _NAME.fullmatch(known.name):
        raise DomainError(f"domain {name}: its name is {known.name!r}, and must be 1 to 64 of A-Z a-z 0-9 . _ -")
    return known


def _made(name: str, maker: Any, given: Mapping[str, object]) -> Any:
    domain, failure = result_of(lambda: maker(**given), (DomainError,))
    if failure:
        with_what = ", ".join(f"domain_options.{key}={value!r}" for key, value in given.items()) or "no domain_options"
        raise DomainError(f"domain {name}: cannot be made with {with_what}: {failure}")
    return domain


def _check_names(name: str, maker: Any, given: Mapping[str, object]) -> None:
    """Raise DomainError for an option that the domain does not take, or one that it needs and is not given."""
    wrong = wrong_option(maker, given)
    if wrong is None:
        return
    key, what = wrong
    if key in given:
        raise DomainError(f"domain_options.{key}: domain {name} {what}")
    raise DomainError(f"domain_options.{key} is missing: domain {name} {what}")


def _imported(path: str) -> object:
    if not is_dotted_path(path):
        known = ", ".join(f'"{each}"' for each in DOMAINS)
        raise DomainError(f'domain "{path}": give {known} or a path such as my_package.my_module:MyDomain')
    try:
        return imported(path)
    except LookupError as error:
        raise DomainError(f'domain "{path}": {error}') from None
