"""Adapters of the challenger's own: what moves them, what speaks with them, and what a checkpoint makes of them."""

from collections.abc import Iterable
from pathlib import Path

import pytest
import torch
from random_trees import WEIGHTS, random_step
from store_samples import create, step_commit
from torch import Tensor

from roles.requests import SamplingParams
from roles.tree import ROOT, Tree
from selfplay.config.files import load
from selfplay.engine.protocol import Draw
from selfplay.learn.batch import TrainBatch, TrainSample, build_batch
from selfplay.machine.errors import Refused
from selfplay.model.adapters import DEFAULT, adapter_of
from selfplay.model.probe import Parity
from selfplay.model.weights.loading import load_model
from selfplay.run.build import Parts, build
from selfplay.run.checkpoint import Checkpoints, load_weights
from selfplay.suite.loading import LoadedPolicy
from selfplay.suite.rescoring import logprobs_of
from selfplay.suite.subjects import Subject

CHALLENGER, SOLVER = "challenger", "solver/0"
TINY = [
    "model.name=tiny-llama", "model.dtype=float32", "run.threads=1", "policy.lora.r=3", "policy.lora.per_role=true",
    "train.learning_rate=0.02", "train.weight_decay=0.1", "train.anchor=sampler", "train.clip_high=1e9",
]  # fmt: skip
PARAMS = SamplingParams(1.0, 12, ())
PROMPT = b"one plus two is"


def built(*changes: str) -> Parts:
    return build(load(None, [*TINY, *changes]), None, lambda line: None)


def a_batch(*labels: str) -> TrainBatch:
    """A random step's samples of the given labels."""
    tree, samples = random_step(6, vocabulary=200)
    batch = build_batch(tree, [sample for sample in samples if sample.label in labels], WEIGHTS)
    assert set(batch.label_names) == set(labels)
    return batch


def state_of(parts: Parts, adapter: str) -> dict[str, Tensor]:
    """Masters, moments and served weights of one role's adapters."""
    everything = parts.trainer.state() | dict(parts.policy.trainable)
    mine = {name: t.detach().clone() for name, t in everything.items() if adapter_of(name) == adapter}
    assert any(name.startswith("master/") for name in mine) and all(".lora_" in name for name in mine)
    return mine


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def moved(parts: Parts, *batches: TrainBatch) -> Parts:
    for batch in batches:
        parts.trainer.step(batch)
    return parts


@pytest.mark.parametrize(("label", "own", "other"), [(CHALLENGER, CHALLENGER, DEFAULT), (SOLVER, DEFAULT, CHALLENGER)])
def test_an_update_of_one_role_leaves_the_others_adapters_and_moments_bit_for_bit(
    label: str, own: str, other: str
) -> None:
    parts = moved(built(), a_batch(CHALLENGER, SOLVER), a_batch(CHALLENGER, SOLVER))  # both have momentum now
    assert "adam/exp_avg/" in "".join(state_of(parts, other))
    before = {each: state_of(parts, each) for each in (own, other)}
    metrics = parts.trainer.step(a_batch(label)).metrics
    assert same(state_of(parts, other), before[other])
    after = state_of(parts, own)
    assert all(not torch.equal(after[name], old) for name, old in before[own].items())
    assert metrics["grad_norm"] == metrics[f"grad_norm/{own}"] > 0 and f"grad_norm/{other}" not in metrics
    assert parts.policy.active_adapter == DEFAULT


def test_one_update_of_both_roles_is_an_update_of_each() -> None:
    """The clip of one is not the other's: with a bound that binds, their scales would differ."""
    apart = {CHALLENGER: moved(built(), a_batch(CHALLENGER)), DEFAULT: moved(built(), a_batch(SOLVER))}
    both = built()
    norms = both.trainer.step(a_batch(CHALLENGER, SOLVER)).metrics
    for adapter, alone in apart.items():
        assert norms[f"grad_norm/{adapter}"] > 0.01
        assert same(state_of(both, adapter), state_of(alone, adapter))
    shared = built("policy.lora.per_role=false")
    mixed = shared.trainer.step(a_batch(CHALLENGER, SOLVER)).metrics
    assert "grad_norm/default" not in mixed
    assert not same(state_of(shared, DEFAULT), state_of(apart[DEFAULT], DEFAULT))


def said_by(parts: Parts, roles: Iterable[str], tree: Tree) -> list[TrainSample]:
    """Eight completions behind the prompt from each role in turn, which the tree has beside one another."""
    node, samples = tree.extend(ROOT, list(PROMPT)), []
    for turn, role in enumerate(roles):
        label = CHALLENGER if role == CHALLENGER else SOLVER
        speaker = parts.game.voices.of(role)  # type: ignore[arg-type]
        [said] = speaker.sample(tree, [Draw(node, 8, PARAMS, (role, turn), label)])
        samples += [TrainSample(label, s.node, len(s.completion.ids), 1.0) for s in said]
    return samples


@pytest.mark.parametrize(
    ("engine", "gap"),
    [
        ((), 1e-4),
        (("train.pass_mode=flat",), 1e-4),
        (("engine.decoding=rows",), 1e-4),
        (("model.dtype=bfloat16",), 0.1),
    ],
    ids=str,
)
def test_what_each_role_says_is_what_the_trainer_computes_with_its_adapters(
    engine: tuple[str, ...], gap: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Roles take turns on one tree, below one prompt: keys and values, and in bfloat16 blocks of the weights, of one
    must not be read by the other."""
    monkeypatch.setattr("selfplay.model.prepacked.PATIENCE", 0)
    parts = moved(built(*engine), *[a_batch(CHALLENGER), a_batch(SOLVER)] * 3)
    parts.game.voices.serve(parts.policy.version)
    tree = Tree()
    samples = said_by(parts, ("solver", CHALLENGER, "solver", "judge", CHALLENGER), tree)
    batch = build_batch(tree, samples, {CHALLENGER: 1.0, SOLVER: 1.0})
    own = logprobs_of(batch, loaded(parts, *engine))
    assert abs(own - batch.sampler_logprobs).max() < gap
    names = list(batch.label_names)
    is_challengers = batch.labels == names.index(CHALLENGER)
    swapped = logprobs_of(batch, loaded(parts, *engine, "policy.lora.per_role=false"))  # all by the solver's
    assert abs(swapped - batch.sampler_logprobs)[is_challengers].max() > 5 * gap
    assert abs(swapped - own)[~is_challengers].max() < gap
    assert parts.trainer.step(batch).metrics["sampling/logp_diff/max"] < gap


def loaded(parts: Parts, *changes: str) -> LoadedPolicy:
    config = load(None, [*TINY, *changes])
    return LoadedPolicy(Subject("it", config, None), parts.policy, Parity(True, 0.0, ""))


@torch.no_grad()
def logits(model: object) -> Tensor:
    return model(torch.tensor([list(PROMPT)])).logits  # type: ignore[operator,no-any-return]


def test_a_checkpoint_gives_the_solvers_adapters_and_has_the_challengers_beside_them(tmp_path: Path) -> None:
    parts = moved(built(), *[a_batch(CHALLENGER), a_batch(SOLVER)] * 2)
    with create(tmp_path / "selfplay.db") as store:
        head = store.commit_step(step_commit(1, weights_digest=parts.trainer.digest()))
        row = Checkpoints(tmp_path, keep=1).save(store, head, parts.trainer, parts.policy)
    solvers = logits(parts.policy.model)
    with parts.policy.activated(CHALLENGER):
        challengers = logits(parts.policy.model)
    assert (solvers - challengers).abs().max() > 0.1
    assert torch.equal(logits(parts.policy.model), solvers)

    product = tmp_path / row.path / "policy"
    torch.testing.assert_close(logits(load_model(str(product), "float32").model), solvers)
    torch.testing.assert_close(logits(load_model(str(product / CHALLENGER), "float32").model), challengers)

    evaluated = built().policy
    load_weights(tmp_path, row, evaluated, 1)
    assert torch.equal(logits(evaluated.model), solvers)

    resumed = built()
    Checkpoints(tmp_path, keep=1).load(row, resumed.trainer, 4)
    for each in (parts, resumed):
        moved(each, a_batch(CHALLENGER, SOLVER))
    assert resumed.trainer.digest() == parts.trainer.digest()


def test_both_roles_begin_as_the_start_model_and_the_solver_as_with_one_set() -> None:
    apart, shared = built(), built("policy.lora.per_role=false")
    ones = {name: tensor for name, tensor in apart.trainer.masters.items() if adapter_of(name) == DEFAULT}
    assert same(ones, shared.trainer.masters) and len(apart.trainer.masters) == 2 * len(ones)
    solvers = logits(apart.policy.model)
    with apart.policy.activated(CHALLENGER):
        assert torch.equal(logits(apart.policy.model), solvers)


@pytest.mark.parametrize("source", ["frozen", "none", "procedural"])
def test_a_challenger_that_is_not_trained_has_none(source: str) -> None:
    parts = built(f"challenger.source={source}")
    assert {adapter_of(name) for name in parts.trainer.masters} == {DEFAULT}
    assert not parts.game.voices.adapted


def test_layers_that_peft_runs_by_itself_are_refused() -> None:
    with pytest.raises(Refused, match=r"policy.lora.per_role=true: .*c_attn.* of this model are no nn.Linear"):
        built("model.name=tiny-gpt2")
