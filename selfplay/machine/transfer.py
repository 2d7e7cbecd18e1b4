"""From this computer's memory to a device's, without waiting for it."""

import numpy as np
import torch
from torch import Tensor


def to_device(array: np.ndarray | Tensor, device: torch.device, dtype: torch.dtype | None = None) -> Tensor:
    """The array as a tensor on `device`, in `dtype` (None: its own).

    To a GPU it goes out of pinned memory, behind what the GPU has been given to do: whoever calls need not wait, and
    torch keeps the pinned memory until it is there.
    """
    tensor = torch.from_numpy(np.ascontiguousarray(array)) if isinstance(array, np.ndarray) else array
    if device.type == "cuda" and tensor.device.type == "cpu":
        return tensor.pin_memory().to(device, non_blocking=True).to(dtype or tensor.dtype)
    return tensor.to(device, dtype)
