"""Tiny random decoders of families that `selfplay.model.weights.tiny` has none of, built in code or saved as a folder
to load."""

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import (
    BloomConfig,
    BloomForCausalLM,
    CohereConfig,
    CohereForCausalLM,
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    GPTJConfig,
    GPTJForCausalLM,
    MambaConfig,
    MambaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    PreTrainedTokenizerFast,
    Qwen3_5ForCausalLM,
    Qwen3_5TextConfig,
)

from selfplay.model.weights.tiny import EOS_ID, VOCABULARY

WINDOW = 16
_IDS: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "bos_token_id": None,
    "eos_token_id": EOS_ID,
    "pad_token_id": None,
}
_SIZES: dict[str, Any] = _IDS | {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
}
_LAYERS = ["sliding_attention", "full_attention"]


def _made(name: str, window: int) -> Any:
    match name:
        case "mistral":
            return MistralForCausalLM(MistralConfig(**_SIZES, sliding_window=window))
        case "gemma3":
            return Gemma3ForCausalLM(Gemma3TextConfig(**_SIZES, sliding_window=window, layer_types=_LAYERS))
        case "bloom":
            return BloomForCausalLM(BloomConfig(**_IDS, hidden_size=64, n_layer=2, n_head=4))
        case "gptj":
            return GPTJForCausalLM(GPTJConfig(**_IDS, n_embd=64, n_layer=2, n_head=4, rotary_dim=8))
        case "cohere":
            return CohereForCausalLM(CohereConfig(**_SIZES, logit_scale=0.0625))
        case "mamba":
            return MambaForCausalLM(MambaConfig(**_IDS, hidden_size=64, num_hidden_layers=2, state_size=8))
        case "qwen3.5":
            config = Qwen3_5TextConfig(
                **_SIZES, linear_num_key_heads=2, linear_num_value_heads=2, linear_key_head_dim=16,
                linear_value_head_dim=16, layer_types=["linear_attention", "full_attention"],
            )  # fmt: skip
            return Qwen3_5ForCausalLM(config)
    raise ValueError(name)


def odd_model(name: str, window: int = WINDOW) -> Any:
    """Weights are drawn larger than is usual, as those of `tiny_model`."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = _made(name, window)
        for parameter in model.parameters():
            if parameter.dim() > 1:
                torch.nn.init.normal_(parameter, std=0.1)
    return model.eval()


def bytewise(special: list[str], eos: str | None, template: str | None = None) -> Any:
    """A tokenizer of transformers with one token a byte, then special ones, and a run of spaces as Gemma's has them."""
    alphabet = {character: i for i, character in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    inner = Tokenizer(models.BPE(vocab=alphabet, merges=[]))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    inner.add_special_tokens(special)
    if len(special) > 1:
        inner.add_tokens(["  "])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, eos_token=eos)
    tokenizer.chat_template = template
    return tokenizer


def odd_folder(name: str, folder: Path) -> Path:
    """The model `name` with a bytewise tokenizer, as `model.name` takes it."""
    odd_model(name).save_pretrained(folder)
    bytewise(["<eos>"], "<eos>").save_pretrained(folder)
    return folder


def with_bos(tokenizer: Any, bos: str = "<bos>", eos: str | None = None) -> Any:
    """`tokenizer`, which from now on puts `bos` in front of a text (and `eos` behind it), as Gemma's and Llama's do."""
    special = [token for token in (bos, eos) if token]
    ids = [(token, tokenizer.convert_tokens_to_ids(token)) for token in special]
    single = " ".join([bos, "$A", *([eos] if eos else [])])
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(single=single, special_tokens=ids)
    tokenizer.bos_token = bos
    return tokenizer


def piecewise(special: list[str], eos: str | None, template: str | None = None, scheme: str = "always") -> Any:
    """A tokenizer that puts a space in front of a text that stands alone, as SentencePiece does. It has a token for a
    character with a space in front of it, too."""
    characters = [chr(i) for i in range(33, 127)]
    vocabulary = {piece: i for i, piece in enumerate(["<unk>", "\n", "▁", *characters, *(f"▁{c}" for c in characters)])}
    inner = Tokenizer(models.BPE(vocab=vocabulary, merges=[("▁", c) for c in characters], unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=scheme)
    inner.decoder = decoders.Metaspace(prepend_scheme=scheme)
    inner.add_special_tokens(special)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, eos_token=eos)
    tokenizer.chat_template = template
    return tokenizer
