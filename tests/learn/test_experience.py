"""What early experience teaches: which tokens are trained behind which, and the losses against plain torch."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from scripted_roles import PARAMS, ScriptedEngine, problem
from torch import Tensor
from updates import gradient, tiny_policy

from curriculum.domains.abilities import ability
from curriculum.domains.arithmetic.domain import ArithmeticDomain
from curriculum.domains.chains import ChainsDomain
from curriculum.domains.protocol import Prompted, Statement, problem_of
from curriculum.settings import CurriculumSettings
from curriculum.tracking.difficulty import Tracker
from roles.experience import EXPERT, LABELS, REFLECTION, STATE, Experienced, ExperienceSettings, explore
from roles.judging.groups import JudgedGroup, JudgeSettings, judge_group
from roles.prompts import PromptStyle, few_shot_style
from roles.solver import SolverSettings, attempt
from selfplay.config.checking import idle
from selfplay.config.files import load
from selfplay.learn.batch import Mean, TrainBatch, TrainSample, build_batch
from selfplay.learn.copies.experience import ExperienceTeaching, experience_samples
from selfplay.learn.settings import LearningSettings, Objective, TeachingSettings
from selfplay.learn.teacher import Teacher
from selfplay.machine.errors import ConfigError
from selfplay.metrics import ENTROPY, LOSS, MISMATCH_MAX, NLL
from selfplay.model.policy import Policy
from selfplay.play.step import Judged, Played, Posed
from selfplay.train.loss import LossSettings
from selfplay.train.trainer import Trainer, TrainerSettings
from store.records import Origin, Outcome

DOMAIN = ArithmeticDomain()
STYLE = replace(PromptStyle(ability(DOMAIN, Prompted)))
COPYING = TrainerSettings(copied=frozenset(LABELS))
WEIGHTS = {STATE: 0.7, EXPERT: 0.3, REFLECTION: 0.5}
WHOLE = "38 + 47 - 12"
SAID = {
    "experience/alternative": [" 84\n", " 85\n", " 84\n", " 73\n", " 72\n", " 72\n"],
    "experience/asked": [" 8 and 7 are 15, not 14. So: 85\n", " So: 72\n"],
}


def encode(text: str, after: int | None) -> list[int]:
    """As the scripted engine reads text."""
    return [ord(character) for character in text]


@pytest.fixture
def engine() -> ScriptedEngine:
    return ScriptedEngine({**SAID, "solver/0": [" 73\n", " 72\n", " 73\n", " 11\n"]})


def lived(engine: ScriptedEngine) -> tuple[JudgedGroup, list[Experienced]]:
    """A group of attempts, and what was experienced in the states of the same problem."""
    of = problem(WHOLE)
    script = engine.script
    engine.script = {"solver/0": script["solver/0"]}
    said = engine.drive(attempt(of, STYLE, SolverSettings(4, 1, PARAMS), step=1))
    engine.script = {name: texts for name, texts in script.items() if name != "solver/0"}
    asked = ExperienceSettings(3, PARAMS, reflection=replace(PARAMS, max_tokens=60))
    found = engine.drive(explore(of, STYLE, asked, engine.tree, 1, lambda *_: True))
    return judge_group(said, STYLE.domain, STYLE.visible, JudgeSettings(), step=1), found


def texts(engine: ScriptedEngine, samples: Sequence[TrainSample]) -> list[tuple[str, str, str]]:
    """(label, the last of what stands before it, what is trained)."""
    found = []
    for each in samples:
        text = engine.text_to(each.node)
        before, said = text[: -each.num_tokens], text[-each.num_tokens :]
        found.append((each.label, before.rpartition("34 + 15 = 49\n")[2], said))
    return found


def test_next_states_right_actions_and_kept_reflections_are_trained_behind_what_is_given(
    engine: ScriptedEngine,
) -> None:
    _, found = lived(engine)
    samples = experience_samples(engine.tree, found, WEIGHTS, STYLE, encode)
    assert all(each.advantage == 1.0 and each.is_kept for each in samples)
    first, second = "38 + 47 - 12 =", "85 - 12 ="
    assert texts(engine, samples) == [
        (STATE, f"{first} 84\nExecuted:", " 38 + 47 is 85, not 84\n"),
        (STATE, f"{first} 85\nExecuted:", " 85 - 12 =\n"),
        (REFLECTION, f"{first}\nWhy:", " 8 and 7 are 15, not 14. So: 85\n"),
        (STATE, f"{second} 73\nExecuted:", " 73\n"),
        (STATE, f"{second} 72\nExecuted:", " 85 - 12 is 73, not 72\n"),
        (EXPERT, second, " 73\n"),
    ]
    batch = build_batch(engine.tree, samples, WEIGHTS)
    trained = {batch.label_names[label]: 0.0 for label in batch.labels}
    for label, push in zip(batch.labels, batch.positive, strict=True):
        trained[batch.label_names[label]] += push
    assert trained == pytest.approx(WEIGHTS)  # a mean over the tokens of each, times its weight
    assert np.isnan(batch.sampler_logprobs).all() and not batch.negative.any()
    again = TrainBatch.from_arrays(batch.arrays())  # a journal may hold it
    assert all(np.array_equal(v, again.arrays()[k], equal_nan=v.dtype.kind == "f") for k, v in batch.arrays().items())


def test_what_has_no_weight_or_no_room_is_not_trained(engine: ScriptedEngine) -> None:
    _, found = lived(engine)
    size = len(engine.tree)
    assert experience_samples(engine.tree, found, {}, STYLE, encode) == [] and len(engine.tree) == size
    only = experience_samples(engine.tree, found, {STATE: 1.0}, STYLE, encode)
    assert {each.label for each in only} == {STATE}
    limit = max(engine.tree.depths[each.node] for each in only)  # one token fewer than the longest needs
    assert len(experience_samples(engine.tree, found, {STATE: 1.0}, STYLE, encode, limit)) == len(only) - 1


def test_a_right_action_is_imitated_as_it_stands_in_an_answer(engine: ScriptedEngine) -> None:
    """With the end of a step where more is left to do. Ended there, "24" would be a wrong answer to the whole chain;
    where answers have no steps it is left out, as "85" is above."""
    domain = ChainsDomain()
    style = few_shot_style(domain)
    chain = domain.parse("45*7+5*3")
    assert isinstance(chain, Statement)
    said = {"experience/alternative": [" 25,", " 24,", " 29,", " 30,", " 87\n", " 88\n"]}
    engine = ScriptedEngine(said)
    found = engine.drive(
        explore(problem_of(chain, "chains", Origin.SEED), style, ExperienceSettings(2, PARAMS), engine.tree, 1,
                lambda *_: True)
    )  # fmt: skip
    samples = experience_samples(engine.tree, found, {EXPERT: 1.0}, style, encode)
    assert [engine.text_to(each.node)[-each.num_tokens :] for each in samples] == [" 24,", " 29,", " 87\n"]
    whole = " " + "".join(engine.text_to(each.node)[-each.num_tokens :].strip(" ") for each in samples)
    assert domain.judge(found[0].problem, style.visible(whole))[0] is Outcome.CORRECT


def taught(engine: ScriptedEngine, last_step: int, step: int, mean: Mean | None = None) -> TrainBatch:
    group, found = lived(engine)
    settings = TeachingSettings(
        LearningSettings("centred", 0.0, "one_minus", -0.1), {2: Objective({"solver/0": 1.0}, {})},
        experience=ExperienceTeaching(WEIGHTS, last_step),
        mean=mean or Mean(),
    )  # fmt: skip
    teacher = Teacher(settings, Tracker(CurriculumSettings()), STYLE, encode)
    played = Played(Posed((group.problem,), ()), Judged((group,)), {}, experienced=tuple(found))
    return teacher.teach(engine.tree, played, [], step).batch


def test_it_is_alone_in_the_steps_before_rl_and_beside_it_otherwise(engine: ScriptedEngine) -> None:
    own = (EXPERT, REFLECTION, STATE)
    assert taught(engine, 3, 3).label_names == own
    assert taught(ScriptedEngine(engine.script | SAID | {"solver/0": [" 73\n", " 72\n", " 73\n", " 11\n"]}), 3, 4) \
        .label_names == (*own, "solver/0")  # fmt: skip


def test_its_means_are_over_tokens_whatever_train_mean_is(engine: ScriptedEngine) -> None:
    longest = Mean("constant", {"solver/0": 8}, frozenset((EXPERT, REFLECTION, STATE)))
    batch = taught(engine, 0, 1, longest)
    sums = {name: batch.counts[batch.labels == i].sum() for i, name in enumerate(batch.label_names)}
    assert {label: sums[label] for label in WEIGHTS} == pytest.approx(WEIGHTS)
    assert sums["solver/0"] == pytest.approx(4 * 4 / (4 * 8))  # four completions of four characters


def flat(policy: Policy, ids: list[int], length: int) -> Tensor:
    """[length] log-probabilities of a row's last tokens, by the plain model."""
    every = policy.model(torch.tensor([ids])).logits[0].float().log_softmax(-1)
    return every[-length - 1 : -1].gather(1, torch.tensor(ids[-length:])[:, None])[:, 0]


@pytest.mark.parametrize("pack_tokens", [4096, 300])
@pytest.mark.parametrize("anchor", ["policy", "sampler"])
def test_losses_and_gradients_are_those_of_plain_torch(engine: ScriptedEngine, anchor: str, pack_tokens: int) -> None:
    """Experience beside RL in one batch; the whole of it against formulas on flat rows, in fp32 within 1e-5."""
    batch = taught(engine, 0, 1)
    loss = LossSettings(anchor=anchor)  # type: ignore[arg-type]
    trainer = Trainer(tiny_policy(), replace(COPYING, grad_clip=1e9, loss=loss, pack_tokens=pack_tokens))
    metrics = trainer.step(TrainBatch.from_arrays(batch.arrays())).metrics

    model, tree = tiny_policy(), engine.tree
    _, found = lived(fresh := ScriptedEngine({**SAID, "solver/0": [" 73\n", " 72\n", " 73\n", " 11\n"]}))
    samples = experience_samples(fresh.tree, found, WEIGHTS, STYLE, encode)
    rows = [
        (each.label, flat(model, [fresh.tree.tokens[n] for n in fresh.tree.path(each.node)], each.num_tokens))
        for each in samples
    ]
    total = torch.zeros(())
    for label, weight in WEIGHTS.items():
        every = torch.cat([logprobs for name, logprobs in rows if name == label])
        total = total - weight * every.mean()
        assert metrics[NLL.format(label=label)] == pytest.approx(-every.mean().item(), abs=1e-5)
    tokens, paid = 0, torch.zeros(())
    for text, advantage in ((" 73\n", 0.5), (" 72\n", -0.5), (" 73\n", 0.5), (" 11\n", -0.5)):
        theta = flat(model, [ord(c) for c in STYLE.asked(f"{WHOLE} =") + text], len(text))
        mu, tokens = torch.full_like(theta, -0.5), tokens + len(text)
        now = theta.detach()
        if anchor == "policy":
            ratio, weight = (theta - now).exp(), (now - mu).exp().clamp(max=2.0)
        else:
            ratio, weight = (theta - mu).exp(), torch.ones_like(now)
        paid = paid - (weight * torch.minimum(ratio * advantage, ratio.clamp(0.8, 1.28) * advantage)).sum()
    total = total + paid / tokens
    total.backward()
    grads = {name: p.grad for name, p in model.trainable}
    wanted = torch.cat([grad.flatten().double() for _, grad in sorted(grads.items()) if grad is not None])
    assert metrics[LOSS] == pytest.approx(total.item(), abs=1e-5)
    torch.testing.assert_close(gradient(trainer), wanted, atol=1e-5, rtol=1e-5)
    assert len(tree) > 0 and np.isfinite(metrics[ENTROPY]) and np.isfinite(metrics[MISMATCH_MAX])


def test_the_figures_of_what_was_sampled_leave_copies_out(engine: ScriptedEngine) -> None:
    """Entropy, weights and mismatch are those of the same step without experience."""
    with_it = Trainer(tiny_policy(), COPYING).step(taught(engine, 0, 1)).metrics
    group, _ = lived(ScriptedEngine({**SAID, "solver/0": [" 73\n", " 72\n", " 73\n", " 11\n"]}))
    other = ScriptedEngine({"solver/0": [" 73\n", " 72\n", " 73\n", " 11\n"]})
    said = other.drive(attempt(group.problem, STYLE, SolverSettings(4, 1, PARAMS), step=1))
    plain = judge_group(said, STYLE.domain, STYLE.visible, JudgeSettings(), step=1)
    settings = TeachingSettings(
        LearningSettings("centred", 0.0, "one_minus", -0.1), {2: Objective({"solver/0": 1.0}, {})}
    )
    teacher = Teacher(settings, Tracker(CurriculumSettings()), STYLE, encode)
    batch = teacher.teach(other.tree, Played(Posed((plain.problem,), ()), Judged((plain,)), {}), [], 1).batch
    without = Trainer(tiny_policy(), TrainerSettings()).step(batch).metrics
    names = [name for name in without if name.startswith(("entropy", "sampling/", "clip"))]
    assert len(names) > 5 and {n: with_it[n] for n in names} == pytest.approx({n: without[n] for n in names}, rel=1e-5)


@pytest.mark.parametrize(
    ("keys", "broken"),
    [
        (["train.importance_mode=sequence_mask"], "train.importance_mode"),
        (["train.anchor=sampler", "train.surrogate=gspo"], "train.surrogate"),
        (["train.experience.world_model=-1"], "train.experience.world_model"),
    ],
)
def test_what_experience_cannot_stand_beside_is_refused(keys: list[str], broken: str) -> None:
    with pytest.raises(ConfigError, match=broken):
        load(None, ["train.experience.imitation=1", *keys])


def test_keys_without_a_loss_are_said_to_do_nothing() -> None:
    assert idle(load(None, ["train.experience.steps=3", "train.experience.grounded=false"])) == [
        "train.experience.steps=3 does nothing while no loss of train.experience has a weight",
        "train.experience.grounded=False does nothing while no loss of train.experience has a weight",
    ]
    assert idle(load(None, ["train.experience.world_model=1", "train.experience.max_tokens=9"])) == [
        "train.experience.max_tokens=9 does nothing while train.experience.reflection is 0"
    ]
