"""Samples with vLLM, in a worker beside this process; completions grow the same token tree as in every engine.

    load      the weights of a version (transfer.py, device_transfer.py), then the sync proof (proof.py)
    sample    one request a completion: the ids of a root path, a seed of its own; ids and log-probabilities come back

vLLM's cached keys are those of one version: its prefix cache is emptied with each load, and requests are salted with
the version. A worker that crashes or hangs is started anew, given the current weights, and asked the same again. The
tree grows only by answers that came whole, so nothing is counted twice.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from torch import Tensor

from roles.requests import Sampled
from roles.support import Support
from roles.tree import Tree
from selfplay.engine.local import LocalSampler
from selfplay.engine.protocol import Draw, TokenCount
from selfplay.engine.sampling import Speaker, say_chosen, speakers, stream
from selfplay.engine.vllm.device_transfer import DeviceTransfer
from selfplay.engine.vllm.process import VARIABLE
from selfplay.engine.vllm.proof import BLOCK, Gap, SyncProof, num_cached
from selfplay.engine.vllm.transfer import ModelSettings, WeightTransfer
from selfplay.engine.vllm.wire import LOGPROBS, packed, unpacked
from selfplay.engine.vllm.worker import Worker, WorkerFailed, WorkerLost
from selfplay.machine.errors import EngineError, NonFiniteError, SyncError
from selfplay.model.policy import Policy
from selfplay.prompting.codec import stop_tokens
from store.records import Completion

Answer = TypeVar("Answer")

_SEED_BITS = 63  # of vLLM's seeds
_NO_VLLM = "No module named 'vllm'"  # as Python says it


@dataclass(frozen=True, slots=True)
class VllmSettings:
    """`context`: tokens of the longest one, None: the model's. `max_gap`: mean difference of log-probabilities, in
    nats, above which the sync proof fails. `restarts`: of the worker, for one question."""

    dtype: str  # bfloat16 or float32
    context: int | None
    kv_cache_bytes: int
    max_gap: float
    restarts: int


@dataclass(frozen=True, slots=True)
class Said:
    """A completion as the worker gives it. `supports`: of each token, the ids it was drawn from; empty where that is
    the whole vocabulary."""

    ids: np.ndarray
    logprobs: np.ndarray
    supports: Sequence[np.ndarray]


class VllmSampler:
    """`policy` is the one that is trained. `local` samples from it in this process: it reads hidden states, and finds
    anew what scripted tokens were drawn from. `hire` gives a worker that has no model yet, or raises WorkerLost.
    `device`: how weights travel to it, None: in files."""

    def __init__(
        self,
        policy: Policy,
        local: LocalSampler,
        seed: int,
        settings: VllmSettings,
        hire: Callable[[], Worker],
        say: Callable[[str], None],
        device: DeviceTransfer | None = None,
    ) -> None:
        self._policy = policy
        self._local = local
        self._seed = seed
        self._settings = settings
        self._hire = hire
        self._say = say
        self._worker: Worker | None = None
        self._proof = SyncProof(policy, local, settings.context, settings.max_gap, say)
        model = ModelSettings(settings.dtype, settings.context, settings.kv_cache_bytes, BLOCK)
        self._transfer = WeightTransfer(policy, model, device)

    @property
    def worker_pid(self) -> int | None:
        """The worker's process, where there is one."""
        return None if self._worker is None else self._worker.pid

    def sample(
        self,
        tree: Tree,
        draws: Sequence[Draw],
        script: Sequence[Completion] | None = None,
        count: TokenCount | None = None,
    ) -> list[list[Sampled]]:
        """See `Sampler.sample`. A script is not run, only said: nothing that is sampled later depends on it."""
        if script is not None and any(draw.params.is_truncated for draw in draws):
            return self._local.sample(tree, draws, script, count)
        groups = speakers(self._policy.tokenizer, self._seed, self._policy.version, draws, script)
        count = count or TokenCount()
        live = [speaker for group in groups for speaker in group]
        said = {} if script is not None or not live else self._said(tree, live, count)
        while live:
            for speaker in live:
                if said:
                    self._choose(speaker, said[id(speaker)])
            live = say_chosen(tree, live)
        for group in groups:
            for speaker in group:
                count.flat += tree.depths[speaker.node] + 1
        return [[speaker.sampled(self._policy.version) for speaker in group] for group in groups]

    def hidden(self, tree: Tree, nodes: Sequence[int], count: TokenCount | None = None) -> Tensor:
        """See `LocalSampler.hidden`."""
        return self._local.hidden(tree, nodes, count)

    def end_sampling(self) -> None:
        """What this process holds. The worker keeps its weights and its cache of keys and values."""
        self._local.end_sampling()

    def load(self, version: int) -> None:
        """The worker takes the policy's weights, and proves that it has. Raises SyncError, EngineError."""
        self._local.load(version)
        is_running = self._worker is not None
        self._with_worker(lambda worker: self._take_weights(worker) if is_running else None)

    def close(self) -> None:
        """Ends the worker."""
        worker, self._worker = self._worker, None
        if worker is not None:
            self._transfer.close()
            worker.end()

    def measure_gap(self) -> Gap:
        """How far the worker's log-probabilities of the probe are from the policy's."""
        return self._with_worker(self._proof.gap)

    def _with_worker(self, work: Callable[[Worker], Answer]) -> Answer:
        """What `work` returns. A lost worker is started anew, with the current weights, and `work` done again."""
        for restart in range(self._settings.restarts + 1):
            try:
                return work(self._running())
            except WorkerLost as lost:
                self._drop()
                if restart == self._settings.restarts:
                    raise EngineError(
                        f"the vLLM worker was lost {_times(restart + 1)} at one question ({lost}): nothing that was "
                        "committed is lost; resume, or use engine.kind=local"
                    ) from lost
                self._say(f"the vLLM worker is lost ({lost}): it is started anew and asked the same again")
        raise AssertionError("the loop returns or raises")

    def _running(self) -> Worker:
        if self._worker is None:
            self._worker = self._hire()
            self._start(self._worker)
        return self._worker

    def _start(self, worker: Worker) -> None:
        """The model in a worker that has none yet, with the current weights."""
        try:
            self._transfer.start(worker)
            self._prove(worker, is_new=True)
            if self._transfer.is_by_device:  # tried at once, not when a long first step is played
                self._take_weights(worker)
        except WorkerFailed as failed:  # some models load, and fail with the first tokens; they would again
            self._drop()
            raise _not_run(failed) from failed

    def _take_weights(self, worker: Worker) -> None:
        self._proof.before(worker)
        self._transfer.update(worker)
        self._prove(worker, is_new=False)

    def _prove(self, worker: Worker, is_new: bool) -> None:
        """Raises SyncError, after which there is no worker."""
        if fault := self._proof.fault(worker, is_new):
            self._drop()
            raise SyncError(f"sync proof, policy version {self._policy.version}: {fault}")

    def _drop(self) -> None:
        worker, self._worker = self._worker, None
        if worker is not None:
            self._transfer.close()
            worker.kill()

    def _said(self, tree: Tree, live: Sequence[Speaker], count: TokenCount) -> dict[int, Said]:
        """What the worker says for each speaker, by the speaker's id()."""
        paths = {node: [tree.tokens[n] for n in tree.path(node)] for node in {speaker.draw.node for speaker in live}}
        # what begins alike is asked for one after another, so that the first leaves its keys for the others
        ordered = sorted(live, key=lambda speaker: paths[speaker.draw.node])
        rows = [paths[speaker.draw.node] for speaker in ordered]
        answers, cached = self._with_worker(lambda worker: self._generated(worker, ordered, rows))
        count.computed += sum(len(row) for row in rows) - cached + sum(len(said.ids) - 1 for said in answers)
        return {id(speaker): said for speaker, said in zip(ordered, answers, strict=True)}

    def _generated(
        self, worker: Worker, live: Sequence[Speaker], rows: Sequence[Sequence[int]]
    ) -> tuple[list[Said], int]:
        """Completions behind `rows`, and how many of their tokens vLLM had in its cache."""
        params, version = live[0].draw.params, self._policy.version
        stops = sorted({speaker.draw.params.stop for speaker in live})
        fields = {
            "temperature": params.temperature, "top_k": params.top_k, "top_p": params.top_p, "min_p": params.min_p,
        }  # fmt: skip
        answer, arrays = worker.ask(
            "generate",
            packed(rows),
            params=fields,
            supports=params.is_truncated,
            # a stop that spans tokens is unknown to vLLM: it says on, and what is behind the stop is not taken
            stops=[sorted(stop_tokens(self._policy.tokenizer, stop)) for stop in stops],
            stop_of=[stops.index(speaker.draw.params.stop) for speaker in live],
            salt=str(version),
            seeds=[stream(self._seed, speaker.key, version) >> (128 - _SEED_BITS) for speaker in live],
            max_tokens=[speaker.draw.params.max_tokens for speaker in live],
        )
        self._check_adapter(answer)
        try:
            return list(_completions(arrays, params.is_truncated, len(live))), num_cached(answer)
        except (ValueError, IndexError) as error:
            raise WorkerLost(f"its answer cannot be read: {error}") from error

    def _check_adapter(self, answer: Mapping[str, Any]) -> None:
        """Raises SyncError where something was not sampled with the adapters that were delivered last."""
        if answer.get("adapters") != [self._transfer.adapter]:
            self._drop()
            raise SyncError(
                f"policy version {self._policy.version}: vLLM sampled with the adapters {answer.get('adapters')}, not "
                f"with {self._transfer.adapter or 'none'} alone"
            )

    def _choose(self, speaker: Speaker, said: Said) -> None:
        """The next token of a speaker is the next that the worker said."""
        at = len(speaker.ids)
        token, logprob = int(said.ids[at]), float(said.logprobs[at])
        if not np.isfinite(logprob):
            raise NonFiniteError("the sampler's logits are not finite: the weights ran away, or were so to begin with")
        speaker.chosen = (token, min(logprob, 0.0))
        vocabulary = self._policy.head.weight.shape[0]
        is_truncated = bool(said.supports) and len(said.supports[at]) < vocabulary
        speaker.support = Support.of(said.supports[at], vocabulary) if is_truncated else None


def _times(number: int) -> str:
    return "once" if number == 1 else f"{number} times"


def _not_run(failed: WorkerFailed) -> EngineError:
    if _NO_VLLM in str(failed):
        return EngineError(
            "engine.kind=vllm: the worker's Python has no vLLM: make its environment with `uv sync --project "
            f"engines/vllm`, or name another Python in {VARIABLE}"
        )
    return EngineError(
        f"vLLM does not run this model ({failed}): engine.context and engine.kv_cache_mib bound what it needs; or use "
        "engine.kind=local"
    )


def _completions(arrays: Sequence[bytes], has_supports: bool, wanted: int) -> Iterator[Said]:
    """ValueError where they are not `wanted` whole completions."""
    ids, logprobs = unpacked(arrays[0], arrays[1]), unpacked(arrays[0], arrays[2], LOGPROBS)
    supports = unpacked(arrays[3], arrays[4]) if has_supports else []
    if len(ids) != wanted or (has_supports and len(supports) != sum(map(len, ids))):
        raise ValueError(f"{len(ids)} completions of {wanted}")
    at = 0
    for each, drawn in zip(ids, logprobs, strict=True):
        yield Said(each, drawn, supports[at : at + len(each)])
        at += len(each)
