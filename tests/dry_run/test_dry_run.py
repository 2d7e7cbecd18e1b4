"""`--dry-run`: what it says of a run is what that run does, and nothing is left of it."""

import json
import time
from pathlib import Path
from typing import Any

import pytest
from run_server import Ended, Server

from selfplay import loop
from selfplay.arguments import parse
from selfplay.config.files import load
from selfplay.config.shipped import configuration_file
from selfplay.dry_run.command import answer, dry_run, planned
from selfplay.dry_run.estimate import Free
from selfplay.machine.errors import INTERRUPTED, NO_MODEL, OK, TERMINATED, USAGE, ConfigError
from selfplay.train.trainer import Trainer
from store.store import Store

SMALL = [
    "configs/tiny.yaml", "run.name=x", "run.threads=1", "run.steps=1", "run.checkpoint_every=2",
    "domain=sums", "domain_options.max_digits=1", "solver.problems=2", "solver.max_tokens=4",
    "evaluate.pass_size=2", "evaluate.pass_k=2", "evaluate.every=9",
]  # fmt: skip


def dry(server: Server, directory: Path, *arguments: str, fault: str = "") -> Ended:
    """A dry run of a run that would be in a folder that is not there yet."""
    before = set(directory.rglob("*"))
    ended = server.run(
        [*SMALL, f"run.dir={directory / 'runs'}", "--dry-run", *arguments],
        environment={"TMPDIR": str(directory)},
        fault=fault,
    )
    assert set(directory.rglob("*")) == before, "something was left behind"
    return ended


@pytest.fixture(scope="module")
def said(server: Server, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a dry run says of a run of one step."""
    ended = dry(server, tmp_path_factory.mktemp("dry"), "--json")
    assert ended.code == OK, ended.output
    return dict(json.loads(ended.output))


def test_what_it_says_is_what_the_run_does(server: Server, said: dict[str, Any], tmp_path: Path) -> None:
    ended = server.run([*SMALL, f"run.dir={tmp_path}"])
    assert ended.code == OK, ended.output
    folder = tmp_path / "x"
    with Store.open_readonly(folder / "selfplay.db") as store:
        row, evaluations = store.step(1), store.evaluations()
    step, disk = said["step"], said["disk"]
    assert step["tokens_computed"] == row.metrics["tokens/computed"] > 0
    assert step["tokens_flat"] == row.metrics["tokens/flat"] > step["tokens_computed"]
    assert set(step["phase_seconds"]) == {"propose", "solve", "update", "other"}
    assert sum(step["phase_seconds"].values()) == pytest.approx(step["seconds"], abs=0.01)
    checkpoint = sum(path.stat().st_size for path in (folder / "checkpoints").rglob("*") if path.is_file())
    assert disk["checkpoint_bytes"] == pytest.approx(checkpoint, rel=0.02)
    (journal,) = (folder / "journal").iterdir()
    assert disk["journal_bytes_per_step"] == journal.stat().st_size
    assert disk["database_bytes"] == pytest.approx((folder / "selfplay.db").stat().st_size, rel=0.05)
    assert disk["bytes_at_end"] == pytest.approx(checkpoint + disk["database_bytes"] + journal.stat().st_size, rel=0.02)
    sizes = {each.set_name: len(each.outcomes) for each in evaluations if each.step == 0}
    assert said["evaluation"]["problems"] == sum(sizes.values())
    assert said["run"]["steps"] == said["run"]["checkpoints"] == 1 and said["run"]["interim_evaluations"] == 0
    assert said["parameters"]["trained"] == said["parameters"]["all"] > 10_000
    memory = said["memory"]
    assert 0 < memory["step_bytes"] <= memory["needed_bytes"] < memory["free_bytes"] and memory["device_bytes"] is None


def test_it_is_a_table_for_people(server: Server, tmp_path: Path) -> None:
    ended = dry(server, tmp_path, "run.steps=12", "evaluate.every=5")
    assert ended.code == OK, ended.output
    rows = [line.split("  ")[0].strip() for line in ended.output.splitlines() if line.startswith(" ")]
    assert {"parameters", "memory", "disk", "tokens a step", "a full evaluation", "the whole run"} <= set(rows)
    assert "an interim evaluation" in ended.output and "slower than later ones" in ended.output
    in_one_line = "".join(ended.output.split())  # a caption is wrapped where the folder's name is long
    assert f"dryrunof{tmp_path / 'runs' / 'x'}" in in_one_line
    assert ".selfplay-dry-run" not in ended.output


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ("Ctrl-C in step 1", INTERRUPTED),
        ("SIGTERM in step 1", TERMINATED),
        ("Ctrl-C while the model loads", INTERRUPTED),
    ],
)
def test_nothing_is_left_of_one_that_is_stopped(server: Server, tmp_path: Path, fault: str, code: int) -> None:
    ended = dry(server, tmp_path, fault=fault)
    assert ended.code == code, ended.output
    assert ended.output.splitlines()[-1] == "stopped: a dry run leaves nothing behind"


def test_a_checkpoint_that_finds_no_room_is_computed(server: Server, tmp_path: Path) -> None:
    faults = ("", "files of at most 400 kB")
    large = [dry(server, tmp_path, "--json", "model.name=tiny-qwen3", fault=fault) for fault in faults]
    assert [ended.code for ended in large] == [OK, OK], large[1].output
    measured, computed = (json.loads(ended.output) for ended in large)
    assert measured["checkpoint_seconds"] > 0 and not any("no checkpoint" in note for note in measured["notes"])
    assert computed["checkpoint_seconds"] is None and any("no checkpoint" in note for note in computed["notes"])
    assert computed["disk"]["checkpoint_bytes"] == pytest.approx(measured["disk"]["checkpoint_bytes"], rel=0.1)


def test_too_little_room_is_a_warning(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = load(configuration_file(SMALL[0]), [*SMALL[1:], f"run.dir={tmp_path}"])
    scarce = Free(memory_bytes=10**6, disk_bytes=10**6)
    assert answer(config, None, loop.take, time.monotonic(), is_json=False, free=scarce) == OK
    warned = [line for line in capsys.readouterr().out.splitlines() if line.startswith("WARNING")]
    assert [line.split("needs")[0] for line in warned] == ["WARNING   the run "] * 2
    assert warned[0].endswith("of memory, and 1.0 MB are free") and warned[1].endswith("of disk, and 1.0 MB are free")
    assert list(tmp_path.iterdir()) == []


def test_an_update_is_measured_with_the_moments_that_later_ones_hold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first makes them at its end: by it alone the default job would seem to take 1.1 GB less than it does."""
    seen: list[bool] = []
    honest = Trainer.step

    def step(self: Trainer, *batches: Any) -> Any:
        seen.append(any(name.startswith("adam/exp_avg") for name in self.state()))
        return honest(self, *batches)

    monkeypatch.setattr(Trainer, "step", step)
    config = load(configuration_file(SMALL[0]), [*SMALL[1:], f"run.dir={tmp_path}"])
    found = dry_run(config, None, loop.take, time.monotonic(), lambda line: None)
    assert found.measured.trained_groups > 0 and seen == [False, True]


@pytest.mark.parametrize(
    ("arguments", "code", "line"),
    [
        (["model.name=no-such-folder"], NO_MODEL, "error: "),
        (["domain=nonsense"], USAGE, "error: "),
        (["solver.problems=0"], USAGE, "error: solver.problems"),
        (["model.name=tiny-gpt2", "solver.max_tokens=100000"], NO_MODEL, "error: "),
    ],
)
def test_what_a_run_would_refuse_is_one_line(
    server: Server, tmp_path: Path, arguments: list[str], code: int, line: str
) -> None:
    ended = dry(server, tmp_path, "--json", *arguments)
    assert ended.code == code, ended.output
    assert ended.output.startswith(line) and len(ended.output.splitlines()) == 1


def test_a_name_that_is_used_is_refused(server: Server, tmp_path: Path) -> None:
    used = tmp_path / "runs" / "x"
    used.mkdir(parents=True)
    (used / "metrics.jsonl").write_text("")
    ended = dry(server, tmp_path)
    assert ended.code not in (OK, None) and ended.output.startswith("error: ") and str(used) in ended.output


def test_a_process_of_vllm_is_planned_with_its_keys() -> None:
    words = [*SMALL[1:], "engine.kv_cache_mib=96"]
    kinds = (["engine.kind=local"], ["engine.kind=vllm"], ["engine.kind=vllm", "engine.url=tcp://127.0.0.1:8011"])
    configs = [load(configuration_file(SMALL[0]), [*words, *kind]) for kind in kinds]
    assert [planned(config).worker_keys_mib for config in configs] == [None, 96, None], "a server has its own memory"


def test_it_goes_with_no_resume_and_json_with_nothing_else() -> None:
    for resume in ("--resume", "--auto-resume"):
        with pytest.raises(ConfigError, match=f"goes without {resume}"):
            parse([*SMALL, "--dry-run", resume])
    with pytest.raises(ConfigError, match="--json goes with --dry-run"):
        parse([*SMALL, "--json"])
    found = parse([*SMALL, "--json", "--dry-run"])
    assert found is not None and (found.is_dry, found.as_json, found.is_resume) == (True, True, False)
