"""Programs as problems: what is read and refused, executed labels, judging by execution, structure, drawing."""

import random

import pytest

from curriculum.domains.loading import load_domain
from curriculum.domains.protocol import Statement, problem_of
from curriculum.domains.python.domain import PythonDomain
from curriculum.domains.python.execution import outputs_of
from curriculum.domains.python.structure import family_of, level_of
from curriculum.domains.python.tasks import KINDS, Task, inputs_of, read_task
from curriculum.domains.python.values import is_same, read_value, spelled
from curriculum.domains.seed_files import DomainError
from curriculum.validation import validate_domain
from store.records import Fate, Origin, Outcome, Problem

DOMAIN = PythonDomain()
RIGHT, WRONG, NONE = Outcome.CORRECT, Outcome.INCORRECT, Outcome.UNPARSED


def _stated(text: str, domain: PythonDomain = DOMAIN) -> Statement:
    statement = domain.parse(text)
    assert isinstance(statement, Statement), (text, statement)
    return statement


def _problem(text: str) -> Problem:
    return problem_of(_stated(text), DOMAIN.name, Origin.SEED)


@pytest.mark.parametrize("kinds", [KINDS, ["deduction"]])
def test_validates(kinds: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("curriculum.domains.python.domain.SET_SIZE", 20)
    domain = load_domain("python", {"kinds": list(kinds)})
    assert [check for check in validate_domain(domain) if not check.passed] == []


@pytest.mark.parametrize(
    ("text", "normal", "question", "answer"),
    [
        ("f=lambda y:y*2+1 ;f( 3 )", "f = lambda y: y * 2 + 1; f(3)", "f = lambda y: y * 2 + 1; f(3) ==", "7"),
        ("f(x) = x[::-1]; f('abc')", "f = lambda x: x[::-1]; f('abc')", "f = lambda x: x[::-1]; f('abc') ==", "'cba'"),
        (
            "f = lambda x: x + 5; f(?) == f(2)",
            "f = lambda x: x + 5; f(?) == f(2)",
            "f = lambda x: x + 5; f(?) == 7; ? =",
            "2",
        ),
        (
            "f = ?; lambda x: x + 3; f(1), f(4), f(6), f(8)",
            "f = ?; lambda x: x + 3; f(1), f(4), f(6), f(8)",
            "f(1) == 4; f(4) == 7; f =",
            "lambda x: x + 3",
        ),
        (
            "def f(n):\n  t = 0\n  for i in range(n):\n    t += i\n  return t\nf(4)",
            "def f(n):\n    t = 0\n    for i in range(n):\n        t += i\n    return t\nf(4)",
            "def f(n):\n    t = 0\n    for i in range(n):\n        t += i\n    return t\nf(4) ==",
            "6",
        ),
    ],
)
def test_a_proposal_in_normal_spelling_its_question_and_its_executed_answer(
    text: str, normal: str, question: str, answer: str
) -> None:
    problem = _problem(text)
    assert (problem.text, DOMAIN.question(problem), problem.answer) == (normal, question, answer)
    assert problem.answer_source == "executed"
    assert _problem(normal) == problem


@pytest.mark.parametrize(
    ("text", "fate"),
    [
        ("", Fate.UNPARSED),
        ("f = lambda x: x + 1", Fate.UNPARSED),  # no call
        ("f = lambda x: x + 1; f(y)", Fate.UNPARSED),
        ("f = lambda x: x + 1; f(1 + 1)", Fate.UNPARSED),
        ("f = lambda x: x + 1; g(1)", Fate.UNPARSED),
        ("f = lambda x: x +; f(1)", Fate.UNPARSED),
        ("f = lambda x: x + '\u0663'; f('a')", Fate.UNPARSED),
        ("f = lambda x: x + 1; f(1, 2)", Fate.INVALID),
        ("f = lambda x: x + y; f(1)", Fate.INVALID),
        ("f = lambda x: x; f(1)", Fate.INVALID),  # gives its input back
        ("f = lambda x: x + 0; f(1)", Fate.INVALID),
        ("f = lambda x: sorted(x); f([1, 2])", Fate.INVALID),  # its input is the answer
        ("f = lambda x: 7; f(1)", Fate.INVALID),  # ignores its input
        ("f = lambda x: x * 0; f(3)", Fate.INVALID),
        ("f = lambda x, y: x + 1; f(1, 2)", Fate.INVALID),  # ignores one of two
        ("f = lambda x: x / 0; f(1)", Fate.INVALID),
        ("f = lambda x: x + 'a'; f(1)", Fate.INVALID),
        ("f = lambda x: x.upper(); f(?) == f('ab')", Fate.INVALID),  # what is shown is an answer
        ("f = ?; lambda x: x + 1; f(1), f(2), f(3)", Fate.INVALID),  # nothing to hide
        ("f = ?; lambda x: x + 1; f(1), f(1), f(2), f(3)", Fate.INVALID),
        ("f = ?; lambda x: x // 9; f(1), f(2), f(3), f(4), f(5), f(10)", Fate.INVALID),  # 0 says nearly all
        ("f = lambda x: x * 9999; f(9999)", Fate.TOO_LARGE),
        ("f = lambda x: x + 1; f(99999)", Fate.TOO_LARGE),
        ("f = lambda x: x * 40; f('abc')", Fate.INVALID),  # 120 characters are no value
        ("f = lambda x: x * 20; f('abc')", Fate.TOO_LARGE),
        ("f = lambda x: " + "x + " * 9 + "x; f(1)", Fate.TOO_LARGE),
        ("f = lambda x: x + 1; f(1)" + " " * 5 + "#" + "a" * 9000, Fate.TOO_LARGE),
    ],
)
def test_what_is_no_problem(text: str, fate: Fate) -> None:
    assert DOMAIN.parse(text) is fate


@pytest.mark.parametrize(
    ("text", "answer", "outcome"),
    [
        ("f = lambda x: x * 2; f(3)", " 6", RIGHT),
        ("f = lambda x: x * 2; f(3)", "6.0", WRONG),
        ("f = lambda x: x * 2; f(3)", "3 * 2", NONE),
        ("f = lambda x: x * 2; f(3)", "\uff16", NONE),
        ("f = lambda x: x * 2; f(3)", "6, 6", NONE),
        ("f = lambda x: x > 2; f(3)", "True", RIGHT),
        ("f = lambda x: x > 2; f(3)", "1", WRONG),
        ("f = lambda x: x[::-1]; f('dog')", '"god"', RIGHT),
        ("f = lambda x: x[::-1]; f('dog')", "god", NONE),
        ("f = lambda x: [i + 1 for i in x]; f([1, 2])", "[2, 3]", RIGHT),
        ("f = lambda x: [i + 1 for i in x]; f([1, 2])", "(2, 3)", WRONG),
        ("f = lambda x: [i + 1 for i in x]; f([1, 2])", "[2, True]", WRONG),
        ("f = lambda x: {x: 1}; f('a')", "{'a': 1}", RIGHT),
        ("f = lambda x: x // 3; f(?) == f(7)", "8", RIGHT),  # any input that gives 2
        ("f = lambda x: x // 3; f(?) == f(7)", "9", WRONG),
        ("f = lambda x: x // 3; f(?) == f(7)", "7.0", WRONG),  # gives 2.0
        ("f = lambda x: x // 3; f(?) == f(7)", "'a'", WRONG),  # fails
        ("f = lambda x: x // 3; f(?) == f(7)", "7)) or (True", NONE),
        ("f = lambda x, y: x - y; f(?) == f(4, 1)", "9, 6", RIGHT),
        ("f = lambda x, y: x - y; f(?) == f(4, 1)", "3", WRONG),
        ("f = ?; lambda x: x * 2; f(1), f(2), f(5), f(7)", "lambda n: n + n", RIGHT),
        ("f = ?; lambda x: x * 2; f(1), f(2), f(5), f(7)", "f = lambda n: 2 * n", RIGHT),
        ("f = ?; lambda x: x * 2; f(1), f(2), f(5), f(7)", "def f(n): return n + n", RIGHT),
        ("f = ?; lambda x: x * 2; f(1), f(2), f(5), f(7)", "lambda x: {1: 2, 2: 4}[x]", WRONG),  # what is shown only
        ("f = ?; lambda x: x * 2; f(1), f(2), f(5), f(7)", "lambda x: x * 2.0", WRONG),
        ("f = ?; lambda x: x * 2; f(1), f(2), f(5), f(7)", "x * 2", NONE),
        ("f = ?; lambda x: x * 2; f(1), f(2), f(5), f(7)", "lambda x: open(x)", NONE),
    ],
)
def test_answers_are_judged_by_execution_and_by_type(text: str, answer: str, outcome: Outcome) -> None:
    assert DOMAIN.judge(_problem(text), answer)[0] is outcome


def test_hidden_examples_are_not_asked() -> None:
    question = DOMAIN.question(_problem("f = ?; lambda x: x * 2; f(1), f(2), f(5), f(7)"))
    assert "f(2)" in question and "f(5)" not in question and "* 2" not in question


@pytest.mark.parametrize(
    ("text", "answer", "seen"),
    [
        ("f = lambda x: x * 2; f(3)", "5", "too low"),
        ("f = lambda x: x * 2; f(3)", "'5'", "another type"),
        ("f = lambda x: x[0]; f('ab')", "'b'", "another value"),
        ("f = lambda x: x[0]; f('ab')", "b", "no value"),
        ("f = lambda x: x + 5; f(?) == f(2)", "3", "f(3) == 8"),
        ("f = lambda x: x + 5; f(?) == f(2)", "'a'", "f('a') TypeError"),
        ("f = ?; lambda x: x * 2; f(1), f(2), f(5), f(7)", "lambda x: x + 1", "f(2) == 3"),
        ("f = ?; lambda x: x * 2; f(1), f(2), f(5), f(7)", "lambda x: {1: 2, 2: 4}[x]", "as shown"),
    ],
)
def test_observations(text: str, answer: str, seen: str) -> None:
    assert DOMAIN.observation(_problem(text), answer) == seen


def test_renaming_makes_no_new_problem_and_another_program_does() -> None:
    first = _stated("f = lambda x: [i * x for i in [1, 2]]; f(3)")
    assert _stated("f = lambda n: [k * n for k in [1, 2]]; f(3)").canonical == first.canonical
    assert _stated("f = lambda n: [n * k for k in [1, 2]]; f(3)").canonical != first.canonical
    assert _stated("f = lambda x: [i * x for i in [1, 2]]; f(?) == f(3)").canonical != first.canonical


@pytest.mark.parametrize(
    ("child", "is_trivial"),
    [
        ("f = lambda y: y * 2 + 1; f(3)", True),
        ("f = lambda x: (x + 0) * 2 + 1 * 1; f(3)", True),
        ("f = lambda x: x * 2 + 1; f(4)", False),
        ("f = lambda x: x * 2 + 2; f(3)", False),
    ],
)
def test_trivial_edits(child: str, is_trivial: bool) -> None:
    assert DOMAIN.is_trivial_edit(_problem("f = lambda x: x * 2 + 1; f(3)"), _stated(child)) is is_trivial


@pytest.mark.parametrize(
    ("text", "family", "level"),
    [
        ("f = lambda x: x * 2 + 1; f(3)", "deduction:int:* +", 2),
        ("f = lambda x: x + 12; f(3)", "deduction:int2:+", 2),
        ("f = lambda x: x + -1; f(3)", "deduction:int:+", 1),
        ("f = lambda x: x[::-1]; f('abcdefghi')", "deduction:str:[::]", 3),
        ("f = lambda x: sum([i * i for i in x]); f([1, 2])", "deduction:list of int:* for sum", 3),
        ("f = lambda x, y: x + y; f(?) == f(1, 'a')", "abduction:int,str:+", 1),
    ],
)
def test_family_and_level_are_the_programs_structure(text: str, family: str, level: int) -> None:
    task = read_task(text)
    assert isinstance(task, Task)
    assert (family_of(task.kind, task.program, task.calls[0]), level_of(task.program, [*inputs_of(task)])) == (
        family,
        level,
    )


@pytest.mark.parametrize("level", [1, 2, 3, 4])
def test_drawn_problems_are_what_python_says(level: int) -> None:
    """The sandbox is an interpreter of its own. The texts are ours, so that Python itself may run them here."""
    domain = PythonDomain(kinds=["deduction"])
    rng = random.Random(level)
    for drawn in (domain.draw(rng, level) for _ in range(40)):
        program, call = drawn.text.removeprefix("f = ").rsplit("; f", 1)
        assert spelled(eval(f"({program}){call}")) == drawn.answer
        assert drawn.level == level


@pytest.mark.parametrize(
    "program",
    [
        "lambda x: [i for i in range(x) if i % 2 and i > 1]",
        "lambda x: {str(i): i ** 2 for i in range(x)}",
        "lambda x: ' '.join([w.capitalize() for w in ('ab cd ' * x).split()])",
        "lambda x: sorted([3, x, 1], key=lambda i: -i)[1:]",
        "lambda x: [(a, b) for a, b in zip(range(x), 'abc')]",
        "lambda x: -x // 2 if x % 3 else round(x / 4, 2)",
        "lambda x: 'odd' if x & 1 else 'even' * (x >> 1)",
        "lambda x: len(set([x, 4, 4])) + max([x, 2], default=0)",
        "lambda x: any([i > 3 for i in range(x)]) or not x",
        "lambda x: divmod(x * 7, 4)",
    ],
)
@pytest.mark.parametrize("x", [1, 4, 6])
def test_the_meter_changes_no_value(program: str, x: int) -> None:
    task = read_task(f"f = {program}; f({x})")
    assert isinstance(task, Task)
    assert is_same(outputs_of(task.program, task.calls)[0], eval(f"({program})({x})"))


@pytest.mark.parametrize(
    ("a", "b"), [(1, True), (1, 1.0), (0.0, -0.0), ([1], (1,)), ("1", 1), ({"a": 1}, {"a": True}), (None, False)]
)
def test_values_of_different_types_differ(a: object, b: object) -> None:
    assert not is_same(a, b) and is_same(a, a) and is_same(read_value(spelled(b)), b)


@pytest.mark.parametrize(
    "options",
    [{"kinds": []}, {"kinds": "deduction"}, {"kinds": ["induct"]}, {"types": ["set"]}, {"max_level": 0},
     {"max_digits": True}, {"max_output": 1000},
     {"worked": 1}],
)  # fmt: skip
def test_options_that_will_not_do_are_one_line(options: dict[str, object]) -> None:
    with pytest.raises(DomainError, match=f"domain_options.{next(iter(options))} is"):
        load_domain("python", options)


@pytest.mark.parametrize(
    ("answer", "plain", "worked"),
    [
        ("7", RIGHT, RIGHT),
        (" 3 * 2 + 1 == 7", NONE, RIGHT),
        ("3 * 2 + 1 == 6 + 1 == 7", NONE, RIGHT),
        ("7 == 8", NONE, WRONG),  # the last part is the answer
        ("7 == ", NONE, NONE),
        ("7 == 7 or True", NONE, NONE),
    ],
)
def test_an_output_may_be_worked_out_where_that_is_asked_for(answer: str, plain: Outcome, worked: Outcome) -> None:
    problem = _problem("f = lambda x: x * 2 + 1; f(3)")
    assert DOMAIN.judge(problem, answer)[0] is plain
    assert PythonDomain(worked=True).judge(problem, answer)[0] is worked


def test_examples_are_worked_out_as_they_are_to_be_answered() -> None:
    examples = dict(PythonDomain(kinds=["deduction"], worked=True).solver_examples)
    assert examples["x = 6; x * 2 + 1 =="] == "6 * 2 + 1 == 13"
    assert examples["x = 'dog'; x[::-1] =="] == "'dog'[::-1] == 'god'"
    assert PythonDomain(worked=True).question(_problem("f = lambda x, y: x - y; f(4, 1)")) == "x, y = 4, 1; x - y =="


def test_only_the_kinds_that_are_asked_for_are_read() -> None:
    domain = PythonDomain(kinds=["deduction"])
    assert domain.parse("f = lambda x: x + 5; f(?) == f(2)") is Fate.UNPARSED
    assert {each.family.split(":")[0] for each in domain.seeds()} == {"deduction"}
