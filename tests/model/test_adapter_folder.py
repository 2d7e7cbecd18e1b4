"""A run's adapters as the model of the next one, adapters that cannot be merged, and which layers get some."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from odd_models import bytewise
from peft import LoraConfig, get_peft_model
from run_server import Server
from safetensors.torch import load_file, save_file
from transformers import MixtralConfig, MixtralForCausalLM, Phi3Config, Phi3ForCausalLM

from selfplay.machine.errors import OK, ModelError, Refused
from selfplay.model.adapter_layers import make_adapters
from selfplay.model.adapters import MergedAdapters
from selfplay.model.weights.loading import load_model
from selfplay.model.weights.tiny import tiny_model
from store.store import Store

pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")  # peft's, of transformers
IDS = torch.arange(40).view(2, 20)
SIZES: dict[str, Any] = {
    "vocab_size": 257, "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
    "num_key_value_heads": 1, "pad_token_id": None, "bos_token_id": None, "eos_token_id": 256,
}  # fmt: skip


def logprobs(model: Any) -> torch.Tensor:
    with torch.no_grad():
        return model(input_ids=IDS).logits.float().log_softmax(-1)


def trained_adapters(folder: Path, dtype: str, base: str = "tiny-llama") -> torch.Tensor:
    """Save adapters on `base` that say something; returns what the model with them says."""
    model = load_model(base, dtype).model
    adapter = make_adapters(model, 3, 12, ["all-linear"], 1, base, print)
    merged = MergedAdapters(model)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.1)
    merged.merge()
    adapter.save_pretrained(folder, save_embedding_layers=False)
    return logprobs(model)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_folder_of_adapters_is_what_they_were_trained_to_be_bit_for_bit(dtype: str, tmp_path: Path) -> None:
    """Cases 24 and 44."""
    said = trained_adapters(tmp_path / "one", dtype)
    assert not torch.equal(said, logprobs(load_model("tiny-llama", dtype).model))
    loaded = load_model(str(tmp_path / "one"), dtype)
    assert torch.equal(logprobs(loaded.model), said)
    plain = load_model("tiny-llama", dtype).model
    assert {n for n, p in loaded.model.named_parameters() if p.requires_grad} == {
        n for n, _ in plain.named_parameters()
    }
    said = trained_adapters(tmp_path / "two", dtype, str(tmp_path / "one"))  # adapters on adapters
    assert torch.equal(logprobs(load_model(str(tmp_path / "two"), dtype).model), said)


def test_a_run_goes_on_from_what_adapters_were_trained_to_be(server: Server, tmp_path: Path) -> None:
    """Case 44: with new adapters or without, and what is compared with the start is compared with this one."""
    arguments = [
        "configs/tiny.yaml", f"run.dir={tmp_path}", "run.threads=1", "run.steps=1", "domain=few_problems:AnyText",
        "solver.problems=2", "evaluate.every=9", "evaluate.pass_size=1", "evaluate.pass_k=2",
        "train.learning_rate=1e-2", "train.warmup_steps=0",
    ]  # fmt: skip
    ended = server.run([*arguments, "run.name=a", "policy.lora.r=4"])
    assert ended.code == OK, ended.output
    product = tmp_path / "a" / "checkpoints" / "step_000001" / "policy"
    base, trained = load_model("tiny-llama", "float32").model, load_model(str(product), "float32").model
    assert (logprobs(base) - logprobs(trained)).abs().max() > 1e-3
    for then in ("2", "0"):
        more = [f"run.name={then}", f"model.name={product}", "train.kl_coef=0.1", f"policy.lora.r={then}"]
        ended = server.run([*arguments, *more])
        assert ended.code == OK, ended.output
        with Store.open_readonly(tmp_path / then / "selfplay.db") as store:
            pulls = {key: value for key, value in store.steps()[1].metrics.items() if "kl/" in key}
        assert pulls and all(abs(value) < 1e-6 for value in pulls.values())  # before its first update


def folder_of(tmp_path: Path, **facts: Any) -> Path:
    trained_adapters(tmp_path, "float32")
    path = tmp_path / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | facts))
    return tmp_path


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"base_model_name_or_path": None}, "its adapter_config.json names no base"),
        ({"base_model_name_or_path": "/nowhere"}, "/nowhere, the base of these adapters, is no model here"),
        ({"base_model_name_or_path": "tiny-gpt2"}, "cannot be loaded"),
        ({"peft_type": "IA3"}, "adapters of a kind that is not merged here (IA3)"),
        ({"use_dora": True}, "(LORA, use_dora)"),
        ({"modules_to_save": ["lm_head"]}, "(LORA, modules_to_save)"),
        ({"megatron_config": {"a": 1}, "megatron_core": "antigravity"}, "(LORA, megatron_config)"),
        ({"target_modules": ".*(a+)+$"}, "does not name layers plainly"),
        ({"target_modules": ["q_proj"]}, "these adapters belong to another base, or are not whole"),
        ({"target_modules": ["nope"]}, "cannot be loaded"),
        ({"r": "many"}, "cannot be loaded"),
        ({"r": 2}, "cannot be loaded"),
    ],
)
def test_adapters_that_cannot_be_merged_are_one_line(tmp_path: Path, facts: dict[str, Any], said: str) -> None:
    """Cases 24 and 44."""
    folder = folder_of(tmp_path / "adapters", **facts)
    with pytest.raises(ModelError) as caught:
        load_model(str(folder), "float32")
    assert said in str(caught.value) and "\n" not in str(caught.value)


def test_adapters_on_themselves_and_adapters_beside_a_model_are_refused(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "adapters", base_model_name_or_path=str(tmp_path / "adapters"))
    with pytest.raises(ModelError, match="adapters without an end"):
        load_model(str(folder), "float32")
    tiny_model("tiny-llama").save_pretrained(folder)
    bytewise(["<eos>"], "<eos>").save_pretrained(folder)
    with pytest.raises(ModelError, match="holds a model and adapters beside it"):
        load_model(str(folder), "float32")


def test_adapters_without_their_weights_are_one_line(tmp_path: Path) -> None:
    folder = folder_of(tmp_path)
    weights = load_file(folder / "adapter_model.safetensors")
    save_file({k: t for k, t in list(weights.items())[1:]}, folder / "adapter_model.safetensors")
    with pytest.raises(ModelError, match="or are not whole"):
        load_model(str(folder), "float32")
    (folder / "adapter_model.safetensors").unlink()
    with pytest.raises(ModelError, match=r"has no adapter_model\.safetensors"):
        load_model(str(folder), "float32")


def test_adapters_on_a_weight_that_two_layers_share_are_refused(tmp_path: Path) -> None:
    """Case 45, of a folder that somebody else made."""
    adapter = get_peft_model(tiny_model("tiny-llama"), LoraConfig(r=2, target_modules=["lm_head", "q_proj"]))
    adapter.save_pretrained(tmp_path, save_embedding_layers=False)
    path = tmp_path / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"base_model_name_or_path": "tiny-llama"}))
    with pytest.raises(ModelError, match="an adapter for lm_head, whose weight the base shares"):
        load_model(str(tmp_path), "float32")


def test_all_linear_is_what_the_default_was_for_models_like_llama_bit_for_bit() -> None:
    """Case 21e."""
    lines: list[str] = []
    found = []
    for layers in (["all-linear"], ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]):
        model = tiny_model("tiny-llama")
        adapter = make_adapters(model, 4, 32, layers, 5, "tiny-llama", lines.append)
        assert adapter.peft_config["default"].target_modules == {
            *("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
        }
        found.append({n: p for n, p in model.named_parameters() if p.requires_grad})
    assert lines == []
    assert found[0].keys() == found[1].keys()
    assert all(torch.equal(found[0][name], found[1][name]) for name in found[0])


@pytest.mark.filterwarnings("error::UserWarning")
def test_adapters_of_gpt2s_layers_are_made_without_a_warning() -> None:
    """Its Conv1D keeps a weight transposed. peft warned of that on the terminal, and then set what is right."""
    adapter = make_adapters(tiny_model("tiny-gpt2"), 2, 4, ["c_fc"], 0, "x", print)
    assert adapter.peft_config["default"].fan_in_fan_out is True


def test_every_linear_layer_is_adapted_and_what_is_not_is_said() -> None:
    """Case 21e: Phi-3 has layers of other names, and a mixture's experts are no linear layers."""
    lines: list[str] = []
    model = Phi3ForCausalLM(Phi3Config(**SIZES))
    make_adapters(model, 2, 4, ["all-linear"], 0, "x", lines.append)
    adapted = {n.split(".lora_")[0].rpartition(".")[2] for n, p in model.named_parameters() if p.requires_grad}
    assert adapted == {"qkv_proj", "o_proj", "gate_up_proj", "down_proj"}
    assert lines == []
    make_adapters(Phi3ForCausalLM(Phi3Config(**SIZES)), 2, 4, ["o_proj"], 0, "x", lines.append)
    assert lines.pop() == "adapters on o_proj; none on mlp.down_proj, mlp.gate_up_proj, self_attn.qkv_proj"
    make_adapters(MixtralForCausalLM(MixtralConfig(**SIZES)), 2, 4, ["all-linear"], 0, "x", lines.append)
    assert lines == [
        "adapters on k_proj, o_proj, q_proj, v_proj; none on experts.down_proj, experts.gate_up_proj, mlp.gate"
    ]


def test_the_head_and_the_embeddings_get_no_adapters() -> None:
    """Cases 21a and 45: the head is read without its forward, so an adapter there stays at nothing."""
    for name in ("tiny-llama", "tiny-qwen3"):
        for layer in ("lm_head", "embed_tokens"):
            with pytest.raises(Refused, match=rf"{layer} is no linear layer .* decoder; those are (?!.*lm_head)"):
                make_adapters(tiny_model(name), 2, 4, ["q_proj", layer], 0, name, print)
