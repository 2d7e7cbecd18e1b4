"""Programs as problems, after Absolute Zero: what comes out of a program, what goes in, or the program itself.

A proposal says a program and arguments, and is executed to get its label, so that no label is believed. Three kinds:

    deduction   the program and an input are shown, the output is asked for
    abduction   the program and an output are shown, an input is asked for, and any that gives it is right
    induction   examples are shown, a program is asked for, which has to give hidden outputs too

An answer is read as a literal, or as a program, which runs in the sandbox; what comes out is compared here, by type and
content. Left out: programs that print, read, import, or define classes (syntax.py says what they may do).
"""

import random
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property, lru_cache
from typing import TypeVar

from curriculum.answers.comparing import side_of
from curriculum.domains.options import require_flag, require_integer
from curriculum.domains.protocol import Statement
from curriculum.domains.python import drawing
from curriculum.domains.python.checking import checked_outputs
from curriculum.domains.python.execution import Failure, output_of, outputs_of
from curriculum.domains.python.structure import (
    applied_text,
    canonical_of,
    family_of,
    level_of,
    without_literals,
    without_neutral,
)
from curriculum.domains.python.tasks import (
    KINDS,
    Kind,
    Task,
    answer_text,
    inline_question,
    inputs_of,
    question_of,
    read_call,
    read_program,
    read_task,
    text_of,
)
from curriculum.domains.python.values import NOTHING, Value, is_same, read_value, spelled, type_of
from curriculum.domains.seed_files import DomainError
from store.records import Fate, Outcome, Problem

Shown = TypeVar("Shown")
Name = TypeVar("Name")
SET_SIZE = 400  # members of an evaluation set
_DRAWS = 2_000  # tries to find a problem of a level
_INDUCTION_CALLS = 6
_CHAIN = "=="
_SEEDS: Mapping[drawing.TypeName, Sequence[tuple[str, Sequence[str]]]] = {  # program, arguments: every operation once
    "int": (
        ("x + 4", ("3", "7", "1", "6")),
        ("x - 2", ("8", "5", "9", "3")),
        ("x * 2", ("4", "3", "6", "5")),
        ("9 - x", ("7", "4", "1", "6")),
        ("x // 2", ("8", "5", "3", "6")),
        ("x % 5", ("7", "3", "9", "6")),
    ),
    "str": (
        ("x + 'e'", ("'car'", "'on'", "'pin'", "'cut'")),
        ("'s' + x", ("'top'", "'in'", "'kip'", "'cat'")),
        ("x[::-1]", ("'tap'", "'no'", "'pit'", "'was'")),
        ("x.upper()", ("'hat'", "'go'", "'dig'", "'me'")),
        ("x * 2", ("'so'", "'bye'", "'cha'", "'do'")),
        ("x[1:]", ("'cold'", "'tin'", "'farm'", "'pan'")),
        ("x[:2]", ("'into'", "'bee'", "'wet'", "'rags'")),
        ("x[0]", ("'red'", "'blue'", "'sky'", "'oak'")),
        ("x[-1]", ("'milk'", "'jam'", "'tea'", "'pop'")),
        ("len(x)", ("'window'", "'my'", "'sun'", "'a'")),
    ),
    "list": (
        ("x[0]", ("[5, 2]", "[1, 8, 3]", "[9, 4]", "[6, 6, 2]")),
        ("x[-1]", ("[3, 8]", "[6, 2, 7]", "[1, 5]", "[4, 9, 4]")),
        ("sorted(x)", ("[4, 1]", "[3, 9, 2]", "[7, 5]", "[8, 1, 6]")),
        ("max(x)", ("[2, 6]", "[1, 3, 2]", "[9, 5]", "[4, 7, 1]")),
        ("min(x)", ("[7, 3]", "[5, 2, 8]", "[4, 6]", "[9, 1, 3]")),
        ("sum(x)", ("[2, 3]", "[4, 1, 2]", "[6, 3]", "[5, 2, 7]")),
        ("len(x)", ("[6, 4]", "[7, 7, 2]", "[3]", "[9, 5, 1, 8]")),
        ("x + [2]", ("[3]", "[1, 4]", "[8, 3]", "[6]")),
        ("x[1:]", ("[2, 9]", "[8, 5, 3]", "[4, 4, 6]", "[7, 1]")),
        ("x[:2]", ("[1, 6, 4]", "[5, 8, 9]", "[3, 2, 2, 7]", "[9, 7, 5]")),
        ("x[::-1]", ("[6, 9]", "[2, 4, 7]", "[8, 3]", "[1, 5, 5]")),
        ("[i + 3 for i in x]", ("[4, 2]", "[6]", "[1, 7]", "[5, 3]")),
        ("[i * 2 for i in x]", ("[3, 5]", "[4]", "[2, 6]", "[1, 8]")),
    ),
}
_SOLVED: Mapping[
    Kind, Sequence[tuple[drawing.TypeName, str]]
] = {  # texts of problems that prompts show with their answers
    "deduction": (
        ("int", "f = lambda x: x * 3; f(4)"),
        ("str", "f = lambda x: x[::-1]; f('dog')"),
        ("list", "f = lambda x: len(x); f([5, 8, 5])"),
        ("list", "f = lambda x: x + [7]; f([3, 5])"),
        ("int", "f = lambda x: x - 6; f(2)"),
        ("list", "f = lambda x: x[:2]; f([6, 2, 8])"),
        ("str", "f = lambda x: x + 'ed'; f('jump')"),
        ("list", "f = lambda x: sorted(x); f([9, 3, 7])"),
        ("list", "f = lambda x: x[-1]; f([4, 9, 2])"),
        ("list", "f = lambda x: sum(x); f([2, 4, 1])"),
        ("int", "f = lambda x: x * 2 + 1; f(6)"),
    ),
    "abduction": (
        ("int", "f = lambda x: x + 5; f(?) == f(2)"),
        ("str", "f = lambda x: x + 's'; f(?) == f('cat')"),
        ("list", "f = lambda x: x[1:]; f(?) == f([4, 9, 2])"),
        ("int", "f = lambda x: x * 4; f(?) == f(3)"),
    ),
    "induction": (
        ("int", "f = ?; lambda x: x + 3; f(1), f(4), f(6), f(8)"),
        ("list", "f = ?; lambda x: x + [5]; f([2]), f([7, 1]), f([3]), f([4, 4])"),
        ("str", "f = ?; lambda x: x[0]; f('dog'), f('cat'), f('sun'), f('at')"),
    ),
}
_ESCALATED: Mapping[Kind, Sequence[tuple[drawing.TypeName, str, str]]] = {
    "deduction": (
        ("int", "f = lambda x: x + 2; f(5)", "f = lambda x: x * 3 + 2; f(4)"),
        ("str", "f = lambda x: x[::-1]; f('top')", "f = lambda x: x[::-1] + 's'; f('gum')"),
        ("list", "f = lambda x: sum(x); f([4, 3])", "f = lambda x: sum(x[1:]); f([6, 1, 5])"),
        ("str", "f = lambda x: len(x); f('home')", "f = lambda x: len(x) * 2; f('bag')"),
        ("list", "f = lambda x: x[1]; f([3, 8])", "f = lambda x: max(x) - x[0]; f([2, 7, 5])"),
        ("int", "f = lambda x: x - 3; f(9)", "f = lambda x: x - 3; f(27)"),
        ("list", "f = lambda x: x[::-1]; f([7, 3])", "f = lambda x: x[::-1] + [4]; f([8, 6])"),
    ),
    "abduction": (
        ("int", "f = lambda x: x + 1; f(?) == f(7)", "f = lambda x: x * 2 + 1; f(?) == f(8)"),
        ("list", "f = lambda x: x[1]; f(?) == f([5, 2])", "f = lambda x: x[1] * 2; f(?) == f([3, 6])"),
        ("str", "f = lambda x: len(x); f(?) == f('bus')", "f = lambda x: len(x) * 2; f(?) == f('net')"),
    ),
    "induction": (
        (
            "int",
            "f = ?; lambda x: x * 2; f(1), f(3), f(5), f(7)",
            "f = ?; lambda x: x * 2 + 1; f(2), f(3), f(6), f(9)",
        ),
        (
            "list",
            "f = ?; lambda x: x[0]; f([3, 1]), f([8, 2]), f([5, 1]), f([4, 6])",
            "f = ?; lambda x: x[0] + 1; f([6, 1]), f([2, 7]), f([3, 9]), f([5, 5])",
        ),
        (
            "str",
            "f = ?; lambda x: x[0]; f('up'), f('sea'), f('map'), f('it')",
            "f = ?; lambda x: x[0] * 2; f('no'), f('tap'), f('cup'), f('we')",
        ),
    ),
}


class PythonDomain:
    """`kinds`: those that are posed, of deduction, abduction and induction. `types`: what drawn problems and seeds
    take, of int, str and list. Proposals beyond level `max_level`, beyond numbers of `max_digits` digits or with
    outputs of more than `max_output` characters are TOO_LARGE.

    `worked`: a deduction is asked as "x = 3; x * 2 + 1 ==" and may be worked out in a chain, of which the last part is
    the answer: "3 * 2 + 1 == 7". The examples show it so. A small model, which cannot put the input into the expression
    unsaid, is right twice as often.
    """

    name = "python"
    step_ends: Sequence[str] = ()
    reflection_examples: Sequence[tuple[str, str]] = (
        (
            "f = lambda x: x * 3 - 1; f(4) ==\nTried: 12, which gave: == 11, not 12\nRight: 11, which gave: == 11",
            "4 * 3 is 12, and 12 forgets to take 1 away. So: 11",
        ),
    )
    solver_instruction = (
        "This is Python. Answer with what stands behind the last == or =, and nothing else: a value, an argument that "
        "makes the equation true, or a function written as a lambda."
    )
    recheck_instruction = "Work it out once more, carefully, and answer in the same form."
    challenger_instruction = (
        "Write one such problem that is a little harder: a short Python function without imports and one call of it, "
        "in the same form. Answer with the problem only."
    )

    def __init__(
        self,
        kinds: Sequence[str] = KINDS,
        types: Sequence[str] = drawing.TYPES,
        max_level: int = 8,
        max_digits: int = 4,
        max_output: int = 60,
        worked: bool = False,
    ) -> None:
        self.kinds = tuple(_chosen("kinds", kinds, KINDS))
        self.types = tuple(_chosen("types", types, drawing.TYPES))
        for option, value, high in (
            ("max_level", max_level, 60),
            ("max_digits", max_digits, 12),
            ("max_output", max_output, 120),
        ):
            require_integer(option, value, 1, high)
        require_flag("worked", worked)
        self.worked = worked
        self.max_level, self.max_digits, self.max_output = max_level, max_digits, max_output
        self.levels = range(1, min(4, max_level) + 1)
        self.several_right = self.kinds != ("deduction",)  # 8 // 2 is 9 // 2, and a program may be written in many ways
        self.solver_examples: Sequence[tuple[str, str]] = [
            (self._asked(task, outputs[: len(task.shown)]), self._worked_out(task) + _answer(task, outputs))
            for task, outputs in map(self._shown, self._solved_texts())
        ]
        self.escalation_examples = [
            (easy, harder) for name, easy, harder in _ordered(_ESCALATED, self.kinds) if name in self.types
        ]

    def parse(self, text: str) -> Statement | Fate:
        """UNPARSED unless it is a task of one of the domain's kinds; INVALID where its program uses what is not
        allowed, or is no problem when executed (checking.py); TOO_LARGE beyond the options."""
        task = read_task(text)
        if isinstance(task, Fate):
            return task
        if task.kind not in self.kinds:
            return Fate.UNPARSED
        return self._stated(task)

    def is_trivial_edit(self, parent: Problem, child: Statement) -> bool:
        """Whether it is the parent, or differs from it by + 0, * 1, [:] and the like."""
        if parent.canonical == child.canonical:
            return True
        before, after = _task(parent.text), _task(child.text)
        if before is None or after is None or before.kind != after.kind:
            return False
        return _is_same_call(before, after) and without_neutral(before.program) == without_neutral(after.program)

    def judge(self, problem: Problem, text: str) -> tuple[Outcome, str | None]:
        """What is said is read as a literal or as a program, never evaluated here. An input or a program runs in the
        sandbox, and its outputs are compared with those of the problem's program."""
        task = _task(problem.text)
        if task is None:
            return Outcome.UNJUDGED, None
        if task.kind == "deduction":
            return _judged_output(read_value(problem.answer), self._result(text))
        expected = outputs_of(task.program, task.calls)
        said, found = _tried(task, text)
        if said is None:
            return Outcome.UNPARSED, None
        if any(isinstance(each, Failure) for each in expected):
            return Outcome.UNJUDGED, said
        is_right = len(found) == len(expected) and all(map(_is_equal, found, expected))
        return (Outcome.CORRECT if is_right else Outcome.INCORRECT), said

    def check_again(self, problem: Problem, text: str) -> tuple[bool | None, str]:
        """By executing each call alone, where `judge` has all of them share a process, and without the stored answer.
        None where the program fails on its own."""
        means, task = "executing each call alone", _task(problem.text)
        expected = [] if task is None else [output_of(task.program, call) for call in task.calls]
        if task is None or any(isinstance(each, Failure) for each in expected):
            return None, means
        found = [read_value(self._result(text))] if task.kind == "deduction" else _tried_alone(task, text)
        return len(found) == len(expected) and all(map(_is_equal, found, expected)), means

    def signature(self, problem: Problem) -> str:
        """The kind of task and its program, names and literals left out: the same program on other inputs is solved
        alike."""
        task = _task(problem.text)
        return problem.canonical if task is None else f"{task.kind}: {without_literals(task.program)}"

    def observation(self, problem: Problem, text: str) -> str:
        """Of an output: "no value", "another type", "too low", "too high", "another value" or "equal". Of an input or a
        program: what the first call gives that is not as shown, "f(3) == 8", or "as shown"."""
        task = _task(problem.text)
        if task is None:
            return "no problem"
        if task.kind == "deduction":
            return _compared(read_value(self._result(text)), read_value(problem.answer))
        said, found = _tried(task, text)
        if said is None:
            return "no program" if task.kind == "induction" else "no input"
        shown = task.shown if task.kind == "induction" else task.calls
        for call, output, expected in zip(shown, found, outputs_of(task.program, shown), strict=False):
            if not _is_equal(output, expected):
                given = said if task.kind == "abduction" else answer_text(call)
                return f"f({given}) " + (output.reason if isinstance(output, Failure) else f"== {spelled(output)}")
        return "as shown"

    def begins(self, problem: Problem) -> str:
        """The question; an answer is one action."""
        return self.question(problem)

    def executes(self, problem: Problem, state: str, action: str) -> str:
        """What running the answer gives. Of an output or an input "== 7", or "== 7, not 8" where it is another than the
        one said or asked for; of a program "as shown, and beyond", "as shown, not beyond" where a hidden call gives
        another output, or the first call that is not as shown, "f(3) == 8, not 9". "no value", "no input" or "no
        program" where there is none, and "nothing to do" in another state than the first."""
        task = _task(problem.text)
        return "nothing to do" if task is None or state != self.begins(problem) else self._executed(task, action)

    def expert(self, problem: Problem, state: str) -> str | None:
        """The right output, the input that the problem was made of, or its program."""
        task = _task(problem.text)
        if task is None or state != self.begins(problem):
            return None
        outputs = outputs_of(task.program, task.calls)
        if any(isinstance(each, Failure) for each in outputs):
            return None
        return _answer(task, [each for each in outputs if not isinstance(each, Failure)])

    def _executed(self, task: Task, action: str) -> str:
        expected = outputs_of(task.program, task.calls)
        if task.kind == "deduction":
            value = read_value(self._result(action))
            return "no value" if value is NOTHING else _given(expected[0], value)
        said, found = _tried(task, action)
        if said is None:
            return "no program" if task.kind == "induction" else "no input"
        if task.kind == "abduction":
            return _given(found[0], expected[0])
        are_equal = list(map(_is_equal, found, expected))
        for call, output, wanted, is_equal in zip(task.shown, found, expected, are_equal, strict=False):
            if not is_equal:
                return f"f({answer_text(call)}) {_given(output, wanted)}"
        return "as shown, and beyond" if all(are_equal) else "as shown, not beyond"

    def question(self, problem: Problem) -> str:
        """The text without what is asked for; see tasks.py."""
        task = _task(problem.text)
        if task is None:
            return problem.text
        outputs = outputs_of(task.program, task.shown if task.kind == "induction" else task.calls)
        return self._asked(task, [each for each in outputs if not isinstance(each, Failure)] or [None])

    def seeds(self) -> Sequence[Statement]:
        """For each kind and type a problem of every operation that `draw` knows, where it is one of the kind: what no
        parent does, the challenger hardly ever proposes."""
        return self._seeds

    def shown_examples(self) -> Sequence[Statement]:
        pairs = [text for pair in self.escalation_examples for text in pair]
        found = [self.parse(text) for text in [*self._solved_texts(), *pairs]]
        return [each for each in found if isinstance(each, Statement)]

    def draw(self, rng: random.Random, level: int) -> Statement:
        """Uniform over the domain's kinds and types, and over operations; redrawn until it is a problem of `level`."""
        return self._drawn(rng, level, rng.choice(self.kinds))

    def evaluation_sets(self) -> Mapping[str, Sequence[Statement]]:
        """`deduction1` and `deduction2`, `abduction1`, `induction1`: drawn problems of level 1 and 2."""
        return self._evaluation_sets

    @cached_property
    def _seeds(self) -> tuple[Statement, ...]:
        texts = (_seed_text(kind, *each) for kind in self.kinds for name in self.types for each in _SEEDS[name])
        found = [self.parse(text) for text in texts]
        return tuple(each for each in found if isinstance(each, Statement))

    @cached_property
    def _evaluation_sets(self) -> Mapping[str, Sequence[Statement]]:
        wanted = [(kind, level) for kind in self.kinds for level in ((1, 2) if kind == "deduction" else (1,))]
        return {f"{kind}{level}": self._members(kind, level) for kind, level in wanted if level in self.levels}

    def _members(self, kind: Kind, level: int) -> tuple[Statement, ...]:
        rng = random.Random(f"python/{kind}/{level}/{','.join(self.types)}")
        found: dict[str, Statement] = {}
        while len(found) < SET_SIZE:
            each = self._drawn(rng, level, kind)
            found.setdefault(each.canonical, each)
        return tuple(found.values())

    def _drawn(self, rng: random.Random, level: int, kind: Kind) -> Statement:
        for _ in range(_DRAWS):
            operations = rng.randint(1, level)
            type_name, digits = rng.choice(self.types), min(self.max_digits, 1 + level - operations)
            expression = drawing.drawn_expression(rng, type_name, operations, rng.randint(1, digits))
            calls = [
                spelled(drawing.drawn_input(rng, type_name, rng.randint(1, digits), 4 * digits))
                for _ in range(_INDUCTION_CALLS)
            ]
            task = read_task(_seed_text(kind, expression, calls))
            if isinstance(task, Task) and level_of(task.program, [*inputs_of(task)]) == level:
                statement = self._stated(task)
                if isinstance(statement, Statement):
                    return statement
        raise ValueError(f"python found no {kind} of level {level} on {', '.join(self.types)}")

    def _stated(self, task: Task) -> Statement | Fate:
        inputs = [*inputs_of(task)]
        if any(self._is_large(value) for value in inputs):
            return Fate.TOO_LARGE
        outputs = checked_outputs(task, self.max_output)
        if isinstance(outputs, Fate):
            return outputs
        level = level_of(task.program, inputs)
        if level > self.max_level or any(self._is_large(value) for value in outputs):
            return Fate.TOO_LARGE
        return Statement(
            text=text_of(task),
            canonical=_canonical(task),
            family=family_of(task.kind, task.program, task.calls[0]),
            level=level,
            answer=_answer(task, outputs),
            answer_source="executed",
        )

    def _solved_texts(self) -> list[str]:
        """What prompts show solved: of the domain's kinds and types alone, since a model says what it is shown."""
        return [text for name, text in _ordered(_SOLVED, self.kinds) if name in self.types]

    def _is_large(self, value: Value) -> bool:
        """Whether a number in it has more than `max_digits` digits."""
        if isinstance(value, list | tuple):
            return any(map(self._is_large, value))
        if isinstance(value, dict):
            return any(map(self._is_large, [*value, *value.values()]))
        return type(value) is int and abs(value) >= 10**self.max_digits

    def _asked(self, task: Task, outputs: Sequence[Value]) -> str:
        inline = inline_question(task) if self.worked and task.kind == "deduction" else None
        return question_of(task, outputs) if inline is None else inline

    def _result(self, text: str) -> str:
        """The part of a deduction's answer that says the output."""
        return text.rpartition(_CHAIN)[2] if self.worked else text

    def _worked_out(self, task: Task) -> str:
        """What an example of a deduction says before its output."""
        if not self.worked or task.kind != "deduction":
            return ""
        applied = applied_text(task.program, task.calls[0])
        return "" if applied is None else f"{applied} {_CHAIN} "

    def _shown(self, text: str) -> tuple[Task, list[Value]]:
        """An example of our own, executed."""
        task = read_task(text)
        outputs = Fate.INVALID if isinstance(task, Fate) else checked_outputs(task, self.max_output)
        if isinstance(task, Fate) or isinstance(outputs, Fate):
            raise DomainError(f"python: the example {text!r} is no problem under these options")
        return task, outputs


@lru_cache(maxsize=16384)
def _task(text: str) -> Task | None:
    """The task of a stored problem; None for a text that is none, which no problem of this domain has."""
    task = read_task(text)
    return None if isinstance(task, Fate) else task


def _judged_output(expected: Value, text: str) -> tuple[Outcome, str | None]:
    value = read_value(text)
    if value is NOTHING:
        return Outcome.UNPARSED, None
    if expected is NOTHING:
        return Outcome.UNJUDGED, spelled(value)
    return (Outcome.CORRECT if is_same(value, expected) else Outcome.INCORRECT), spelled(value)


def _tried(task: Task, text: str) -> tuple[str | None, list[Value | Failure]]:
    """What is said, None where it is neither input nor program, and what it gives."""
    if task.kind == "abduction":
        call = read_call(text)
        if call is None:
            return None, []
        fits = len(call) == len(task.program.parameters)
        return answer_text(call), outputs_of(task.program, [call]) if fits else [Failure("takes other arguments")]
    program = read_program(text)
    if program is None:
        return None, []
    return program.source.removeprefix("f = "), outputs_of(program, task.calls)


def _tried_alone(task: Task, text: str) -> list[Value | Failure]:
    """What an input or a program gives, one call at a time; [] for what is neither."""
    if task.kind == "abduction":
        call = read_call(text)
        fits = call is not None and len(call) == len(task.program.parameters)
        return [output_of(task.program, call)] if call is not None and fits else []
    program = read_program(text)
    return [] if program is None else [output_of(program, call) for call in task.calls]


def _is_equal(a: Value | Failure, b: Value | Failure) -> bool:
    return not isinstance(a, Failure) and not isinstance(b, Failure) and is_same(a, b)


def _given(output: Value | Failure, wanted: Value | Failure) -> str:
    """ "== 7", "== 7, not 8", or why there is no output."""
    if isinstance(output, Failure):
        return output.reason
    if _is_equal(output, wanted) or isinstance(wanted, Failure):
        return f"== {spelled(output)}"
    return f"== {spelled(output)}, not {spelled(wanted)}"


def _compared(value: Value, expected: Value) -> str:
    if value is NOTHING:
        return "no value"
    if is_same(value, expected):
        return "equal"
    if type_of(value) != type_of(expected):
        return "another type"
    if isinstance(value, int | float) and isinstance(expected, int | float) and value != expected:
        return side_of(value, expected)
    return "another value"


def _answer(task: Task, outputs: Sequence[Value]) -> str:
    match task.kind:
        case "deduction":
            return spelled(outputs[0])
        case "abduction":
            return answer_text(task.calls[0])
    return task.program.source.removeprefix("f = ")


def _canonical(task: Task) -> str:
    calls = "; ".join(map(answer_text, task.calls))
    return f"{task.kind}: {canonical_of(task.program)} ({calls})"


def _is_same_call(a: Task, b: Task) -> bool:
    return len(a.calls) == len(b.calls) and all(map(is_same, a.calls, b.calls))


def _seed_text(kind: Kind, expression: str, calls: Sequence[str]) -> str:
    program = f"lambda x: {expression}"
    match kind:
        case "deduction":
            return f"f = {program}; f({calls[0]})"
        case "abduction":
            return f"f = {program}; f(?) == f({calls[0]})"
    return f"f = ?; {program}; " + ", ".join(f"f({call})" for call in calls)


def _ordered(examples: Mapping[Kind, Sequence[Shown]], kinds: Sequence[Kind]) -> list[Shown]:
    """Of the kinds, the last one first: what is read last weighs most, and deduction is the most frequent."""
    return [each for kind in reversed(kinds) for each in examples[kind]]


def _chosen(option: str, given: Sequence[str], known: Sequence[Name]) -> Iterable[Name]:
    """`given` in the order of `known`. DomainError where it is empty or has something else."""
    if isinstance(given, str) or not given or not all(each in known for each in given):
        raise DomainError(f"domain_options.{option} is {given!r}: give a list of {', '.join(map(str, known))}")
    return [each for each in known if each in given]
