"""top_k, top_p and min_p: what is drawn, what is stored of it, and that the trainer takes the same distribution."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import MinPLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

from roles.requests import SamplingParams
from roles.support import Support
from roles.tree import ROOT, Tree
from selfplay.engine import sampling
from selfplay.engine.flat_engine import FlatEngine
from selfplay.engine.protocol import Draw, Sampler
from selfplay.engine.sampling import Speaker
from selfplay.engine.tree_engine import TreeEngine
from selfplay.engine.truncation import drawable
from selfplay.learn.batch import TrainBatch, TrainSample, build_batch
from selfplay.model.policy import Policy
from selfplay.model.weights.loading import load_model
from selfplay.model.weights.tiny import VOCABULARY
from selfplay.train.loss import LossSettings
from selfplay.train.trainer import Trainer, TrainerSettings
from store.journal import StepJournal, read_journal, write_journal
from store.records import Completion, Finish

PLAIN = SamplingParams(1.3, 6, ("\n",))
KINDS = {
    "top_k": replace(PLAIN, top_k=9),
    "top_p": replace(PLAIN, top_p=0.6),
    "min_p": replace(PLAIN, min_p=0.3),
    "all three": replace(PLAIN, top_k=60, top_p=0.7, min_p=0.1),
}
DRAWN = 3000
LEAST_P = 1e-4  # what a chi-square may have: with these seeds it is a fact, not a chance


@pytest.fixture
def policy() -> Policy:
    loaded = load_model("tiny-llama", "float32")
    return Policy(loaded.model, loaded.tokenizer, torch.device("cpu"))


def reference(logits: torch.Tensor, params: SamplingParams) -> torch.Tensor:
    """[M, V] probabilities by transformers' own classes, in the order in which it applies them."""
    scores, ids = logits / params.temperature, torch.zeros(len(logits), 1, dtype=torch.long)
    if params.top_k:
        scores = TopKLogitsWarper(params.top_k)(ids, scores)
    if params.top_p < 1:
        scores = TopPLogitsWarper(params.top_p)(ids, scores)
    if params.min_p:
        scores = MinPLogitsWarper(params.min_p)(ids, scores)
    return scores.softmax(-1)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("engine", [TreeEngine, FlatEngine])
def test_draws_follow_the_truncated_distribution(engine: type[Sampler], kind: str, policy: Policy) -> None:
    params, text = replace(KINDS[kind], max_tokens=1), list(b"12 + 7 =")
    tree = Tree()
    draw = Draw(tree.extend(ROOT, text), DRAWN, params, ("solver", kind), "solver/0")
    [group] = engine(policy, seed=1).sample(tree, [draw])  # type: ignore[call-arg]
    with torch.no_grad():
        [p] = reference(policy.model(torch.tensor([text])).logits[0, -1:].double(), params)
    said = np.bincount([sampled.completion.ids[0] for sampled in group], minlength=VOCABULARY)
    assert not said[p.numpy() == 0].any()
    cells = np.flatnonzero(p * DRAWN >= 5)
    expected = np.append(p[cells] * DRAWN, DRAWN * (1 - p[cells].sum()) + 1e-9)
    found = np.append(said[cells], DRAWN - said[cells].sum())
    chi2 = torch.tensor(((found - expected) ** 2 / expected)[expected >= 1].sum())
    assert torch.special.gammaincc(torch.tensor((len(cells) - 1) / 2.0).double(), chi2 / 2) > LEAST_P
    for sampled in group[:50]:
        [token], [logprob] = sampled.completion.ids, sampled.completion.logprobs
        assert logprob == pytest.approx(p[token].log().item(), abs=1e-5)
        assert set(tree.supports[sampled.node].ids()) == set(np.flatnonzero(p))


@pytest.mark.parametrize("params", [*KINDS.values(), replace(PLAIN, top_p=0.9999), replace(PLAIN, top_k=10**6)])
@pytest.mark.parametrize("scale", [0.1, 3.0])
def test_a_large_vocabulary_is_truncated_as_transformers_does_it(params: SamplingParams, scale: float) -> None:
    """From a nearly even distribution, of which a nucleus is most tokens, to one that few tokens share."""
    logits = torch.randn(3, 5000, generator=torch.Generator().manual_seed(2)) * scale
    wanted, left = reference(logits.double(), params) > 0, drawable((logits / params.temperature).softmax(-1), params)
    assert (wanted != left).sum() <= 2  # a token at the very border, by rounding


def test_tokens_that_are_equally_likely_stay_or_go_together() -> None:
    probabilities = torch.tensor([[0.1, 0.3, 0.3, 0.3, 0.0]])
    for params in (replace(PLAIN, top_k=1), replace(PLAIN, top_p=0.2), replace(PLAIN, min_p=0.9)):
        assert drawable(probabilities, params).tolist() == [[False, True, True, True, False]]


def test_a_token_said_again_is_drawable_and_what_truncation_left_stays_as_it_was() -> None:
    """On another machine, rounding may leave out a token that was said before a crash."""
    is_left = torch.tensor([[True, True, False, False]])
    said = Completion((3,), (-1.0,), "", Finish.LENGTH, 0, 0)
    draw = Draw(ROOT, 1, replace(KINDS["top_k"], max_tokens=1), (), "solver/0")
    again = Speaker(draw, np.zeros(1), None, ROOT, said)
    sampling._note_supports(is_left, [[again]])
    assert again.support is not None and list(again.support.ids()) == [0, 1, 3]
    assert is_left.tolist() == [[True, True, False, False]]


def spoken(policy: Policy, engine: type[Sampler], params: SamplingParams, second: SamplingParams) -> TrainBatch:
    """A batch of first tries, many alike, and second looks at them."""
    tree, sampler = Tree(), engine(policy, seed=3)  # type: ignore[call-arg]
    asked = [Draw(tree.extend(ROOT, text), 8, params, ("x", i), "solver/0") for i, text in enumerate([b"1+1=", b"7"])]
    firsts = [each for group in sampler.sample(tree, asked) for each in group]
    ends = [Draw(tree.extend(each.node, b"?"), 1, second, ("y", i), "solver/1") for i, each in enumerate(firsts)]
    looks = [each for group in sampler.sample(tree, ends) for each in group]
    said = [("solver/0", each) for each in firsts] + [("solver/1", each) for each in looks]
    samples = [
        TrainSample(label, each.node, len(each.completion.ids), [1.0, -0.5, 0.25][i % 3])
        for i, (label, each) in enumerate(said)
    ]
    return build_batch(tree, samples, {"solver/0": 1.0, "solver/1": 1.3})


def trainer_of(policy: Policy, learning_rate: float = 1e-3) -> Trainer:
    temperatures = dict.fromkeys(("solver/0", "solver/1"), PLAIN.temperature)
    loss = LossSettings(anchor="sampler")
    settings = TrainerSettings(learning_rate, temperatures=temperatures, pack_tokens=60, loss=loss, step_kl=1e-3)
    return Trainer(policy, settings)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("engine", [TreeEngine, FlatEngine])
def test_the_ratio_of_an_unchanged_policy_is_one(engine: type[Sampler], kind: str, policy: Policy) -> None:
    batch = spoken(policy, engine, KINDS[kind], PLAIN)
    assert batch.supports is not None and set(batch.label_names) == {"solver/0", "solver/1"}
    assert (batch.supports.rows >= 0).tolist() == [batch.label_names[i] == "solver/0" for i in batch.labels]
    metrics = trainer_of(policy, learning_rate=1e-12).step(batch).metrics
    assert metrics["sampling/logp_diff/max"] < 1e-5
    assert abs(metrics["train/step_kl"]) < 1e-6  # what an update moved is measured over the same tokens
    assert metrics["clip_ratio/region_mean"] == 0


def test_a_policy_that_has_moved_is_compared_over_the_tokens_that_could_be_drawn_then(policy: Policy) -> None:
    """The other half: the set is the sampler's, not one that the new weights would leave."""
    batch = spoken(policy, TreeEngine, KINDS["top_k"], KINDS["top_p"])
    trainer = trainer_of(policy)
    for _ in range(20):
        trainer.step(batch)
    assert 0.01 < trainer.step(batch).metrics["sampling/logp_diff/max"] < 50  # no log of 0


def test_a_batch_comes_back_from_its_journal_and_says_what_no_batch_has(policy: Policy, tmp_path: Path) -> None:
    batch = spoken(policy, TreeEngine, KINDS["top_p"], PLAIN)
    name, sha256 = write_journal(tmp_path, StepJournal(1, batch.arrays()))
    arrays = dict(read_journal(tmp_path, name, sha256).arrays)
    again = TrainBatch.from_arrays(arrays)
    assert again.supports is not None and batch.supports is not None
    assert again.supports.sets == batch.supports.sets and (again.supports.rows == batch.supports.rows).all()
    twin = Policy(load_model("tiny-llama", "float32").model, policy.tokenizer, policy.device)
    trainers = trainer_of(policy), trainer_of(twin)
    for trainer, each in zip(trainers, (batch, again), strict=True):
        trainer.step(each)
    assert trainers[0].digest() == trainers[1].digest()
    unlike = arrays["ids"].copy()
    unlike[arrays["targets"][arrays["support_rows"] >= 0]] = 255
    wrong = {
        "not in the set": {"ids": unlike},
        "not all there": {"support_bytes": None},
        "not cut": {"support_starts": arrays["support_starts"][::-1].copy()},
        "a set that is not there": {"support_rows": arrays["support_rows"] + 10**6},
        "out of order": {"support_bytes": arrays["support_bytes"] * 0},
        "not a column": {"support_rows": arrays["support_rows"][:-1]},
    }
    for said, change in wrong.items():
        forged = {key: value for key, value in (arrays | change).items() if value is not None}
        with pytest.raises(ValueError, match=said):
            TrainBatch.from_arrays(forged)


def test_a_batch_of_another_vocabulary_is_refused(policy: Policy) -> None:
    few = spoken(policy, TreeEngine, replace(PLAIN, top_k=5), PLAIN).arrays()
    with pytest.raises(ValueError, match="a vocabulary of 300, not 257"):
        trainer_of(policy).step(TrainBatch.from_arrays(few | {"support_vocabulary": np.array([300])}))


def test_a_batch_that_was_drawn_from_everything_is_stored_as_ever(policy: Policy) -> None:
    batch = spoken(policy, TreeEngine, PLAIN, PLAIN)
    assert batch.supports is None
    assert not [name for name in batch.arrays() if name.startswith("support")]


@given(st.integers(1, 400).flatmap(lambda v: st.tuples(st.just(v), st.sets(st.integers(0, v - 1), min_size=1))))
def test_a_set_takes_no_more_than_a_bit_a_token(case: tuple[int, set[int]]) -> None:
    vocabulary, ids = case
    support = Support.of(np.array(sorted(ids)), vocabulary)
    assert support.ids().tolist() == sorted(ids)
    assert len(support.data) <= min(4 * len(ids), (vocabulary + 7) // 8)


def test_a_scripted_token_is_in_its_set_though_rounding_left_it_out(policy: Policy) -> None:
    params = replace(KINDS["top_k"], max_tokens=1)

    def sampled(script: Sequence[int]) -> tuple[Tree, int]:
        tree = Tree()
        draw = Draw(tree.extend(ROOT, b"1"), 1, params, ("x",), "solver/0")
        sampler = TreeEngine(policy, seed=0)
        [[drawn]] = sampler.sample(tree, [draw])
        other = Tree()
        given_ids = [replace(drawn.completion, ids=tuple(script))] if script else [drawn.completion]
        [[again]] = TreeEngine(policy, seed=0).sample(other, [replace(draw, node=other.extend(ROOT, b"1"))], given_ids)
        return other, again.node

    tree, node = sampled([])
    usual = set(tree.supports[node].ids())
    out = next(token for token in range(VOCABULARY) if token not in usual)
    tree, node = sampled([out])
    assert set(tree.supports[node].ids()) == usual | {out}
