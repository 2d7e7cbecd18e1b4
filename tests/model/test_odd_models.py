"""Decoders that do not fit: on the padded pass where that is right, and otherwise refused in one line."""

from pathlib import Path

import pytest
import torch
from odd_models import odd_folder, odd_model
from run_server import Server

from selfplay.machine.errors import NO_MODEL, OK, ModelError
from selfplay.model.policy import Policy
from selfplay.model.precision import sharp_fp32
from selfplay.model.probe import check_logits, check_padded, check_paths, prove
from selfplay.model.weights.tiny import ByteTokenizer, tiny_model
from store.store import Store


def policy_of(name: str) -> Policy:
    model = tiny_model(name) if name.startswith("tiny") else odd_model(name)
    return Policy(model, ByteTokenizer(), torch.device("cpu"))


def arguments(folder: Path, *more: str) -> list[str]:
    return [
        "configs/tiny.yaml", f"model.name={folder / 'model'}", "run.name=x", f"run.dir={folder / 'runs'}",
        "run.threads=1", "run.steps=2", "run.checkpoint_every=9", "domain=few_problems:AnyText", "solver.problems=2",
        "evaluate.every=9", "evaluate.pass_size=1", "evaluate.pass_k=2", *more,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("gptj", "its attention does not go through transformers' AttentionInterface"),
        ("qwen3.5", "relative error"),
    ],
)
def test_a_run_of_a_model_that_fails_the_probe_is_on_the_padded_pass_and_says_so(
    name: str, reason: str, server: Server, tmp_path: Path
) -> None:
    odd_folder(name, tmp_path / "model")
    ended = server.run(arguments(tmp_path))
    assert ended.code == OK, ended.output
    assert f"runs as a padded batch, not on the token tree: {reason}" in ended.output
    with Store.open_readonly(tmp_path / "runs" / "x" / "selfplay.db") as store:
        rows = [row.metrics for row in store.steps()[1:]]
    assert all(row["train/packs"] == row["train/packs_flat"] > 0 for row in rows)
    # the trainer finds the sampler's own log-probabilities again
    assert max(row["sampling/logp_diff/max"] for row in rows) < 1e-3


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("mamba", "MambaForCausalLM runs neither on the token tree nor as a padded batch (a padded row's hidden"),
    ],
)
def test_a_model_that_cannot_be_run_is_one_line(name: str, reason: str, server: Server, tmp_path: Path) -> None:
    odd_folder(name, tmp_path / "model")
    ended = server.run(arguments(tmp_path))
    assert ended.code == NO_MODEL, ended.output
    [line] = [line for line in ended.output.splitlines() if line.startswith("error: ")]
    assert reason in line
    assert line.endswith("choose another model.name")
    assert "Traceback" not in ended.output
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    "name", ["tiny-llama", "tiny-gpt2", "tiny-gemma", "mistral", "gemma3", "bloom", "gptj", "qwen3.5"]
)
def test_the_padded_sampler_says_what_rows_by_themselves_say(name: str) -> None:
    """The checks at start hold, and so they should: the padded pass makes the logits that the model makes of a row."""
    policy = policy_of(name)
    check_logits(policy)
    check_padded(policy)
    long, short = torch.arange(1, 20), torch.arange(5, 12)
    ids = torch.nn.utils.rnn.pad_sequence([long, short], batch_first=True)
    with torch.no_grad():
        padded = policy.head.logits(policy.flat_hidden(ids, torch.tensor([19, 7])))
        for ours, row in zip(padded, (long, short), strict=True):
            torch.testing.assert_close(ours[: len(row)], policy.model(row[None]).logits[0], atol=1e-4, rtol=1e-4)


def test_the_check_catches_padding_that_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = Policy.cached_hidden
    monkeypatch.setattr(
        Policy, "cached_hidden", lambda self, ids, mask, *rest: honest(self, ids, torch.ones_like(mask), *rest)
    )
    with pytest.raises(ModelError, match="as a padded batch"):
        check_padded(policy_of("tiny-llama"))


def test_logits_that_are_made_in_a_way_of_their_own_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    policy = policy_of("tiny-llama")
    honest = policy.model.lm_head.forward
    monkeypatch.setattr(policy.model.lm_head, "forward", lambda hidden: 2 * honest(hidden))
    with pytest.raises(ModelError, match="makes its logits in a way that is not supported"):
        check_logits(policy)


@pytest.mark.parametrize("name", ["mistral", "gemma3"])
def test_the_probe_sees_beyond_any_window_and_leaves_it_as_it_was(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from selfplay.model.attention.plan import PathPlan

    policy = Policy(odd_model(name, window=4096), ByteTokenizer(), torch.device("cpu"))
    assert check_paths(policy).holds
    assert policy.model.config.sliding_window == 4096
    layers = [layer.self_attn for layer in policy.model.model.layers]
    assert {window for each in layers if (window := getattr(each, "sliding_window", None))} <= {4096}
    honest = PathPlan.mask  # a tree that knows of no window
    monkeypatch.setattr(PathPlan, "mask", lambda self, bucket, window, dtype: honest(self, bucket, None, dtype))
    assert not check_paths(policy).holds


def test_a_window_that_cannot_be_made_narrow_is_not_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    policy = policy_of("tiny-llama")
    monkeypatch.setattr(policy.model.config, "sliding_window", 4096, raising=False)  # nothing reads it
    monkeypatch.setattr(policy.model.config, "layer_types", ["sliding_attention"] * 2, raising=False)
    parity = check_paths(policy)
    assert (parity.holds, parity.reason) == (
        False,
        "its attention window cannot be made narrow, so it was not checked",
    )
    monkeypatch.setattr(policy.model.config, "layer_types", ["full_attention"] * 2)  # so it is nobody's
    assert check_paths(policy).holds


def test_a_model_is_as_it_was_once_it_is_proved() -> None:
    """Case 27: fp32 weights and narrow borders stand for the model's own during the checks only."""
    for by_layer in (False, True):
        model = odd_model("gemma3").bfloat16()
        before = {name: (tensor, tensor.clone()) for name, tensor in model.state_dict().items()}
        with sharp_fp32(model, by_layer):
            wide = {name for name, p in model.named_parameters() if p.dtype == torch.float32}
            assert ("model.layers.0.mlp.up_proj.weight" in wide) is not by_layer
            assert "model.embed_tokens.weight" in wide
            with torch.no_grad():
                assert model(torch.arange(9)[None]).logits.dtype == torch.float32
        for name, tensor in model.state_dict().items():
            assert tensor.data_ptr() == before[name][0].data_ptr()
            assert torch.equal(tensor, before[name][1])


def test_layers_are_widened_alike_one_by_one_and_all_at_once() -> None:
    model, ids = odd_model("mistral").bfloat16(), torch.arange(9)[None]
    found = []
    for by_layer in (False, True):
        with torch.no_grad(), sharp_fp32(model, by_layer):
            found.append(model(ids).logits)
    assert torch.equal(*found)


def test_small_weights_are_made_to_look_at_something() -> None:
    """Case 21b: with weights of transformers' own spread every token looks at all others alike, and faults hide."""
    layer = torch.nn.Linear(64, 64)
    torch.nn.init.normal_(layer.weight, std=0.02)
    with sharp_fp32(layer, by_layer=False):
        assert layer.weight.square().mean().sqrt().item() == pytest.approx(1 / 8, rel=1e-4)
    assert layer.weight.std().item() < 0.03


@pytest.mark.parametrize("name", ["tiny-llama", "tiny-gpt2", "bloom"])
def test_a_model_that_recomputes_activations_still_samples_by_its_cache(name: str) -> None:
    """Case 49: layers in training mode take no cache, and the padded sampler was refused for it."""
    policy = policy_of(name)
    policy.enable_gradient_checkpointing()
    parity = prove(policy, wants_tree=False)
    assert (parity.holds, parity.reason) == (False, "train.pass_mode=flat")
    assert policy.model.training
