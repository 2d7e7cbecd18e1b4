"""What a turn is paid: a sum of named parts, each with a weight. Some are ours, and a user's own code may be one.

    reward = sum over parts of weight * part

    verdict  the domain's score of the answer, in [0, 1]
    correct  1 if the answer is right, else 0: without the score that a judge may give for being near
    format   1 if an answer could be read, else 0; a control beside or in place of the verdict
    length   0 up to `free` tokens, from there falling to -1 at `limit` (DAPO, arXiv 2503.14476)
    wrong    1 if an answer could be read and is not right, else 0; a control
    random   a coin, 1 with probability `rate` (1/2), else 0, that knows nothing of the answer; a control
    shuffled the domain's score of an attempt of the group that is drawn without putting back: what the verdict pays, as
             often, to whom chance has it; a control

A user's own is named by its dotted path (curriculum/own_code.py) and is asked for a number from -1 to 1. What it does
instead ends no run: nobody has judged the turn then.
"""

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from inspect import isclass
from numbers import Real
from typing import Any, Protocol

from curriculum.domains.judging import score_of
from curriculum.domains.protocol import Verdict
from curriculum.own_code import imported, is_dotted_path, result_of, within, wrong_option
from roles.pay.rewards import soft_overlong
from store.errors import SelfplayError
from store.records import Outcome, Problem

VERDICT, CORRECT = "verdict", "correct"
RESERVED = ("correction", "report")  # what the trainer adds under names of its own (selfplay/learn/lessons.py)
MOST_WEIGHT = 1e6  # of a part: a sum of such is finite, and float32 holds it
_NAME = re.compile(r"[A-Za-z]\w{0,39}", re.ASCII)
_OF_ITSELF = ("part", "weight", "name")  # keys of an entry that are no options of the part


class RewardError(SelfplayError, ValueError):
    """A list of rewards, or what a reward or a judge does, cannot be used: one line that says what to do."""


class Reward(Protocol):
    """A user's own part of the reward: a function, or a class whose objects are called so."""

    def __call__(self, problem: Problem, text: str, verdict: Verdict) -> float:
        """From -1 to 1. `text`: what was read of the answer, whole; `verdict`: the judge's, never UNJUDGED.

        The same for the same arguments: of a group's answers that are equal it is asked once.
        """
        ...


@dataclass(frozen=True, slots=True)
class Said:
    """A turn that is paid. `key` names it among all of a run's turns: it keys what is drawn."""

    problem: Problem
    text: str
    verdict: Verdict
    num_tokens: int
    key: str
    shuffled: float = 0.0  # the score of the attempt that was drawn for this one: see `shuffled_scores`


@dataclass(frozen=True, slots=True)
class Part:
    """One part: `pay` is asked what a turn is worth, and a user's may raise anything."""

    name: str
    weight: float
    pay: Callable[[Said], float]
    is_ours: bool = True


@dataclass(frozen=True, slots=True)
class PartEntry:
    """An entry of `judge.rewards`, checked: `part` is one of ours or a dotted path."""

    part: str
    name: str
    weight: float
    options: Mapping[str, Any]

    @property
    def is_ours(self) -> bool:
        return self.part in OURS


def by_verdict(said: Said) -> float:
    """The domain's score, in [0, 1]."""
    return score_of(said.verdict)


def by_outcome(said: Said) -> float:
    """1 if the answer is right, else 0."""
    return float(said.verdict.outcome is Outcome.CORRECT)


def by_format(said: Said) -> float:
    """1 if an answer could be read, right or wrong, else 0."""
    return float(said.verdict.outcome in (Outcome.CORRECT, Outcome.INCORRECT))


def by_fault(said: Said) -> float:
    """1 if an answer could be read and is not right, else 0."""
    return float(said.verdict.outcome is Outcome.INCORRECT)


def by_coin(said: Said, rate: float = 0.5) -> float:
    """1 with probability `rate`, else 0, by a hash of the turn's key. The fair coin is one bit of it."""
    digest = hashlib.sha256(said.key.encode()).digest()
    below = (1 - (digest[0] & 1)) << 52 | int.from_bytes(digest[1:8]) & (1 << 52) - 1  # of 2^53
    return float(below < rate * (1 << 53))


def by_chance(said: Said) -> float:
    """The score that was drawn for the turn, in [0, 1]."""
    return said.shuffled


def shuffled_scores(scores: Mapping[str, float]) -> dict[str, float]:
    """The scores of turns, by their keys, dealt anew: every one once, in the order of the keys' hashes."""
    order = sorted(scores, key=lambda key: hashlib.sha256(f"{key}/shuffled".encode()).digest())
    return dict(zip(scores, (scores[key] for key in order), strict=True))


def by_length(said: Said, free: int, limit: int) -> float:
    """`soft_overlong` of the turn's tokens, in [-1, 0]."""
    return soft_overlong(said.num_tokens, free, limit)


OURS: Mapping[str, Callable[..., float]] = {
    VERDICT: by_verdict,
    CORRECT: by_outcome,
    "format": by_format,
    "length": by_length,
    "wrong": by_fault,
    "random": by_coin,
    "shuffled": by_chance,
}
ONLY_VERDICT = (Part(VERDICT, 1.0, by_verdict),)


def entries(rewards: Sequence[Any]) -> tuple[PartEntry, ...]:
    """A configuration's list, checked without importing anything. RewardError for the first entry that is none."""
    found: list[PartEntry] = []
    for place, raw in enumerate(rewards, start=1):
        entry = _entry(raw, f"part {place}")
        if entry.name in [each.name for each in found]:
            raise RewardError(f"two parts are called {entry.name}: give one another name, such as {{name: other, ...}}")
        found.append(entry)
    if not found:
        raise RewardError("it has no part: give at least one, such as [{part: verdict}]")
    return tuple(found)


def load(found: Sequence[PartEntry], seconds: float) -> tuple[Part, ...]:
    """The parts, users' code imported and made. `seconds` > 0: how long that may take for an answer. RewardError."""
    return tuple(_loaded(entry, seconds) for entry in found)


@dataclass(frozen=True, slots=True)
class Payer:
    """Pays the turns of one group. Users' parts are asked once about answers that are equal."""

    parts: Sequence[Part]
    _heard: dict[tuple[str, str, Verdict], tuple[float | None, str]] = field(default_factory=dict)

    def pay(self, said: Said) -> tuple[dict[str, float], str]:
        """(weight times what each part pays, by name and in order, ""), or ({}, the line of the part that failed)."""
        found: dict[str, float] = {}
        for part in self.parts:
            paid, error = (part.pay(said), "") if part.is_ours else self._asked(part, said)
            if paid is None:
                return {}, f"reward {part.name}: {error}"
            found[part.name] = part.weight * paid
        return found, ""

    def _asked(self, part: Part, said: Said) -> tuple[float | None, str]:
        answer = (part.name, said.text, said.verdict)
        if answer not in self._heard:
            self._heard[answer] = result_of(lambda: part.pay(said))
        return self._heard[answer]


def total(paid: Mapping[str, float]) -> float:
    """The sum, in the order of the parts, so that it is the same number everywhere."""
    found = 0.0
    for share in paid.values():
        found += share
    return found


def verdict_weight(found: Sequence[PartEntry]) -> float:
    """What a right answer is paid beyond a wrong one: the weight of the parts that know it; 1 where there is none."""
    return sum(entry.weight for entry in found if entry.part in (VERDICT, CORRECT)) or 1.0


def _entry(raw: Any, where: str) -> PartEntry:
    if not isinstance(raw, Mapping) or not isinstance(raw.get("part"), str):
        raise RewardError(f"{where} is {raw!r:.80}: give a mapping with a part, such as {{part: verdict, weight: 1}}")
    part, options = raw["part"], {str(key): value for key, value in raw.items() if key not in _OF_ITSELF}
    if part not in OURS and not is_dotted_path(part):
        raise RewardError(
            f"{where} is {part!r:.80}: give {', '.join(OURS)} or a path such as my_package.my_module:MyReward"
        )
    name = raw.get("name", part.rpartition(":")[2])
    if not isinstance(name, str) or not _NAME.fullmatch(name) or name in RESERVED:
        taken = " or ".join(RESERVED)
        raise RewardError(
            f"{where} has the name {name!r:.80}: give 1 to 40 of A-Z a-z 0-9 _, a letter first, not {taken}"
        )
    weight = raw.get("weight", 1.0)
    if not _is_number(weight) or not 0 < abs(weight) <= MOST_WEIGHT:
        raise RewardError(
            f"{where} has the weight {weight!r:.80}: give one from -{MOST_WEIGHT:g} to {MOST_WEIGHT:g}, not 0"
        )
    entry = PartEntry(part, name, float(weight), options)
    if entry.is_ours:
        _check_ours(entry, where)
    return entry


def _check_ours(entry: PartEntry, where: str) -> None:
    wrong = wrong_option(OURS[entry.part], entry.options, num_passed=1)
    if wrong is not None:
        raise RewardError(f"{where}, option {wrong[0]}: {entry.part} {wrong[1]}")
    if entry.part == "random" and "rate" in entry.options:
        rate = entry.options["rate"]
        if not _is_number(rate) or not 0 <= rate <= 1:
            raise RewardError(f"{where}: random takes a rate from 0 to 1, not {rate!r:.80}")
    if entry.part == "length":
        free, limit = entry.options["free"], entry.options["limit"]
        if type(free) is not int or type(limit) is not int or not 0 <= free < limit:
            raise RewardError(f"{where}: length takes whole numbers with 0 <= free < limit, not {free!r} and {limit!r}")


def _loaded(entry: PartEntry, seconds: float) -> Part:
    if entry.is_ours:
        ours = OURS[entry.part]
        return Part(entry.name, entry.weight, partial(ours, **entry.options) if entry.options else ours)
    try:
        maker = imported(entry.part)
    except LookupError as error:
        raise RewardError(f"reward {entry.part}: {error}") from None
    is_class = isclass(maker)
    wrong = wrong_option(maker, entry.options, num_passed=0 if is_class else 3)
    if wrong is not None:
        raise RewardError(f"reward {entry.part}, option {wrong[0]}: it {wrong[1]}")
    reward, failure = result_of(lambda: maker(**entry.options) if is_class else partial(maker, **entry.options))
    if reward is None or not callable(reward):
        what = failure or "its objects cannot be called: write __call__(self, problem, text, verdict)"
        raise RewardError(f"reward {entry.part}: {what}")
    return Part(entry.name, entry.weight, partial(_by_own, reward=reward, seconds=seconds), is_ours=False)


def _by_own(said: Said, reward: Reward, seconds: float) -> float:
    paid = within(seconds, lambda: reward(said.problem, said.text, said.verdict))
    if not _is_number(paid):
        raise TypeError(f"it gave {paid!r:.80}, which is no number")
    if not -1.0 <= paid <= 1.0:
        raise ValueError(f"it gave {paid!r:.80}, which is not from -1 to 1")
    return float(paid)


def _is_number(value: object) -> bool:
    """Python's and numpy's numbers, and bool; no text."""
    return isinstance(value, Real)
