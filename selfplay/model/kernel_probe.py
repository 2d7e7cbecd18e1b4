"""Checks at start that a kernel made for GPUs gives what the padded one gives, before it is used.

The padded kernel is proved by selfplay/model/probe.py, in fp32. Kernels for GPUs have no fp32, so they are compared
where the numbers enter them: queries, keys and values of the model's own layers on a small tree, rounded to the served
precision, through the padded kernel in fp32 and through the other as it will run. Outputs and gradients must be as
near as rounding lets the padded kernel come in that precision. Windows are narrow, so that they bind.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from curriculum.error_lines import described
from roles.tree import Tree
from selfplay.model.attention.choices import AttentionChoice
from selfplay.model.attention.choosing import Kernels, takes
from selfplay.model.attention.flex import torch_flex
from selfplay.model.attention.interface import Pass
from selfplay.model.attention.plan import PathPlan, plan_paths
from selfplay.model.attention.varlen import torch_varlen
from selfplay.model.attention.windows import narrow_windows
from selfplay.model.policy import Policy
from selfplay.model.probe import BORDER, probe_tree, sharp

TOLERANCE = 0.02  # of |ours - truth| / |truth|, norms of whole tensors. A mask that is off by one token gives above 0.2
NO_WORSE = 3.0  # times the padded kernel's own error in the same precision may be more


@dataclass(frozen=True, slots=True)
class Found:
    """What may be used, and what there is to say about what was asked for and may not."""

    kernels: Kernels
    notes: tuple[str, ...] = ()


def offered(choice: AttentionChoice, policy: Policy) -> Found:
    """The kernels that `choice` allows and torch has for the policy's device and precision.

    `auto` says nothing of what is not there, and takes flex only beside varlen: alone it would compile for passes that
    the padded kernel does as well.
    """
    varlen, no_varlen = torch_varlen(policy.device, policy.dtype)
    flex, no_flex = torch_flex(policy.device)
    match choice:
        case "padded":
            return Found(Kernels())
        case "varlen":
            return Found(Kernels(varlen), () if varlen else (_unused("varlen", no_varlen),))
        case "flex":
            return Found(Kernels(flex=flex), () if flex else (_unused("flex", no_flex),))
        case "auto":
            return Found(Kernels(varlen, flex if varlen else None))


def proved(kernels: Kernels, policy: Policy) -> Found:
    """Those of `kernels` that compute what the padded one does on the policy's layers; the others, and why not."""
    notes = []
    for name in ("varlen", "flex"):
        call = getattr(kernels, name)
        if call is None:
            continue
        if (reason := _wrong(Kernels(**{name: call}), policy)) is not None:
            notes.append(_unused(name, reason))
            kernels = Kernels(**{other: getattr(kernels, other) for other in ("varlen", "flex") if other != name})
    return Found(kernels, tuple(notes))


def _unused(name: str, reason: str) -> str:
    return f"attention runs without {name}: {reason}"


def _wrong(kernels: Kernels, policy: Policy) -> str | None:
    """What is wrong with the only one of `kernels`, or None."""
    watch = _Comparison(kernels, policy.dtype)
    try:
        with sharp(policy), narrow_windows(policy.decoder, BORDER), torch.no_grad():
            _run(policy, watch)
    except Exception as error:  # a kernel may fail in its own way; the padded one is the answer to all
        return f"it does not run here ({described(error)})"
    if not watch.kinds:
        return "no layer of the model is of the kind that it computes"
    return watch.reason


def _run(policy: Policy, watch: "_Comparison") -> None:
    """One pass over a small tree, watched."""
    tree: Tree = probe_tree(policy)[0]
    plan = plan_paths(np.array(tree.parents), np.array(tree.depths), np.arange(len(tree)), policy.device)
    ids, positions = (torch.tensor([*of]).to(policy.device) for of in (tree.tokens, tree.depths))
    with policy.on_paths(Pass(plan, watch=watch)):
        policy.tree_hidden(ids, positions)


@dataclass(slots=True)
class _Comparison:
    """Compares `kernels` with the padded one on the first layer of each kind. `reason`: the first that was wrong."""

    kernels: Kernels
    dtype: torch.dtype
    reason: str | None = None
    kinds: set[tuple[object, ...]] = field(default_factory=set)

    def __call__(
        self, query: Tensor, key: Tensor, value: Tensor, plan: PathPlan, window: int | None, scale: float,
        softcap: float | None, sinks: Tensor | None,
    ) -> None:  # fmt: skip
        kind = (query.shape[1:], key.shape[1:], window, scale)
        if not takes(query, value, softcap, sinks) or kind in self.kinds or self.reason is not None:
            return
        self.kinds.add(kind)
        rounded = [x.to(self.dtype) for x in (query, key, value)]
        truth = _with_gradients(Kernels(), [x.float() for x in rounded], plan, window, scale)
        padded, ours = (_with_gradients(each, rounded, plan, window, scale) for each in (Kernels(), self.kernels))
        for name, mine, usual, exact in zip(("output", "query", "key", "value"), ours, padded, truth, strict=True):
            apart, allowed = _error(mine, exact), max(TOLERANCE, NO_WORSE * _error(usual, exact))
            if not apart <= allowed:  # so for NaN
                what = "its output" if name == "output" else f"its gradient by the {name}"
                self.reason = f"{what} is off by {apart:.1e}, above {allowed:.1e}"
                return


def _with_gradients(
    kernels: Kernels, inputs: Sequence[Tensor], plan: PathPlan, window: int | None, scale: float
) -> list[Tensor]:
    """The output, and the gradients of a weighted sum of it by query, key and value."""
    with torch.enable_grad():
        leaves = [x.detach().requires_grad_() for x in inputs]
        query, key, value = leaves
        out = kernels.attend(query, key, value, plan, window, scale, None, None)
        weights = torch.linspace(-1.0, 1.5, out.numel(), device=out.device).cos().view_as(out)
        return [out.detach(), *torch.autograd.grad(out, leaves, weights.to(out.dtype))]


def _error(ours: Tensor, truth: Tensor) -> float:
    return ((ours.float() - truth.float()).norm() / truth.float().norm()).item()
