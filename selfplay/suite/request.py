"""What somebody asks to have evaluated, checked before a model is loaded."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from selfplay.suite.sets import NamedSet, named_sets, own_sets
from selfplay.suite.subjects import Subject, subject


@dataclass(frozen=True, slots=True)
class Request:
    """`model`, `against`: MODEL_OR_RUN[@STEP]. `sets`: see `named_sets`; none: those of the run. `options`: of
    their domains. `overrides`: key=value of the configuration. `directory`: where run folders are."""

    model: str | Subject
    sets: Sequence[str] = ()
    against: str | None = None
    num_samples: int = 0
    limit: int | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    overrides: Sequence[str] = ()
    directory: Path = Path("runs")


@dataclass(frozen=True, slots=True)
class Prepared:
    """Who is asked which problems."""

    first: Subject
    second: Subject | None
    sets: Sequence[NamedSet]
    num_samples: int


def prepare(request: Request) -> Prepared:
    """Raises ConfigError, DomainError, Refused or StoreError for what cannot be asked for."""
    given = request.model
    first = subject(given, request.directory, request.overrides) if isinstance(given, str) else given
    second = None if request.against is None else subject(request.against, request.directory, ())
    named = request.sets or own_sets(first)
    return Prepared(first, second, named_sets(named, first.config, request.options, request.limit), request.num_samples)
