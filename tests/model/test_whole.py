"""Model folders that are not whole: what the loading library only warns of is one line and an error here."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from odd_models import bytewise
from safetensors.torch import load_file, save_file
from transformers import (
    AutoConfig,
    Gemma3Config,
    Gemma3ForConditionalGeneration,
    Gemma3TextConfig,
    LlamaConfig,
    LlamaForCausalLM,
    SiglipVisionConfig,
)

from selfplay.machine.errors import ModelError
from selfplay.model.weights.loading import load_model
from selfplay.model.weights.tiny import tiny_model

Tensors = dict[str, torch.Tensor]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A whole model whose head is not tied, and a tokenizer that fits it."""
    model = tiny_model("tiny-qwen3")
    assert not model.config.tie_word_embeddings
    model.save_pretrained(tmp_path / "mine")
    bytewise(["<eos>"], "<eos>").save_pretrained(tmp_path / "mine")
    return tmp_path / "mine"


def spoil(folder: Path, change: Callable[[Tensors], Tensors]) -> None:
    path = folder / "model.safetensors"
    save_file(change(load_file(path)), path, metadata={"format": "pt"})


def refusal(folder: Path) -> str:
    with pytest.raises(ModelError) as caught:
        load_model(str(folder), "float32")
    line = str(caught.value)
    assert line.startswith(f"model.name={folder}: ") and "\n" not in line
    return line


def without(key: str) -> Callable[[Tensors], Tensors]:
    return lambda tensors: {name: t for name, t in tensors.items() if name != key}


def with_one(key: str, *shape: int) -> Callable[[Tensors], Tensors]:
    return lambda tensors: tensors | {key: torch.zeros(*shape)}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda tensors: {f"base_model.model.{k}": t for k, t in tensors.items()}, "lacks lm_head.weight, model.embed"),
        (without("lm_head.weight"), "lacks lm_head.weight: they would be random"),
        (without("model.layers.1.mlp.up_proj.weight"), "lacks model.layers.1.mlp.up_proj.weight"),
        (with_one("model.norm.weight", 7), "has in another shape model.norm.weight"),
        (with_one("model.layers.2.mlp.up_proj.weight", 2, 2), "has model.layers.2.mlp.up_proj.weight: the model that"),
        (with_one("model.layers.0.self_attn.q_proj.bias", 64), "has model.layers.0.self_attn.q_proj.bias"),
        (with_one("lm_head.bias", 257), "has lm_head.bias"),
        (with_one("odd", 2), "has odd"),
    ],
)
def test_weights_that_are_missing_misshapen_or_without_a_place_are_named(
    folder: Path, change: Callable[[Tensors], Tensors], said: str
) -> None:
    """Cases 43 and 24."""
    spoil(folder, change)
    assert said in refusal(folder)


def test_three_tensors_are_named_and_the_others_counted(folder: Path) -> None:
    """Case 43."""
    spoil(folder, lambda tensors: {k: t for k, t in tensors.items() if "mlp" not in k})
    assert "and 3 more" in (line := refusal(folder)) and line.count("mlp") == 3


def test_a_part_that_text_does_not_need_is_left_out_and_said(folder: Path) -> None:
    """Case 43: a vision tower beside a whole decoder."""
    spoil(folder, lambda tensors: with_one("model.vision_tower.patch.weight", 2)(with_one("mtp.0.x", 2)(tensors)))
    lines: list[str] = []
    loaded = load_model(str(folder), "float32", lines.append)
    assert lines == [f"{folder}: left out, since text does not need it: model.vision_tower, mtp"]
    for name, tensor in tiny_model("tiny-qwen3").state_dict().items():
        assert torch.equal(loaded.model.state_dict()[name], tensor)


def test_a_tied_head_and_old_buffers_are_not_missed(tmp_path: Path) -> None:
    """Case 43: the model declares them itself."""
    tiny_model("tiny-llama").save_pretrained(tmp_path)
    bytewise(["<eos>"], "<eos>").save_pretrained(tmp_path)
    assert "lm_head.weight" not in load_file(tmp_path / "model.safetensors")
    spoil(tmp_path, with_one("model.layers.0.self_attn.rotary_emb.inv_freq", 8))
    model = load_model(str(tmp_path), "float32").model
    assert model.lm_head.weight is model.model.embed_tokens.weight


@pytest.mark.parametrize("kind", ["fp8", "mxfp4", "gptq", "bitsandbytes"])
def test_quantised_weights_are_refused_by_name(folder: Path, kind: str) -> None:
    """Case 24."""
    facts = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(facts | {"quantization_config": {"quant_method": kind}}))
    assert AutoConfig.from_pretrained(folder).quantization_config
    assert f"quantised ({kind})" in refusal(folder)


def llama(folder: Path, vocabulary: int) -> None:
    config = LlamaConfig(
        vocab_size=vocabulary, hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
        bos_token_id=None, eos_token_id=None,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)


@pytest.mark.parametrize("rows", [100, 256])
def test_a_tokenizer_of_another_model_is_refused(tmp_path: Path, rows: int) -> None:
    """Cases 24 and 53. With 256 rows only its end of sequence has none."""
    llama(tmp_path, rows)
    bytewise(["<eos>"], "<eos>").save_pretrained(tmp_path)
    assert f"its tokenizer has ids up to 256, its embedding {rows} rows" in refusal(tmp_path)


def test_a_token_of_the_tokenizers_own_beyond_the_embedding_is_let_be(tmp_path: Path) -> None:
    """Gemma 3's text models have no row for `<image_soft_token>`."""
    llama(tmp_path, 257)
    bytewise(["<eos>", "<image>"], "<eos>").save_pretrained(tmp_path)
    assert load_model(str(tmp_path), "float32").tokenizer.convert_tokens_to_ids("<image>") == 257


def test_what_text_never_reaches_is_not_trained(tmp_path: Path) -> None:
    """Case 21f."""
    sizes: dict[str, Any] = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1}
    text = Gemma3TextConfig(
        **sizes, vocab_size=300, num_attention_heads=2, num_key_value_heads=1, head_dim=8, pad_token_id=None,
        bos_token_id=None, eos_token_id=256,
    )  # fmt: skip
    vision = SiglipVisionConfig(**sizes, num_attention_heads=2, image_size=28, patch_size=14)
    config = Gemma3Config(text_config=text, vision_config=vision, mm_tokens_per_image=4, image_token_index=299)
    Gemma3ForConditionalGeneration(config).save_pretrained(tmp_path)
    bytewise(["<eos>"], "<eos>").save_pretrained(tmp_path)
    lines: list[str] = []
    model = load_model(str(tmp_path), "float32", lines.append).model
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    others = ("model.vision_tower", "model.multi_modal_projector")
    assert trained == {name for name, _ in model.named_parameters() if not name.startswith(others)}
    assert f"not trained, since text never reaches it: {', '.join(others)}" in lines[0]


@pytest.mark.parametrize("kind", [torch.float8_e4m3fn, torch.int8])
def test_packed_weights_are_refused_though_no_configuration_says_so(folder: Path, kind: torch.dtype) -> None:
    """Beside case 24: whole numbers were read as weights, and fp8 without its scales."""
    path = folder / "model.safetensors"
    tensors = load_file(path)
    key = next(key for key in tensors if key.endswith("q_proj.weight"))
    save_file(tensors | {key: tensors[key].to(kind)}, path, {"format": "pt"})
    assert f"holds {key} as {'I8' if kind is torch.int8 else 'F8_E4M3'}, which cannot be trained" in refusal(folder)
