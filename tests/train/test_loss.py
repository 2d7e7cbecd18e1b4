"""The loss on merged tokens: hand-worked numbers, clipping on each side, truncation, the KL estimate."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from selfplay.train.loss import LossSettings, kl_to_reference, policy_loss

SAMPLER = LossSettings(anchor="sampler")


def tensor(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def loss_and_gradient(
    ratio: float, positive: float, negative: float, settings: LossSettings = SAMPLER
) -> tuple[float, float]:
    sampler = tensor(-1.0)
    now = (sampler + math.log(ratio)).requires_grad_()
    loss, _ = policy_loss(now, sampler, tensor(positive), tensor(negative), settings)
    loss.backward()
    assert now.grad is not None
    return loss.item(), now.grad.item()


def test_at_ratio_one_the_gradient_is_minus_the_advantage() -> None:
    assert loss_and_gradient(1.0, 2.0, -0.5) == pytest.approx((-1.5, -1.5))


@pytest.mark.parametrize(
    ("ratio", "positive", "negative", "loss", "gradient"),
    [
        (1.5, 1.0, 0.0, -1.28, 0.0),  # up enough already: clipped at 1 + 0.28, no push
        (0.5, 1.0, 0.0, -0.5, -0.5),  # below: still pushed up
        (0.5, 0.0, -1.0, 0.8, 0.0),  # down enough already: clipped at 1 - 0.2
        (1.5, 0.0, -1.0, 1.5, 1.5),  # above: still pushed down
        (1.5, 2.0, -1.0, -2.56 + 1.5, 1.5),  # both at once: only the negative part pushes
    ],
)
def test_each_sign_is_clipped_on_its_own_side(
    ratio: float, positive: float, negative: float, loss: float, gradient: float
) -> None:
    assert loss_and_gradient(ratio, positive, negative) == pytest.approx((loss, gradient))


@given(ratio=st.floats(0.2, 4.0), advantages=st.lists(st.floats(-3, 3), min_size=1, max_size=6))
def test_merged_equals_the_sum_over_samples(ratio: float, advantages: list[float]) -> None:
    alone = [loss_and_gradient(ratio, max(a, 0.0), min(a, 0.0)) for a in advantages]
    merged = loss_and_gradient(ratio, sum(max(a, 0.0) for a in advantages), sum(min(a, 0.0) for a in advantages))
    assert merged[0] == pytest.approx(sum(a for a, _ in alone), abs=1e-9)
    assert merged[1] == pytest.approx(sum(g for _, g in alone), abs=1e-9)


def test_summing_both_signs_together_would_be_wrong() -> None:
    # +1 and -1 cancel to nothing if summed before the clip, but at ratio 1.5 the negative sample still pushes down
    _, gradient = loss_and_gradient(1.5, 1.0, -1.0)
    assert gradient == pytest.approx(1.5)


def test_with_the_policy_as_anchor_the_weight_corrects_the_sampler_and_is_truncated() -> None:
    policy = LossSettings(anchor="policy", importance_cap=2.0)
    assert loss_and_gradient(1.5, 1.0, 0.0, policy) == pytest.approx((-1.5, -1.5))
    assert loss_and_gradient(5.0, 1.0, 0.0, policy) == pytest.approx((-2.0, -2.0))
    assert loss_and_gradient(0.5, 0.0, -1.0, policy) == pytest.approx((0.5, 0.5))


def test_kl_is_zero_at_the_reference_and_its_gradient_pulls_back() -> None:
    reference = tensor(-1.0, -2.0)
    now = tensor(-1.0, -1.5).requires_grad_()
    kl = (tensor(3.0, 2.0) * kl_to_reference(now, reference)).sum()
    assert kl.item() == pytest.approx(2.0 * (math.exp(-0.5) + 0.5 - 1))
    kl.backward()
    assert now.grad is not None
    assert now.grad[0].item() == pytest.approx(0.0)
    assert now.grad[1].item() == pytest.approx(2.0 * (1 - math.exp(-0.5)))


def test_without_an_anchor_the_loss_is_the_likelihood_of_what_is_copied() -> None:
    now = tensor(-1.0, -3.0).requires_grad_()
    loss, facts = policy_loss(now, tensor(-0.1, -9.0), tensor(2.0, 0.5), tensor(0.0, 0.0), LossSettings(anchor="none"))
    loss.backward()
    assert loss.item() == pytest.approx(2.0 * 1.0 + 0.5 * 3.0)
    assert now.grad is not None and now.grad.tolist() == [-2.0, -0.5]  # whatever the sampler's probability was
    assert facts["clipped"].tolist() == facts["truncated"].tolist() == [0.0, 0.0]
