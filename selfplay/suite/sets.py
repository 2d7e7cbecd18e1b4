"""What a model is evaluated on, by name: a JSONL file, or the held-out sets of a domain."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from curriculum.domains.loading import code_named, is_ours, load_domain
from curriculum.domains.protocol import Domain
from curriculum.holdout import HeldOut
from curriculum.own_code import is_dotted_path
from selfplay.config import files as configuration
from selfplay.config.keys import Config
from selfplay.machine.errors import USAGE, ConfigError, Refused
from selfplay.machine.run_folder import is_file
from selfplay.suite.subjects import Subject
from store.records import Problem

FAMILY_DOMAINS = ("reasoning_gym",)  # what stands behind their name is the option `family`


@dataclass(frozen=True, slots=True)
class NamedSet:
    """A set of problems, in an order of which any first n are a fair sample, and the domain that judges them."""

    name: str
    domain: Domain
    problems: Sequence[Problem]


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A domain by name, its options, and which of its sets; None: all."""

    domain: str
    options: dict[str, Any]
    set_name: str | None = None
    label: str = ""  # "": the domain's own name


def named_sets(named: Sequence[str], own: Config, options: Mapping[str, Any], limit: int | None) -> list[NamedSet]:
    """The sets that were named, `limit` problems of each. `own`: the configuration of what is evaluated.

    named: FILE.jsonl, DOMAIN[:SET], reasoning_gym:FAMILY or my_package.my_module:MyDomain[:SET].
    options: of their domains; a domain that is the run's own has the run's options too. Raises DomainError, Refused.
    """
    found: dict[str, NamedSet] = {}
    for text in named:
        wanted = _wanted(text, own, dict(options))
        domain = load_domain(wanted.domain, wanted.options, own.judge.reward_seconds)
        sets = HeldOut(domain, own.evaluate.holdout_key).sets
        if not sets:
            raise Refused(
                f"--set {text}: {domain.name} has no held-out problems: write evaluation_sets() or test_sets()", USAGE
            )
        if wanted.set_name is not None and wanted.set_name not in sets:
            raise Refused(f"--set {text}: the sets of {domain.name} are {', '.join(sets)}", USAGE)
        for name in sets if wanted.set_name is None else [wanted.set_name]:
            label = wanted.label or f"{domain.name}:{name}"
            label = f"{label}:{name}" if wanted.label and len(sets) > 1 else label
            found[label] = NamedSet(label, domain, sets[name][:limit])
    return list(found.values())


def own_sets(subject: Subject) -> Sequence[str]:
    """A run's domain, as if it had been named. Raises Refused for a model, which has none, and where the domain is
    code: what a run folder names is not run until its user names it."""
    if subject.folder is None:
        raise Refused(f"{subject.name} is a model: say what to evaluate it on, such as --set FILE.jsonl", USAGE)
    domain = subject.config.domain
    if code := code_named(domain, subject.config.domain_options):
        option = f" --option {code.removeprefix('domain_options.')[:80]}" if is_ours(domain) else ""
        raise Refused(
            f"{subject.folder} names code to run, {code[:80]}: if that is yours, add --set {domain[:80]}{option}", USAGE
        )
    return [domain]


def _wanted(text: str, own: Config, options: dict[str, Any]) -> _Wanted:
    if text.endswith(".jsonl") or is_file(Path(text)):
        return _Wanted("dataset", options | {"path": text, "test_share": 1.0}, label=Path(text).name)
    first, colon, rest = text.partition(":")
    if text.endswith(":"):
        raise Refused(f"--set {text}: nothing stands behind the colon: name a set, or leave the colon out", USAGE)
    if first in FAMILY_DOMAINS and colon:
        return _Wanted(first, options | {"family": rest}, label=text)
    if is_ours(first) or not colon:
        name, set_name = first, rest or None
        if not is_ours(name):
            raise Refused(
                f"--set {text}: there is no such file or domain: give FILE.jsonl, DOMAIN[:SET] or "
                "my_package.my_module:MyDomain[:SET]",
                USAGE,
            )
    else:
        last, colon, rest = rest.partition(":")
        name, set_name = f"{first}:{last}", rest or None
        if not is_dotted_path(name):
            raise Refused(f"--set {text}: give FILE.jsonl, DOMAIN[:SET] or my_package.my_module:MyDomain[:SET]", USAGE)
    names_code = is_ours(name) and code_named(own.domain, own.domain_options)  # code is the user's word, not a run's
    stored = own.domain_options if name == own.domain and not names_code else {}
    return _Wanted(name, stored | options, set_name)


def read_options(options: Sequence[str]) -> dict[str, Any]:
    """KEY=VALUE texts of a command line as options of a domain. Raises ConfigError."""
    for option in options:
        if "=" not in option:
            raise ConfigError(f"--option {option}: give KEY=VALUE")
    return dict(configuration.load(None, [f"domain_options.{option}" for option in options]).domain_options)
