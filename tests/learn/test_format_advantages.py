"""What keeps formats and entropy, against the formulas that their files state, by hand."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from scripted_roles import PARAMS, ScriptedEngine
from test_learning import PROBLEM, RIGHT, SETTINGS, STYLE, WRONG, judged, lesson, pushes

from curriculum.answers.formats import Formats, formats_by_mark
from curriculum.settings import CurriculumSettings
from curriculum.tracking.difficulty import Tracker
from roles.judging.groups import JudgeSettings, judge_group
from roles.pay.advantages import AdvantageRule, shared_advantages
from roles.pay.formats import MOST, format_advantages, quota_scales
from roles.solver import SolverSettings, attempt
from roles.tree import ROOT, Tree
from selfplay.config.files import load
from selfplay.learn.batch import TrainBatch, TrainSample, build_batch
from selfplay.learn.clip_cov import ClipCovSettings, clip_cov, covariances
from selfplay.learn.lessons import solver_lesson
from selfplay.learn.quota import with_quota
from selfplay.learn.settings import Objective, TeachingSettings
from selfplay.learn.teacher import Teacher
from selfplay.machine.errors import ConfigError
from selfplay.play.step import Judged, Played, Posed


@pytest.mark.parametrize(("rule", "scale"), [("rloo", 1.0), ("centred", 5 / 6)])
def test_first_tries_are_compared_within_their_format(rule: AdvantageRule, scale: float) -> None:
    """Of four in one format three are right, of two in another one: each is compared with the others of its own."""
    rewards, formats = [1.0, 1.0, 1.0, 0.0, 1.0, 0.0], ["a"] * 4 + ["b"] * 2
    found = format_advantages(range(6), rewards, formats, rule)
    wanted = [1 - 2 / 3] * 3 + [0 - 1.0] + [1 - 0.0, 0 - 1.0]
    assert found == pytest.approx([scale * each for each in wanted])
    for name in "ab":
        assert sum(each for each, of in zip(found, formats, strict=True) if of == name) == pytest.approx(0.0)
    plain = shared_advantages(range(6), rewards, rule)
    assert sum(plain[:4]) > 0.1, "plain advantages push the better format as a whole"


def test_a_try_alone_in_its_format_pushes_nothing_and_second_looks_share_a_first_try() -> None:
    assert format_advantages([0, 1, 2], [1.0, 0.0, 1.0], ["a", "b", "c"], "rloo") == [0.0] * 3
    # three first tries with two looks at each, paid for the last turn
    found = format_advantages(
        [0, 0, 1, 1, 2, 2], [1.0, 0.0, 0.0, 0.0, 1.0, 1.0], ["a", "a", "a", "a", "b", "b"], "rloo"
    )
    assert found == pytest.approx([0.5, 0.5, -0.5, -0.5, 0.0, 0.0])


def test_with_one_format_they_are_the_groups_own() -> None:
    rewards = [1.0, 0.0, 0.0, 0.25]
    for rule in ("rloo", "centred"):
        ours = format_advantages(range(4), rewards, ["a"] * 4, rule)  # type: ignore[arg-type]
        assert ours == pytest.approx(shared_advantages(range(4), rewards, rule))  # type: ignore[arg-type]


def test_a_lesson_centres_within_formats_where_the_key_says_so() -> None:
    group = judged([[RIGHT], [WRONG], [" so 68\n"], [" so 67\n"]])
    formats = ["value", "value", "words", "words"]
    rate = lambda problem_id, was_right: 0.5  # noqa: E731
    own = solver_lesson(group, False, rate, replace(SETTINGS, baseline="format"), None, formats)
    assert pushes(own.samples, "solver/0") == pytest.approx({0: 0.75, 10: -0.75, 20: 0.0, 30: 0.0})
    neutral = solver_lesson(group, False, rate, SETTINGS, None, formats)
    assert neutral == lesson(group), "by default formats change nothing"


def test_a_quota_raises_what_is_seldom_to_its_share() -> None:
    scales = quota_scales({"a": 90.0, "b": 8.0, "c": 2.0, "d": 0.0}, 0.1)
    masses = {"a": 90.0, "b": 8.0 * scales["b"], "c": 2.0 * scales["c"]}
    total = 90.0 / (1 - 0.2)
    assert masses == pytest.approx({"a": 90.0, "b": 0.1 * total, "c": 0.1 * total}) and sum(masses.values()) == total
    assert scales["a"] == scales["d"] == 1.0
    # 9.5 of 100 is enough for 0.095 until c is raised: then it is not
    scales = quota_scales({"a": 90.0, "b": 9.6, "c": 0.4 * 5}, 0.095)
    assert scales["b"] > 1.0 and 9.6 * scales["b"] == pytest.approx(0.095 * 90 / (1 - 0.19))


def test_a_quota_has_limits() -> None:
    assert quota_scales({"a": 1000.0, "b": 1.0}, 0.5) == {"a": 1.0, "b": MOST}
    assert quota_scales({"a": 0.1, "b": 0.1, "c": 0.1}, 0.5) == {"a": 1.0, "b": 1.0, "c": 1.0}, "a third at most"
    assert quota_scales({"a": 3.0, "b": 1.0}, 0.0) == {"a": 1.0, "b": 1.0}
    assert quota_scales({"a": 3.0}, 0.5) == {"a": 1.0} and quota_scales({}, 0.5) == {}
    assert quota_scales({"a": 0.3, "b": 0.1}, 0.5)["b"] == pytest.approx(3.0)


def test_the_quota_is_of_advantage_times_tokens_over_the_whole_step() -> None:
    many = lesson(judged([[RIGHT]] * 6 + [[WRONG]] * 2))
    longer = f"  {RIGHT}"
    few = lesson(judged([[longer, RIGHT], [WRONG, WRONG]]))
    formats = [["a"] * 8, ["b"] * 2]
    found = with_quota([many, few], formats, 0.4)
    masses = {"a": 6 * 0.25 * len(RIGHT), "b": 0.5 * len(longer)}
    scale = quota_scales(masses, 0.4)["b"]
    assert scale == pytest.approx(0.4 / 0.6 * 1.5 * 4 / (0.5 * 6)) and found[0] == many
    assert pushes(found[1].samples, "solver/0") == pytest.approx({0: 0.5 * scale, 10: -0.5})
    assert pushes(found[1].samples, "solver/1") == pushes(few.samples, "solver/1")


def taught_by(formats: Formats | None, **changes: object) -> TrainBatch:
    """The batch of one group of two formats, three right answers of one and one of the other."""
    engine = ScriptedEngine({"solver/0": [RIGHT] * 3 + [WRONG] * 4 + [" +68\n"]})
    said = engine.drive(attempt(PROBLEM, STYLE, SolverSettings(8, 1, PARAMS), 1))
    group = judge_group(said, STYLE.domain, STYLE.visible, JudgeSettings(), 1)
    objective = Objective({"solver/0": 1.0}, {})
    learning = replace(SETTINGS, **{k: v for k, v in changes.items() if k == "baseline"})  # type: ignore[arg-type]
    rest = {key: value for key, value in changes.items() if key != "baseline"}
    settings = TeachingSettings(learning, {2: objective}, **rest)  # type: ignore[arg-type]
    teacher = Teacher(settings, Tracker(CurriculumSettings()), STYLE, lambda text, after: [], formats=formats)
    return teacher.teach(engine.tree, Played(Posed((PROBLEM,), ()), Judged((group,)), {}), [], 3).batch


def test_a_teacher_does_as_its_keys_say_and_by_default_nothing() -> None:
    marks = formats_by_mark({"plus": "+"})
    plain = taught_by(None)
    assert np.array_equal(plain.positive, taught_by(marks).positive)
    assert not np.array_equal(plain.positive, taught_by(marks, baseline="format").positive)
    clipped = taught_by(marks, clip_cov=ClipCovSettings(1.0, -99.0, 99.0))
    assert not clipped.positive.any() and not clipped.negative.any() and plain.positive.any()


def batch_of(logprobs: Sequence[float], advantages: Sequence[float]) -> TrainBatch:
    """One token a sample, each drawn with that log-probability behind one prompt."""
    tree = Tree()
    start = tree.extend(ROOT, [1])
    samples = []
    for place, (logprob, advantage) in enumerate(zip(logprobs, advantages, strict=True)):
        node = tree.sampled(start, [10 + place], [logprob], "solver/0")
        samples.append(TrainSample("solver/0", node, 1, advantage))
    return build_batch(tree, samples, {"solver/0": 1.0})


def test_covariances_by_hand() -> None:
    batch = batch_of([-1.0, -3.0, -2.0, -6.0], [1.0, -1.0, 0.5, -0.5])
    # means: -3 and 0
    assert covariances(batch) == pytest.approx([2.0, 0.0, 0.5, 1.5])
    twice = replace(batch, counts=batch.counts * [3, 1, 1, 1], positive=batch.positive * [3, 1, 1, 1])
    mean, mid = (-3 - 3 - 2 - 6) / 6, (3 - 1 + 0.5 - 0.5) / 6
    assert covariances(twice)[0] == pytest.approx((-1 - mean) * (1 - mid)), (
        "a token said three times counts three times"
    )
    copied = replace(batch, sampler_logprobs=np.array([-1.0, np.nan, -2.0, -6.0]))
    assert np.isnan(covariances(copied)).tolist() == [False, True, False, False]
    pulled = replace(batch, counts=np.zeros(4))
    assert np.isnan(covariances(pulled)).all()


def test_clip_cov_leaves_out_a_share_of_the_tokens_within_its_bounds() -> None:
    batch = batch_of([-1.0, -3.0, -2.0, -6.0], [1.0, -1.0, 0.5, -0.5])
    left, count = clip_cov(batch, ClipCovSettings(0.5, 1.0, 5.0), "0/clip_cov/1")
    assert count == 2 and ((left.positive + left.negative) != 0).tolist() == [False, True, True, False]
    assert np.array_equal(left.counts, batch.counts) and np.array_equal(left.kl, batch.kl)
    assert batch.positive[0] > 0, "the batch that was given is as it was"
    assert clip_cov(batch, ClipCovSettings(0.5, 1.0, 1.9), "k")[1] == 1, "2.0 is beyond"
    assert clip_cov(batch, ClipCovSettings(0.5, 2.5, 5.0), "k")[1] == 0
    assert clip_cov(batch, ClipCovSettings(0.0002), "k")[1] == 1, "at least one"
    assert clip_cov(batch, ClipCovSettings(), "k") == (batch, 0)


def test_clip_cov_draws_by_its_key() -> None:
    batch = batch_of([-1.0] * 20 + [-9.0] * 20, [1.0] * 20 + [-1.0] * 20)
    drawn = [clip_cov(batch, ClipCovSettings(0.25, 0.0, 99.0), key)[0].positive.tolist() for key in ("a", "a", "b")]
    assert drawn[0] == drawn[1] != drawn[2]


@pytest.mark.parametrize(
    ("keys", "named"),
    [
        (["train.baseline=format", "train.imitation=rft"], "train.baseline"),
        (["train.format_quota=0.1", "train.imitation=rft"], "train.format_quota"),
        (["train.format_quota=0.6"], "train.format_quota"),
        (["train.clip_cov=0.1", "train.importance_mode=sequence_mask"], "train.clip_cov"),
        (["train.clip_cov_high=0.5"], "train.clip_cov_high"),
    ],
)
def test_keys_that_cannot_stand_together_are_refused(keys: list[str], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        load(None, keys)
