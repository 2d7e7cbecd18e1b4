"""What a run says and keeps of the processes that worked on it, and what a resume rebuilds and says."""

import json
import signal
import sqlite3
import time
from pathlib import Path

import pytest
import torch
from run_server import Ended, Server
from store_samples import create

from selfplay.machine.clock import process_started
from selfplay.machine.environment import code_digest, fingerprint, flags_digest
from selfplay.machine.errors import BUSY, DATA, OK
from selfplay.machine.exits import clear_errors
from store.records import Incarnation
from store.sealing import seal_all
from store.store import Store

TINY = (
    "configs/tiny.yaml", "run.name=x", "run.threads=1", "run.steps=3", "run.checkpoint_every=1",
    "domain=few_problems:FewProblems", "challenger.source=procedural", "solver.problems=2",
    "curriculum.min_successes=1", "evaluate.every=2", "evaluate.pass_size=1", "evaluate.pass_k=2",
)  # fmt: skip
OTHER_CODE = "last step was made by other code"


def start(server: Server, directory: Path, **options: object) -> Ended:
    return server.run([*TINY, f"run.dir={directory}"], **options)  # type: ignore[arg-type]


def resume(server: Server, directory: Path, *more: str) -> Ended:
    return server.run(["--resume", "x", f"run.dir={directory}", *more])


def change(directory: Path, statement: str) -> None:
    """As if it had been stored so: sealed."""
    with Store.open(directory / "x" / "selfplay.db") as store, store._writing() as connection:
        connection.exec_driver_sql(statement)
        seal_all(connection)


def incarnations(directory: Path) -> list[Incarnation]:
    with Store.open_readonly(directory / "x" / "selfplay.db") as store:
        return store.incarnations()


def summary(directory: Path) -> dict[str, float]:
    found: dict[str, float] = json.loads((directory / "x" / "summary.json").read_text())
    return found


@pytest.mark.slow
def test_seconds_are_of_every_process_and_the_peak_is_the_largest(server: Server, tmp_path: Path) -> None:
    before = time.monotonic()
    killed = start(server, tmp_path, environment={"SELFPLAY_KILL_AT": "loop.committed:3"})
    assert killed.code == -signal.SIGKILL
    [first] = incarnations(tmp_path)
    assert first.seconds > 0 and first.peak_memory_bytes > 10_000_000, "what a killed process used is kept"
    assert resume(server, tmp_path).code == OK
    passed = time.monotonic() - before
    with Store.open_readonly(tmp_path / "x" / "selfplay.db") as store:
        stepped = sum(row.seconds for row in store.steps())
        makers = [row.incarnation_id for row in store.steps()]
    assert makers == [None, 1, 1, 1]
    found, whole = incarnations(tmp_path), summary(tmp_path)
    assert whole["seconds"] == round(sum(each.seconds for each in found), 1)
    assert stepped < whole["seconds"] <= passed + 0.1
    assert {each.code_digest for each in found} == {code_digest()}
    assert len({each.config_digest for each in found} - {""}) == 1

    change(tmp_path, "UPDATE incarnations SET peak_memory_bytes = 1 << 50 WHERE incarnation_id = 1")
    again = resume(server, tmp_path)
    assert again.code == OK and OTHER_CODE not in again.output
    assert summary(tmp_path)["peak_memory_bytes"] == 1 << 50
    assert summary(tmp_path)["seconds"] > whole["seconds"]


def test_a_resume_with_other_code_says_so_once(server: Server, tmp_path: Path) -> None:
    assert start(server, tmp_path).code == OK
    change(tmp_path, "UPDATE incarnations SET code_digest = 'theirs'")
    ended = resume(server, tmp_path, "run.steps=4")
    assert ended.code == OK and ended.output.count(OTHER_CODE) == 1 and "theirs" in ended.output
    assert OTHER_CODE not in resume(server, tmp_path, "run.steps=5").output, "the last step is ours now"


def test_metrics_are_rebuilt_on_resume(server: Server, tmp_path: Path) -> None:
    assert start(server, tmp_path).code == OK
    file = tmp_path / "x" / "metrics.jsonl"
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert [line["step"] for line in lines if "kind" not in line] == [1, 2, 3] and len(lines) > 5
    file.write_text(file.read_text()[:100])  # cut in the middle of a line
    assert resume(server, tmp_path).code == OK
    assert [json.loads(line) for line in file.read_text().splitlines()] == lines
    file.unlink()
    assert resume(server, tmp_path).code == OK
    assert [json.loads(line) for line in file.read_text().splitlines()] == lines


def test_fewer_steps_than_there_are_take_none_back_and_say_so(server: Server, tmp_path: Path) -> None:
    assert start(server, tmp_path).code == OK
    ended = resume(server, tmp_path, "run.steps=2")
    assert ended.code == OK and "run.steps=2 is behind it: there is nothing to do" in ended.output
    with Store.open_readonly(tmp_path / "x" / "selfplay.db") as store:
        assert store.head().step == 3
    assert "is behind" not in resume(server, tmp_path, "run.steps=3").output


def test_a_locked_database_and_a_newer_one_have_codes_that_call_nothing_damaged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "selfplay.db"
    with create(path) as store, store._writing():
        with pytest.raises(SystemExit) as locked, clear_errors():
            Store.open(path, busy_seconds=0.05)
    assert locked.value.code == BUSY and "is locked by another process" in capsys.readouterr().err
    with sqlite3.connect(path) as database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
    database.close()
    with pytest.raises(SystemExit) as newer, clear_errors():
        Store.open(path)
    assert newer.value.code == DATA and "update the code (nothing is damaged)" in capsys.readouterr().err


def test_processors_that_can_do_other_things_are_told_apart() -> None:
    plain = "processor\t: 0\nflags\t\t: fpu avx512f avx512_bf16\n\nprocessor\t: 1\nflags\t\t: fpu\n"
    digest = flags_digest(plain)
    assert len(digest) == 8
    assert digest == flags_digest("flags : avx512_bf16 fpu avx512f\n")
    assert digest != flags_digest(plain.replace("avx512_bf16", "avx512_bf16 amx_tile"))
    assert len(flags_digest("processor : 0\nFeatures : fp asimd\n")) == 8
    assert flags_digest("model name : something\n") == ""


def test_the_fingerprint_names_what_computes() -> None:
    said = fingerprint(torch.device("cpu"))
    assert "transformers 5." in said or "transformers 6." in said
    assert "flags " in said and "torch " in said


def test_a_process_began_before_it_was_asked() -> None:
    first, now = process_started(), time.monotonic()
    assert first <= now and abs(first - process_started()) < 0.1
