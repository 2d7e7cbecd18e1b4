"""The majority of first tries as judge."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from scripted_roles import DOMAIN, completion, problem

from curriculum.answers.comparing import is_same_answer
from curriculum.domains.abilities import ability
from curriculum.domains.protocol import ComparesAnswers, Prompted, Verdict
from roles.judging.by_majority import (
    MajoritySettings,
    Vote,
    by_majority,
    judge_by_majority,
    label_of,
    labelled,
    vote,
)
from roles.judging.groups import JudgedGroup, JudgeSettings, judge_group, pass_rate
from roles.prompts import PromptStyle
from roles.requests import Sampled
from roles.solver import SolvedGroup
from selfplay.metrics import LABEL_ACCURACY, LABEL_COUNT
from selfplay.run.figures import majority_metrics
from store.records import Finish, Outcome

PROBLEM = problem("23 + 45")  # 68
STYLE = PromptStyle(ability(DOMAIN, Prompted))
VOTES = ability(DOMAIN, ComparesAnswers)
RIGHT, WRONG, UNREAD, UNJUDGED = Outcome.CORRECT, Outcome.INCORRECT, Outcome.UNPARSED, Outcome.UNJUDGED


def group_of(*attempts: Sequence[str], looks: int = 1) -> SolvedGroup:
    said = tuple(tuple(Sampled(7, completion(text)) for text in turns) for turns in attempts)
    return SolvedGroup(PROBLEM, said, looks=looks)


def judged_by_vote(group: SolvedGroup, min_share: float = 0.0) -> JudgedGroup:
    settings = MajoritySettings(min_share)
    return judge_by_majority(group, VOTES, STYLE.visible, settings, JudgeSettings(), 1)


def outcomes(group: JudgedGroup) -> list[list[Outcome]]:
    return [[turn.outcome for turn in attempt.turns] for attempt in group.attempts]


@pytest.mark.parametrize(
    ("answers", "found"),
    [
        (["8", "7", "7", "9"], Vote("7", 2, 4)),
        (["8", "7", "7", "8"], Vote("8", 2, 4)),  # a tie: the one that was said first
        (["7.0", "8", "7", "8", "7"], Vote("7.0", 3, 5)),  # one number in two spellings
        (["1,000", "1000"], Vote("1,000", 2, 2)),
        (["x"], Vote("x", 1, 1)),
        ([], None),
    ],
)
def test_votes_by_hand(answers: list[str], found: Vote | None) -> None:
    assert vote(answers, is_same_answer) == found


@pytest.mark.parametrize(
    ("found", "min_share", "label"),
    [
        (Vote("7", 3, 8), 0.0, "7"),
        (Vote("7", 3, 8), 0.375, "7"),
        (Vote("7", 3, 8), 0.4, None),
        (Vote("7", 1, 1), 0.0, None),  # nobody agrees with it
        (None, 0.0, None),
    ],
)
def test_a_label_is_repeated_and_has_its_share(found: Vote | None, min_share: float, label: str | None) -> None:
    assert label_of(found, MajoritySettings(min_share)) == label


def test_what_most_first_tries_say_is_right_though_it_is_wrong() -> None:
    group = judged_by_vote(group_of([" 67\n", " 68\n"], [" 68\n", " 67\n"], [" 67\n", "?\n"], ["?\n", " 67\n"]))
    assert outcomes(group) == [[RIGHT, WRONG], [WRONG, RIGHT], [RIGHT, UNREAD], [UNREAD, RIGHT]]
    rate = pass_rate(group, 0)
    assert rate is not None and (rate.successes, rate.attempts) == (2, 4)


def test_the_domain_has_no_say_in_it() -> None:
    """Were its verdict used anywhere, the other way round it would show."""

    class Contrary:
        """Reads as the domain, and says the contrary of it."""

        def __getattr__(self, name: str) -> object:
            return getattr(VOTES, name)

        def judge(self, problem: object, text: str) -> tuple[Outcome, str | None]:
            outcome, answer = DOMAIN.judge(problem, text)  # type: ignore[arg-type]
            return {RIGHT: WRONG, WRONG: RIGHT}.get(outcome, outcome), answer

    said = group_of([" 67\n"], [" 67\n"], [" 68\n"], ["?\n"])
    contrary: ComparesAnswers = Contrary()  # type: ignore[assignment]
    found = judge_by_majority(said, contrary, STYLE.visible, MajoritySettings(), JudgeSettings(), 1)
    assert outcomes(found) == outcomes(judged_by_vote(said)) == [[RIGHT], [RIGHT], [WRONG], [UNREAD]]


@pytest.mark.parametrize("texts", [(" 67\n", " 68\n", "?\n"), ("?\n", "?\n", "??\n")])
def test_without_a_label_nothing_is_judged(texts: Sequence[str]) -> None:
    group = judged_by_vote(group_of(*([text] for text in texts)))
    assert {outcome for [outcome] in outcomes(group)} == {UNJUDGED}
    assert group.judged == [] and pass_rate(group, 0) is None


def test_a_first_try_with_two_looks_has_one_vote() -> None:
    group = group_of([" 67\n", " 1\n"], [" 67\n", " 1\n"], [" 68\n", " 1\n"], [" 68\n", " 1\n"], looks=2)
    assert outcomes(judged_by_vote(group))[0][0] is UNJUDGED  # one try each, whatever was looked at again
    assert outcomes(judged_by_vote(group_of([" 67\n"], [" 67\n"], [" 68\n"])))[0][0] is RIGHT


def test_a_cut_answer_has_no_vote_and_a_failing_judge_is_said() -> None:
    cut = Sampled(7, replace(completion(" 67"), finish=Finish.LENGTH))
    said = SolvedGroup(PROBLEM, ((cut,), (cut,), *group_of([" 68\n"], [" 68\n"]).attempts))
    assert outcomes(judged_by_vote(said)) == [[Outcome.TRUNCATED], [Outcome.TRUNCATED], [RIGHT], [RIGHT]]
    failed = labelled(Verdict(UNJUDGED, error="ValueError: no"), "68", VOTES)
    assert (failed.outcome, failed.error) == (UNJUDGED, "ValueError: no")


def test_a_search_judges_by_the_label_of_its_group() -> None:
    judging = by_majority(judged_by_vote(group_of([" 67\n"], [" 67\n"], [" 68\n"])), VOTES)
    assert judging.question(" 67") is None
    assert [judging.verdict(text, None) for text in (" 67", " 68", "?")] == [RIGHT, WRONG, UNREAD]


def test_how_true_labels_are() -> None:
    true, false = group_of([" 68\n"], [" 68\n"], [" 1\n"]), group_of([" 67\n"], [" 67\n"], [" 68\n"])
    none = group_of([" 67\n"], [" 68\n"])
    groups = [judged_by_vote(each) for each in (true, false, none, true)]
    assert majority_metrics(groups, STYLE) == pytest.approx({LABEL_ACCURACY: 2 / 3, LABEL_COUNT: 3.0})
    assert majority_metrics([judged_by_vote(none)], STYLE) == {LABEL_COUNT: 0.0}
    assert judge_group(false, DOMAIN, STYLE.visible, JudgeSettings(), 1).num_first_right == 1
