"""A sampler with 4-bit weights beside an exact trainer: which update climbs the policy's own expected reward?

The task is so small that the true gradient can be summed over everything that can be said: completions of four tokens
from a vocabulary of six, behind one prompt, paid by a rule. What the trainer makes of samples is compared with it.
"""

import itertools
from functools import cache

import numpy as np
import pytest
import torch
from coarse_sampler import CoarseSampler, rounded_rows
from torch import Tensor
from transformers import Qwen3Config, Qwen3ForCausalLM
from updates import gradient

from roles.requests import SamplingParams
from roles.tree import ROOT, Tree
from selfplay.engine.protocol import Draw, Sampler
from selfplay.engine.tree_engine import TreeEngine
from selfplay.learn.batch import TrainBatch, TrainSample, build_batch
from selfplay.model.policy import Policy
from selfplay.model.weights.tiny import ByteTokenizer
from selfplay.train.choices import ImportanceMode
from selfplay.train.loss import LossSettings
from selfplay.train.trainer import Trainer, TrainerSettings

WORDS, LENGTH, PROMPT = 6, 4, [1, 4, 2]
EVERYTHING = list(itertools.product(range(WORDS), repeat=LENGTH))  # all 1,296 completions
REWARDS = {said: float(sum(said) % 3 == 0 and said[0] < said[-1]) for said in EVERYTHING}
SEEDS = (0, 1, 2, 3)
WIDE = 1e3  # a cap above every ratio here


def tiny(seed: int) -> Qwen3ForCausalLM:
    config = Qwen3Config(
        vocab_size=WORDS, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, head_dim=8, max_position_embeddings=64,
        bos_token_id=None, eos_token_id=None, pad_token_id=None,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Qwen3ForCausalLM(config)
        for parameter in model.parameters():
            if parameter.dim() > 1:
                torch.nn.init.normal_(parameter, std=0.25)  # so that rounding shows
    return model.eval()


def policy_of(seed: int) -> Policy:
    return Policy(tiny(seed), ByteTokenizer(), torch.device("cpu"))


def coarse_of(policy: Policy, bits: int = 4) -> CoarseSampler:
    return CoarseSampler(policy, tiny(99), seed=0, bits=bits)


def token_logprobs(model: Qwen3ForCausalLM) -> Tensor:
    """[1296, 4] of everything that can be said, by the plain model."""
    rows = torch.tensor([[*PROMPT, *said] for said in EVERYTHING])
    every = model(rows).logits.float().log_softmax(-1)[:, len(PROMPT) - 1 : -1]
    return every.gather(2, rows[:, len(PROMPT) :, None])[:, :, 0]


@cache
def true_gradient(seed: int) -> Tensor:
    """Of the expected reward, sum over y of theta(y) R(y)."""
    model = tiny(seed)
    (token_logprobs(model).sum(1).exp() @ torch.tensor(list(REWARDS.values()))).backward()
    return torch.cat([p.grad.flatten().double() for _, p in sorted(model.named_parameters()) if p.grad is not None])


def estimate(seed: int, batch: TrainBatch, mode: ImportanceMode, cap: float) -> tuple[Tensor, dict[str, float]]:
    """The ascent direction that an update takes from `batch`, and its figures."""
    loss = LossSettings(importance_mode=mode, importance_cap=cap)
    trainer = Trainer(policy_of(seed), TrainerSettings(learning_rate=1e-3, grad_clip=1e9, loss=loss))
    metrics = trainer.step(batch).metrics
    return -gradient(trainer), metrics


def error(found: Tensor, truth: Tensor) -> float:
    """Relative distance."""
    return float((found - truth).norm() / truth.norm())


def batch_of(tree: Tree, nodes: list[int], advantages: np.ndarray) -> TrainBatch:
    """The loss is a mean over tokens: times their number, a sum over completions of advantage times log theta."""
    samples = [TrainSample("solver/0", n, LENGTH, float(a)) for n, a in zip(nodes, advantages, strict=True)]
    return build_batch(tree, samples, {"solver/0": float(LENGTH * len(samples))}, keeps_sequences=True)


def everything_by(sampler: Qwen3ForCausalLM) -> TrainBatch:
    """Everything that can be said, once each, weighed by how often this sampler says it: its samples in the mean."""
    with torch.no_grad():
        logprobs = token_logprobs(sampler).double().numpy()
    shares, rewards = np.exp(logprobs.sum(1)), np.array(list(REWARDS.values()))
    tree = Tree()
    prompt = tree.extend(ROOT, PROMPT)
    said = zip(EVERYTHING, logprobs.tolist(), strict=True)
    nodes = [tree.sampled(prompt, ids, row, "solver/0") for ids, row in said]
    return batch_of(tree, nodes, shares * (rewards - shares @ rewards))


def sampled_by(sampler: Sampler, n: int) -> TrainBatch:
    """One group of `n` completions that the sampler really draws, with their advantages in it."""
    tree = Tree()
    draw = Draw(tree.extend(ROOT, PROMPT), n, SamplingParams(1.0, LENGTH, ()), ("solver", 1), "solver/0")
    [said] = sampler.sample(tree, [draw])
    rewards = np.array([REWARDS[each.completion.ids] for each in said])
    return batch_of(tree, [each.node for each in said], (rewards - rewards.mean()) / n)


def test_in_the_mean_weights_by_sequence_give_the_true_gradient_and_none_another() -> None:
    biases: dict[str, list[float]] = {"none": [], "token_truncate": [], "sequence_truncate": []}
    for seed in SEEDS:
        coarse = coarse_of(policy_of(seed))
        batch = everything_by(coarse.model)
        for mode, found in biases.items():
            found.append(error(estimate(seed, batch, mode, WIDE)[0], true_gradient(seed)))  # type: ignore[arg-type]
    assert max(biases["sequence_truncate"]) < 1e-4
    assert min(biases["none"]) > 0.25
    assert all(token < none for token, none in zip(biases["token_truncate"], biases["none"], strict=True))
    assert min(biases["token_truncate"]) > 0.05, "weights by token are blind to what came before"


def test_a_cap_trades_some_bias_for_fewer_wild_weights() -> None:
    seed = 2
    batch = everything_by(coarse_of(policy_of(seed)).model)
    found = [(cap, *estimate(seed, batch, "sequence_truncate", cap)) for cap in (1.0, 2.0, 8.0, WIDE)]
    errors = [error(gradient, true_gradient(seed)) for _, gradient, _ in found]
    assert errors == sorted(errors, reverse=True)
    shares = [metrics["sampling/truncated_mean"] for *_, metrics in found]
    assert shares == sorted(shares, reverse=True) and shares[-1] == 0.0


@pytest.mark.parametrize("seed", SEEDS)
def test_real_samples_of_the_coarse_sampler_are_put_right(seed: int) -> None:
    batch = sampled_by(coarse_of(policy_of(seed)), 8192)
    plain, _ = estimate(seed, batch, "none", WIDE)
    weighed, metrics = estimate(seed, batch, "sequence_truncate", WIDE)
    truth = true_gradient(seed)
    assert error(weighed, truth) < 0.5 * error(plain, truth)
    assert 0.01 < metrics["sampling/kl"] < 1.0
    assert 0.1 < metrics["sampling/importance/ess"] < 0.95
    assert metrics["sampling/importance/mean"] == pytest.approx(1.0, abs=0.1)


def test_without_a_gap_the_correction_changes_nothing() -> None:
    """No harm where it is not needed."""
    batch = sampled_by(TreeEngine(policy_of(0), 0), 8192)
    plain, metrics = estimate(0, batch, "none", 2.0)
    for mode in ("token_truncate", "sequence_truncate"):
        weighed, metrics = estimate(0, batch, mode, 2.0)
        assert error(weighed, plain) < 1e-4
        assert metrics["sampling/importance/ess"] > 0.9999
    assert error(plain, true_gradient(0)) < 0.3, "what is left is chance"


def test_rows_are_rounded_to_their_own_grid() -> None:
    weight = torch.tensor([[7.0, -3.4, 0.2, 1.5], [0.07, 0.0, -0.06, 0.014]])
    assert torch.allclose(rounded_rows(weight, 4), torch.tensor([[7.0, -3.0, 0.0, 2.0], [0.07, 0.0, -0.06, 0.01]]))
    assert torch.allclose(rounded_rows(weight, 2), torch.tensor([[7.0, 0.0, 0.0, 0.0], [0.07, 0.0, -0.07, 0.0]]))


def test_the_coarse_sampler_takes_new_weights_and_leaves_the_policy_as_it_is() -> None:
    policy = policy_of(0)
    coarse, before = coarse_of(policy), policy.model.state_dict()["model.layers.0.mlp.up_proj.weight"].clone()
    with torch.no_grad():
        for parameter in policy.model.parameters():
            parameter.mul_(1.5)
    policy.version = 1
    coarse.load(1)
    after = coarse.model.state_dict()["model.layers.0.mlp.up_proj.weight"]
    assert torch.allclose(after, rounded_rows(1.5 * before, 4), atol=1e-6)
    assert len(after[0].unique()) <= 15
    assert torch.equal(policy.model.state_dict()["model.layers.0.mlp.up_proj.weight"], 1.5 * before)
    tree = Tree()
    draw = Draw(tree.extend(ROOT, PROMPT), 1, SamplingParams(1.0, LENGTH, ()), ("solver", 1), "solver/0")
    [[said]] = coarse.sample(tree, [draw])
    assert said.completion.first_version == 1


def expected_reward(policy: Policy) -> float:
    with torch.no_grad():
        return float(token_logprobs(policy.model).sum(1).exp() @ torch.tensor(list(REWARDS.values())))


def learned(seed: int, bits: int | None, mode: ImportanceMode, cap: float) -> tuple[float, float]:
    """(expected reward, mean effective sample size) of a policy after 40 updates of 64 samples each, by a sampler that
    takes its weights before each of them and rounds them to `bits` (None: does not)."""
    policy = policy_of(seed)
    sampler: Sampler = TreeEngine(policy, seed) if bits is None else CoarseSampler(policy, tiny(99), seed, bits)
    loss = LossSettings(importance_mode=mode, importance_cap=cap)
    trainer = Trainer(policy, TrainerSettings(learning_rate=6e-4, loss=loss))
    sizes = []
    for _ in range(40):
        sizes.append(trainer.step(sampled_by(sampler, 64)).metrics.get("sampling/importance/ess", 1.0))
        sampler.load(policy.version)
    return expected_reward(policy), float(np.mean(sizes))


@pytest.mark.slow
@pytest.mark.parametrize("bits", [None, 4, 2])
def test_learning_by_a_coarse_sampler(bits: int | None) -> None:
    """What docs/training.md tells: `-m slow -s` prints it. With 4 bits every mode learns the task, as without rounding;
    with 2 the effective sample size says that weights have no samples left to weigh."""
    arms: list[tuple[ImportanceMode, float]] = [("none", 2.0), ("token_truncate", 2.0)]
    arms += [("sequence_truncate", 2.0), ("sequence_truncate", 8.0)]
    for mode, cap in arms[: 1 if bits is None else None]:
        found = [learned(seed, bits, mode, cap) for seed in SEEDS[:3]]
        print(bits, mode, cap, " ".join(f"{reward:.2f} (ess {size:.2f})" for reward, size in found))
        if bits != 2:
            assert min(reward for reward, _ in found) > 0.85
        elif mode == "sequence_truncate":
            assert max(size for _, size in found) < 0.4
