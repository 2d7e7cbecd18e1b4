"""The weights that vLLM's model computes with: read from files, and read back out of it."""

import hashlib
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

SMALLEST = 2.0**-126  # processors may take what is nearer to zero as zero


def reload(worker: Any, folder: str) -> None:
    """Runs in vLLM's worker: reads all weights from the folder's safetensors."""
    from safetensors import safe_open

    def read() -> Iterator[tuple[str, Any]]:
        for path in sorted(Path(folder).glob("*.safetensors")):
            with safe_open(path, "pt") as file:
                for name in file.keys():  # noqa: SIM118  (it is no dictionary)
                    yield name, file.get_tensor(name)

    worker.reload_weights(weights_iterator=read())
    tie(worker)


def tie(worker: Any) -> None:
    """Runs in vLLM's worker, after its weights were loaded anew."""
    tie_head(worker.get_model(), worker.model_runner.vllm_config.model_config.hf_text_config)


def tie_head(model: Any, config: Any) -> None:
    """Gives a head that is tied to the embeddings their new matrix. The file has none for it, so that after a reload
    vLLM would go on with the old one, and it keeps a copy in another layout, which has to be made anew as well."""
    from vllm.model_executor.layers.vocab_parallel_embedding import ParallelLMHead, VocabParallelEmbedding

    if not getattr(config, "tie_word_embeddings", False):
        return
    heads = [module for module in model.modules() if isinstance(module, ParallelLMHead)]
    [embeddings] = [module for module in model.modules() if type(module) is VocabParallelEmbedding]
    for head in heads:
        head.tie_weights(embeddings)
        head.quant_method.process_weights_after_loading(head)


def digests(worker: Any, columns: dict[str, list[int]], adapters: int | None, rank: int) -> dict[str, str]:
    """Runs in vLLM's worker: sha256, by transformers' names, of whole vectors and of the columns of matrices that
    `columns` has for their width. `adapters`: the number of those of `rank` that requests are run with. Weights that
    cannot be read, or have no such name, are left out."""
    import torch

    chosen = {int(width): torch.tensor(each) for width, each in columns.items()}
    model = worker.get_model()
    with torch.inference_mode():
        found = {name: digest(values) for name, values in held(model, chosen)}
        slots = [] if adapters is None else worker.model_runner.lora_manager._adapter_manager.lora_index_to_id
        if adapters in slots:
            found |= {n: digest(values) for n, values in held_adapters(model, chosen, slots.index(adapters), rank)}
    return found


def digest(values: Any) -> str:
    """Of [C, N] or [N], as float32; without the signs of zeros, which a product does not keep."""
    wide = values.float()
    wide = wide.masked_fill(wide.abs() < SMALLEST, 0.0)
    return hashlib.sha256(wide.contiguous().cpu().numpy().tobytes()).hexdigest()


def held(model: Any, columns: dict[int, Any]) -> Iterator[tuple[str, Any]]:
    """Vectors as they are, and of matrices [N, K] the columns [C, N]. What a layer multiplies with is packed, in
    layouts that cannot be read: so it multiplies rows of which one number is 1, which gives its columns exactly."""
    from vllm.model_executor.layers.linear import LinearBase
    from vllm.model_executor.layers.vocab_parallel_embedding import ParallelLMHead, VocabParallelEmbedding

    packed = getattr(model, "packed_modules_mapping", None) or {}
    for inner, module in model.named_modules(remove_duplicate=False):
        path = inner.removesuffix(".base_layer")  # of a layer that vLLM has made room for adapters at
        above, _, last = path.rpartition(".")
        if isinstance(module, ParallelLMHead) or (isinstance(module, VocabParallelEmbedding) and last == "lm_head"):
            yield from _of(path, _multiplied(module, columns), "weight", module.org_vocab_size)
            yield from _of(path, module.bias, "bias", module.org_vocab_size)
        elif isinstance(module, LinearBase):
            names = [f"{above}.{name}".lstrip(".") for name in packed.get(last, [last])]
            sizes = [module.output_size] if len(names) == 1 else list(module.output_sizes)
            if len(names) == len(sizes):
                yield from _parts(names, _multiplied(module, columns), "weight", sizes)
                yield from _parts(names, module.bias, "bias", sizes)
        else:
            rows = module.org_vocab_size if isinstance(module, VocabParallelEmbedding) else None
            for name, parameter in module.named_parameters(recurse=False):
                if parameter.dim() == 1:
                    yield from _of(path, parameter, name, rows)
                elif parameter.dim() == 2 and parameter.shape[1] in columns:
                    yield from _of(path, parameter[:, columns[parameter.shape[1]]].T, name, rows)


def held_adapters(model: Any, columns: dict[int, Any], slot: int, rank: int) -> Iterator[tuple[str, Any]]:
    """Columns [C, r] of A [r, K] and [C, N] of B [N, r], by peft's names. vLLM's own tensors have a larger rank."""
    from vllm.lora.layers.base_linear import BaseLinearLayerWithLoRA

    packed = getattr(model, "packed_modules_mapping", None) or {}
    for path, module in model.named_modules():
        if isinstance(module, BaseLinearLayerWithLoRA):
            above, _, last = path.rpartition(".")
            names = packed.get(last, [last])
            for name, a, b in zip(names, module.lora_a_stacked, module.lora_b_stacked, strict=True):
                a, b = a[slot, 0, :rank], b[slot, 0, :, :rank]
                yield f"{above}.{name}.lora_A.weight", a[:, columns[a.shape[1]]].T
                yield f"{above}.{name}.lora_B.weight", b[:, columns[rank]].T


def _of(path: str, values: Any, name: str, rows: int | None) -> Iterator[tuple[str, Any]]:
    """`rows`: how many of the last dimension are no padding."""
    if values is not None:
        yield f"{path}.{name}".lstrip("."), values[..., :rows]


def _parts(paths: list[str], values: Any, name: str, sizes: list[int]) -> Iterator[tuple[str, Any]]:
    """Of a layer that vLLM has made of several."""
    if values is not None:
        for path, part in zip(paths, values.split(sizes, -1), strict=True):
            yield f"{path}.{name}", part


def _multiplied(layer: Any, columns: dict[int, Any]) -> Any:
    """[C, N]: the chosen columns of the layer's matrix, by its own product. None where none are chosen, and for a layer
    that does not multiply so (there are many kinds): the other end says what was not read."""
    import torch

    chosen = columns.get(layer.input_size)
    if chosen is None:
        return None
    rows = torch.zeros(len(chosen), layer.input_size, dtype=layer.params_dtype, device=layer.weight.device)
    rows[torch.arange(len(chosen)), chosen] = 1.0
    try:
        return layer.quant_method.apply(layer, rows)
    except Exception:
        traceback.print_exc()
        return None
