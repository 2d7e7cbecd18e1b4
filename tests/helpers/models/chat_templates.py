"""Chat templates of some families, tokenizers that have them, and a tiny Qwen3 with all that its folder has."""

from pathlib import Path
from typing import Any

import torch
from odd_models import bytewise
from transformers import Qwen3Config, Qwen3ForCausalLM

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


GEMMA = (
    "<bos>{% for m in messages %}<start_of_turn>{{ 'model' if m.role == 'assistant' else m.role }}\n"
    "{{ m.content | trim }}<end_of_turn>\n{% endfor %}{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
)


PHI = (  # closes a conversation that is over with its end of sequence
    "{% for m in messages %}<|{{ m.role }}|>\n{{ m.content }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% else %}<eos>{% endif %}"
)


LLAMA_2 = (
    "{% for m in messages %}{% if m.role == 'user' %}<bos>[INST] {{ m.content }} [/INST]"
    "{% else %} {{ m.content }} <eos>{% endif %}{% endfor %}"
)


BARE = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}{% if add_generation_prompt %}me:{% endif %}"


SPECIAL = (
    *("<bos>", "<eos>", "<|im_start|>", "<|im_end|>", "<start_of_turn>", "<end_of_turn>"),
    *("<|user|>", "<|assistant|>", "<|end|>"),
)


def tokenizer(template: str, eos: str | None = "<eos>", special: tuple[str, ...] = SPECIAL) -> Any:
    return bytewise(list(special), eos, template)


QWEN3 = (  # written anew with Qwen3's switches: an empty thought where thinking is off, and past thoughts left out
    "{% set asked = namespace(last=-1) %}"
    "{% for m in messages %}{% if m.role == 'user' %}{% set asked.last = loop.index0 %}{% endif %}{% endfor %}"
    "{% for m in messages %}<|im_start|>{{ m.role }}\n"
    "{% if m.role != 'assistant' %}{{ m.content }}"
    "{% else %}"
    "{% set parts = m.content.split('</think>') %}{% set thought = parts[0].split('<think>')[-1].strip('\n') %}"
    "{% set words = parts[-1].lstrip('\n') if parts | length > 1 else m.content %}"
    "{% if loop.index0 > asked.last %}<think>\n{{ thought if parts | length > 1 else '' }}\n</think>\n\n{% endif %}"
    "{{ words }}"
    "{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n"
    "{% if enable_thinking is defined and enable_thinking is false %}<think>\n\n</think>\n\n{% endif %}{% endif %}"
)


def qwen3_tokenizer() -> Any:
    """One token a byte, and Qwen3's own tokens, of which the marks of a thought are no special ones, as there."""
    made = bytewise(["<|endoftext|>", "<|im_start|>", "<|im_end|>"], "<|im_end|>", QWEN3)
    made.add_tokens(["<think>", "</think>"])
    return made


def qwen3_folder(folder: Path, tied: bool = True) -> Path:
    """A random Qwen3 of two layers with that tokenizer, as `model.name` takes it; `tied` as the smaller ones are."""
    tokenizer = qwen3_tokenizer()
    config = Qwen3Config(
        vocab_size=len(tokenizer), hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, head_dim=32, max_position_embeddings=4096, tie_word_embeddings=tied,
        bos_token_id=tokenizer.convert_tokens_to_ids("<|endoftext|>"), eos_token_id=tokenizer.eos_token_id,
        pad_token_id=None,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = Qwen3ForCausalLM(config)
        for parameter in model.parameters():
            if parameter.dim() > 1:
                torch.nn.init.normal_(parameter, std=0.1)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
