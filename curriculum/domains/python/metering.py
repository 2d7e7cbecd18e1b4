"""A program with a meter in it: the source that the sandbox executes. Steps and the size of integers are counted in it.

A limit of time depends on what else the machine does, so it must not decide what is a valid problem. Every round of a
loop and every call of a function of the program takes one of MAX_STEPS, and a range takes one for each of its numbers.
Products, powers and shifts of integers are refused beyond MAX_DIGITS and MAX_EXPONENT. With the sandbox's limit of
memory these end what does not end by itself, at the same place on every machine. The meter's names begin with an
underscore, which no program's may.
"""

import ast

MAX_STEPS = 2_000
MAX_DIGITS = 100  # of a factor, a base or what is shifted
MAX_EXPONENT = 256

METER = f"""\
_left = [{MAX_STEPS}]
def _step(n=1):
    _left[0] = _left[0] - n
    if _left[0] < 0:
        raise RuntimeError('too many steps')
    return True
def _range(*bounds):
    found = range(*bounds)
    _step(len(found))
    return found
def _refuse(a, b):
    if isinstance(a, int) and isinstance(b, int) and (abs(a) > 10**{MAX_DIGITS} or abs(b) > 10**{MAX_DIGITS}):
        raise RuntimeError('too large')
def _mul(a, b):
    _refuse(a, b)
    return a * b
def _imul(a, b):
    _refuse(a, b)
    a *= b
    return a
def _pow(a, b):
    _refuse(a, b)
    if isinstance(b, int) and abs(b) > {MAX_EXPONENT}:
        raise RuntimeError('too large')
    return a ** b
def _shl(a, b):
    _refuse(a, b)
    if b > {MAX_EXPONENT}:
        raise RuntimeError('too large')
    return a << b
"""

_FUNCTIONS: dict[type[ast.operator], str] = {ast.Mult: "_mul", ast.Pow: "_pow", ast.LShift: "_shl"}


def metered(tree: ast.Module) -> str:
    """The source of the same program with a meter. METER has to stand in front of it."""
    copy = ast.parse(ast.unparse(tree))
    return ast.unparse(ast.fix_missing_locations(_Meter().visit(copy)))


class _Meter(ast.NodeTransformer):
    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        self.generic_visit(node)
        node.body.insert(0, ast.Expr(_step()))
        return node

    def visit_Lambda(self, node: ast.Lambda) -> ast.Lambda:
        self.generic_visit(node)
        node.body = ast.BoolOp(ast.And(), [_step(), node.body])
        return node

    def visit_While(self, node: ast.While) -> ast.While:
        self.generic_visit(node)
        node.test = ast.BoolOp(ast.And(), [_step(), node.test])
        return node

    def visit_For(self, node: ast.For) -> ast.For:
        self.generic_visit(node)
        node.body.insert(0, ast.Expr(_step()))
        return node

    def visit_comprehension(self, node: ast.comprehension) -> ast.comprehension:
        self.generic_visit(node)
        node.ifs.insert(0, _step())
        return node

    def visit_BinOp(self, node: ast.BinOp) -> ast.expr:
        self.generic_visit(node)
        function = _FUNCTIONS.get(type(node.op))
        return node if function is None else _call(function, node.left, node.right)

    def visit_AugAssign(self, node: ast.AugAssign) -> ast.stmt:
        """`r *= i` of a list changes it in place, which `_imul` does too."""
        self.generic_visit(node)
        function = _FUNCTIONS.get(type(node.op))
        if function is None or not isinstance(node.target, ast.Name):
            return node
        function = "_imul" if function == "_mul" else function
        return ast.Assign([node.target], _call(function, ast.Name(node.target.id, ast.Load()), node.value))

    def visit_Call(self, node: ast.Call) -> ast.Call:
        self.generic_visit(node)
        if isinstance(node.func, ast.Name) and node.func.id == "range":
            node.func.id = "_range"
        return node


def _step() -> ast.expr:
    return _call("_step")


def _call(function: str, *arguments: ast.expr) -> ast.expr:
    return ast.Call(ast.Name(function, ast.Load()), list(arguments), [])
