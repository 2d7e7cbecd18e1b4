"""Batches and packs: weights counted by hand, every trained token charged once, budgets kept."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_trees import WEIGHTS, random_step

from roles.tree import ROOT, Tree
from selfplay.learn.batch import TrainBatch, TrainSample, build_batch
from selfplay.train.packing import cut


def test_advantages_are_summed_by_sign_and_scaled_by_all_said_tokens() -> None:
    tree = Tree()
    prompt = tree.extend(ROOT, [1, 2, 3])
    ab = tree.sampled(prompt, [10, 11], [-0.1, -0.2], "solver/0")
    ac = tree.sampled(prompt, [10, 12], [-0.1, -0.3], "solver/0")
    samples = [
        TrainSample("solver/0", ab, 2, 1.0),
        TrainSample("solver/0", ac, 2, -1.0),
        TrainSample("solver/0", ab, 2, 0.5),
        TrainSample("solver/0", ac, 2, 0.0),  # said, so it counts in N; pushes nothing
    ]
    batch = build_batch(tree, samples, {"solver/0": 2.0})
    assert batch.ids.tolist() == [1, 2, 3, 10, 11, 12]
    assert batch.targets.tolist() == [3, 4, 5]
    scale = 2.0 / 8
    assert batch.positive.tolist() == [1.5 * scale, 1.5 * scale, 0.0]
    assert batch.negative.tolist() == [-1.0 * scale, 0.0, -1.0 * scale]
    assert batch.counts.tolist() == [3 * scale, 2 * scale, scale]
    assert batch.flat_tokens == 15


def test_labels_are_normalised_apart() -> None:
    tree = Tree()
    prompt = tree.extend(ROOT, [1])
    short = tree.sampled(prompt, [5], [-1.0], "solver/0")
    long = tree.sampled(tree.extend(prompt, [2]), [6, 7, 8, 9], [-1.0] * 4, "challenger")
    samples = [TrainSample("solver/0", short, 1, 1.0), TrainSample("challenger", long, 4, 1.0)]
    batch = build_batch(tree, samples, {"solver/0": 1.0, "challenger": 1.0})
    sums = {name: batch.positive[batch.labels == i].sum() for i, name in enumerate(batch.label_names)}
    assert sums == {"solver/0": 1.0, "challenger": 1.0}


def test_a_kl_sees_all_samples_of_its_label_and_rewards_only_kept_groups() -> None:
    tree = Tree()
    prompt = tree.extend(ROOT, [1])
    kept = tree.sampled(prompt, [5, 6], [-1.0] * 2, "solver/0")
    flat = tree.sampled(prompt, [7, 8], [-1.0] * 2, "solver/0")
    look = tree.sampled(tree.extend(flat, [2]), [9], [-1.0], "solver/1")
    samples = [
        TrainSample("solver/0", kept, 2, 1.0),
        TrainSample("solver/0", flat, 2, 0.0, is_kept=False),
        TrainSample("solver/0", flat, 2, 0.0, is_kept=False),
        TrainSample("solver/1", look, 1, 1.0),
    ]
    batch = build_batch(tree, samples, {"solver/0": 3.0, "solver/1": 1.0}, {"solver/0": 0.6})
    at = {int(batch.ids[target]): row for row, target in enumerate(batch.targets)}
    assert batch.positive[at[5]] == 3.0 / 2  # the groups that teach nothing are not in N
    assert batch.kl[[at[5], at[6], at[7], at[8], at[9]]] == pytest.approx([0.1, 0.1, 0.2, 0.2, 0.0])  # 0.6 over six
    assert batch.counts[at[7]] == batch.positive[at[7]] == batch.negative[at[7]] == 0.0
    assert batch.kl.sum() == pytest.approx(0.6)


def test_in_stage_one_the_unpaid_first_turn_is_held_and_nothing_else() -> None:
    tree = Tree()
    prompt = tree.extend(ROOT, [1])
    first = tree.sampled(prompt, [5], [-1.0], "solver/0")
    batch = build_batch(tree, [TrainSample("solver/0", first, 1, 1.0)], {"solver/0": 0.0}, {"solver/0": 2.0})
    assert (batch.positive.tolist(), batch.counts.tolist(), batch.kl.tolist()) == ([0.0], [0.0], [2.0])


def test_a_journal_without_a_kl_is_read_as_one_of_zeros() -> None:
    tree, samples = random_step(3, vocabulary=50)
    arrays = build_batch(tree, samples, WEIGHTS).arrays()
    del arrays["kl"]
    assert not TrainBatch.from_arrays(arrays).kl.any()


def test_what_pushes_nothing_is_not_run() -> None:
    tree = Tree()
    prompt = tree.extend(ROOT, [1, 2])
    flat = tree.sampled(prompt, [5, 6], [-1.0, -1.0], "solver/0")
    batch = build_batch(tree, [TrainSample("solver/0", flat, 2, 0.0)], {"solver/0": 1.0})
    assert len(batch.ids) == len(batch.targets) == 0
    assert cut(batch, 100) == []


def test_leaves_are_not_run() -> None:
    tree = Tree()
    prompt = tree.extend(ROOT, [1, 2])
    end = tree.sampled(prompt, [5, 6], [-1.0, -1.0], "solver/0")
    (pack,) = cut(build_batch(tree, [TrainSample("solver/0", end, 2, 1.0)], {"solver/0": 1.0}), 100)
    assert pack.tokens.tolist() == [0, 1, 2]  # 1, 2 and 5; the last token predicts nothing
    assert pack.sources.tolist() == [1, 2]


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 100_000), budget=st.integers(1, 80))
def test_packs_cover_every_trained_token_once_and_carry_its_ancestors(seed: int, budget: int) -> None:
    tree, samples = random_step(seed, vocabulary=50)
    batch = build_batch(tree, samples, WEIGHTS)
    packs = cut(batch, budget)
    charged = np.concatenate([pack.targets for pack in packs]) if packs else np.array([])
    assert sorted(charged.tolist()) == list(range(len(batch.targets)))
    for pack in packs:
        place = {int(token): i for i, token in enumerate(pack.tokens)}
        assert len(place) == len(pack.tokens)
        for token, i in place.items():
            parent = int(batch.parents[token])
            assert parent == ROOT or place[parent] < i
        for source, row in zip(pack.sources, pack.targets, strict=True):
            assert pack.tokens[source] == batch.parents[batch.targets[row]]
        longest = int(batch.depths[pack.tokens].max()) + 1
        assert len(pack.tokens) <= max(budget, longest + 10)  # a run without a branch is never cut


def test_a_batch_survives_the_journal() -> None:
    tree, samples = random_step(3, vocabulary=50)
    batch = build_batch(tree, samples, WEIGHTS)
    again = TrainBatch.from_arrays(batch.arrays())
    assert again.label_names == batch.label_names
    assert again.flat_tokens == batch.flat_tokens
    for name, array in batch.arrays().items():
        assert np.array_equal(array, again.arrays()[name]), name
