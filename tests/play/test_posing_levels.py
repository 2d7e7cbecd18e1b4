"""What a domain's own sampler poses, in place of a challenger or beside it, and the levels that it draws."""

from collections import Counter
from collections.abc import Sequence

from curriculum.domains.abilities import ability
from curriculum.domains.protocol import Prompted, problem_of
from curriculum.domains.sums import SumsDomain
from curriculum.holdout import HeldOut
from curriculum.selection.scheduler import Scheduler
from curriculum.settings import CurriculumSettings
from curriculum.tracking.difficulty import Tracker
from roles.challenger import ProposedGroup
from roles.prompts import PromptStyle
from roles.requests import Sampled
from roles.tree import ROOT
from selfplay.play.posing import LevelRule, Poser
from store.records import Completion, Fate, Finish, Origin, PassRate, Problem, StepHistory

DOMAIN = SumsDomain(2, 6)


def poser_of(tracker: Tracker, settings: CurriculumSettings, rule: LevelRule, drawn_share: float = 0.0) -> Poser:
    return Poser(
        DOMAIN, HeldOut(DOMAIN, "key"), tracker, Scheduler(tracker, settings, 0), settings, 0,
        levels=rule, drawn_share=drawn_share,
    )  # fmt: skip


def seeded(settings: CurriculumSettings) -> Tracker:
    """A tracker that knows the domain's seeds."""
    tracker = Tracker(settings)
    seeds = [problem_of(each, DOMAIN.name, Origin.SEED) for each in DOMAIN.seeds()]
    tracker.observe(StepHistory(0, 0, tuple(seeds), (), ()))
    return tracker


def proposed(parent: Problem, texts: Sequence[str]) -> ProposedGroup:
    said = [Completion((1,), (0.0,), text, Finish.STOP, 0, 0) for text in texts]
    return ProposedGroup(0, parent, tuple(Sampled(ROOT, each) for each in said))


def drawn(successes: dict[int, int], rule: LevelRule) -> Counter[int]:
    """How many new problems of each level are posed in 20 steps, where so many of 64 tries at a level were right."""
    settings = CurriculumSettings()
    tracker = seeded(settings)
    seeds = [tracker.problem(problem_id) for problem_id in tracker.seeds]
    rates = [PassRate(each.problem_id, 0, 64, successes[each.level]) for each in seeds if each.level in successes]
    tracker.observe(StepHistory(1, 1, (), (), tuple(rates)))
    poser = poser_of(tracker, settings, rule)
    return Counter(problem.level for step in range(20) for problem in poser.pose_procedurally(step, 16).new)


def test_levels_rise_with_what_is_solved_and_fall_again() -> None:
    started, solved = drawn({2: 32, 3: 2}, "learnable"), drawn({2: 64, 3: 62, 4: 32, 5: 2}, "learnable")
    assert started.most_common(1)[0][0] == 2 and solved.most_common(1)[0][0] == 4
    forgotten = drawn({2: 32, 3: 2, 4: 0, 5: 0}, "learnable")
    assert forgotten.most_common(1)[0][0] == 2 and 2 * forgotten[4] < forgotten[2] and 2 * solved[2] < solved[4]


def test_levels_are_uniform_by_default() -> None:
    counts = drawn({2: 64, 3: 0}, "uniform")
    assert min(counts.values()) > 0.6 * max(counts.values()) and set(counts) == {2, 3, 4, 5, 6}


def test_a_share_of_a_step_is_drawn_beside_the_challenger() -> None:
    settings = CurriculumSettings()
    tracker = seeded(settings)
    alone, beside = (poser_of(tracker, settings, "uniform", share) for share in (0.0, 0.25))
    style = PromptStyle(ability(DOMAIN, Prompted))
    parent = tracker.problem(next(iter(tracker.seeds)))
    assert not [each for each in alone.pose(1, [], style, 16).new if each.origin is Origin.PROCEDURAL]
    drawn_alone = beside.pose(1, [], style, 16)
    assert [each.origin for each in drawn_alone.new] == 4 * [Origin.PROCEDURAL]
    assert len(drawn_alone.replays) == len(tracker.seeds)  # all that is known
    # what was drawn already is no new problem when it is proposed
    posed = beside.pose(1, [proposed(parent, [drawn_alone.new[0].text, "12 + 45"])], style, 16)
    assert [each.fate for each in posed.proposals] == [Fate.DUPLICATE, Fate.ACCEPTED]
    assert posed.new[:4] == drawn_alone.new and [each.text for each in posed.new[4:]] == ["12 + 45"]
