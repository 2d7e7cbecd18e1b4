"""A tiny model in vLLM's worker, for tests that are marked `vllm`: samplers, faulty workers, and what is drawn."""

import fcntl
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from samples_behind import drawn_behind, draws_behind
from transformers import LlamaConfig, LlamaForCausalLM

from roles.requests import SamplingParams
from roles.tree import Tree
from selfplay.engine.protocol import Draw, TokenCount
from selfplay.engine.tree_engine import TreeEngine
from selfplay.engine.vllm.process import PROJECT, Process, worker_python
from selfplay.engine.vllm.sampler import VllmSampler, VllmSettings
from selfplay.engine.vllm.worker import Worker
from selfplay.machine.errors import Refused
from selfplay.model.adapter_layers import make_adapters
from selfplay.model.policy import Policy
from selfplay.model.weights.tiny import EOS_ID, VOCABULARY, ByteTokenizer
from store.records import Completion

FREE = SamplingParams(temperature=1.3, max_tokens=8, stop=("\n",))
SHARED = "Questions and answers, each on a line of its own. 1 + 1 = 2. 2 + 2 = 4. " * 2  # more than two blocks
TEXTS = (f"{SHARED}12 + 7 =", f"{SHARED}12 + 9 =", "x")
SECONDS = 300.0  # that an answer may take where other work goes on
SMALL = 1e-3  # of an update, where weights are 0.1
CLOSE = 1e-4  # nats, in float32; what the two add up in another order differs by 2e-6 at most

# The head stays what it was at the start, in whatever layout. That it is not tied again would do on some processors
# only: on others vLLM multiplies with the embeddings' own matrix.
STALE_HEAD = """
import torch
load = worker.Engine.load
def head_of(of):
    [head] = [each for each in of.get_model().modules() if type(each).__name__ == "ParallelLMHead"]
    return head
def keep(of):
    worker.kept = head_of(of).weight.detach().clone()
def stay(of):
    head = head_of(of)
    head.weight = torch.nn.Parameter(worker.kept, requires_grad=False)
    head.quant_method.process_weights_after_loading(head)
def load_and_keep(self, message, blobs):
    found = load(self, message, blobs)
    self._llm.collective_rpc(keep)
    return found
worker.Engine.load = load_and_keep
worker.tensors.tie = stay
"""


def missing() -> str:
    try:
        worker_python("cpu")
    except Refused as refused:
        return str(refused)
    return ""


NEEDS_VLLM = [
    pytest.mark.vllm,
    pytest.mark.skipif(bool(missing()), reason=missing() or "it is there"),
    pytest.mark.timeout(1800),  # a worker starts for half a minute, and longer where other work goes on
]


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


def tiny_policy(is_tied: bool, dtype: str, rank: int) -> Policy:
    """`rank`: of adapters on all layers; 0: none."""
    model = tiny(is_tied).to(getattr(torch, dtype))
    adapter = make_adapters(model, rank, 3 * rank, ["all-linear"], 0, "tiny", print) if rank else None
    policy = Policy(model, ByteTokenizer(), torch.device("cpu"))
    if adapter is not None:
        policy.adapt(adapter)
    return policy


def sampler_of(
    python: Path, is_tied: bool = True, dtype: str = "float32", max_gap: float = CLOSE, rank: int = 0
) -> tuple[VllmSampler, Policy]:
    """A sampler whose worker has the policy's first weights."""
    policy = tiny_policy(is_tied, dtype, rank)
    settings = VllmSettings(dtype, 512, 1 << 26, max_gap, 1)
    lines: list[str] = []
    hire = lambda: Worker(Process(python, 1, 0), SECONDS)  # noqa: E731
    sampler = VllmSampler(policy, TreeEngine(policy, 3), 3, settings, hire, lines.append)
    sampler.load(0)
    assert not lines, "every weight can be compared with the worker's"
    return sampler, policy


def patched(folder: Path, patch: str) -> Path:
    """A Python whose worker has `patch` done to it first; `folder` takes two files."""
    (folder / "patched.py").write_text(
        f"import sys\nsys.path.insert(0, {str(PROJECT)!r})\nimport worker\n{patch}\nworker.main()\n"
    )
    (folder / "python").write_text(f'#!/bin/sh\nshift\nexec {worker_python("cpu")} {folder}/patched.py "$@"\n')
    (folder / "python").chmod(0o700)
    return folder / "python"


def draws(tree: Tree, params: SamplingParams) -> list[Draw]:
    return draws_behind(tree, TEXTS, params, 4)


def drawn(sampler: VllmSampler, params: SamplingParams = FREE) -> tuple[Tree, list[Completion], TokenCount]:
    return drawn_behind(sampler, TEXTS, params, 4)


def processes(named: Path) -> list[int]:
    """Of workers that were started by the Python in this folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            is_one = str(named) in path.read_text()
        except OSError:
            continue
        if is_one:
            found.append(int(path.parent.name))
    return found


def abandoned_folders() -> list[Path]:
    """Of workers that are gone. Those of others that work meanwhile hold the locks of theirs."""
    found = []
    for folder in Path("/dev/shm").glob("selfplay-worker-*"):
        try:
            with (folder / "lock").open("rb") as lock:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
                found.append(folder)
        except BlockingIOError:
            continue
        except FileNotFoundError:  # it has none yet, or it is being removed
            found += [folder] if folder.exists() else []
    return found


def within_ten_seconds(holds: Callable[[], bool]) -> bool:
    for _ in range(100):
        if holds():
            return True
        time.sleep(0.1)
    return False
