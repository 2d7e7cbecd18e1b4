"""The run's side of weights that travel to vLLM: what does not arrive is noticed, however small the update.

The worker here is tests/helpers/vllm_workers/vllm_stand_in.py. test_vllm_weights.py has vLLM.
"""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from samples_behind import apart, change
from with_stand_in import FREE, drawn, draws

from roles.tree import Tree
from selfplay.engine.vllm.digests import chosen_columns, compared, digests, in_other_forms, weights_of
from selfplay.engine.vllm.sampler import VllmSampler
from selfplay.engine.vllm.worker import Worker
from selfplay.machine.errors import OUT_OF_SYNC, SyncError
from selfplay.model.adapter_layers import make_adapters
from selfplay.model.policy import Policy
from selfplay.model.weights.loading import load_model


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
    ask = Worker._ask

    def noted(worker: Worker, do: str, seconds: float, *blobs: Any, **fields: Any) -> Any:
        if "folder" in fields:
            files = (worker._host.folder / fields["folder"]).glob("*")
            found.append((do, fields["folder"], sum(path.stat().st_size for path in files)))
        return ask(worker, do, seconds, *blobs, **fields)

    monkeypatch.setattr(Worker, "_ask", noted)
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
    travelled = [("load", "weights"), *(("adapter", f"policy-{version}-{version + 1}") for version in (0, 1, 2))]
    assert [(do, name) for do, name, _ in asked] == travelled
    sizes = [size for _, _, size in asked]
    numbers = 2 * (4 * (64 + 64) + 4 * (64 + 128))  # of A and B of two layers
    assert all(4 * numbers < size < 4 * numbers + 3000 for size in sizes[1:]) and sizes[0] > 200_000
    tree, _, _ = drawn(sampler)
    assert apart(adapted, tree, FREE.temperature) < 1e-4


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
    assert apart(adapted, tree, FREE.temperature) < 1e-4


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
