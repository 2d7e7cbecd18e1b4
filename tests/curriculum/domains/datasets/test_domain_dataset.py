"""A JSONL file as a domain: published forms as they come, and a line that names file and line for whatever is wrong."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from curriculum.domains.abilities import ability
from curriculum.domains.datasets.domain import DatasetDomain
from curriculum.domains.protocol import Drawable, Evaluated, Stepwise, problem_of
from curriculum.domains.seed_files import DomainError
from curriculum.holdout import HeldOut
from curriculum.validation import validate_domain
from store.records import Origin, Outcome

GSM8K = [
    {
        "question": f"Tom has {i} pens and buys {i}.\nHow many?",
        "answer": f"He has {i}+{i}=<<{i}+{i}={2 * i}>>{2 * i}.\n#### {2 * i:,}",
    }
    for i in range(590, 620)
]
MATH = [
    {
        "problem": f"Simplify $\\sqrt{{{4 * i}}}$.",
        "solution": f"It is $\\boxed{{2\\sqrt{{{i}}}}}$.",
        "level": "Level 3",
        "type": "Algebra",
    }
    for i in (2, 3, 5, 6, 7)
]
CHOICES = [{"question": f"Which is {i}?", "choices": ["zero", "one", "two"], "answer": i % 3} for i in range(9)]


def written(folder: Path, rows: Sequence[Mapping[str, Any]]) -> str:
    path = folder / "rows.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    return str(path)


def verdict(domain: DatasetDomain, text: str) -> Outcome:
    return domain.judge(problem_of(domain.seeds()[0], domain.name, Origin.SEED), text)[0]


def test_gsm8k_as_it_is_published(tmp_path: Path) -> None:
    domain = DatasetDomain(written(tmp_path, GSM8K), examples=2)
    assert (len(domain.seeds()), len(domain.test_sets()["test"])) == (22, 6)
    assert domain.solver_examples[0] == ("Question: Tom has 590 pens and buys 590.\nHow many?\nAnswer:", "1,180")
    answer = domain.seeds()[0].answer
    assert verdict(domain, f"first 3, then {answer.replace(',', '')}") is Outcome.CORRECT
    assert verdict(domain, "7") is Outcome.INCORRECT
    assert verdict(domain, "many") is Outcome.UNPARSED


def test_math_as_it_is_published(tmp_path: Path) -> None:
    domain = DatasetDomain(written(tmp_path, MATH), answer_rule="boxed")
    first = domain.seeds()[0]
    assert (first.family, first.level, first.answer[:6]) == ("Algebra", 3, "2\\sqrt")
    assert verdict(domain, f"so \\boxed{{{first.answer}}}") is Outcome.CORRECT
    assert verdict(domain, f"so {first.answer}") is Outcome.UNPARSED


def test_multiple_choice_is_answered_by_a_letter(tmp_path: Path) -> None:
    domain = DatasetDomain(written(tmp_path, CHOICES))
    by_text = {each.text: each.answer for each in (*domain.seeds(), *domain.test_sets()["test"])}
    assert by_text["Which is 1?\nA. zero\nB. one\nC. two"] == "B"
    assert verdict(domain, f"The answer is ({domain.seeds()[0].answer}).") is Outcome.CORRECT


def test_a_test_file_is_held_out_whole_and_not_trained_on(tmp_path: Path) -> None:
    test = tmp_path / "test.jsonl"
    test.write_text(json.dumps(GSM8K[0]))
    domain = DatasetDomain(written(tmp_path, GSM8K), test_path=str(test))
    held_out = HeldOut(domain, "selfplay-1")
    assert [len(members) for members in held_out.sets.values()] == [1]
    assert len(domain.seeds()) == 29 and not any(held_out.contains(seed.canonical) for seed in domain.seeds())


def test_the_share_that_is_held_out_does_not_depend_on_the_order_of_rows(tmp_path: Path) -> None:
    one = {each.text for each in DatasetDomain(written(tmp_path, GSM8K)).test_sets()["test"]}
    other = {each.text for each in DatasetDomain(written(tmp_path, GSM8K[::-1])).test_sets()["test"]}
    assert one == other


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b'{"question": "a", "answer": "1"}\n{"question": "b', "rows.jsonl:2: not JSON"),
        ('{"question": "\xe4", "answer": "1"}'.encode("latin-1"), "rows.jsonl:1: not UTF-8"),
        (b'{"question": "a", "answer": "1"}\n{"question": "b"}', "rows.jsonl:2: it has no 'answer'"),
        (b'{"question": " ", "answer": "1"}', "rows.jsonl:1: question is empty"),
        (b'{"question": "%s", "answer": "1"}' % (b"a" * 10_000_000), "rows.jsonl:1: a row has at most 1 MB"),
        (b'{"question": "%s", "answer": "1"}' % (b"a" * 50_000), "rows.jsonl:1: question has 50,000 characters"),
        (b'{"question": "a", "answer": "1"}\n{"question": "a ", "answer": "2"}', "rows.jsonl:2: the same question as"),
        (b'{"foo": 1}', "question_key="),
        (b'{"problem": "a", "solution": "\\\\boxed{1"}', "solution has no answer that can be read"),
        (b'{"question": "a", "choices": ["x", "y"], "answer": "C"}', "names none of the choices"),
        (b'{"question": "a", "choices": "x", "answer": "x"}', "must be a list of 2 to 26 texts"),
        (b'{"question": "a", "choices": ["x", "\\ud800"], "answer": "A"}', "rows.jsonl:1: choices is no text"),
        (b'{"question": "a", "choices": ["x", "\\u0000"], "answer": "A"}', "rows.jsonl:1: choices holds a NUL"),
        (b'{"question": "a", "choices": ["x", null], "answer": "A"}', "a choice is a text or a number"),
        (
            b'{"question": "a", "choices": ["x", "%s"], "answer": "A"}' % (b"y" * 30_000),
            "choices has 30,010 characters",
        ),
        (b'{"question": "a", "choices": [1, 2, 3], "answer": 1}', "answer is 1, which is one of the choices, and the"),
        (b'{"question": "\\ud800", "answer": "1"}', "no text in Unicode"),
        (b'{"question": "a", "answer": [1]}', "must be a text or a number"),
        (b'{"question": "a", "answer": NaN}', "rows.jsonl:1: answer is nan, and must be .* a finite number"),
        (b'{"question": "a", "answer": "1", "family": "\\ud800"}', "rows.jsonl:1: family is no text"),
        ('{"question": "a", "answer": "1"}'.encode("utf-16-be"), "rows.jsonl:1: not UTF-8"),
        (
            b'{"question": "a", "answer": "1"}\n{"question": "b", "answer": "%s"}' % (b"9" * 6000),
            "rows.jsonl:2: domain_options.answer_rule=text reads",
        ),
        (b"[1]", "a row is an object"),
        (b"\n\n", "has no rows"),
        (b'{"question": "a", "answer": "1"}', "nothing is left to practise"),
    ],
)
def test_what_is_wrong_with_a_file_is_one_line_that_names_it(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(content)
    with pytest.raises(DomainError, match=words) as caught:
        DatasetDomain(str(path))
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 500


def test_what_a_domain_cannot_do_is_asked_for_by_name(tmp_path: Path) -> None:
    domain = DatasetDomain(written(tmp_path, GSM8K))
    assert ability(domain, Stepwise).step_ends == ()
    assert ability(domain, Evaluated).evaluation_sets() == {} and ability(domain, Evaluated).test_sets()
    with pytest.raises(DomainError, match=r"needs a domain with levels and draw\(rng, level\), which .* lacks: "):
        ability(domain, Drawable, "challenger.source=procedural")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"examples": "abc"}, "must be an integer"),
        ({"examples": True}, "must be an integer"),
        ({"examples": 30}, "from 0 to 29"),
        ({"test_share": "x"}, "a number above 0, at most 1"),
        ({"stop": ""}, "must be a text that ends a completion"),
        ({"stop": 3}, "must be a text"),
        ({"stop": ["END", ""]}, "a list of such texts"),
        ({"path": 3}, "must be a text"),
        ({"path": "a\0b"}, "domain_options.path: .* cannot be read"),
        ({"path": "/dev/null"}, "is no file but a pipe or a device"),
        ({"test_share": [1]}, "a number above 0, at most 1"),
        ({"family_key": "nonsense"}, "domain_options.family_key is 'nonsense': no row"),
        ({"answer_rule": "nonsense"}, "must be one of text, last_line"),
        ({"answer_rule": "choice"}, "choose another rule"),
        ({"worked": "yes"}, "domain_options.worked is 'yes': it must be true or false"),
        (
            {"worked": True, "examples": 2, "answer_rule": "boxed"},
            r"rows.jsonl:1: .*=boxed reads None of the whole",
        ),
    ],
)
def test_an_option_that_will_not_do_is_one_line(tmp_path: Path, options: dict[str, Any], words: str) -> None:
    with pytest.raises(DomainError, match=words):
        DatasetDomain(**({"path": written(tmp_path, GSM8K)} | options))


@pytest.mark.parametrize(
    ("rule", "shown"), [("boxed", "\\boxed{1,180}"), ("tag", "<answer>1,180</answer>"), ("hashes", "#### 1,180")]
)
def test_examples_show_the_form_that_is_asked_for(tmp_path: Path, rule: str, shown: str) -> None:
    domain = DatasetDomain(written(tmp_path, GSM8K), examples=1, answer_rule=rule)
    assert domain.solver_examples[0][1] == shown
    assert verdict(domain, f" {domain.written(domain.seeds()[0].answer)}") is Outcome.CORRECT


def test_examples_may_show_the_whole_answer(tmp_path: Path) -> None:
    rows = [{"question": f"{n} + 1?", "answer": f"{n} + 1 = <<{n}+1={n + 1}>>{n + 1}\n#### {n + 1}"} for n in range(9)]
    path = written(tmp_path, rows)
    for stop, shown in (("\n", "0 + 1 = 1 #### 1"), ("\n\n", "0 + 1 = 1\n#### 1")):
        domain = DatasetDomain(path, examples=1, worked=True, stop=stop)
        assert domain.solver_examples[0][1] == shown
        assert verdict(domain, domain.solver_examples[0][1].replace("1", domain.seeds()[0].answer)) is Outcome.CORRECT


def test_decimals_without_a_zero_are_right_as_they_are_written(tmp_path: Path) -> None:
    domain = DatasetDomain(written(tmp_path, [{"question": f"q{i}?", "answer": f".{i}"} for i in range(1, 9)]))
    assert verdict(domain, f"so {domain.seeds()[0].answer}") is Outcome.CORRECT


@pytest.mark.parametrize("rule", ["", "boxed", "tag", "hashes"])
def test_a_dataset_passes_every_check(tmp_path: Path, rule: str) -> None:
    domain = DatasetDomain(written(tmp_path, GSM8K), answer_rule=rule, examples=1)
    assert [check for check in validate_domain(domain) if not check.passed] == []


def test_choices_may_begin_in_a_later_row(tmp_path: Path) -> None:
    rows = [{"question": "2 + 2?", "answer": "4"}, *CHOICES[:4]]
    domain = DatasetDomain(written(tmp_path, rows))
    texts = {each.text for each in [*domain.seeds(), *domain.test_sets()["test"]]}
    assert "Which is 0?\nA. zero\nB. one\nC. two" in texts and "2 + 2?" in texts


def test_a_worked_example_that_is_a_test_row_too_is_said_by_the_held_out_set(tmp_path: Path) -> None:
    test = tmp_path / "test.jsonl"
    test.write_text(json.dumps(GSM8K[0]))
    domain = DatasetDomain(written(tmp_path, GSM8K), test_path=str(test), examples=2, worked=True)
    with pytest.raises(DomainError, match="are seeds or shown examples"):
        HeldOut(domain, "selfplay-1")


def test_choices_have_the_labels_of_the_file(tmp_path: Path) -> None:
    """ARC's form."""
    rows = [
        {"question": f"{i}?", "choices": {"text": ["x", "y"], "label": ["1", "2"]}, "answerKey": "2"} for i in range(5)
    ]
    assert {each.answer for each in DatasetDomain(written(tmp_path, rows)).seeds()} == {"B"}
