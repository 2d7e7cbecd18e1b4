"""Importance weights: each mode against its formula written out over the flat batch, and the figures that show them."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from random_trees import WEIGHTS, random_step
from updates import gradient, tiny_policy

from roles.tree import ROOT, Tree
from selfplay.config.files import load
from selfplay.learn.batch import TrainBatch, TrainSample, build_batch
from selfplay.machine.errors import NonFiniteError
from selfplay.model.policy import Policy
from selfplay.run.build import build
from selfplay.train.choices import ImportanceMode
from selfplay.train.importance import MOST_LOG_RATIO, weighed_by_sequence
from selfplay.train.loss import LossSettings, policy_loss
from selfplay.train.trainer import Trainer, TrainerSettings

CAP = 1.3
MODES: tuple[ImportanceMode, ...] = ("none", "token_truncate", "token_mask", "sequence_truncate", "sequence_mask")
Path = tuple[int, ...]


def trainer_of(mode: ImportanceMode, pack_tokens: int = 100_000, cap: float = CAP) -> Trainer:
    loss = LossSettings(importance_mode=mode, importance_cap=cap)
    return Trainer(
        tiny_policy(), TrainerSettings(learning_rate=1e-3, grad_clip=1e9, pack_tokens=pack_tokens, loss=loss)
    )


def paths(batch: TrainBatch) -> list[Path]:
    """Root-to-token ids of each trained token."""
    found = []
    for target in batch.targets.tolist():
        ids = []
        while target != ROOT:
            ids.append(int(batch.ids[target]))
            target = int(batch.parents[target])
        found.append(tuple(reversed(ids)))
    return found


def drifted(seed: int) -> tuple[TrainBatch, Tree, list[TrainSample], dict[Path, float]]:
    """A step whose sampler is some way from the policy: each token's log mu is its log theta and noise."""
    tree, samples = random_step(seed, vocabulary=200)
    batch = build_batch(tree, samples, WEIGHTS, keeps_sequences=True)
    rng, model = np.random.default_rng(seed), tiny_policy()
    sampler: dict[Path, float] = {}
    for ids in paths(batch):
        with torch.no_grad():
            now = logprobs(model, ids, 1).item()
        sampler[ids] = now + rng.normal(0.0, 0.5)
    column = np.array([sampler[ids] for ids in paths(batch)])
    return replace(batch, sampler_logprobs=column), tree, samples, sampler


def logprobs(policy: Policy, ids: Path, last: int) -> torch.Tensor:
    """[last] of the last tokens of a text, by the plain model."""
    row = torch.tensor([ids])
    every = policy.model(row).logits[0].float().log_softmax(-1)
    return every[-last - 1 : -1].gather(1, row[0, -last:, None])[:, 0]


def weights_of(now: np.ndarray, sampler: np.ndarray, mode: ImportanceMode) -> np.ndarray:
    """[n] the weight of each token of one sample."""
    ratios = np.exp(now - sampler)
    if mode.startswith("sequence"):
        ratios = np.full(len(now), ratios.prod())
    if mode == "none":
        return np.ones(len(now))
    return np.minimum(ratios, CAP) if mode.endswith("truncate") else np.where(ratios > CAP, 0.0, ratios)


def flat_gradient(
    tree: Tree, samples: list[TrainSample], sampler: Mapping[Path, float], mode: ImportanceMode
) -> tuple[torch.Tensor, list[tuple[str, float, np.ndarray]]]:
    """The gradient of the loss, sample by sample, and each one's (label, scale, weights [n])."""
    model = tiny_policy()
    said = {label: sum(s.num_tokens for s in samples if s.label == label) for label in WEIGHTS}
    loss, used = torch.zeros(()), []
    for sample in samples:
        ids = tuple(tree.tokens[n] for n in tree.path(sample.node))
        if not sample.advantage:
            continue
        now, scale = logprobs(model, ids, sample.num_tokens), WEIGHTS[sample.label] / said[sample.label]
        old = [sampler[ids[: len(ids) - k]] for k in reversed(range(sample.num_tokens))]
        weights = weights_of(now.detach().numpy().astype(np.float64), np.array(old), mode)
        loss = loss - scale * sample.advantage * (torch.from_numpy(weights).float() * now).sum()
        used.append((sample.label, scale, weights))
    loss.backward()
    gradients = {name: p.grad for name, p in model.trainable}
    return torch.cat([g.flatten().double() for _, g in sorted(gradients.items()) if g is not None]), used


@pytest.mark.parametrize("pack_tokens", [100_000, 12])  # the second cuts through sequences
@pytest.mark.parametrize("mode", MODES)
def test_each_mode_is_its_formula_on_the_flat_batch(mode: ImportanceMode, pack_tokens: int) -> None:
    batch, tree, samples, sampler = drifted(5)
    trainer = trainer_of(mode, pack_tokens)
    metrics = trainer.step(batch).metrics
    wanted, used = flat_gradient(tree, samples, sampler, mode)
    assert (gradient(trainer) - wanted).norm() / wanted.norm() < 1e-5
    by_sequence = mode.startswith("sequence")
    pairs = [(scale, w) for _, scale, ws in used for w in (ws[:1] if by_sequence else ws)]
    c, w = np.array(pairs).T
    assert metrics["sampling/importance/mean"] == pytest.approx((c * w).sum() / c.sum(), rel=1e-4)
    ess = (c * w).sum() ** 2 / (c.sum() * (c * w * w).sum())
    assert metrics["sampling/importance/ess"] == pytest.approx(ess, rel=1e-4)
    assert (metrics["sampling/importance/ess"] < 0.999) == (mode != "none")
    cut = (np.isclose(w, CAP) | (w == 0.0)) if mode != "none" else np.zeros(len(w))
    assert metrics["sampling/truncated_mean"] == pytest.approx((c * cut).sum() / c.sum(), rel=1e-4)
    assert (metrics["sampling/truncated_mean"] > 0.02) == (mode != "none"), "a test of the cap in which it never bit"
    assert metrics["train/packs"] == 1 or pack_tokens == 12


def test_the_modes_are_five_different_updates() -> None:
    batch, *_ = drifted(5)
    made = []
    for mode in MODES:
        trainer = trainer_of(mode)
        trainer.step(batch)
        made.append(gradient(trainer))
    gaps = [(a - b).norm() / b.norm() for i, a in enumerate(made) for b in made[:i]]
    assert min(gaps) > 0.01


def test_without_a_gap_all_modes_are_the_plain_update() -> None:
    batch, tree, samples, sampler = drifted(5)
    model = tiny_policy()
    with torch.no_grad():
        same = np.array([logprobs(model, ids, 1).item() for ids in paths(batch)])
    plain, _ = flat_gradient(tree, samples, sampler, "none")
    for mode in MODES:
        trainer = trainer_of(mode)
        metrics = trainer.step(replace(batch, sampler_logprobs=same)).metrics
        assert (gradient(trainer) - plain).norm() / plain.norm() < 1e-4
        assert metrics["sampling/kl"] == pytest.approx(0.0, abs=1e-6)
        assert metrics["sampling/importance/mean"] == pytest.approx(1.0, abs=1e-4)
        assert metrics["sampling/importance/ess"] == pytest.approx(1.0, abs=1e-4)


def test_the_gap_to_the_sampler_is_a_kl_by_hand() -> None:
    """One token, log theta - log mu = d: exp(d) - 1 - d, which is not that of the other direction."""
    batch, *_ = drifted(5)
    model = tiny_policy()
    with torch.no_grad():
        now = np.array([logprobs(model, ids, 1).item() for ids in paths(batch)])
    metrics = trainer_of("none").step(replace(batch, sampler_logprobs=now - 0.5)).metrics
    assert metrics["sampling/kl"] == pytest.approx(np.exp(0.5) - 1 - 0.5, rel=1e-4)
    assert metrics["sampling/importance/max"] == pytest.approx(np.exp(0.5), rel=1e-4)


def test_a_weight_by_sequence_costs_one_more_forward_pass() -> None:
    batch, *_ = drifted(5)
    plain, by_sequence = (trainer_of(mode).step(batch).tokens_computed for mode in ("token_mask", "sequence_mask"))
    assert by_sequence == 2 * plain


def test_a_step_that_teaches_nothing_has_no_weights_to_tell_of() -> None:
    for mode in MODES:
        metrics = trainer_of(mode).step(build_batch(Tree(), [], {}, keeps_sequences=True)).metrics
        assert not {name for name in metrics if name.startswith("sampling/importance/")}
        assert metrics["sampling/truncated_mean"] == 0.0


def test_a_batch_without_sequences_is_not_weighed_by_them() -> None:
    batch, *_ = drifted(5)
    trainer = trainer_of("sequence_truncate")
    with pytest.raises(ValueError, match=r"train\.importance_mode=sequence_truncate needs"):
        trainer.step(replace(batch, sequences=None))


@pytest.mark.parametrize("mode", ["token_truncate", "token_mask", "sequence_truncate", "sequence_mask"])
def test_a_ratio_beyond_all_numbers_is_cut_and_stays_one_in_the_figures(mode: ImportanceMode) -> None:
    """A sampler in another process may say what it likes: exp of this is no number."""
    batch, *_ = drifted(5)
    column = batch.sampler_logprobs - 1e5
    metrics = trainer_of(mode).step(replace(batch, sampler_logprobs=column)).metrics
    assert all(np.isfinite(value) for value in metrics.values())
    assert metrics["sampling/truncated_mean"] == 1.0
    assert metrics["sampling/importance/max"] == pytest.approx(np.exp(MOST_LOG_RATIO), rel=1e-5)
    assert metrics["sampling/importance/mean"] == pytest.approx(CAP if mode.endswith("truncate") else 0.0)


def test_what_nobody_sampled_cannot_be_weighed_by_sequence() -> None:
    batch, *_ = drifted(5)
    spoilt = batch.sampler_logprobs.copy()
    spoilt[np.flatnonzero(batch.positive)[0]] = np.nan
    with pytest.raises(NonFiniteError):
        trainer_of("sequence_truncate").step(replace(batch, sampler_logprobs=spoilt))


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 100_000))
def test_sequences_are_what_the_tokens_sums_are_made_of(seed: int) -> None:
    tree, samples = random_step(seed, vocabulary=50)
    batch = build_batch(tree, samples, WEIGHTS, keeps_sequences=True)
    assert batch.sequences is not None
    batch.require_consistent()
    for name in ("positive", "negative", "counts"):
        spread = batch.sequences.spread(getattr(batch.sequences, name), batch.parents, batch.targets)
        assert np.allclose(spread, getattr(batch, name), rtol=1e-12, atol=1e-15), name
    lengths = batch.sequences.summed(np.ones(len(batch.targets)), batch.parents, batch.targets)
    assert lengths.tolist() == batch.sequences.lengths.tolist()
    again = TrainBatch.from_arrays(batch.arrays())
    for name, array in batch.arrays().items():
        assert np.array_equal(array, again.arrays()[name]), name


def test_by_default_a_batch_and_its_journal_are_what_they_were() -> None:
    tree, samples = random_step(5, vocabulary=50)
    batch = build_batch(tree, samples, WEIGHTS)
    assert batch.sequences is None
    assert not [name for name in batch.arrays() if name.startswith("sequence")]


@pytest.mark.parametrize(
    ("name", "change", "reason"),
    [
        ("ends", lambda ends: ends - 10_000, "not there"),
        ("ends", lambda ends: ends * 0, "longer than what is above"),  # the root of a header
        ("ends", lambda ends: ends.astype(np.int32), "not columns of one length"),
        ("lengths", lambda lengths: lengths * 0, "longer than what is above"),
        ("lengths", lambda lengths: lengths + 10_000, "longer than what is above"),
        ("lengths", lambda lengths: lengths + 1, "not trained"),
        ("positive", lambda numbers: numbers * np.nan, "finite numbers"),
        ("counts", lambda numbers: numbers[:-1], "finite numbers"),
        ("negative", None, "not all there"),
    ],
)
def test_made_up_sequences_in_a_journal_are_refused(name: str, change: object, reason: str) -> None:
    tree = Tree()
    prompt = tree.extend(ROOT, [1, 2, 3])
    samples = [TrainSample("solver/0", tree.sampled(prompt, [5, n], [-1.0] * 2, "solver/0"), 2, 1.0) for n in (6, 7)]
    arrays = build_batch(tree, samples, {"solver/0": 1.0}, keeps_sequences=True).arrays()
    if callable(change):
        arrays[f"sequence_{name}"] = change(arrays[f"sequence_{name}"])
    else:
        del arrays[f"sequence_{name}"]
    with pytest.raises(ValueError, match=reason):
        TrainBatch.from_arrays(arrays)


def test_a_shared_token_has_one_weight_a_completion() -> None:
    """[a, b] is said twice, [a, c] once: a's push is w(ab) * (1 + 1) of one sign, w(ac) * 1 of the other."""
    tree = Tree()
    prompt = tree.extend(ROOT, [1])
    log = np.log
    b = tree.sampled(prompt, [10, 11], [log(0.5), log(0.5)], "solver/0")
    c = tree.sampled(prompt, [10, 12], [log(0.5), log(0.25)], "solver/0")
    samples = [TrainSample("solver/0", b, 2, 1.0)] * 2 + [TrainSample("solver/0", c, 2, -1.0)]
    batch = build_batch(tree, samples, {"solver/0": 6.0}, keeps_sequences=True)  # 6 tokens: a scale of 1
    now = log([0.75, 0.5, 0.5])  # a, b, c: ratios 1.5, 1, 2
    weighed, totals = weighed_by_sequence(batch, now, "sequence_truncate", 2.0)
    assert weighed.positive == pytest.approx([2 * 1.5, 2 * 1.5, 0.0])
    assert weighed.negative == pytest.approx([-2.0, 0.0, -2.0])  # w(ac) = 3, cut to 2
    assert totals.metrics()["sampling/truncated_mean"] == pytest.approx(1 / 3)
    assert totals.metrics()["sampling/importance/max"] == pytest.approx(3.0)
    masked, _ = weighed_by_sequence(batch, now, "sequence_mask", 2.0)
    assert (masked.positive[0], masked.negative[0]) == (pytest.approx(3.0), 0.0)


@pytest.mark.parametrize("anchor", ["sampler", "none"])
@pytest.mark.parametrize("mode", MODES)
def test_weights_are_of_the_anchor_policy_alone(anchor: str, mode: ImportanceMode) -> None:
    now, old = torch.tensor([-1.0, -2.0]), torch.tensor([-3.0, -1.0])
    push = torch.tensor([1.0, 1.0]), torch.tensor([0.0, 0.0])
    losses = [
        policy_loss(now, old, *push, LossSettings(anchor=anchor, importance_mode=m))[0].item()  # type: ignore[arg-type]
        for m in (mode, "token_truncate")
    ]
    assert losses[0] == losses[1]


@pytest.mark.parametrize(
    ("overrides", "keeps"),
    [
        ([], False),
        (["train.importance_mode=token_mask"], False),
        (["train.importance_mode=sequence_truncate"], True),
        (["train.importance_mode=sequence_mask", "train.anchor=sampler"], False),
        (["train.importance_mode=sequence_mask", "train.imitation=rft"], False),
    ],
)
def test_a_run_keeps_sequences_where_its_update_weighs_by_them(overrides: list[str], keeps: bool) -> None:
    tiny = ["model.name=tiny-llama", "model.dtype=float32", "run.threads=1"]
    parts = build(load(None, [*tiny, *overrides]), None, lambda line: None)
    assert parts.teacher.settings.keeps_sequences is keeps
