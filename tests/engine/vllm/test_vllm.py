"""What vLLM itself must give: the policy's distribution, and its weights after every update. Not of the default tests:

uv sync --project engines/vllm && uv run pytest -m vllm -n 0
"""

import os
import signal
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from run_server import Server
from safetensors.torch import load_file, save_file
from transformers import LlamaConfig, LlamaForCausalLM

from roles.requests import Sampled, SamplingParams
from roles.tree import ROOT, Tree
from selfplay.engine.protocol import Draw, TokenCount
from selfplay.engine.tree_engine import TreeEngine
from selfplay.engine.vllm.process import PROJECT, Worker, worker_python
from selfplay.engine.vllm.sampler import VllmSampler, VllmSettings
from selfplay.machine.errors import OK, OUT_OF_SYNC, Refused, SyncError
from selfplay.metrics import MISMATCH_MAX
from selfplay.model.policy import Policy
from selfplay.model.weights.tiny import EOS_ID, VOCABULARY, ByteTokenizer
from selfplay.prompting.codec import stop_tokens
from store.records import Completion, Finish
from store.store import Store


def missing() -> str:
    try:
        worker_python()
    except Refused as refused:
        return str(refused)
    return ""


pytestmark = [
    pytest.mark.vllm,
    pytest.mark.skipif(bool(missing()), reason=missing() or "it is there"),
    pytest.mark.timeout(600),
]
FREE = SamplingParams(temperature=1.3, max_tokens=8, stop=("\n",))
SHARED = "Questions and answers, each on a line of its own. 1 + 1 = 2. 2 + 2 = 4. " * 2  # more than two blocks
TEXTS = (f"{SHARED}12 + 7 =", f"{SHARED}12 + 9 =", "x")
CLOSE = 1e-4  # nats, in float32; what the two add up in another order differs by 2e-6 at most


def tiny(is_tied: bool) -> LlamaForCausalLM:
    """As tiny-llama, with heads of 32 numbers, which are the smallest that vLLM runs on a CPU."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=VOCABULARY, hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, max_position_embeddings=1024, bos_token_id=None, eos_token_id=EOS_ID, pad_token_id=None,
        tie_word_embeddings=is_tied,
    )  # fmt: skip
    model = LlamaForCausalLM(config)
    for parameter in model.parameters():
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=0.1)
    return model


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    tiny(True).save_pretrained(folder)
    ByteTokenizer().save_pretrained(folder)
    return folder


def sampler_of(python: Path, is_tied: bool = True, **changes: object) -> tuple[VllmSampler, Policy]:
    policy = Policy(tiny(is_tied), ByteTokenizer(), torch.device("cpu"))
    settings = VllmSettings(python, 1, "float32", 512, 1 << 26, CLOSE, 120.0, 1)
    sampler = VllmSampler(policy, TreeEngine(policy, 3), 3, replace(settings, **changes), print)  # type: ignore[arg-type]
    sampler.load(0)
    return sampler, policy


@pytest.fixture(scope="module")
def tied() -> Iterator[tuple[VllmSampler, Policy]]:
    sampler, policy = sampler_of(worker_python())
    yield sampler, policy
    sampler.close()


@pytest.fixture(scope="module")
def patched(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A Python whose worker has `patch` done to it first."""

    def python(patch: str) -> Path:
        folder = tmp_path_factory.mktemp("patched")
        (folder / "patched.py").write_text(
            f"import sys\nsys.path.insert(0, {str(PROJECT)!r})\nimport worker\n{patch}\nworker.main()\n"
        )
        (folder / "python").write_text(f'#!/bin/sh\nexec {worker_python()} {folder}/patched.py "$2"\n')
        (folder / "python").chmod(0o700)
        return folder / "python"

    return python


def draws(tree: Tree, params: SamplingParams, n: int = 4) -> list[Draw]:
    return [
        Draw(tree.extend(ROOT, text.encode()), n, params, ("solver", 1, k), "solver/0") for k, text in enumerate(TEXTS)
    ]


def drawn(sampler: VllmSampler, params: SamplingParams = FREE) -> tuple[Tree, list[Completion], TokenCount]:
    tree, count = Tree(), TokenCount()
    return tree, completions(sampler.sample(tree, draws(tree, params), None, count)), count


def completions(groups: Sequence[Sequence[Sampled]]) -> list[Completion]:
    return [sampled.completion for group in groups for sampled in group]


def apart(policy: Policy, tree: Tree, temperature: float) -> float:
    """The largest difference, in nats, of the tree's log-probabilities from the policy's."""
    nodes = [node for node, label in enumerate(tree.labels) if label]
    hidden = policy.padded_hidden(tree, [tree.parents[node] for node in nodes])
    every = policy.head.logits(hidden) / (temperature or 1.0)
    for row, node in enumerate(nodes):
        if node in tree.supports:
            left = torch.zeros(VOCABULARY, dtype=torch.bool)
            left[torch.from_numpy(tree.supports[node].ids()).long()] = True
            every[row] = every[row].masked_fill(~left, -torch.inf)
    truth = every.log_softmax(-1)
    return max(abs(truth[row, tree.tokens[node]].item() - tree.logprobs[node]) for row, node in enumerate(nodes))


def change(policy: Policy, size: float = 0.03) -> None:
    """An update of all weights, as the trainer makes one."""
    torch.manual_seed(policy.version)
    with torch.no_grad():
        for _, parameter in policy.trainable:
            parameter.add_(size * torch.randn_like(parameter))
    policy.version += 1
    policy.refresh()


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


def test_weights_travel_and_nothing_of_the_old_ones_stays(tied: tuple[VllmSampler, Policy]) -> None:
    sampler, policy = tied
    for _ in range(3):
        drawn(sampler)  # the cache holds keys of these weights
        change(policy)
        assert apart(policy, drawn(sampler)[0], FREE.temperature) > 100 * CLOSE, "the worker has the old ones"
        sampler.load(policy.version)
        tree, _, _ = drawn(sampler)
        assert apart(policy, tree, FREE.temperature) < CLOSE
    assert sampler.measure_gap().most < CLOSE


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


class OneLayerOff(VllmSampler):
    """Sends all layers but one."""

    def _written(self, worker: Worker) -> Path:
        folder = super()._written(worker)
        if self._policy.version > 0:
            weights = load_file(folder / "model.safetensors")
            kept = {name: tensor for name, tensor in weights.items() if ".layers.1.mlp" not in name}
            save_file(kept, folder / "model.safetensors", {"format": "pt"})
        return folder


def test_a_layer_that_does_not_arrive_is_caught() -> None:
    sampler, policy = sampler_of(worker_python(), is_tied=False)
    try:
        change(policy)
        sampler.load(1)  # all of them arrive, the head that is not tied too
        sampler.__class__ = OneLayerOff
        change(policy)
        with pytest.raises(SyncError, match="policy version 2") as caught:
            sampler.load(2)
        assert caught.value.code == OUT_OF_SYNC
    finally:
        sampler.close()


def test_a_tied_head_that_stays_is_caught(patched: Callable[[str], Path]) -> None:
    sampler, policy = sampler_of(patched("worker.tie_head = lambda model, config: None"))
    try:
        change(policy)
        with pytest.raises(SyncError):
            sampler.load(1)
    finally:
        sampler.close()


STALE_CACHE = """
import vllm
vllm.LLM.reset_prefix_cache = lambda self, *more: True
generate = worker.Engine.generate
worker.Engine.generate = lambda self, message, blobs: generate(self, message | {"salt": "0"}, blobs)
"""


def test_keys_of_older_weights_would_show(patched: Callable[[str], Path]) -> None:
    """That test_weights_travel_and_nothing_of_the_old_ones_stays can fail."""
    sampler, policy = sampler_of(patched(STALE_CACHE))
    try:
        drawn(sampler)
        change(policy)
        sampler.load(1)  # a proof of weights: the probe is not read from the cache
        assert apart(policy, drawn(sampler)[0], FREE.temperature) > 10 * CLOSE
    finally:
        sampler.close()


def test_a_run_samples_with_vllm_and_goes_on_from_stored_waves(server: Server, tmp_path: Path, folder: Path) -> None:
    words = [
        "configs/tiny.yaml", "run.name=x", "run.threads=1", "run.steps=3", f"run.dir={tmp_path}", "engine.kind=vllm",
        f"model.name={folder}", f"engine.max_logprob_gap={CLOSE}", "domain=few_problems:FewProblems",
        "challenger.source=procedural", "solver.problems=2", "solver.max_tokens=6", "curriculum.min_successes=1",
        "evaluate.pass_size=1", "evaluate.pass_k=2", "engine.context=512", "engine.kv_cache_mib=64",
    ]  # fmt: skip
    others = set(shared_folders())
    killed = server.run(words, environment={"SELFPLAY_KILL_AT": "wave.committed:3"})
    assert killed.code == -signal.SIGKILL, killed.output
    with Store.open_readonly(tmp_path / "x" / "selfplay.db") as store:
        step = store.head().step + 1
        stored = store.pending_waves(step)
    assert stored and step > 1
    assert within_ten_seconds(lambda: others.issuperset(shared_folders())), "the worker ends with its run"
    resumed = server.run(["--resume", "x", f"run.dir={tmp_path}"])
    assert resumed.code == OK, resumed.output
    with Store.open_readonly(tmp_path / "x" / "selfplay.db") as store:
        rows = store.steps()
        assert [row.step for row in rows] == [0, 1, 2, 3], "no step lost, none twice"
        assert all(row.metrics[MISMATCH_MAX] < CLOSE for row in rows[1:])
    with sqlite3.connect(tmp_path / "x" / "selfplay.db") as database:
        texts = database.execute("SELECT text FROM turns JOIN steps USING (step_id) WHERE step = ?", (step,)).fetchall()
    given = Counter(each.text for wave in stored.values() for each in wave.completions)
    assert given <= Counter(text for (text,) in texts), "the step is made of what was stored before the kill"


def shared_folders() -> list[Path]:
    return list(Path("/dev/shm").glob("selfplay-vllm-*"))


def within_ten_seconds(holds: Callable[[], bool]) -> bool:
    for _ in range(100):
        if holds():
            return True
        time.sleep(0.1)
    return False
