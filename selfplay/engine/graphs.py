"""How a step of fixed shapes is run: as it is, or captured once for each shape as a CUDA graph and run again.

A graph is a list of kernels with their addresses: running it costs one launch, where the same operations cost Python a
launch each. It holds for as long as everything that it reads stays where it is.
"""

from collections.abc import Callable, Hashable
from typing import Protocol

import torch

from curriculum.error_lines import described
from selfplay.engine.row_step import StepState
from selfplay.model.policy import Policy

WARM_UPS = 2  # runs before a capture: libraries choose their kernels and take their memory then
TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 5e-2}  # nats between a captured step and the same step run as it is
MOST_GRAPHS = 64  # shapes that are kept

Step = Callable[[], None]


class CaptureError(Exception):
    """A step cannot be run as a graph, in a few words."""


class Runner(Protocol):
    """Runs the step of one shape, which `key` names."""

    def run(self, key: Hashable, step: Step, state: StepState) -> None: ...

    def forget(self) -> None:
        """Addresses have changed."""
        ...


class Eager:
    """Runs each step as it is: on a CPU."""

    def run(self, key: Hashable, step: Step, state: StepState) -> None:
        """One token more."""
        step()

    def forget(self) -> None:
        """Nothing is kept."""


class Graphs:
    """Runs steps as CUDA graphs, which share one pool of memory.

    Each one is compared, when it is captured, with the same step run as it is. Raises CaptureError for a step that
    cannot be captured or comes out otherwise: its state is then what it was before.
    """

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._graphs: dict[Hashable, torch.cuda.CUDAGraph] = {}
        self._weights: tuple[int, ...] = ()

    def run(self, key: Hashable, step: Step, state: StepState) -> None:
        """One token more."""
        if (weights := self._addresses()) != self._weights:  # an update writes into the same memory
            self.forget()
            self._weights = weights
        if key not in self._graphs:
            if len(self._graphs) == MOST_GRAPHS:
                self._graphs.pop(next(iter(self._graphs)))
            self._graphs[key] = self._captured(step, state)
        else:
            self._graphs[key].replay()

    def forget(self) -> None:
        """Lets go of all graphs and their memory."""
        self._graphs.clear()

    def _captured(self, step: Step, state: StepState) -> torch.cuda.CUDAGraph:
        """A graph of the step, which has then been run once."""
        before = state.copies()
        try:
            beside = torch.cuda.Stream()
            beside.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(beside):
                for _ in range(WARM_UPS):
                    state.restore(before)
                    step()
            torch.cuda.current_stream().wait_stream(beside)
            expected = state.said.clone()
            state.restore(before)
            pool = next(iter(self._graphs.values())).pool() if self._graphs else None
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, pool=pool):
                step()
            graph.replay()
        except Exception as error:  # whatever a model's code does that a graph cannot
            state.restore(before)
            raise CaptureError(f"its step cannot be captured ({described(error)})") from error
        apart = said_apart(state.said, expected, before[-1])
        if not apart <= TOLERANCE.get(self._policy.dtype, TOLERANCE[torch.bfloat16]):
            state.restore(before)
            raise CaptureError(f"a captured step's log-probabilities are off by {apart:.1e} nats")
        return graph

    def _addresses(self) -> tuple[int, ...]:
        return tuple(parameter.data_ptr() for parameter in self._policy.model.parameters())


def said_apart(found: torch.Tensor, expected: torch.Tensor, before: torch.Tensor) -> float:
    """The largest difference of log-probabilities in `found` and `expected` [M, 3], which are `StepState.said`, among
    rows that a step has written, with other numbers than `before`; NaN if one is NaN."""
    written = (expected != before).any(-1)
    apart: float = (found[written, 1] - expected[written, 1]).abs().max().item() if written.any() else 0.0
    return apart
