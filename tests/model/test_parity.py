"""The proof of the tree: log-probabilities, loss and gradient equal those of the plain, flattened batch in fp32."""

import itertools
from typing import Any

import pytest
import torch
from flat_truth import assert_same_gradient, flat_truth, packed
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from odd_models import WINDOW, odd_model
from random_trees import WEIGHTS, random_step, sequences

from roles.requests import SamplingParams
from roles.tree import ROOT, Tree
from selfplay.engine import tree_engine
from selfplay.engine.flat_engine import FlatEngine
from selfplay.engine.protocol import Draw, TokenCount
from selfplay.engine.tree_engine import TreeEngine
from selfplay.learn.batch import build_batch
from selfplay.model.head import KEPT_BYTES
from selfplay.model.policy import Policy
from selfplay.model.probe import check_paths
from selfplay.model.weights.loading import load_model
from selfplay.model.weights.tiny import ByteTokenizer

MODELS = ("tiny-llama", "tiny-qwen3", "tiny-gpt2", "tiny-gemma")
WINDOWED = ("mistral", "gemma3")  # of 16 tokens: some of the sequences are longer


@pytest.fixture(scope="module", params=MODELS + WINDOWED)
def policy(request: pytest.FixtureRequest) -> Policy:
    if request.param in WINDOWED:
        return Policy(odd_model(request.param), ByteTokenizer(), torch.device("cpu"))
    loaded = load_model(request.param, "float32")
    return Policy(loaded.model, loaded.tokenizer, torch.device("cpu"))


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    seed=st.integers(0, 10_000), budget=st.sampled_from([6, 17, 40, 4096]), merge=st.booleans(), truncates=st.booleans()
)
def test_tree_equals_flat_batch(policy: Policy, seed: int, budget: int, merge: bool, truncates: bool) -> None:
    drawn_of = policy.head.weight.shape[0] if truncates else None
    tree, samples = random_step(seed, vocabulary=200, merge=merge, drawn_of=drawn_of)
    batch = build_batch(tree, samples, WEIGHTS)
    if not len(batch.targets):
        return
    rows = sequences(tree, samples)
    if merge:  # a merged token has one sampler log-probability: the first speaker's
        assert len(batch.targets) <= sum(s.num_tokens for s in samples)
    loss, _, grads = flat_truth(policy, rows, tree)
    for mode, kept in itertools.product(("tree", "flat"), (0, KEPT_BYTES)):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("selfplay.model.head.KEPT_BYTES", kept)  # 0: the backward pass makes the logits again
            ours, logprobs, our_grads = packed(policy, batch, budget, mode)
        assert not torch.isnan(logprobs).any()
        assert abs(ours - loss) <= 1e-4 * max(1.0, abs(loss))
        assert_same_gradient(our_grads, grads)


def test_random_conversations_outgrow_the_windows() -> None:
    lengths = [len(ids) for seed in range(40) for ids, _, _ in sequences(*random_step(seed, vocabulary=200))]
    assert sum(length > WINDOW + 1 for length in lengths) > 50


def test_logprobs_agree_with_the_whole_model(policy: Policy) -> None:
    tree, samples = random_step(5, vocabulary=200)
    samples = [type(s)(s.label, s.node, s.num_tokens, 1.0) for s in samples]
    batch = build_batch(tree, samples, WEIGHTS)
    _, truth, _ = flat_truth(policy, sequences(tree, samples))
    _, ours, _ = packed(policy, batch, 4096, "tree")
    # batch rows are in order of node id, as are the needed nodes
    row_of = {node: i for i, node in enumerate(sorted({n for s in samples for n in tree.tail(s.node, s.num_tokens)}))}
    for sample, expected in zip(samples, truth, strict=True):
        rows = [row_of[n] for n in tree.tail(sample.node, sample.num_tokens)]
        assert torch.allclose(ours[rows], expected, atol=1e-4)


def test_the_probe_at_start_finds_the_tree_sound(policy: Policy) -> None:
    parity = check_paths(policy)
    assert parity.holds, parity.reason


def test_the_probe_catches_a_wrong_mask(policy: Policy, monkeypatch: pytest.MonkeyPatch) -> None:
    from selfplay.model.attention.plan import Bucket

    honest = Bucket.visible
    monkeypatch.setattr(Bucket, "visible", lambda self, window: honest(self, window).fill_(True))
    assert not check_paths(policy).holds


def test_the_probe_catches_a_nan_on_any_path(policy: Policy, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = policy.tree_nodes_hidden

    def last_is_nan(*arguments: Any) -> torch.Tensor:
        hidden = honest(*arguments)
        hidden[-1] = float("nan")
        return hidden

    monkeypatch.setattr(policy, "tree_nodes_hidden", last_is_nan)
    assert not check_paths(policy).holds


def test_the_probe_catches_rows_that_see_too_little(policy: Policy, monkeypatch: pytest.MonkeyPatch) -> None:
    from selfplay.model.attention.interface import Rows

    honest = Rows.mask
    monkeypatch.setattr(Rows, "mask", lambda self, window, dtype: honest(self, 2, dtype))
    assert not check_paths(policy).holds


@pytest.mark.parametrize(
    ("temperature", "max_row_keys", "max_tokens"),
    [(1.0, 1 << 14, 6), (0.0, 1 << 14, 6), (0.7, 1 << 14, 6), (1.0, 0, 6), (1.0, 1 << 14, 40)],
    ids=["sampled", "greedy", "tempered", "gathered for every token", "longer than a row's room"],
)
def test_tree_sampler_says_what_the_padded_sampler_says(
    policy: Policy, temperature: float, max_row_keys: int, max_tokens: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tree_engine, "MAX_ROW_KEYS", max_row_keys)
    params = SamplingParams(temperature, max_tokens, ("\n",))
    said = []
    for engine in (TreeEngine(policy, seed=3), FlatEngine(policy, seed=3)):
        tree = Tree()
        prompts = [tree.extend(ROOT, policy.tokenizer.encode(text)) for text in ("12 + 7 =", "12 + 9 =", "x")]
        groups = engine.sample(tree, [Draw(n, 5, params, ("solver", i), "solver/0") for i, n in enumerate(prompts)])
        again = [tree.extend(s.node, policy.tokenizer.encode("again:")) for s in groups[0]]
        second = engine.sample(tree, [Draw(n, 2, params, ("again", i), "solver/1") for i, n in enumerate(again)])
        said.append([s.completion for group in (*groups, *second) for s in group])
    for one, two in zip(*said, strict=True):
        assert one.ids == two.ids
        assert one.finish == two.finish
        assert torch.allclose(torch.tensor(one.logprobs), torch.tensor(two.logprobs), atol=1e-4)


def test_the_tree_computes_less_than_the_flat_batch(policy: Policy) -> None:
    engine, tree = TreeEngine(policy, seed=0), Tree()
    prompt = tree.extend(ROOT, list(range(30)))
    count = TokenCount()
    engine.sample(tree, [Draw(prompt, 8, SamplingParams(1.0, 4, ()), ("a",), "solver/0")], count=count)
    assert count.flat == 8 * 34
    assert count.computed <= 30 + 8 * 3
