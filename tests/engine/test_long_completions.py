"""Long completions: memory for sampling and training grows with their length, as their keys and values do, and not with
its square."""

import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from roles.requests import SamplingParams
from roles.tree import ROOT, Tree
from selfplay.engine import tree_engine
from selfplay.engine.protocol import Draw
from selfplay.engine.tree_engine import TreeEngine
from selfplay.learn.batch import TrainSample, build_batch
from selfplay.model.attention import kernel, plan
from selfplay.model.policy import Policy
from selfplay.model.weights.loading import load_model
from selfplay.train.loss import LossSettings
from selfplay.train.trainer import Trainer, TrainerSettings

LINEAR = 2.3  # times as much for twice as long: what does not grow would make it less, what is squared makes it 4
PROMPT = b"12 + 7 ="


def policy() -> Policy:
    """Without an end of sequence, so that completions are as long as they may be."""
    loaded = load_model("tiny-llama", "float32")
    loaded.tokenizer.eos_token_id = None
    return Policy(loaded.model, loaded.tokenizer, torch.device("cpu"))


def peak(profiled: profile) -> int:
    """The most bytes that tensors held beyond what they held at first."""
    held = most = 0
    for event in profiled.profiler.kineto_results.events():  # type: ignore[union-attr]
        if event.name() == "[memory]":
            held += event.nbytes()
            most = max(most, held)
    return most


def trained(length: int, group_size: int = 1) -> int:
    """The peak of one update on completions of so many tokens."""
    tree = Tree()
    above = tree.extend(ROOT, PROMPT)
    ids = torch.randint(0, 256, (group_size, length), generator=torch.Generator().manual_seed(0)).tolist()
    nodes = [tree.sampled(above, row, [-1.0] * length, "solver/0") for row in ids]
    batch = build_batch(tree, [TrainSample("solver/0", node, length, 1.0) for node in nodes], {"solver/0": 1.0})
    settings = TrainerSettings(learning_rate=1e-3, loss=LossSettings(anchor="sampler"), pack_tokens=1024, mode="tree")
    trainer = Trainer(policy(), settings)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        trainer.step(batch)
    return peak(profiled)


def sampled(length: int) -> int:
    """The peak of sampling one completion of so many tokens."""
    tree, engine = Tree(), TreeEngine(policy(), 3)
    draw = Draw(tree.extend(ROOT, PROMPT), 1, SamplingParams(1.0, length, ()), ("long",), "solver/0")
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        [[said]] = engine.sample(tree, [draw])
    assert len(said.completion.ids) == length
    return peak(profiled)


def test_training_on_a_long_completion_takes_memory_by_its_length() -> None:
    assert 1.3 < trained(2048) / trained(1024) < LINEAR


def test_second_looks_behind_long_attempts_do_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chains that are no long ones: their weights over a long path are not kept from layer to layer."""
    monkeypatch.setattr(plan, "LONG", 10**9)
    everything = trained(1024)
    monkeypatch.setattr(kernel, "KEPT_BYTES", 1 << 20)
    assert trained(1024) < 0.8 * everything


@pytest.mark.parametrize("most_row_keys", [1 << 14, 0], ids=["in rows", "on the tree"])
def test_sampling_a_long_completion_takes_memory_by_its_length(
    most_row_keys: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tree_engine, "MAX_ROW_KEYS", most_row_keys)
    monkeypatch.setattr(tree_engine, "MAX_LONG_ROW_KEYS", most_row_keys)
    assert sampled(512) / sampled(256) < LINEAR


def test_many_long_completions_are_decoded_in_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading the tree takes as long for each token as its path is."""
    monkeypatch.setattr(tree_engine, "MAX_ROW_KEYS", 64)
    monkeypatch.setattr(tree_engine, "LONG_ROW", 40)
    tree, engine = Tree(), TreeEngine(policy(), 3)
    kinds: list[bool] = []
    lay_out = engine._lay_out_rows
    monkeypatch.setattr(engine, "_lay_out_rows", lambda *given: kinds.append(lay_out(*given)) or kinds[-1])
    params = SamplingParams(1.0, 50, ())
    said = engine.sample(tree, [Draw(tree.extend(ROOT, PROMPT), 3, params, ("long",), "solver/0")])
    shorter, longer = kinds[25:35], kinds[45:]  # of 3 rows: more than 64 keys, then longer than 40 each
    assert not any(shorter) and all(longer)
    monkeypatch.undo()
    plain = Tree()
    again = TreeEngine(policy(), 3).sample(plain, [Draw(plain.extend(ROOT, PROMPT), 3, params, ("long",), "solver/0")])
    assert [s.completion.ids for s in said[0]] == [s.completion.ids for s in again[0]]
