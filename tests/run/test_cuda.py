"""What a GPU must give: the CPU's numbers, the same bits each time, and runs that resume. Skipped without one."""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from random_trees import WEIGHTS, random_step
from torch import Tensor

from roles.requests import SamplingParams
from roles.tree import ROOT, Tree
from selfplay.engine.flat_engine import FlatEngine
from selfplay.engine.protocol import Draw, Sampler
from selfplay.engine.tree_engine import TreeEngine
from selfplay.learn.batch import TrainBatch, build_batch
from selfplay.machine.environment import be_deterministic
from selfplay.metrics import DEVICE_PEAK
from selfplay.model.policy import Policy
from selfplay.model.probe import check_paths
from selfplay.model.weights.loading import load_model
from selfplay.train.loss import LossSettings
from selfplay.train.trainer import Trainer, TrainerSettings
from store.store import Store

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here"),
]
MODELS = ("tiny-llama", "tiny-qwen3", "tiny-gpt2", "tiny-gemma")
REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True, scope="module")
def repeatable() -> None:
    be_deterministic(torch.device("cuda"))


def policy_on(device: str, name: str = "tiny-llama", dtype: str = "float32") -> Policy:
    loaded = load_model(name, dtype)
    return Policy(loaded.model, loaded.tokenizer, torch.device(device))


def trainer_on(device: str, name: str = "tiny-llama", mode: str = "tree", dtype: str = "float32") -> Trainer:
    settings = TrainerSettings(learning_rate=1e-3, loss=LossSettings(anchor="sampler"), pack_tokens=64, mode=mode)  # type: ignore[arg-type]
    return Trainer(policy_on(device, name, dtype), settings)


def batch_of(seed: int) -> TrainBatch:
    tree, samples = random_step(seed, vocabulary=200)
    return build_batch(tree, samples, WEIGHTS)


def first_moment(trainer: Trainer) -> Tensor:
    """A tenth of the first update's clipped gradient."""
    state = trainer.state()
    return torch.cat([state[k].flatten().double().cpu() for k in sorted(state) if k.startswith("adam/exp_avg/")])


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_tree_gives_what_the_flat_pass_gives(name: str, dtype: str) -> None:
    parity = check_paths(policy_on("cuda", name, dtype))
    assert parity.holds, parity.reason


@pytest.mark.parametrize("mode", ["tree", "flat"])
@pytest.mark.parametrize("name", MODELS)
def test_an_update_is_the_one_of_the_cpu(name: str, mode: str) -> None:
    ours, truth = trainer_on("cuda", name, mode), trainer_on("cpu", name, "tree")
    found, expected = ours.step(batch_of(5)), truth.step(batch_of(5))
    mine, theirs = first_moment(ours), first_moment(truth)
    assert found.metrics["loss/policy"] == pytest.approx(expected.metrics["loss/policy"], abs=1e-5)
    assert torch.nn.functional.cosine_similarity(mine, theirs, dim=0) >= 0.9999
    assert found.metrics["grad_norm"] == pytest.approx(expected.metrics["grad_norm"], rel=1e-4)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_same_batches_give_the_same_bits_and_a_checkpoint_goes_on_with_them(dtype: str) -> None:
    first, second, resumed = (trainer_on("cuda", dtype=dtype) for _ in range(3))
    for seed in (5, 6):
        first.step(batch_of(seed))
        second.step(batch_of(seed))
    assert first.digest() == second.digest()
    resumed.load_state({name: tensor.cpu() for name, tensor in first.state().items()}, version=2)
    assert resumed.digest() == first.digest()
    first.step(batch_of(7))
    resumed.step(batch_of(7))
    assert resumed.digest() == first.digest()


@pytest.mark.parametrize("kind", [TreeEngine, FlatEngine])
def test_an_engine_says_what_it_says_on_a_cpu(kind: type[Sampler]) -> None:
    """The draws are keyed and their random numbers come from the CPU, so only rounding could change a token."""

    def said(device: str) -> tuple[list[tuple[int, ...]], np.ndarray]:
        engine = kind(policy_on(device), seed=3)  # type: ignore[call-arg]
        tree = Tree()
        nodes = [tree.extend(ROOT, list(text)) for text in (b"1 + 2 =", b"1 + 3 =")]
        params = SamplingParams(1.0, 6, ())
        draws = [Draw(node, 4, params, ("solver", i), "solver/0") for i, node in enumerate(nodes)]
        found = [each.completion for group in engine.sample(tree, draws) for each in group]
        return [each.ids for each in found], np.concatenate([each.logprobs for each in found])

    (ids, logprobs), (cpu_ids, cpu_logprobs) = said("cuda"), said("cpu")
    assert ids == cpu_ids
    np.testing.assert_allclose(logprobs, cpu_logprobs, atol=1e-4)


@pytest.mark.parametrize(
    "more",
    [(), ("policy.lora.r=4",), ("policy.lora.r=4", "policy.lora.per_role=true"), ("judge.search.when=every",)],
    ids=str,
)
def test_a_killed_run_resumes_with_the_bits_of_one_never_stopped(tmp_path: Path, more: Sequence[str]) -> None:
    def loop(folder: str, *arguments: str, kill_at: str = "") -> subprocess.CompletedProcess[str]:
        environment = os.environ | ({"SELFPLAY_KILL_AT": kill_at} if kill_at else {})
        command = [sys.executable, "-m", "selfplay.loop", *arguments, f"run.dir={tmp_path / folder}"]
        return subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True)

    start = ("configs/tiny.yaml", "run.name=x", "run.device=cuda", "run.checkpoint_every=2", *more)
    whole = loop("whole", *start)
    assert whole.returncode == 0, whole.stderr
    assert "Warning" not in whole.stderr, whole.stderr
    assert loop("killed", *start, kill_at="loop.committed:5").returncode == -signal.SIGKILL
    resumed = loop("killed", "--resume", "x")
    assert resumed.returncode == 0, resumed.stderr
    assert "replaying steps 5 to 5" in resumed.stdout
    rows = {}
    for folder in ("whole", "killed"):
        with Store.open_readonly(tmp_path / folder / "x" / "selfplay.db") as store:
            rows[folder] = store.steps()
    assert [r.weights_digest for r in rows["whole"]][:6] == [r.weights_digest for r in rows["killed"]][:6]
    assert all(r.metrics[DEVICE_PEAK] > 0 for r in rows["whole"] if r.step > 0)
