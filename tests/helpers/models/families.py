"""Tiny random decoders of every family that transformers has: a configuration with small numbers, made a model."""

from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM

VOCABULARY = 101
# what families call the same thing; set where a configuration has it
_SMALL: dict[str, Any] = {
    "vocab_size": VOCABULARY, "hidden_size": 32, "n_embd": 32, "d_model": 32, "word_embed_proj_dim": 32,
    "embedding_size": 32, "intermediate_size": 48, "ffn_dim": 48, "n_inner": 48, "d_ff": 48, "ffn_hidden_size": 48,
    "moe_intermediate_size": 16, "shared_expert_intermediate_size": 16, "shared_intermediate_size": 16,
    "num_hidden_layers": 2, "n_layer": 2, "n_layers": 2, "num_layers": 2, "decoder_layers": 2, "num_blocks": 2,
    "num_attention_heads": 4, "n_head": 4, "n_heads": 4, "decoder_attention_heads": 4, "attention_heads": 4,
    "num_key_value_heads": 2, "num_kv_heads": 2, "head_dim": 8, "rotary_dim": 4, "max_position_embeddings": 64,
    "n_positions": 64, "n_ctx": 64, "max_seq_len": 64, "num_experts": 4, "num_local_experts": 4, "n_routed_experts": 4,
    "moe_num_experts": 4, "num_experts_per_tok": 2, "moe_topk": 2, "moe_k": 2, "first_k_dense_replace": 1, "n_group": 1,
    "topk_group": 1, "num_shared_experts": 1, "n_shared_experts": 1, "moe_num_shared_experts": 1,
    "q_lora_rank": 16, "kv_lora_rank": 16, "qk_nope_head_dim": 8, "qk_rope_head_dim": 8, "v_head_dim": 8,
    "qk_head_dim": 16, "mamba_n_heads": 4, "mamba_d_head": 16, "mamba_d_state": 8, "mamba_n_groups": 1,
    "mamba_d_ssm": 64, "mamba_num_heads": 8, "mamba_head_dim": 8, "ssm_state_size": 8, "state_size": 8,
    "n_mamba_heads": 2,
    "num_heads": 4, "linear_num_key_heads": 2, "linear_num_value_heads": 2, "linear_key_head_dim": 8,
    "linear_value_head_dim": 8, "mamba_dt_rank": 8, "time_step_rank": 4, "attention_head_dim": 8,
    "hidden_size_per_layer_input": 8, "vocab_size_per_layer_input": VOCABULARY, "dim_model_base": 16,
    "bos_token_id": None, "eos_token_id": 100, "pad_token_id": None, "use_cache": True,
    "resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0,
}  # fmt: skip


def family_model(kind: str, std: float = 0.02, **facts: Any) -> Any:
    """A decoder of model type `kind` with weights of the given spread; `facts` are put over the small numbers."""
    default = AutoConfig.for_model(kind)
    small = {name: value for name, value in _SMALL.items() if _is_of(default, name) and not _is_derived(default, name)}
    config = AutoConfig.for_model(kind, **(small | facts))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(config)
        for name, parameter in model.named_parameters():
            if parameter.dim() > 1 and std != 0.02:
                torch.nn.init.normal_(parameter, std=std)
            if name.endswith("sinks"):  # some heads give next to nothing away, some nearly all
                torch.nn.init.normal_(parameter, std=3.0)
    return model.eval()


def _is_of(config: Any, name: str) -> bool:
    try:
        return hasattr(config, name)
    except Exception:  # Gemma 4's head_dim differs by layer, and cannot be asked of all
        return True


def _is_derived(config: Any, name: str) -> bool:
    return isinstance(getattr(type(config), name, None), property)
