"""One optimizer step per loop step: packs in, gradients summed in fp32, masters updated, weights served anew.

The policy's module holds the served precision; this holds fp32 masters of what is trained, the sums of their gradients
(gradients.py) and AdamW's state. How the batch is cut into packs does not change the update beyond rounding, and the
same batch on the same machine gives the same bits.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
import xxhash
from torch import Tensor

from selfplay.learn.batch import TrainBatch
from selfplay.learn.critic_batch import CriticBatch
from selfplay.machine.errors import NonFiniteError
from selfplay.machine.memory import release_freed_memory
from selfplay.machine.transfer import to_device
from selfplay.metrics import (
    CLIP_RATIO,
    ENTROPY,
    GRAD_NORM,
    GRAD_NORM_OF,
    KL,
    LEARNING_RATE,
    LOSS,
    MISMATCH_MAX,
    MISMATCH_MEAN,
    NLL,
    PACKS,
    PACKS_FLAT,
    SAMPLER_KL,
    STEP_KL,
    TOKENS_TRAINED,
)
from selfplay.model.adapters import adapter_of
from selfplay.model.policy import Policy
from selfplay.model.positions import learned_positions
from selfplay.train import pace
from selfplay.train.choices import PassMode
from selfplay.train.critic import Critic, forest_hidden
from selfplay.train.gradients import Gradients
from selfplay.train.importance import MOST_LOG_RATIO, WeightTotals, weighed_by_sequence
from selfplay.train.loss import LossSettings, kl_to_reference, policy_loss
from selfplay.train.passes import PackPass, pack_hidden, passes, row_supports, row_temperatures
from selfplay.train.sequence_clip import Clipped, clipped_by_sequence
from selfplay.train.subnetwork import Subnetwork

_SCALE = "pace/scale"


@dataclass(frozen=True, slots=True)
class TrainerSettings:
    """learning_rate > 0 after `warmup_steps` of linear warm-up, falling linearly towards 0 at `decay_steps` (0: never)
    but not below `decay_floor` of itself, and times a scale that is steered to `step_kl` nats where that is above 0
    (pace.py); grad_clip > 0 bounds the gradient's L2 norm. adapters: label -> the policy's adapter that says and learns
    its tokens, where that is not the default one."""

    learning_rate: float = 1e-5
    weight_decay: float = 0.0
    betas: tuple[float, float] = (0.9, 0.999)
    warmup_steps: int = 0
    decay_steps: int = 0
    decay_floor: float = 0.1
    grad_clip: float = 1.0
    step_kl: float = 0.0
    pack_tokens: int = 4096
    logprob_chunk: int = 64
    temperatures: Mapping[str, float] = field(default_factory=dict)  # label -> that its tokens were drawn at; else 1
    copied: frozenset[str] = frozenset()  # labels that nobody samples: their texts are learned, whatever the loss is
    adapters: Mapping[str, str] = field(default_factory=dict)
    mode: PassMode = "auto"
    loss: LossSettings = field(default_factory=LossSettings)


@dataclass(frozen=True, slots=True)
class Update:
    """What one update did. `tokens_computed` counts forward tokens, repeated ancestors and padding included."""

    metrics: dict[str, float]
    tokens_computed: int
    tokens_flat: int


class Trainer:
    """Owns the masters and the optimizer, and the critic heads where there are any.

    `reference`, if given, answers log-probabilities of the start policy. `subnetwork` is made of the masters: what of
    them is trained, where that is not all.
    """

    def __init__(
        self,
        policy: Policy,
        settings: TrainerSettings,
        reference: Callable[[TrainBatch, PackPass], Tensor] | None = None,
        critic: Critic | None = None,
        subnetwork: Callable[[Mapping[str, Tensor]], Subnetwork] | None = None,
    ) -> None:
        self._policy = policy
        self._settings = settings
        self._reference = reference
        self.critic = critic
        self._served = policy.trainable
        self._positions = learned_positions(policy.model)
        self._scale = pace.START if settings.step_kl > 0 else 1.0
        self.masters = {
            name: p.detach().float().clone(memory_format=torch.contiguous_format) for name, p in self._served
        }
        self._subnetwork = None if subnetwork is None else subnetwork(self.masters)
        self._gradients = Gradients(self._served, policy.model.get_input_embeddings())
        self._optimizer = torch.optim.AdamW(
            list(self.masters.values()), lr=settings.learning_rate, betas=settings.betas,
            weight_decay=settings.weight_decay if subnetwork is None else 0.0, fused=True,
        )  # fmt: skip

    def step(self, batch: TrainBatch, critic_batch: CriticBatch | None = None) -> Update:
        """One update from `batch`; the policy serves the new weights and its version is one higher.

        The critic heads are fitted to `critic_batch` first, on hidden states of the policy that sampled it.
        An empty batch (no group had a signal) still makes a version: weights stay, Adam's moments do not move.
        Raises NonFiniteError with nothing changed, ValueError for a KL without a reference, for weights by sequence
        without sequences, and for tokens or positions that the model does not have.
        """
        if batch.kl.any() and self._reference is None:
            raise ValueError("train.kl.* above 0 needs the reference policy")
        given = [each for each in (batch, critic_batch) if each is not None and each.ids.size]
        rows, positions = self._policy.head.weight.shape[0], self._positions
        if any(each.ids.max() >= rows for each in given):
            raise ValueError(f"the model has no more than {rows} tokens")
        if batch.supports is not None and batch.supports.vocabulary != rows:
            raise ValueError(f"tokens were drawn from a vocabulary of {batch.supports.vocabulary}, not {rows}")
        if positions is not None and any(each.depths.max() >= positions for each in given):
            raise ValueError(f"the model has no more than {positions} positions")
        fitted = self._fit_critic(critic_batch)
        self._policy.end_sampling()
        totals = _Totals(dict.fromkeys(batch.label_names, (0.0, 0.0)))
        width = self._policy.head.weight.shape[1]
        settings = self._settings
        packs = passes(batch, settings.pack_tokens, settings.mode, width, settings.adapters)
        computed = sum(plan.tokens for plan in packs)
        if packs and self._settings.loss.weighs_sequences:
            batch, totals.weights = self._weighed(batch, packs)
            computed *= 2
        elif packs and self._settings.loss.clips_sequences:
            found = self._clipped(batch, packs)
            batch, totals.loss, totals.clipped = found.batch, found.loss, found.clipped
            computed *= 2
        self._gradients.begin()
        largest = 0
        before = []
        for plan in packs:
            if 0 < largest < plan.tokens:
                release_freed_memory()  # a smaller pack's blocks are too small for this one, and would stay beside its
            largest = max(largest, plan.tokens)
            before.append(self._accumulate(batch, plan, totals))
        totals.settle()
        metrics = totals.metrics(batch) | fitted | {LEARNING_RATE: self._learning_rate()}
        if packs:
            metrics |= self._apply(totals.loss, {plan.adapter for plan in packs})
            metrics |= self._paced(batch, packs, before)
        metrics |= {PACKS: float(len(packs)), PACKS_FLAT: float(sum(p.mode == "flat" for p in packs))}
        self._policy.version += 1
        return Update(metrics, computed, batch.flat_tokens)

    def end_updates(self) -> None:
        """Let go of memory that only updates need. The next one takes it anew."""
        self._gradients.release()
        self._policy.head.release()

    def state(self) -> dict[str, Tensor]:
        """Masters and optimizer state as named tensors: what a checkpoint keeps."""
        tensors = {f"master/{name}": master for name, master in self.masters.items()}
        for name, master in self.masters.items():
            for key, value in self._optimizer.state.get(master, {}).items():
                tensors[f"adam/{key}/{name}"] = value
        if self._settings.step_kl > 0:
            tensors[_SCALE] = torch.tensor(self._scale, dtype=torch.float64)
        return tensors if self.critic is None else tensors | self.critic.state()

    def load_state(self, tensors: dict[str, Tensor], version: int) -> None:
        """The inverse of `state`, for the policy version that it was taken at."""
        for name, master in self.masters.items():
            master.copy_(tensors[f"master/{name}"])
            prefix = "adam/"
            state = {
                key: tensors[f"{prefix}{key}/{name}"].to(master.device, copy=True)  # a file's tensors are on the CPU
                for key in ("step", "exp_avg", "exp_avg_sq")
                if f"{prefix}{key}/{name}" in tensors
            }
            self._optimizer.state.pop(master, None)
            if state:
                self._optimizer.state[master] = state
        if _SCALE in tensors:
            self._scale = tensors[_SCALE].item()
        if self.critic is not None:
            self.critic.load_state(tensors)
        self.serve(version)

    def serve(self, version: int) -> None:
        """Has the policy serve what is trained, as `version`, after it served something else."""
        self._policy.version = version
        self._serve()

    def digest(self) -> str:
        """xxh3 over every master's name and bytes, and the critic's: fast, and any moved or changed value shows."""
        total = xxhash.xxh3_128()
        for name, master in (self.masters | ({} if self.critic is None else self.critic.tensors)).items():
            total.update(name.encode())
            total.update(xxhash.xxh3_128_digest(tensor_bytes(master)))
        return total.hexdigest()

    def _fit_critic(self, batch: CriticBatch | None) -> dict[str, float]:
        if batch is None or self.critic is None:
            return {}
        hidden = forest_hidden(self._policy, batch, is_padded=self._settings.mode == "flat")
        return self.critic.step(hidden, batch, self._policy.version)

    def _accumulate(self, batch: TrainBatch, plan: PackPass, totals: "_Totals") -> Tensor:
        """Adds the pack's gradients to the sums. Returns the log-probability [m] of each of its trained tokens."""
        device = self._policy.device
        rows = plan.pack.targets
        columns = (batch.sampler_logprobs, batch.positive, batch.negative, batch.counts)
        sampler, positive, negative, counts = (to_device(column[rows], device, torch.float32) for column in columns)
        targets = to_device(batch.ids[batch.targets[rows]], device)
        settings = self._settings
        temperatures = row_temperatures(batch, plan, settings.temperatures, device)
        drawable = row_supports(batch, plan, device)
        head = self._policy.head
        is_copied = self._is_copied(batch, rows)
        copied = to_device(is_copied, device) if is_copied.any() else None
        with self._gradients.collecting(), pack_hidden(self._policy, batch, plan) as hidden:
            total = self._gradients.sum_of(head.weight)
            logprobs = head.logprobs(hidden, targets, temperatures, settings.logprob_chunk, total, drawable)
            loss, facts = policy_loss(logprobs, sampler, positive, negative, settings.loss, copied)
            now, policy_part = logprobs.detach(), loss.detach()
            paid = counts if copied is None else counts * ~copied
            totals.later(lambda: totals.add(policy_part, paid, facts, now, sampler))
            if not self._settings.loss.weighs_sequences:
                weights = (paid, facts["log_ratio"], facts["weight"], facts["truncated"])
                totals.later(lambda: totals.weights.add(*weights))
            if self._reference is not None and batch.kl[rows].any():
                pull = to_device(batch.kl[rows], device, torch.float32)
                kl = kl_to_reference(logprobs, self._reference(batch, plan))
                pulled = kl.detach()
                totals.later(lambda: totals.add_kl(batch, rows, pulled))
                loss = loss + (pull * kl).sum()
            if copied is not None:
                totals.later(lambda: totals.add_copied(batch, rows[is_copied], now[copied]))
            loss.backward()
        return logprobs.detach()

    def _is_copied(self, batch: TrainBatch, rows: np.ndarray) -> np.ndarray:
        """[m] bool: which of the rows are of labels that nobody samples."""
        copied = [index for index, name in enumerate(batch.label_names) if name in self._settings.copied]
        return np.isin(batch.labels[rows], copied)

    def _weighed(self, batch: TrainBatch, packs: Sequence[PackPass]) -> tuple[TrainBatch, WeightTotals]:
        """`batch` with weighed advantages. A pass of its own: the cut may run through a sequence."""
        loss = self._settings.loss
        return weighed_by_sequence(batch, self._passed(batch, packs), loss.importance_mode, loss.importance_cap)

    def _clipped(self, batch: TrainBatch, packs: Sequence[PackPass]) -> Clipped:
        """`batch` with the ratios of its sequences, in a pass of its own too."""
        loss = self._settings.loss
        return clipped_by_sequence(batch, self._passed(batch, packs), loss.clip_low, loss.clip_high)

    @torch.no_grad()
    def _passed(self, batch: TrainBatch, packs: Sequence[PackPass]) -> np.ndarray:
        """[M] log-probabilities of all trained tokens, by the weights as they are."""
        logprobs = np.zeros(len(batch.targets))
        for plan in packs:
            logprobs[plan.pack.targets] = self._logprobs(batch, plan).double().cpu().numpy()
        return logprobs

    @torch.no_grad()
    def _paced(self, batch: TrainBatch, packs: Sequence[PackPass], before: Sequence[Tensor]) -> dict[str, float]:
        """How far the update has moved the policy. The scale of the next one follows it."""
        target = self._settings.step_kl * self._schedule() ** 2  # a KL is quadratic in the rate
        if target <= 0:
            return {}
        total = weight = 0.0
        for plan, then in zip(packs, before, strict=True):
            rows = plan.pack.targets
            weights = np.where(self._is_copied(batch, rows), 0.0, batch.counts[rows])  # copies are not the policy's
            counts = torch.from_numpy(weights).to(then)
            kl = kl_to_reference(then, self._logprobs(batch, plan))
            total, weight = total + (counts * kl).sum().item(), weight + counts.sum().item()
        moved = total / (weight or 1.0)
        self._scale = pace.next_scale(self._scale, moved, target)
        return {STEP_KL: moved}

    def _logprobs(self, batch: TrainBatch, plan: PackPass) -> Tensor:
        """[m] of the pack's trained tokens, by the weights as they are."""
        device = self._policy.device
        targets = to_device(batch.ids[batch.targets[plan.pack.targets]], device)
        temperatures = row_temperatures(batch, plan, self._settings.temperatures, device)
        drawable, chunk = row_supports(batch, plan, device), self._settings.logprob_chunk
        with pack_hidden(self._policy, batch, plan) as hidden:
            return self._policy.head.logprobs(hidden, targets, temperatures, chunk, drawable=drawable)

    def _apply(self, loss: float, adapters: AbstractSet[str]) -> dict[str, float]:
        """Clip, check, step, serve. Returns the gradient's norm before clipping.

        Only what is of `adapters` moves, and AdamW's state of it. The gradient of each is clipped by itself.
        """
        sums = self._gradients.finished()
        if self._subnetwork is not None:
            self._subnetwork.silence(sums)
        moved = {each: [name for name in self.masters if adapter_of(name) == each] for each in sorted(adapters)}
        norms = {each: torch.nn.utils.get_total_norm([sums[name] for name in names]) for each, names in moved.items()}
        found = {each: norm.item() for each, norm in norms.items()}
        norm = math.hypot(*found.values())
        if not (math.isfinite(norm) and math.isfinite(loss)):
            raise NonFiniteError(f"loss {loss} and gradient norm {norm} at policy version {self._policy.version}")
        for each, names in moved.items():
            scale = torch.clamp(self._settings.grad_clip / (norms[each] + 1e-6), max=1.0)
            for name in names:
                self.masters[name].grad = sums[name].mul_(scale)
        rate = self._optimizer.param_groups[0]["lr"] = self._learning_rate()
        if self._subnetwork is not None and self._settings.weight_decay > 0:
            self._subnetwork.decay(self.masters, rate * self._settings.weight_decay)
        self._optimizer.step()
        for master in self.masters.values():
            master.grad = None
        self._serve()
        each_norm = found if self._settings.adapters else {}
        return {GRAD_NORM: norm} | {GRAD_NORM_OF.format(adapter=each): value for each, value in each_norm.items()}

    def _learning_rate(self) -> float:
        """The rate of the next update: a function of the version and of the scale, so a replay takes the same steps."""
        return self._settings.learning_rate * self._schedule() * self._scale

    def _schedule(self) -> float:
        """What warm-up and decay leave of the next update's rate."""
        s, number = self._settings, self._policy.version + 1
        rise = min(1.0, number / s.warmup_steps) if s.warmup_steps else 1.0
        fall = max(s.decay_floor, 1.0 - number / s.decay_steps) if s.decay_steps else 1.0
        return rise * fall

    @torch.no_grad()
    def _serve(self) -> None:
        for name, parameter in self._served:
            parameter.copy_(self.masters[name])
        self._policy.refresh()


def tensor_bytes(tensor: Tensor) -> memoryview:
    """A tensor's values as bytes, without a copy where it lies in memory already."""
    array: Any = tensor.detach().cpu().contiguous().numpy()
    return memoryview(array).cast("B")


@dataclass(slots=True)
class _Totals:
    """Sums over packs for the metrics. Means are over trained tokens, weighted by `counts` of the batch."""

    kl: dict[str, tuple[float, float]]  # label -> (sum of weight * k3, sum of weights), weighted by `kl` of the batch
    loss: float = 0.0
    weight: float = 0.0
    entropy: float = 0.0  # sum of -log theta: an estimate from the policy's own samples
    clipped: float = 0.0
    sampled: float = 0.0  # `weight` of the tokens that were sampled, not only copied
    mismatch: float = 0.0  # sum of |log theta - log mu| over these
    mismatch_max: float = 0.0
    sampler_kl: float = 0.0  # sum of k3 of mu and theta over these
    weights: WeightTotals = field(default_factory=WeightTotals)
    copied: dict[str, tuple[float, float]] = field(default_factory=dict)  # label -> (sum of -log theta, of weights)
    _pending: list[Callable[[], None]] = field(default_factory=list, repr=False)

    def later(self, add: Callable[[], None]) -> None:
        """What adds a pack's values, for `settle`: to read them at once would wait for a GPU once a pack, and nothing
        could be given to it meanwhile."""
        self._pending.append(add)

    def settle(self) -> None:
        """Adds what was put off, in order."""
        for add in self._pending:
            add()
        self._pending.clear()

    def add(self, loss: Tensor, counts: Tensor, facts: dict[str, Tensor], now: Tensor, sampler: Tensor) -> None:
        is_sampled = ~sampler.isnan()
        change = torch.where(is_sampled, now - sampler, 0.0)
        difference = change.abs()
        self.loss += loss.item()
        self.weight += counts.sum().item()
        self.entropy += -(counts * now).sum().item()
        self.clipped += (counts * facts["clipped"]).sum().item()
        self.sampled += (counts * is_sampled).sum().item()
        self.mismatch += (counts * difference).sum().item()
        self.mismatch_max = max(self.mismatch_max, difference.max().item())
        bounded = change.clamp(max=MOST_LOG_RATIO)
        self.sampler_kl += (counts * (bounded.exp() - bounded - 1)).sum().item()

    def add_kl(self, batch: TrainBatch, rows: np.ndarray, kl: Tensor) -> None:
        """Adds k3 [m] of the rows to their labels' sums."""
        values, pull = kl.cpu().double().numpy(), batch.kl[rows]
        for index, label in enumerate(batch.label_names):
            mine = batch.labels[rows] == index
            total, weight = self.kl[label]
            self.kl[label] = (total + float(pull[mine] @ values[mine]), weight + float(pull[mine].sum()))

    def add_copied(self, batch: TrainBatch, rows: np.ndarray, now: Tensor) -> None:
        """Adds -log theta [m] of rows that are copied to their labels' sums."""
        values, counts = -now.cpu().double().numpy(), batch.counts[rows]
        for index, label in enumerate(batch.label_names):
            mine = batch.labels[rows] == index
            if mine.any():
                total, weight = self.copied.get(label, (0.0, 0.0))
                self.copied[label] = (total + float(counts[mine] @ values[mine]), weight + float(counts[mine].sum()))

    def metrics(self, batch: TrainBatch) -> dict[str, float]:
        weight = self.weight or 1.0
        return {
            LOSS: self.loss,
            ENTROPY: self.entropy / weight,
            CLIP_RATIO: self.clipped / weight,
            MISMATCH_MEAN: self.mismatch / (self.sampled or 1.0),
            MISMATCH_MAX: self.mismatch_max,
            SAMPLER_KL: self.sampler_kl / (self.sampled or 1.0),
            TOKENS_TRAINED: float(len(batch.targets)),
            **self.weights.metrics(),
        } | {
            pattern.format(label=label): total / by
            for pattern, sums in ((KL, self.kl), (NLL, self.copied))
            for label, (total, by) in sums.items()
            if by
        }
