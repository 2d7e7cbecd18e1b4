"""A problem as Absolute Zero has it: a program, arguments for it, and which of program, input and output is asked for.

    kind        text: what is proposed, stored and escalated       question: what the solver sees
    deduction   f = lambda x: x * 2 + 1; f(3)                      f = lambda x: x * 2 + 1; f(3) ==
    abduction   f = lambda x: x * 2 + 1; f(?) == f(3)              f = lambda x: x * 2 + 1; f(?) == 7; ? =
    induction   f = ?; lambda x: x * 2 + 1; f(1), f(2), f(4), f(6) f(1) == 3; f(2) == 5; f = ?; f =

The text holds all of it, so that it can be executed, and the question leaves out what is to be found. A program of
several lines ends with a line end in place of the semicolon.
"""

import ast
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from curriculum.domains.python.syntax import MAX_SOURCE_CHARS, Program, parsed, program_of
from curriculum.domains.python.values import MAX_CHARS, NOTHING, Value, read_values, spelled, value_of
from store.records import Fate

Kind = Literal["deduction", "abduction", "induction"]
KINDS: tuple[Kind, ...] = get_args(Kind)
MIN_CALLS, MAX_CALLS = 4, 8  # of an induction: half of them are shown
MAX_TEXT_CHARS = MAX_SOURCE_CHARS + (MAX_CALLS + 1) * MAX_CHARS
Call = tuple[Value, ...]

_ABDUCTION = re.compile(r"f\(\?\) ?== ?(?=f\()")
_INDUCTION = re.compile(r"f = \?; ?")
_MATHEMATICAL = re.compile(r"f\(([a-z](?:, ?[a-z]){0,2})\) ?= ?(?!=)")  # f(x) = x + 1: what a small model says too


@dataclass(frozen=True, slots=True)
class Task:
    """`calls`: the arguments of the one call, or of an induction's calls."""

    kind: Kind
    program: Program
    calls: tuple[Call, ...]

    @property
    def shown(self) -> tuple[Call, ...]:
        """Of an induction: the calls that the solver sees; the others are hidden."""
        return self.calls[: (len(self.calls) + 1) // 2]


def read_task(text: str) -> Task | Fate:
    """UNPARSED unless the text is one task, INVALID where its program uses what is not allowed, or takes other
    arguments, TOO_LARGE beyond the limits."""
    text = text.strip(" \t\r\n")
    if len(text) > MAX_TEXT_CHARS:
        return Fate.TOO_LARGE
    kind, code = _kind_of(text)
    code = _MATHEMATICAL.sub(r"f = lambda \1: ", code, count=1) if code.startswith("f(") else code
    tree = parsed(code, MAX_TEXT_CHARS)
    if isinstance(tree, Fate):
        return tree
    if len(tree.body) < 2 or not isinstance(last := tree.body[-1], ast.Expr):
        return Fate.UNPARSED
    program = program_of(tree.body[:-1])
    if isinstance(program, Fate):
        return program
    asked = last.value.elts if kind == "induction" and isinstance(last.value, ast.Tuple) else [last.value]
    calls = [_call_of(each) for each in asked]
    found = tuple(call for call in calls if not isinstance(call, Fate))
    if len(found) < len(calls):
        return next(call for call in calls if isinstance(call, Fate))
    if any(len(call) != len(program.parameters) for call in found):
        return Fate.INVALID
    if kind == "induction" and not MIN_CALLS <= len(found) <= MAX_CALLS:
        return Fate.INVALID if len(found) < MIN_CALLS else Fate.TOO_LARGE
    return Task(kind, program, found)


def read_program(text: str) -> Program | None:
    """The program in a solver's answer, with or without `f =` in front; None where there is none that may run."""
    text = text.strip(" \t\r\n")
    tree = parsed(text if text.startswith(("f =", "f=", "def ")) else f"f = {text}")
    program = program_of(tree.body) if isinstance(tree, ast.Module) else tree
    return None if isinstance(program, Fate) else program


def read_call(text: str) -> Call | None:
    """The arguments in a solver's answer, such as 3 or 'a', 2; None where there are none."""
    return read_values(text)


def text_of(task: Task) -> str:
    """The task in normal spelling. It reads as the same task."""
    match task.kind:
        case "deduction":
            return _followed(task, _applied(task.calls[0]))
        case "abduction":
            return _followed(task, f"f(?) == {_applied(task.calls[0])}")
    return "f = ?; " + _followed(task, ", ".join(map(_applied, task.calls)))


def question_of(task: Task, outputs: Sequence[Value]) -> str:
    """What the solver sees. `outputs`: of the one call, or of the calls that are shown."""
    match task.kind:
        case "deduction":
            return f"{text_of(task)} =="
        case "abduction":
            return _followed(task, f"f(?) == {spelled(outputs[0])}; ? =")
    pairs = zip(task.shown, outputs, strict=True)
    return "; ".join(f"{_applied(call)} == {spelled(output)}" for call, output in pairs) + "; f ="


def inline_question(task: Task) -> str | None:
    """A deduction as an expression with its names given before, "x = 3; x * 2 + 1 =="; None of another program than a
    `lambda`."""
    if not task.program.is_lambda:
        return None
    expression = ast.unparse(task.program.tree.body[0].value.body)  # type: ignore[attr-defined]
    return f"{', '.join(task.program.parameters)} = {answer_text(task.calls[0])}; {expression} =="


def answer_text(call: Call) -> str:
    """How an abduction's answer is written: arguments between commas."""
    return ", ".join(map(spelled, call))


def _kind_of(text: str) -> tuple[Kind, str]:
    """The kind, and the text as Python that defines `f` and calls it."""
    if found := _INDUCTION.match(text):
        rest = text[found.end() :]
        return "induction", rest if rest.startswith("def ") else f"f = {rest}"
    if len(parts := _ABDUCTION.split(text)) == 2:
        return "abduction", "".join(parts)
    return "deduction", text


def _call_of(node: ast.expr) -> Call | Fate:
    match node:
        case ast.Call(func=ast.Name(id="f"), args=arguments, keywords=[]):
            values = tuple(value_of(each) for each in arguments)
            is_large = any(each is NOTHING for each in values)
            if is_large and not all(map(_is_literal, arguments)):
                return Fate.UNPARSED
            return Fate.TOO_LARGE if is_large else values
    return Fate.UNPARSED


_LITERALS = (ast.Constant, ast.List, ast.Tuple, ast.Dict, ast.UnaryOp, ast.USub, ast.Load)


def _is_literal(node: ast.expr) -> bool:
    return all(isinstance(each, _LITERALS) for each in ast.walk(node))


def _applied(call: Call) -> str:
    return f"f({answer_text(call)})"


def _followed(task: Task, last: str) -> str:
    source = task.program.source
    if not task.program.is_lambda:
        return f"{source}\n{last}"
    return f"{source.removeprefix('f = ') if task.kind == 'induction' and last[:4] != 'f(?)' else source}; {last}"


def inputs_of(task: Task) -> Iterator[Value]:
    """Every argument of every call."""
    for call in task.calls:
        yield from call
