"""The critic heads: what they learn, what checkpoints and digests keep of them, and that the policy never sees them."""

from pathlib import Path

import numpy as np
import pytest
import torch

from roles.tree import ROOT, Tree
from selfplay.engine.flat_engine import FlatEngine
from selfplay.engine.protocol import Question, TokenCount
from selfplay.engine.tree_engine import TreeEngine
from selfplay.learn.batch import TrainBatch, TrainSample, build_batch
from selfplay.learn.critic_batch import CriticBatch, critic_batch
from selfplay.model.policy import Policy
from selfplay.model.weights.loading import load_model
from selfplay.train.critic import Critic, CriticSettings, forest_hidden
from selfplay.train.scorer import Scorer
from selfplay.train.trainer import Trainer, TrainerSettings
from store.journal import StepJournal, read_journal, write_journal

CPU = torch.device("cpu")


def policy_of() -> Policy:
    loaded = load_model("tiny-llama", "float32")
    return Policy(loaded.model, loaded.tokenizer, CPU)


def critic_of(policy: Policy, **settings: int) -> Critic:
    return Critic(policy.head.weight.shape[1], 7, CPU, CriticSettings(**settings))  # type: ignore[arg-type]


def two_steps() -> tuple[Tree, list[int], CriticBatch]:
    """A good step and a bad one behind one prompt."""
    tree = Tree()
    prompt = tree.extend(ROOT, b"3 5 8: 16 =")
    ends = [tree.extend(prompt, text) for text in (b"3+5=8,", b"8*8=64,")]
    batch = critic_batch(tree, {ends[0]: ((1.0, 3.0), (1.0, 3.0)), ends[1]: ((0.0, 2.0), (0.0, 2.0))})
    assert batch is not None
    return tree, ends, batch


def answers() -> TrainBatch:
    tree = Tree()
    prompt = tree.extend(ROOT, b"2 + 3 =")
    good, bad = (tree.sampled(prompt, text, [-5.0] * len(text), "solver/0") for text in (b" 5\n", b"q"))
    samples = [TrainSample("solver/0", good, 3, 0.5), TrainSample("solver/0", bad, 1, -0.5)]
    return build_batch(tree, samples, {"solver/0": 1.0})


def test_heads_say_one_half_at_first_and_then_tell_the_steps_apart() -> None:
    policy, (_, _, batch) = policy_of(), two_steps()
    critic, hidden = critic_of(policy, epochs=60), forest_hidden(policy, batch, is_padded=False)
    assert critic.predict(hidden).tolist() == [[0.5, 0.5], [0.5, 0.5]]
    before = critic.step(hidden, batch, version=0)["critic/loss"]
    assert before == pytest.approx(np.log(2)) and critic.step(hidden, batch, 1)["critic/loss"] < 0.5 * before
    good, bad = critic.predict(hidden).tolist()
    assert min(good) > 0.7 and max(bad) < 0.3


def test_a_step_that_weighs_nothing_teaches_nothing() -> None:
    policy, (tree, ends, _) = policy_of(), two_steps()
    batch = critic_batch(tree, {ends[0]: ((1.0, 0.0), (1.0, 0.0))})
    assert batch is not None and critic_batch(tree, {}) is None
    critic, hidden = critic_of(policy), forest_hidden(policy, batch, is_padded=False)
    critic.step(hidden, batch, 0)
    assert critic.predict(hidden).tolist() == [[0.5, 0.5]]


def test_heads_that_are_not_refreshed_stay_as_they_are() -> None:
    policy, (_, _, batch) = policy_of(), two_steps()
    critic, hidden = critic_of(policy, last_step=2), forest_hidden(policy, batch, is_padded=False)
    assert critic.step(hidden, batch, 1) != {}
    before = critic.predict(hidden)
    assert critic.step(hidden, batch, 2) == {} and torch.equal(critic.predict(hidden), before)


def test_a_state_goes_on_bit_for_bit_and_a_digest_sees_it() -> None:
    _, _, batch = two_steps()
    trainers = []
    for _ in range(2):
        policy = policy_of()
        trainers.append(Trainer(policy, TrainerSettings(), critic=critic_of(policy)))
    first, second = trainers
    digests = [first.digest()]
    first.step(answers(), batch)
    digests.append(first.digest())
    second.load_state({name: tensor.clone() for name, tensor in first.state().items()}, version=1)
    assert second.digest() == digests[1] != digests[0]
    for trainer in trainers:
        trainer.step(answers(), batch)
    assert first.digest() == second.digest() and any(name.startswith("critic_adam/") for name in first.state())
    assert first.critic is not None
    moved = first.critic.state()["critic/0.bias"]
    moved += 1.0
    assert first.digest() != second.digest()


def test_the_policys_update_is_the_same_with_and_without_heads() -> None:
    _, _, batch = two_steps()
    found = []
    for has_heads in (False, True):
        policy = policy_of()
        trainer = Trainer(policy, TrainerSettings(), critic=critic_of(policy) if has_heads else None)
        trainer.step(answers(), batch if has_heads else None)
        found.append(trainer.masters)
    assert all(torch.equal(found[0][name], found[1][name]) for name in found[0])


def test_a_journal_keeps_what_heads_are_taught(tmp_path: Path) -> None:
    _, _, batch = two_steps()
    file = write_journal(tmp_path, StepJournal(1, answers().arrays() | batch.arrays()))
    arrays = read_journal(tmp_path, *file).arrays
    again, trained = CriticBatch.from_arrays(arrays), TrainBatch.from_arrays(arrays)
    assert again is not None and trained.label_names == ("solver/0",)
    for name in CriticBatch.__slots__:
        assert np.array_equal(getattr(again, name), getattr(batch, name)), name
    assert CriticBatch.from_arrays(answers().arrays()) is None


def test_hidden_states_on_the_tree_are_those_of_padded_rows() -> None:
    policy, (tree, ends, batch) = policy_of(), two_steps()
    on_tree, padded = (forest_hidden(policy, batch, is_padded=flat) for flat in (False, True))
    assert torch.allclose(on_tree, padded, atol=1e-4)
    engines = TreeEngine(policy, 0), FlatEngine(policy, 0)
    hidden = [engine.hidden(tree, sorted(ends)) for engine in engines]
    assert torch.allclose(hidden[0], hidden[1], atol=1e-4) and torch.allclose(hidden[0], padded, atol=1e-4)
    assert torch.allclose(engines[0].hidden(tree, [min(ends)]), hidden[0][:1], atol=1e-4)  # it was run before


def test_scores_are_next_token_probabilities_and_heads_in_the_order_of_the_questions() -> None:
    policy, (tree, ends, batch) = policy_of(), two_steps()
    critic = critic_of(policy, epochs=60)
    critic.step(forest_hidden(policy, batch, is_padded=False), batch, 0)
    first, second = ends
    questions = [Question(second, (49, 48)), Question(first), Question(second), Question(first, (48,))]
    scored = Scorer(policy, TreeEngine(policy, 0), critic)(tree, questions, TokenCount())
    plain = policy.head.logits(policy.padded_hidden(tree, [second, first])).softmax(-1)
    assert scored[0].choices == pytest.approx((plain[0, 49].item(), plain[0, 48].item()), rel=1e-3)
    assert scored[3].choices == pytest.approx((plain[1, 48].item(),), rel=1e-3)
    assert scored[1].choices == () and scored[1].value == scored[3].value
    assert scored[0].value == scored[2].value and (scored[1].value or 0) > 0.7 > 0.3 > (scored[2].value or 1)
    assert Scorer(policy, TreeEngine(policy, 0))(tree, questions, TokenCount())[1].value is None
