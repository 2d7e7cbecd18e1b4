"""Decoding in rows of fixed shapes: a row for each sample, draws and ends on the device, one reading back a token.

The tree engine runs each distinct context once and asks the host which those are after every token, which a CPU is best
off with. On a GPU the host is what decoding waits for: here the device goes on by itself (row_step.py), and the host
reads what was said while the next token is being made. Samples that say the same are run apart, and stand on one node
of the tree all the same.

Shapes come in few sizes (BUCKETS, CAPACITIES), so that few steps are captured (graphs.py). Rows that have ended are
left out as soon as the others fit a smaller size. Keys and values are in a pool of fixed size; samples that it has no
room for wait for those before them. Those of tokens that were run are copied to the tree's memory, where what follows
finds them.

The first call is preceded by a proof: a few completions are sampled in this way, and their log-probabilities compared
with those of the tree engine. Where they differ, or a step cannot be captured, the tree engine decodes on.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from roles.tree import ROOT, Tree
from selfplay.engine.graphs import CaptureError, Eager, Graphs, Runner
from selfplay.engine.protocol import Draw, TokenCount
from selfplay.engine.row_step import MOST_STOPS, StepState, step, stop_table
from selfplay.engine.sampling import Speaker, say_chosen, tempered
from selfplay.engine.tree_engine import TreeEngine
from selfplay.machine.errors import NonFiniteError
from selfplay.model.attention.fixed_rows import FixedRows, RowPool, key_bytes
from selfplay.model.attention.interface import KeyValues
from selfplay.model.attention.plan import common_prefix, path_matrix
from selfplay.model.policy import Policy

BUCKETS = (1, 2, 4, 8, 16, 24, 32, 48, 64, 96, 128, 192, 256)  # rows
SMALLEST, LARGE = 64, 512  # capacities double from the one to the other, and then grow by the other
SHARED_BY = 64  # shared keys come in multiples of it: what is left over is in each row
GAP = {torch.float32: 1e-3, torch.bfloat16: 0.1}  # mean nats between rows and tree in the proof
PROOF_PROMPTS, PROOF_TOKENS = 4, 16


def bucket_of(rows: int) -> int:
    """The smallest of BUCKETS that holds so many rows."""
    return next(size for size in BUCKETS if size >= rows)


def capacity_of(keys: int) -> int:
    """The smallest capacity of a row that holds so many keys."""
    if keys > LARGE:
        return -(-keys // LARGE) * LARGE
    capacity = SMALLEST
    while capacity < keys:
        capacity *= 2
    return capacity


class RowDecoding:
    """Decodes for a TreeEngine.

    `most_bytes`: of the pool. `ahead`: how many tokens the device may be ahead of the host. `say` is told once why rows
    are not used, where they are not.
    """

    def __init__(
        self, policy: Policy, most_bytes: int, say: Callable[[str], None], runner: Runner | None = None,
        ahead: int | None = None,
    ) -> None:  # fmt: skip
        is_cuda = policy.device.type == "cuda"
        self._policy, self._most_bytes, self._say = policy, most_bytes, say
        self._runner: Runner = runner or (Graphs(policy) if is_cuda else Eager())
        self._ahead = int(is_cuda) if ahead is None else ahead
        self._pool: RowPool | None = None
        self._num_keys = 0
        self._state: StepState | None = None
        self._waves = 0  # that came to their end
        self._is_proved, self._is_off = False, False
        self._told: set[str] = set()

    def run(
        self, tree: Tree, live: Sequence[Speaker], memory: KeyValues, cached: set[int], count: TokenCount
    ) -> list[Speaker]:
        """Has the `live` speakers, whose contexts but for their last token are in `memory`, say all that they have to
        say. Returns those that have to be decoded in another way. What was run is added to `cached` and `count`."""
        if self._is_off or not live or not self._takes(live):
            return list(live)
        if self._pool is None:
            self._num_keys = self._most_bytes // key_bytes(memory)
            self._pool = RowPool(memory, self._num_keys)
            self._state = StepState.empty(BUCKETS[-1], self._policy.head.weight.shape[0], self._policy.device)
            self._runner.forget()
        if not self._is_proved:
            self._prove(tree, live)
        left = deque(live)
        while left and not self._is_off:
            fitting = self._fitting(tree, list(left))
            if not fitting:
                self._tell("completions that have no room in engine.kv_cache_mib are decoded on the tree")
                break
            wave = [left.popleft() for _ in range(fitting)]
            try:
                _Wave(self, tree, wave, memory, cached, count).run()
                self._waves += 1
            except CaptureError as error:
                self._is_off = True
                self._tell(f"decoding in rows is off: {error}")
                left.extendleft(speaker for speaker in reversed(wave) if speaker.finish is None)
        return list(left)

    def _takes(self, live: Sequence[Speaker]) -> bool:
        if live[0].draw.params.is_truncated:
            self._tell(
                "roles with top_k, top_p or min_p are decoded on the tree, which keeps what was left of the tokens"
            )
            return False
        return len({speaker.draw.params.stop for speaker in live}) <= MOST_STOPS

    def _fitting(self, tree: Tree, live: Sequence[Speaker]) -> int:
        """How many of `live`, from the first on, are decoded at once."""
        for size in reversed(BUCKETS):
            some = live[:size]
            if len(some) > size // 2 or size == 1:
                longest = max(tree.depths[speaker.node] for speaker in some) + _most_left(some)
                if longest + bucket_of(len(some)) * capacity_of(longest) <= self._num_keys:
                    return len(some)
        return 0

    @torch.no_grad()
    def _prove(self, tree: Tree, live: Sequence[Speaker]) -> None:
        """Compares with the tree engine, on a tree of its own, what is said behind the first prompts of `live`."""
        self._is_proved = True  # before the engine below comes here again
        policy, probe = self._policy, Tree()
        params = live[0].draw.params
        params = replace(params, max_tokens=min(PROOF_TOKENS, params.max_tokens), stop=())
        nodes = list(dict.fromkeys(speaker.draw.node for speaker in live))[:PROOF_PROMPTS]
        prompts = [probe.extend(ROOT, [tree.tokens[n] for n in tree.path(node)]) for node in nodes]
        draws = [Draw(node, 2, params, ("proof", i), "proof") for i, node in enumerate(prompts)]
        said = [each for group in TreeEngine(policy, 0, self).sample(probe, draws) for each in group]
        if self._is_off:
            return
        decoded = sorted({node for each in said for node in probe.tail(each.node, len(each.completion.ids) - 1)})
        if not self._waves or not decoded:  # no room, or all ended with their first token: another call proves it
            self._is_proved = False
            return
        above = sorted({probe.parents[node] for node in decoded})
        logits = policy.head.logits(TreeEngine(policy, 0).hidden(probe, above))
        every = tempered(logits, params.temperature).log_softmax(-1)
        where = {node: row for row, node in enumerate(above)}
        truth = np.array([every[where[probe.parents[node]], probe.tokens[node]].item() for node in decoded])
        apart = np.abs(np.array([probe.logprobs[node] for node in decoded]) - truth).mean()
        if not apart <= GAP.get(policy.dtype, GAP[torch.bfloat16]):
            self._is_off = True
            self._tell(f"decoding in rows is off: its log-probabilities are {apart:.1e} nats from the tree's")

    def _tell(self, line: str) -> None:
        if line not in self._told:
            self._told.add(line)
            self._say(line)


def _most_left(speakers: Sequence[Speaker]) -> int:
    return max(speaker.draw.params.max_tokens - len(speaker.ids) for speaker in speakers)


@dataclass(slots=True)
class _Row:
    """A speaker's row: where its own keys begin and how many tokens it had said when the row was laid out."""

    speaker: Speaker
    length: int
    had_said: int


class _Wave:
    """Samples that are decoded together, until the last of them has ended."""

    def __init__(
        self, decoding: RowDecoding, tree: Tree, speakers: Sequence[Speaker], memory: KeyValues, cached: set[int],
        count: TokenCount,
    ) -> None:  # fmt: skip
        assert decoding._pool is not None and decoding._state is not None
        self._policy, self._runner, self._ahead = decoding._policy, decoding._runner, decoding._ahead
        self._pool, self._state = decoding._pool, decoding._state
        self._tree, self._memory, self._cached, self._count = tree, memory, cached, count
        self._temperature = speakers[0].draw.params.temperature
        self._rows, self._at = self._laid_out(speakers)
        self._randoms, self._forced = self._to_be_said(speakers)

    def run(self) -> None:
        """Until everybody has ended. Raises CaptureError, with everything that was said and run in its place."""
        waiting: deque[tuple[list[_Row], _Reading]] = deque()
        try:
            for token in range(self._randoms.shape[0]):
                if not self._goes_on():
                    break
                self._refit()
                self._launch(token)
                waiting.append((self._at, _Reading(self._state.said[: len(self._at)])))
                if len(waiting) > self._ahead:
                    self._read(*waiting.popleft())
            while waiting and self._goes_on():
                self._read(*waiting.popleft())
        except CaptureError:
            while waiting:
                self._read(*waiting.popleft())
            self._remember(self._at)
            raise
        self._remember(self._at)

    def _goes_on(self) -> bool:
        return any(row.speaker.finish is None for row in self._at)

    def _laid_out(self, speakers: Sequence[Speaker]) -> tuple[FixedRows, list[_Row]]:
        """A row for each speaker with the keys of its context but for the last token, and the state to begin with."""
        tree, state, device = self._tree, self._state, self._policy.device
        ends = np.array([tree.parents[speaker.node] for speaker in speakers])
        parents, depths = np.array(tree.parents), np.array(tree.depths)
        paths = path_matrix(parents, depths, ends)
        num_shared = common_prefix(paths) // SHARED_BY * SHARED_BY
        own = depths[ends] + 1 - num_shared
        size, count = bucket_of(len(speakers)), len(speakers)
        table, sets = stop_table(self._policy.tokenizer, speakers, len(state.stops))
        state.stops.copy_(table)
        for of in (state.positions, state.lengths, state.live, state.left):
            of.zero_()
        state.forced.fill_(-1)
        numbers = {
            "ids": [tree.tokens[speaker.node] for speaker in speakers],
            "positions": [tree.depths[speaker.node] for speaker in speakers],
            "lengths": own.tolist(),
            "live": [1] * count,
            "left": [speaker.draw.params.max_tokens - len(speaker.ids) for speaker in speakers],
            "stop_set": sets,
        }
        for name, values in numbers.items():
            getattr(state, name)[:count] = torch.tensor(values, device=device)
        capacity = capacity_of(int(own.max()) + 1)
        rows = self._pool.filled(
            state.lengths[:size], capacity, num_shared, self._memory, torch.from_numpy(paths).to(device)
        )
        rows.longest = int(own.max())
        return rows, [_Row(s, int(length), len(s.ids)) for s, length in zip(speakers, own, strict=True)]

    def _to_be_said(self, speakers: Sequence[Speaker]) -> tuple[Tensor, Tensor | None]:
        """[T, R] random numbers of all tokens, and the tokens of scripts where there are any; -1 beyond their end."""
        most = _most_left(speakers)
        randoms = np.zeros((most, len(speakers)))
        forced = np.full((most, len(speakers)), -1, dtype=np.int64)
        for row, speaker in enumerate(speakers):
            rest = speaker.randoms[len(speaker.ids) :]
            randoms[: len(rest), row] = rest
            if speaker.script is not None:
                ids = speaker.script.ids[len(speaker.ids) :]
                forced[: len(ids), row] = ids
        has_script = any(speaker.script is not None for speaker in speakers)
        device = self._policy.device
        return torch.from_numpy(randoms).to(device), torch.from_numpy(forced).to(device) if has_script else None

    def _refit(self) -> None:
        """Leaves out rows that have ended where a smaller size will do, and makes room for one key more in each."""
        rows = self._rows
        going = [i for i, row in enumerate(self._at) if row.speaker.finish is None]
        size, before = bucket_of(len(going)), len(rows.lengths)
        longest = rows.longest
        if size < before:
            self._remember([row for row in self._at if row.speaker.finish is not None])
        else:
            going = list(range(len(self._at)))
            size = before
        capacity = capacity_of(longest + 1)
        if size == before and capacity == rows.capacity:
            return
        kept = torch.tensor(going, device=self._policy.device)
        if size < before:
            self._state.keep(kept, before)
            self._randoms = self._randoms.index_select(1, kept)
            self._forced = None if self._forced is None else self._forced.index_select(1, kept)
        self._rows = self._pool.moved(rows, kept, self._state.lengths[:size], capacity)
        self._rows.longest = longest
        self._at = [self._at[i] for i in going]

    def _launch(self, token: int) -> None:
        state, rows, count = self._state, self._rows, len(self._at)
        state.randoms[:count].copy_(self._randoms[token])
        if self._forced is not None:
            state.forced[:count].copy_(self._forced[token])
        key = (len(rows.lengths), rows.capacity, rows.shared.length, self._temperature)
        self._runner.run(key, lambda: step(self._policy, state, rows, self._temperature), state)
        rows.longest += 1
        self._count.computed += len(rows.lengths)

    def _read(self, at: Sequence[_Row], reading: "_Reading") -> None:
        """Those that are not known to have ended say what the step has chosen for them."""
        going = [row for row in range(len(at)) if at[row].speaker.finish is None]
        said = reading.numbers()[going]
        if not np.isfinite(said).all():
            raise NonFiniteError("the model's logits are not finite: its weights ran away, or were so to begin with")
        speakers = [at[row].speaker for row in going]
        for speaker, (token, logprob, _) in zip(speakers, said, strict=True):
            speaker.chosen = (int(token), min(float(logprob), 0.0))
        say_chosen(self._tree, speakers)

    def _remember(self, ended: Sequence[_Row]) -> None:
        """Copies the keys and values of what these rows' samples have said, but for the last token, to the memory."""
        where = {id(row): i for i, row in enumerate(self._at)}
        nodes, at_rows, slots = [], [], []
        for row in ended:
            speaker = row.speaker
            told = len(speaker.ids) - row.had_said  # tokens of this row that were read, one for each that was run
            run = self._tree.tail(speaker.node, told + 1)[:-1]
            nodes.append(np.array(run, dtype=np.int64))
            at_rows.append(np.full(len(run), where[id(row)], dtype=np.int64))
            slots.append(row.length + np.arange(len(run)))
        every = np.concatenate(nodes) if nodes else np.zeros(0, dtype=np.int64)
        distinct, first = np.unique(every, return_index=True)  # of samples that say the same, the first
        is_new = np.array([node not in self._cached for node in distinct.tolist()], dtype=bool)
        distinct, first = distinct[is_new], first[is_new]
        self._rows.remember(self._memory, distinct, np.concatenate(at_rows)[first], np.concatenate(slots)[first])
        self._cached.update(distinct.tolist())


class _Reading:
    """What a step has said, on its way to the host: copied beside what the device does next."""

    def __init__(self, said: Tensor) -> None:
        self._event: torch.cuda.Event | None = None
        if said.device.type == "cuda":
            self._here = torch.empty(said.shape, dtype=said.dtype, pin_memory=True)
            self._here.copy_(said, non_blocking=True)
            self._event = torch.cuda.Event()
            self._event.record()
        else:
            self._here = said.clone()

    def numbers(self) -> np.ndarray:
        """[R, 3], once they have arrived."""
        if self._event is not None:
            self._event.synchronize()
        return self._here.numpy()
