"""Programs that compute answers: the forms of published datasets, what has no value, and that a file says where."""

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from curriculum.domains.datasets import programs
from curriculum.domains.datasets.domain import DatasetDomain
from curriculum.domains.datasets.programs import NoValue, read_program, spelled, value_of
from curriculum.domains.protocol import Statement
from curriculum.domains.seed_files import DomainError
from curriculum.validation import validate_domain

PAL = '''def solution():
    """Olivia has $23. She bought {n} bagels for $3 each. How much money does she have left?"""
    money_initial = 23
    bagels = {n}
    money_left = money_initial - bagels * 3
    result = money_left
    return result'''
BAGELS = [
    {"input": f"Olivia has $23 and buys {n} bagels for $3. What is left?", "code": PAL.format(n=n)} for n in range(1, 8)
]


def computed(text: str) -> str | NoValue:
    program = read_program(text)
    return program if isinstance(program, NoValue) else value_of(program)


def loaded(folder: Path, rows: Sequence[Mapping[str, Any]], **options: Any) -> DatasetDomain:
    path = folder / "rows.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    return DatasetDomain(str(path), **options)


def problems(domain: DatasetDomain) -> list[Statement]:
    return [*domain.seeds(), *domain.test_sets()["test"]]


@pytest.mark.parametrize(
    ("text", "value", "line"),
    [
        ("3 + 4 * 2", "11", "3 + 4 * 2"),
        ("( 8.0 - 2.0 )", "6", "8.0 - 2.0"),  # SVAMP's equations
        (PAL.format(n=5), "8", None),  # PAL, GSM8K in Python, GSM-Hard
        ("n0 = 40.0\nn1 = 1.5\nanswer = n0 * n1", "60", "n0 = 40.0; n1 = 1.5; answer = n0 * n1"),  # MathQA in Python
        ("a = 3\nprint(a + 1)", "4", "a = 3; a + 1"),  # LILA
        ("ans = 7\nprint(f'The answer is {ans}')", "7", "ans = 7"),
        ("answer = 1\nanswer += 1\n# the end\n", "2", "answer = 1; answer += 1"),
        ("result = 1\nans = 2", "2", "result = 1; ans = 2"),
        ("def solution():\n    x = 2\n    return x * 21\n\nprint(solution())", "42", None),
        ("```python\nimport math\nmath.sqrt(2)\n```", "1.41421356237", "import math; math.sqrt(2)"),
        ("total = 0\nfor i in range(10):\n    total += i\ntotal", "45", None),
        ("def f(n):\n    return 1 if n < 2 else n * f(n - 1)\nanswer = f(20)", "2432902008176640000", None),
        ("'Mon' + 'day'", "Monday", "'Mon' + 'day'"),
        ("3 > 2", "True", "3 > 2"),
        ("0.1 + 0.2", "0.3", "0.1 + 0.2"),
        ("type = 3\nstr = 4\nanswer = type * str", "12", "type = 3; str = 4; answer = type * str"),
    ],
)
def test_the_forms_of_published_datasets(text: str, value: str, line: str | None) -> None:
    program = read_program(text)
    assert not isinstance(program, NoValue) and value_of(program) == value
    if line is not None:
        assert program.in_one_line() == line


def test_a_function_stands_in_one_line_without_its_description() -> None:
    program = read_program(PAL.format(n=5))
    assert not isinstance(program, NoValue)
    line = program.in_one_line()
    assert (
        line is not None
        and line.startswith("def solution(): money_initial = 23; bagels = 5; ")
        and "Olivia" not in line
    )
    again = read_program(line)
    assert not isinstance(again, NoValue) and (value_of(again), again.in_one_line()) == ("8", line)
    loop = read_program("def solution():\n    for i in range(3): pass\n    return i")
    assert not isinstance(loop, NoValue) and loop.in_one_line() is None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("1 / 0", "division by zero"),
        ("x == 3 and", "no Python"),
        ("subtract(5829, 5735), divide(#0, 5735)", "no Python"),  # FinQA's language
        ("x = 3", "gives no value"),
        ("", "gives no value"),
        ("[1, 2]", "gives a list"),
        ("None", "gives a NoneType"),
        ("float('inf')", "gives inf"),
        ("' '", "an empty text"),
        ("'a' * 2000", "more than 1,000 characters"),
        ("import numpy as np\nanswer = 1", "No module named 'numpy'"),
        ("open('/etc/passwd').read()", "Permission"),
        ("import random\nrandom.random()", "another value each time"),
        ("import time\ntime.time()", "another value each time"),
        ("answer = 0\nwhile True: answer += 1", "too many steps"),
        ("sum(range(10 ** 9))", "too many steps"),
        ("10 ** 10 ** 10", "too large"),
        ("[0] * 10 ** 8", "memory limit"),
        ("def f(): return f()\nf()", "Recursion"),
        ("_left = [10 ** 9]\nanswer = 1", "_left"),
        ("1 + " * 2000 + "1", "characters, the limit is"),
        ("-" * 3000 + "1", "nested too deeply"),
        ("(" * 3000, "no Python"),
        ("a\0", "no Python"),
        ("answer = 0x" + "f" * 3600 + " % 7", "an integer of more than 1,000 digits"),
        ("'\ud800'", "no Python"),
    ],
)
def test_what_has_no_value_is_said_in_a_line(text: str, reason: str) -> None:
    value = computed(text)
    assert isinstance(value, NoValue) and reason in value.reason
    assert "\n" not in value.reason and len(value.reason) < 300


def test_the_clock_does_not_decide_what_repeats(monkeypatch: pytest.MonkeyPatch) -> None:
    """With all the time there is, a loop ends at the same place."""
    monkeypatch.setattr(programs, "SECONDS", (4.5,))
    for text in ("n = 0\nwhile n < 10 ** 8: n += 1\nn", "sum([1 for a in range(500) for b in range(500)])"):
        value = computed(text)
        assert isinstance(value, NoValue) and "too many steps" in value.reason


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (18.0, "18"), (-0.0, "0"), (0.1 + 0.2, "0.3"), (1 / 3, "0.333333333333"), (1.5e-7, "0.00000015"),
        (1e15 + 1, "1000000000000001"), (1234567.891, "1234567.891"), (-2.5, "-2.5"), (float("nan"), None),
    ],
)  # fmt: skip
def test_floats_are_spelled_as_answers(value: float, text: str | None) -> None:
    assert spelled(value) == text


def test_a_file_of_programs_has_executed_labels(tmp_path: Path) -> None:
    domain = loaded(tmp_path, BAGELS)
    by_text = {each.text: each for each in problems(domain)}
    assert {each.answer_source for each in by_text.values()} == {"executed"}
    assert [by_text[row["input"]].answer for row in BAGELS] == [str(23 - 3 * n) for n in range(1, 8)]
    assert {each.level for each in by_text.values()} == {2}, "a product and a difference"
    assert [check for check in validate_domain(domain) if not check.passed] == []


def test_a_column_beside_answers_is_executed_where_it_is_named(tmp_path: Path) -> None:
    rows = [row | {"target": float(23 - 3 * n)} for n, row in enumerate(BAGELS, start=1)]
    assert {each.answer_source for each in problems(loaded(tmp_path, rows))} == {"dataset"}
    named = problems(loaded(tmp_path, rows, program_key="code"))
    assert {each.answer_source for each in named} == {"executed"} and {"20", "2"} <= {each.answer for each in named}


def test_a_solution_that_is_a_program_is_no_answer(tmp_path: Path) -> None:
    rows = [{"question": f"{n} + 1?", "solution": f"{n} + 1"} for n in range(1, 7)]
    assert {"2", "7"} <= {each.answer for each in problems(loaded(tmp_path, rows, program_key="solution"))}


def test_the_test_file_may_have_answers_alone(tmp_path: Path) -> None:
    test = tmp_path / "test.jsonl"
    test.write_text('{"question": "Is it 4?", "answer": "4"}')
    domain = loaded(tmp_path, BAGELS, program_key="code", test_path=str(test))
    assert [each.answer_source for each in domain.test_sets()["test"]] == ["dataset"]


@pytest.mark.parametrize(
    ("row", "named", "words"),
    [
        ({"program": "1/0"}, "program", r"rows.jsonl:2: program computes no answer \(.*division by zero\)"),
        ({"code": "3"}, "program", "rows.jsonl:2: it has no 'program'"),
        ({"program": ["3"]}, "program", "rows.jsonl:2: program is .* must be a text"),
        ({"program": "3", "answer": "4"}, "program", "rows.jsonl:2: program gives '3', and answer says '4'"),
        ({"program": "1/3", "answer": 0.33}, "program", "program gives '0.333333333333', and answer says '0.33'"),
        ({"program": "3", "answer": float("inf")}, "program", "program gives '3', and answer says 'inf'"),
        ({"program": "3"}, "nonsense", "domain_options.program_key is 'nonsense': no row"),
        ({"program": "3"}, 3, "domain_options.program_key is 3: it must be a text"),
    ],
)
def test_what_is_wrong_with_a_program_is_one_line(tmp_path: Path, row: dict[str, Any], named: Any, words: str) -> None:
    rows = [{"question": "a?", "program": "3", "answer": "3"}, {"question": "b?"} | row]
    with pytest.raises(DomainError, match=words) as caught:
        loaded(tmp_path, rows, program_key=named)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 500


def test_choices_have_no_programs(tmp_path: Path) -> None:
    rows = [{"question": "a?", "choices": ["2", "3"], "program": "3"}]
    with pytest.raises(DomainError, match=r"rows.jsonl:1: it has choices, which domain_options.program_key=program"):
        loaded(tmp_path, rows)


def test_answers_agree_as_answers_are_compared(tmp_path: Path) -> None:
    rows = [
        {"question": "a?", "program": "1180.0", "answer": "He has <<590+590=1180>>.\n#### 1,180"},
        {"question": "b?", "program": "1 / 2", "answer": "\\boxed{\\frac{1}{2}}"},
        {"question": "c?", "program": "1 / 3", "answer": 1 / 3},
        {"question": "d?", "program": "3", "answer": None},
    ]
    domain = loaded(tmp_path, rows, program_key="program")
    assert {each.answer for each in problems(domain)} == {"1180", "0.5", "0.333333333333", "3"}


def test_no_column_of_answers_or_programs_is_said(tmp_path: Path) -> None:
    with pytest.raises(DomainError, match=r"none of program, code.*say which is the answer"):
        loaded(tmp_path, [{"question": "a?", "foo": 1}])


def test_many_programs_are_executed_in_seconds(tmp_path: Path) -> None:
    """A thousand are; a hundred times slower, ten thousand would take minutes."""
    rows = [{"question": f"What is left of {n}?", "program": PAL.format(n=n)} for n in range(1000)]
    start = time.monotonic()
    domain = loaded(tmp_path, rows)
    assert len(problems(domain)) == 1000 and time.monotonic() - start < 30
