"""docs/losses.md: the keys of each published loss against its formula, written out completion by completion."""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scripted_roles import completion, problem
from torch import Tensor
from updates import gradient, tiny_policy

from roles.judging.groups import JudgedAttempt, JudgedGroup, JudgedTurn
from roles.requests import Sampled
from roles.tree import ROOT, Tree
from selfplay.config.checking import idle
from selfplay.config.files import load
from selfplay.learn.batch import TrainBatch, TrainSample, build_batch
from selfplay.learn.lessons import solver_lesson
from selfplay.learn.scaling import scaled_by_batch, scaled_by_group
from selfplay.machine.errors import ConfigError
from selfplay.metrics import CLIP_RATIO, LOSS
from selfplay.model.policy import Policy
from selfplay.model.probe import Parity
from selfplay.run.build_learning import teaching_settings, trainer_settings
from selfplay.train.trainer import Trainer
from store.records import Outcome

PAGE = Path(__file__).resolve().parents[2] / "docs" / "losses.md"
ROWS = {
    name.split(" (")[0]: keys.split()
    for name, keys in re.findall(r"^\| ([A-Z][^|]*?) \|.*\| `(train\.[^`]*)` \|$", PAGE.read_text(), re.MULTILINE)
}
LONGEST = 7
LABEL = "solver/0"
GROUPS = [  # (texts of a group's completions, what they are paid): some texts alike, lengths from 1 to 7
    (["12\n", "12\n", "3\n", "4567\n"], [1.0, 0.0, 0.5, 0.0]),
    (["8\n", "123456\n", "12\n"], [0.0, 1.0, 0.25]),
    (["777\n", "77\n", "7\n", "777\n", "5\n"], [0.0, 0.0, 0.0, 1.0, 0.0]),
]


@dataclass(frozen=True, slots=True)
class Said:
    """A completion as the formulas take it: its reward's group, log theta [n] with gradient, log mu [n]."""

    group: int
    reward: float
    now: Tensor
    old: Tensor

    @property
    def ratio(self) -> Tensor:
        return (self.now - self.old).exp()


def played(noise: float) -> tuple[Tree, list[JudgedGroup]]:
    """The groups as a step has them: completions that are alike share nodes; log mu is log theta and noise."""
    model, rng, tree = tiny_policy(), np.random.default_rng(0), Tree()
    groups = []
    for number, (texts, rewards) in enumerate(GROUPS):
        prompt = list(f"{number} + {number} =".encode())
        node, attempts = tree.extend(ROOT, prompt), []
        known: dict[bytes, float] = {}
        for index, (text, reward) in enumerate(zip(texts, rewards, strict=True)):
            ids = list(text.encode())
            with torch.no_grad():
                theta = logprobs(model, prompt, ids).tolist()
            mu = [known.setdefault(bytes(ids[: k + 1]), t + rng.normal(0.0, noise)) for k, t in enumerate(theta)]
            last = tree.sampled(node, ids, mu, LABEL)
            turn = JudgedTurn(Sampled(last, completion(text)), Outcome.CORRECT, text, reward)
            attempts.append(JudgedAttempt(index, (turn,)))
        groups.append(JudgedGroup(problem(f"{number + 1} + {number + 2}"), tuple(attempts)))
    return tree, groups


def logprobs(policy: Policy, prompt: list[int], ids: list[int]) -> Tensor:
    """[n] of a completion's tokens, by the plain model."""
    every = policy.model(torch.tensor([prompt + ids])).logits[0].float().log_softmax(-1)
    return every[len(prompt) - 1 : -1].gather(1, torch.tensor(ids)[:, None])[:, 0]


def ours(keys: list[str], pack_tokens: int, noise: float) -> tuple[dict[str, float], Tensor]:
    """(metrics, gradient) of an update as a run with these keys makes it of the groups."""
    config = load(None, [*keys, "solver.turns=1", f"solver.max_tokens={LONGEST}", f"train.pack_tokens={pack_tokens}"])
    assert idle(config) == []
    tree, groups = played(noise)
    teaching = teaching_settings(config)
    lessons = [solver_lesson(group, False, lambda name, right: 0.5, teaching.learning) for group in groups]
    samples = [sample for lesson in lessons for sample in lesson.samples]
    if teaching.learning.scale == "batch":
        samples = scaled_by_batch(samples)
    objective = teaching.objectives[2]
    batch = build_batch(tree, samples, objective.weights, objective.kl, teaching.keeps_sequences, teaching.mean)
    assert len(batch.targets) < sum(len(text) for texts, _ in GROUPS for text in texts)  # some of it is merged
    trainer = Trainer(tiny_policy(), replace(trainer_settings(config, Parity(True, 0.0, "")), grad_clip=1e9))
    metrics = trainer.step(TrainBatch.from_arrays(batch.arrays())).metrics
    return metrics, gradient(trainer, config.train.betas[0])


def theirs(formula: Callable[[list[Said]], Tensor], noise: float) -> tuple[float, Tensor]:
    """(loss, gradient) of the formula on the flat completions."""
    model = tiny_policy()
    tree, groups = played(noise)
    said = []
    for number, group in enumerate(groups):
        prompt = list(f"{number} + {number} =".encode())
        for attempt, text in zip(group.attempts, GROUPS[number][0], strict=True):
            ids = list(text.encode())
            nodes = tree.tail(attempt.turns[0].sampled.node, len(ids))
            old = torch.tensor([tree.logprobs[node] for node in nodes])
            said.append(Said(number, attempt.rewards()[0], logprobs(model, prompt, ids), old))
    loss = formula(said)
    loss.backward()
    grads = {name: p.grad for name, p in model.trainable}
    return loss.item(), torch.cat([grad.flatten().double() for _, grad in sorted(grads.items()) if grad is not None])


def rewards_of(said: list[Said], group: int) -> Tensor:
    return torch.tensor([each.reward for each in said if each.group == group])


def centred(said: list[Said]) -> list[Tensor]:
    return [each.reward - rewards_of(said, each.group).mean() for each in said]


def by_group(said: list[Said]) -> list[Tensor]:
    return [a / (rewards_of(said, s.group).std() + 1e-4) for a, s in zip(centred(said), said, strict=True)]


def by_batch(said: list[Said]) -> list[Tensor]:
    every = torch.stack(centred(said))
    return list(every / (every.std() + 1e-4))


def leave_one_out(said: list[Said]) -> list[Tensor]:
    found = []
    for each in said:
        rewards = rewards_of(said, each.group)
        found.append(each.reward - (rewards.sum() - each.reward) / (len(rewards) - 1))
    return found


def ppo(ratio: Tensor, advantage: Tensor, low: float, high: float) -> Tensor:
    return -torch.minimum(ratio * advantage, ratio.clamp(1 - low, 1 + high) * advantage)


def over_tokens(losses: list[Tensor]) -> Tensor:
    return torch.cat(losses).mean()


def over_completions(losses: list[Tensor]) -> Tensor:
    return torch.stack([each.mean() for each in losses]).mean()


def over_longest(losses: list[Tensor]) -> Tensor:
    return torch.stack([each.sum() / LONGEST for each in losses]).mean()


def paired(said: list[Said], advantages: list[Tensor], loss: Callable[[Said, Tensor], Tensor]) -> list[Tensor]:
    return [loss(each, advantage) for each, advantage in zip(said, advantages, strict=True)]


def gspo(each: Said, advantage: Tensor) -> Tensor:
    ratio = (each.now - each.old).mean().exp()
    return ppo(ratio, advantage, 3e-4, 4e-4)[None]


FORMULAS: dict[str, Callable[[list[Said]], Tensor]] = {
    "GRPO": lambda s: over_completions(paired(s, by_group(s), lambda e, a: ppo(e.ratio, a, 0.2, 0.2))),
    "Dr. GRPO": lambda s: over_longest(paired(s, centred(s), lambda e, a: ppo(e.ratio, a, 0.2, 0.2))),
    "DAPO": lambda s: over_tokens(paired(s, by_group(s), lambda e, a: ppo(e.ratio, a, 0.2, 0.28))),
    "GSPO": lambda s: over_completions(paired(s, by_group(s), gspo)),
    "CISPO": lambda s: over_tokens(paired(s, by_group(s), lambda e, a: -e.ratio.clamp(0.2, 1.28).detach() * a * e.now)),
    "REINFORCE++ with a baseline": lambda s: over_tokens(
        paired(s, by_batch(s), lambda e, a: ppo(e.ratio, a, 0.2, 0.2))
    ),
    "RLOO": lambda s: over_longest(paired(s, leave_one_out(s), lambda e, a: -a * e.now)),
    "TIS": lambda s: over_tokens(paired(s, centred(s), lambda e, a: -e.ratio.clamp(max=2).detach() * a * e.now)),
}
IN_VALUE = {"RLOO", "TIS"}  # the value that is told is that of the ratio, which is 1, in log theta's place


def test_the_page_has_a_row_for_each_formula() -> None:
    assert ROWS.keys() == FORMULAS.keys()


@pytest.mark.parametrize("pack_tokens", [100_000, 16])  # the second cuts through completions
@pytest.mark.parametrize("name", FORMULAS)
def test_the_keys_of_the_page_are_the_published_loss(name: str, pack_tokens: int) -> None:
    """0.5 nats of noise: some tokens are clipped or cut, some not."""
    metrics, gradient = ours(ROWS[name], pack_tokens, noise=0.5)
    loss, wanted = theirs(FORMULAS[name], noise=0.5)
    assert (gradient - wanted).norm() / wanted.norm() < 1e-5
    if name not in IN_VALUE:
        assert metrics[LOSS] == pytest.approx(loss, rel=1e-5, abs=1e-6)
        assert 0 < metrics[CLIP_RATIO] < 1, "a test of a clip that never bit, or always"


def test_they_are_different_losses() -> None:
    found = {name: ours(keys, 100_000, noise=0.5)[1] for name, keys in ROWS.items()}
    for one in found:
        for other in found:
            if one < other:
                a, b = found[one], found[other]
                assert (a - b).norm() / a.norm() > 1e-3, f"{one} and {other} are one update"


def test_without_a_gap_only_mean_and_scale_tell_them_apart() -> None:
    """Where theta is mu, nothing is clipped: DAPO's, CISPO's and GRPO's surrogates have one gradient."""
    keys = ["train.advantage_scale=group", "train.anchor=sampler"]
    plain = ours(["train.advantage_scale=group"], 100_000, noise=0.0)[1]
    for surrogate in ("ppo", "cispo", "gspo"):
        found = ours([*keys, f"train.surrogate={surrogate}", "train.clip_low=0.9"], 100_000, noise=0.0)[1]
        assert (found - plain).norm() / plain.norm() < 1e-4


def test_a_surrogate_without_its_ratio_is_told_to_do_nothing() -> None:
    for keys in (["train.surrogate=gspo"], ["train.surrogate=cispo", "train.anchor=sampler", "train.imitation=rft"]):
        assert any(line.startswith("train.surrogate=") for line in idle(load(None, keys)))


def test_what_is_paid_alike_is_not_divided_by_nothing() -> None:
    """Second looks that are alone in their strata have advantages though all are paid alike."""
    assert scaled_by_group([0.5, -0.25], [0.1, 0.1]) == [0.5, -0.25]
    assert scaled_by_group([0.5, -0.5], [1.0, 0.0]) == pytest.approx(
        [0.5 / (0.5**0.5 + 1e-4), -0.5 / (0.5**0.5 + 1e-4)]
    )
    alike = [TrainSample("a", 1, 1, 1.0), TrainSample("a", 2, 1, 1.0), TrainSample("b", 3, 1, 2.0)]
    assert scaled_by_batch(alike) == alike


def test_gspo_refuses_what_is_put_on_tokens() -> None:
    with pytest.raises(ConfigError, match=r"train.clip_cov is 0.1: it must be 0 while train.surrogate is gspo"):
        load(None, ["train.clip_cov=0.1", "train.anchor=sampler", "train.surrogate=gspo"])
