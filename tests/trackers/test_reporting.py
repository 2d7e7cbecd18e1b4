"""What experiment trackers are sent, and that none can hurt a run. Their packages are tested in test_trackers.py."""

import json
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, get_args

import pytest
from run_server import Server

from selfplay.config.files import load
from selfplay.machine.errors import OK, USAGE, ConfigError
from selfplay.machine.run_folder import DATABASE, METRICS
from selfplay.trackers.choosing import TrackerName, require_installed
from selfplay.trackers.lines import Line, Position, lines, read_on
from selfplay.trackers.reporting import Reporting
from selfplay.trackers.sink import RunFacts
from selfplay.trackers.texts import as_markdown, flat
from store.store import Store

SMALL = (
    "configs/tiny.yaml", "run.name=x", "run.threads=1", "run.steps=4", "run.checkpoint_every=4",
    "domain=few_problems:FewProblems", "challenger.source=procedural", "solver.problems=2", "solver.max_tokens=6",
    "curriculum.min_successes=1", "evaluate.every=2", "evaluate.pass_size=1", "evaluate.pass_k=2",
)  # fmt: skip
ABSENT = [name for name in get_args(TrackerName) if find_spec(name) is None]


@pytest.fixture(scope="module")
def folder(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a run of four steps."""
    directory = tmp_path_factory.mktemp("runs")
    ended = server.run([*SMALL, f"run.dir={directory}"])
    assert ended.code == OK, ended.output
    return directory / "x"


@dataclass
class Kept:
    """A sink that keeps what it is sent. `num_there`: lines that it has from before; `fails_at`: a line at which it
    raises; `waits`: what every line waits for."""

    num_there: int = 0
    fails_at: int = -1
    waits: threading.Event | None = None
    sent: dict[int, Line] = field(default_factory=dict)
    closed_with: Any = "not closed"

    def open(self, run: RunFacts) -> int:
        return self.num_there

    def send(self, lines: Sequence[tuple[int, Line]]) -> None:
        for number, line in lines:
            if self.waits is not None:
                self.waits.wait()
            if number == self.fails_at:
                raise ConnectionError("the server\nis away")
            assert number not in self.sent
            self.sent[number] = line

    def close(self, summary: Mapping[str, Any] | None) -> None:
        self.closed_with = summary


def reporting(folder: Path, said: list[str], **sinks: Kept) -> Reporting:
    def opener(sink: Kept) -> Callable[[], Kept]:
        return lambda: sink

    facts = RunFacts("x", "0" * 16, folder, "selfplay", {})
    return Reporting(folder / DATABASE, facts, {name: opener(sink) for name, sink in sinks.items()}, said.append)


def written(folder: Path) -> list[Any]:
    return [json.loads(text) for text in (folder / METRICS).read_text().splitlines()]


def test_a_tracker_is_sent_each_line_of_the_metrics_file_once_and_the_summary(folder: Path) -> None:
    said: list[str] = []
    new, resumed, ahead = Kept(), Kept(num_there=3), Kept(num_there=100)
    report = reporting(folder, said, new=new, resumed=resumed, ahead=ahead)
    report.stored()
    report.finish({"steps": 4})
    whole = written(folder)
    assert [json.loads(new.sent[i].as_json()) for i in range(len(new.sent))] == whole
    assert list(resumed.sent) == list(range(3, len(whole)))
    assert [json.loads(line.as_json()) for line in resumed.sent.values()] == whole[3:]
    assert not ahead.sent
    assert [each.closed_with for each in (new, resumed, ahead)] == [{"steps": 4}] * 3
    assert not said
    report.finish(None)
    assert new.closed_with == {"steps": 4}, "a second end is none"


@pytest.mark.parametrize("most_steps", [1, 2, 200])
def test_reading_on_finds_every_line_once(folder: Path, most_steps: int) -> None:
    with Store.open_readonly(folder / DATABASE) as store:
        found: list[Line] = []
        position = Position()
        while new := read_on(store, position, most_steps):
            if not new[0]:
                break
            found += new[0]
            position = new[1]
        assert found == list(lines(store.steps(), store.evaluations()))


class _Prefix:
    """A store as it was when `num` of its rows were there: a step, or one evaluation, at a time."""

    def __init__(self, store: Store, num: int) -> None:
        told = list(lines(store.steps(), store.evaluations()))[:num]
        self._newest = told[-1].step if told else 0
        self._num = {step: sum(line.step == step and line.kind != "" for line in told) for step in range(10)}
        self._store = store

    def steps(self, after: int, until: int) -> list[Any]:
        return self._store.steps(after=after, until=min(until, self._newest))

    def evaluations(self) -> list[Any]:
        every = self._store.evaluations()
        return [e for i, e in enumerate(every) if sum(o.step == e.step for o in every[:i]) < self._num[e.step]]

    def picks(self) -> list[Any]:
        return self._store.picks()


def test_what_a_run_adds_while_it_goes_is_read_once_and_in_order(folder: Path) -> None:
    with Store.open_readonly(folder / DATABASE) as store:
        whole = list(lines(store.steps(), store.evaluations()))
        found: list[Line] = []
        position = Position()
        for num in range(len(whole) + 1):
            new, position = read_on(_Prefix(store, num), position, 200)  # type: ignore[arg-type]
            found += new
            assert found == whole[:num]


def test_one_that_raises_is_one_line_and_the_others_go_on(folder: Path) -> None:
    said: list[str] = []
    broken, whole = Kept(fails_at=2), Kept()
    report = reporting(folder, said, broken=broken, whole=whole)
    report.finish({})
    assert len(whole.sent) == len(written(folder))
    assert len(said) == 2 and "\n" not in said[0]
    assert said[0].startswith("broken is left out from now on (ConnectionError: the server is away)")
    assert said[1].startswith("1 of 2 trackers lack figures")
    assert broken.closed_with == "not closed"


def test_one_that_hangs_delays_no_step_and_the_end_only_so_long(folder: Path) -> None:
    said: list[str] = []
    release = threading.Event()
    slow, quick = Kept(waits=release), Kept()
    report = reporting(folder, said, slow=slow, quick=quick)
    began = time.monotonic()
    for _ in range(1000):
        report.stored()
    assert time.monotonic() - began < 1.0, "it only says that something was stored"
    report.finish({}, patience=0.5)
    assert len(quick.sent) == len(written(folder)) and not slow.sent
    assert any("slow has not taken everything within 0 s: it lacks the whole run" in line for line in said), said
    release.set()


def test_a_store_that_is_gone_is_the_trackers_loss_alone(tmp_path: Path) -> None:
    said: list[str] = []
    report = reporting(tmp_path, said, one=Kept())
    report.finish({})
    assert said[0].startswith("one is left out from now on (StoreError")


@pytest.mark.skipif(not ABSENT, reason="all trackers are installed here")
def test_a_missing_package_is_one_line_before_a_model_is_loaded(server: Server, tmp_path: Path) -> None:
    name = ABSENT[0]
    ended = server.run([*SMALL, f"run.dir={tmp_path}", f"logging.report_to=[{name}]", "model.name=no-such-model"])
    assert ended.code == USAGE
    assert ended.output.count("\n") == 1, ended.output
    assert f"logging.report_to: {name} is not installed" in ended.output
    assert f"uv run --extra {name} python -m selfplay.loop" in ended.output
    assert not list(tmp_path.iterdir())
    require_installed([])


@pytest.mark.parametrize("value", ["[tensorbored]", "[wandb,wandb]", "[[wandb]]", "wandb"])
def test_only_trackers_that_there_are_can_be_reported_to(value: str) -> None:
    with pytest.raises(ConfigError, match="report_to"):
        load(None, [f"logging.report_to={value}"])
    with pytest.raises(ConfigError, match="project"):
        load(None, ["logging.project=a/b"])


def test_extras_are_named_as_their_trackers() -> None:
    import tomllib

    extras = tomllib.loads(Path("pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert set(get_args(TrackerName)) <= set(extras)


def test_tables_hold_any_text() -> None:
    assert flat({"a": {"b": {"c": 1}}, "d": [2]}) == {"a/b/c": 1, "d": [2]}
    text = as_markdown({"judge|x": "`<script>`|\n# x", "empty": " "})
    assert text.splitlines()[2:] == ["| `judge¦x` | `'<script>'¦ # x` |", "| `empty` |  |"]
