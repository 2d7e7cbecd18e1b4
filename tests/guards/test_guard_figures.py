"""What the guards see of a step, counted by hand, and the rules by which an alarm is raised and over."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest
from scripted_roles import DOMAIN, PARAMS, ScriptedEngine, completion, problem

from curriculum.answers.formats import OTHER, SHAPES, Formats, formats_by_mark, shape_of
from curriculum.domains.abilities import ability
from curriculum.domains.arithmetic.domain import ArithmeticDomain
from curriculum.domains.own import OwnDomain
from curriculum.domains.protocol import Prompted
from roles.judging.groups import JudgedGroup, JudgeSettings, judge_group
from roles.prompts import PromptStyle
from roles.requests import Sampled
from roles.solver import SolverSettings, attempt
from selfplay import metrics
from selfplay.config.keys import Config
from selfplay.guards import shortcuts
from selfplay.guards.figures import look, told
from selfplay.guards.formats import format_detail, format_figures
from selfplay.guards.rules import WATCHED_STEPS, Guard, Open, after, watched
from selfplay.guards.spread import distinct_share, token_entropy
from selfplay.guards.table import guards
from selfplay.guards.thresholds import Thresholds
from selfplay.guards.watch import Watch
from selfplay.play.step import Judged, Played, Posed, TriagedProposal
from selfplay.run import build_guards
from store.records import Alarm, AlarmEvent, Fate

STYLE = PromptStyle(ability(DOMAIN, Prompted))
GUARDS = guards(Thresholds(), "Do something else")


def group_of(text: str, firsts: Sequence[str], parent: str | None = None) -> JudgedGroup:
    """First tries at an expression that say these things."""
    posed = replace(problem(text), parent_id=parent)
    said = ScriptedEngine({"solver/0": [f" {each}\n" for each in firsts]}).drive(
        attempt(posed, STYLE, SolverSettings(len(firsts), 1, PARAMS), step=1)
    )
    return judge_group(said, STYLE.domain, STYLE.visible, JudgeSettings(), step=1)


def proposal(text: str, fate: Fate) -> TriagedProposal:
    return TriagedProposal(problem("1 + 2"), 0, 0, Sampled(0, completion(text)), fate)


@pytest.mark.parametrize(
    ("text", "shape"),
    [
        (" 41\n", "value"), ("[1, 2, 3]", "value"), ("24,29,87,17", "value"), ("12 apples", "value"), ("", "empty"),
        (" \n\t", "empty"), ("The answer is 12", "words"), ("47 + 38 = 85", "equation"), ("1 + 2 = 3 = 3", "steps"),
        ("First 3.\nThen 4.", "steps"), ("\n 41 \n\n", "value"), ("so \\boxed{3}", "boxed"),
        ("def f(x):\n    return x", "code"), ("```python\n1\n```", "code"), ("print(3)", "code"),
        ("define 3 as it is", "words"), ("\x00\u202e", "value"),
    ],
)  # fmt: skip
def test_an_answer_has_one_shape(text: str, shape: str) -> None:
    assert shape_of(text) == shape and shape in SHAPES


def test_formats_are_told_by_the_first_mark_that_stands_in_a_text() -> None:
    formats = formats_by_mark({"code": "def ", "boxed": "\\boxed"})
    posed = problem("1 + 2")
    assert [formats.of(posed, text) for text in ("\\boxed{1} def f", "\\boxed{1}", "1")] == ["code", "boxed", OTHER]
    assert formats.names == ("code", "boxed", "other")
    odd = Formats(("a", OTHER), lambda problem, text: text)
    assert odd.names == ("a", OTHER) and [odd.of(posed, text) for text in ("a", "a\n")] == ["a", OTHER]


def test_other_is_counted_only_where_a_text_may_have_none_of_the_formats() -> None:
    by_shape = build_guards.formats(Config(), DOMAIN)
    said = ["", "def f", "\\boxed{1}", "1 = 1 = 1", "x = 1", "7", "two words"]
    played = Played(Posed((), ()), Judged((group_of("1 + 2", said),)), {})
    figures = look(played, by_shape, STYLE.visible).figures
    assert by_shape.names == SHAPES and figures["format/entropy"] == pytest.approx(1.0)
    assert [figures[f"format/share_{shape}"] for shape in SHAPES] == [pytest.approx(1 / 7)] * 7
    wrapped = build_guards.formats(Config(), OwnDomain(ArithmeticDomain(), "mine", None))
    assert wrapped.names == SHAPES, "a domain of a user's that says nothing of formats"
    for given in ({"formats": ("code", "words")}, {"format_of": lambda self, problem, text: text}):
        domain = type("Own", (ArithmeticDomain,), given)()
        assert OTHER in build_guards.formats(Config(), domain).names
        assert OTHER in build_guards.formats(Config(), OwnDomain(domain, "mine", None)).names


def test_shares_accuracy_and_entropy_of_formats_by_hand() -> None:
    tries = [("steps", True)] * 3 + [("steps", False)] * 3 + [("value", True), ("value", False)]
    found = format_figures(tries, ("steps", "value", "code"))
    entropy = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25)) / math.log(3)
    assert found == {
        "format/share_steps": 0.75, "format/share_value": 0.25, "format/share_code": 0.0, "format/accuracy_steps": 0.5,
        "format/accuracy_value": 0.5, "format/most": 0.75, "format/entropy": pytest.approx(entropy),
        "format/at_stake": 0.25,
    }  # fmt: skip
    assert format_detail(found, ("steps", "value", "code")) == "steps 0.75 (0.50 of them right), value 0.25 (0.50)"
    assert format_figures([], ("a", "b")) == {}
    even = format_figures([(name, True) for name in "abcd"], tuple("abcd"))
    assert even["format/entropy"] == pytest.approx(1.0) and even["format/most"] == 0.25
    assert format_figures([("a", True)], ("a", "b"))["format/entropy"] == 0.0
    assert format_figures([("a", True)], ("a",))["format/entropy"] == 0.0


@pytest.mark.parametrize(("right", "at_stake"), [(0, 0.0), (1, 0.0), (2, 0.25), (4, 0.25)])
def test_at_stake_is_what_is_right_half_as_often(right: int, at_stake: float) -> None:
    """Of 12 tries in the most frequent format 9 are right, so a rival of 4 needs two right ones of them."""
    tries = [("a", place < 9) for place in range(12)] + [("b", place < right) for place in range(4)]
    assert format_figures(tries, ("a", "b"))["format/at_stake"] == at_stake
    assert format_figures([("a", False)] * 3 + [("b", False)], ("a", "b"))["format/at_stake"] == 0.0


def test_one_answer_to_many_problems_counts_as_far_as_it_is_not_right() -> None:
    groups = [group_of("3 + 4", ["7", "7"]), group_of("3 + 5", ["7", "8"]), group_of("3 + 6", ["7", "x"])]
    assert shortcuts.answer_prior(groups) == (pytest.approx((1 + 0.5 + 0.5 - 1) / 3), "7")
    right = [group_of("3 + 4", ["7", "7"]), group_of("5 + 2", ["7", "7"])]
    assert shortcuts.answer_prior(right) == (0.0, "7"), "all problems have that answer"
    assert shortcuts.answer_prior(groups[:1]) is None and shortcuts.answer_prior([]) is None
    assert shortcuts.answer_prior([group_of("3 + 4", ["x"]), group_of("3 + 5", ["?"])]) is None


def test_answers_that_stand_in_the_problem() -> None:
    groups = [group_of("12 + 3", ["12", "3", "2", "15"]), group_of("0 + 9", ["9", "9", "9", "0"])]
    # copied: 2 of 4 and 4 of 4; right answers stand in one of the two problems
    assert shortcuts.answer_visible(groups) == 0.5
    assert shortcuts.answer_copied(groups) == pytest.approx((0.5 + 1.0) / 2 - 0.5)
    assert shortcuts.answer_copied([group_of("12 + 3", ["15", "2"])]) == 0.0
    assert shortcuts.answer_copied([]) is None and shortcuts.answer_visible([]) is None
    assert not shortcuts.stands_in("", problem("1 + 2")) and not shortcuts.stands_in("1" * 300, problem("1 + 2"))
    assert shortcuts.stands_in("+", problem("1 + 2")), "an answer is looked for as it is, not as a pattern"
    unknown = [replace(each, problem=replace(each.problem, answer="")) for each in groups]
    assert shortcuts.answer_visible(unknown) is None and shortcuts.answer_copied(unknown) == 0.75


def test_changed_problems_that_are_answered_alike() -> None:
    parent = group_of("3 + 4", ["7", "7", "7", "7"])
    mine = parent.problem.problem_id
    same, other = group_of("3 + 5", ["7", "7", "8", "8"], mine), group_of("3 + 6", ["8", "9", "9", "9"], mine)
    # parent and first child: 1 * 1/2; the children: 1/2 * 1/4 on 8
    assert shortcuts.answered_alike([parent, same, other]) == pytest.approx((0.5 + 0.125) / 2)
    assert shortcuts.answered_alike([same, other]) == pytest.approx(0.125), "of a parent that is not posed now"
    turned = group_of("4 + 3", ["7"] * 4, mine)
    assert shortcuts.answered_alike([parent, turned]) is None, "the right answer is the same"
    assert shortcuts.answered_alike([parent, group_of("3 + 5", ["7"] * 4)]) is None
    unknown = replace(same, problem=replace(same.problem, answer=""))
    assert shortcuts.answered_alike([parent, unknown]) is None


def test_a_completion_repeats_itself_where_most_of_it_was_said_before() -> None:
    assert shortcuts.repeats_itself([1] * 8) and not shortcuts.repeats_itself([1] * 7)
    assert not shortcuts.repeats_itself(range(100))
    assert shortcuts.repeats_itself([1, 2, 3] * 5) and not shortcuts.repeats_itself([1, 2, 3] * 2 + [4, 5, 6])
    assert shortcuts.repetition([[1] * 8, list(range(8))]) == 0.5 and shortcuts.repetition([]) is None


def test_entropy_and_proposals_that_differ() -> None:
    said = [replace(completion("ab\n"), logprobs=(-1.0, -2.0, -3.0)), replace(completion("c"), logprobs=(-6.0,))]
    assert token_entropy(said) == 3.0 and token_entropy([]) is None, "a mean over tokens, not over completions"
    assert distinct_share(["1 + 2", " 1  + 2\n", "1 + 3", "1+2"]) == 0.75 and distinct_share([]) is None


def test_a_look_at_a_step_has_a_figure_for_everything() -> None:
    groups = (group_of("3 + 4", ["7", "so = 7 ="], "p"), group_of("3 + 5", ["7", "7"], "p"))
    proposals = (proposal("3 + 4\n", Fate.ACCEPTED), proposal("3 + 4\n", Fate.DUPLICATE), proposal("?", Fate.UNPARSED))
    seen = look(Played(Posed((), (), proposals), Judged(groups), {}), Formats(SHAPES, lambda p, t: shape_of(t)),
                STYLE.visible)  # fmt: skip
    figures = seen.figures
    assert (figures["format/share_value"], figures["format/share_steps"]) == (0.75, 0.25)
    assert (figures["format/accuracy_value"], figures["format/accuracy_steps"]) == (pytest.approx(1 / 3), 0.0)
    assert figures["shortcut/answer_prior"] == pytest.approx((0.5 + 1 - 1) / 2)
    assert figures["shortcut/answered_alike"] == 0.5 and figures["shortcut/repetition"] == 0.0
    assert figures["entropy/solver"] == figures["entropy/challenger"] == 0.5
    assert figures["challenger/distinct_share"] == pytest.approx(2 / 3)
    assert figures["challenger/readable_share"] == pytest.approx(2 / 3)
    assert seen.details[metrics.ANSWER_PRIOR] == "'7'"
    for name in figures:
        metrics.metric_of(name)
    nobody = look(Played(Posed((), ()), Judged(()), {}), formats_by_mark({"a": "a"}), STYLE.visible)
    assert nobody.figures == {}


def test_second_looks_at_one_first_try_count_it_once() -> None:
    said = ScriptedEngine({"solver/0": [" 7\n", " 8\n"], "solver/1": [" 7\n"] * 6}).drive(
        attempt(problem("3 + 4"), STYLE, SolverSettings(2, 2, PARAMS, looks=3), step=1)
    )
    group = judge_group(said, STYLE.domain, STYLE.visible, JudgeSettings(), step=1)
    assert told([group], formats_by_mark({"seven": "7"}), STYLE.visible) == [("seven", True), (OTHER, False)]


# Rules


ABOVE = Guard("g", "shortcut/answer_prior", "above", 0.5, 0.25, "{now} past {bound}: {detail}", "do this", steps=2)
Figures = Mapping[str, float]


def told_by(guard: Guard, values: Sequence[float | None], other: Figures = {}) -> list[tuple[int, AlarmEvent]]:  # noqa: B006
    """(place, event) of everything that is said, of a figure that takes these values in turn; None: not measured."""
    watch = Watch((guard,), formats_by_mark({"a": "a"}), str)
    found = []
    for place, value in enumerate(values):
        figures = dict(other) if value is None else {guard.figure: value, **other}
        found += [(place, alarm.event) for alarm in watch.see(place, figures, {})]
    return found


def test_an_alarm_is_raised_once_and_is_over_once_behind_another_bound() -> None:
    values = [0.9, 0.0, 0.6, 0.7, 0.9, 0.4, 0.3, 0.2, 0.1, 0.9, 0.9]
    assert told_by(ABOVE, values) == [(3, AlarmEvent.RAISED), (7, AlarmEvent.OVER), (9 + 1, AlarmEvent.RAISED)]
    assert told_by(ABOVE, [0.9, None, None, 0.9]) == [(3, AlarmEvent.RAISED)], "only where it was measured"
    assert told_by(ABOVE, [0.5] * 9) == [], "at the threshold, not above it"


def test_figures_that_fall_below() -> None:
    below = replace(ABOVE, kind="below", opens=0.25, closes=0.5)
    values = [0.1, 0.9, 0.2, 0.1, 0.4, 0.4, 0.6, 0.6]
    assert told_by(below, values) == [(3, AlarmEvent.RAISED), (6, AlarmEvent.OVER)]


def test_a_rise_is_one_only_where_there_was_less_before_and_something_at_stake() -> None:
    rise = replace(ABOVE, kind="rise", opens=0.8, closes=0.7)
    assert told_by(rise, [0.9] * 9) == [], "it was so from the start"
    assert told_by(rise, [0.75, 0.75, 0.9, 0.9]) == [], "nor was it ever well below"
    assert told_by(rise, [0.5, 0.5, 0.9, 0.9]) == [(3, AlarmEvent.RAISED)]
    staked = replace(rise, stake=("format/at_stake", 0.05))
    assert told_by(staked, [0.5, 0.5, 0.9, 0.9], {"format/at_stake": 0.04}) == []
    assert told_by(staked, [0.5, 0.5, 0.9, 0.9], {"format/at_stake": 0.05}) == [(3, AlarmEvent.RAISED)]


def test_a_fall_is_half_of_the_best_and_over_at_three_quarters_of_what_was_best_then() -> None:
    fall = replace(ABOVE, kind="fall", opens=0.5, closes=0.75)
    assert told_by(fall, [0.8, 0.8, 0.4, 0.4, 0.3, 0.3]) == [(4, AlarmEvent.RAISED)]
    long_ago = [0.8, 0.8, *[0.3] * (2 * WATCHED_STEPS), 0.5, 0.5, 0.65, 0.65]
    assert told_by(fall, long_ago) == [(3, AlarmEvent.RAISED), (len(long_ago) - 1, AlarmEvent.OVER)]


def test_steps_with_too_little_to_say_are_not_counted() -> None:
    needs = replace(ABOVE, least=(metrics.PROBLEMS, 8.0))
    assert told_by(needs, [0.9] * 4, {metrics.PROBLEMS: 7.0}) == [] == told_by(needs, [0.9] * 4)
    assert told_by(needs, [0.9] * 4, {metrics.PROBLEMS: 8.0}) == [(1, AlarmEvent.RAISED)]


def test_an_alarm_says_the_figure_the_threshold_and_what_to_do() -> None:
    [raised] = watched([ABOVE], [{ABOVE.figure: 0.6}, {ABOVE.figure: 0.8}], {}, {ABOVE.figure: "'{now}'"})
    assert raised == Alarm("g", AlarmEvent.RAISED, 0.7, 0.5, "0.70 past 0.50: '{now}'", "do this")
    opened = after({}, 12, [raised])
    assert opened == {"g": Open(12, raised)}
    [over] = watched([ABOVE], [{ABOVE.figure: 0.2}, {ABOVE.figure: 0.1}], opened, {})
    assert (over.event, over.figure, over.threshold, over.advice) == (AlarmEvent.OVER, pytest.approx(0.15), 0.25, "")
    assert over.text == "g is over: 0.15, 0.70 when it was raised at step 12"
    assert after(opened, 20, [over]) == {}


def test_a_watch_that_takes_up_a_stored_run_says_what_one_that_went_on_says() -> None:
    values = [0.1, 0.6, 0.8, 0.7, 0.2, 0.1, 0.1, 0.8, 0.9]
    steps = [{ABOVE.figure: value} for value in values]
    whole = Watch((ABOVE,), formats_by_mark({"a": "a"}), str)
    said = [(place, alarm) for place, step in enumerate(steps) for alarm in whole.see(place, step, {})]
    assert len(said) == 3
    for cut in range(1, len(steps)):
        again = Watch((ABOVE,), formats_by_mark({"a": "a"}), str)
        again.begin(steps[:cut], [pair for pair in said if pair[0] < cut])
        rest = [(place, alarm) for place in range(cut, len(steps)) for alarm in again.see(place, steps[place], {})]
        assert rest == [pair for pair in said if pair[0] >= cut], cut


def guard_named(name: str) -> Guard:
    return next(each for each in GUARDS if each.name == name)


def test_every_guard_watches_a_figure_of_the_table_and_is_named_once() -> None:
    assert len({each.name for each in GUARDS}) == len(GUARDS)
    for each in GUARDS:
        assert metrics.metric_of(each.figure) and metrics.metric_of(each.least[0])
        assert each.says.format(now="1", bound="2", best="3", detail="4") and not each.advice.endswith(".")
        is_high = each.kind in ("above", "rise")
        assert each.closes <= each.opens if is_high else each.closes >= each.opens


def test_thresholds_at_their_ends_are_never_passed() -> None:
    never = guards(Thresholds(1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0), "")
    keyed = [each for each in never if not each.name.startswith(("readable", "copies", "canaries", "rechecks"))]
    enough = {metrics.PROBLEMS: 32.0, metrics.PROPOSALS: 48.0, metrics.FORMAT_AT_STAKE: 1.0}
    for guard in keyed:
        values = [0.0] * 3 + [1.0] * 3 + [0.0] * 3
        assert told_by(guard, values, enough) == [], guard.name
    assert len(keyed) == 10


def test_what_can_no_longer_be_read_raises_the_alarm() -> None:
    """Case 28: a model collapsed within five steps, from 29 valid proposals of 48 to 1, and nothing was said."""
    proposals, answers = guard_named("readable_proposals"), guard_named("readable_answers")
    raised = [(5, AlarmEvent.RAISED)]
    for guard in (proposals, answers):
        assert told_by(guard, [0.5, 0.5, 0.5, 0.25, 0.125, 0.0]) == raised
        assert told_by(guard, [0.5, 0.5, 0.5, 0.0, 0.0]) == []  # five steps are too few
        assert told_by(guard, [0.5, 0.5, 0.5, 0.5, 0.5, 0.0]) == []  # one odd step
    assert told_by(proposals, [0.5] * 3 + [0.0] * 3 + [0.5] * 3) == [*raised, (8, AlarmEvent.OVER)]  # it came back


def test_copies_are_an_alarm_after_five_steps_in_a_row() -> None:
    assert told_by(guard_named("copies"), [1.0] * 4 + [0.0] + [1.0] * 5) == [(9, AlarmEvent.RAISED)]
    assert told_by(guard_named("canaries"), [0.0, 0.02, 0.02, None, 0.0]) == [
        (1, AlarmEvent.RAISED), (4, AlarmEvent.OVER)
    ]  # fmt: skip


def test_a_solver_that_answers_seven_to_everything_is_told_from_one_that_learns() -> None:
    """From records to alarms: eight problems a step, ten steps of either."""

    def said(answer: str | None) -> set[str]:
        watch = Watch(GUARDS, Formats(SHAPES, lambda p, t: shape_of(t)), STYLE.visible)
        found: set[str] = set()
        for step in range(1, 11):
            posed = [problem(f"{step} + {i}") for i in range(10, 18)]
            groups = tuple(group_of(each.text, [answer or each.answer] * 3 + ["1"]) for each in posed)
            seen = watch.look(Played(Posed((), ()), Judged(groups), {}))
            figures = {metrics.PROBLEMS: float(len(groups)), **seen.figures}
            found |= {alarm.name for alarm in watch.see(step, figures, seen.details)}
            texts = [each.alarm.text for each in watch.opened.values()]
        return found | set(texts)

    assert said("7") == {
        "answer_prior",
        "one answer is given whatever is asked, in 0.75 of first tries more than it is right: '7'",
    }
    assert said(None) == set()
