"""Folders with random weights in the shapes of Qwen3, so that benchmarks/gpu.py runs where no hub is reached.

What is measured of a model does not depend on its weights, but for how much it says: random ones end no answer, so each
completion is as long as it may be.
"""

from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM
from transformers.utils import logging

VOCABULARY = 151_936
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n"
    "{% if enable_thinking is defined and not enable_thinking %}<think>\n\n</think>\n\n{% endif %}{% endif %}"
)
# hidden and intermediate size, layers, heads, heads of keys; heads are 128 wide, as in the models' own config.json
SHAPES = {
    "Qwen/Qwen3-0.6B": (1024, 3072, 28, 16, 8),
    "Qwen/Qwen3-1.7B": (2048, 6144, 28, 16, 8),
    "Qwen/Qwen3-8B": (4096, 12288, 36, 32, 8),
}
TIED = ("Qwen/Qwen3-0.6B", "Qwen/Qwen3-1.7B")


def random_folder(name: str, folder: Path, is_small: bool, device: str) -> Path:
    """A folder that `model.name` takes, with random bf16 weights of the model `name`; with `is_small` of two narrow
    layers."""
    logging.disable_progress_bar()
    tokenizer = _tokenizer()
    hidden, inner, layers, heads, kv_heads = (64, 128, 2, 4, 2) if is_small else SHAPES[name]
    config = Qwen3Config(
        vocab_size=len(tokenizer) if is_small else VOCABULARY, hidden_size=hidden, intermediate_size=inner,
        num_hidden_layers=layers, num_attention_heads=heads, num_key_value_heads=kv_heads,
        head_dim=32 if is_small else 128, max_position_embeddings=40_960, tie_word_embeddings=name in TIED,
        bos_token_id=0, eos_token_id=2, pad_token_id=None, dtype="bfloat16",
    )  # fmt: skip
    with torch.device(device):
        model = Qwen3ForCausalLM(config).bfloat16()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    del model
    if device == "cuda":
        torch.cuda.empty_cache()  # or this process would hold what the run is to have
    return folder


def _tokenizer() -> PreTrainedTokenizerFast:
    """One token a byte, and the marks of a chat."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    inner = Tokenizer(models.BPE({letter: i for i, letter in enumerate([*SPECIAL, *alphabet])}, []))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    made = PreTrainedTokenizerFast(tokenizer_object=inner, eos_token=SPECIAL[2], additional_special_tokens=[*SPECIAL])
    made.chat_template = TEMPLATE
    return made
