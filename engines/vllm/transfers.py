"""The worker's end of vLLM's own transfers of weights between GPUs: messages in, calls of vLLM's API out.

Of a transfer by `ipc` vLLM wants what torch would have pickled for another process of itself. Here it comes as JSON,
and only the places of memory in it are taken over: types are this module's. What else vLLM would take of a message, a
pickle and addresses to connect to among it, is refused.
"""

from typing import Any

import tensors

KINDS = ("ipc", "nccl")  # of vLLM's backends
TYPES = ("bfloat16", "float16", "float32")  # of weights
JOINING = (
    "packed", "packed_buffer_size_bytes", "packed_num_buffers", "rank_offset", "world_size", "nccl_unique_id_b64",
)  # fmt: skip
RECEIVING = ("names", "dtype_names", "shapes", "tensor_sizes", "memory")


def settings(kind: str) -> dict[str, Any]:
    """Of vllm.LLM. `kind`: "" for weights that come in files. Raises ValueError."""
    if kind and kind not in KINDS:
        raise ValueError(f"weights by {kind!r}: want one of {', '.join(KINDS)}")
    return {"weight_transfer_config": {"backend": kind}} if kind else {}


def join(llm: Any, message: dict[str, Any]) -> None:
    """Meets the trainer: by nccl, returns when it is there. `message`: what vLLM's backend is begun with."""
    llm.init_weight_transfer_engine({"init_info": only(JOINING, message)})


def receive(llm: Any, message: dict[str, Any]) -> None:
    """Weights whose names, dtype_names and shapes the message has, into a model that is being updated."""
    told = only(RECEIVING, message)
    if not set(told["dtype_names"]) <= set(TYPES):
        raise ValueError(f"weights of {sorted(set(told['dtype_names']))}: want {', '.join(TYPES)}")
    if "memory" in told:
        memory = told.pop("memory")
        told["ipc_handles"] = {memory["gpu"]: opened_by(memory)}
    llm.update_weights({"update_info": told})


def only(names: tuple[str, ...], message: dict[str, Any]) -> dict[str, Any]:
    """The message, if it has no other fields. Raises ValueError."""
    if others := sorted(message.keys() - set(names)):
        raise ValueError(f"a message with {others[0]!r}, which is no field of it")
    return dict(message)


def finish(llm: Any) -> None:
    llm.finish_weight_update()
    llm.collective_rpc(tensors.tie)


def opened_by(memory: dict[str, Any]) -> tuple[Any, ...]:
    """What torch.multiprocessing.reductions.rebuild_cuda_tensor takes for bytes of another process's GPU memory. vLLM
    puts its own device in the place of the seventh."""
    import torch

    return (
        torch.Tensor, torch.Size(memory["size"]), tuple(memory["stride"]), memory["offset"], torch.storage.TypedStorage,
        torch.uint8, 0, bytes.fromhex(memory["handle"]), memory["num_bytes"], memory["start"], False,
        bytes.fromhex(memory["counter"]), memory["counter_offset"], bytes.fromhex(memory["event"]), memory["must_wait"],
    )  # fmt: skip
