"""Weights between devices, this side of it: packs, what is told of them, and what is refused. The worker is
tests/helpers/vllm_workers/vllm_stand_in.py; test_vllm_transfers.py has vLLM's own end, test_transfers_gpu.py GPUs."""

import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from run_server import Server
from samples_behind import apart, change
from transformers import Qwen3MoeConfig, Qwen3MoeForCausalLM
from with_stand_in import FREE, SETTINGS, drawn
from with_transfers import described, transfer_of, transferring

from selfplay.config.files import load
from selfplay.engine.vllm.device_transfer import beside, cuda_memory, packs_beyond, packs_within, told
from selfplay.engine.vllm.nccl import ID_BYTES, NcclError, new_identity
from selfplay.engine.vllm.process import PROJECT, VARIABLE, only_gpu
from selfplay.engine.vllm.sampler import VllmSampler
from selfplay.engine.vllm.transfer import names_in_file
from selfplay.engine.vllm.worker import Worker, WorkerLost
from selfplay.machine.errors import NO_ENGINE, USAGE, ConfigError, EngineError
from selfplay.model.named_weights import base_weights, write_base
from selfplay.model.policy import Policy
from selfplay.model.weights.loading import load_model


def test_packs_hold_everything_in_order() -> None:
    random = np.random.default_rng(0)
    for _ in range(200):
        sizes = random.integers(1, 50, random.integers(1, 30)).tolist()
        most = int(random.integers(max(sizes), 120))
        within, beyond = list(packs_within(sizes, most)), list(packs_beyond(sizes, most))
        for packs in (within, beyond):
            assert [size for pack in packs for size in sizes[pack]] == sizes and all(sizes[pack] for pack in packs)
        assert all(sum(sizes[pack]) <= most for pack in within)
        for pack, following in pairwise(within):
            assert sum(sizes[pack]) + sizes[following][0] > most, "a pack is as full as it may be"
        assert all(sum(sizes[pack]) > most >= sum(sizes[pack][:-1]) for pack in beyond[:-1])
    assert list(packs_within([], 9)) == list(packs_beyond([], 9)) == []


@pytest.mark.parametrize("name", ["tiny-llama", "tiny-gpt2", "tiny-qwen3", "tiny-gemma"])
def test_what_is_sent_is_what_a_file_has(tmp_path: Path, name: str) -> None:
    loaded = load_model(name, "bfloat16")
    policy = Policy(loaded.model, loaded.tokenizer, torch.device("cpu"))
    write_base(policy, tmp_path)
    weights = base_weights(policy)
    names = names_in_file(tmp_path, weights, "ipc")
    pointers = [weights[each].data_ptr() for each in names]
    assert len(set(names)) == len(names) and len(set(pointers)) == len(pointers), "a tied head is sent once"
    parameters = {parameter.data_ptr() for parameter in policy.model.parameters()}
    assert parameters <= set(pointers), "nothing is left behind"
    facts = told([(each, weights[each]) for each in names])
    assert set(facts["dtype_names"]) == {"bfloat16"} and len(facts["shapes"]) == len(names)


def test_weights_of_wider_numbers_come_first(tmp_path: Path) -> None:
    """So that each begins at a multiple of its width, which vLLM reads it at."""
    loaded = load_model("tiny-llama", "bfloat16")
    policy = Policy(loaded.model, loaded.tokenizer, torch.device("cpu"))
    policy.model.model.layers[1].input_layernorm.float()
    write_base(policy, tmp_path)
    names = names_in_file(tmp_path, base_weights(policy), "ipc")
    assert names[0] == "model.layers.1.input_layernorm.weight" and names[1] == "model.embed_tokens.weight"


def test_a_model_that_is_taken_apart_in_its_file_is_refused(tmp_path: Path) -> None:
    config = Qwen3MoeConfig(
        vocab_size=260, hidden_size=32, intermediate_size=32, moe_intermediate_size=16, num_hidden_layers=1,
        num_attention_heads=2, num_key_value_heads=1, num_experts=4, num_experts_per_tok=2, head_dim=16,
    )  # fmt: skip
    model = Qwen3MoeForCausalLM(config)
    model.save_pretrained(tmp_path)
    with pytest.raises(EngineError, match=r"engine.weights=nccl: \d+ .* another form .*engine.weights=files"):
        names_in_file(tmp_path, model.state_dict(), "nccl")


def test_memory_of_a_gpu_is_told_without_a_pickle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(PROJECT))
    monkeypatch.delitem(sys.modules, "tensors", raising=False)
    import transfers  # type: ignore[import-not-found]  # of engines/vllm, which is no package of ours

    whole = described(1 << 20)
    memory = cuda_memory(whole, "GPU-1")
    assert memory["gpu"] == "GPU-1" and all(not isinstance(value, bytes) for value in memory.values())
    assert transfers.opened_by(memory) == tuple(whole)
    assert transfers.settings("") == {} and transfers.settings("ipc") == {"weight_transfer_config": {"backend": "ipc"}}
    with pytest.raises(ValueError, match="want one of ipc, nccl"):
        transfers.settings("sharded_rdt")
    facts = {"names": ["a"], "dtype_names": ["float32"], "shapes": [[1]]}
    taken: list[dict[str, Any]] = []
    vllm = SimpleNamespace(update_weights=taken.append, init_weight_transfer_engine=taken.append)
    transfers.receive(vllm, facts)
    transfers.join(vllm, {"packed": True})
    assert taken == [{"update_info": facts}, {"init_info": {"packed": True}}]
    for refused in (
        lambda: transfers.receive(vllm, facts | {"ipc_handles_pickled": "gASVAAAA"}),
        lambda: transfers.receive(vllm, facts | {"dtype_names": ["hub"]}),
        lambda: transfers.join(vllm, {"master_address": "example.org", "master_port": 1}),
    ):
        with pytest.raises(ValueError, match=r"no field of it|want bfloat16"):
            refused()
    assert len(taken) == 2


@pytest.fixture
def by_file(policy: Policy, python: Path, tmp_path: Path, lines: list[str]) -> Iterator[VllmSampler]:
    """Its worker opens a file in place of a GPU's memory."""
    device = transfer_of("ipc", tmp_path, pack_bytes=1 << 12)
    sampler = transferring(policy, python, device, replace(SETTINGS, restarts=0), 60.0, lines)
    yield sampler
    sampler.close()


def test_updates_travel_between_devices_in_packs(by_file: VllmSampler, policy: Policy) -> None:
    by_file.load(0)
    for version in (1, 2):
        change(policy)
        by_file.load(version)
        assert apart(policy, drawn(by_file)[0], FREE.temperature) < 1e-4


def test_a_worker_for_cpus_is_one_line(policy: Policy, python: Path, tmp_path: Path, lines: list[str]) -> None:
    sampler = transferring(policy, python, transfer_of("ipc", tmp_path), SETTINGS, 60.0, lines)
    hire = sampler._hire

    def on_a_cpu() -> Worker:
        worker = hire()
        worker.device = "cpu"
        return worker

    sampler._hire = on_a_cpu
    with pytest.raises(EngineError, match=r"engine.weights=ipc: .* built for CPUs: use engine.weights=files") as caught:
        sampler.load(0)
    assert caught.value.code == NO_ENGINE and not lines
    sampler.close()


@pytest.mark.parametrize(
    ("keys", "what"),
    [
        (
            ["engine.kind=local", "engine.weights=ipc"],
            "must be files while engine.kind is local",
        ),
        (["engine.kind=local", "engine.gpu=1"], "engine.gpu is 1: it must be 0 while engine.kind is local"),
        (["engine.weights=ipc", "policy.lora.r=4"], "files while policy.lora.r is above 0"),
        (["engine.weights=ipc", "engine.url=tcp://127.0.0.1:8011"], "files or nccl while engine.url is set"),
        (["engine.weights=ipc", "engine.gpu=1"], "files or nccl while engine.gpu is above 0"),
        (["engine.weights=nccl"], "files or ipc while the worker is on the run's own GPU"),
        (["engine.gpu=1", "engine.url=tcp://127.0.0.1:8011"], "engine.gpu is 1: it must be 0 while engine.url is set"),
        (["engine.weights=rdma"], "files, ipc, nccl"),
    ],
)
def test_ways_that_are_none_are_refused(keys: list[str], what: str) -> None:
    load(None, ["engine.kind=vllm", "engine.weights=ipc"])
    load(None, ["engine.kind=vllm", "engine.weights=nccl", "engine.gpu=1"])
    load(None, ["engine.kind=vllm", "engine.weights=nccl", "engine.url=tcp://127.0.0.1:8011"])
    with pytest.raises(ConfigError, match=what):
        load(None, ["engine.kind=vllm", *keys])


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device here")
@pytest.mark.parametrize(
    ("words", "line"),
    [
        (
            ["engine.weights=ipc"],
            "error: engine.weights=ipc: weights go from GPU to GPU, and this run is on a CPU: use ",
        ),
        (["engine.gpu=1"], "error: engine.gpu=1: the run has no such GPU for the worker, it is on a CPU"),
    ],
)
def test_a_run_without_a_gpu_is_one_line_before_it_has_a_folder(
    server: Server, tmp_path: Path, words: list[str], line: str
) -> None:
    all_words = ["configs/tiny.yaml", "run.name=x", f"run.dir={tmp_path / 'runs'}", "engine.kind=vllm", *words]
    ended = server.run(all_words, environment={VARIABLE: sys.executable})
    assert ended.code == USAGE and ended.output.splitlines()[-1].startswith(line), ended.output
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("gpu", "visible", "only"), [(1, None, "1"), (1, "", "1"), (1, "4,6", "6"), (2, "GPU-a, GPU-b, GPU-c", "GPU-c")]
)
def test_a_gpu_is_counted_among_those_that_the_run_sees(gpu: int, visible: str | None, only: str) -> None:
    assert only_gpu(gpu, visible) == only


class Cut:
    """A worker whose connection can be cut, which ends what it is asked."""

    def __init__(self) -> None:
        self._ended = threading.Event()

    def cut(self) -> None:
        self._ended.set()

    def ask(self, seconds: float = 20.0) -> None:
        if self._ended.wait(seconds):
            raise WorkerLost("the connection was closed")


def broken() -> None:
    raise NcclError("no device")


def test_what_fails_at_one_end_ends_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    began = time.monotonic()
    worker = Cut()
    with pytest.raises(WorkerLost, match="this end failed: no device"), beside(broken, worker):  # type: ignore[arg-type]
        worker.ask()
    assert time.monotonic() - began < 10
    with pytest.raises(WorkerLost, match="this end failed: no device"), beside(broken, Cut()):  # type: ignore[arg-type]
        time.sleep(0.2)
    with pytest.raises(WorkerLost, match="the worker's own words"), beside(lambda: time.sleep(0.1), Cut()):  # type: ignore[arg-type]
        raise WorkerLost("the worker's own words")
    monkeypatch.setattr("selfplay.engine.vllm.device_transfer._END_SECONDS", 0.1)
    with pytest.raises(WorkerLost, match="this end was not done"), beside(lambda: time.sleep(5), Cut()):  # type: ignore[arg-type]
        pass


def has_nccl() -> bool:
    try:
        return len(new_identity()) == ID_BYTES
    except NcclError:
        return False


@pytest.mark.skipif(not has_nccl(), reason="torch is built without NCCL here")
def test_nccl_is_called_and_says_why_it_fails() -> None:
    assert new_identity() != new_identity()
    if not torch.cuda.is_available():
        from selfplay.engine.vllm import nccl

        made, common = nccl.ctypes.c_void_p(), nccl._Id.from_buffer_copy(new_identity())
        library = nccl._library()
        with pytest.raises(NcclError, match=r"unhandled cuda error .*: Cuda failure"):
            nccl._check(library, library.ncclCommInitRank(nccl.ctypes.byref(made), 2, common, 0))
