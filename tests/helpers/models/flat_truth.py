"""What a model says and learns on plain rows, and the same by packs: the two sides of every parity test."""

from typing import Any

import torch
from random_trees import WEIGHTS

from roles.tree import Tree
from selfplay.learn.batch import TrainBatch
from selfplay.model.policy import Policy
from selfplay.train.gradients import Gradients
from selfplay.train.loss import LossSettings, policy_loss
from selfplay.train.packing import cut
from selfplay.train.passes import pack_hidden, prepare, row_supports, row_temperatures

LOSS = LossSettings(anchor="sampler")  # so that clipping and both signs matter


TEMPERATURES = {"challenger": 1.5, "solver/1": 0.8}


def flat_truth(
    policy: Policy, rows: list[Any], tree: Tree | None = None
) -> tuple[torch.Tensor, list[torch.Tensor], dict[str, torch.Tensor]]:
    """Loss, log-probabilities per sample and gradients by the book: one sequence at a time, full logits, no tree.

    `tree` tells what tokens were drawn from, where that is not the whole vocabulary.
    """
    model = policy.model
    model.zero_grad()
    said: dict[str, int] = {}
    for _, _, sample in rows:
        said[sample.label] = said.get(sample.label, 0) + sample.num_tokens
    total, per_sample = torch.zeros(()), []
    for ids, sampler, sample in rows:
        logits = model(input_ids=torch.tensor([ids])).logits[0].float() / TEMPERATURES.get(sample.label, 1.0)
        n = sample.num_tokens
        for place, node in enumerate(tree.tail(sample.node, n) if tree else []):
            if node in tree.supports:
                out = torch.ones(logits.shape[1], dtype=torch.bool)
                out[tree.supports[node].ids()] = False
                logits = torch.where(_row(logits, place - n - 1)[:, None] & out, -torch.inf, logits)
        logprobs = logits.log_softmax(-1)[-n - 1 : -1].gather(1, torch.tensor(ids[-n:])[:, None])[:, 0]
        per_sample.append(logprobs.detach())
        ratio = (logprobs - torch.tensor(sampler, dtype=torch.float32)).exp()
        clipped = ratio.clamp(1 - LOSS.clip_low, 1 + LOSS.clip_high)
        gain = torch.minimum(ratio * sample.advantage, clipped * sample.advantage).sum()
        total = total - WEIGHTS[sample.label] / said[sample.label] * gain
    total.backward()
    grads = {name: p.grad.clone() for name, p in policy.trainable if p.grad is not None}
    model.zero_grad()
    return total.detach(), per_sample, grads


def _row(logits: torch.Tensor, row: int) -> torch.Tensor:
    """[n] bool: True for one row of logits [n, V], counted from the end."""
    return torch.arange(-len(logits), 0) == row


def packed(policy: Policy, batch: TrainBatch, budget: int, mode: Any) -> tuple[torch.Tensor, torch.Tensor, Any]:
    """The same by packs: loss, log-probability of every trained token, gradients."""
    gradients = Gradients(policy.trainable, policy.model.get_input_embeddings())
    total, logprobs = torch.zeros(()), torch.full((len(batch.targets),), float("nan"))
    for pack in cut(batch, budget):
        plan = prepare(batch, pack, mode, 64)
        temperatures = row_temperatures(batch, plan, TEMPERATURES, policy.device)
        with gradients.collecting(), pack_hidden(policy, batch, plan) as hidden:
            targets = torch.from_numpy(batch.ids[batch.targets[pack.targets]])
            drawable = row_supports(batch, plan, policy.device)
            total_of_head = gradients.sum_of(policy.head.weight)
            now = policy.head.logprobs(hidden, targets, temperatures, 7, total_of_head, drawable)
            columns = [
                torch.from_numpy(c[pack.targets]).float()
                for c in (batch.sampler_logprobs, batch.positive, batch.negative)
            ]
            loss, _ = policy_loss(now, *columns, LOSS)
            loss.backward()
        assert torch.isnan(logprobs[pack.targets]).all(), "a trained token is charged in exactly one pack"
        logprobs[pack.targets] = now.detach()
        total = total + loss.detach()
    assert all(p.grad is None for _, p in policy.trainable)
    return total, logprobs, gradients.finished()


def assert_same_gradient(ours: dict[str, torch.Tensor], truth: dict[str, torch.Tensor]) -> None:
    assert ours.keys() == truth.keys()
    a = torch.cat([ours[k].flatten() for k in truth]).double()
    b = torch.cat([truth[k].flatten() for k in truth]).double()
    if b.norm() == 0:  # every token clipped
        assert a.norm() == 0
        return
    assert (a @ b) / (a.norm() * b.norm()) >= 0.9999
    assert abs(a.norm() / b.norm() - 1) <= 1e-4
