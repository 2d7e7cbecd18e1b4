"""A family of reasoning-gym's procedural problems as a domain, by its name.

    domain=reasoning_gym domain_options.family=leg_counting

The attributes of the family's curriculum are levels here: on level 1 all of them are the easiest, and each level raises
every attribute by one step. The family's `score_answer` is the score. Its code runs in a process that may be ended, and
this process never imports it (reasoning_gym_child.py). A problem is stored with the recipe that makes it, and is made
again to be judged; where the installed version makes another one, that is an error and no verdict.
Left out: `composite`, and a challenger's proposals, which no family can read.
"""

import difflib
import math
import random
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from curriculum.answers.forms import asked, written
from curriculum.answers.reading import LONGEST_ANSWER, read_answer
from curriculum.child import Child, ChildEnded, ChildLate
from curriculum.domains.environments.extras import version_of
from curriculum.domains.protocol import Statement, Verdict
from curriculum.domains.seed_files import DomainError
from store.encoding import is_storable
from store.records import Outcome, Problem

MAKING_SECONDS = 20.0  # of processor time for a problem
SCORING_SECONDS = 4.0  # of processor time for an answer, whose problem may have to be made again
HIGHEST_NUMBER = 2**31  # a drawn problem's number is below
LONGEST_TEXT = 20_000  # characters of a question or an answer
_RESERVED = 2**20  # numbers below are those of seeds, test sets and examples
_TRIES = 8  # problems that are made for each that is wanted, where they repeat or have no answer
_PEEK = 4  # problems of the lowest and the highest level that show what the family's answers look like
_OPEN, _CLOSE = "<answer>", "</answer>"
_RECIPE = re.compile(r"reasoning_gym (\S+) (\w+) level (\d{1,9}) seed (\d{1,10}) entry (\d{1,10})")

_child = Child(Path(__file__).with_name("reasoning_gym_child.py"), seconds=MAKING_SECONDS, patience=300.0)


class ReasoningGymDomain:
    """See the module. Raises DomainError, one line, for a family or an option that will not do.

    `config`: fields of the family's configuration, which stand over the level's. `levels`: how many are used, easiest
    first. Of each level `entries` problems are seeds, and `test_entries` others are held out whole as `level<n>`.
    `examples` problems of the lowest level are shown few-shot, and never posed. An answer is CORRECT from the score
    `correct_at` on. Another `seed` makes other problems.
    """

    several_right = True  # of some families' problems, such as countdown's
    recheck_instruction = "Check your answer, and give it again in the same form."

    def __init__(
        self,
        family: str,
        config: Mapping[str, Any] | None = None,
        levels: int = 4,
        seed: int = 0,
        entries: int = 32,
        test_entries: int = 100,
        examples: int = 3,
        correct_at: float = 1.0,
    ) -> None:
        self._version = version_of("reasoning-gym", "reasoning_gym", wanted_by="domain reasoning_gym")
        at_least = {
            "levels": (levels, 1), "seed": (seed, 0), "entries": (entries, 1), "test_entries": (test_entries, 0),
            "examples": (examples, 0),
        }  # fmt: skip
        for option, (value, least) in at_least.items():
            if type(value) is not int or not least <= value < _RESERVED:
                raise DomainError(f"domain_options.{option} is {value!r}: it must be an integer of at least {least}")
        if isinstance(correct_at, bool) or not isinstance(correct_at, int | float) or not 0.0 < correct_at <= 1.0:
            raise DomainError(f"domain_options.correct_at is {correct_at!r}: it must be a number above 0, 1 at most")
        if not isinstance(config or {}, Mapping):
            raise DomainError(f"domain_options.config is {config!r}: give fields, as domain_options.config.KEY=VALUE")
        self.name = f"reasoning_gym.{family}"
        self.correct_at = float(correct_at)
        self._family, self._seed, self._options = family, seed, dict(config or {})
        self._num_seeds, self._num_test = entries, test_entries
        self.levels = self._known_levels(levels)
        shown = list(self._first_distinct(self.levels[0], max(examples, _PEEK)))
        self._examples = shown[:examples]
        top = list(self._first_distinct(self.levels[-1], _PEEK))
        self._is_tagged = any("\n" in each.answer for each in (*shown, *top))
        self.stops = (_CLOSE,) if self._is_tagged else ("\n",)
        form = f"between {_OPEN} and {_CLOSE}" if self._is_tagged else "only"
        self.solver_instruction = f"Answer the question. Give the answer {form}."
        opened = _OPEN if self._is_tagged else ""
        self.solver_examples = [(asked(each.text), f"{opened}{each.answer}") for each in self._examples]

    def question(self, problem: Problem) -> str:
        """As in a form."""
        return asked(problem.text)

    def written(self, answer: str) -> str:
        """In a tag where the family's answers have several lines."""
        return written(answer, "tag") if self._is_tagged else answer

    def judge(self, problem: Problem, text: str) -> Verdict:
        """By the family's own score. An answer that its judge takes too long for is INCORRECT."""
        given = _given(text)
        if given is None:
            return Verdict(Outcome.UNPARSED)
        recipe = _RECIPE.fullmatch(problem.answer_source)
        if recipe is None or recipe[2] != self._family:
            raise DomainError(f"{problem.answer_source!r} does not say how reasoning_gym makes a {self._family}")
        score = self._score(recipe[1], int(recipe[3]), int(recipe[4]), int(recipe[5]), problem.text, given)
        return Verdict(Outcome.CORRECT if score >= self.correct_at else Outcome.INCORRECT, given, score)

    def seeds(self) -> Sequence[Statement]:
        """`entries` problems of each level; fewer where the level has not so many."""
        return self._sets[0]

    def shown_examples(self) -> Sequence[Statement]:
        """Of the lowest level."""
        return self._examples

    def test_sets(self) -> Mapping[str, Sequence[Statement]]:
        """`level<n>`: `test_entries` problems of each level; fewer where the level has not so many."""
        return self._sets[1]

    def draw(self, rng: random.Random, level: int) -> Statement:
        """A random problem of `level`."""
        for _ in range(_TRIES):
            made, _ = self._made(level, rng.randrange(_RESERVED, HIGHEST_NUMBER), 1)
            if made:
                return made[0]
        raise DomainError(f"reasoning_gym's {self._family} makes no problem of level {level} with a right answer")

    @cached_property
    def _sets(self) -> tuple[list[Statement], dict[str, Sequence[Statement]]]:
        """(seeds, test sets). Every text belongs to the lowest level that makes it, and to one of the two. A level with
        too few problems shares them out in proportion."""
        seeds: list[Statement] = []
        test: dict[str, Sequence[Statement]] = {}
        taken = {each.canonical for each in self._examples}
        for level in self.levels:
            wanted = self._num_seeds + self._num_test
            found = list(self._first_distinct(level, wanted, taken))
            taken.update(each.canonical for each in found)
            num_seeds = math.ceil(len(found) * self._num_seeds / wanted)
            seeds += found[:num_seeds]
            if found[num_seeds:]:
                test[f"level{level}"] = found[num_seeds:]
        if not seeds:
            raise DomainError(f"reasoning_gym's {self._family} has no problems besides {len(self._examples)} examples")
        return seeds, test

    def _first_distinct(self, level: int, count: int, taken: Collection[str] = ()) -> Iterator[Statement]:
        """The first `count` problems of the level, less those that repeat or are `taken`; `_TRIES` times as many are
        made at most. DomainError where there is none at all."""
        seen = set(taken)
        number, is_any = 0, False
        while count > 0 and number < _TRIES * (count + len(seen)):
            made, number = self._made(level, number, count)
            is_any = is_any or bool(made)
            for each in made:
                if each.canonical not in seen and count > 0:
                    seen.add(each.canonical)
                    count -= 1
                    yield each
        if not is_any and number:
            raise DomainError(
                f"reasoning_gym's {self._family}, level {level}: no problem of the first {number} has an answer of "
                f"{LONGEST_ANSWER:,} characters at most that its own judge calls right: choose another family, "
                "or fewer domain_options.levels"
            )

    def _known_levels(self, most: int) -> Sequence[int]:
        said = self._asked_child({"do": "levels", "most": most})
        if "families" in said:
            near = difflib.get_close_matches(str(self._family), said["families"], n=3, cutoff=0.5)
            meant = f"did you mean {', '.join(near)}?" if near else f"its families: {', '.join(said['families'])}"
            raise DomainError(f"domain_options.family: reasoning_gym {self._version} has no {self._family!r}: {meant}")
        return [int(level) for level in said["levels"]]

    def _made(self, level: int, start: int, count: int) -> tuple[list[Statement], int]:
        """(problems from number `start` on, the number behind the last that was tried)."""
        asked = {
            "do": "entries", "level": level, "seed": self._seed, "start": start, "count": count,
            "correct_at": self.correct_at,
        }  # fmt: skip
        said = self._asked_child(asked)
        return [self._statement(level, each) for each in said["entries"] if _can_be_posed(each)], said["next"]

    def _statement(self, level: int, entry: Mapping[str, Any]) -> Statement:
        """The canonical form is the text, so that two recipes of one question are one problem: none of them is trained
        on while the other is held out."""
        recipe = f"{self._family} level {level} seed {self._seed} entry {entry['number']}"
        return Statement(
            text=entry["question"],
            canonical=entry["question"],
            family=f"{self._family}-{level}",
            level=level,
            answer=entry["answer"],
            answer_source=f"reasoning_gym {self._version} {recipe}",
        )

    @lru_cache(maxsize=65536)  # noqa: B019  (a domain lives as long as its run)
    def _score(self, version: str, level: int, seed: int, number: int, question: str, given: str) -> float:
        """In [0, 1]. DomainError where the recipe makes another question than the stored one."""
        asked = {
            "do": "score", "level": level, "seed": seed, "number": number, "question": question, "given": given,
        }  # fmt: skip
        try:
            said = self._asked_child(asked, SCORING_SECONDS)
        except _LateError:
            return 0.0
        if "changed" in said:
            raise DomainError(
                f"reasoning_gym {self._version} makes another {self._family} of level {level}, entry {number}, than "
                f"the one that version {version} made: install that version, and keep domain_options.config"
            )
        score = float(said["score"])
        if not math.isfinite(score):
            raise ValueError(f"reasoning_gym's {self._family} scores {given[:40]!r} as {score}")
        return min(1.0, max(0.0, score))

    def _asked_child(self, question: Mapping[str, Any], seconds: float = MAKING_SECONDS) -> dict[str, Any]:
        """Raises DomainError for whatever the child refuses or fails at."""
        try:
            said = _child.ask({"family": self._family, "options": self._options, **question}, seconds)
        except ChildLate:
            where = f", level {question['level']}," if "level" in question else ""
            raise _LateError(
                f"reasoning_gym's {self._family}{where} takes more than {seconds:g} s for a problem: use fewer "
                "domain_options.levels, or smaller domain_options.config"
            ) from None
        except ChildEnded:
            raise DomainError(
                "reasoning_gym cannot be imported: `uv run python -c 'import reasoning_gym'` says why"
            ) from None
        if "refused" in said or "error" in said:
            raise DomainError(said.get("refused") or f"reasoning_gym's {self._family} fails: {said['error']}")
        return said


class _LateError(DomainError):
    """The child took too long."""


def _given(text: str) -> str | None:
    """The answer in a completion: in its tag, if there is one, which a stop may have left open; else all of it."""
    if _OPEN in text:
        is_open = text.rfind(_OPEN) > text.rfind(_CLOSE)
        answer = read_answer(text + _CLOSE if is_open else text, "tag")
    else:
        answer = text.strip()
    return answer if answer and len(answer) <= LONGEST_ANSWER else None


def _can_be_posed(entry: Mapping[str, Any]) -> bool:
    """Whether its texts can be shown and stored, and its answer read again."""
    question, answer = entry["question"], entry["answer"]
    is_short = 0 < len(question) <= LONGEST_TEXT and "\0" not in question + answer
    return is_short and is_storable(question + answer) and _given(written(answer, "tag")) == _given(answer) == answer
