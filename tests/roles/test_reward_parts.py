"""What a turn is paid, part by part; a user's own part, and what it may do wrong."""

import hashlib
import re
import signal
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import own_rewards
import pytest
from scripted_roles import DOMAIN, completion, problem

from curriculum.domains.abilities import ability
from curriculum.domains.judging import judged
from curriculum.domains.loading import load_domain
from curriculum.domains.protocol import Prompted, Verdict
from curriculum.own_code import within
from roles.judging.failures import JudgeWatch, NotJudgedError
from roles.judging.groups import JudgedGroup, JudgeSettings, judge_group
from roles.judging.rewards import Part, RewardError, Said, entries, load, verdict_weight
from roles.prompts import PromptStyle
from roles.requests import Sampled
from roles.solver import SolvedGroup
from selfplay.config import files as configuration
from store.records import Outcome

STYLE = PromptStyle(ability(DOMAIN, Prompted))
PROBLEM = problem("23 + 45")
ATTEMPTS = [[" 68\n", " 67\n"], [" 67\n", " no\n"], [" 68", " 68\n"]]


def parts(*rewards: Mapping[str, Any], seconds: float = 5.0) -> tuple[Part, ...]:
    return load(entries(rewards), seconds)


def group(rewards: tuple[Part, ...], attempts: Sequence[Sequence[str]] = ATTEMPTS, seed: int = 0) -> JudgedGroup:
    said = tuple(tuple(Sampled(0, completion(text)) for text in turns) for turns in attempts)
    settings = JudgeSettings(rewards, seed=seed)
    return judge_group(SolvedGroup(PROBLEM, said), STYLE.domain, STYLE.visible, settings, step=1)


def test_a_reward_is_the_weighted_sum_of_its_parts() -> None:
    rewards = parts(
        {"part": "verdict", "weight": 2},
        {"part": "format", "weight": 0.5},
        {"part": "length", "free": 2, "limit": 6},
        {"part": "own_rewards:scaled", "by": 0.5, "weight": -1, "name": "halves"},
        {"part": "own_rewards:Mine"},
    )
    found = group(rewards, [[" 68\n", " 67\n"], [" 68"]])
    turns = [turn for attempt in found.attempts for turn in attempt.turns]
    for turn, verdict, form in zip(turns, (2.0, 0.0, 0.0), (0.5, 0.5, 0.0), strict=True):
        text = STYLE.visible(turn.sampled.completion.text)
        length = -(len(turn.sampled.completion.ids) - 2) / 4  # of 3 or 4 tokens
        assert turn.parts == {
            "verdict": verdict,
            "format": form,
            "length": length,
            "halves": -own_rewards.scaled(PROBLEM, text, None, 0.5),  # type: ignore[arg-type]
            "Mine": own_rewards.Mine()(PROBLEM, text, None),  # type: ignore[arg-type]
        }
        assert turn.reward == pytest.approx(sum(turn.parts.values()), abs=1e-12)
    assert [turn.score for turn in turns] == [1.0, 0.0, 0.0]


def test_right_or_not_pays_no_nearness() -> None:
    (correct,) = parts({"part": "correct", "weight": 2})
    for outcome, score, paid in (
        (Outcome.CORRECT, 1.0, 1.0),
        (Outcome.INCORRECT, 0.9, 0.0),
        (Outcome.UNPARSED, 0.1, 0.0),
    ):
        assert correct.pay(Said(PROBLEM, "68", Verdict(outcome, "68", score), 3, "key")) == paid
    assert verdict_weight(entries([{"part": "correct", "weight": 2}, {"part": "format"}])) == 2.0
    assert verdict_weight(entries([{"part": "format"}])) == 1.0


def test_a_coin_is_the_hash_that_it_was_when_it_had_a_key_of_its_own() -> None:
    found = group(parts({"part": "random"}), seed=7)
    for attempt in found.attempts:
        for turn, each in enumerate(attempt.turns):
            key = f"7/judge/1/{PROBLEM.problem_id}/{attempt.index}/{turn}"
            assert each.reward == float(hashlib.sha256(key.encode()).digest()[0] & 1)


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.5, 0.9, 1.0])
def test_a_coin_falls_as_often_as_it_is_to(rate: float) -> None:
    """Of 4,000 turns, within four standard deviations; a rarer heads is a heads of a more frequent one too."""
    coin, rarer = parts({"part": "random", "rate": rate}, {"part": "random", "rate": rate / 2, "name": "rarer"})
    said = [Said(PROBLEM, "68", Verdict(Outcome.CORRECT, "68"), 3, str(key)) for key in range(4000)]
    heads = [coin.pay(each) for each in said]
    assert set(heads) <= {0.0, 1.0}
    assert abs(sum(heads) / 4000 - rate) <= 4 * (rate * (1 - rate) / 4000) ** 0.5
    assert all(coin.pay(each) >= rarer.pay(each) for each in said)


def test_the_opposite_of_the_truth_is_paid_for_what_can_be_read() -> None:
    found = group(parts({"part": "wrong"}))
    outcomes = [(turn.outcome, turn.reward) for attempt in found.attempts for turn in attempt.turns]
    assert {outcome for outcome, _ in outcomes} >= {Outcome.CORRECT, Outcome.INCORRECT, Outcome.UNPARSED}
    assert all(reward == float(outcome is Outcome.INCORRECT) for outcome, reward in outcomes)


def test_shuffled_verdicts_are_paid_as_often_as_verdicts_and_know_nothing() -> None:
    """Over 400 seeds of a group with 2 of 8 right: always two are paid, and a right one as often as chance has it."""
    attempts = [[" 68\n"]] * 2 + [[" 67\n"]] * 6
    to_right = 0.0
    for seed in range(400):
        paid = [each.turns[0].reward for each in group(parts({"part": "shuffled"}), attempts, seed).attempts]
        assert sorted(paid) == [0.0] * 6 + [1.0] * 2  # type: ignore[type-var]
        to_right += sum(paid[:2])  # type: ignore[arg-type]
    assert abs(to_right / 800 - 0.25) < 4 * (0.25 * 0.75 / 800) ** 0.5
    drawn = [[a.turns[0].reward for a in group(parts({"part": "shuffled"}), attempts, 3).attempts] for _ in range(2)]
    assert drawn[0] == drawn[1]


def test_each_turn_is_shuffled_by_itself() -> None:
    """Second looks are paid as often as they are right."""
    found = group(parts({"part": "shuffled"}), [[" 68\n", " 67\n"], [" 67\n", " 67\n"], [" 67\n", " 67\n"]])
    assert sorted(each.turns[0].reward for each in found.attempts) == [0.0, 0.0, 1.0]  # type: ignore[type-var]
    assert [each.turns[1].reward for each in found.attempts] == [0.0] * 3


@pytest.mark.parametrize(
    ("rewards", "words"),
    [
        ([], "no part"),
        (["verdict"], "part 1 is 'verdict': give a mapping"),
        ([{"part": "truth"}], "'truth': give verdict, correct, format, length, wrong, random, shuffled or a path"),
        ([{"part": "verdict"}, {"part": "verdict"}], "two parts are called verdict"),
        ([{"part": "verdict", "weight": 0}], "the weight 0"),
        ([{"part": "verdict", "weight": "1"}], "the weight '1'"),
        ([{"part": "verdict", "weight": float("inf")}], "the weight inf"),
        ([{"part": "verdict", "free": 3}], "option free: verdict has no such option"),
        ([{"part": "length", "free": 3}], "option limit: length cannot be made without it"),
        ([{"part": "length", "free": 3, "limit": 3}], "0 <= free < limit"),
        ([{"part": "random", "rate": 1.5}], "random takes a rate from 0 to 1, not 1.5"),
        ([{"part": "random", "rate": "often"}], "random takes a rate from 0 to 1, not 'often'"),
        ([{"part": "random", "name": "correction"}], "the name 'correction'"),
        ([{"part": "random", "name": "a b"}], "the name 'a b'"),
        ([{"part": "nowhere:Mine"}], "cannot import nowhere"),
        ([{"part": "own_rewards:Nobody"}], "own_rewards has no class Nobody"),
        ([{"part": "own_rewards:Mine", "bogus": 1}], "option bogus: it has no such option; its options: broken"),
        ([{"part": "own_rewards:scaled"}], "option by: it cannot be made without it"),
        ([{"part": "own_rewards:Mine", "broken": 3}], "TypeError"),
        ([{"part": "own_rewards:Uncallable"}], "write __call__"),
    ],
)
def test_a_list_that_is_none_is_one_line(rewards: list[Any], words: str) -> None:
    with pytest.raises(RewardError) as refusal:
        load(entries(rewards), 1.0)
    assert words in str(refusal.value) and "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("path", "error"),
    [
        ("raises", "LookupError: no such thing"),
        ("leaves", "SystemExit: 3"),
        ("nan", "ValueError: it gave nan, which is not from -1 to 1"),
        ("nothing", "TypeError: it gave None, which is no number"),
        ("word", "TypeError: it gave '0.5', which is no number"),
        ("large", "ValueError: it gave 1.5, which is not from -1 to 1"),
        ("stubborn", "TimeoutError: it took longer than 0.2 s"),
    ],
)
def test_what_a_reward_does_wrong_leaves_the_answer_unjudged(path: str, error: str) -> None:
    rewards = parts({"part": "verdict"}, {"part": f"own_rewards:{path}"}, seconds=0.2)
    found = group(rewards, [[" 68\n"], [" 68\n"]])
    turns = [attempt.turns[0] for attempt in found.attempts]
    assert {(t.outcome, t.answer, t.reward, t.error) for t in turns} == {
        (Outcome.UNJUDGED, "68", None, f"reward {path}: {error}")
    }
    assert found.judged == []


def test_answers_that_are_equal_are_asked_about_once() -> None:
    asked: list[str] = []
    counting = Part("counting", 1.0, lambda said: asked.append(said.text) or 0.5, is_ours=False)  # type: ignore[func-returns-value]
    found = group((counting,), [[" 68\n"], [" 67\n"], [" 68\n"]])
    assert (
        asked == [STYLE.visible(" 68\n"), STYLE.visible(" 67\n")]
        and [a.rewards() for a in found.judged] == [(0.5,)] * 3
    )


def test_failures_are_said_once_a_kind_and_stop_the_run_beyond_their_share() -> None:
    said: list[str] = []
    watch = JudgeWatch(0.5, said.append)
    broken = group(parts({"part": "own_rewards:raises"}), [[" 68\n"], [" 67\n"]])
    fine = group(parts({"part": "verdict"}), [[" 68\n"], [" 67\n"]])
    watch.check([broken, fine], "step 3")
    watch.check([broken, fine], "step 4")
    line = "step 3: an answer is left out, for nobody could judge it: reward raises: LookupError: no such thing"
    assert said == [line]
    with pytest.raises(NotJudgedError, match=r"^step 5: 2 of 2 answers .*reward raises.*--resume"):
        watch.check([broken], "step 5")


def test_what_takes_too_long_is_ended() -> None:
    """A judge of a user's own, which waits for the system; and what was set before is set again."""
    handler, left = signal.getsignal(signal.SIGALRM), signal.setitimer(signal.ITIMER_REAL, 100.0)
    try:
        started = time.monotonic()
        slow = load_domain("own_rewards:Slow", judge_seconds=0.2)
        verdict = judged(slow, PROBLEM, "68")
        assert time.monotonic() - started < 10
        assert verdict == (Outcome.UNJUDGED, None, None, "the domain's judge: TimeoutError: it took longer than 0.2 s")
        assert slow.question(PROBLEM) == DOMAIN.question(PROBLEM), "everything else is the domain's own"
        assert within(5.0, lambda: 7) == 7
        assert signal.getsignal(signal.SIGALRM) is handler and 50 < signal.getitimer(signal.ITIMER_REAL)[0] < 100
    finally:
        signal.setitimer(signal.ITIMER_REAL, *left)


def test_in_another_thread_nothing_is_limited_and_nothing_fails() -> None:
    found: list[int] = []
    thread = threading.Thread(target=lambda: found.append(within(0.001, lambda: time.sleep(0.05) or 7)))  # type: ignore[func-returns-value]
    thread.start()
    thread.join()
    assert found == [7] and "own_rewards" in sys.modules


def test_the_reward_of_the_documentation_is_one() -> None:
    text = (Path(__file__).resolve().parents[2] / "docs" / "rewards.md").read_text()
    [code] = re.findall(r"```python\n(class Short.*?)```", text, re.DOTALL)
    module = ModuleType("my_rewards")
    exec(code, module.__dict__)
    sys.modules["my_rewards"] = module
    [given] = re.findall(r"loop '(judge\.rewards=.*)'", text)
    rewards = load(configuration.rewards(configuration.load(None, [given])), 1.0)
    [[turn]] = [attempt.turns for attempt in group(rewards, [[" 68 is my answer to it\n"]]).attempts]
    assert turn.parts == {"verdict": 0.0, "Short": 0.0}
    [[turn]] = [attempt.turns for attempt in group(rewards, [[" 68\n"]]).attempts]
    assert turn.parts == {"verdict": 1.0, "Short": 0.2}
