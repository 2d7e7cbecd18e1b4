"""The sync proof: whether the worker, after every load, computes with the trainer's weights and as the trainer does.

Weights that did not arrive make no error: a tied head that keeps its old matrix, a layer that was left out or keys of
older weights sample on, and the run learns from what another policy said. Three things are asked, in this order:

    digests      of the weights that vLLM multiplies with (digests.py): exact, of an update however small
    keys         of a prompt that the older weights had read: none may be cached any more
    odds         the log-probabilities of a few rows, on both sides: whether they compute the same from their weights

The rows are what the policy says. Of random tokens, which it finds most unlikely, rounding to bfloat16 alone moves a
log-probability by three times as much.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from roles.requests import SamplingParams
from roles.tree import ROOT, Tree
from selfplay.engine.local import LocalSampler
from selfplay.engine.protocol import Draw
from selfplay.engine.vllm.digests import chosen_columns, compared, digests, in_other_forms, weights_of
from selfplay.engine.vllm.wire import LOGPROBS, packed
from selfplay.engine.vllm.worker import Worker, WorkerLost
from selfplay.model.named_weights import adapter_weights
from selfplay.model.policy import Policy
from selfplay.prompting.codec import beginning

BLOCK = 32  # tokens of vLLM's cache that are kept together: on a CPU a multiple of 32
_BEGINNING = "1 + 2 = 3\n"
_SAMPLES = 4
_LENGTH = 28  # tokens of a sample
_GREEDY = {"temperature": 0.0, "top_k": 0, "top_p": 1.0, "min_p": 0.0}
_CHUNK = 64  # rows of logits that are made at a time


@dataclass(frozen=True, slots=True)
class Gap:
    """Absolute differences of log-probabilities, in nats, over the tokens of the probe; NaN where one is NaN."""

    mean: float
    most: float


class SyncProof:
    """`context`: tokens of the longest one that the worker takes, None: any. `max_gap`: mean difference of
    log-probabilities, in nats, above which they do not compute the same."""

    def __init__(
        self, policy: Policy, local: LocalSampler, context: int | None, max_gap: float, say: Callable[[str], None]
    ) -> None:
        self._policy = policy
        self._local = local
        self._context = context
        self._max_gap = max_gap
        self._say = say
        self._rows: list[list[int]] = []  # token ids, the same for all versions
        self._unproved: frozenset[str] = frozenset()  # weights whose digests do not tell anything
        self._version = 0  # that the worker has

    def before(self, worker: Worker) -> None:
        """Call it before weights are loaded over others: has the worker keep keys that it must not have afterwards."""
        self._num_cached(worker)

    def fault(self, worker: Worker, is_new: bool) -> str:
        """What is wrong with the weights that were loaded, "" where nothing is. `is_new`: vLLM has just started with
        them. Raises WorkerLost."""
        self._version = self._policy.version
        return (
            self._wrong_weights(worker, is_new)
            or ("" if is_new else self._wrong_keys(worker))
            or self._wrong_odds(worker)
        )

    def gap(self, worker: Worker) -> Gap:
        """How far the worker's log-probabilities of the rows are from the policy's."""
        rows = self._probe_rows()
        _, arrays = worker.ask("logprobs", packed(rows))
        try:
            return gap_of(np.frombuffer(arrays[0], LOGPROBS), trainer_logprobs(self._policy, rows))
        except (ValueError, IndexError) as error:
            raise WorkerLost(f"its answer cannot be read: {error}") from error

    def _wrong_weights(self, worker: Worker, is_new: bool) -> str:
        weights = weights_of(self._policy)
        columns = chosen_columns(weights, self._policy.version)
        trainer = digests(weights, columns)
        answer, _ = worker.ask("held", columns={str(width): each for width, each in columns.items()})
        found = compared(trainer, _digests(answer))
        if is_new:
            other = in_other_forms(trainer.keys(), found.differing)
            unproved = found.unread | other | (weights.keys() - trainer.keys())
            self._unproved = unproved - adapter_weights(self._policy).keys()  # those are held as they are sent
            self._say_unproved(len(weights))
        wrong = (found.differing | found.unread) - self._unproved
        if not wrong:
            return ""
        return (
            f"{len(wrong)} of the {len(trainer)} weights that vLLM computes with are not the trainer's "
            f"({min(wrong)}): they did not arrive as they are"
        )

    def _say_unproved(self, num_weights: int) -> None:
        if self._unproved:
            self._say(
                f"{len(self._unproved)} of {num_weights} weights cannot be compared with vLLM's one by one "
                f"({min(self._unproved)}): log-probabilities alone prove them"
            )

    def _wrong_keys(self, worker: Worker) -> str:
        cached = self._num_cached(worker)
        return f"vLLM's cache still has the keys of {cached} tokens by older weights" if cached else ""

    def _num_cached(self, worker: Worker) -> int:
        """Asks for a token behind a row of two blocks; how many of the row's tokens were in the worker's cache."""
        row = (self._probe_rows()[0] * (2 * BLOCK))[: 2 * BLOCK + 1]
        if self._context is not None:
            row = row[: self._context - 1]
        answer, _ = worker.ask(
            "generate", packed([row]), params=_GREEDY, supports=False, stops=[[]], stop_of=[0],
            salt=str(self._version), seeds=[0], max_tokens=[1],
        )  # fmt: skip
        return num_cached(answer)

    def _wrong_odds(self, worker: Worker) -> str:
        gap = self.gap(worker)
        if gap.mean <= self._max_gap:
            return ""
        return (
            f"log-probabilities of sampler and trainer are {gap.mean:.3g} nats apart in the mean (at most "
            f"{gap.most:.3g}), above engine.max_logprob_gap={self._max_gap:g}: they do not compute the same"
        )

    def _probe_rows(self) -> list[list[int]]:
        if not self._rows:
            self._rows = probe_rows(self._policy, self._local)
        return self._rows


def num_cached(answer: Mapping[str, Any]) -> int:
    """Tokens that a worker had in its cache, by its answer. Raises WorkerLost."""
    cached = answer.get("cached")
    if not isinstance(cached, int):
        raise WorkerLost("its answer cannot be read: it does not say how many tokens were cached")
    return cached


def _digests(answer: Mapping[str, Any]) -> Mapping[str, str]:
    found = answer.get("digests")
    if not isinstance(found, dict):
        raise WorkerLost("its answer cannot be read: it has no digests")
    return found


def probe_rows(policy: Policy, local: LocalSampler) -> list[list[int]]:
    """Token ids of what the policy says now, sampled in this process, by a stream of their own."""
    tree = Tree()
    start = tree.extend(ROOT, beginning(policy.tokenizer, _BEGINNING))
    params = SamplingParams(temperature=1.0, max_tokens=_LENGTH, stop=())
    [samples] = local.sample(tree, [Draw(start, _SAMPLES, params, ("sync proof",), "probe")])
    return [[tree.tokens[node] for node in tree.path(sample.node)] for sample in samples]


@torch.no_grad()
def trainer_logprobs(policy: Policy, rows: Sequence[Sequence[int]]) -> np.ndarray:
    """[M] float32: at temperature 1, of each row's tokens but the first, as the trainer's own module says them."""
    found = []
    for row in rows:
        ids = torch.tensor([row], device=policy.device)
        states = policy.plain_hidden(ids)[0, :-1]
        found.append(policy.head.logprobs(states, ids[0, 1:], None, _CHUNK).float().cpu().numpy())
    return np.concatenate(found)


def gap_of(sampler: np.ndarray, trainer: np.ndarray) -> Gap:
    """Of two arrays [M]. ValueError where they are of different lengths."""
    if sampler.shape != trainer.shape:
        raise ValueError(f"{len(sampler)} log-probabilities of {len(trainer)} tokens")
    apart = np.abs(sampler.astype(np.float64) - trainer)
    return Gap(float(apart.mean()), float(apart.max()))
