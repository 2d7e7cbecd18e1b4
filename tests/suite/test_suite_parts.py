"""Votes, pairs and files of per-problem outcomes, by hand."""

import importlib.util
import json
from pathlib import Path

import pytest

from curriculum.answers.comparing import is_same_answer
from selfplay.machine.errors import Refused
from selfplay.stats.pass_at_k import share_of
from selfplay.suite.comparing import compared
from selfplay.suite.measuring import majority_is_right
from selfplay.suite.outcomes_file import check_path, rows, write
from selfplay.suite.records import ModelReport, ProblemOutcome, Report, SaidTurn, SetReport
from store.records import Outcome

RIGHT, WRONG, UNREAD = Outcome.CORRECT, Outcome.INCORRECT, Outcome.UNPARSED


def turns(*said: tuple[str | None, Outcome]) -> tuple[SaidTurn, ...]:
    return tuple(SaidTurn(f" {answer}\n", answer, outcome) for answer, outcome in said)


@pytest.mark.parametrize(
    ("said", "is_right"),
    [
        ([("8", WRONG), ("7", RIGHT), ("7.0", RIGHT), ("9", WRONG)], True),
        ([("8", WRONG), ("7", RIGHT), ("8", WRONG)], False),
        ([("8", WRONG), ("7", RIGHT)], False),
        ([("7", RIGHT), ("8", WRONG)], True),
        ([(None, UNREAD), (None, UNREAD), ("7", RIGHT)], True),
        ([(None, UNREAD)], False),
    ],
)
def test_the_majority(said: list[tuple[str | None, Outcome]], is_right: bool) -> None:
    """Equal numbers are one answer; of answers given as often the first counts; what was not read has no vote."""
    assert majority_is_right(turns(*said), is_same_answer) is is_right


def report_of(model: str, *problems: ProblemOutcome) -> ModelReport:
    return ModelReport(
        model, 0, (SetReport("mine", len(problems), share_of(0, len(problems)), 1.0, problems=problems),)
    )


def problem(name: str, first: Outcome, search_tokens: float | None = None) -> ProblemOutcome:
    said = turns(("1", first))
    return ProblemOutcome(name, "1 x 1", "d*d", 1, "1", said, search_tokens=search_tokens, best_of_tokens=search_tokens)


def test_pairs_are_counted_by_hand() -> None:
    first = [RIGHT, RIGHT, WRONG, RIGHT, WRONG]
    second = [RIGHT, WRONG, RIGHT, WRONG, WRONG]
    reports = [
        report_of(name, *(problem(f"p{i}", each) for i, each in enumerate(outcomes)))
        for name, outcomes in (("a", first), ("b", second))
    ]
    [found] = compared(*reports)
    assert (found.both, found.only_first, found.only_second, found.neither) == (1, 2, 1, 1)
    assert found.difference.value == pytest.approx(1 / 5) and found.p_value == 1.0
    with pytest.raises(ValueError, match="different problems"):
        list(compared(reports[0], report_of("b", problem("other", RIGHT))))


def test_outcomes_are_written_as_lines(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    write(Report(report_of("a", problem("p", RIGHT, float("inf")), problem("q", WRONG, 12.0))), path)
    one, two = (json.loads(line) for line in path.read_text().splitlines())
    assert (one["search_tokens"], two["search_tokens"], two["turns"][0]["outcome"]) == (None, 12, "INCORRECT")


def test_parquet_holds_the_same_rows(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    report = Report(report_of("a", problem("p", RIGHT, float("inf")), problem("q", WRONG, 12.0)))
    write(report, tmp_path / "out.parquet")
    assert parquet.read_table(tmp_path / "out.parquet").to_pylist() == list(rows(report))


def test_without_pyarrow_a_line_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(Refused, match="uv pip install pyarrow"):
        check_path(tmp_path / "out.parquet")
    check_path(tmp_path / "out.jsonl")
