"""Reading answers out of texts, and comparing them: as text, as numbers, as mathematics in a child that may be
ended."""

import time
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curriculum.answers.comparing import is_same_answer, number_of
from curriculum.answers.forms import judged_by_rule, written
from curriculum.answers.reading import RULES, AnswerRule, read_answer
from store.records import Outcome


@pytest.mark.parametrize(
    ("rule", "text", "answer"),
    [
        ("text", " 7 \n", "7"),
        ("text", "  \n", None),
        ("last_line", "thus\n 7 \n\n", "7"),
        ("boxed", "so \\boxed{\\frac{1}{2}}.", "\\frac{1}{2}"),
        ("boxed", "\\boxed{3}, I repeat \\boxed{3}", "3"),
        ("boxed", "\\boxed{1} or \\boxed{3}", None),
        ("boxed", "\\boxed{3", None),
        ("boxed", "3", None),
        ("boxed", "7 \\boxed{\\text{a }\\{b, \\frac{1}{2}\\}}, not 8", "\\text{a }\\{b, \\frac{1}{2}\\}"),
        ("boxed", "\\boxed{\\boxed{3}}", "\\boxed{3}"),
        ("boxed", "\\boxed{3} and \\boxed{4", None),
        ("boxed", "<think>\\boxed{2}</think>so \\boxed{3}", "3"),
        ("boxed", "\\boxed{3}<think>or \\boxed{3", None),
        ("boxed", "\\boxed{2}</think>\\boxed{3}", "3"),
        ("tag", "<answer> 4 </answer>", "4"),
        ("tag", "<answer>4\n5</answer> or 6", "4\n5"),
        ("tag", "<answer>4", None),
        ("tag", "4</answer>", None),
        ("tag", "<think><answer>3</answer></think><answer>4</answer>", "4"),
        ("last_line", "<think>\n3\n</think>\n4", "4"),
        ("text", "<think>3", None),
        ("tag", "<answer>4</answer><answer>5</answer>", None),
        ("tag", "<answer>4 <answer>4</answer>", None),
        ("hashes", "2 + 2\n#### 4\nmore", "4"),
        ("hashes", "#### 4\n#### 5", None),
        ("last_number", "3 apples, $1,200.50 in all", "$1,200.50"),
        ("last_number", "none", None),
        ("choice", "B", "B"),
        ("choice", "The answer is (C).", "C"),
        ("choice", "B. because", "B"),
        ("choice", "A or the answer is B", None),
        ("choice", "Because", None),
        ("choice", " A", "A"),
        ("choice", "**A**", "A"),
        ("choice", "A or B", None),
        ("choice", "The answer is A or B", None),
        ("choice", "A: no. Answer: B", None),
        ("choice", "A bird sings, so B", None),
        ("last_number", "\u22124", "-4"),
        ("last_number", "x = .4", ".4"),
        ("last_number", "1.4.4", None),
        ("last_number", "1e4", None),
        ("last_number", "5\u00b2", None),
        ("last_number", "3-4", "4"),
        ("text", "\uff13", "3"),
    ],
)
def test_an_answer_is_read_where_it_was_asked_for(rule: AnswerRule, text: str, answer: str | None) -> None:
    assert read_answer(text, rule) == answer


@pytest.mark.parametrize("rule", RULES)
def test_an_answer_in_its_form_is_right_and_another_is_not(rule: AnswerRule) -> None:
    right, wrong = ("B", "C") if rule == "choice" else ("12", "13")
    assert judged_by_rule(right, written(right, rule), rule) == (Outcome.CORRECT, right)
    assert judged_by_rule(right, written(wrong, rule), rule) == (Outcome.INCORRECT, wrong)
    assert judged_by_rule(right, "", rule) == (Outcome.UNPARSED, None)
    assert judged_by_rule("1/2", written("0.5", rule), rule, as_mathematics=False)[0] is (
        Outcome.UNPARSED if rule == "choice" else Outcome.CORRECT
    )


@given(st.text(alphabet="\\boxed{}<answer>/#### ABC123,.\n\u0663\ud800\0", max_size=300), st.sampled_from(RULES))
def test_no_text_makes_reading_raise(text: str, rule: AnswerRule) -> None:
    assert read_answer(text, rule) != ""


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("piece", ["\\boxed{", "\\boxed{1}", "<answer>", "1,", "####\n", "A ", "{", "\n"])
def test_a_long_text_takes_time_by_its_length_alone(rule: AnswerRule, piece: str) -> None:
    def seconds(length: int) -> float:
        started = time.process_time()
        read_answer(piece * (length // len(piece)), rule)
        return time.process_time() - started

    assert seconds(100_000) < 50 * max(seconds(10_000), 0.002)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("1,234", Fraction(1234)), ("$5", Fraction(5)), ("50%", Fraction(50)), ("-0.5", Fraction(-1, 2)),
        ("1/3", Fraction(1, 3)), (".5", Fraction(1, 2)), ("3.", Fraction(3)), ("1/0", None), ("1.5/2", None), ("",
        None), ("12,34", None), ("1e9", None), ("0x10", None), ("\u0663", None), ("nan", None), ("9" * 61, None), ("-",
        None),
    ],
)  # fmt: skip
def test_what_is_a_number(text: str, number: Fraction | None) -> None:
    assert number_of(text) == number


@pytest.mark.parametrize(
    ("said", "right", "same"),
    [
        ("1,234.", "1234", True), ("0.5", "1/2", True), ("0.333333", "1/3", False), ("$x$", "x", True), ("3", "4",
        False), ("paris", "Paris", False), ("5\u00b2", "52", False), ("7 8", "78", False),
        ("two  words", "two words", True), ("3", "three", False),
    ],
)  # fmt: skip
def test_texts_and_numbers_are_compared_exactly(said: str, right: str, same: bool) -> None:
    assert is_same_answer(said, right) is same


@pytest.mark.parametrize(
    ("said", "right", "same"),
    [
        ("\\frac{1}{2}", "0.5", True), ("x+1", "1+x", True), ("\\sqrt{8}", "2\\sqrt{2}", True), ("x+1", "x+2", False),
        ("1 2", "3", False), ("(2)(3)", "5", False), ("2(x+1)", "2x+2", True),
        ("no", "on", False), ("5 cm", "5 m", False), ("3=4", "4", False), ("$3$ $4$", "4", False),
        ("B,A", "A,B", False),
        ("0.333333", "\\frac{1}{3}", False), ("3.14159265358979", "\\pi", False), ("\\neq 4", "4", False),
        ("5^{5^{5^{5^5}}}", "3", False), ("1000000!", "3", False), ("((((((((((((", "3", False), ("", "3", False),
    ],
)  # fmt: skip
def test_expressions_are_compared_as_mathematics(said: str, right: str, same: bool) -> None:
    assert is_same_answer(said, right, as_mathematics=True) is same
