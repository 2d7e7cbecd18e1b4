"""From logits to tokens: keyed random numbers, inverse-CDF draws, where a completion ends. Shared by all engines."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import repeat
from typing import Any

import numpy as np
import torch
from torch import Tensor

from roles.requests import Sampled
from roles.support import Support
from roles.tree import Tree
from selfplay.engine.protocol import Draw
from selfplay.engine.truncation import drawable
from selfplay.machine.errors import NonFiniteError
from selfplay.prompting.codec import ends, stop_tokens, text_of
from store.records import Completion, Finish

BLOCK = 256  # tokens of a large vocabulary that are summed together
FEW_TOKENS = 2048  # a vocabulary that is summed as it is


def uniforms(seed: int, key: Sequence[str | int], version: int, count: int) -> np.ndarray:
    """[count] float64 in [0, 1): the random stream of one sample, a pure function of its key."""
    return np.random.Generator(np.random.Philox(key=stream(seed, key, version))).random(count)


def stream(seed: int, key: Sequence[str | int], version: int) -> int:
    """128 bits that name one sample's random stream, whichever generator draws it."""
    return int.from_bytes(hashlib.sha256(repr((seed, *key, version)).encode()).digest()[:16], "little")


@dataclass(slots=True)
class Speaker:
    """One sample while it is drawn, token by token. With a `script` it repeats a completion that was committed before a
    crash."""

    draw: Draw
    randoms: np.ndarray  # [max_tokens] float64, one for each token
    tokenizer: Any
    node: int  # of the last token so far
    script: Completion | None = None
    key: tuple[str | int, ...] = ()  # of its random stream: the draw's, and which of its samples this is
    chosen: tuple[int, float] = (0, 0.0)  # the next token and its log-probability
    support: Support | None = None  # what it is drawn from, where that is not the whole vocabulary
    ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    finish: Finish | None = None

    def say(self, tree: Tree) -> None:
        """Appends the chosen (or scripted) token here and in the tree, and finds out whether it ends the completion."""
        if self.script is not None:
            at = len(self.ids)
            self.chosen = (self.script.ids[at], self.script.logprobs[at])
        token, logprob = self.chosen
        self.ids.append(token)
        self.logprobs.append(logprob)
        self.node = tree.sampled(self.node, (token,), (logprob,), self.draw.label, (self.support,))
        if ends(self.tokenizer, self.ids, self.draw.params.stop):
            self.finish = Finish.STOP
        elif len(self.ids) == self.draw.params.max_tokens:
            self.finish = Finish.LENGTH

    def sampled(self, version: int) -> Sampled:
        """The finished completion, said whole by the policy of `version`."""
        assert self.finish is not None
        text = text_of(self.tokenizer, self.ids, stop_tokens(self.tokenizer, self.draw.params.stop))
        completion = Completion(tuple(self.ids), tuple(self.logprobs), text, self.finish, version, version)
        return Sampled(self.node, completion)


def speakers(
    tokenizer: Any, seed: int, version: int, draws: Sequence[Draw], script: Sequence[Completion] | None
) -> list[list[Speaker]]:
    """One speaker for every sample of every draw; `script`, if given, has one completion for each, in order.

    Raises ValueError for draws from several kinds of distribution: logits are tempered and truncated alike for all
    rows.
    """
    if len({draw.params.distribution for draw in draws}) > 1:
        raise ValueError("one engine call samples at one temperature, top_k, top_p and min_p; split the draws")
    repeated = iter(script) if script is not None else repeat(None)
    return [
        [
            Speaker(
                draw=draw,
                key=(*draw.key, i),
                randoms=uniforms(seed, (*draw.key, i), version, draw.params.max_tokens),
                tokenizer=tokenizer,
                node=draw.node,
                script=next(repeated),
            )
            for i in range(draw.n)
        ]
        for draw in draws
    ]


def choose(logits: Tensor, groups: Sequence[Sequence[Speaker]]) -> None:
    """Choose the next token of every speaker of group i from logits[i]; logits [M, V] fp32, one row a group.

    All speakers of a call have one temperature, where 0 is greedy, and one truncation. The log-probability is that of
    the distribution drawn from (tempered, truncated, renormalised), or of temperature 1 when greedy.
    """
    params = groups[0][0].draw.params
    scaled = tempered(logits, params.temperature)
    width = max(map(len, groups))
    probabilities = scaled.softmax(-1)
    if params.is_truncated:
        is_left = drawable(probabilities, params)
        _note_supports(is_left, groups)
        probabilities = scaled.masked_fill(~is_left, -torch.inf).softmax(-1)
    randoms = torch.zeros(len(groups), width, dtype=torch.float64)
    for row, group in zip(randoms, groups, strict=True):
        row[: len(group)] = torch.tensor([s.randoms[len(s.ids)] for s in group], dtype=torch.float64)
    chosen, drawn = picked(scaled, probabilities, params.temperature, randoms.to(logits.device))
    if not drawn.isfinite().all():
        raise NonFiniteError("the model's logits are not finite: its weights ran away, or were so to begin with")
    values = drawn.tolist()
    for group, tokens, row in zip(groups, chosen.tolist(), values, strict=True):
        for speaker, token, logprob in zip(group, tokens, row, strict=False):
            speaker.chosen = (token, min(logprob, 0.0))


def tempered(logits: Tensor, temperature: float) -> Tensor:
    """[M, V] logits of what is drawn from; at temperature 0, of what a greedy choice's log-probability is read off."""
    return logits if temperature in (0.0, 1.0) else logits / temperature


def picked(scaled: Tensor, probabilities: Tensor, temperature: float, randoms: Tensor) -> tuple[Tensor, Tensor]:
    """[M, n] tokens by randoms [M, n] float64 in [0, 1), and their log-probabilities [M, n] fp32.

    They are drawn from probabilities [M, V], or are the likeliest of the logits `scaled` [M, V] at temperature 0. Reads
    nothing back.
    """
    if temperature == 0.0:
        chosen = scaled.argmax(-1)[:, None].expand(-1, randoms.shape[1])
    else:
        chosen = drawn_tokens(probabilities, randoms)
    return chosen, probabilities.gather(1, chosen).log()


def _note_supports(is_left: Tensor, groups: Sequence[Sequence[Speaker]]) -> None:
    """Tells the speakers of group i which tokens of the vocabulary is_left [M, V] they draw from.

    A scripted token is always among them. Run again on the same machine it is so anyway; on another one, rounding may
    have put it just below the border.
    """
    vocabulary = is_left.shape[1]
    for left, group in zip(is_left.cpu().numpy(), groups, strict=True):
        scripted = [speaker.script.ids[len(speaker.ids)] for speaker in group if speaker.script is not None]
        row = left.copy()  # on a CPU it is the tensor's own memory
        row[scripted] = True
        support = None if row.all() else Support.of(np.flatnonzero(row), vocabulary)
        for speaker in group:
            speaker.support = support


def drawn_tokens(probabilities: Tensor, randoms: Tensor) -> Tensor:
    """[M, n] tokens drawn from probabilities [M, V] fp32 by randoms [M, n] float64 in [0, 1).

    Sums are float64: an fp32 one near 1 takes in nothing below 6e-8, and most of a large vocabulary is less than that.
    Running sums of all of it take four times as long as the softmax, so a block of tokens is drawn first, then a token.
    """
    size = probabilities.shape[1]
    if size <= FEW_TOKENS:
        cumulated = probabilities.cumsum(-1, dtype=torch.float64)
        return _first_above(cumulated, randoms * cumulated[:, -1:])
    whole = size // BLOCK * BLOCK
    sums = probabilities[:, :whole].unflatten(1, (-1, BLOCK)).sum(-1, dtype=torch.float64)
    if whole < size:
        sums = torch.cat([sums, probabilities[:, whole:].sum(-1, keepdim=True, dtype=torch.float64)], 1)
    cumulated = sums.cumsum(-1)
    wanted = randoms * cumulated[:, -1:]
    block = _first_above(cumulated, wanted)
    share = (wanted - (cumulated - sums).gather(1, block)) / sums.gather(1, block)  # of the block, below what is wanted
    tokens = block[..., None] * BLOCK + torch.arange(BLOCK, device=block.device)
    inside = probabilities.gather(1, tokens.clamp(max=size - 1).flatten(1)).view(tokens.shape).double()
    within = inside.masked_fill_(tokens >= size, 0.0).cumsum(-1)
    return block * BLOCK + _first_above(within, share[..., None] * within[..., -1:])[..., 0]


def _first_above(cumulated: Tensor, wanted: Tensor) -> Tensor:
    """The first place whose sum is above `wanted`, which is kept within the whole: what is drawn then has a probability
    above 0."""
    whole = cumulated[..., -1:]
    wanted = torch.minimum(wanted.clamp(min=0.0), whole.nextafter(torch.zeros_like(whole)))
    return torch.searchsorted(cumulated, wanted, right=True).clamp_(max=cumulated.shape[-1] - 1)


def say_chosen(tree: Tree, live: Sequence[Speaker]) -> list[Speaker]:
    """Every live speaker says its chosen token, in order, so that the tree grows alike in every engine.

    Returns those that have more to say.
    """
    for speaker in live:
        speaker.say(tree)
    return [speaker for speaker in live if speaker.finish is None]
