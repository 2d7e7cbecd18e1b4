"""Tiny random models and a byte tokenizer, built in code: the whole loop in seconds, with nothing to download."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from tokenizers.decoders import ByteLevel as ByteLevelDecoder
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from transformers import (
    GemmaConfig,
    GemmaForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    Qwen3Config,
    Qwen3ForCausalLM,
)
from transformers.convert_slow_tokenizer import bytes_to_unicode

NUM_BYTES = 256
EOS_ID = NUM_BYTES
VOCABULARY = NUM_BYTES + 1
_EOS = "<eos>"

_SHARED: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 1024,
    "bos_token_id": None,
    "eos_token_id": EOS_ID,
    "pad_token_id": None,
}
NAMES = ("tiny-llama", "tiny-qwen3", "tiny-gpt2", "tiny-gemma")


class ByteTokenizer:
    """One token a byte, and an end-of-sequence token. The part of transformers' interface that engines use."""

    eos_token_id = EOS_ID

    def __len__(self) -> int:
        return VOCABULARY

    def encode(self, text: str, add_special_tokens: bool = False) -> list[int]:
        """UTF-8 bytes; never adds special tokens."""
        return list(text.encode("utf-8", "replace"))

    def decode(self, ids: Sequence[int], skip_special_tokens: bool = False) -> str:
        """Invalid UTF-8 becomes replacement characters."""
        text = bytes(i for i in ids if i < NUM_BYTES).decode("utf-8", "replace")
        return text if skip_special_tokens or EOS_ID not in ids else f"{text}{_EOS}"

    def save_pretrained(self, folder: Path | str) -> None:
        """As a tokenizer of transformers with the same ids, so that what was trained is a model like any other."""
        characters = {character: byte for byte, character in bytes_to_unicode().items()}
        inner = Tokenizer(BPE(vocab=characters, merges=[]))
        inner.pre_tokenizer = ByteLevel(add_prefix_space=False, use_regex=False)
        inner.decoder = ByteLevelDecoder()
        inner.add_special_tokens([_EOS])
        PreTrainedTokenizerFast(tokenizer_object=inner, eos_token=_EOS).save_pretrained(folder)


def tiny_model(name: str, seed: int = 0) -> Any:
    """A randomly initialised model of about 100,000 parameters, the same for the same name and seed.

    Weights are drawn larger than is usual, so that different contexts give clearly different predictions.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = _architecture(name)
        for parameter in model.parameters():
            if parameter.dim() > 1:
                torch.nn.init.normal_(parameter, std=0.1)
    return model


def _architecture(name: str) -> Any:
    match name:
        case "tiny-llama":
            return LlamaForCausalLM(LlamaConfig(**_SHARED, num_key_value_heads=2, tie_word_embeddings=True))
        case "tiny-qwen3":
            return Qwen3ForCausalLM(Qwen3Config(**_SHARED, num_key_value_heads=2, head_dim=16))
        case "tiny-gemma":
            return GemmaForCausalLM(GemmaConfig(**_SHARED, num_key_value_heads=1, head_dim=16))
        case "tiny-gpt2":
            config = GPT2Config(
                vocab_size=VOCABULARY, n_embd=64, n_layer=2, n_head=4, n_positions=1024, bos_token_id=None,
                eos_token_id=EOS_ID, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0,
            )  # fmt: skip
            return GPT2LMHeadModel(config)
    raise ValueError(f"no tiny model {name!r}; there are {', '.join(NAMES)}")
