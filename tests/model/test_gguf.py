"""A model in a .gguf file: tiny ones, written here by llama.cpp's own package."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gguf import GGMLQuantizationType, GGUFWriter, quants
from transformers import LlamaConfig, LlamaForCausalLM
from transformers.convert_slow_tokenizer import bytes_to_unicode

from selfplay.machine.errors import ModelError
from selfplay.model.weights.loading import load_model
from selfplay.model.weights.places import cache_folder

BYTES = 256
NAMES = {
    "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down", "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm",
}  # fmt: skip
QUANTISED = GGMLQuantizationType.Q8_0


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SELFPLAY_CACHE", str(tmp_path / "cache"))


def llama() -> Any:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=BYTES + 3, hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, tie_word_embeddings=True, bos_token_id=BYTES, eos_token_id=BYTES + 1,
    )  # fmt: skip
    model = LlamaForCausalLM(config)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, mean=1.0 if parameter.dim() == 1 else 0.0, std=0.1)
    return model


def interleaved(weight: torch.Tensor, heads: int) -> torch.Tensor:
    """Rows of a projection as llama.cpp rotates them: in pairs of neighbours, not of halves."""
    return weight.view(heads, 2, -1, weight.shape[1]).transpose(1, 2).reshape(weight.shape)


def write(path: Path, model: Any, adds_bos: bool, tokenizer: bool = True, lacks: str = "") -> None:
    config, writer = model.config, GGUFWriter(path, "llama")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(10_000.0)
    writer.add_vocab_size(config.vocab_size)
    if tokenizer:
        characters = list(bytes_to_unicode().values())
        writer.add_tokenizer_model("gpt2")
        writer.add_token_list([*characters, "<bos>", "<eos>", characters[0] + characters[1]])
        writer.add_token_types([1] * BYTES + [3, 3, 1])
        writer.add_token_merges([f"{characters[0]} {characters[1]}"])
        writer.add_bos_token_id(BYTES)
        writer.add_eos_token_id(BYTES + 1)
        writer.add_add_bos_token(adds_bos)
    for name, tensor in model.state_dict().items():
        values, layer = tensor.float(), name.removeprefix("model.layers.").removesuffix(".weight")
        if "q_proj" in name or "k_proj" in name:
            values = interleaved(values, config.num_attention_heads if "q_" in name else config.num_key_value_heads)
        number, _, part = layer.partition(".")
        known = {"model.embed_tokens.weight": "token_embd", "model.norm.weight": "output_norm"}
        theirs = known.get(name) or (f"blk.{number}.{NAMES[part]}" if part in NAMES else "")
        if not theirs or theirs == lacks:
            continue  # the head is tied
        if values.dim() == 2:
            packed = quants.quantize(values.numpy(), QUANTISED)
            writer.add_tensor(f"{theirs}.weight", packed, raw_dtype=QUANTISED)
        else:
            writer.add_tensor(f"{theirs}.weight", values.numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def rounded(model: Any) -> Any:
    """`model` with the values that its blocks of 8 bits stand for."""
    for parameter in model.parameters():
        if parameter.dim() == 2:
            blocks = quants.quantize(parameter.detach().numpy(), QUANTISED)
            parameter.data = torch.from_numpy(np.array(quants.dequantize(blocks, QUANTISED)))
    return model


@pytest.mark.parametrize("adds_bos", [True, False])
def test_a_gguf_file_is_the_model_that_was_written(tmp_path: Path, adds_bos: bool) -> None:
    path, lines = tmp_path / "mine.gguf", list[str]()
    write(path, llama(), adds_bos)
    loaded = load_model(str(path), "float32", lines.append)
    assert any("converting" in line for line in lines)
    ids = torch.arange(40).view(2, 20)
    with torch.no_grad():
        torch.testing.assert_close(loaded.model(ids).logits, rounded(llama())(ids).logits, atol=1e-5, rtol=1e-5)
    text = "2 + 3 =\n"
    assert loaded.tokenizer.encode(text) == [BYTES] * adds_bos + loaded.tokenizer.encode(text, add_special_tokens=False)
    assert loaded.tokenizer.decode(loaded.tokenizer.encode(text, add_special_tokens=False)) == text
    assert loaded.tokenizer.eos_token_id == BYTES + 1
    lines.clear()
    served = load_model(str(path), "bfloat16", lines.append).model
    assert {parameter.dtype for parameter in served.parameters()} == {torch.bfloat16}
    assert lines == []  # converted once


def test_another_file_of_the_same_name_is_another_model(tmp_path: Path) -> None:
    path = tmp_path / "mine.gguf"
    write(path, llama(), True)
    before = load_model(str(path), "float32").model.model.norm.weight.clone()
    other = llama()
    torch.nn.init.constant_(other.model.norm.weight, 2.0)
    path.unlink()
    write(path, other, True)
    assert not torch.equal(load_model(str(path), "float32").model.model.norm.weight, before)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        ({"tokenizer": False}, "holds no tokenizer (tokenizer.ggml.tokens)"),
        ({"lacks": "blk.1.ffn_up"}, "its folder lacks model.layers.1.mlp.up_proj.weight"),
        ({"cut": 0.5}, "cannot be loaded ("),
        ({"cut": 0.0}, "cannot be loaded ("),
    ],
)
def test_a_gguf_file_that_is_no_whole_model_is_one_line(tmp_path: Path, spoil: dict[str, Any], said: str) -> None:
    path = tmp_path / "mine.gguf"
    share = spoil.pop("cut", 1.0)
    write(path, llama(), True, **spoil)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(ModelError) as caught:
        load_model(str(path), "float32")
    assert said in str(caught.value) and str(path) in str(caught.value) and "\n" not in str(caught.value)
    assert not list((cache_folder() / "models").glob("gguf-*"))


def test_a_file_that_is_not_there_or_of_another_kind_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="there is no such file"):
        load_model("nowhere/mine.gguf", "float32")
    (tmp_path / "model.bin").touch()
    with pytest.raises(ModelError, match=r"is a file, and no \.gguf"):
        load_model(str(tmp_path / "model.bin"), "float32")
