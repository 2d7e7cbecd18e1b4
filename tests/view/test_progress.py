"""What a user sees of a run: a live line on a terminal, plain lines elsewhere, a table of before and after, paths."""

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from selfplay import loop
from selfplay.arguments import Arguments
from selfplay.closing import close, closing_table
from selfplay.config.files import load
from selfplay.config.resuming import stored_config
from selfplay.config.shown import shown_settings
from selfplay.machine.errors import DATA, OK
from selfplay.run.opening import open_run
from selfplay.view.progress import Progress
from store.records import Alarm, AlarmEvent, Evaluation, StepRow, StepStatus
from store.store import Store

TINY = Path(__file__).resolve().parents[2] / "configs" / "tiny.yaml"
SMALL = [
    "run.name=x", "run.threads=1", "run.steps=4", "run.checkpoint_every=2", "domain=few_problems:FewProblems",
    "solver.problems=2", "solver.max_tokens=4", "curriculum.min_successes=1", "evaluate.every=2",
    "evaluate.pass_size=1", "evaluate.pass_k=2", "logging.transcript_every=3",
]  # fmt: skip
STEP = re.compile(
    r"step +(\d)/4  pass \d\.\d\d  signal \d\.\d\d .* reward [+-]\d\.\d\d/-?\d\.\d\d  frontier \d+  \d+\.\d+s"
)
CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@dataclass(frozen=True, slots=True)
class Seen:
    """A finished run's folder, and all that it wrote to its console."""

    folder: Path
    output: str

    @property
    def text(self) -> str:
        """Without what moves a terminal's cursor."""
        return CONTROL.sub("", self.output)


def seen(arguments: Arguments, is_terminal: bool) -> Seen:
    """One run in this process."""
    output = StringIO()
    console = Console(file=output, force_terminal=is_terminal, color_system=None, soft_wrap=True, width=150)
    assert loop.run(arguments, Progress(shown_settings(arguments.config), console)) == OK
    return Seen(Path(arguments.config.run.dir) / "x", output.getvalue())


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Seen:
    directory = tmp_path_factory.mktemp("plain")
    return seen(Arguments(load(TINY, [*SMALL, f"run.dir={directory}"]), is_resume=False), is_terminal=False)


@pytest.fixture(scope="module")
def terminal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seen]:
    directory = tmp_path_factory.mktemp("terminal")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TERM", "xterm")  # on a dumb one nothing may move
        yield seen(Arguments(load(TINY, [*SMALL, f"run.dir={directory}"]), is_resume=False), is_terminal=True)


def test_plain_lines_where_there_is_no_terminal(plain: Seen) -> None:
    assert "\x1b" not in plain.output and "\r" not in plain.output
    assert "left" not in plain.output, "a live line is for terminals"
    lines = plain.output.splitlines()
    assert lines[0] == f"run {plain.folder}"
    steps = [found[1] for line in lines if (found := STEP.fullmatch(line))]
    assert steps == ["1", "2", "3", "4"]
    assert "evaluating step 0 on held-out problems: add1, mul1 ..." in lines
    assert sum(line.startswith("          held out, first try: add1 0.") for line in lines) == 1, "after step 2"


def test_the_figures_of_a_line_are_the_stored_ones(plain: Seen) -> None:
    with Store.open_readonly(plain.folder / "selfplay.db") as store:
        rows = store.steps()[1:]
    lines = [line for line in plain.output.splitlines() if STEP.fullmatch(line)]
    for line, row in zip(lines, rows, strict=True):
        assert f"  pass {row.metrics['solver/pass_rate']:.2f}  " in line
        assert f"  signal {row.metrics['curriculum/signal_share']:.2f}  " in line
        assert f"  reward {row.metrics['reward/mean']:+.2f}/{row.metrics['challenger/reward']:.2f}  " in line


def test_what_nobody_poses_is_not_in_a_line_and_a_run_without_held_out_problems_says_so(tmp_path: Path) -> None:
    keys = [*SMALL, "domain=own_domains:NothingHeldOut", "run.steps=1", "challenger.source=none", f"run.dir={tmp_path}"]
    lines = seen(Arguments(load(TINY, keys), is_resume=False), is_terminal=False).output.splitlines()
    [step] = [line for line in lines if line.startswith("step ")]
    assert re.fullmatch(r"step +1/1  pass \d.\d\d  signal \S+  fixed \S+  reward [+-]\d\.\d\d  \d+\.\d+s", step)
    assert any(line.startswith("nothing was evaluated: the domain has no held-out problems") for line in lines)


def test_a_transcript_appears_every_few_steps(plain: Seen) -> None:
    lines = plain.output.splitlines()
    told = [
        number
        for number, line in enumerate(lines)
        if re.match(r" {10}\w+ posed: '.*'  solver: ['\"].* \| then: ", line)
    ]
    assert [STEP.fullmatch(lines[number - 1])[1] for number in told] == ["3"]  # type: ignore[index]


def test_a_terminal_has_a_live_line_with_the_time_left(terminal: Seen, plain: Seen) -> None:
    # between the first and the last drawing the pace of the machine says which there are
    assert re.search(r"step +0/4 0:00:00 left -:--:--", terminal.text), "not known yet"
    assert re.search(r"step 4 \S+ 4/4 0:\d\d:\d\d left 0:00:00", terminal.text)
    assert "\x1b[2K" in terminal.output, "it is drawn in place"
    kept = [line for line in terminal.text.splitlines() if "left" not in line]
    assert [found[1] for line in kept if (found := STEP.search(line))] == ["1", "2", "3", "4"]
    assert [line for line in kept if " posed: " in line] == [
        line for line in plain.output.splitlines() if " posed: " in line
    ], "the same seed says the same"


def test_the_closing_table_has_before_and_after_and_the_paths(plain: Seen) -> None:
    """Figures by hand in place of a tiny model's zeros; a resumption of the finished run shows them."""
    before = {"acc_t1": 0.25, "acc_t2": 0.5, "i2c": 0.5, "c2i": 0.0}
    after = {"acc_t1": 0.75, "acc_t2": 1.0, "i2c": 0.4, "c2i": 0.1}
    with Store.open(plain.folder / "selfplay.db") as store:
        store.commit_evaluation(Evaluation(0, "add1", "full", before, outcomes="3100"))
        store.commit_evaluation(Evaluation(4, "add1", "full", after, outcomes="3331"))
    again = seen(
        Arguments(stored_config(plain.folder, ["domain=few_problems:FewProblems"]), is_resume=True), is_terminal=False
    )
    assert "held-out problems, greedy, before -> after" in again.text
    heads = ("set", "first try", "second look", "fixed", "broken", "first try by [95%]")
    assert any(all(head in line for head in heads) for line in again.text.splitlines())
    [row] = [line for line in again.text.splitlines() if "add1" in line and "→" in line]
    cells = [cell.strip() for cell in re.split("[│┃]", row) if cell.strip()]
    assert cells[:5] == ["add1", "0.25→0.75", "0.50→1.00", "0.40", "0.10"]
    assert cells[5].startswith("+0.50 [")
    assert any("mul1" in line and "→" in line for line in again.text.splitlines())
    folder = plain.folder
    assert again.text.splitlines()[-3:] == [
        f"summary  {folder / 'summary.json'}",
        f"weights  {folder / 'checkpoints' / 'step_000004' / 'policy'}",
        f"look     python -m selfplay.inspect status {folder}",
    ]
    assert (folder / "summary.json").is_file() and (folder / "checkpoints" / "step_000004" / "policy").is_dir()


def test_weights_that_do_not_verify_are_not_named(plain: Seen) -> None:
    """Case 31: the closing line named a damaged folder. A resumption makes its weights again, and names them."""
    config, output = stored_config(plain.folder, ["domain=few_problems:FewProblems"]), StringIO()
    file = plain.folder / "checkpoints" / "step_000004" / "policy" / "model.safetensors"
    progress = Progress(shown_settings(config), Console(file=output, soft_wrap=True, width=150))
    with open_run(config, True, progress, time.monotonic()) as run:
        content = file.read_bytes()
        file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        assert close(run, "again", progress) == DATA
    assert "weights  " not in output.getvalue()
    assert "the weights are damaged (checkpoints/step_000004/policy/model.safetensors is damaged" in output.getvalue()
    again = seen(Arguments(config, is_resume=True), is_terminal=False)
    assert "set aside: checkpoints/step_000004 " in again.text and f"weights  {file.parent}" in again.text
    assert file.read_bytes() == content


def test_the_closing_table_cuts_no_figure_at_80_columns() -> None:
    """Case 16: names of sets are folded, figures are not cut."""
    figures = {"acc_t1": 0.25, "acc_t2": 0.5, "i2c": 0.5, "c2i": 0.0}
    name = "sums_of_two_numbers_with_a_carry"
    summary = {
        "evaluation": {"before": {name: figures}, "after": {name: figures}},
        "change": {name: {"acc_t1": (-0.1, -0.25, 0.05)}},
    }
    output = StringIO()
    Console(file=output, width=80, soft_wrap=True).print(closing_table(summary))
    lines = output.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    assert any("-0.10 [-0.25, +0.05]" in line and "0.25→0.25" in line for line in lines)
    assert "first try by [95%]" in lines[2] and "second look" in lines[2]


def told(steps: list[dict[str, float]], *settings: str) -> list[str]:
    """What is printed of these steps' figures, all else missing."""
    output = StringIO()
    progress = Progress(
        shown_settings(load(TINY, [*settings, "logging.transcript_every=0"])), Console(file=output, soft_wrap=True)
    )
    for number, figures in enumerate(steps, start=1):
        progress.step_done(StepRow(number, number, None, StepStatus.LIVE, number, figures, "", None, None, 1.0), [], 2)
    return output.getvalue().splitlines()


def test_a_figure_that_was_not_measured_is_a_dash() -> None:
    """A KeyError before, in the middle of a run."""
    assert told([{"solver/pass_rate": 0.5}]) == [
        "step   1/6  pass 0.50  signal -  fixed -  new -  valid -/-  reward -/-  frontier 2  1.0s"
    ]
    assert len(told([{}] * 70)) == 70


def test_an_alarm_is_a_line_that_says_what_to_do_and_so_is_its_end() -> None:
    output = StringIO()
    progress = Progress(shown_settings(load(TINY, [])), Console(file=output, soft_wrap=True))
    progress.alarmed(Alarm("copies", AlarmEvent.RAISED, 1.0, 0.99, "second looks say \x1b[2J", "Do this"))
    progress.alarmed(Alarm("copies", AlarmEvent.OVER, 0.25, 0.5, "copies is over", ""))
    assert output.getvalue().splitlines() == [
        "ALARM     second looks say \\x1b[2J. Do this",
        "          copies is over",
    ]
