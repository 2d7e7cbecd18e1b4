"""train.mask: outside a subnetwork bits are kept, inside it training is as ever, and the file is held to."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from random_trees import WEIGHTS, random_step

from selfplay import api
from selfplay.audit.auditing import Request, audit
from selfplay.config.files import load, matching, to_yaml
from selfplay.learn.batch import TrainBatch, build_batch
from selfplay.machine.errors import ConfigError, Refused
from selfplay.metrics import GRAD_NORM
from selfplay.model.policy import Policy
from selfplay.model.weights.loading import load_model
from selfplay.train.loss import LossSettings
from selfplay.train.masks import Mask, packed, read_mask, write_mask
from selfplay.train.subnetwork import Subnetwork
from selfplay.train.trainer import Trainer, TrainerSettings

SETTINGS = TrainerSettings(learning_rate=1e-3, loss=LossSettings(anchor="sampler"))
DOMAIN = "domain=few_problems:AnyEnds"
TINY = (
    "configs/tiny.yaml", "run.threads=1", DOMAIN, "challenger.source=none", "run.steps=1",
    "solver.problems=3", "evaluate.pass_size=1", "evaluate.interim_size=1", "train.weight_decay=0.1",
)  # fmt: skip


def trainer_of(settings: TrainerSettings, mask: Mask | None = None) -> Trainer:
    loaded = load_model("tiny-llama", "float32")
    loaded.model.model.layers[0].mlp.up_proj.weight.data[0, :4] = -0.0  # whose bits a subtraction of 0 would change
    policy = Policy(loaded.model, loaded.tokenizer, torch.device("cpu"))
    return Trainer(policy, settings, subnetwork=None if mask is None else lambda m: Subnetwork(mask, m, "file"))


def batch(seed: int = 5) -> TrainBatch:
    tree, samples = random_step(seed, vocabulary=200)
    return build_batch(tree, samples, WEIGHTS)


def mask_of(trainer: Trainer, share: float) -> Mask:
    generator = np.random.default_rng(0)
    trained = {name: generator.random(tuple(master.shape)) < share for name, master in trainer.masters.items()}
    return Mask({n: packed(each) for n, each in trained.items()}, {n: each.shape for n, each in trained.items()})


def bits(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.detach().view(torch.int32)


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_what_is_outside_keeps_its_bits(weight_decay: float) -> None:
    settings = replace(SETTINGS, weight_decay=weight_decay)
    mask = mask_of(trainer_of(SETTINGS), 0.3)
    trainer, free = trainer_of(settings, mask), trainer_of(settings)
    before = {name: master.clone() for name, master in trainer.masters.items()}
    for seed in (5, 6):
        norms = [each.step(batch(seed)).metrics[GRAD_NORM] for each in (trainer, free)]
        if seed == 5:
            assert 0 < norms[0] < norms[1]
    served = dict(trainer._served)
    for name, master in trainer.masters.items():
        inside = torch.from_numpy(mask.of(name))
        assert torch.equal(bits(master)[~inside], bits(before[name])[~inside])
        assert torch.equal(served[name], master)
    moved = [(m != before[n])[torch.from_numpy(mask.of(n))].float().mean() for n, m in trainer.masters.items()]
    assert min(moved) > (0.9 if weight_decay else 0.0)


def test_a_mask_of_everything_changes_nothing() -> None:
    mask = mask_of(trainer_of(SETTINGS), 1.1)
    free, masked = trainer_of(SETTINGS), trainer_of(SETTINGS, mask)
    for seed in (5, 6):
        assert free.step(batch(seed)).metrics == masked.step(batch(seed)).metrics
    assert free.digest() == masked.digest()


def test_decay_is_adamws() -> None:
    settings = replace(SETTINGS, weight_decay=0.5, learning_rate=0.1)
    free, masked = trainer_of(settings), trainer_of(settings, mask_of(trainer_of(SETTINGS), 1.1))
    for each in (free, masked):
        each.step(batch())
    for name, master in masked.masters.items():
        torch.testing.assert_close(master, free.masters[name], rtol=1e-6, atol=1e-7)


def test_a_mask_of_another_model_is_one_line() -> None:
    mask = mask_of(trainer_of(SETTINGS), 0.5)
    name = "model.norm.weight"
    lacking = Mask(
        {n: b for n, b in mask.bits.items() if n != name}, {n: s for n, s in mask.shapes.items() if n != name}
    )
    with pytest.raises(Refused, match=r"^train.mask=file: does not fit the model: model.norm.weight is not there in"):
        trainer_of(SETTINGS, lacking)
    other = Mask({**mask.bits, name: packed(np.ones(3, bool))}, {**mask.shapes, name: (3,)})
    with pytest.raises(Refused, match=r"model.norm.weight is \(3,\) in the mask and \(64,\) in the run"):
        trainer_of(SETTINGS, other)
    with pytest.raises(Refused, match="trains nothing"):
        trainer_of(SETTINGS, Mask({n: 0 * each for n, each in mask.bits.items()}, mask.shapes))


@pytest.mark.slow
def test_a_run_trains_what_another_one_changed_and_goes_on_with_nothing_else(tmp_path: Path) -> None:
    """The whole way: a run, its audit's mask, a run on that, whose audit stays within it; the file is held to."""
    keys = [*TINY, f"run.dir={tmp_path}"]
    api.run([*keys, "run.name=whole", "train.learning_rate=1e-4", "train.weight_decay=0"])
    _, mask = audit(Request("whole", ranks=False, mask="relative", directory=tmp_path), print)
    path = tmp_path / "mask.safetensors"
    assert mask is not None and 0 < mask.share() < 1
    write_mask(path, mask, {})
    api.run([*keys, "run.name=part", f"train.mask={path}"])
    _, changed = audit(Request("part", ranks=False, mask="fp32", directory=tmp_path), print)
    assert changed is not None and 0.9 * mask.share() < changed.share() <= mask.share()
    assert not any((changed.of(name) & ~mask.of(name)).any() for name in mask.shapes)
    with api.open_store(tmp_path / "part") as store:
        assert f"mask_digest: {mask.digest()}" in store.run().config_yaml
    write_mask(path, mask, {"where": "it is from does not matter"})
    api.resume(tmp_path / "part", [DOMAIN, "run.steps=2"])
    write_mask(path, Mask({name: 255 - each for name, each in mask.bits.items()}, mask.shapes), {})
    assert read_mask(path).digest() != mask.digest()
    with pytest.raises(Refused, match="holds another subnetwork"):
        api.resume(tmp_path / "part", [DOMAIN, "run.steps=3"])
    with pytest.raises(ConfigError, match=r"train.mask cannot change on resume"):
        api.resume(tmp_path / "part", [DOMAIN, "train.mask="])


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        (
            ["train.mask=file", "policy.lora.r=2"],
            "train.mask is .file.: it must be empty while",
        ),
        ([f"train.mask_digest={12:032}"], "train.mask_digest is '0*12': it must be empty while train.mask is"),
    ],
)
def test_keys_that_do_not_go_together(keys: list[str], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        load(None, keys)


def test_what_a_run_noted_is_no_change_where_nobody_asks_for_another() -> None:
    """--auto-resume is given what began the run: model.dtype=auto, and a mask without its digest."""
    wanted = load(None, ["train.mask=file", "run.name=x"])
    noted = load(None, ["train.mask=file", "run.name=x", f"train.mask_digest={12:032}", "model.dtype=bfloat16"])
    assert matching(to_yaml(noted), wanted) == noted
    for other in (f"train.mask_digest={13:032}", "model.dtype=float32", "train.mask=other"):
        with pytest.raises(ConfigError, match="cannot change on resume"):
            matching(to_yaml(noted), load(None, ["train.mask=file", "run.name=x", other]))
