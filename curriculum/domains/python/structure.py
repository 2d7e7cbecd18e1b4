"""What a program is made of: its canonical form, its operations, its size. From the syntax tree alone."""

import ast
from collections.abc import Sequence

from curriculum.domains.python.syntax import Program, bound_names
from curriculum.domains.python.values import Value, type_of

MAX_NAMED = 4  # operations that a family names; more are "many"
_DIGITS, _ITEMS = 1, 4  # of a number and of a sequence that are of no further size

_SIGNS: dict[type[ast.AST], str] = {
    ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.FloorDiv: "//", ast.Mod: "%", ast.Pow: "**",
    ast.LShift: "<<", ast.RShift: ">>", ast.BitAnd: "&", ast.BitOr: "|", ast.BitXor: "^", ast.And: "and", ast.Or: "or",
    ast.Eq: "==", ast.NotEq: "!=", ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.In: "in",
    ast.NotIn: "not in",
}  # fmt: skip
_UNARY: dict[type[ast.AST], str] = {ast.USub: "neg", ast.UAdd: "pos", ast.Invert: "~", ast.Not: "not"}
_WORDS: dict[type[ast.AST], str] = {
    ast.IfExp: "if", ast.If: "if", ast.For: "for", ast.While: "while", ast.comprehension: "for", ast.Lambda: "lambda",
    ast.List: "[]", ast.Tuple: "()", ast.Dict: "{}", ast.Assign: "=",
}  # fmt: skip


def canonical_of(program: Program) -> str:
    """The source with its own names made v0, v1 ..., by first appearance, so that renaming makes no new problem."""
    tree = ast.parse(program.source)
    numbered = dict.fromkeys(bound_names(tree))
    names = {name: f"v{i}" for i, name in enumerate(name for name in numbered if name != "f")} | {"f": "f"}
    for node in ast.walk(tree):
        if isinstance(node, ast.arg):
            node.arg = names[node.arg]
        elif isinstance(node, ast.FunctionDef):
            node.name = names[node.name]
        elif isinstance(node, ast.Name) and node.id in names:
            node.id = names[node.id]
    return ast.unparse(tree)


def without_neutral(program: Program) -> str:
    """The canonical form without + 0, - 0, * 1, // 1, [:] and double negation."""
    tree = _Neutral().visit(ast.parse(canonical_of(program)))
    return ast.unparse(tree)


def without_literals(program: Program) -> str:
    """The canonical form with a c for each number and text: what two programs share that do the same with others."""
    tree = _Literals().visit(ast.parse(canonical_of(program)))
    return ast.unparse(tree)


def applied_text(program: Program, inputs: Sequence[Value]) -> str | None:
    """The expression of a `lambda` with the inputs in the place of its parameters, "3 * 2 + 1"; None of another
    program, and where a name inside hides a parameter."""
    if not program.is_lambda:
        return None
    function = program.tree.body[0].value  # type: ignore[attr-defined]
    bound = [*bound_names(function)]
    if any(bound.count(name) > 1 for name in program.parameters):
        return None
    given = dict(zip(program.parameters, inputs, strict=True))
    body = ast.parse(ast.unparse(function.body), mode="eval")
    return ast.unparse(_Applied(given).visit(body))


def operations_of(program: Program) -> list[str]:
    """Every operation of the program, in the order of the tree: "+", "len", ".upper", "[i]", "for" ..."""
    own = {each.name for each in ast.walk(program.tree) if isinstance(each, ast.FunctionDef)} | {"f"}
    nodes = list(ast.walk(program.tree))
    if program.is_lambda:  # f = lambda ...: is no operation
        nodes = [*ast.walk(program.tree.body[0].value.body)]  # type: ignore[attr-defined]
    found = [_operation(node, own) for node in nodes]
    return [each for each in found if each]


def _operation(node: ast.AST, own: set[str]) -> str:
    """The name of the operation that this node is; empty where it is none."""
    match node:
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant()):
            return ""  # a negative number
        case ast.UnaryOp(op=op):
            return _UNARY[type(op)]
        case ast.Slice(step=step):
            return "[:]" if step is None else "[::]"
        case ast.Subscript(slice=index):
            return "" if isinstance(index, ast.Slice) else "[i]"
        case ast.AugAssign():
            return "="
        case ast.Call(func=ast.Attribute(attr=name)):
            return f".{name}"
        case ast.Call(func=ast.Name(id=name)):
            return "call" if name in own else name
    return _SIGNS.get(type(node)) or _WORDS.get(type(node)) or ""


def family_of(kind: str, program: Program, inputs: Sequence[Value]) -> str:
    """The kind, the types of the arguments and the operations: "deduction:int:* +". Where the longest number of the
    problem has two digits it is "deduction:int2:* +"."""
    operations = sorted(set(operations_of(program)))
    named = " ".join(operations) if len(operations) <= MAX_NAMED else "many"
    own = [node.value for node in ast.walk(program.tree) if isinstance(node, ast.Constant)]
    digits = max((_digits(value) for value in [*own, *inputs]), default=1)
    types = ",".join(type_of(value) for value in inputs)
    return f"{kind}:{types}{digits if digits > 1 else ''}:{named}"


def level_of(program: Program, inputs: Sequence[Value]) -> int:
    """The number of operations, at least 1, plus what is beyond small in the largest number or sequence of the problem:
    the digits beyond the first, and one for each four items or characters beyond four."""
    own = [node.value for node in ast.walk(program.tree) if isinstance(node, ast.Constant)]
    sizes = [size_of(value) for value in [*own, *inputs]]
    return max(1, len(operations_of(program))) + max(sizes, default=0)


def size_of(value: Value) -> int:
    """0 for a digit, and for up to four items or characters."""
    if isinstance(value, str):
        return -(-max(0, len(value) - _ITEMS) // _ITEMS)
    if isinstance(value, list | tuple | dict):
        parts = [*value, *(value.values() if isinstance(value, dict) else ())]
        return -(-max(0, len(value) - _ITEMS) // _ITEMS) + max(map(size_of, parts), default=0)
    return _digits(value) - _DIGITS


def _digits(value: Value) -> int:
    """Of the longest number in it, at least 1."""
    if isinstance(value, list | tuple | dict):
        parts = [*value, *(value.values() if isinstance(value, dict) else ())]
        return max(map(_digits, parts), default=1)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return 1
    return max(1, sum(each.isdigit() for each in repr(value)))


class _Applied(ast.NodeTransformer):
    def __init__(self, given: dict[str, Value]) -> None:
        self._given = given

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return ast.parse(repr(self._given[node.id]), mode="eval").body if node.id in self._given else node


class _Literals(ast.NodeTransformer):
    def visit_Constant(self, node: ast.Constant) -> ast.expr:
        return ast.Name("c", ast.Load())


class _Neutral(ast.NodeTransformer):
    def visit_BinOp(self, node: ast.BinOp) -> ast.expr:
        self.generic_visit(node)
        left, right = _integer(node.left), _integer(node.right)
        match node.op:
            case ast.Add() if left == 0:
                return node.right
            case ast.Mult() if left == 1:
                return node.right
            case ast.Add() | ast.Sub() if right == 0:
                return node.left
            case ast.Mult() | ast.FloorDiv() | ast.Pow() if right == 1:
                return node.left
        return node

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.expr:
        self.generic_visit(node)
        inner = node.operand
        if isinstance(inner, ast.UnaryOp) and isinstance(node.op, ast.USub) and isinstance(inner.op, ast.USub):
            return inner.operand
        return inner if isinstance(node.op, ast.UAdd) else node

    def visit_Subscript(self, node: ast.Subscript) -> ast.expr:
        self.generic_visit(node)
        whole = isinstance(node.slice, ast.Slice) and not (node.slice.lower or node.slice.upper or node.slice.step)
        return node.value if whole else node


def _integer(node: ast.expr) -> int | None:
    return node.value if isinstance(node, ast.Constant) and type(node.value) is int else None
