"""What vLLM itself must give: the policy's distribution, and its weights after every update. Not of the default tests:

uv sync --project engines/vllm && uv run pytest -m vllm -n 0
"""

import os
import signal
import sqlite3
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from run_server import Server
from samples_behind import apart, change, completions, drawn_behind
from with_vllm import (
    CLOSE,
    FREE,
    NEEDS_VLLM,
    drawn,
    draws,
    processes,
    sampler_of,
    within_ten_seconds,
)  # fmt: skip

from roles.tree import ROOT, Tree
from selfplay.engine.protocol import Draw
from selfplay.engine.tree_engine import TreeEngine
from selfplay.engine.vllm.process import PROJECT, worker_python
from selfplay.engine.vllm.process import VARIABLE as PYTHON
from selfplay.engine.vllm.sampler import VllmSampler
from selfplay.engine.vllm.server import VARIABLE as TOKEN
from selfplay.machine.errors import NO_ENGINE, OK
from selfplay.metrics import MISMATCH_MAX
from selfplay.model.policy import Policy
from selfplay.model.weights.tiny import VOCABULARY
from selfplay.prompting.codec import stop_tokens
from store.records import Finish
from store.store import Store

pytestmark = NEEDS_VLLM


@pytest.fixture(scope="module")
def tied() -> Iterator[tuple[VllmSampler, Policy]]:
    sampler, policy = sampler_of(worker_python("cpu"))
    yield sampler, policy
    sampler.close()


@pytest.mark.parametrize("temperature", [0.0, 1.0, 1.3])
def test_draws_are_the_policys(tied: tuple[VllmSampler, Policy], temperature: float) -> None:
    sampler, policy = tied
    params = replace(FREE, temperature=temperature)
    tree, found, count = drawn(sampler, params)
    assert apart(policy, tree, temperature) < CLOSE
    assert 0 < count.computed < count.flat, "a prompt that samples share is run once"
    stops = stop_tokens(policy.tokenizer, params.stop)
    for each in found:
        assert (each.finish is Finish.STOP) == (each.ids[-1] in stops) and not stops & set(each.ids[:-1])
        assert each.finish is Finish.STOP or len(each.ids) == params.max_tokens
    if temperature == 0.0:
        greedy = Tree()
        expected = completions(TreeEngine(policy, 3).sample(greedy, draws(greedy, params)))
        assert [each.ids for each in found] == [each.ids for each in expected]
    else:
        assert len({each.ids for each in found}) > 6


def test_the_first_tokens_are_as_frequent_as_they_are_likely(tied: tuple[VllmSampler, Policy]) -> None:
    sampler, policy = tied
    tree = Tree()
    node = tree.extend(ROOT, b"x")
    params = replace(FREE, max_tokens=1, temperature=0.7)
    found = sampler.sample(tree, [Draw(node, 3000, params, ("solver", 1, 0), "solver/0")])[0]
    counts = np.bincount([each.completion.ids[0] for each in found], minlength=VOCABULARY) / 3000
    odds = (policy.head.logits(policy.padded_hidden(tree, [node])) / 0.7).softmax(-1)[0].detach().numpy()
    spread = np.sqrt(odds * (1 - odds) / 3000)
    assert (np.abs(counts - odds) < 5 * spread + 1 / 3000).all()


@pytest.mark.parametrize("cut", [{"top_k": 5}, {"top_p": 0.6}, {"min_p": 0.2}, {"top_k": 40, "top_p": 0.8}])
def test_a_truncated_draw_tells_what_it_was_drawn_from(tied: tuple[VllmSampler, Policy], cut: dict[str, float]) -> None:
    sampler, policy = tied
    params = replace(FREE, **cut)  # type: ignore[arg-type]
    tree, found, _ = drawn(sampler, params)
    assert apart(policy, tree, params.temperature) < CLOSE
    local = Tree()
    TreeEngine(policy, 3).sample(local, draws(local, params), found)
    assert tree.supports.keys() == local.supports.keys()
    differing = [node for node, support in tree.supports.items() if support != local.supports[node]]
    assert len(differing) <= len(tree.supports) // 20, "rounding moves a border, seldom"


def test_seeds_are_of_the_key_and_the_version(tied: tuple[VllmSampler, Policy]) -> None:
    sampler, policy = tied
    first, again = drawn(sampler)[1], drawn(sampler)[1]
    assert [each.ids for each in first] == [each.ids for each in again]
    version = policy.version
    policy.version += 100  # the same weights
    other = drawn(sampler)[1]
    policy.version = version
    assert [each.ids for each in other] != [each.ids for each in first]


def test_prompts_of_more_tokens_than_a_pass_takes_are_the_policys_too(tied: tuple[VllmSampler, Policy]) -> None:
    """For a prompt that a pass only begins, a token is drawn for nothing: a CPU's generator cannot take that back."""
    sampler, policy = tied
    texts = [f"{number:03d} {'which is a number of its own ' * 6}=" for number in range(120)]  # 21,600 tokens
    tree, found, _ = drawn_behind(sampler, texts, replace(FREE, max_tokens=2), 1)
    assert len(found) == len(texts)
    assert apart(policy, tree, FREE.temperature) < CLOSE


def test_a_killed_worker_is_replaced_and_says_the_same(tied: tuple[VllmSampler, Policy]) -> None:
    sampler, policy = tied
    change(policy)
    sampler.load(policy.version)
    before, pid = drawn(sampler)[1], sampler.worker_pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    tree, after, _ = drawn(sampler)
    assert sampler.worker_pid not in (None, pid)
    assert [each.ids for each in after] == [each.ids for each in before]
    assert apart(policy, tree, FREE.temperature) < CLOSE


def test_a_run_samples_with_vllm_and_goes_on_from_stored_waves(
    server: Server, tmp_path: Path, folder: Path, patched: Callable[[str], Path]
) -> None:
    words = [
        "configs/tiny.yaml", "run.name=x", "run.threads=1", "run.steps=3", f"run.dir={tmp_path}", "engine.kind=vllm",
        f"model.name={folder}", f"engine.max_logprob_gap={CLOSE}", "domain=few_problems:FewProblems",
        "challenger.source=procedural", "solver.problems=2", "solver.max_tokens=6", "curriculum.min_successes=1",
        "evaluate.pass_size=1", "evaluate.pass_k=2", "engine.context=512", "engine.kv_cache_mib=64",
    ]  # fmt: skip
    python = patched("")
    environment = {PYTHON: str(python)}
    killed = server.run(words, environment=environment | {"SELFPLAY_KILL_AT": "wave.committed:3"})
    assert killed.code == -signal.SIGKILL, killed.output
    with Store.open_readonly(tmp_path / "x" / "selfplay.db") as store:
        step = store.head().step + 1
        stored = store.pending_waves(step)
    assert stored and step > 1
    assert within_ten_seconds(lambda: not processes(python.parent)), "the worker ends with its run"
    resumed = server.run(["--resume", "x", f"run.dir={tmp_path}"], environment)
    assert resumed.code == OK, resumed.output
    with Store.open_readonly(tmp_path / "x" / "selfplay.db") as store:
        rows = store.steps()
        assert [row.step for row in rows] == [0, 1, 2, 3], "no step lost, none twice"
        assert all(row.metrics[MISMATCH_MAX] < CLOSE for row in rows[1:])
    with sqlite3.connect(tmp_path / "x" / "selfplay.db") as database:
        texts = database.execute("SELECT text FROM turns JOIN steps USING (step_id) WHERE step = ?", (step,)).fetchall()
    given = Counter(each.text for wave in stored.values() for each in wave.completions)
    assert given <= Counter(text for (text,) in texts), "the step is made of what was stored before the kill"


@pytest.fixture
def listening(tmp_path: Path) -> Iterator[Callable[[int], tuple[subprocess.Popen[str], int]]]:
    """Starts a server on a port, 0: one that is free; gives its process and the port."""
    started = []

    def start(port: int) -> tuple[subprocess.Popen[str], int]:
        process = subprocess.Popen(
            [worker_python("cpu"), PROJECT / "worker.py", "--listen", f"127.0.0.1:{port}", "--threads", "1"], text=True,
            stdout=subprocess.PIPE, env=os.environ | {TOKEN: "a secret of these tests", "TMPDIR": str(tmp_path)},
        )  # fmt: skip
        started.append(process)
        assert process.stdout is not None
        return process, int(process.stdout.readline().rpartition(":")[2])

    yield start
    for process in started:
        process.kill()
        process.wait()


def test_a_run_samples_on_a_server_and_one_that_goes_away_is_one_line(
    server: Server, listening: Callable[[int], tuple[subprocess.Popen[str], int]], tmp_path: Path, folder: Path
) -> None:
    first, port = listening(0)
    words = [
        "configs/tiny.yaml", "run.name=x", "run.threads=1", "run.steps=500", f"run.dir={tmp_path}", "engine.kind=vllm",
        f"engine.url=tcp://127.0.0.1:{port}", "engine.restarts=1", f"model.name={folder}", "policy.lora.r=2",
        f"engine.max_logprob_gap={CLOSE}", "domain=few_problems:FewProblems", "challenger.source=procedural",
        "solver.problems=2", "solver.max_tokens=6", "evaluate.pass_size=1", "evaluate.pass_k=2", "engine.context=512",
        "engine.kv_cache_mib=64",
    ]  # fmt: skip
    environment = {TOKEN: "a secret of these tests"}
    with server.running(words, tmp_path, environment) as run:
        assert run.has_said("step "), run.errors.read_text()
        first.kill()
        code = server.end(run)
        said = "".join((run.output.read_text() + run.errors.read_text()).split())
        assert code == NO_ENGINE, said
        assert said.count(f"lost2timesatonequestion(nobodylistensattcp://127.0.0.1:{port}") == 1
    assert within_ten_seconds(lambda: not [*tmp_path.glob("selfplay-worker-*")]), "a worker ends with its server"
    listening(port)
    with Store.open_readonly(tmp_path / "x" / "selfplay.db") as store:
        last = store.head().step + 1
    domain = "domain=few_problems:FewProblems"
    resumed = server.run(["--resume", "x", f"run.dir={tmp_path}", f"run.steps={last}", domain], environment)
    assert resumed.code == OK, resumed.output
    with Store.open_readonly(tmp_path / "x" / "selfplay.db") as store:
        rows = store.steps()
    assert [row.step for row in rows] == [*range(last + 1)]
    assert all(row.metrics[MISMATCH_MAX] < CLOSE for row in rows[1:])
