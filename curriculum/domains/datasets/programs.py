"""A program that computes an answer, of a dataset or of a challenger: read here, executed in the sandbox.

Where its value stands is looked for in this order:

    def solution(): ... return x     what `solution()` returns, as PAL and GSM8K in Python have it
    ...; answer = x                  the variable `answer`, `ans` or `result`, the one that is assigned last
    ...; x   or   ...; print(x)      the last expression, or what the last line prints

One expression, "3 + 4 * 2", is the last of these. The value is a text, a number or a bool. It runs under two seeds, and
a program whose values differ has none. Steps are counted in programs that repeat something, so that it does not depend
on the machine which program has a value. Left out: other languages, equations, programs that read or need a library
that the sandbox has not (it has math, re, datetime, itertools and collections).
"""

import ast
import math
import re
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from curriculum.answers.comparing import normalised
from curriculum.domains.python.metering import METER, metered
from curriculum.sandbox import SandboxFailure, execute_program
from store.encoding import is_storable

MAX_CHARS = 4_000  # of a program
MAX_STEPS = 100_000  # rounds of loops, calls and numbers of ranges: a tenth of a second or two
MAX_MEMORY = 16 * 2**20
MAX_VALUE = 1_000  # characters: a longer answer is none (curriculum/answers/reading.py)
MAX_DIGITS = 1_000  # of an integer in a program: Python writes out 4,300 at most, and reads more of them in hexadecimal
SECONDS = (0.5, 4.0)  # a last resort, for what takes long without a loop of its own
FLOAT_DIGITS = 12  # significant ones: 0.1 + 0.2 is 0.3
VARIABLES = ("answer", "ans", "result")
FUNCTION = "solution"
_MAX_DEPTH = 100  # of the syntax tree: Python's own functions on trees are recursive
_SEEDS = (0, 7)
_FENCE = re.compile(r"```(?:python|py)?[ \t]*\n(.*?)\n?```", re.DOTALL)
_OURS = re.compile(r"\b_(?:left|step|range|refuse|mul|imul|pow|shl|type|str|value|said)\b")
_SAID = re.compile(r"(int|float|bool|str) (.*)", re.DOTALL)
_COMPOUND = (
    *(ast.If, ast.For, ast.While, ast.With, ast.Try, ast.Match, ast.FunctionDef, ast.ClassDef),
    *(ast.AsyncFunctionDef, ast.AsyncFor, ast.AsyncWith),
)
_OPERATIONS = (ast.BinOp, ast.AugAssign, ast.Compare, ast.BoolOp, ast.Call, ast.For, ast.While, ast.comprehension)
_REPEATING = (ast.For, ast.While, ast.comprehension, ast.Lambda, ast.Pow, ast.LShift)


@dataclass(frozen=True, slots=True)
class NoValue:
    """Why a text is no program, or a program has no value, as the end of a line. `is_program`: it can be read."""

    reason: str
    is_program: bool = True


@dataclass(frozen=True, slots=True)
class Program:
    """The statements, without those that only show the result, and the expression of the value behind them."""

    body: tuple[ast.stmt, ...]
    result: ast.expr

    @property
    def source(self) -> str:
        """As it is executed, before anything is counted in it: its last line gives `_value`."""
        value = ast.Assign([ast.Name("_value", ast.Store())], self.result)
        return _unparsed([*self.body, value])

    @property
    def operations(self) -> int:
        """How many operators, calls and loops it has; 0 where it computes nothing."""
        is_function = isinstance(self.result, ast.Call) and _is_call(self.result, FUNCTION)
        parts: list[ast.AST] = [*self.body, *([] if is_function else [self.result])]
        return sum(isinstance(node, _OPERATIONS) for part in parts for node in ast.walk(part))

    @property
    def numbers(self) -> set[str]:
        """Every number in it, as Python spells it."""
        constants = [node for part in (*self.body, self.result) for node in ast.walk(part)]
        return {str(n.value) for n in constants if isinstance(n, ast.Constant) and type(n.value) in (int, float)}

    def in_one_line(self) -> str | None:
        """The same program in one line, statements behind each other with semicolons; None where it has loops or
        conditions that stand on lines of their own. Comments and the function's description are left out."""
        match self.body:
            case [ast.FunctionDef(name="solution", args=arguments, decorator_list=[], body=body)]:
                head, statements = f"def {FUNCTION}({ast.unparse(arguments)}): ", _without_description(body)
            case _:
                is_named = isinstance(self.result, ast.Name) and self.result.id in VARIABLES
                head, statements = "", [*self.body, *([] if is_named else [ast.Expr(self.result)])]
        if any(isinstance(each, _COMPOUND) for each in statements):
            return None
        line = head + "; ".join(ast.unparse(each) for each in statements)
        return None if "\n" in line else line


def read_program(text: str) -> Program | NoValue:
    """The program that `text` is, in a fence of Markdown or without. Nothing is executed."""
    fenced = _FENCE.fullmatch(text.strip())
    source = fenced[1] if fenced else text.strip()
    if len(source) > MAX_CHARS:
        return NoValue(f"it has {len(source):,} characters, the limit is {MAX_CHARS:,}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the parser's remarks on somebody else's text
            tree = ast.parse(source)
    except (SyntaxError, ValueError) as error:
        return NoValue(f"it is no Python: {getattr(error, 'msg', error)}"[:200], is_program=False)
    except (RecursionError, MemoryError):
        return NoValue("it is nested too deeply")
    if _is_deeper(tree, _MAX_DEPTH):
        return NoValue("it is nested too deeply")
    if _has_long_integer(tree):
        return NoValue(f"it has an integer of more than {MAX_DIGITS:,} digits")
    if ours := _OURS.search(source):
        return NoValue(f"it uses the name {ours[0]}, which the sandbox needs")
    return _with_result(tree.body)


def value_of(program: Program) -> str | NoValue:
    """The value as an answer is written: a float with FLOAT_DIGITS digits, and as an integer where it is one."""
    return _executed(program.source)


def spelled(value: float) -> str | None:
    """A float as an answer, without an exponent; None where it is infinite or no number."""
    if not math.isfinite(value):
        return None
    if value.is_integer():
        return str(int(value))
    rounded = f"{value:.{FLOAT_DIGITS}g}"
    if "e" in rounded:
        mantissa, _, exponent = rounded.partition("e")
        decimals = len(mantissa.partition(".")[2]) - int(exponent)
        rounded = f"{value:.{max(0, decimals)}f}"
    return rounded


def _with_result(statements: Sequence[ast.stmt]) -> Program | NoValue:
    if any(_is_solution(each) for each in statements):
        body = [each for each in statements if not _shows(each, FUNCTION)]
        return Program(tuple(body), ast.Call(ast.Name(FUNCTION, ast.Load()), [], []))
    assigned = [name for each in statements for name in _assigned(each) if name in VARIABLES]
    if assigned:
        body = [each for each in statements if not _shows(each)]
        return Program(tuple(body), ast.Name(assigned[-1], ast.Load()))
    match statements:
        case [*body, ast.Expr(value=ast.Call(func=ast.Name(id="print"), args=[shown], keywords=[]))]:
            return Program(tuple(body), shown)
        case [*body, ast.Expr(value=value)]:
            return Program(tuple(body), value)
    return NoValue(
        f"it gives no value: let it define {FUNCTION}(), assign {VARIABLES[0]}, or end in an expression",
        is_program=len(statements) > 0,
    )


def _is_solution(statement: ast.stmt) -> bool:
    """Whether it defines a `solution` that can be called without arguments."""
    match statement:
        case ast.FunctionDef(name="solution", args=arguments):
            required = len(arguments.posonlyargs) + len(arguments.args) - len(arguments.defaults)
            return required == 0 and all(default is not None for default in arguments.kw_defaults)
    return False


def _assigned(statement: ast.stmt) -> Iterator[str]:
    """Every name that it gives a value to where the program itself stands, in the order of the text."""
    if isinstance(statement, ast.Name) and isinstance(statement.ctx, ast.Store):
        yield statement.id
    if not isinstance(statement, ast.FunctionDef | ast.ClassDef | ast.Lambda):
        for child in ast.iter_child_nodes(statement):
            yield from _assigned(child)  # type: ignore[arg-type]  # any node


def _shows(statement: ast.stmt, *functions: str) -> bool:
    """Whether it does nothing but print, or call one of the functions."""
    return isinstance(statement, ast.Expr) and _is_call(statement.value, "print", *functions)


def _is_call(node: ast.AST, *functions: str) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in functions


def _without_description(body: Sequence[ast.stmt]) -> Sequence[ast.stmt]:
    match body:
        case [ast.Expr(value=ast.Constant(value=str())), *rest] if rest:
            return rest
    return body


def _is_deeper(tree: ast.AST, limit: int) -> bool:
    level = [tree]
    for _ in range(limit):
        level = [child for node in level for child in ast.iter_child_nodes(node)]
    return bool(level)


def _has_long_integer(tree: ast.AST) -> bool:
    constants = (node.value for node in ast.walk(tree) if isinstance(node, ast.Constant))
    return any(type(value) is int and value >= 10**MAX_DIGITS for value in constants)


def _unparsed(statements: Sequence[ast.stmt]) -> str:
    return ast.unparse(ast.fix_missing_locations(ast.Module(list(statements), type_ignores=[])))


@lru_cache(maxsize=65536)  # a file is read more than once when a run begins
def _executed(source: str) -> str | NoValue:
    tree = ast.parse(source)
    counted = f"{METER}_left[0] = {MAX_STEPS}\n{metered(tree)}" if _repeats(tree) else source
    text = (
        f"_type, _str = type, str\n{counted}\n_said = f'{{_type(_value).__name__}} {{_str(_value):.{MAX_VALUE + 1}}}'"
    )
    found = [_read(execute_program(text, "_said", seed, SECONDS, MAX_MEMORY)) for seed in _SEEDS]
    failures = [each for each in found if isinstance(each, NoValue)]
    if failures or len(set(found)) == 1:
        return (failures or found)[0]
    return NoValue("it has another value each time, as with random numbers or the time of day")


def _repeats(tree: ast.Module) -> bool:
    """Whether anything in it may run more than once, or makes a number large at one stroke: any loop, any range, any
    function that a function calls."""
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    called = {
        node.func.id
        for function in functions
        for node in ast.walk(function)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    return not called.isdisjoint(function.name for function in functions) or any(
        isinstance(node, _REPEATING) or _is_call(node, "range") for node in ast.walk(tree)
    )


def _read(said: str | SandboxFailure) -> str | NoValue:
    """What the guest says of the value: its type and its text."""
    if isinstance(said, SandboxFailure):
        return NoValue(said.reason)
    found = _SAID.fullmatch(said)
    if found is None:
        return NoValue(f"it gives a {said.partition(' ')[0][:40]}, which is no text, number or bool")
    kind, text = found.groups()
    if len(text) > MAX_VALUE:
        return NoValue(f"its value has more than {MAX_VALUE:,} characters")
    value = spelled(float(text)) if kind == "float" else normalised(text)
    if value is None:
        return NoValue(f"it gives {text}")
    if not value or not is_storable(value):
        return NoValue("it gives an empty text, or one that cannot be written down")
    return value
