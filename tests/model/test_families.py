"""Every family of decoders: on the tree, as padded rows or refused by name, and right where it runs.

How it runs is decided in bf16 with weights of transformers' own spread, as a user's model is; then log-probabilities
and one gradient are compared in fp32 with plain rows by the model itself.
"""

from typing import Any

import numpy as np
import pytest
import torch
from families import VOCABULARY, family_model
from flat_truth import assert_same_gradient, flat_truth, packed
from random_trees import WEIGHTS, random_step, sequences

from roles.requests import SamplingParams
from roles.tree import ROOT, Tree
from selfplay.engine.flat_engine import FlatEngine
from selfplay.engine.local import LocalSampler
from selfplay.engine.protocol import Draw
from selfplay.engine.tree_engine import TreeEngine
from selfplay.learn.batch import build_batch
from selfplay.machine.errors import ModelError
from selfplay.model.attention.interface import KeyValues
from selfplay.model.policy import Policy
from selfplay.model.probe import longest_context, prove
from selfplay.model.weights.tiny import ByteTokenizer

HYBRID = {"layer_types": ["linear_attention", "full_attention"]}
MIXED = {"layer_types": ["sliding_attention", "full_attention"], "sliding_window": 8}
LATENT = {"num_key_value_heads": 4}  # DeepSeek's attention has as many key heads as query heads
LINEAR = "its layers of kind linear_attention cannot run on a tree"
NO_INTERFACE = "its attention does not go through transformers' AttentionInterface"

ON_THE_TREE: dict[str, dict[str, Any]] = {
    "llama": {}, "qwen3": {}, "gpt2": {}, "gemma2": {}, "gemma3_text": {"sliding_window": 8}, "phi3": {},
    "opt": {}, "gpt_neox": {}, "olmo2": {},
    "qwen3_moe": {}, "olmoe": {}, "granitemoe": {}, "minimax_m2": {}, "phimoe": {},  # case 22: routers in bf16
    "granite": {"logits_scaling": 4.0}, "cohere2": {"logit_scale": 0.25}, "phi": {},  # case 22: scales and biases
    "minicpm3": LATENT,  # a scale that is made of two numbers; keys and values of different widths
    "deepseek_v2": LATENT, "deepseek_v3": LATENT | {"v_head_dim": 12},
    "gpt_oss": MIXED, "granite_swa": MIXED,  # attention sinks
    "mimo_v2_flash": {"layer_types": MIXED["layer_types"]},  # sinks in one layer, and other heads and widths there
    "gemma4_text": MIXED | {"global_head_dim": 16},  # other widths by layer
    "gemma3n_text": MIXED
    | {"layer_types": MIXED["layer_types"] * 2, "num_hidden_layers": 4, "num_kv_shared_layers": 2},
    "granitemoehybrid": {"layer_types": ["attention", "attention"]},  # Granite 4 without recurrent layers
}  # fmt: skip
PADDED: dict[str, tuple[dict[str, Any], str]] = {
    # case 21b
    "lfm2": ({"layer_types": ["conv", "full_attention"]}, "its layers of kind conv cannot run on a tree"),
    "lfm2_moe": ({"layer_types": ["conv", "full_attention"], "num_dense_layers": 1}, "relative error"),
    "falcon_h1": ({}, "its layers of kind hybrid cannot run on a tree"),
    "jamba": ({"attn_layer_period": 2, "attn_layer_offset": 1, "use_mamba_kernels": False}, "relative error"),
    # case 21d
    "doge": ({}, "self_attn.A gets no gradient, in plain rows one"),
    # case 23
    "bamba": ({"attn_layer_indices": [1]}, LINEAR),
    "granitemoehybrid": ({"layer_types": ["mamba", "attention"]}, LINEAR),
    "llama4_text": ({}, "its layers of kind chunked_attention cannot run on a tree"),
    # case 22
    "gptj": ({}, NO_INTERFACE),
    "falcon": ({}, "its code does not run on a tree (TypeError: "),
    "bloom": ({}, NO_INTERFACE),
}
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "mamba2": (
        {"num_heads": 8, "n_groups": 1},
        "Mamba2ForCausalLM runs neither on the token tree nor",
    ),
    "xlstm": ({}, "xLSTMForCausalLM makes its logits in a way that is not supported"),
}
MORE_ON_THE_TREE = (
    "qwen2", "mistral", "mixtral", "gemma", "cohere", "afmoe", "apertus", "arcee", "aria_text", "bitnet", "biogpt",
    "glm", "glm4", "helium", "olmo", "olmo3", "smollm3", "stablelm", "starcoder2", "gpt_bigcode", "seed_oss",
    "persimmon", "nemotron", "exaone4", "hunyuan_v1_dense", "ministral3", "cohere2_moe", "qwen2_moe", "ernie4_5",
    "glm4_moe", "glm4_moe_lite", "youtu", "longcat_flash", "granitemoe_swa", "internlm3", "nanochat", "laguna", "dots1",
)  # fmt: skip
MORE_PADDED = ("codegen", "mpt", "qwen3_next", "qwen3_5_text", "kimi_linear", "nemotron_h", "deepseek_v32")


def policy_of(kind: str, facts: dict[str, Any], std: float = 0.1) -> Policy:
    return Policy(family_model(kind, std, **facts), ByteTokenizer(), torch.device("cpu"))


def decided(kind: str, facts: dict[str, Any]) -> Any:
    return prove(Policy(family_model(kind, **facts).bfloat16(), ByteTokenizer(), torch.device("cpu")))


def assert_right(policy: Policy, mode: str) -> None:
    """Log-probabilities that are trained and drawn, and the gradient."""
    tree, samples = random_step(7, vocabulary=VOCABULARY)
    loss, _, gradients = flat_truth(policy, sequences(tree, samples))
    ours, _, found = packed(policy, build_batch(tree, samples, WEIGHTS), 40, mode)
    assert abs(ours - loss) <= 1e-4 * max(1.0, abs(loss))
    trained = {name: gradients.get(name, torch.zeros_like(found[name])) for name in found}
    assert_same_gradient(found, trained)
    engine: LocalSampler = TreeEngine(policy, 3) if mode == "tree" else FlatEngine(policy, 3)
    spoken, params = Tree(), SamplingParams(1.0, 5, ())
    prompts = [spoken.extend(ROOT, range(5, 5 + length)) for length in (11, 3)]
    said = engine.sample(spoken, [Draw(node, 2, params, ("x", i), "solver/0") for i, node in enumerate(prompts)])
    for sampled in (each for group in said for each in group):
        ids, count = torch.tensor([[spoken.tokens[n] for n in spoken.path(sampled.node)]]), len(sampled.completion.ids)
        with torch.no_grad():
            logprobs = policy.plain_logits(ids)[0, -count - 1 : -1].log_softmax(-1)
        truth = logprobs.gather(1, ids[0, -count:, None])[:, 0]
        torch.testing.assert_close(torch.tensor(sampled.completion.logprobs), truth, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("kind", ON_THE_TREE)
def test_a_family_on_the_tree(kind: str) -> None:
    """Cases 22 and 27: bf16's own rounding keeps nobody off."""
    parity = decided(kind, ON_THE_TREE[kind])
    assert parity.holds, parity.reason
    assert_right(policy_of(kind, ON_THE_TREE[kind]), "tree")


@pytest.mark.parametrize("kind", PADDED)
def test_a_family_as_padded_rows(kind: str) -> None:
    """Cases 21b, 21d and 23: what is wrong on the tree is not let onto it, and its padded rows are right."""
    facts, reason = PADDED[kind]
    parity = decided(kind, facts)
    assert not parity.holds
    assert reason in parity.reason
    assert_right(policy_of(kind, facts), "flat")


@pytest.mark.parametrize("kind", REFUSED)
def test_a_family_that_is_refused_by_name(kind: str) -> None:
    """Case 23."""
    facts, reason = REFUSED[kind]
    with pytest.raises(ModelError, match=reason):
        decided(kind, facts)


@torch.no_grad()
@pytest.mark.parametrize("kind", ["granitemoe", "phimoe", "gpt_oss"])
def test_in_bf16_a_tree_is_no_further_from_fp32_than_plain_rows(kind: str) -> None:
    """A router that flips on rounding does so in plain rows too, so a few tokens are far off in both."""
    served = policy_of(kind, {})
    served.model.bfloat16()
    truth = policy_of(kind, {})
    truth.model.load_state_dict(served.model.state_dict())
    tree, random = Tree(), np.random.default_rng(0)
    header = tree.extend(ROOT, random.integers(0, VOCABULARY, 20).tolist())
    paths = [tree.path(tree.extend(header, random.integers(0, VOCABULARY, 13).tolist())) for _ in range(30)]
    ids = torch.tensor([[tree.tokens[node] for node in path] for path in paths])
    exact = truth.plain_logits(ids).flatten(0, 1).log_softmax(-1)
    every = served.tree_nodes_hidden(tree, np.arange(len(tree)), KeyValues())[[node for path in paths for node in path]]
    by_tree, by_rows = (
        (served.head.logits(hidden).log_softmax(-1) - exact).abs().amax(-1)
        for hidden in (every, served.plain_hidden(ids).flatten(0, 1))
    )
    assert by_tree.mean() <= 1.2 * by_rows.mean()
    assert by_tree.median() <= 1.2 * by_rows.median()
    assert by_tree.max() > 10 * by_tree.median()  # so there are flips


LONGROPE = {
    "rope_type": "longrope", "rope_theta": 10_000.0, "short_factor": [1.0] * 4, "long_factor": [4.0] * 4, "factor": 2.0,
}  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "facts", "border"),
    [
        ("phi3", {"rope_parameters": LONGROPE, "original_max_position_embeddings": 32}, 32),
        ("llama", {"rope_parameters": {"rope_type": "dynamic", "rope_theta": 10_000.0, "factor": 2.0}}, 64),
        ("llama", {"rope_parameters": {"rope_type": "yarn", "rope_theta": 10_000.0, "factor": 2.0}}, None),
        ("qwen3", {}, None),
    ],
    ids=["longrope", "dynamic", "yarn", "plain"],
)
def test_a_border_that_turns_all_of_a_row_is_found(kind: str, facts: dict[str, Any], border: int | None) -> None:
    """Case 21c: beyond it a row's first tokens are not what they were, so that no tree or cache can be right."""
    policy = policy_of(kind, facts)
    ids = torch.arange(2, 52)[None]

    def moved(length: int) -> float:
        with torch.no_grad():
            short, long = policy.plain_hidden(ids[:, : length - 20])[0], policy.plain_hidden(ids[:, :length])[0]
        return (long[: length - 20] - short).abs().max().item()

    before = {name: buffer.clone() for name, buffer in policy.model.named_buffers()}
    assert longest_context(policy) == border
    for name, buffer in policy.model.named_buffers():
        assert torch.equal(buffer, before[name])
    assert moved(min(border or 50, 50)) < 1e-5
    if border == 32:
        assert moved(border + 1) > 1e-2


@pytest.mark.slow
@pytest.mark.parametrize("kind", [*MORE_ON_THE_TREE, *MORE_PADDED])
def test_another_family(kind: str) -> None:
    facts: dict[str, Any] = dict.fromkeys(("deepseek_v32", "glm4_moe_lite", "youtu", "longcat_flash"), LATENT)
    facts |= dict.fromkeys(("qwen3_next", "qwen3_5_text"), HYBRID) | {"kimi_linear": HYBRID | LATENT}
    facts["nemotron_h"] = {"layers_block_type": ["mamba", "attention"]}
    facts = facts.get(kind, {})
    assert decided(kind, facts).holds is (kind in MORE_ON_THE_TREE)
    assert_right(policy_of(kind, facts), "tree" if kind in MORE_ON_THE_TREE else "flat")


def test_layers_that_drop_by_themselves_do_not_while_activations_are_recomputed() -> None:
    """Beside case 49: OPT was refused with train.gradient_checkpointing, whatever came of a pass being random."""
    policy = Policy(family_model("opt"), ByteTokenizer(), torch.device("cpu"))
    policy.enable_gradient_checkpointing()
    assert prove(policy).holds
