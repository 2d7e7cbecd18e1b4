"""A configuration that needs what its domain lacks is refused in one line that names the member to write; where nothing
needs it, the domain is played."""

import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from capabilities import CAPABILITIES

from curriculum.domains.abilities import call_of, lacking, members_of
from curriculum.domains.protocol import (
    ChecksAgain,
    Decomposable,
    Drawable,
    Executable,
    Explained,
    KnowsGoodSteps,
    Mergeable,
    Observable,
    Posable,
    Prunable,
    Statement,
)
from selfplay import api
from selfplay.config.files import load
from selfplay.config.task import load_task
from store.records import Fate, Outcome, Problem

SMALL: Mapping[str, Any] = {
    "model.name": "tiny-llama", "run.steps": 1, "run.threads": 1, "solver.problems": 2, "solver.group_size": 2,
    "solver.max_tokens": 4, "challenger.targets": 2, "challenger.proposals": 2, "challenger.max_tokens": 4,
    "prompts.style": "few_shot", "judge.search.rollouts": 1, "judge.search.nodes": 2,
}  # fmt: skip
NEEDED: list[tuple[Mapping[str, Any], Any, str]] = [  # keys, the capability that they need, what is to be written
    ({"challenger.source": "self"}, Posable, "parse(text)"),
    ({"challenger.source": "frozen"}, Posable, "parse(text)"),
    ({"challenger.source": "procedural"}, Drawable, "levels and draw(rng, level)"),
    ({"guards.rechecks": 4}, ChecksAgain, "check_again(problem, text)"),
    ({"curriculum.rescue": "subproblem"}, Decomposable, "easier(problem)"),
    ({"curriculum.rescue": "hint"}, Explained, "hints(problem)"),
    ({"curriculum.rescue": "reverse"}, Explained, "hints(problem)"),
    ({"solver.feedback": True}, Observable, "observation(problem, text)"),
    ({"judge.search.prune": True, "judge.search.when": "every"}, Prunable, "fails(problem, text)"),
    ({"judge.search.prune": True, "evaluate.search_tokens": 8}, Prunable, "fails(problem, text)"),
    ({"judge.search.merge": True, "judge.search.when": "every"}, Mergeable, "state(problem, text)"),
    ({"judge.search.merge": True, "evaluate.search_tokens": 8}, Mergeable, "state(problem, text)"),
    ({"train.experience.world_model": 1}, Executable, "executes(problem, state, action)"),
    ({"train.experience.imitation": 1}, Executable, "executes(problem, state, action)"),
    ({"train.experience.reflection": 1}, Executable, "executes(problem, state, action)"),
]
NEEDS_NOTHING: Mapping[str, Any] = {
    "challenger.source": "none", "judge.source": "majority", "judge.search.when": "every", "evaluate.search_tokens": 8,
    "train.imitation": "best_path",
}  # fmt: skip


class Whole:
    """Numbers to double: a domain with every member."""

    name = "doubles"
    solver_examples = (("2 doubled:", "4"),)
    formats = ("number",)
    escalation_examples = (("2", "30"),)
    solver_instruction = recheck_instruction = challenger_instruction = "Double it."
    stops, step_ends = ("\n",), (",",)
    levels = (1, 2)
    several_right = leaves_answers_open = False
    by_option: Mapping[str, str] = {}
    reflection_examples = (("3 doubled:", "twice 3 is 6. So: 6"),)

    def seeds(self) -> list[Statement]:
        return [self._stated(number) for number in range(3, 9)]

    def judge(self, problem: Problem, text: str) -> tuple[Outcome, str | None]:
        return (Outcome.CORRECT if text.strip() == problem.answer else Outcome.INCORRECT), text.strip()

    def question(self, problem: Problem) -> str:
        return f"{problem.text} doubled:"

    def written(self, answer: str) -> str:
        return answer

    def parse(self, text: str) -> Statement | Fate:
        said = text.strip()
        return self._stated(int(said)) if said.isascii() and said.isdigit() and len(said) < 5 else Fate.UNPARSED

    def is_trivial_edit(self, parent: Problem, child: Statement) -> bool:
        return parent.canonical == child.canonical

    def draw(self, rng: random.Random, level: int) -> Statement:
        return self._stated(rng.randrange(10 ** (level - 1), 10**level))

    def evaluation_sets(self) -> dict[str, list[Statement]]:
        return {"hundreds": [self._stated(number) for number in range(100, 108)]}

    def test_sets(self) -> dict[str, list[Statement]]:
        return {}

    def shown_examples(self) -> list[Statement]:
        return [self._stated(2), self._stated(30)]

    def observation(self, problem: Problem, text: str) -> str:
        return "seen"

    def same_answer(self, given: str, right: str) -> bool:
        return given == right

    def signature(self, problem: Problem) -> str:
        return problem.family

    def closeness(self, problem: Problem, target: Problem) -> float:
        return float(problem.level == target.level)

    def check_again(self, problem: Problem, text: str) -> tuple[bool | None, str]:
        return text == problem.answer, "as it stands"

    def hints(self, problem: Problem) -> list[str]:
        return [f"{problem.text} + {problem.text}"]

    def told(self, problem: Problem) -> list[list[Statement]]:
        return []

    def easier(self, problem: Problem) -> list[Statement]:
        return []

    def features(self, problem: Problem) -> dict[str, float]:
        return {"digits": float(problem.level)}

    def format_of(self, problem: Problem, text: str) -> str:
        return "number"

    def state(self, problem: Problem, text: str) -> str | None:
        return text

    def fails(self, problem: Problem, text: str) -> bool:
        return False

    def is_good(self, problem: Problem, text: str) -> bool:
        return True

    def begins(self, problem: Problem) -> str:
        return f"{problem.text} doubled:"

    def executes(self, problem: Problem, state: str, action: str) -> str:
        return "done" if action.strip() == problem.answer else "not that"

    def expert(self, problem: Problem, state: str) -> str | None:
        return None if state == "done" else problem.answer

    def _stated(self, number: int) -> Statement:
        return Statement(str(number), str(number), "doubles", len(str(number)), str(2 * number), "executed")


def _without(name: str, members: set[str]) -> type:
    return type(name, (), {member: value for member, value in vars(Whole).items() if member not in members})


CORE = {"name", "seeds", "judge"}
WITHOUT = {wanted: f"Without{wanted.__name__}" for wanted in CAPABILITIES}  # a class that lacks all of a capability
for _wanted, _name in WITHOUT.items():
    globals()[_name] = _without(_name, {*members_of(_wanted)} - CORE)
Core = _without("Core", {member for wanted in CAPABILITIES for member in members_of(wanted)} - CORE)


def domain_without(wanted: Any) -> dict[str, Any]:
    return {"domain": f"{__name__}:{WITHOUT[wanted]}"}


def texts(keys: Mapping[str, Any]) -> list[str]:
    return [f"{key}={value}" for key, value in keys.items()]


def test_the_domains_lack_what_they_are_named_for() -> None:
    assert [lacking(Whole(), wanted) for wanted in CAPABILITIES] == [[]] * len(CAPABILITIES)
    assert all(hasattr(Whole, member) for wanted in CAPABILITIES for member in members_of(wanted))
    for wanted, name in WITHOUT.items():
        assert not any(hasattr(globals()[name], member) for member in {*members_of(wanted)} - CORE)


@pytest.mark.parametrize(("keys", "wanted", "members"), NEEDED)
def test_each_key_that_needs_a_capability_is_refused_in_one_line(
    keys: Mapping[str, Any], wanted: Any, members: str, tmp_path: Path
) -> None:
    given = {**SMALL, "challenger.source": "none", **keys, **domain_without(wanted), "run.dir": str(tmp_path)}
    first = "=".join(map(str, next(iter(keys.items())))).replace("True", "true")
    with pytest.raises(api.SelfplayError) as caught:
        api.run(given)
    line = str(caught.value)
    assert line.startswith(first) and f" needs a domain with {members}, which doubles lacks: " in line
    assert "\n" not in line and len(line) < 300 and not any(tmp_path.iterdir())
    load_task(load(None, texts(given | {"domain": f"{__name__}:Whole"})))


@pytest.mark.parametrize(("keys", "wanted", "members"), NEEDED)
def test_no_key_needs_more_than_its_capability(keys: Mapping[str, Any], wanted: Any, members: str) -> None:
    for other in CAPABILITIES:
        if other is not wanted:
            load_task(load(None, texts({**SMALL, "challenger.source": "none", **keys, **domain_without(other)})))


@pytest.mark.parametrize("wanted", CAPABILITIES)
def test_a_domain_that_lacks_a_capability_is_played_where_nothing_needs_it(wanted: Any, tmp_path: Path) -> None:
    kept = [keys for keys, needed, _ in NEEDED if needed is not wanted]
    given = {**SMALL, **NEEDS_NOTHING, "run.dir": str(tmp_path)}
    for keys in kept:
        given |= keys
    found = api.run(given | domain_without(wanted))
    assert found.is_finished and found.step == 1


def test_a_domain_of_the_core_alone_is_played(tmp_path: Path) -> None:
    found = api.run({**SMALL, **NEEDS_NOTHING, "domain": f"{__name__}:Core", "run.dir": str(tmp_path)})
    assert found.is_finished and found.evaluations == ()


def test_a_run_that_needs_everything_is_evaluated_on_a_domain_that_has_nothing(tmp_path: Path) -> None:
    """The keys are the run's, and the questions of a file can be neither observed, merged nor pruned."""
    questions = tmp_path / "questions.jsonl"
    questions.write_text('{"question": "2 doubled?", "answer": "4"}\n')
    given = {**SMALL, "domain": f"{__name__}:Whole", "run.dir": str(tmp_path)}
    for keys, wanted, _ in NEEDED:
        given |= keys if wanted is not Drawable else {}
    report = api.evaluate(str(api.run(given).folder), [questions])
    assert [each.num_problems for each in report.model.sets] == [1]


def test_a_share_of_the_domains_own_problems_needs_a_sampler_and_a_challenger(tmp_path: Path) -> None:
    given = {**SMALL, **domain_without(Drawable), "challenger.drawn_share": 0.5, "run.dir": str(tmp_path)}
    with pytest.raises(
        api.SelfplayError, match=r"^challenger.drawn_share=0.5 needs a domain with levels and draw\(rng"
    ):
        api.run(given)
    for source in ("procedural", "none"):
        with pytest.raises(api.SelfplayError, match=f"must be 0 while challenger.source is {source}"):
            api.run(given | {"challenger.source": source})


def test_every_capability_of_which_something_must_be_written_has_its_keys() -> None:
    must = {each for each in CAPABILITIES if each.__abstractmethods__ - CORE}
    assert must - {KnowsGoodSteps} == {wanted for _, wanted, _ in NEEDED}  # a lab's measure, no configuration's


@pytest.mark.parametrize("wanted", CAPABILITIES)
def test_each_capability_says_which_keys_need_it(wanted: Any) -> None:
    keys = [texts(keys)[0].replace("True", "true") for keys, needed, _ in NEEDED if needed is wanted]
    said = " ".join((wanted.__doc__ or "").split())
    assert all(f"`{key}`" in said for key in keys) if keys else "No key needs it" in said
    assert not keys or "No key needs it" not in said
    assert all(call_of(wanted, member).startswith(member) for member in members_of(wanted))
