"""The run's side of the vLLM worker: a lost worker, stops, supports and stored waves.

The worker here is tests/helpers/vllm_workers/vllm_stand_in.py, with a model in numpy in place of vLLM, so that this
side is tested where the worker's environment is not made. test_vllm.py has vLLM.
"""

import fcntl
import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from run_server import Server
from samples_behind import apart, change, completions
from with_stand_in import FREE, TEXTS, drawn, draws

from roles.tree import Tree
from selfplay.config.files import load
from selfplay.engine.protocol import TokenCount
from selfplay.engine.tree_engine import TreeEngine
from selfplay.engine.vllm import process
from selfplay.engine.vllm.sampler import VllmSampler
from selfplay.engine.vllm.wire import LOGPROBS, packed, unpacked
from selfplay.machine.errors import NO_ENGINE, NO_MODEL, ConfigError, EngineError, Refused
from selfplay.model.policy import Policy
from store.records import Finish


def in_shared_memory(pid: int) -> list[Path]:
    return [path for path in Path("/dev/shm").glob("selfplay-worker-*") if str(path) in _arguments(pid)]


def _arguments(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_text()


def test_completions_grow_the_tree_as_they_are_drawn(make: Callable[..., VllmSampler], policy: Policy) -> None:
    tree, found, count = drawn(make())
    assert len(found) == 6 and {each.finish for each in found} <= {Finish.STOP, Finish.LENGTH}
    for each in found:
        assert 1 <= len(each.ids) == len(each.logprobs) <= 5
        assert (each.finish is Finish.STOP) == (each.ids[-1] in (ord("\n"), policy.tokenizer.eos_token_id))
    assert apart(policy, tree, FREE.temperature) < 1e-4
    prompts = 2 * sum(len(text) for text in TEXTS)
    assert count.flat == prompts + sum(len(each.ids) for each in found)
    assert count.computed == count.flat - len(found), "the last token of a completion is not run"


def test_seeds_are_of_the_key_and_the_version(make: Callable[..., VllmSampler], policy: Policy) -> None:
    sampler = make()
    first, again = drawn(sampler)[1], drawn(sampler)[1]
    assert first == again
    assert len({each.ids for each in first[:2]}) == 2, "samples of a draw have seeds of their own"
    policy.version = 1  # the same weights
    other = drawn(sampler)[1]
    assert [each.ids for each in other] != [each.ids for each in first]
    assert {(each.first_version, each.last_version) for each in other} == {(1, 1)}


@pytest.mark.parametrize("fault", ["crash", "hang"])
def test_a_lost_worker_is_started_anew_and_asked_the_same(
    make: Callable[..., VllmSampler], policy: Policy, faults: Path, lines: list[str], fault: str
) -> None:
    sampler = make(seconds=3.0)
    sampler.load(0)
    change(policy)
    sampler.load(1)
    whole_tree, whole, whole_count = drawn(sampler)
    before = sampler.worker_pid
    (faults / fault).touch()
    tree, found, count = drawn(sampler)
    assert sampler.worker_pid not in (None, before)
    assert (found, count, tree.logprobs) == (whole, whole_count, whole_tree.logprobs), "nothing is counted twice"
    wanted = "exit code 3" if fault == "crash" else "no answer to generate for 3 s"
    assert any(wanted in line and "started anew" in line for line in lines), lines


def test_a_worker_that_is_lost_each_time_ends_the_run(
    make: Callable[..., VllmSampler], faults: Path, lines: list[str]
) -> None:
    (faults / "always").touch()
    tree = Tree()
    sampler = make(restarts=1)
    with pytest.raises(EngineError, match=r"lost 2 times at one question \(exit code 3\)") as caught:
        sampler.sample(tree, draws(tree))
    assert caught.value.code == NO_ENGINE
    assert not any(tree.labels), "no half of a wave"
    assert sampler.worker_pid is None


def test_a_truncated_draw_leaves_what_it_was_drawn_from(make: Callable[..., VllmSampler], policy: Policy) -> None:
    params = replace(FREE, top_k=4)
    tree, found, _ = drawn(make(), params)
    local = Tree()
    TreeEngine(policy, 3).sample(local, draws(local, params), found)
    assert tree.supports == local.supports and len(tree.supports) > 6
    assert {len(support.ids()) for support in tree.supports.values()} == {4}


def test_stored_waves_are_said_again_without_a_worker(make: Callable[..., VllmSampler]) -> None:
    tree, found, _ = drawn(make())
    again, count, sampler = Tree(), TokenCount(), make()
    given = completions(sampler.sample(again, draws(again), found, count))
    assert given == found and again.logprobs == tree.logprobs and again.parents == tree.parents
    assert count.computed == 0 and sampler.worker_pid is None
    truncated, params = Tree(), replace(FREE, top_k=4)
    _, cut, _ = drawn(make(), params)
    sampler.sample(truncated, draws(truncated, params), cut)
    assert len(truncated.supports) > 6, "what they were drawn from is found anew"
    assert sampler.worker_pid is None


def test_a_stop_that_spans_tokens_ends_a_completion(make: Callable[..., VllmSampler]) -> None:
    sampler = make()
    free = drawn(sampler, replace(FREE, stop=("\0\0",), max_tokens=60))[1]
    longest = max(free, key=lambda each: len(each.ids))
    pair = next(
        bytes(longest.ids[at : at + 2]).decode()
        for at in range(len(longest.ids) - 1)
        if max(longest.ids[at : at + 2]) < 128
    )
    cut = drawn(sampler, replace(FREE, stop=(pair,), max_tokens=60))[1]
    ended = [each for each in cut if pair in each.text]
    assert ended and all(each.finish is Finish.STOP and each.text.endswith(pair) for each in ended)


def test_closing_ends_the_worker_and_its_folder(make: Callable[..., VllmSampler]) -> None:
    sampler = make()
    sampler.load(0)
    assert sampler.worker_pid is not None
    pid = sampler.worker_pid
    folders = in_shared_memory(pid)
    assert len(folders) == 1 and oct(folders[0].stat().st_mode & 0o777) == "0o700"
    assert not list(folders[0].glob("weights/*")), "weights do not stay in shared memory"
    sampler.close()
    sampler.close()
    assert not folders[0].exists()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_what_a_worker_left_that_died_with_its_run_is_swept(tmp_path: Path) -> None:
    def made(name: str, has_lock: bool, age: float) -> Path:
        folder = tmp_path / f"selfplay-worker-{name}"
        folder.mkdir()
        (folder / "weights").write_bytes(b"of a model")
        if has_lock:
            (folder / "lock").touch()
        os.utime(folder, (time.time() - age, time.time() - age))
        return folder

    left, held, new, old = made("left", True, 0), made("held", True, 0), made("new", False, 0), made("old", False, 90)
    with (held / "lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        process.sweep(tmp_path)
    assert not left.exists() and not old.exists(), "nobody holds them"
    assert held.exists() and new.exists(), "somebody works there, or is about to"


def test_shared_memory_without_room_is_left_for_a_disk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(process, "_SHARED_MEMORY", tmp_path)
    assert process.place_for(1 << 20) == tmp_path
    assert process.place_for(1 << 50) == Path(tempfile.gettempdir())
    monkeypatch.setattr(process, "_SHARED_MEMORY", tmp_path / "of another system")
    assert process.place_for(0) == Path(tempfile.gettempdir())


def test_a_worker_that_does_not_start_is_one_line(
    make: Callable[..., VllmSampler], tmp_path: Path, lines: list[str]
) -> None:
    broken = tmp_path / "broken"
    broken.write_text("#!/bin/sh\necho 'ImportError: no vllm here' >&2\nexit 9\n")
    broken.chmod(0o700)
    began = time.monotonic()
    with pytest.raises(EngineError, match="exit code 9: ImportError: no vllm here"):
        make(python=broken, restarts=0).load(0)
    assert time.monotonic() - began < 10


def test_a_model_that_vllm_does_not_run_is_one_line_at_once(
    make: Callable[..., VllmSampler], faults: Path, lines: list[str]
) -> None:
    (faults / "refuses").touch()
    with pytest.raises(
        EngineError, match=r"does not run this model \(RuntimeError: heads of 16\): .*engine.kind=local"
    ):
        make().load(0)
    assert not lines, "it is not started again, for it would fail again"


def test_a_python_without_vllm_is_one_line_with_the_command(make: Callable[..., VllmSampler], faults: Path) -> None:
    (faults / "missing").touch()
    with pytest.raises(EngineError, match=r"has no vLLM: make its environment with `uv sync --project engines/vllm`"):
        make().load(0)


@pytest.mark.parametrize(("device", "folder"), [("cpu", "engines/vllm"), ("cuda", "engines/vllm/cuda")])
def test_no_environment_is_one_line_with_the_command(
    device: str, folder: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv(process.VARIABLE, raising=False)
    (tmp_path / "worker.py").touch()
    monkeypatch.setattr(process, "PROJECT", tmp_path)
    with pytest.raises(Refused, match=f"make the worker's environment with `uv sync --project {folder}`,") as caught:
        process.worker_python(device)
    assert caught.value.code == NO_ENGINE
    monkeypatch.setenv(process.VARIABLE, sys.executable)
    assert process.worker_python(device) == Path(sys.executable)
    (tmp_path / "worker.py").unlink()
    with pytest.raises(Refused, match="a clone of the repository only"):
        process.worker_python(device)


def test_contexts_too_short_for_a_run_are_one_line_before_it_has_a_folder(server: Server, tmp_path: Path) -> None:
    words = ["configs/tiny.yaml", "run.name=x", f"run.dir={tmp_path / 'runs'}", "engine.kind=vllm", "engine.context=20"]
    ended = server.run(words, environment={process.VARIABLE: sys.executable})
    assert ended.code == NO_MODEL, ended.output
    assert ended.output.splitlines()[-1].startswith(
        "error: model.name=tiny-llama: the sampler takes contexts of up to 20"
    )
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("keys", "what"),
    [
        (["policy.lora.r=513"], "at most 512"),
        (["solver.temperature=0.001"], "at least 0.01"),
        (["engine.decoding=rows"], "auto or tree while engine.kind is vllm"),
        (["engine.url=http://127.0.0.1:8000"], "tcp://HOST:PORT"),
        (["engine.url=tcp://127.0.0.1:0"], "tcp://HOST:PORT"),
        (["engine.kind=local", "engine.url=tcp://127.0.0.1:8011"], "empty while engine.kind is local"),
    ],
)
def test_what_vllm_cannot_do_is_refused(keys: list[str], what: str) -> None:
    load(None, ["engine.kind=vllm"])
    with pytest.raises(ConfigError, match=what):
        load(None, ["engine.kind=vllm", *keys])


def test_rows_are_what_they_were() -> None:
    rows = [[1, 2, 3], [], [2**31 - 1]]
    lengths, ids = packed(rows)
    assert [row.tolist() for row in unpacked(lengths, ids)] == rows
    with pytest.raises(ValueError, match="rows of 4 values in all, and 3 values"):
        unpacked(lengths, ids[:-4], LOGPROBS)
