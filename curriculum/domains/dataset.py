"""Questions with answers out of a JSONL file: a dataset as a domain, without a line of code.

    domain=dataset domain_options.path=questions.jsonl

GSM8K's and MATH's published files are read as they come, and multiple choice. Keys are found by their usual names, or
named. A part of the problems is kept for evaluation: another file (`test_path`), or a share that a hash chooses.
An answer is compared as text, then as a number, then as mathematics (curriculum/answers); it is never evaluated as
code. Left out: images, conversations, answers that a program must check.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from curriculum.answers.comparing import is_same_answer, normalised
from curriculum.answers.forms import ASKED, asked, judged_by_rule, written
from curriculum.answers.reading import RULES, AnswerRule, read_answer
from curriculum.domains.jsonl import Row, read_rows
from curriculum.domains.options import require_integers
from curriculum.domains.protocol import Statement, by_hash
from curriculum.domains.seed_files import DomainError
from store.records import Outcome, Problem

QUESTION_KEYS = ("question", "problem", "prompt", "input", "text")
ANSWER_KEYS = ("answer", "answerKey", "solution", "target", "output", "label")
CHOICE_KEYS = ("choices", "options")
FAMILY_KEYS = ("family", "type", "subject", "category")
LEVEL_KEYS = ("level", "difficulty")
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
MAX_TEST = 500  # problems that a hash keeps for evaluation, at most


@dataclass(frozen=True, slots=True)
class _Keys:
    """Where in a row things stand; "" for what is not there."""

    question: str
    answer: str
    choices: str
    family: str
    level: str


class DatasetDomain:
    """See the module. `answer_rule` (curriculum/answers/reading.py) says how a solver's answer is read: by default the
    letter of a choice, the last number where all answers are numbers, else the whole text. `examples` rows of the
    file's beginning are shown few-shot, and never posed. `test_share` of the rest is kept for evaluation where there is
    no `test_path`; 1 keeps all, so that there is nothing to practise. `stop`: what ends a few-shot completion, a text
    or some. Raises DomainError, which names file and line."""

    solver_instruction: str
    recheck_instruction = "Check your answer, and give it again in the same form."

    def __init__(
        self,
        path: str,
        test_path: str = "",
        test_share: float = 0.2,
        question_key: str = "",
        answer_key: str = "",
        choices_key: str = "",
        family_key: str = "",
        level_key: str = "",
        answer_rule: str = "",
        examples: int = 0,
        stop: str | Sequence[str] = "\n",
    ) -> None:
        named = {
            "question": question_key, "answer": answer_key, "choices": choices_key, "family": family_key,
            "level": level_key,
        }  # fmt: skip
        keys = {f"{kind}_key": key for kind, key in named.items()}
        _require_types({"path": path, "test_path": test_path} | keys)
        require_integers({"examples": examples})
        if type(test_share) not in (int, float) or not 0.0 < test_share <= 1.0:
            raise DomainError(f"domain_options.test_share is {test_share!r}: it must be a number above 0, at most 1")
        if answer_rule not in ("", *RULES):
            raise DomainError(f"domain_options.answer_rule is {answer_rule!r}: it must be one of {', '.join(RULES)}")
        self.name = "dataset"
        self.stops = _stops(stop)
        rows, places = _statements(read_rows(Path(path), "domain_options.path"), named)
        if not 0 <= examples < len(rows):
            raise DomainError(
                f"domain_options.examples is {examples}: it must be from 0 to {len(rows) - 1}, one less than there are"
                " problems"
            )
        self._examples, rows = rows[:examples], rows[examples:]
        if test_path:
            given, test_places = _statements(read_rows(Path(test_path), "domain_options.test_path"), named)
            places = places | test_places
            test = {each.canonical: each for each in given}
            rows = [each for each in rows if each.canonical not in test]
        else:
            test = {each.canonical: each for each in _share(rows, test_share)}
            rows = [each for each in rows if each.canonical not in test]
        if not rows and test_share < 1.0:
            why = (
                "all its problems are in test_path" if test_path else f"it has {len(test)} besides {examples} examples"
            )
            raise DomainError(f"{path}: nothing is left to practise, because {why}")
        self._seeds, self._test = rows, list(test.values())
        self._rule: AnswerRule = answer_rule or _rule_of([*rows, *test.values()])  # type: ignore[assignment]
        self.solver_instruction = ASKED[self._rule]
        self._require_readable([*self._examples, *rows, *self._test], places)
        self.solver_examples = [(asked(each.text), self.written(each.answer)) for each in self._examples]

    def question(self, problem: Problem) -> str:
        """As in a form."""
        return asked(problem.text)

    def seeds(self) -> Sequence[Statement]:
        """All problems that may be trained on."""
        return self._seeds

    def shown_examples(self) -> Sequence[Statement]:
        """The rows that are shown few-shot."""
        return self._examples

    def test_sets(self) -> Mapping[str, Sequence[Statement]]:
        """What is kept for evaluation."""
        return {"test": self._test}

    def judge(self, problem: Problem, text: str) -> tuple[Outcome, str | None]:
        """By the answer that the text gives in the form that was asked for."""
        return judged_by_rule(problem.answer, text, self._rule)

    def same_answer(self, given: str, right: str) -> bool:
        """As text, as numbers, then as mathematics; letters of choices as text alone."""
        return is_same_answer(given, right, as_mathematics=self._rule != "choice")

    def written(self, answer: str) -> str:
        """In the form that is asked for."""
        return written(answer, self._rule)

    def _require_readable(self, statements: Sequence[Statement], places: Mapping[str, str]) -> None:
        """DomainError, which names the place, where an answer of a file would not be right by the rule that reads a
        solver's."""
        for each in statements:
            read = read_answer(self.written(each.answer), self._rule)
            if read is None or not is_same_answer(read, each.answer):
                raise DomainError(
                    f"{places[each.canonical]}: domain_options.answer_rule={self._rule} reads {read!r:.80} of the"
                    f" answer {each.answer[:80]!r}: choose another rule, or correct the row"
                )


def _statements(rows: Sequence[Row], named: Mapping[str, str]) -> tuple[list[Statement], dict[str, str]]:
    """Every row as a problem, and where each stands, by canonical form. DomainError for a row without question or
    answer, or one that an earlier row contradicts."""
    keys = _keys_of(rows[0], named)
    for kind in ("choices", "family", "level"):
        if named[kind] and not any(named[kind] in row.values for row in rows):
            raise DomainError(f"domain_options.{kind}_key is {named[kind]!r:.80}: no row of {rows[0].place} on has it")
    found: dict[str, Statement] = {}
    places: dict[str, str] = {}
    for row in rows:
        statement = _statement(row, keys)
        earlier = found.get(statement.canonical)
        if earlier is not None and not is_same_answer(earlier.answer, statement.answer):
            raise DomainError(
                f"{row.place}: the same question as {places[statement.canonical]} with another answer: correct one"
            )
        found.setdefault(statement.canonical, statement)
        places.setdefault(statement.canonical, row.place)
    return list(found.values()), places


def _keys_of(row: Row, named: Mapping[str, str]) -> _Keys:
    def key(kind: str, usual: Sequence[str], is_needed: bool = False) -> str:
        if named[kind]:
            return named[kind]
        found = next((name for name in usual if name in row.values), "")
        if is_needed and not found:
            raise DomainError(
                f"{row.place}: none of {', '.join(usual)} is a key: say which is the {kind}, with "
                f"domain_options.{kind}_key=... (keys: {', '.join(map(str, row.values))[:200]})"
            )
        return found

    return _Keys(
        question=key("question", QUESTION_KEYS, is_needed=True),
        answer=key("answer", ANSWER_KEYS, is_needed=True),
        choices=key("choices", CHOICE_KEYS),
        family=key("family", FAMILY_KEYS),
        level=key("level", LEVEL_KEYS),
    )


def _statement(row: Row, keys: _Keys) -> Statement:
    question = row.text(keys.question)
    answer: str
    if keys.choices and keys.choices in row.values:
        choices, letter = _choices(row, keys)
        question = "\n".join([question, *(f"{LETTERS[i]}. {choice}" for i, choice in enumerate(choices))])
        answer = letter
    else:
        answer = _final(row.text(keys.answer))
    if not answer:
        raise DomainError(f"{row.place}: {keys.answer} has no answer that can be read")
    level = re.search(r"\d+", str(row.values.get(keys.level, "")), re.ASCII)
    return Statement(
        text=question,
        canonical=normalised(question),
        family=row.text(keys.family)[:64] if row.values.get(keys.family) else "dataset",
        level=max(1, min(99, int(level[0][:2]))) if level else 1,
        answer=answer,
        answer_source="dataset",
    )


def _final(answer: str) -> str:
    """The answer itself: behind GSM8K's ####, in MATH's box, or all of it."""
    for rule, mark in (("hashes", "####"), ("boxed", "\\boxed{")):
        if mark in answer:
            return read_answer(answer, rule) or ""  # type: ignore[arg-type]
    return normalised(answer)


def _choices(row: Row, keys: _Keys) -> tuple[list[str], str]:
    """(texts of the choices, letter of the right one). The answer is a letter, a place from 0 on, or the text
    itself."""
    given: Any = row.values[keys.choices]
    labels: Any = None
    if isinstance(given, dict):  # ARC's form: {"text": [...], "label": [...]}
        given, labels = given.get("text"), given.get("label")
    if not isinstance(given, list) or not 2 <= len(given) <= len(LETTERS):
        raise DomainError(f"{row.place}: {keys.choices} must be a list of 2 to {len(LETTERS)} texts")
    choices = [str(choice) for choice in given]
    answer = row.values.get(keys.answer)
    if isinstance(labels, list) and len(labels) == len(choices) and labels.count(answer) == 1:
        return choices, LETTERS[labels.index(answer)]
    if isinstance(answer, int) and not isinstance(answer, bool) and 0 <= answer < len(choices):
        return choices, LETTERS[answer]
    said = normalised(str(answer))
    if len(said) == 1 and said in LETTERS[: len(choices)]:
        return choices, said
    if choices.count(str(answer)) == 1:
        return choices, LETTERS[choices.index(str(answer))]
    raise DomainError(f"{row.place}: {keys.answer} is {str(answer)[:80]!r}, and names none of the choices")


def _rule_of(statements: Sequence[Statement]) -> AnswerRule:
    if all(re.fullmatch("[A-Z]", each.answer) and f"\n{each.answer}. " in each.text for each in statements):
        return "choice"
    are_numbers = all(read_answer(each.answer, "last_number") == each.answer for each in statements)
    return "last_number" if are_numbers else "text"


def _require_types(options: Mapping[str, object]) -> None:
    for name, value in options.items():
        if not isinstance(value, str):
            raise DomainError(f"domain_options.{name} is {value!r}: it must be a text")


def _stops(option: object) -> tuple[str, ...]:
    stops: Sequence[object] = option if isinstance(option, list | tuple) else [option]
    found = tuple(stop for stop in stops if isinstance(stop, str) and stop and "\\n" not in stop)
    if len(found) < len(stops):
        raise DomainError(
            f"domain_options.stop is {option!r}: it must be a text that ends a completion, a list of such texts, or []"
            " where the model's end of sequence is enough"
        )
    return found


def _share(statements: Sequence[Statement], share: float) -> list[Statement]:
    """Those whose hash is lowest, a `share` of all, MAX_TEST at most: the same ones whatever their order in the
    file. All of them where the share is 1."""
    ranked = by_hash(statements)
    return ranked if share == 1.0 else ranked[: min(MAX_TEST, max(1, round(share * len(ranked))))]
