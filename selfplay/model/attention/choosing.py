"""Which kernel computes a layer's attention: the padded one, which does everything, or one that is made for GPUs.

    padded   kernel.py   buckets of padded rows; every device, precision and kind of layer
    varlen   varlen.py   one call without padding, over gathered copies of the root paths
    flex     flex.py     no copies, a mask of blocks; in training passes alone

Which of the others a policy may use is found out at start (selfplay/model/kernel_probe.py).
"""

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from selfplay.model.attention.flex import FlexCall, Intervals, flex_tree_attention
from selfplay.model.attention.kernel import tree_attention
from selfplay.model.attention.plan import PathPlan
from selfplay.model.attention.varlen import WIDEST, WIDTHS_BY, VarlenCall, varlen_attention

MOST_COPIES = 16.0  # of a node's keys, above which a pass goes without copies. Not measured: nobody had a GPU yet


@dataclass(frozen=True, slots=True)
class Kernels:
    """The kernels that may be used beside the padded one; None: not that one."""

    varlen: VarlenCall | None = None
    flex: FlexCall | None = None

    def attend(
        self, query: Tensor, key: Tensor, value: Tensor, plan: PathPlan, window: int | None, scale: float,
        softcap: float | None, sinks: Tensor | None,
    ) -> Tensor:  # fmt: skip
        """[N, H, E] attention of query [N, H, D] over key [M, Hkv, D] and value [M, Hkv, E], by the plan."""
        if not takes(query, value, softcap, sinks):
            return tree_attention(query, key, value, plan, window, scale, softcap, sinks)
        if self.flex is not None and _is_whole(plan, key) and (self.varlen is None or plan.chains.copies > MOST_COPIES):
            intervals = plan.once("intervals", lambda: Intervals.of(plan.chains, query.device))
            blocks = plan.once(("blocks", window), lambda: intervals.blocks(window))
            return flex_tree_attention(query, key, value, blocks, scale, self.flex)
        if self.varlen is not None:
            return varlen_attention(query, key, value, plan.root_paths(), window, scale, self.varlen)
        return tree_attention(query, key, value, plan, window, scale, softcap, sinks)


def takes(query: Tensor, value: Tensor, softcap: float | None, sinks: Tensor | None) -> bool:
    """Whether a layer is of the kind that the kernels for GPUs compute."""
    width = query.shape[-1]
    return (
        softcap is None and sinks is None and value.shape[-1] == width
        and width % WIDTHS_BY == 0 and width <= WIDEST
    )  # fmt: skip


def _is_whole(plan: PathPlan, key: Tensor) -> bool:
    """Whether the pass's tokens are all the keys that there are, in their order. A sampler's pass reads others too."""
    queries = plan.chains.queries
    return len(queries) == len(key) and plan.once("whole", lambda: bool((queries == np.arange(len(key))).all()))
