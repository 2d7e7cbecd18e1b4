"""A dataset is played from the command line: no challenger, a test share of its own, and what it lacks is said."""

import json
from pathlib import Path

import pytest
from run_server import Server

from store.store import Store

ROWS = [{"question": f"What is {a} plus {b}?", "answer": str(a + b)} for a in range(1, 8) for b in range(1, 8)]
SHORT = ("run.steps=2", "solver.problems=3", "evaluate.pass_size=2", "evaluate.pass_k=2", "run.threads=1")


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(map(json.dumps, ROWS)))
    return path


def test_a_file_of_questions_is_played_without_a_challenger(server: Server, tmp_path: Path, rows: Path) -> None:
    options = ("domain=dataset", f"domain_options.path={rows}", "domain_options.examples=2", f"run.dir={tmp_path}/runs")
    ended = server.run(["configs/tiny.yaml", *SHORT, *options, "challenger.source=none", "run.name=x"])
    assert ended.code == 0, ended.output
    with Store.open_readonly(tmp_path / "runs" / "x" / "selfplay.db") as store:
        problems = [problem for problem, _ in store.problems()]
        step, evaluations = store.step(1), store.evaluations()
    assert len(problems) == 38 and {problem.domain for problem in problems} == {"dataset"}  # 49 - 2 shown - 9 for tests
    assert {(each.set_name, len(each.outcomes)) for each in evaluations if each.kind == "full"} == {("test", 9)}
    assert step.metrics["curriculum/problems"] == 3 and step.metrics["challenger/proposals"] == 0


FORMS = {  # the rows, what judges what is posed, and where the answers of the rows are from
    "programs": ([{"question": f"What is {a} plus 2?", "code": f"b = 2\nanswer = {a} + b"} for a in range(40)],
                 "verifier", "executed"),
    "open": (ROWS, "majority", "dataset"),
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_a_challenger_poses_questions_of_the_files_form(server: Server, tmp_path: Path, form: str) -> None:
    rows, judge, source = FORMS[form]
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    options = ("domain=dataset", f"domain_options.path={path}", "domain_options.posed=true", f"judge.source={judge}")
    more = ("domain_options.examples=2", "domain_options.test_share=0.1", "run.name=x", f"run.dir={tmp_path}/runs")
    ended = server.run(["configs/tiny.yaml", *SHORT, *options, *more])
    assert ended.code == 0, ended.output
    with Store.open_readonly(tmp_path / "runs" / "x" / "selfplay.db") as store:
        problems = [problem for problem, _ in store.problems()]
        steps, evaluations, fates = store.steps()[1:], store.evaluations(), store.fate_counts()
    assert {problem.answer_source for problem in problems} == {source} and all(problem.answer for problem in problems)
    assert all((" | b = 2; answer = " in problem.text) is (form == "programs") for problem in problems)
    assert [step.metrics["challenger/proposals"] for step in steps] == [8, 8] and sum(fates.values()) == 16
    assert all(("judge/label_count" in step.metrics) is (judge == "majority") for step in steps)
    assert {(each.set_name, len(each.outcomes)) for each in evaluations if each.kind == "full"} == {
        ("test", round(0.1 * (len(rows) - 2)))
    }


def test_a_judge_that_cannot_know_is_refused_at_start(server: Server, tmp_path: Path, rows: Path) -> None:
    options = ("domain=dataset", f"domain_options.path={rows}", "domain_options.posed=true", f"run.dir={tmp_path}/r")
    ended = server.run(["configs/tiny.yaml", *options])
    assert ended.code == 2 and ended.output.count("\n") == 1 and not (tmp_path / "r").exists()
    assert "Set judge.source=majority or judge.source=model" in ended.output


def test_a_challenger_is_refused_where_nothing_reads_its_proposals(server: Server, tmp_path: Path, rows: Path) -> None:
    ended = server.run(["configs/tiny.yaml", "domain=dataset", f"domain_options.path={rows}", f"run.dir={tmp_path}"])
    assert ended.code == 2
    assert "challenger.source=none poses" in ended.output and "set domain_options.posed=true" in ended.output
    assert ended.output.count("\n") == 1


def test_a_torn_line_is_named_before_a_model_is_loaded(server: Server, tmp_path: Path, rows: Path) -> None:
    rows.write_text(rows.read_text()[:-9])
    ended = server.run(
        ["domain=dataset", f"domain_options.path={rows}", "challenger.source=none", f"run.dir={tmp_path}/r"]
    )
    assert ended.code == 2 and f"{rows}:49: not JSON" in ended.output and not (tmp_path / "r").exists()
