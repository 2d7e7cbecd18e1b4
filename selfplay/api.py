"""selfplay from Python: run, resume, evaluate, look into a store. Records come back, and nothing is printed.

    from selfplay import api

    result = api.run("configs/tiny.yaml")
    print(result.step, api.evaluate(str(result.folder)).model.sets[0].first_try)

`note`, where a function takes one, hears the lines that the commands print. What a caller can cause or meet raises a
subclass of `SelfplayError`, whose message is one line. docs/api.md shows each function's use. Left out: steps one by
one (selfplay/loop.py is the loop, to copy and change).
"""

import io
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeGuard

from rich.table import Table

from curriculum.domains.protocol import Domain, Statement, Verdict
from roles.judging.rewards import Reward
from selfplay import loop
from selfplay.arguments import Arguments
from selfplay.config import files as configuration
from selfplay.config.keys import Config
from selfplay.config.resuming import stored_config
from selfplay.config.shipped import configuration_file
from selfplay.config.shown import shown_settings
from selfplay.config.task import load_task
from selfplay.machine.errors import INTERRUPTED, OK, TERMINATED, USAGE, ConfigError, Refused
from selfplay.machine.run_folder import DATABASE, lock, require_database
from selfplay.run.checkpoint_files import PRODUCT
from selfplay.suite.records import Compared, ModelReport, ProblemOutcome, Report, SetReport
from selfplay.suite.request import Request, prepare
from selfplay.suite.subjects import changed, subject
from selfplay.view.progress import Progress
from selfplay.view.terminal import drawn
from store.errors import SelfplayError
from store.records import Evaluation, Fate, Outcome, Problem
from store.store import Store

if TYPE_CHECKING:
    from selfplay.suite.loading import LoadedPolicy

__all__ = [
    "Compared", "Domain", "Fate", "LoadedPolicy", "ModelReport", "Outcome", "Problem", "ProblemOutcome", "Report",
    "Reward", "RunResult", "SelfplayError", "SetReport", "Statement", "Store", "Verdict", "evaluate", "load_policy",
    "open_store", "resume", "run",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    """LoadedPolicy, whose module takes seconds to load: a domain of your own imports this one for its records alone."""
    if name != "LoadedPolicy":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from selfplay.suite.loading import LoadedPolicy

    return LoadedPolicy


Note = Callable[[str], None]
Keys = Mapping[str, Any] | Sequence[str]  # {"run.steps": 3, "model": {"name": "tiny-llama"}}, or ["run.steps=3"]


@dataclass(frozen=True, slots=True)
class RunResult:
    """What came of a run. `is_finished`: False where Ctrl-C or SIGTERM ended it; `resume` goes on.

    `evaluations`: all that were stored, oldest first. `weights`: the newest checkpoint's model as a folder that
    transformers or peft can read, and `model.name` takes; None before the first.
    """

    folder: Path
    step: int
    is_finished: bool
    evaluations: tuple[Evaluation, ...]
    weights: Path | None


def _silent(line: str) -> None:
    """Nobody listens."""


def run(config: Keys | str | Path, *, note: Note = _silent) -> RunResult:
    """A new run, to its end. `config`: a YAML file, key=value texts of which the first may be one, or a mapping.

    What it does not say is what every key is if nobody says otherwise (`python -m selfplay.loop --keys`), also where
    the command would take the default job's. A `domain` is a name or a dotted path, as there.
    """
    return _played(_config(config), is_resume=False, note=note)


def resume(folder: str | Path, keys: Keys = (), *, note: Note = _silent) -> RunResult:
    """Goes on with the run in `folder`, to its end. `keys`: what may change on resume, such as `run.steps`; a `domain`
    or `judge.rewards` that name code of your own are named again."""
    path = Path(folder)
    require_database(path)
    if not (path / DATABASE).is_file():
        raise Refused(f"there is no run in {path}", USAGE)
    return _played(stored_config(path, _texts(keys)), is_resume=True, note=note)


def evaluate(
    model: "str | Path | LoadedPolicy",
    sets: str | Path | Sequence[str | Path] = (),
    *,
    against: str | None = None,
    samples: int = 0,
    limit: int | None = None,
    options: Mapping[str, Any] | None = None,
    keys: Keys = (),
    directory: str | Path = "runs",
    note: Note = _silent,
) -> Report:
    """`python -m selfplay.evaluate`: a model, or a run's weights, on any problems; docs/evaluate.md has the figures.

    `sets`: FILE.jsonl, DOMAIN[:SET], reasoning_gym:FAMILY or module:MyDomain[:SET], one or several; of a run its own
    by default. `samples`: first tries at temperature 1. `options` are the sets' domains'. `keys` are a configuration's:
    solver.turns, solver.max_tokens, prompts.style, seed, evaluate.search_tokens. A model that is loaded stays as it is.
    """
    overrides = _texts(keys)
    model = str(model) if isinstance(model, Path) else model
    named = [sets] if isinstance(sets, str | Path) else sets
    is_known = isinstance(model, str) or _is_loaded(model)
    _require("model", model, is_known, "MODEL_OR_RUN[@STEP], or what load_policy gave")
    is_named = isinstance(named, Sequence) and all(isinstance(each, str | Path) for each in named)
    _require("sets", sets, is_named, "a set by its name, or a list of such names")
    _require("samples", samples, type(samples) is int and samples >= 0, "an integer from 0 on")
    _require("limit", limit, limit is None or (type(limit) is int and limit >= 1), "an integer from 1 on, or None")
    _require("options", options, isinstance(options or {}, Mapping), "a mapping of options to their values")
    request = Request(
        model=model if isinstance(model, str) else changed(model.subject, overrides),
        sets=[str(each) for each in named],
        against=against,
        num_samples=samples,
        limit=limit,
        options=options or {},
        overrides=overrides,
        directory=Path(directory),
    )
    from selfplay.suite.evaluating import evaluate as evaluated

    return evaluated(prepare(request), note, None if isinstance(model, str) else model)


def _is_loaded(model: object) -> TypeGuard["LoadedPolicy"]:
    """Where there is a loaded policy, the module of its class is loaded too."""
    loading = sys.modules.get("selfplay.suite.loading")
    return loading is not None and isinstance(model, loading.LoadedPolicy)


def load_policy(
    model: str | Path, keys: Keys = (), *, directory: str | Path = "runs", note: Note = _silent
) -> "LoadedPolicy":
    """MODEL_OR_RUN[@STEP], loaded and proved, to be evaluated more than once, or used: `policy.model` is the module of
    transformers, `policy.tokenizer` its tokenizer. `keys`: model.dtype, run.device, run.threads ..."""
    _require("model", model, isinstance(model, str | Path), "MODEL_OR_RUN[@STEP]")
    from selfplay.suite.loading import load

    return load(subject(str(model), Path(directory), _texts(keys)), note)


@contextmanager
def open_store(folder: str | Path, *, write: bool = False) -> Iterator[Store]:
    """The store of the run in `folder`, whose methods take and return the records of store/records.py.

    To read, also while the run is at work. With `write` the folder is owned for the length of the block, so that no run
    can work on it.
    """
    path = Path(folder)
    if not write:
        with Store.open_readonly(path / DATABASE) as store:
            yield store
        return
    require_database(path)
    with lock(path), Store.open(path / DATABASE) as store:
        yield store


class _Heard(Progress):
    """A run's lines go to `note`, its bar and tables nowhere."""

    def __init__(self, config: Config, note: Note) -> None:
        super().__init__(shown_settings(config), drawn(80, file=io.StringIO()))
        self._told = note
        self.last = ""

    def note(self, line: str) -> None:
        self.last = line
        self._told(line)

    def show(self, table: Table) -> None:
        """Its figures are in the store."""


def _played(config: Config, is_resume: bool, note: Note) -> RunResult:
    arguments = Arguments(config, is_resume, load_task(config))
    heard = _Heard(config, note)
    code = loop.run(arguments, heard, time.monotonic())
    if code not in (OK, INTERRUPTED, TERMINATED):
        raise Refused(heard.last, code)
    folder = Path(config.run.dir) / config.run.name
    with open_store(folder) as store:
        kept = store.checkpoints()
        return RunResult(
            folder=folder,
            step=store.head().step,
            is_finished=code == OK,
            evaluations=tuple(store.evaluations()),
            weights=folder / kept[0].path / PRODUCT if kept else None,
        )


def _require(name: str, value: object, is_right: bool, wanted: str) -> None:
    if not is_right:
        raise ConfigError(f"{name} is {value!r:.80}: it must be {wanted}")


def _config(given: Keys | str | Path) -> Config:
    if isinstance(given, Mapping):
        return configuration.load(None, (), given)
    texts = [str(given)] if isinstance(given, str | Path) else _texts(given)
    named = [text for text in texts[:1] if "=" not in text]
    if isinstance(given, str | Path) and not named:
        raise ConfigError(f"{given}: give a YAML file, a list of key=value, or a mapping")
    return configuration.load(configuration_file(named[0]) if named else None, texts[len(named) :])


def _texts(keys: Keys) -> list[str]:
    if not isinstance(keys, Mapping):
        are_texts = isinstance(keys, Sequence) and not isinstance(keys, str) and all(isinstance(k, str) for k in keys)
        _require("a configuration", keys, are_texts, "a mapping, or a list of key=value texts")
        return list(keys)
    flat: list[str] = []
    for key, value in keys.items():
        if isinstance(value, Mapping):
            flat += [f"{key}.{text}" for text in _texts(value)]
        else:
            flat.append(f"{key}={'null' if value is None else value}")
    return flat
