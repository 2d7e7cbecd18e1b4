"""What cannot be run ends in one line that names the key, with a documented exit code, and leaves no folder behind."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from few_problems import TRAINED
from pydantic_monty._binary import find_monty_binary
from run_server import ROOT, Server

from selfplay.machine.errors import NO_MODEL, NO_SANDBOX, OK, USAGE
from selfplay.machine.exits import line_of
from store.errors import Damaged, JournalError, JournalLost, Outdated, StoreError
from store.store import Store

TINY = ("configs/tiny.yaml", "run.name=x", "run.threads=1", "run.steps=1", "domain=few_problems:FewProblems")


def refused(server: Server, *more: str) -> str:
    """The last line of what a run that cannot be was told."""
    ended = server.run([*TINY, *more])
    assert ended.code == USAGE, ended.output
    assert "Traceback" not in ended.output
    return ended.output.splitlines()[-1]


@pytest.mark.parametrize("layers", ["[nope]", "[mlp]", "['']", "[lm_head]", "[q_proj,lm_head]", "[embed_tokens]"])
def test_adapters_for_layers_that_are_none_of_the_decoders(server: Server, tmp_path: Path, layers: str) -> None:
    """Cases 21a, 45: code that goes round a module's forward would not see its adapter."""
    line = refused(server, f"run.dir={tmp_path}", "policy.lora.r=4", f"policy.lora.target_modules={layers}")
    assert line.startswith("error: policy.lora.target_modules=[")
    assert "those are down_proj, gate_proj, k_proj, o_proj, q_proj, up_proj, v_proj" in line
    assert list(tmp_path.iterdir()) == []


def test_a_file_where_the_folder_of_runs_should_be(server: Server, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("kept")
    for place in (file, file / "deeper"):
        line = refused(server, f"run.dir={place}")
        assert line.startswith(f"error: run.dir: {place}/x cannot be made") and f"{file} is not a folder" in line
    (tmp_path / "x").touch()
    assert f"{tmp_path}/x is not a folder" in refused(server, f"run.dir={tmp_path}")
    assert file.read_text() == "kept"


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="needs a folder in which nobody can make another")
def test_a_folder_that_cannot_be_made(server: Server) -> None:
    assert refused(server, "run.dir=/proc/nope").startswith("error: run.dir: /proc/nope/x cannot be made")


def test_a_name_too_long_for_the_file_system(server: Server, tmp_path: Path) -> None:
    assert refused(server, f"run.dir={tmp_path}/{'x' * 300}").startswith("error: run.dir: ")


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("domain=nope", "error: domain "),
        ("domain_options.bogus=1", "error: domain_options.bogus: "),
        ("domain=few_problems:Nobody", "error: domain "),
    ],
)
def test_a_domain_that_is_none_is_answered_before_torch_is_loaded(tmp_path: Path, override: str, words: str) -> None:
    code = (
        "import sys; from selfplay.loop import main\n"
        "try: main(sys.argv[1:])\n"
        "except SystemExit as end: sys.exit(99 if 'torch' in sys.modules else end.code)"
    )
    arguments = ["configs/default.yaml", f"run.dir={tmp_path}", override]
    ended = subprocess.run([sys.executable, "-c", code, *arguments], cwd=ROOT, capture_output=True, text=True)
    assert ended.returncode == USAGE, ended.stderr
    assert ended.stderr.startswith(words) and ended.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_conversation_beyond_learned_positions_leaves_no_folder(server: Server, tmp_path: Path) -> None:
    """Case 53: it was an IndexError, and the name was used up."""
    more = (f"run.dir={tmp_path}", "model.name=tiny-gpt2", "solver.max_tokens=1000")
    ended = server.run([*TINY, *more])
    assert ended.code == NO_MODEL and "Traceback" not in ended.output, ended.output
    assert "tiny-gpt2: it has 1024 positions" in ended.output.splitlines()[-1]
    assert list(tmp_path.iterdir()) == []
    ended = server.run([*TINY, *more[:-1], "solver.max_tokens=8"])
    assert ended.code == OK, ended.output


def test_a_broken_sandbox_stops_the_run_and_blames_nobody(server: Server, tmp_path: Path) -> None:
    """Case 46: the guest's failure and the host's are two things."""
    monty = tmp_path / "monty"
    shutil.copy(find_monty_binary(), monty)
    options = [*TINY, *TRAINED, "run.steps=2", "evaluate.pass_size=1", "evaluate.pass_k=2"]
    assert server.run([*options, f"run.dir={tmp_path}/whole"]).code == OK
    ended = server.run(
        [*options, f"run.dir={tmp_path}/broken"], {"MONTY_BIN": str(monty)}, fault="a broken sandbox in step 2"
    )
    assert ended.code == NO_SANDBOX, ended.output
    assert ended.output.splitlines()[-1].startswith("error: the sandbox that executes what the model writes does not")
    with Store.open_readonly(tmp_path / "broken" / "x" / "selfplay.db") as store:
        assert store.head().step == 1
    assert server.run(["--resume", "x", f"run.dir={tmp_path}/broken"]).code == OK
    whole, mended = (
        [(row.weights_digest, row.metrics.get("challenger/valid_new", 0.0)) for row in store.steps()]
        for store in (Store.open_readonly(tmp_path / each / "x" / "selfplay.db") for each in ("whole", "broken"))
    )
    assert whole == mended and whole[2][1] > 0


@pytest.mark.parametrize(
    ("error", "typed"),
    [
        (Outdated("runs/x/selfplay.db has schema 0001", Path("runs/x")), "`python -m selfplay.inspect migrate runs/x`"),
        (Damaged("runs/x/selfplay.db is damaged", Path("runs/x")), "`python -m selfplay.inspect verify runs/x`"),
        (JournalLost("the journal is damaged"), "resume.mode=rewind"),
        (JournalError("an array cannot be stored"), "stored"),
    ],
)
def test_what_mends_a_failure_of_the_store_is_said_with_it(error: StoreError, typed: str) -> None:
    line = line_of(error)
    assert line.startswith(str(error)) and typed in line and ("rewind" in line) is isinstance(error, JournalLost)
