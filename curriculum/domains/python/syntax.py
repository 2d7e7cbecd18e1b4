"""The part of Python that programs are written in, read into a syntax tree. Nothing is executed here.

A program is a function `f`: `f = lambda x: x * 2 + 1`, or some `def`s of which the last is `f`. Allowed are expressions
on numbers, texts, lists, tuples and dicts, comprehensions, `if`, `for`, `while`, a list of built-in functions and a
list of methods. What is on no list is refused: imports, classes, exceptions, `global`, generators, names with a leading
underscore, names that hide a built-in one. A text is looked at before it is parsed, so that Python's parser never sees
one that is long, deep or not ASCII.
"""

import ast
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeGuard

from curriculum.domains.python.values import is_plain
from store.records import Fate

MAX_SOURCE_CHARS = 400
MAX_NODE_DEPTH = 24
MAX_PARAMETERS = 3

FUNCTIONS = frozenset({
    "abs", "all", "any", "bool", "chr", "dict", "divmod", "enumerate", "filter", "float", "int", "isinstance",
    "len", "list", "map", "max", "min", "ord", "range", "reversed", "round", "set", "sorted", "str", "sum",
    "tuple", "zip",
})  # fmt: skip
METHODS = frozenset({
    "append", "capitalize", "center", "clear", "copy", "count", "endswith", "extend", "find", "get", "index",
    "insert", "isalnum", "isalpha", "isdigit", "islower", "isspace", "isupper", "items", "join", "keys",
    "ljust", "lower", "lstrip", "pop", "remove", "replace", "reverse", "rfind", "rindex", "rjust", "rsplit",
    "rstrip", "setdefault", "sort", "split", "startswith", "strip", "swapcase", "title", "update", "upper",
    "values", "zfill",
})  # fmt: skip
KEYWORDS = frozenset({"key", "reverse", "default", "start", "sep", "maxsplit"})
# What gives its items one by one is used where it stands: the sandbox has a list in its place.
_LAZY, _LAZY_METHODS = (
    frozenset({"enumerate", "filter", "map", "reversed", "zip"}),
    frozenset({"items", "keys", "values"}),
)
_TAKERS = _LAZY | frozenset({"all", "any", "dict", "list", "max", "min", "set", "sorted", "sum", "tuple"})
_ORDER_FREE = frozenset({"len", "sorted"})  # what may be asked of a set: its order is an accident

_EXPRESSIONS = (
    *(ast.Constant, ast.Name, ast.BinOp, ast.UnaryOp, ast.BoolOp, ast.Compare, ast.IfExp, ast.Call, ast.Attribute),
    *(ast.Subscript, ast.Slice, ast.List, ast.Tuple, ast.Dict, ast.ListComp, ast.DictComp, ast.GeneratorExp),
    ast.Lambda,
)
_STATEMENTS = (
    *(ast.Return, ast.Assign, ast.AugAssign, ast.If, ast.For, ast.While, ast.Break, ast.Continue, ast.Pass),
    *(ast.Expr, ast.FunctionDef),
)
_PARTS = (ast.arguments, ast.arg, ast.keyword, ast.comprehension, ast.operator, ast.unaryop, ast.boolop, ast.cmpop)
_REST = (ast.expr_context, ast.Module)
_NOT_OPERATORS = (ast.MatMult, ast.Is, ast.IsNot)  # whether two equal numbers are one object is an accident


@dataclass(frozen=True, slots=True)
class Program:
    """`source`: in normal spelling, a `lambda` or `def`s. `tree`: of `source`. `parameters`: those of `f`, in order."""

    source: str
    tree: ast.Module
    parameters: tuple[str, ...]

    @property
    def is_lambda(self) -> bool:
        return isinstance(self.tree.body[0], ast.Assign)


def parsed(text: str, max_chars: int = MAX_SOURCE_CHARS) -> ast.Module | Fate:
    """The syntax tree of any Python text: UNPARSED where it is none, TOO_LARGE where it is long or deep."""
    if len(text) > max_chars:
        return Fate.TOO_LARGE
    if not all(" " <= each <= "~" or each == "\n" for each in text) or "\\" in text:
        return Fate.UNPARSED
    if not _is_shallow(text):
        return Fate.TOO_LARGE
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the parser's remarks on a text that a model wrote
            tree = ast.parse(text)
    except (SyntaxError, ValueError):
        return Fate.UNPARSED
    except (RecursionError, MemoryError):
        return Fate.TOO_LARGE
    return tree if _depth(tree) <= MAX_NODE_DEPTH else Fate.TOO_LARGE


def program_of(statements: list[ast.stmt]) -> Program | Fate:
    """The program that these statements are: UNPARSED where they define no `f`, INVALID where they use what is not
    allowed, TOO_LARGE where a literal is."""
    match statements:
        case [ast.Assign(targets=[ast.Name(id="f")], value=ast.Lambda(args=arguments))]:
            pass
        case [*_, ast.FunctionDef(name="f", args=arguments)] if all(
            isinstance(each, ast.FunctionDef) for each in statements
        ):
            pass
        case _:
            return Fate.UNPARSED
    module = ast.Module(body=statements, type_ignores=[])
    names = [each.arg for each in arguments.args]
    if not 1 <= len(names) <= MAX_PARAMETERS:
        return Fate.INVALID
    fate = _fate_of(module)
    if fate is not None:
        return fate
    source = ast.unparse(module)
    if len(source) > MAX_SOURCE_CHARS:
        return Fate.TOO_LARGE
    return Program(source, ast.parse(source), tuple(names))


def bound_names(tree: ast.AST) -> Iterator[str]:
    """Every name that the tree gives a value to, in the order of the tree, with repetitions."""
    for node in ast.walk(tree):
        if isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.FunctionDef):
            yield node.name
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id


def _is_shallow(text: str) -> bool:
    depth = 0
    for each in text:
        depth += (each in "([{") - (each in ")]}")
        if depth > MAX_NODE_DEPTH:
            return False
    return True


def _depth(tree: ast.AST) -> int:
    """Of the tree, without recursion."""
    deepest, level = 0, [tree]
    while level:
        deepest += 1
        level = [child for node in level for child in ast.iter_child_nodes(node)]
    return deepest


def _fate_of(module: ast.Module) -> Fate | None:
    """INVALID or TOO_LARGE; None for a program that may be executed."""
    bound = frozenset(bound_names(module))
    functions = {each.name for each in module.body if isinstance(each, ast.FunctionDef)}
    if bound & FUNCTIONS or any(name.startswith("_") for name in bound):
        return Fate.INVALID
    top = {id(each) for each in module.body}
    sets = {
        id(node.args[0].func)  # type: ignore[attr-defined]
        for node in ast.walk(module)
        if _asks_a_set(node)
    }
    callables = FUNCTIONS | functions | {"f"}
    methods = {id(node.func) for node in ast.walk(module) if isinstance(node, ast.Call)}
    taken = {id(each) for node in ast.walk(module) for each in _taken(node)}
    fate: Fate | None = None
    for node in ast.walk(module):
        if not isinstance(node, (*_EXPRESSIONS, *_STATEMENTS, *_PARTS, *_REST)) or isinstance(node, _NOT_OPERATORS):
            return Fate.INVALID
        allowed = not _is_lazy(node) or id(node) in taken
        match node:
            case ast.Constant(value=value):
                if type(value) not in (int, float, str, bool, type(None)):
                    return Fate.INVALID
                fate = fate if is_plain(value) else Fate.TOO_LARGE
            case ast.Name(id=name):
                allowed = (
                    name in bound or name in functions or (name in FUNCTIONS and (name != "set" or id(node) in sets))
                )
            case ast.Attribute(attr=name):
                allowed = name in METHODS and id(node) in methods
            case ast.Call(func=ast.Name(id=name), keywords=keywords):
                allowed &= (name in callables or name in bound) and all(each.arg in KEYWORDS for each in keywords)
            case ast.Call(func=ast.Attribute(), keywords=keywords):
                allowed &= all(each.arg in KEYWORDS for each in keywords)
            case ast.Call():
                allowed = False
            case ast.FunctionDef(decorator_list=decorators, returns=returns):
                allowed = id(node) in top and not decorators and returns is None
            case ast.arguments():
                allowed = not (node.posonlyargs or node.kwonlyargs or node.vararg or node.kwarg or node.defaults)
            case ast.arg(annotation=annotation):
                allowed = annotation is None
            case ast.comprehension(is_async=is_async):
                allowed = not is_async
            case ast.Assign(targets=targets):
                allowed = len(targets) == 1 and _is_target(targets[0])
            case ast.AugAssign(target=target):
                allowed = isinstance(target, ast.Name)
            case ast.For(target=target, orelse=rest):
                allowed = _is_target(target) and not rest
            case ast.While(orelse=rest):
                allowed = not rest
            case ast.Expr(value=value):
                allowed = isinstance(value, ast.Call) and isinstance(value.func, ast.Attribute)
        if not allowed:
            return Fate.INVALID
    return fate


def _is_target(node: ast.expr) -> bool:
    match node:
        case ast.Name():
            return True
        case ast.Subscript(value=ast.Name(), slice=index):
            return not isinstance(index, ast.Slice)
        case ast.Tuple(elts=parts):
            return all(isinstance(each, ast.Name) for each in parts)
    return False


def _is_lazy(node: ast.AST) -> bool:
    """Whether it gives its items one by one."""
    match node:
        case ast.GeneratorExp():
            return True
        case ast.Call(func=ast.Name(id=name)):
            return name in _LAZY
        case ast.Call(func=ast.Attribute(attr=name)):
            return name in _LAZY_METHODS
    return False


def _taken(node: ast.AST) -> list[ast.expr]:
    """The expressions of which this node takes all items, there and then."""
    match node:
        case ast.Call(func=ast.Name(id=name), args=arguments) if name in _TAKERS:
            return arguments
        case ast.Call(func=ast.Attribute(attr="join" | "extend"), args=arguments):
            return arguments
        case ast.For(iter=items) | ast.comprehension(iter=items):
            return [items]
    return []


def _asks_a_set(node: ast.AST) -> TypeGuard[ast.Call]:
    """Whether it is len(set(...)) or sorted(set(...))."""
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in _ORDER_FREE
        and not node.keywords
        and len(node.args) == 1
        and isinstance(node.args[0], ast.Call)
        and isinstance(node.args[0].func, ast.Name)
        and node.args[0].func.id == "set"
    )
