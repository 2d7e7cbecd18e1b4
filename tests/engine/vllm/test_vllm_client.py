"""The run's side of the vLLM worker: a lost worker, stale weights, stops, supports and stored waves.

The worker here is tests/helpers/vllm_stand_in.py, with a model in numpy in place of vLLM, so that this side is tested
where the worker's environment is not made. test_vllm.py has vLLM.
"""

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from run_server import Server

from roles.requests import Sampled, SamplingParams
from roles.tree import ROOT, Tree
from selfplay.config.files import load
from selfplay.engine.protocol import Draw, TokenCount
from selfplay.engine.tree_engine import TreeEngine
from selfplay.engine.vllm import process
from selfplay.engine.vllm.digests import chosen_columns, compared, digests, in_other_forms, weights_of
from selfplay.engine.vllm.sampler import VllmSampler, VllmSettings
from selfplay.engine.vllm.wire import LOGPROBS, packed, unpacked
from selfplay.machine.errors import NO_ENGINE, NO_MODEL, OUT_OF_SYNC, EngineError, Refused, SyncError
from selfplay.model.adapter_layers import make_adapters
from selfplay.model.policy import Policy
from selfplay.model.weights.loading import load_model
from store.records import Completion, Finish

STAND_IN = Path(__file__).resolve().parents[2] / "helpers" / "vllm_stand_in.py"
FREE = SamplingParams(temperature=1.2, max_tokens=5, stop=("\n",))
TEXTS = ("12 + 7 =", "12 + 9 =", "x")


@pytest.fixture
def policy() -> Policy:
    loaded = load_model("tiny-llama", "float32")
    return Policy(loaded.model, loaded.tokenizer, torch.device("cpu"))


@pytest.fixture
def faults(tmp_path: Path) -> Path:
    (tmp_path / "faults").mkdir()
    return tmp_path / "faults"


@pytest.fixture
def settings(tmp_path: Path, faults: Path) -> VllmSettings:
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} {STAND_IN} "$2" {faults}\n')
    python.chmod(0o700)
    return VllmSettings(python, 1, "float32", None, 1 << 26, 1e-3, 60.0, 2)


@pytest.fixture
def lines() -> list[str]:
    return []


@pytest.fixture
def make(policy: Policy, settings: VllmSettings, lines: list[str]) -> Iterator[Callable[..., VllmSampler]]:
    made = []

    def sampler(policy: Policy = policy, **changes: object) -> VllmSampler:
        changed = replace(settings, **changes)  # type: ignore[arg-type]
        made.append(VllmSampler(policy, TreeEngine(policy, 3), 3, changed, lines.append))
        return made[-1]

    yield sampler
    for each in made:
        each.close()


def draws(tree: Tree, params: SamplingParams = FREE, n: int = 2) -> list[Draw]:
    return [
        Draw(tree.extend(ROOT, text.encode()), n, params, ("solver", 1, k), "solver/0") for k, text in enumerate(TEXTS)
    ]


def drawn(sampler: VllmSampler, params: SamplingParams = FREE) -> tuple[Tree, list[Completion], TokenCount]:
    tree, count = Tree(), TokenCount()
    return tree, completions(sampler.sample(tree, draws(tree, params), None, count)), count


def completions(groups: Sequence[Sequence[Sampled]]) -> list[Completion]:
    return [sampled.completion for group in groups for sampled in group]


def change(policy: Policy, size: float = 0.05) -> None:
    """An update of all weights, as the trainer makes one."""
    torch.manual_seed(policy.version)
    with torch.no_grad():
        for _, parameter in policy.trainable:
            parameter.add_(size * torch.randn_like(parameter))
    policy.version += 1
    policy.refresh()


def assert_drawn_from(policy: Policy, tree: Tree) -> None:
    """The log-probabilities in the tree are the policy's, at the temperature that was drawn at."""
    nodes = [node for node, label in enumerate(tree.labels) if label]
    parents = [tree.parents[node] for node in nodes]
    hidden = policy.padded_hidden(tree, parents)
    truth = (policy.head.logits(hidden) / 1.2).log_softmax(-1)
    ours = [truth[i, tree.tokens[node]].item() for i, node in enumerate(nodes)]
    np.testing.assert_allclose([tree.logprobs[node] for node in nodes], ours, atol=1e-4)


def in_shared_memory(pid: int) -> list[Path]:
    return [path for path in Path("/dev/shm").glob("selfplay-vllm-*") if str(path) in _arguments(pid)]


def _arguments(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_text()


def test_completions_grow_the_tree_as_they_are_drawn(make: Callable[..., VllmSampler], policy: Policy) -> None:
    tree, found, count = drawn(make())
    assert len(found) == 6 and {each.finish for each in found} <= {Finish.STOP, Finish.LENGTH}
    for each in found:
        assert 1 <= len(each.ids) == len(each.logprobs) <= 5
        assert (each.finish is Finish.STOP) == (each.ids[-1] in (ord("\n"), policy.tokenizer.eos_token_id))
    assert_drawn_from(policy, tree)
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


@pytest.mark.parametrize(
    ("fault", "line"),
    [
        ("stale", r"21 of the 21 weights that vLLM computes with are not the trainer's \(lm_head.weight\)"),
        ("layer", r"9 of the 21 weights .* \(model.layers.1.input_layernorm.weight\): they did not arrive"),
        ("keys", r"vLLM's cache still has the keys of 64 tokens by older weights"),
        ("odds", r"log-probabilities .* are 0.5 nats apart in the mean \(at most 0.5\), above .*=0\.001"),
    ],
)
def test_weights_travel_and_what_does_not_arrive_ends_the_run(
    make: Callable[..., VllmSampler], policy: Policy, faults: Path, fault: str, line: str
) -> None:
    """By an update that is too small for log-probabilities."""
    sampler = make()
    sampler.load(0)
    pid = sampler.worker_pid
    change(policy)
    sampler.load(1)
    assert sampler.worker_pid == pid and sampler.measure_gap().mean < 1e-5
    change(policy, 1e-6)
    assert sampler.measure_gap().mean < 1e-4, "the worker has the old weights, and a tenth of the threshold shows"
    (faults / fault).touch()
    with pytest.raises(SyncError, match=f"policy version 2: {line}") as caught:
        sampler.load(2)
    assert caught.value.code == OUT_OF_SYNC
    assert sampler.worker_pid is None, "nothing samples on with wrong weights"


@pytest.fixture
def adapted() -> Policy:
    loaded = load_model("tiny-llama", "float32")
    adapter = make_adapters(loaded.model, 4, 6, ["q_proj", "down_proj"], 0, "tiny-llama", print)
    policy = Policy(loaded.model, loaded.tokenizer, torch.device("cpu"))
    policy.adapt(adapter)
    return policy


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, int]]:
    """What the worker is asked, and for that the name and the bytes of the folder that it is to read."""
    found = []
    ask = process.Worker._ask

    def noted(worker: process.Worker, do: str, seconds: float, *blobs: Any, **fields: Any) -> Any:
        folder = Path(fields.get("folder", "/nothing"))
        found.append((do, folder.name, sum(path.stat().st_size for path in folder.glob("*"))))
        return ask(worker, do, seconds, *blobs, **fields)

    monkeypatch.setattr(process.Worker, "_ask", noted)
    return found


def test_adapters_travel_alone_under_a_name_of_each_version(
    make: Callable[..., VllmSampler], adapted: Policy, asked: list[tuple[str, str, int]]
) -> None:
    sampler = make(policy=adapted)
    sampler.load(0)
    for version in (1, 2):
        change(adapted)
        sampler.load(version)
    assert sampler.measure_gap().mean < 1e-5
    folders = [(do, name) for do, name, _ in asked if name != "nothing"]
    travelled = [("load", "weights"), *(("adapter", f"policy-{version}-{version + 1}") for version in (0, 1, 2))]
    assert folders == travelled
    sizes = [size for do, _, size in asked if do in ("load", "adapter")]
    numbers = 2 * (4 * (64 + 64) + 4 * (64 + 128))  # of A and B of two layers
    assert all(4 * numbers < size < 4 * numbers + 3000 for size in sizes[1:]) and sizes[0] > 200_000
    tree, _, _ = drawn(sampler)
    assert_drawn_from(adapted, tree)


def test_a_new_worker_is_given_the_base_and_the_adapters_of_now(
    make: Callable[..., VllmSampler], adapted: Policy
) -> None:
    sampler = make(policy=adapted)
    sampler.load(0)
    change(adapted)
    sampler.load(1)
    before = drawn(sampler)[1]
    assert sampler.worker_pid is not None
    os.kill(sampler.worker_pid, signal.SIGKILL)
    tree, after, _ = drawn(sampler)
    assert after == before
    assert_drawn_from(adapted, tree)


def test_adapters_that_are_not_delivered_end_the_run(
    make: Callable[..., VllmSampler], adapted: Policy, faults: Path
) -> None:
    """By an update that is too small for log-probabilities."""
    sampler = make(policy=adapted)
    sampler.load(0)
    change(adapted, 1e-7)
    (faults / "stale").touch()
    with pytest.raises(SyncError, match=r"policy version 1: 8 of the 29 weights .* \(model.layers.0.mlp.*lora_A"):
        sampler.load(1)
    another = make(policy=adapted)
    with pytest.raises(SyncError, match=r"policy version 1: 8 of the 29 weights"):
        another.load(1)  # a worker that has never had any


def test_adapters_that_are_not_sampled_with_end_the_run(
    make: Callable[..., VllmSampler], adapted: Policy, faults: Path
) -> None:
    sampler = make(policy=adapted)
    sampler.load(0)
    (faults / "plain").touch()
    tree = Tree()
    with pytest.raises(SyncError, match=r"sampled with the adapters \[''\], not with policy-0-1 alone"):
        sampler.sample(tree, draws(tree))
    assert not any(tree.labels)


def test_a_matrix_that_is_held_otherwise_in_every_layer_is_left_to_the_log_probabilities() -> None:
    names = [f"h.{layer}.{kind}.weight" for layer in range(3) for kind in ("qkv", "up")] + [
        "head.weight",
        "norm.weight",
    ]
    trainer = {name: "ours" for name in names}
    odd = {"h.0.qkv.weight", "h.1.qkv.weight", "h.2.qkv.weight", "h.1.up.weight", "head.weight"}
    sampler = {name: "theirs" if name in odd else "ours" for name in names if name != "norm.weight"}
    found = compared(trainer, sampler)
    assert found.differing == odd and found.unread == {"norm.weight"}
    assert in_other_forms(names, found.differing) == {"h.0.qkv.weight", "h.1.qkv.weight", "h.2.qkv.weight"}


def test_a_change_of_one_weight_is_seen_by_the_columns_of_some_version(policy: Policy) -> None:
    weights = weights_of(policy)
    before = [digests(weights, chosen_columns(weights, version)) for version in range(12)]
    weights["model.layers.0.mlp.down_proj.weight"][3, 100] += 1e-6  # a view of the policy's
    found = {
        name
        for version in range(12)
        for name in compared(digests(weights, chosen_columns(weights, version)), before[version]).differing
    }
    assert found == {"model.layers.0.mlp.down_proj.weight"}


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
    assert len(lines) == 1, "it is not started again, for it would fail again"


def test_no_environment_is_one_line_with_the_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(process.VARIABLE, raising=False)
    monkeypatch.setattr(process, "PYTHON", tmp_path / "python")
    with pytest.raises(Refused, match="make the worker's environment with `uv sync --project engines/vllm`") as caught:
        process.worker_python()
    assert caught.value.code == NO_ENGINE
    monkeypatch.setenv(process.VARIABLE, sys.executable)
    assert process.worker_python() == Path(sys.executable)
    monkeypatch.setattr(process, "PROJECT", tmp_path)
    with pytest.raises(Refused, match="a clone of the repository only"):
        process.worker_python()


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
    [(["policy.lora.r=513"], "at most 512"), (["solver.temperature=0.001"], "at least 0.01")],
)
def test_what_vllm_cannot_do_is_refused(keys: list[str], what: str) -> None:
    from selfplay.machine.errors import ConfigError

    load(None, ["engine.kind=vllm"])
    with pytest.raises(ConfigError, match=what):
        load(None, ["engine.kind=vllm", *keys])


def test_rows_are_what_they_were() -> None:
    rows = [[1, 2, 3], [], [2**31 - 1]]
    lengths, ids = packed(rows)
    assert [row.tolist() for row in unpacked(lengths, ids)] == rows
    with pytest.raises(ValueError, match="rows of 4 values in all, and 3 values"):
        unpacked(lengths, ids[:-4], LOGPROBS)
