"""A taskset of the verifiers package (v1) as a domain: its tasks are the problems, its rewards the judge.

    domain=verifiers domain_options.environment=my_package.my_module:MyTaskset

Of its environments those can be played whose tasks have one prompt and whose rewards need the reply alone; what else
there is (tools, several turns, containers, judge models, state) is refused in one line. The environment's code runs in
a process that may be ended, without the network while it scores (verifiers_child.py). A task is stored by its place in
the taskset and its prompt; where another one stands there, that is an error and no verdict.
Left out: images, and a challenger's proposals.
"""

import math
import os
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from curriculum.answers.forms import asked, written
from curriculum.child import Child, ChildEnded, ChildLate
from curriculum.domains.environments.extras import version_of
from curriculum.domains.options import require_integer, require_number
from curriculum.domains.protocol import Statement, Verdict, by_hash
from curriculum.domains.seed_files import DomainError
from store.encoding import is_storable
from store.records import Outcome, Problem

LOADING_SECONDS = 300.0  # of processor time: a taskset may read a large dataset
SCORING_SECONDS = 20.0
LONGEST_REPLY = 100_000  # characters
MOST_TASKS = 100_000
_BATCH = 500  # tasks that are read at a time
_ROUNDING = 1e-9
ENVIRONMENT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\-/@]*(:[^\W\d]\w*)?")  # module:Taskset, or a package
_RECIPE = re.compile(r"verifiers \S+ (train|test) task (\d{1,9})")

_child = Child(Path(__file__).with_name("verifiers_child.py"), seconds=LOADING_SECONDS, patience=900.0)


class VerifiersDomain:
    """See the module. Raises DomainError, one line, for an environment or an option that will not do.

    `environment`: module:Taskset, or the name of an installed one. `config`: fields of the taskset's configuration. The
    tasks that are held out are those of the same taskset with `test_config` over `config`, such as split=test; without
    it `test_share` of the tasks, by a hash. Of each `limit` and `test_limit` tasks are read. `examples` tasks of the
    beginning are shown few-shot, and never posed. What an answer is paid is its reward over the highest one, which is
    the sum of the rewards' weights, or `full_reward`; it is CORRECT from the score `correct_at` on. `answer_field`:
    where a task's data hold its answer, for examples and checks. `stop` ends a completion in few-shot use.
    """

    name = "verifiers"
    several_right = True
    solver_instruction = "Answer the question."
    recheck_instruction = "Check your answer, and give it again in the same form."

    def __init__(
        self,
        environment: str,
        config: Mapping[str, Any] | None = None,
        test_config: Mapping[str, Any] | None = None,
        test_share: float = 0.2,
        limit: int = 2000,
        test_limit: int = 500,
        examples: int = 0,
        correct_at: float = 1.0,
        full_reward: float | None = None,
        answer_field: str = "answer",
        stop: str = "\n",
    ) -> None:
        if not isinstance(environment, str) or not ENVIRONMENT.fullmatch(environment):
            raise DomainError(
                f"domain_options.environment is {environment!r}: give module:Taskset, or a package's name"
            )
        self._version = version_of("verifiers", "verifiers", wanted_by="domain verifiers")
        require_number("test_share", test_share, 0.0, 0.999)
        require_number("correct_at", correct_at, _ROUNDING, 1.0)
        if full_reward is not None:
            require_number("full_reward", full_reward, _ROUNDING, math.inf)
        for option, value in {"limit": limit, "test_limit": test_limit}.items():
            require_integer(option, value, 1, MOST_TASKS)
        self._environment, self._answer_field, self.correct_at = environment, answer_field, float(correct_at)
        self._sources = {"train": (dict(config or {}), limit)}
        if test_config is not None:
            self._sources["test"] = ({**(config or {}), **test_config}, test_limit)
        loaded = {split: self._asked_child(split, {"do": "load"}) for split in self._sources}
        self._full = float(full_reward or loaded["train"]["full"])
        if self._full <= 0:
            raise DomainError(
                f"{environment}: none of its rewards has a weight above 0: set domain_options.full_reward"
            )
        self._form = loaded["train"]["form"]  # "" where no form of the known answer gets the full reward
        self.stops = (stop,)
        statements = self._statements("train", loaded["train"]["tasks"])
        self._share_out(statements, loaded.get("test", {}).get("tasks"), test_share, examples)

    def question(self, problem: Problem) -> str:
        """The prompt, as in a form."""
        return asked(problem.text)

    def written(self, answer: str) -> str:
        """In the form that the rewards read."""
        return written(answer, self._form or "text")

    def judge(self, problem: Problem, text: str) -> Verdict:
        """By the environment's rewards for the whole reply. Raises what keeps them from being known."""
        given = text.strip()
        if not given or len(given) > LONGEST_REPLY or not is_storable(given):
            return Verdict(Outcome.UNPARSED)
        recipe = _RECIPE.fullmatch(problem.answer_source)
        if recipe is None or recipe[1] not in self._sources:
            raise DomainError(f"{problem.answer_source!r} does not say which task of {self._environment} this is")
        score = self._score(recipe[1], int(recipe[2]), problem.text, given)
        return Verdict(Outcome.CORRECT if score >= self.correct_at else Outcome.INCORRECT, given, score)

    def seeds(self) -> Sequence[Statement]:
        """The tasks that may be trained on."""
        return self._seeds

    def shown_examples(self) -> Sequence[Statement]:
        """The tasks that are shown few-shot."""
        return self._examples

    def test_sets(self) -> Mapping[str, Sequence[Statement]]:
        """The tasks that are held out."""
        return {"test": self._test} if self._test else {}

    def _share_out(
        self, statements: Sequence[Statement], num_test: int | None, test_share: float, examples: int
    ) -> None:
        """Examples from the beginning, the held-out tasks, and the rest."""
        require_integer("examples", examples, 0, len(statements) - 1)
        shown = statements[:examples]
        if examples and not (self._form and all(each.answer for each in shown)):
            raise DomainError(
                f"domain_options.examples is {examples}: the answers of {self._environment} are not known, because "
                f"its tasks have no {self._answer_field} that gets the full reward: set domain_options.answer_field, "
                "or show none"
            )
        rest = statements[examples:]
        if num_test is not None:
            test = self._statements("test", num_test)
        else:
            ranked = by_hash(rest)
            test = ranked[: round(test_share * len(ranked))]
        held_out = {each.canonical for each in test}
        self._examples = [each for each in shown if each.canonical not in held_out]
        self._test = test
        self._seeds = [each for each in rest if each.canonical not in held_out]
        self.solver_examples = [(asked(each.text), self.written(each.answer)) for each in self._examples]
        if not self._seeds:
            raise DomainError(f"{self._environment}: nothing is left to practise besides {len(test)} held-out tasks")

    def _statements(self, split: str, count: int) -> list[Statement]:
        """Every task with another prompt than those before it. The prompt is the canonical form."""
        found: dict[str, Statement] = {}
        for start in range(0, count, _BATCH):
            asked = {"do": "tasks", "start": start, "count": _BATCH, "answer_field": self._answer_field}
            for task in self._asked_child(split, asked)["tasks"]:
                found.setdefault(task["prompt"], self._statement(split, task))
        return list(found.values())

    def _statement(self, split: str, task: Mapping[str, Any]) -> Statement:
        return Statement(
            text=task["prompt"],
            canonical=task["prompt"],
            family="verifiers",
            level=1,
            answer=task["answer"] if self._form else "",
            answer_source=f"verifiers {self._version} {split} task {task['index']}",
        )

    @lru_cache(maxsize=65536)  # noqa: B019  (a domain lives as long as its run)
    def _score(self, split: str, index: int, prompt: str, given: str) -> float:
        """In [0, 1]. DomainError where another task stands there, or the rewards fail."""
        asked = {"do": "score", "index": index, "prompt": prompt, "given": given}
        said = self._asked_child(split, asked, SCORING_SECONDS)
        if "changed" in said:
            raise DomainError(
                f"{self._environment} has another {split} task {index} than the stored one: use the version and the "
                "domain_options that the run began with"
            )
        score = float(said["reward"]) / self._full
        if not math.isfinite(score):
            raise ValueError(f"{self._environment} rewards {given[:40]!r} with {said['reward']}")
        return 1.0 if score > 1.0 - _ROUNDING else max(0.0, score)

    def _asked_child(self, split: str, question: Mapping[str, Any], seconds: float | None = None) -> dict[str, Any]:
        """Raises DomainError for whatever the child refuses or fails at."""
        options, limit = self._sources[split]
        named = {
            "environment": self._environment, "options": options, "limit": limit, "folder": os.getcwd(),
            "answer_field": self._answer_field,
        }  # fmt: skip
        try:
            said = _child.ask({**named, **question}, seconds)
        except ChildLate as late:
            raise DomainError(f"{self._environment}: {late}: its rewards and its dataset have to be faster") from None
        except ChildEnded:
            raise DomainError("verifiers cannot be used: `uv run python -c 'import verifiers.v1'` says why") from None
        if "refused" in said or "error" in said:
            raise DomainError(said.get("refused") or f"{self._environment} fails: {said['error']}")
        return said
