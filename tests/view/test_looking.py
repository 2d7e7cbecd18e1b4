"""What inspect makes of a store that was written by hand: hostile text, live and damaged runs, exit codes, folds."""

import json
import sqlite3
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from looking import Look
from store_samples import SEED, create, new_problem, step_commit

from curriculum.settings import CurriculumSettings
from curriculum.tracking.difficulty import Tracker
from selfplay.view.terminal import plain
from store.records import (
    Attempt,
    Evaluation,
    Fate,
    Finish,
    Outcome,
    PassRate,
    ProblemState,
    Proposal,
    Turn,
)
from store.store import Store

ROOT = Path(__file__).resolve().parents[2]
HOSTILE = "[bold red]x[/bold red] [/nope] \x1b[2J\x1b]0;owned\x07 \u202e3 + 4 \r\n\t" + "9" * 5000
CONFIG = "run: {steps: 9}\ncurriculum: {forgetting: 0.5, key_of_another_version: 1}\n"


def hostile_step() -> Any:
    """Step 2 of the sample run, by a model that means ill."""
    said = Turn(HOSTILE, HOSTILE, Outcome.INCORRECT, Finish.LENGTH, 7, 0.0)
    made = new_problem(2, text=HOSTILE, parent_id="p-1")
    proposals = (
        Proposal("p-1", 0, 0, HOSTILE, Fate.UNPARSED, None, 0.0),
        Proposal("p-1", 0, 1, made.text, Fate.ACCEPTED, made.problem_id, 1.0),
    )
    attempts = tuple(Attempt(made.problem_id, index, (said, said), 1, 1) for index in range(3))
    return step_commit(
        2, problems=(made,), proposals=proposals, attempts=attempts, pass_rates=(PassRate("p-2", 1, 3, 0),)
    )


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run's folder in a folder of runs: two steps, the second hostile."""
    folder = tmp_path / "runs" / "sample"
    with create(folder / "selfplay.db", config_yaml=CONFIG) as store:
        store.commit_step(step_commit(1))
        store.commit_step(hostile_step())
        store.add_incarnation("[blink]torch", "\x1b[31mstarted")
    return folder


def commands(run: Path) -> list[tuple[object, ...]]:
    return [
        ("runs", "--dir", run.parent), ("status", run), ("problems", run), ("show", run, "p-2"), ("proposals", run),
        ("steps", run), ("digest", run, "--tables"), ("tree", run, "p-2"),
        ("lineage", run),
    ]  # fmt: skip


def test_text_of_a_model_is_shown_and_never_obeyed(run: Path, look: Look) -> None:
    for command in commands(run):
        code, out, _ = look(*command)
        assert code == 0
        assert all(c.isprintable() or c == "\n" for c in out), command
        assert len(out) < 20_000, "a huge completion is cut"
    for command in (("problems", run), ("show", run, "p-2"), ("proposals", run)):
        out = look(*command)[1]  # cells are folded between words
        assert all(word in out for word in ("[bold", "[/bold", "[/nope]", "\\x1b[2J", "\\x07", "characters)")), command


def test_what_cannot_be_printed_is_spelled() -> None:
    assert plain("a\x1b[2J\u202eb\ud800\n\u00e9 [bold]") == "a\\x1b[2J\\u202eb\\ud800\\n\u00e9 [bold]"
    assert plain("9" * 5000) == "9" * 300 + "... (5000 characters)"


def test_json_is_one_value_with_the_text_as_it_was_said(run: Path, look: Look) -> None:
    for command in commands(run):
        code, out, err = look(*command, "--json")
        assert (code, err) == (0, "")
        json.loads(out)
        assert out.isascii()
        assert out.count("\n") == 1
    found = json.loads(look("proposals", run, "--json")[1])
    assert found["proposals"][-1]["text"] == HOSTILE


def test_a_run_is_found_by_name_and_by_folder(run: Path, look: Look) -> None:
    by_name = look("status", "sample", "--dir", run.parent, "--json")
    assert by_name == look("status", run, "--json")
    assert json.loads(by_name[1])["steps"] == 9


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("status", "nobody", "--dir", "RUNS"), "there is no run 'nobody'"),
        (("runs", "--dir", "RUNS/nowhere"), "there is no folder"),
        (("show", "RUN", "p-77"), "no problem whose id starts with 'p-77'"),
        (("show", "RUN", "p-"), "more than one problem id starts with 'p-' (p-1, p-2 ...)"),
        (("plot", "RUN", "-o", "RUNS/nowhere/x.png"), "there is no folder"),
        (("validate-domain", "no_such_module:Domain"), "cannot import no_such_module"),
        (("migrate", "nobody"), "there is no run 'nobody'"),
    ],
)
def test_what_is_not_there_is_one_line_and_exit_code_2(
    run: Path, look: Look, arguments: tuple[str, ...], words: str
) -> None:
    code, out, err = look(*(a.replace("RUNS", str(run.parent)).replace("RUN", str(run)) for a in arguments))
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert words in err
    assert err.count("\n") == 1


def test_an_id_that_begins_another_is_found_all_the_same(tmp_path: Path, look: Look) -> None:
    longer = replace(SEED, problem_id="p-seed-2", canonical="+1 +3")
    create(tmp_path / "selfplay.db", seeds=(SEED, longer)).close()
    assert json.loads(look("show", tmp_path, "p-seed", "--json")[1])["problem"]["problem_id"] == "p-seed"


def test_looking_works_while_a_writer_is_in_the_middle_of_a_transaction(run: Path, look: Look) -> None:
    path = run / "selfplay.db"
    with Store.open(path) as store:
        writer = sqlite3.connect(path, isolation_level=None)
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("UPDATE runs SET name = 'half done'")
        assert json.loads(look("status", run, "--json")[1])["name"] == "sample"
        writer.execute("ROLLBACK")
        writer.close()
        made = new_problem(3)
        store.commit_step(step_commit(3, problems=(made,)))
        assert json.loads(look("status", run, "--json")[1])["head_step"] == 3


def test_looking_changes_nothing(run: Path, look: Look) -> None:
    path = run / "selfplay.db"
    before = path.read_bytes()
    for command in commands(run):
        look(*command)
    look("plot", run, "-o", run.parent / "x.png")
    assert path.read_bytes() == before


def test_problems_are_folded_with_the_runs_own_settings(run: Path, look: Look) -> None:
    rows = json.loads(look("problems", run, "--json")[1])["problems"]
    rates = {}
    for forgetting in (0.5, CurriculumSettings().forgetting):
        tracker = Tracker(CurriculumSettings(forgetting=forgetting))
        with Store.open_readonly(run / "selfplay.db") as store:
            for step in store.history():
                tracker.observe(step)
        rates[forgetting] = {row["problem_id"]: round(tracker.rate(row["problem_id"]), 4) for row in rows}
    assert {row["problem_id"]: row["pass_rate"] for row in rows} == rates[0.5]
    assert rates[0.5] != rates[CurriculumSettings().forgetting], "else the settings do not matter"


def test_problems_are_sorted_filtered_and_cut(run: Path, look: Look) -> None:
    def ids(*options: object) -> list[str]:
        return [row["problem_id"] for row in json.loads(look("problems", run, "--json", *options)[1])["problems"]]

    assert ids() == ["p-2", "p-1", "p-seed"]  # 0 of 3, 5 of 8, 7 of 7
    assert ids("--sort", "attempts") == ["p-1", "p-seed", "p-2"]
    assert ids("--sort", "STEP") == ["p-2", "p-1", "p-seed"]
    assert ids("--sort", "level") == ["p-1", "p-2", "p-seed"]
    assert ids("--origin", "seed") == ["p-seed"]
    assert ids("--family", "d+dd") == ["p-2", "p-1"]
    assert ids("--state", "active") == ["p-1"]
    assert ids("--sort", "state") == ["p-2", "p-seed", "p-1"]  # two NEW ones, the harder first, then an ACTIVE one
    assert ids("--sort", "family") == ["p-seed", "p-2", "p-1"]  # d+d, then d+dd
    assert ids("--sort", "origin") == ["p-seed", "p-2", "p-1"]  # a seed, then the challenger's
    cut = json.loads(look("problems", run, "--limit", 1, "--json")[1])
    assert (cut["matching"], len(cut["problems"])) == (3, 1)
    assert all(row["state"] in ProblemState.__members__ for row in cut["problems"])


def test_problems_are_filtered_by_difficulty(run: Path, look: Look) -> None:
    rates = {row["problem_id"]: row["pass_rate"] for row in json.loads(look("problems", run, "--json")[1])["problems"]}
    hardest, middle, easiest = sorted(rates, key=lambda problem_id: rates[problem_id])
    between = (rates[hardest] + rates[middle]) / 2, (rates[middle] + rates[easiest]) / 2

    def found(*options: object) -> tuple[int, list[str]]:
        listed = json.loads(look("problems", run, "--json", *options)[1])
        return listed["matching"], [row["problem_id"] for row in listed["problems"]]

    assert found("--max-rate", between[0]) == (1, [hardest])
    assert found("--min-rate", between[0]) == (2, [middle, easiest])
    assert found("--min-rate", between[0], "--max-rate", between[1]) == (1, [middle])
    assert found("--min-rate", 0, "--max-rate", 1)[0] == 3
    assert found("--min-rate", 1) == (0, [])
    shown = look("problems", run, "--min-rate", between[1])[1]
    assert "1 of 1 problems" in shown and easiest in shown
    told = " ".join(look("problems", "--help")[1].split())
    assert all(words in told for words in ("--min-rate", "--max-rate", "state, family or origin", "from 0 to 1"))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--min-rate", -0.1), "--min-rate -0.1 and --max-rate 1:"),
        (("--max-rate", 1.5), "--min-rate 0 and --max-rate 1.5:"),
        (("--max-rate", "nan"), "--min-rate 0 and --max-rate nan:"),
        (("--min-rate", 0.6, "--max-rate", 0.4), "--min-rate 0.6 and --max-rate 0.4:"),
    ],
)
def test_rates_that_no_problem_can_have_are_one_line(
    run: Path, look: Look, options: tuple[object, ...], words: str
) -> None:
    code, out, err = look("problems", run, *options)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err == f"error: {words} pass rates are from 0 to 1, the lower one first\n"


def test_show_has_the_lineage_and_every_attempt(run: Path, look: Look) -> None:
    found = json.loads(look("show", run, "p-2", "--json")[1])
    assert [each["problem_id"] for each in found["ancestors"]] == ["p-1", "p-seed"]
    assert len(found["attempts"]) == 3
    root = json.loads(look("show", run, "p-seed", "--json")[1])
    assert [each["problem_id"] for each in root["children"]] == ["p-1"]
    assert root["descendants"] == 2
    shown = look("show", run, "p-2")[1]
    assert "3 attempts" in shown
    assert shown.count("INCORRECT") == 2, "three attempts that went alike share their two rows"


def test_the_lineage_is_the_whole_curriculum(run: Path, look: Look) -> None:
    found = json.loads(look("lineage", run, "--json")[1])
    assert {(each["source"], each["target"]) for each in found["edges"]} == {("p-seed", "p-1"), ("p-1", "p-2")}
    by_id = {each["id"]: each for each in found["nodes"]}
    assert by_id["p-2"]["depth"] == 2 and by_id["p-2"]["text"] == HOSTILE
    lines = look("lineage", run)[1].splitlines()
    assert lines[0] == f"{len(by_id)} problems from 1 roots" and len(lines) >= len(by_id) + 1


def test_proposals_are_counted_before_they_are_cut(run: Path, look: Look) -> None:
    found = json.loads(look("proposals", run, "--fate", "invalid", "--limit", 1, "--json")[1])
    assert found["fates"] == {"ACCEPTED": 2, "INVALID": 1, "UNPARSED": 1}
    assert [(row["step"], row["parent"], row["text"]) for row in found["proposals"]] == [(1, "1 + 2", "1 + + 2")]
    newest = json.loads(look("proposals", run, "--limit", 1, "--json")[1])["proposals"]
    assert [(row["step"], row["fate"]) for row in newest] == [(2, "ACCEPTED")]


def test_the_newest_evaluation_has_nothing_of_an_older_one(run: Path, look: Look) -> None:
    first, second = {"acc_t1": 0.25, "acc_t2": 0.5, "i2c": 0.25}, {"acc_t1": 0.75}
    with Store.open(run / "selfplay.db") as store:
        store.commit_evaluation(Evaluation(0, "add2", "full", first))
        store.commit_evaluation(Evaluation(1, "add2", "interim", second))
        store.commit_evaluation(Evaluation(1, "mul1", "interim", second))
        store.commit_evaluation(Evaluation(1, "mul1", "full", first))
    add2, mul1 = json.loads(look("status", run, "--json")[1])["evaluations"]
    assert (add2["step"], add2["kind"], add2["first_acc_t1"], add2["acc_t1"]) == (1, "interim", 0.25, 0.75)
    assert add2["acc_t2"] is None
    assert (mul1["kind"], mul1["acc_t2"]) == ("full", 0.5)
    (row,) = json.loads(look("runs", "--dir", run.parent, "--json")[1])
    assert row["evaluations"]["add2"] == {"first": 0.25, "newest": 0.75}


def test_abandoned_steps_are_listed_as_such(run: Path, look: Look) -> None:
    with Store.open(run / "selfplay.db") as store:
        store.rewind(1)
    assert [(row["step"], row["status"]) for row in json.loads(look("steps", run, "--json")[1])] == [
        (1, "LIVE"),
        (2, "ABANDONED"),
    ]
    status = json.loads(look("status", run, "--json")[1])
    assert (status["head_step"], status["abandoned_steps"], status["problems"]) == (1, 1, 2)
    assert "abandoned" in look("steps", run)[1]


def test_a_damaged_run_hides_no_other(run: Path, look: Look) -> None:
    damaged = run.parent / "damaged"
    damaged.mkdir()
    (damaged / "selfplay.db").write_bytes(b"not a database at all" * 100)
    first, second = json.loads(look("runs", "--dir", run.parent, "--json")[1])
    assert "damaged" in first["error"]
    assert second["head_step"] == 2
    code, out, err = look("status", damaged)
    assert (code, out, err.count("\n")) == (65, "", 1)


def test_a_run_without_steps_can_be_looked_at(tmp_path: Path, look: Look) -> None:
    create(tmp_path / "selfplay.db").close()
    for command in ("status", "problems", "proposals", "steps", "digest"):
        assert look(command, tmp_path)[0] == 0
    assert look("plot", tmp_path)[0] == 0
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")


def test_a_picture_that_cannot_be_written_is_one_line(run: Path, look: Look) -> None:
    taken = run / "x.png"
    taken.mkdir()
    code, _, err = look("plot", run, "-o", taken)
    assert code == 74
    assert err.startswith(f"error: cannot write {taken}: ")
    assert err.count("\n") == 1


def test_validate_domain_ends_with_1_when_a_check_fails(
    tmp_path: Path, look: Look, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "lenient.py").write_text(
        "from curriculum.domains.arithmetic.domain import ArithmeticDomain\n"
        "from store.records import Outcome\n"
        "class Lenient(ArithmeticDomain):\n"
        "    def judge(self, problem, text):\n"
        "        return Outcome.CORRECT, '7'\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    code, out, _ = look("validate-domain", "lenient:Lenient", "--json")
    assert code == 1
    assert {row["check"]: row["passed"] for row in json.loads(out)}["wrong answers are INCORRECT"] is False


def test_migrate_leaves_a_current_run_and_refuses_a_newer_one(run: Path, look: Look) -> None:
    assert look("migrate", run)[:2] == (0, "already up to date\n")
    connection = sqlite3.connect(run / "selfplay.db")
    connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.commit()
    connection.close()
    code, _, err = look("migrate", run)
    assert code == 65
    assert "newer than this code" in err


def test_looking_loads_neither_torch_nor_matplotlib(run: Path) -> None:
    code = (
        "import sys; from selfplay.inspect import main\n"
        f"for command in (['status', {str(run)!r}], ['problems', {str(run)!r}], ['show', {str(run)!r}, 'p-2'],"
        f" ['tree', {str(run)!r}, 'p-2']):\n"
        "    try: main(command)\n"
        "    except SystemExit as ended: assert not ended.code, ended.code\n"
        "sys.exit(bool({'torch', 'transformers', 'matplotlib', 'scipy'} & set(sys.modules)))"
    )
    assert (
        subprocess.run([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.DEVNULL, check=False).returncode == 0
    )
