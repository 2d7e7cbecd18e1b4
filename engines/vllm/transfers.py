"""The worker's end of vLLM's own transfers of weights between GPUs: messages in, calls of vLLM's API out.

Of a transfer by `ipc` vLLM wants what torch would have pickled for another process of itself. Here it comes as JSON,
and only the places of memory in it are taken over: types are this module's.
"""

from typing import Any

import tensors

KINDS = ("ipc", "nccl")  # of vLLM's backends


def settings(kind: str) -> dict[str, Any]:
    """Of vllm.LLM. `kind`: "" for weights that come in files. Raises ValueError."""
    if kind and kind not in KINDS:
        raise ValueError(f"weights by {kind!r}: want one of {', '.join(KINDS)}")
    return {"weight_transfer_config": {"backend": kind}} if kind else {}


def join(llm: Any, message: dict[str, Any]) -> None:
    """Meets the trainer: by nccl, returns when it is there. `message`: what vLLM's backend is begun with."""
    llm.init_weight_transfer_engine({"init_info": message})


def receive(llm: Any, message: dict[str, Any]) -> None:
    """Weights whose names, dtype_names and shapes the message has, into a model that is being updated."""
    told = dict(message)
    if "memory" in told:
        memory = told.pop("memory")
        told["ipc_handles"] = {memory["gpu"]: opened_by(memory)}
    llm.update_weights({"update_info": told})


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
