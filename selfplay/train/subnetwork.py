"""Training of a part of the parameters, number by number: the rest keeps its bits.

A gradient of 0 leaves Adam's moments at 0, and with them the number; weight decay would move it all the same, so it is
taken here, of what is trained alone. Source: Mukherjee et al. 2025, arXiv 2505.11711, section on subnetworks.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from selfplay.train.masks import Mask, require_fit


class Subnetwork:
    """Which numbers of the masters are trained. Takes a byte of memory for each."""

    def __init__(self, mask: Mask, masters: Mapping[str, Tensor], path: str) -> None:
        """Raises Refused for a mask, out of the file `path`, that is not of these masters."""
        require_fit(mask, {name: tuple(master.shape) for name, master in masters.items()}, path)
        self._is_trained = {name: torch.from_numpy(mask.of(name)).to(master.device) for name, master in masters.items()}

    def silence(self, gradients: Mapping[str, Tensor]) -> None:
        """Makes 0 what is not trained, in place. What is not finite there stays so, and is found."""
        for name, gradient in gradients.items():
            gradient.mul_(self._is_trained[name])

    @torch.no_grad()
    def decay(self, masters: Mapping[str, Tensor], share: float) -> None:
        """Takes AdamW's `share` (rate times decay) of what is trained, in place."""
        for name, master in masters.items():
            master.copy_(torch.where(self._is_trained[name], master * (1.0 - share), master))
