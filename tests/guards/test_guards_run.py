"""Guards in a run: an alarm is a row, a line and a figure; a resumed run has the same; nothing trained moves."""

import json
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from selfplay import loop
from selfplay.arguments import Arguments
from selfplay.config.files import load
from selfplay.config.keys import Config
from selfplay.config.resuming import stored_config
from selfplay.config.shown import shown_settings
from selfplay.inspect import main
from selfplay.machine.errors import OK
from selfplay.view.alarms import alarms
from selfplay.view.progress import Progress
from store.records import AlarmEvent
from store.store import Store

TINY = Path(__file__).resolve().parents[2] / "configs" / "tiny.yaml"
SMALL = [
    "run.name=x", "run.threads=1", "run.steps=5", "run.checkpoint_every=2", "domain=few_problems:FewProblems",
    "solver.problems=8", "solver.max_tokens=4", "solver.turns=1", "curriculum.min_successes=1", "evaluate.every=9",
    "evaluate.pass_size=1", "evaluate.pass_k=2", "logging.transcript_every=0",
]  # fmt: skip
NEVER = ["guards.cut_share=1", "guards.answer_prior=1", "guards.distinct_proposals=0", "guards.entropy=0"]


def played(config: Config, is_resume: bool = False) -> list[str]:
    """The lines of one run in this process."""
    output = StringIO()
    console = Console(file=output, color_system=None, soft_wrap=True, width=300)
    assert loop.run(Arguments(config, is_resume=is_resume), Progress(shown_settings(config), console)) == OK
    return output.getvalue().splitlines()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A run of a random model, nearly all of whose answers are cut after four tokens."""
    directory = tmp_path_factory.mktemp("whole")
    return directory / "x", played(load(TINY, [*SMALL, f"run.dir={directory}"]))


def test_an_alarm_is_a_row_a_line_and_a_figure(whole: tuple[Path, list[str]]) -> None:
    folder, lines = whole
    with Store.open_readonly(folder / "selfplay.db") as store:
        found, steps = store.alarms(), store.steps(after=0)
    [(step, cut)] = [(step, alarm) for step, alarm in found if alarm.name == "cut_share"]
    shares = [row.metrics["completions/clipped_ratio"] for row in steps]
    assert (step, cut.event, cut.threshold) == (3, AlarmEvent.RAISED, 0.5)
    assert cut.figure == pytest.approx(sum(shares[:3]) / 3) and cut.figure > 0.5
    assert lines.count(f"ALARM     {cut.text}. {cut.advice}") == 1 and "solver.max_tokens" in cut.advice
    place = lines.index(f"ALARM     {cut.text}. {cut.advice}")
    before = [line for line in lines[:place] if line.startswith("step ")]
    assert before[-1].startswith("step   3/5")
    opened, counts = set[str](), []
    for row in steps:
        for at, alarm in found:
            if at == row.step:
                opened = opened | {alarm.name} if alarm.event is AlarmEvent.RAISED else opened - {alarm.name}
        counts.append(len(opened))
    assert [row.metrics["alarm/open"] for row in steps] == counts and counts[-1] >= 1


def test_what_guards_say_changes_nothing_that_is_sampled_or_trained(
    whole: tuple[Path, list[str]], tmp_path: Path
) -> None:
    lines = played(load(TINY, [*SMALL, *NEVER, "guards.formats.digit=1", f"run.dir={tmp_path}"]))
    assert not any(line.startswith("ALARM") for line in lines)
    with (
        Store.open_readonly(whole[0] / "selfplay.db") as one,
        Store.open_readonly(tmp_path / "x" / "selfplay.db") as other,
    ):
        assert other.alarms() == []
        assert [row.weights_digest for row in one.steps()] == [row.weights_digest for row in other.steps()]
        figures = other.head().metrics
    shares = {name for name in figures if name.startswith("format/share_")}
    assert shares == {"format/share_digit", "format/share_other"}


@pytest.mark.slow
def test_a_run_in_two_halves_has_the_alarms_of_one(whole: tuple[Path, list[str]], tmp_path: Path) -> None:
    first = played(load(TINY, [*SMALL, "run.steps=2", f"run.dir={tmp_path}"]))
    assert not any(line.startswith("ALARM     ") and "cut by their length" in line for line in first)
    again = played(
        stored_config(tmp_path / "x", ["run.steps=5", "domain=few_problems:FewProblems"]), is_resume=True
    )  # fmt: skip
    assert sum("cut by their length" in line for line in again) == 1
    more = played(stored_config(tmp_path / "x", ["run.steps=6", "domain=few_problems:FewProblems"]), is_resume=True)
    assert not any("cut by their length" in line for line in more), "it was said, and is not over"
    with (
        Store.open_readonly(whole[0] / "selfplay.db") as one,
        Store.open_readonly(tmp_path / "x" / "selfplay.db") as two,
    ):
        assert one.alarms() == [pair for pair in two.alarms() if pair[0] <= 5]


def test_inspect_alarms_has_the_rows(whole: tuple[Path, list[str]], capsys: pytest.CaptureFixture[str]) -> None:
    folder, _ = whole
    with pytest.raises(SystemExit) as ended:
        main(["alarms", str(folder), "--json"])
    assert ended.value.code == OK
    found = json.loads(capsys.readouterr().out)
    [cut] = [row for row in found["alarms"] if row["name"] == "cut_share"]
    assert (cut["step"], cut["over"], cut["threshold"]) == (3, None, 0.5) and "max_tokens" in cut["advice"]
    with Store.open_readonly(folder / "selfplay.db") as store:
        assert found == alarms(store)
        shares = [row.metrics["format/most"] for row in store.steps(after=0)]
    passed = next((step for step, share in enumerate(shares, start=1) if share > 0.8), None)
    assert found["format"] == {"threshold": 0.8, "passed": passed, "first": shares[0], "newest": shares[-1]}
    with pytest.raises(SystemExit) as ended:
        main(["alarms", str(folder)])
    shown = capsys.readouterr().out
    assert "cut_share" in shown and "open" in shown and "what to do" in shown
