"""Questions with answers out of a JSONL file: a dataset as a domain, without a line of code.

    domain=dataset domain_options.path=questions.jsonl

GSM8K's and MATH's published files are read as they come, and multiple choice (rows.py). Keys are found by their usual
names, or named. A part of the problems is kept for evaluation: another file (`test_path`), or a share that a hash
chooses. An answer is compared as text, then as a number, then as mathematics (curriculum/answers); it is never
evaluated as code. A column of programs, which the sandbox executes, may take the place of answers (programs.py). With
`posed` a challenger writes questions like those of the file (posing.py). Left out: images, conversations, answers that
a program must check.
"""

import re
from collections.abc import Callable, Mapping, Sequence

from curriculum.answers.comparing import is_same_answer
from curriculum.answers.forms import ASKED, asked, judged_by_rule, written
from curriculum.answers.reading import RULES, AnswerRule, read_answer
from curriculum.domains.datasets.jsonl import LONGEST_TEXT, Row
from curriculum.domains.datasets.posing import File, Posing
from curriculum.domains.datasets.rows import Keys, final_of, question_of
from curriculum.domains.datasets.split import Split, read_split
from curriculum.domains.options import require_flag, require_integer, require_integers
from curriculum.domains.protocol import Statement
from curriculum.domains.seed_files import DomainError
from store.records import Fate, Outcome, Problem

MOST_PAIRS = 32
_NOTE = re.compile("<<[^<>]*>>")
_TO_POSE = (
    "Write one question that is a little harder than the given one, in the same form and in one line. Write the "
    "question only, without its answer."
)
_TO_POSE_WITH_PROGRAM = (
    "Write one question that is a little harder than the given one, in the same form and in one line: the question, a "
    "bar with a blank on each side, and Python that computes the answer, in statements with semicolons between them. "
    "The answer must not stand in the question."
)


class DatasetDomain:
    """See the module. `answer_rule` (curriculum/answers/reading.py) says how a solver's answer is read: by default the
    letter of a choice, the last number where all answers are numbers, else the whole text. `examples` rows of the
    file's beginning are shown few-shot, and never posed; `worked`: with all that the row's answer says, such as GSM8K's
    solutions, and not with the final answer alone. `test_share` of the rest is kept for evaluation where there is
    no `test_path`; 1 keeps all, so that there is nothing to practise. `stop`: what ends a few-shot completion, a text
    or some. `posed`: a challenger may pose questions of at most `max_chars` characters, its program included; few-shot,
    it is shown `pairs` pairs of rows. Raises DomainError, which names file and line."""

    solver_instruction: str
    # These it has where it is `posed` alone (curriculum/domains/abilities.py).
    parse: Callable[[str], Statement | Fate]
    is_trivial_edit: Callable[[Problem, Statement], bool]
    escalation_examples: Sequence[tuple[str, str]]
    challenger_instruction: str
    leaves_answers_open: bool
    recheck_instruction = "Check your answer, and give it again in the same form."
    by_option: Mapping[str, str] = {"parse": "domain_options.posed=true"}

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
        program_key: str = "",
        answer_rule: str = "",
        examples: int = 0,
        worked: bool = False,
        stop: str | Sequence[str] = "\n",
        posed: bool = False,
        pairs: int = 4,
        max_chars: int = 400,
    ) -> None:
        named = {
            "question": question_key, "answer": answer_key, "choices": choices_key, "family": family_key,
            "level": level_key, "program": program_key,
        }  # fmt: skip
        keys = {f"{kind}_key": key for kind, key in named.items()}
        _require_types({"path": path, "test_path": test_path} | keys)
        require_integers({"examples": examples})
        _require_choices(test_share, answer_rule)
        require_flag("posed", posed)
        require_flag("worked", worked)
        require_integer("pairs", pairs, 0, MOST_PAIRS)
        require_integer("max_chars", max_chars, 10, LONGEST_TEXT)
        self.name = "dataset"
        self._is_posed = posed
        self.stops = _stops(stop)
        split = read_split(path, test_path, test_share, examples, named, posed)
        self._examples, self._seeds, self._test = split.examples, split.practised, split.test
        self._rule: AnswerRule = answer_rule or _rule_of([*self._seeds, *self._test])  # type: ignore[assignment]
        self.solver_instruction = ASKED[self._rule]
        self._require_readable([*self._examples, *self._seeds, *self._test], split.places)
        answers = self._worked(split) if worked else [self.written(each.answer) for each in self._examples]
        self.solver_examples = list(zip(map(self._asked, self._examples), answers, strict=True))
        if posed and self._seeds:
            self._pose(File(self._seeds, self._examples, self._test), split.keys, pairs, max_chars)

    def question(self, problem: Problem) -> str:
        """As in a form, and without the program."""
        return self._asked(problem)

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
        """By the answer that the text gives in the form that was asked for; UNJUDGED where the right one is not
        known."""
        if not problem.answer:
            read = read_answer(text, self._rule)
            return (Outcome.UNPARSED if read is None else Outcome.UNJUDGED), read
        return judged_by_rule(problem.answer, text, self._rule)

    def same_answer(self, given: str, right: str) -> bool:
        """As text, as numbers, then as mathematics; letters of choices as text alone."""
        return is_same_answer(given, right, as_mathematics=self._rule != "choice")

    def written(self, answer: str) -> str:
        """In the form that is asked for."""
        return written(answer, self._rule)

    def _pose(self, file: File, columns: Keys, pairs: int, max_chars: int) -> None:
        """Take on the abilities of a domain that a challenger poses for."""
        posing = Posing(file, columns.program != "", columns.level != "", max_chars, self._reads)
        self.parse, self.is_trivial_edit = posing.parse, posing.is_trivial_edit
        self.escalation_examples = posing.examples(pairs)
        self.challenger_instruction = _TO_POSE_WITH_PROGRAM if posing.has_programs else _TO_POSE
        self.leaves_answers_open = not posing.has_programs

    def _asked(self, stated: Statement | Problem) -> str:
        return asked(question_of(stated) if self._is_posed else stated.text)

    def _worked(self, split: Split) -> list[str]:
        """All that the rows of the examples say of their answers."""
        return [self._told(split.rows[split.places[each.canonical]], split.keys) for each in split.examples]

    def _told(self, row: Row, columns: Keys) -> str:
        """All that the row's answer says, without GSM8K's notes for a calculator; in one line where a line end ends a
        completion. DomainError where the final answer could not be read of it."""
        if not columns.answer:
            raise DomainError(f"{row.place}: it has no answer that domain_options.worked=true could show")
        said = _NOTE.sub("", row.text(columns.answer))
        said = " ".join(said.split()) if "\n" in self.stops else said
        final, read = final_of(row.text(columns.answer)), read_answer(said, self._rule)
        if read is None or not is_same_answer(read, final):
            raise DomainError(
                f"{row.place}: domain_options.answer_rule={self._rule} reads {read!r:.80} of the whole answer, and not"
                f" {final[:80]!r}: choose another rule (boxed, hashes ...), or leave domain_options.worked out"
            )
        return said

    def _reads(self, answer: str) -> bool:
        """Whether an answer is right by the rule that reads a solver's."""
        read = read_answer(self.written(answer), self._rule)
        return read is not None and is_same_answer(read, answer)

    def _require_readable(self, statements: Sequence[Statement], places: Mapping[str, str]) -> None:
        """DomainError, which names the place, for an answer of a file that cannot be read."""
        for each in statements:
            if not self._reads(each.answer):
                read = read_answer(self.written(each.answer), self._rule)
                raise DomainError(
                    f"{places[each.canonical]}: domain_options.answer_rule={self._rule} reads {read!r:.80} of the"
                    f" answer {each.answer[:80]!r}: choose another rule, or correct the row"
                )


def _rule_of(statements: Sequence[Statement]) -> AnswerRule:
    if all(re.fullmatch("[A-Z]", each.answer) and f"\n{each.answer}. " in each.text for each in statements):
        return "choice"
    are_numbers = all(read_answer(each.answer, "last_number") == each.answer for each in statements)
    return "last_number" if are_numbers else "text"


def _require_types(options: Mapping[str, object]) -> None:
    for name, value in options.items():
        if not isinstance(value, str):
            raise DomainError(f"domain_options.{name} is {value!r}: it must be a text")


def _require_choices(test_share: object, answer_rule: object) -> None:
    if type(test_share) not in (int, float) or not 0.0 < test_share <= 1.0:  # type: ignore[operator]
        raise DomainError(f"domain_options.test_share is {test_share!r}: it must be a number above 0, at most 1")
    if answer_rule not in ("", *RULES):
        raise DomainError(f"domain_options.answer_rule is {answer_rule!r}: it must be one of {', '.join(RULES)}")


def _stops(option: object) -> tuple[str, ...]:
    stops: Sequence[object] = option if isinstance(option, list | tuple) else [option]
    found = tuple(stop for stop in stops if isinstance(stop, str) and stop and "\\n" not in stop)
    if len(found) < len(stops):
        raise DomainError(
            f"domain_options.stop is {option!r}: it must be a text that ends a completion, a list of such texts, or []"
            " where the model's end of sequence is enough"
        )
    return found
