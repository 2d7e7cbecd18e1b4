"""Pass rates of untried problems from their features: what is learned, what is forgotten, and what it costs."""

import json
import math
import random
import time
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curriculum.domains.abilities import ability
from curriculum.domains.protocol import Featured
from curriculum.domains.sums import SumsDomain
from curriculum.selection.admission import Candidate, ranked
from curriculum.settings import CurriculumSettings
from curriculum.tracking import snapshot
from curriculum.tracking.difficulty import Tracker
from curriculum.tracking.features import SIZE, Parent, features, logit
from curriculum.tracking.forecasts import scored, scores
from curriculum.tracking.rate_model import KEPT, PRIOR_VARIANCE, RateModel
from store.records import Fate, Origin, PassRate, Problem, Proposal, SnapshotRow, StepHistory

SETTINGS = CurriculumSettings(8, forecast="features")


def problem(name: str, text: str = "1 + 2", family: str = "f", level: int = 1, parent: str | None = None) -> Problem:
    origin = Origin.CHALLENGER if parent else Origin.SEED
    return Problem(name, "mine", text, name, family, level, "0", "executed", origin, parent)


def test_one_group_by_hand() -> None:
    """x = (1, 2), offset 0: q = 1/2, 8 tries at strength 2 count for 2.4, so h = 0.6 and x'Px = 0.5."""
    model = RateModel(2)
    assert model.foretell([1.0, 2.0], 0.0, 0).variance == pytest.approx(5 * PRIOR_VARIANCE)
    model.observe([1.0, 2.0], 0.0, 8, 8, 2.0, 0)
    gain = 2.4 * 0.5 / (1.0 + 0.6 * 5 * PRIOR_VARIANCE)
    told = model.foretell([1.0, 2.0], 0.0, 0)
    assert told.mean == pytest.approx(gain * PRIOR_VARIANCE * 5)
    assert told.variance == pytest.approx(0.5 / (1.0 + 0.6 * 0.5))
    assert 0.5 < told.rate < 1.0 / (1.0 + math.exp(-told.mean)), "what is not sure is nearer to one half"


def test_weights_are_learned_and_forgotten() -> None:
    rng, model = random.Random(0), RateModel(3)
    for version in range(200):
        x = [1.0, rng.uniform(-1, 1), rng.uniform(-1, 1)]
        rate = 1.0 / (1.0 + math.exp(-(0.5 + 2.0 * x[1])))
        model.observe(x, 0.0, sum(rng.random() < rate for _ in range(8)), 8, 4.0, version)
    high, low = (model.foretell([1.0, sign, 0.0], 0.0, 199).rate for sign in (1.0, -1.0))
    assert high > 0.8 and low < 0.3
    assert abs(model.foretell([0.0, 0.0, 1.0], 0.0, 199).mean) < 0.3, "the third says nothing"
    later = model.foretell([1.0, 1.0, 0.0], 0.0, 199 + 2000)
    assert abs(later.mean) < 0.01 and later.variance == pytest.approx(2 * PRIOR_VARIANCE, rel=0.01)
    assert 0.0 < KEPT < 1.0


@given(st.text(max_size=60), st.integers(1, 10**30), st.dictionaries(st.text(max_size=5), st.floats()))
def test_features_of_anything_are_bounded_and_as_many(text: str, level: int, named: dict[str, float]) -> None:
    own, before = problem("a", text, text, level, "b"), problem("b", text[::-1])
    found = features(own, 0.3, 12.0, Parent(before, 0.9), -3.5, named)
    assert len(found) == SIZE == len(features(before, 0.3, 0.0, None, None, {}))
    assert all(-4.0 <= each <= 4.0 for each in found)


def of_two_kinds(steps: int = 60, hint: str = "text") -> Iterator[StepHistory]:
    """One family, half of whose problems are solved and half not, as their text, their parent or their log-probability
    tells (`hint`); the family's rate is 1/2 throughout."""
    rng = random.Random(hint)
    seeds = (problem("easy"), problem("hard"))
    yield StepHistory(0, 0, seeds, (), ())
    yield StepHistory(1, 1, (), (), (PassRate("easy", 0, 8, 7), PassRate("hard", 0, 8, 1)))
    for step in range(2, steps):
        posed, said, rates = [], [], []
        for index in range(4):
            is_easy = bool(rng.randrange(2))
            text = ("1 + 2" if is_easy else "1 * 2") if hint == "text" else "1 + 2"
            parent = ("easy" if is_easy else "hard") if hint == "parent" else "easy"
            logprob = (-0.2 if is_easy else -2.5) if hint == "logprob" else None
            new = problem(f"{step}.{index}", text, parent=parent)
            posed.append(new)
            said.append(Proposal(parent, 0, index, text, Fate.ACCEPTED, new.problem_id, None, logprob))
            right = sum(rng.random() < (0.9 if is_easy else 0.1) for _ in range(8))
            rates.append(PassRate(new.problem_id, step - 1, 8, right))
        kept = [PassRate("easy", step - 1, 8, 7), PassRate("hard", step - 1, 8, 1)]
        yield StepHistory(step, step, tuple(posed), tuple(said), (*kept, *rates))


@pytest.mark.parametrize("hint", ["text", "parent", "logprob"])
def test_what_tells_problems_of_a_family_apart_is_used(hint: str) -> None:
    groups = [each for each in scored(of_two_kinds(hint=hint), SETTINGS) if each.is_first and each.step > 20]
    beta, told = scores(groups, "beta"), scores(groups, "features")
    assert beta is not None and told is not None and beta.groups == told.groups > 100
    assert told.brier < beta.brier - 0.08, "0.09 is all that can be known"
    assert told.coverage >= 0.85


@pytest.mark.parametrize("forecast", ["beta", "features"])
def test_a_hopeless_candidate_comes_last_where_features_decide(forecast: str) -> None:
    settings = CurriculumSettings(8, forecast=forecast)  # type: ignore[arg-type]
    tracker = Tracker(settings)
    for step in of_two_kinds():
        tracker.observe(step)
    texts = ["1 + 1 * 2"] * 6 + ["1 * 2 * 2 * 2"] * 6  # of both kinds, so in between; and as what is hardly ever solved
    candidates = [Candidate(0, n, problem(f"new {n}", text, parent="easy")) for n, text in enumerate(texts)]
    ranking = ranked(candidates, 6, tracker, settings, random.Random(0))
    order = [each.index for each in ranking.promising + ranking.others]
    assert (set(order[:6]) == set(range(6))) == (forecast == "features")


def test_a_snapshot_holds_it_bit_for_bit_and_a_fold_gives_it_again() -> None:
    history = list(of_two_kinds())
    whole, first = Tracker(SETTINGS), Tracker(SETTINGS)
    for step in history:
        whole.observe(step)
    for step in history[:30]:
        first.observe(step)
    label, packed = snapshot.pack(first, "d")
    second = Tracker(SETTINGS)
    assert snapshot.unpack(second, SnapshotRow(first.step, "d", label, packed))
    for step in history[30:]:
        second.observe(step)
    states = [json.dumps(each._foretelling._model.state_of_fold()) for each in (whole, second)]
    assert states[0] == states[1] and whole._foretelling._within == second._foretelling._within
    untried = problem("new", "3 + 3", parent="hard")
    assert whole.forecast(untried, -1.0) == second.forecast(untried, -1.0) != whole.untried_forecast(untried, "beta")


def test_a_lineage_of_untried_problems_is_no_recursion() -> None:
    tracker = Tracker(SETTINGS)
    chain = tuple(problem(f"p{n}", parent=f"p{n - 1}" if n else None) for n in range(5000))
    tracker.observe(StepHistory(0, 0, chain, (), ()))
    assert 0.0 < tracker.rate("p4999") < 1.0


def test_a_domain_that_names_features_is_asked_for_them_alone() -> None:
    named = Tracker(SETTINGS, lambda each: {"size": float(each.level)})
    told = named._described(problem("a", "1 + 2", level=1), None).features
    assert told == named._described(problem("a", "9 * 9 * 9", level=1), None).features
    assert told != named._described(problem("a", level=2), None).features
    assert ability(SumsDomain(2, 6), Featured).features(problem("a")) == {}
    assert logit(0.5) == 0.0


def cost_of_a_step(num_problems: int, num_families: int) -> float:
    """CPU seconds, the least of a few steps of 24 new problems, 48 candidates ranked."""
    known = tuple(problem(f"p{n}", f"{n} + {n % 7}", f"f{n % num_families}", 1 + n % 5) for n in range(num_problems))
    tracker = Tracker(SETTINGS)
    tracker.observe(StepHistory(0, 0, known, (), ()))
    tracker.observe(StepHistory(1, 1, (), (), tuple(PassRate(f"p{n}", 0, 8, n % 9) for n in range(num_families))))
    best = 1e9
    for step in range(2, 7):
        made = [problem(f"{step}/{n}", f"{n} * {step}", f"f{n}", 2, f"p{n}") for n in range(48)]
        started = time.process_time()
        ranked([Candidate(0, n, each) for n, each in enumerate(made)], 12, tracker, SETTINGS, random.Random(step))
        rates = tuple(PassRate(each.problem_id, step - 1, 8, 3) for each in made[:24])
        tracker.observe(StepHistory(step, step, tuple(made[:24]), (), rates))
        best = min(best, time.process_time() - started)
    return best


def test_a_step_costs_the_same_at_100_000_problems_of_5_000_families() -> None:
    small, large = cost_of_a_step(1_000, 100), cost_of_a_step(100_000, 5_000)
    assert large < 3 * small + 0.02, (small, large)
