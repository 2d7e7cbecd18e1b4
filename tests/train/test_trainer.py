"""The trainer on a tiny model: what an update does, what it does not depend on, and what it refuses."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from random_trees import WEIGHTS, random_step
from store_samples import create, step_commit
from torch import Tensor
from updates import gradient, tiny_policy

from roles.tree import ROOT, Tree
from selfplay.config.files import load
from selfplay.learn.batch import NO_KL, NOT_SAMPLED, TrainBatch, TrainSample, build_batch
from selfplay.machine.errors import NonFiniteError
from selfplay.model.policy import Policy
from selfplay.model.weights.loading import load_model
from selfplay.run.build import Parts, build
from selfplay.run.checkpoint import Checkpoints
from selfplay.run.checkpoint_files import verify
from selfplay.train.loss import LossSettings
from selfplay.train.trainer import Trainer, TrainerSettings

SETTINGS = TrainerSettings(learning_rate=1e-3, loss=LossSettings(anchor="sampler"))
TINY = ["model.name=tiny-llama", "model.dtype=float32", "run.threads=1", "train.learning_rate=1e-3"]


def trainer_of(settings: TrainerSettings = SETTINGS, name: str = "tiny-llama") -> tuple[Policy, Trainer]:
    """A fresh policy, always the same, and its trainer."""
    made = tiny_policy(name)
    return made, Trainer(made, settings)


def random_batch(seed: int = 5) -> TrainBatch:
    """A step with trained tokens of both signs, in several labels."""
    tree, samples = random_step(seed, vocabulary=200)
    batch = build_batch(tree, samples, WEIGHTS)
    assert len(batch.targets) > 10
    return batch


def rewarded_answer(kl: Mapping[str, float] = NO_KL) -> TrainBatch:
    """One prompt, the answer " 5" with its stop rewarded, the answer "q" punished; no ratio is clipped."""
    tree = Tree()
    prompt = tree.extend(ROOT, list(b"2 + 3 ="))
    good = tree.sampled(prompt, list(b" 5\n"), [-5.0] * 3, "solver/0")
    bad = tree.sampled(prompt, list(b"q"), [-6.0], "solver/0")
    samples = [TrainSample("solver/0", good, 3, 0.5), TrainSample("solver/0", bad, 1, -0.5)]
    return build_batch(tree, samples, {"solver/0": 1.0}, kl)


@torch.no_grad()
def logprob(policy: Policy, text: bytes, last: int) -> float:
    """Of the last tokens of a text, by the plain model."""
    ids = torch.tensor([list(text)])
    logprobs = policy.model(ids).logits[0].float().log_softmax(-1)
    return float(logprobs[-last - 1 : -1].gather(1, ids[0, -last:, None]).sum())


def weights(trainer: Trainer) -> Tensor:
    return torch.cat([master.flatten().clone() for master in trainer.masters.values()])


def assert_same_update(one: Trainer, other: Trainer) -> None:
    a, b = gradient(one), gradient(other)
    assert a.norm() > 0
    assert (a - b).norm() / b.norm() < 1e-5


def test_copied_tokens_that_nobody_sampled_are_left_out_of_what_the_sampler_is_measured_by() -> None:
    """D7: their log-probability was 0.0, and `sampling/logp_diff/*` took it for the sampler's."""
    imitating = replace(SETTINGS, loss=LossSettings(anchor="none"))
    tree = Tree()
    prompt = tree.extend(ROOT, list(b"2 + 3 ="))
    good = tree.sampled(prompt, list(b" 5\n"), [-5.0] * 3, "solver/0")
    told = tree.sampled(prompt, list(b"five\n"), [NOT_SAMPLED] * 5, "solver/0")
    samples = [TrainSample("solver/0", good, 3, 1.0), TrainSample("solver/0", told, 5, 1.0)]
    found = {
        many: trainer_of(imitating)[1].step(build_batch(tree, samples[:many], {"solver/0": 1.0})).metrics
        for many in (1, 2)
    }
    for name in ("sampling/logp_diff/mean", "sampling/logp_diff/max"):
        assert found[2][name] == pytest.approx(found[1][name], abs=1e-5)
    both = build_batch(tree, samples, {"solver/0": 1.0})
    with pytest.raises(NonFiniteError):
        trainer_of()[1].step(both)  # such tokens can only be imitated
    again = TrainBatch.from_arrays(both.arrays())  # by way of a journal
    assert trainer_of(imitating)[1].step(again).metrics == found[2]


def test_rewarded_tokens_become_likelier_and_punished_ones_less() -> None:
    policy, trainer = trainer_of()
    before = [logprob(policy, b"2 + 3 = 5\n", 3), logprob(policy, b"2 + 3 =q", 1)]
    update = trainer.step(rewarded_answer())
    after = [logprob(policy, b"2 + 3 = 5\n", 3), logprob(policy, b"2 + 3 =q", 1)]
    assert after[0] > before[0] + 0.01
    assert after[1] < before[1] - 0.01
    assert policy.version == 1
    assert update.metrics["grad_norm"] > 0
    assert update.tokens_flat == 10 + 8
    assert update.tokens_computed == 9  # the prompt, " " and "5": a leaf predicts nothing


def test_the_stop_tokens_probability_is_moved_too() -> None:
    policy, trainer = trainer_of()
    tree = Tree()
    node = tree.sampled(tree.extend(ROOT, list(b"2 + 3 = 5")), [ord("\n")], [-5.0], "solver/0")
    before = logprob(policy, b"2 + 3 = 5\n", 1)
    trainer.step(build_batch(tree, [TrainSample("solver/0", node, 1, 1.0)], {"solver/0": 1.0}))
    assert logprob(policy, b"2 + 3 = 5\n", 1) > before + 0.01


@pytest.mark.parametrize(
    "changes",
    [{"pack_tokens": 1}, {"pack_tokens": 20}, {"pack_tokens": 45}, {"logprob_chunk": 1}, {"logprob_chunk": 7}],
    ids=str,
)
def test_how_the_batch_is_cut_does_not_change_the_update(changes: dict[str, int]) -> None:
    batch = random_batch()
    _, whole = trainer_of(replace(SETTINGS, pack_tokens=100_000, logprob_chunk=100_000))
    _, cut = trainer_of(replace(SETTINGS, **changes))  # type: ignore[arg-type]
    one, many = whole.step(batch), cut.step(batch)
    assert_same_update(cut, whole)
    assert many.metrics["loss/policy"] == pytest.approx(one.metrics["loss/policy"], abs=1e-5)
    assert many.metrics["entropy"] == pytest.approx(one.metrics["entropy"], rel=1e-4)
    if "pack_tokens" in changes:
        assert many.metrics["train/packs"] > one.metrics["train/packs"] == 1


def test_gradients_added_in_parts_make_the_same_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    batch = random_batch()
    digests = set()
    for at_once in (1 << 30, 1000):  # the second divides no tensor of the model evenly
        monkeypatch.setattr("selfplay.train.gradients.ADDED_AT_ONCE", at_once)
        _, made = trainer_of(replace(SETTINGS, pack_tokens=20))
        assert made.step(batch).metrics["train/packs"] > 1
        digests.add(made.digest())
    assert len(digests) == 1


def test_memory_let_go_of_between_updates_changes_nothing() -> None:
    (_, kept), (_, made) = trainer_of(), trainer_of()
    for seed in (5, 6):
        batch = random_batch(seed)
        kept.step(batch)
        made.step(batch)
        made.end_updates()
    assert made.digest() == kept.digest()
    before = weights(made)
    made.step(random_batch(7))
    assert not torch.equal(weights(made), before), "it goes on learning"


@pytest.mark.parametrize("name", ["tiny-llama", "tiny-gpt2"])
def test_tree_and_flat_passes_make_the_same_update(name: str) -> None:
    batch = random_batch()
    made = {}
    for mode in ("tree", "flat"):
        _, made[mode] = trainer_of(replace(SETTINGS, mode=mode, pack_tokens=60), name)  # type: ignore[arg-type]
        update = made[mode].step(batch)
        assert update.metrics["train/packs_flat"] == (update.metrics["train/packs"] if mode == "flat" else 0)
    assert_same_update(made["tree"], made["flat"])


def test_the_gradients_norm_is_clipped() -> None:
    batch = random_batch()
    _, free = trainer_of(replace(SETTINGS, grad_clip=1e9))
    _, clipped = trainer_of(replace(SETTINGS, grad_clip=0.01))
    norm = free.step(batch).metrics["grad_norm"]
    assert norm > 0.01
    assert clipped.step(batch).metrics["grad_norm"] == pytest.approx(norm)  # reported before it is clipped
    assert gradient(free).norm().item() == pytest.approx(norm, rel=1e-4)
    assert gradient(clipped).norm().item() == pytest.approx(0.01, rel=1e-3)


def test_the_learning_rate_warms_up() -> None:
    _, trainer = trainer_of(replace(SETTINGS, warmup_steps=4))
    rates = [trainer.step(random_batch()).metrics["lr"] for _ in range(5)]
    assert rates == pytest.approx([0.25e-3, 0.5e-3, 0.75e-3, 1e-3, 1e-3])


@pytest.mark.parametrize(
    ("column", "value"),
    [("sampler_logprobs", float("nan")), ("positive", float("nan")), ("positive", float("inf"))],
)
def test_a_number_that_is_none_stops_the_update_and_leaves_the_weights(column: str, value: float) -> None:
    policy, trainer = trainer_of(replace(SETTINGS, loss=LossSettings(anchor="policy")))
    batch = random_batch()
    spoilt = getattr(batch, column).copy()
    spoilt[np.flatnonzero(batch.positive)[0]] = value
    before, digest = weights(trainer), trainer.digest()
    with pytest.raises(NonFiniteError, match="policy version 0"):
        trainer.step(replace(batch, **{column: spoilt}))
    assert torch.equal(weights(trainer), before)
    assert (trainer.digest(), policy.version) == (digest, 0)


def test_a_refused_update_leaves_nothing_behind_for_the_next() -> None:
    _, spoilt = trainer_of()
    _, fresh = trainer_of()
    batch = random_batch()
    with pytest.raises(NonFiniteError):
        spoilt.step(replace(batch, positive=np.full_like(batch.positive, np.nan)))
    spoilt.step(batch)
    fresh.step(batch)
    assert spoilt.digest() == fresh.digest()


def test_an_empty_batch_makes_a_version_and_leaves_the_weights() -> None:
    policy, trainer = trainer_of()
    trainer.step(random_batch())
    digest, state = trainer.digest(), {k: v.clone() for k, v in trainer.state().items()}
    update = trainer.step(build_batch(Tree(), [], {}))
    assert (trainer.digest(), policy.version) == (digest, 2)
    assert all(torch.equal(v, state[k]) for k, v in trainer.state().items())  # Adam's moments have not moved either
    assert (update.tokens_computed, update.tokens_flat) == (0, 0)


def test_a_run_goes_on_bit_for_bit_from_its_saved_state() -> None:
    policy, kept = trainer_of()
    for seed in (1, 2):
        kept.step(random_batch(seed))
    saved = {k: v.clone() for k, v in kept.state().items()}
    other_policy, other = trainer_of()
    other.load_state(saved, version=2)
    assert (other.digest(), other_policy.version) == (kept.digest(), 2)
    for seed in (3, 5):
        assert kept.step(random_batch(seed)).metrics == other.step(random_batch(seed)).metrics
    assert (other.digest(), other_policy.version) == (kept.digest(), 4)
    assert all(torch.equal(v, other.state()[k]) for k, v in kept.state().items())
    text = b"2 + 3 = 5\n"
    assert logprob(policy, text, 3) == logprob(other_policy, text, 3)  # what is served is what was trained


def test_without_adams_moments_the_run_goes_elsewhere() -> None:
    _, kept = trainer_of()
    kept.step(random_batch(1))
    _, other = trainer_of()
    other.load_state({k: v for k, v in kept.state().items() if k.startswith("master/")}, version=1)
    assert other.digest() == kept.digest()
    kept.step(random_batch(2))
    other.step(random_batch(2))
    assert other.digest() != kept.digest()


def test_the_digest_sees_order_and_value() -> None:
    _, trainer = trainer_of()
    honest = trainer.digest()
    master = next(iter(trainer.masters.values()))
    flat = master.view(-1)
    flat[[3, 700]] = flat[[700, 3]]  # swapped: sums over the values would not notice
    assert trainer.digest() != honest
    flat[[3, 700]] = flat[[700, 3]]
    assert trainer.digest() == honest
    flat[5] = torch.nextafter(flat[5], torch.tensor(9.0))
    assert trainer.digest() != honest


def test_the_digest_sees_which_tensor_is_which() -> None:
    _, trainer = trainer_of()
    honest = trainer.digest()
    alike = [k for k in trainer.masters if k.endswith("mlp.gate_proj.weight")]
    trainer.masters[alike[0]], trainer.masters[alike[1]] = trainer.masters[alike[1]], trainer.masters[alike[0]]
    assert trainer.digest() != honest


def test_bf16_serves_what_fp32_masters_hold() -> None:
    loaded = load_model("tiny-llama", "bfloat16")
    policy = Policy(loaded.model, loaded.tokenizer, torch.device("cpu"))
    trainer = Trainer(policy, replace(SETTINGS, learning_rate=1e-6))
    before = weights(trainer)
    for _ in range(3):
        trainer.step(random_batch())
    assert not torch.equal(weights(trainer), before)  # a step far below bf16's resolution is not lost
    for name, parameter in policy.trainable:
        assert torch.equal(parameter, trainer.masters[name].bfloat16())


def built(*changes: str) -> Parts:
    """The working parts of a tiny run."""
    return build(load(None, [*TINY, *changes]), None, lambda line: None)


def test_gradient_checkpointing_recomputes_and_gives_the_same_update() -> None:
    batch, made, calls = random_batch(), {}, {}
    for wanted in ("false", "true"):
        parts = built(f"train.gradient_checkpointing={wanted}", "train.pass_mode=tree", "train.pack_tokens=60")
        counted: list[int] = []
        mlp = parts.policy.model.model.layers[0].mlp
        mlp.register_forward_pre_hook(lambda *_, seen=counted: seen.append(1))
        parts.trainer.step(batch)
        made[wanted], calls[wanted] = parts.trainer, len(counted)
    assert calls["true"] == 2 * calls["false"]
    assert_same_update(made["true"], made["false"])


def test_lora_trains_adapters_only_and_saves_them(tmp_path: Path) -> None:
    parts = built("policy.lora.r=4")
    names = [name for name, _ in parts.policy.trainable]
    assert names
    assert all("lora_" in name for name in names)
    base = {name: p.clone() for name, p in parts.policy.model.named_parameters() if "lora_" not in name}
    merged = {name for name in base if "base_layer" in name}  # these hold the sum of both
    assert len(merged) == len(names) / 2
    start = logprob(parts.policy, b"2 + 3 = 5\n", 3)
    for _ in range(2):  # B starts at zero: the first update moves only B
        parts.trainer.step(rewarded_answer())
    assert logprob(parts.policy, b"2 + 3 = 5\n", 3) > start + 1e-3
    moved = {n for n, p in parts.policy.model.named_parameters() if n in base and not torch.equal(p, base[n])}
    assert moved == merged

    with create(tmp_path / "selfplay.db") as store:
        head = store.commit_step(step_commit(1, weights_digest=parts.trainer.digest()))
        row = Checkpoints(tmp_path, keep=1).save(store, head, parts.trainer, parts.policy)
    verify(tmp_path, row)
    saved = tmp_path / row.path / "policy"
    assert (saved / "adapter_model.safetensors").is_file()
    assert (saved / "adapter_config.json").is_file()
    assert not (saved / "model.safetensors").exists()


def test_adapters_begin_alike_for_a_seed() -> None:
    one, same, other = built("policy.lora.r=2"), built("policy.lora.r=2"), built("policy.lora.r=2", "seed=1")
    assert one.trainer.digest() == same.trainer.digest() != other.trainer.digest()


def test_the_kl_term_holds_the_policy_near_its_start() -> None:
    text, moved, seen = b"2 + 3 = 5\n", {}, {}
    for coefficient in (0.0, 2.0):
        parts = built(f"train.kl_coef={coefficient}")
        start = logprob(parts.policy, text, 3)
        batch = rewarded_answer({"solver/0": coefficient})
        seen[coefficient] = [parts.trainer.step(batch).metrics.get("kl/solver/0", 0.0) for _ in range(12)]
        moved[coefficient] = logprob(parts.policy, text, 3) - start
    assert seen[2.0][0] == pytest.approx(0.0, abs=1e-6)  # at the start there is nothing to pull back from
    assert seen[2.0][-1] > 1e-3
    assert moved[0.0] > 2 * moved[2.0] > 0


def test_a_kl_term_without_a_reference_is_refused() -> None:
    _, trainer = trainer_of()
    with pytest.raises(ValueError, match=r"train\.kl"):
        trainer.step(rewarded_answer({"solver/0": 0.1}))


def test_a_journal_deeper_than_the_table_of_positions_is_refused() -> None:
    """A forged one ended in an IndexError of the embedding."""
    _, trainer = trainer_of(name="tiny-gpt2")
    tree, before = Tree(), trainer.digest()
    end = tree.sampled(tree.extend(ROOT, [7] * 1024), [8], [-1.0], "solver/0")
    with pytest.raises(ValueError, match="no more than 1024 positions"):
        trainer.step(build_batch(tree, [TrainSample("solver/0", end, 1, 0.5)], {"solver/0": 1.0}))
    assert trainer.digest() == before
