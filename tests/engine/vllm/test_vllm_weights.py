"""Weights on their way to vLLM: what was trained is what samples, and whatever stays behind ends the run at once."""

from collections.abc import Callable
from pathlib import Path

import pytest
from run_server import Server
from safetensors.torch import load_file, save_file
from samples_behind import apart, change
from with_vllm import CLOSE, FREE, NEEDS_VLLM, SMALL, STALE_HEAD, drawn, sampler_of

from selfplay.engine.vllm import transfer
from selfplay.engine.vllm.process import worker_python
from selfplay.machine.errors import OK, OUT_OF_SYNC, SyncError
from selfplay.metrics import MISMATCH_MAX
from selfplay.model.policy import Policy
from store.store import Store

pytestmark = NEEDS_VLLM


@pytest.mark.parametrize(("is_tied", "rank"), [(True, 0), (False, 0), (True, 4)], ids=["tied", "untied", "adapters"])
def test_weights_travel_and_nothing_of_the_old_ones_stays(is_tied: bool, rank: int) -> None:
    sampler, policy = sampler_of(worker_python("cpu"), is_tied, rank=rank)
    try:
        for _ in range(3):
            drawn(sampler)  # the cache holds keys of these weights
            change(policy)
            assert apart(policy, drawn(sampler)[0], FREE.temperature) > 100 * CLOSE, "the worker has the old ones"
            sampler.load(policy.version)
            assert apart(policy, drawn(sampler)[0], FREE.temperature) < CLOSE
        assert sampler.measure_gap().most < CLOSE
    finally:
        sampler.close()


STALE_CACHE = """
import vllm
vllm.LLM.reset_prefix_cache = lambda self, *more: True
generate = worker.Engine.generate
worker.Engine.generate = lambda self, message, blobs: generate(self, message | {"salt": "0"}, blobs)
"""
UNDELIVERED = """
adapter = worker.Engine.adapter
worker.Engine.adapter = lambda self, message, blobs: ({}, []) if self._adapters else adapter(self, message, blobs)
"""
FAULTS = {  # what is done to the worker, the rank of adapters, and what is said of it
    "weights that never arrive": ("worker.tensors.reload = lambda worker, folder: None", 0, r"\d\d of the 21 weights"),
    "a stale head": (STALE_HEAD, 0, r"1 of the 21 weights .*\(lm_head.weight\)"),
    "a stale cache": (STALE_CACHE, 0, "keys of 64 tokens by older weights"),
    "adapters that are never delivered": (UNDELIVERED, 4, r"28 of the 49 weights .*\(model.layers.0.mlp.*lora_A"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_stays_behind_is_caught_at_the_first_update(patched: Callable[[str], Path], fault: str) -> None:
    """In bfloat16, where an update that is so small hides behind rounding."""
    patch, rank, line = FAULTS[fault]
    sampler, policy = sampler_of(patched(patch), dtype="bfloat16", max_gap=0.1, rank=rank)
    try:
        change(policy, SMALL)
        assert sampler.measure_gap().mean < 0.05, "the worker has the old weights, and no log-probability shows it"
        with pytest.raises(SyncError, match=f"policy version 1: .*{line}") as caught:
            sampler.load(1)
        assert caught.value.code == OUT_OF_SYNC
    finally:
        sampler.close()


def all_but_one_layer(policy: Policy, folder: Path) -> None:
    written(policy, folder)
    weights = load_file(folder / "model.safetensors")
    kept = {name: tensor for name, tensor in weights.items() if ".layers.1.mlp" not in name}
    save_file(kept, folder / "model.safetensors", {"format": "pt"})


written = transfer.write_base


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_layer_that_does_not_arrive_is_caught_at_once(monkeypatch: pytest.MonkeyPatch, dtype: str) -> None:
    sampler, policy = sampler_of(worker_python("cpu"), is_tied=False, dtype=dtype, max_gap=0.1)
    try:
        monkeypatch.setattr(transfer, "write_base", all_but_one_layer)
        change(policy, SMALL)
        with pytest.raises(SyncError, match=r"policy version 1: 3 of the 21 weights .*\(model.layers.1.mlp.down_proj"):
            sampler.load(1)
    finally:
        sampler.close()


PLAIN = """
generate = worker.Engine.generate
def plain(self, message, blobs):
    adapters, self._adapters = self._adapters, None
    try:
        return generate(self, message, blobs)
    finally:
        self._adapters = adapters
worker.Engine.generate = plain
"""


def test_what_was_sampled_without_the_adapters_is_not_taken(patched: Callable[[str], Path]) -> None:
    sampler, _ = sampler_of(patched(PLAIN), rank=4)
    try:
        with pytest.raises(SyncError, match=r"sampled with the adapters \[''\], not with policy-0-1 alone"):
            drawn(sampler)
    finally:
        sampler.close()


def test_a_run_with_adapters_learns(server: Server, tmp_path: Path, folder: Path) -> None:
    words = [
        "configs/tiny.yaml", "run.name=x", "run.threads=1", "run.steps=12", f"run.dir={tmp_path}", "engine.kind=vllm",
        f"model.name={folder}", f"engine.max_logprob_gap={CLOSE}", "domain=few_problems:Brief", "policy.lora.r=4",
        "challenger.source=procedural", "solver.group_size=8", "solver.max_tokens=2", "solver.turns=1",
        "curriculum.min_successes=1", "evaluate.pass_size=1", "evaluate.pass_k=2", "evaluate.every=100",
        "train.learning_rate=0.05", "judge.rewards=[{part: correct}]", "engine.context=512", "engine.kv_cache_mib=64",
    ]  # fmt: skip
    ended = server.run(words)
    assert ended.code == OK, ended.output
    with Store.open_readonly(tmp_path / "x" / "selfplay.db") as store:
        rows = store.steps()[1:]
        assert all(row.metrics[MISMATCH_MAX] < CLOSE for row in rows), "what sampled is what was trained"
        passed = [row.metrics["solver/pass_rate"] for row in rows]
    assert sum(passed[-3:]) > sum(passed[:3]) + 0.6
