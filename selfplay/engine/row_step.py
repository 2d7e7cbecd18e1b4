"""One step of decoding in fixed shapes: a token for each row, drawn and tested for its end where the model runs.

All that a step reads and writes is in tensors that stay where they are (`StepState`), nothing of it is read back, and
no operation's shape depends on numbers. So the same lines run a step on a CPU, and can be captured once as a CUDA graph
and run again for every token (graphs.py). Random numbers are those of the samples' keys, made beforehand.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from selfplay.engine.sampling import Speaker, picked, tempered
from selfplay.model.attention.fixed_rows import FixedRows
from selfplay.model.policy import Policy
from selfplay.prompting.codec import stop_tokens

MOST_STOPS = 63  # sets of stop strings in one call: bits of a number


@dataclass(frozen=True, slots=True)
class StepState:
    """What a step works on, for up to M rows; a step of R rows works on the first R of each."""

    ids: Tensor  # [M] int64: the last token of each row, which is run now
    positions: Tensor  # [M] int64: its depth
    lengths: Tensor  # [M] int64: keys of the row so far, behind the shared ones
    live: Tensor  # [M] int64: 1 while the row goes on, else 0: what it says is then nobody's
    left: Tensor  # [M] int64: tokens that it may still say
    randoms: Tensor  # [M] float64 in [0, 1): the random number of this token
    forced: Tensor  # [M] int64: the token to be said in place of a drawn one; -1: none
    stop_set: Tensor  # [M] int64: which bit of `stops` the row looks at
    stops: Tensor  # [V] int64: bit k of token v: whether v ends a completion of the k-th set of stop strings
    said: Tensor  # [M, 3] float64: what came out: token, log-probability, and 1 where the row goes on

    @classmethod
    def empty(cls, rows: int, vocabulary: int, device: torch.device) -> "StepState":
        def zeros(*shape: int, dtype: torch.dtype = torch.int64) -> Tensor:
            return torch.zeros(shape, dtype=dtype, device=device)

        wide = torch.float64
        return cls(
            ids=zeros(rows), positions=zeros(rows), lengths=zeros(rows), live=zeros(rows), left=zeros(rows),
            randoms=zeros(rows, dtype=wide), forced=zeros(rows), stop_set=zeros(rows), stops=zeros(vocabulary),
            said=zeros(rows, 3, dtype=wide),
        )  # fmt: skip

    def copies(self) -> list[Tensor]:
        """The tensors that a step changes, as they are now."""
        return [each.clone() for each in self._changed()]

    def restore(self, copies: Sequence[Tensor]) -> None:
        for each, copy in zip(self._changed(), copies, strict=True):
            each.copy_(copy)

    def keep(self, rows: Tensor, count: int) -> None:
        """The given rows [R'] become the first ones; those behind them, of the first `count`, are dead."""
        for each in (self.ids, self.positions, self.lengths, self.live, self.left, self.stop_set):
            each[: len(rows)] = each.index_select(0, rows)
        self.live[len(rows) : count] = 0
        self.lengths[len(rows) : count] = 0
        self.positions[len(rows) : count] = 0

    def _changed(self) -> tuple[Tensor, ...]:
        return self.ids, self.positions, self.lengths, self.live, self.left, self.said


@torch.no_grad()
def step(policy: Policy, state: StepState, rows: FixedRows, temperature: float) -> None:
    """Runs the last token of each of the R rows, chooses one more, and leaves the state as the next step wants it.

    A row that has ended stays where it is: its position, which a model may have no more of, and its length.
    """
    count = len(rows.lengths)
    first = slice(0, count)
    hidden = policy.rows_hidden(state.ids[first], state.positions[first], rows)
    scaled = tempered(policy.head.logits(hidden), temperature)
    drawn, logprobs = picked(scaled, scaled.softmax(-1), temperature, state.randoms[first, None])
    tokens = torch.where(state.forced[first] >= 0, state.forced[first], drawn[:, 0])
    live, left = state.live[first], state.left[first]
    state.lengths[first].add_(live)
    left.sub_(live)
    is_stop = (state.stops.index_select(0, tokens) >> state.stop_set[first]) & 1
    live.mul_((left > 0) * (1 - is_stop))
    state.ids[first].copy_(tokens)
    state.positions[first].add_(live)
    state.said[first].copy_(torch.stack([tokens.double(), logprobs[:, 0].double(), live.double()], 1))


def stop_table(tokenizer: Any, speakers: Sequence[Speaker], vocabulary: int) -> tuple[Tensor, list[int]]:
    """`StepState.stops`, and `stop_set` of each speaker. At most MOST_STOPS sets."""
    sets = list(dict.fromkeys(speaker.draw.params.stop for speaker in speakers))
    table = torch.zeros(vocabulary, dtype=torch.int64)
    for bit, stop in enumerate(sets):
        ids = torch.tensor([token for token in stop_tokens(tokenizer, stop) if token < vocabulary], dtype=torch.int64)
        table[ids] |= 1 << bit
    return table, [sets.index(speaker.draw.params.stop) for speaker in speakers]
