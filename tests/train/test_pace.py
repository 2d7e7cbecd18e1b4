"""The learning rate that follows how far an update has moved the policy."""

from dataclasses import replace

import pytest
import torch
from test_trainer import SETTINGS, random_batch, trainer_of

from selfplay.train import pace

TARGET = 0.002


def test_the_scale_follows_the_root_of_the_ratio_within_its_bounds() -> None:
    assert pace.next_scale(1.0, kl=TARGET, target=TARGET) == 1.0
    assert pace.next_scale(1.0, kl=TARGET / 2.25, target=TARGET) == pytest.approx(1.5)
    assert pace.next_scale(1.0, kl=2.25 * TARGET, target=TARGET) == pytest.approx(1 / 1.5)
    assert pace.next_scale(1.0, kl=0.0, target=TARGET) == 2.0
    assert pace.next_scale(1.0, kl=1e6, target=TARGET) == 0.5
    assert pace.next_scale(pace.MOST, kl=0.0, target=TARGET) == pace.MOST
    assert pace.next_scale(pace.LEAST, kl=1e6, target=TARGET) == pace.LEAST


def test_what_is_measured_is_the_kl_of_the_update() -> None:
    """By two plain models, at every token that was trained, weighted by how many samples said it."""
    policy, trainer = trainer_of(replace(SETTINGS, step_kl=TARGET, learning_rate=0.03))
    batch = random_batch()
    paths = [path_of(batch.parents, target) for target in batch.targets]

    def logprobs() -> torch.Tensor:
        with torch.no_grad():
            rows = [policy.model(torch.from_numpy(batch.ids[path])[None]).logits[0, -2] for path in paths]
        picked = torch.stack(rows).double().log_softmax(-1)
        return picked.gather(1, torch.from_numpy(batch.ids[batch.targets])[:, None])[:, 0]

    before = logprobs()
    measured = trainer.step(batch).metrics["train/step_kl"]
    ratio = logprobs() - before
    weights = torch.from_numpy(batch.counts).double()
    expected = ((ratio.exp() - ratio - 1) * weights).sum() / weights.sum()
    assert measured == pytest.approx(expected.item(), rel=1e-3) and measured > 0


def path_of(parents, node):  # type: ignore[no-untyped-def]
    path = [node]
    while parents[path[-1]] >= 0:
        path.append(parents[path[-1]])
    return path[::-1]


@pytest.mark.parametrize("learning_rate", [1e-5, 1e-1])
def test_whatever_rate_is_set_the_updates_become_as_large_as_they_are_to_be(learning_rate: float) -> None:
    _, trainer = trainer_of(replace(SETTINGS, step_kl=TARGET, learning_rate=learning_rate))
    found = [trainer.step(random_batch(step % 15)).metrics["train/step_kl"] for step in range(20)]
    assert TARGET / 4 < sorted(found[-8:])[4] < 4 * TARGET, found


def test_the_scale_is_kept_with_the_weights() -> None:
    settings = replace(SETTINGS, step_kl=TARGET)
    _, trainer = trainer_of(settings)
    for seed in range(3):
        trainer.step(random_batch(seed))
    kept = {name: tensor.clone() for name, tensor in trainer.state().items()}
    digests = []
    for _ in range(2):
        _, again = trainer_of(settings)
        again.load_state(kept, 3)
        again.step(random_batch(7))
        digests.append(again.digest())
    trainer.step(random_batch(7))
    assert digests == [trainer.digest()] * 2


def test_without_it_nothing_is_measured_and_nothing_changes() -> None:
    _, trainer = trainer_of()
    update = trainer.step(random_batch())
    assert "train/step_kl" not in update.metrics and update.metrics["lr"] == SETTINGS.learning_rate
    assert not any(name.startswith("pace") for name in trainer.state())
