"""`inspect sql` and `inspect export`, and the pages that say what is in a run's database."""

import csv
import importlib.util
import io
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from hostile_run import HOSTILE, hostile_run
from store_samples import SEED, create, step_commit, wave
from typer.testing import CliRunner, Result

from selfplay.inspect import app
from selfplay.machine.errors import BUSY, OK, USAGE, Refused
from selfplay.machine.run_folder import DATABASE
from selfplay.view.database import document, export
from selfplay.view.database.drawing import drawing
from store.sql.relations import Relation, ShownColumn, relations, tables
from store.sql.store import QueryError, SqlStore

DOCS = Path(__file__).resolve().parents[2] / "docs"
NAMES = {f"{each.name}.parquet" for each in relations()}
has_pyarrow = pytest.mark.skipif(
    importlib.util.find_spec("pyarrow") is None, reason="Parquet is an extra: uv sync --extra parquet"
)


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run whose texts try to harm whoever shows them."""
    return hostile_run(tmp_path_factory.mktemp("runs"))


@pytest.fixture
def sample(tmp_path: Path) -> Path:
    """The folder of a run of two steps, with a wave that waits."""
    folder = tmp_path / "runs" / "sample"
    folder.mkdir(parents=True)
    with create(folder / DATABASE) as store:
        store.add_incarnation("a machine")
        store.commit_step(step_commit(1))
        store.commit_step(step_commit(2))
        store.commit_wave(wave(3))
    return folder


def asked(folder: Path, *arguments: str) -> Result:
    return CliRunner().invoke(app, ["sql", str(folder), *arguments])


def test_an_answer_is_a_table_json_or_csv(sample: Path) -> None:
    query = (
        "SELECT step, problem, reward, x'01ff' AS b FROM v_turns WHERE turn = 0 AND problem_id <> 'p-seed' ORDER BY 1"
    )
    table = asked(sample, query).stdout
    assert re.search(r"1\s+1 \+ 40\s+-0.25\s+\(2 bytes\)", table) and "2 rows" in table
    assert asked(sample, "SELECT 1 UNION SELECT 2").stdout.startswith("2 rows\n"), "a title is as wide as it is"
    rows = [{"step": step, "problem": f"{step} + 40", "reward": -0.25, "b": "01ff"} for step in (1, 2)]
    assert json.loads(asked(sample, query, "--json").stdout) == {"rows": rows, "is_cut": False}
    assert list(csv.DictReader(io.StringIO(asked(sample, query, "--csv").stdout))) == [
        {name: str(cell) for name, cell in row.items()} for row in rows
    ]
    assert asked(sample, "SELECT step, said FROM v_turns WHERE 0", "--csv").stdout == "step,said\n"
    assert json.loads(asked(sample, "SELECT NULL, 9e999", "--json").stdout)["rows"] == [{"NULL": None, "9e999": "inf"}]


def test_what_was_left_out_is_said_beside_the_answer(sample: Path) -> None:
    ended = asked(sample, "SELECT step FROM v_turns", "--limit", "2", "--csv")
    assert ended.stdout.splitlines() == ["step", "1", "1"] and "only the first 2 rows" in ended.stderr
    assert json.loads(asked(sample, "SELECT step FROM v_turns", "--limit", "2", "--json").stdout)["is_cut"] is True
    assert asked(sample, "SELECT step FROM v_turns").stderr == ""


def test_without_a_query_all_that_can_be_asked_is_listed(sample: Path) -> None:
    told = asked(sample).stdout
    assert all(each.name in told for each in relations()) and "problem_id" in told
    listed = {each["name"]: each for each in json.loads(asked(sample, "--json").stdout)}
    assert listed["turns"]["rows"] == 6 and listed["turns"]["columns"][0] == {
        "name": "step_id", "kind": "integer", "is_key": True, "refers_to": "attempts",
        "description": "the step's row in `steps`; after a rewind, several ids may have one number",
    }  # fmt: skip
    assert listed["v_turns"]["query"].startswith("SELECT") and listed["v_turns"]["rows"] is None


def test_hostile_text_is_shown_and_neither_obeyed_nor_computed(hostile: Path) -> None:
    query = "SELECT problem, said, error FROM v_turns ORDER BY step, problem_id, turn"
    for told in (asked(hostile, query).stdout, asked(hostile, query, "--csv").stdout):
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f\u202a-\u202e]", told)
    cells = [cell for row in csv.reader(io.StringIO(asked(hostile, query, "--csv").stdout)) for cell in row]
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@"))]
    assert any(cell.startswith("'=HYPERLINK") for cell in cells)
    rows = json.loads(asked(hostile, query, "--json").stdout)["rows"]
    assert {text.replace("\x00", "\\x00") for text in HOSTILE} <= {row["problem"] for row in rows}
    named = asked(hostile, 'SELECT 1 AS "\x1b[31m=x"', "--csv").stdout
    assert named.startswith("\\x1b[31m=x") and asked(hostile, 'SELECT 1 AS "=x"', "--csv").stdout.startswith("'=x")


def test_a_query_that_fails_is_one_line_and_a_usage_error(sample: Path) -> None:
    for query in ("", "SELECT * FROM v_turn", "DROP TABLE turns", "SELECT 1; SELECT 2"):
        ended = asked(sample, query)
        assert isinstance(ended.exception, QueryError) and "\n" not in str(ended.exception)
    command = [sys.executable, "-m", "selfplay.inspect", "sql", str(sample), "SELECT * FROM v_turn"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=DOCS.parent)
    assert done.returncode == USAGE
    assert done.stderr == "error: no such table: v_turn: did you mean v_turns, turns?\n"
    both = asked(sample, "SELECT 1", "--json", "--csv").exception
    assert isinstance(both, Refused) and both.code == USAGE


# Parquet


def exported(folder: Path, place: Path, *more: str) -> Result:
    return CliRunner().invoke(app, ["export", str(folder), "--parquet", str(place), *more])


def read(place: Path, name: str) -> list[dict[str, Any]]:
    from pyarrow import parquet

    rows: list[dict[str, Any]] = parquet.read_table(place / f"{name}.parquet").to_pylist()
    return rows


@has_pyarrow
def test_an_export_has_every_row_with_its_kind(sample: Path, tmp_path: Path) -> None:
    from pyarrow import parquet

    place = tmp_path / "deep" / "out"
    done = exported(sample, place)
    assert done.exit_code == OK and {path.name for path in place.iterdir()} == NAMES
    assert "v_turns: 6 rows" in done.stderr and list(place.parent.iterdir()) == [place]
    with sqlite3.connect(sample / DATABASE) as connection:
        for each in relations():
            count = connection.execute(f"SELECT count(*) FROM {each.name}").fetchone()[0]
            assert parquet.read_metadata(place / f"{each.name}.parquet").num_rows == count, each.name
    assert read(place, "v_turns") == json.loads(asked(sample, "SELECT * FROM v_turns", "--json").stdout)["rows"]
    (said,) = [row for row in read(place, "completions") if row["text"]]
    assert said["ids"] == b"\x07\0\0\0" + b"\0" * 4 + b"\xff\xff\xff\x7f" and len(said["logprobs"]) == 24
    (process,) = read(place, "incarnations")
    assert process["started_at"].tzinfo is not None
    assert abs((datetime.now(UTC) - process["started_at"]).total_seconds()) < 600
    assert {row["is_graded"] for row in read(place, "pass_rates")} == {True, False}
    schema = parquet.read_schema(place / "v_evaluations.parquet")
    assert (
        str(schema.field("committed_at").type) == "timestamp[us, tz=UTC]" and str(schema.field("step").type) == "int64"
    )
    assert schema.field("first_try").metadata == {b"description": b"share of first tries that were right"}


@has_pyarrow
def test_an_export_goes_in_batches_and_says_how_far_it_is(
    hostile: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pyarrow import parquet

    whole, batched = tmp_path / "whole", tmp_path / "batched"
    assert exported(hostile, whole).exit_code == OK
    monkeypatch.setattr(export, "_BATCH_BYTES", 2000)
    monkeypatch.setattr(export, "_TOLD_EVERY", 0.0)
    told = exported(hostile, batched).stderr.splitlines()
    assert len([line for line in told if line.startswith("v_turns:")]) > 2
    assert parquet.read_metadata(batched / "v_turns.parquet").num_row_groups > 2
    assert all(read(whole, name) == read(batched, name) for name in ("turns", "v_turns", "v_problems", "problems"))


@has_pyarrow
def test_what_is_no_time_is_left_out_and_said(sample: Path, tmp_path: Path) -> None:
    with sqlite3.connect(sample / DATABASE) as connection:
        connection.execute("UPDATE incarnations SET started_at = 'then'")
    done = exported(sample, tmp_path / "out")
    assert done.exit_code == OK and read(tmp_path / "out", "incarnations")[0]["started_at"] is None
    assert "incarnations: 1 rows" in done.stderr and "1 value that is no time was left empty" in done.stderr


@has_pyarrow
def test_a_folder_that_has_something_in_it_is_kept(sample: Path, tmp_path: Path) -> None:
    place = tmp_path / "out"
    place.mkdir()
    assert exported(sample, place).exit_code == OK  # an empty one is free
    refused = exported(sample, place).exception
    assert isinstance(refused, Refused) and "is not empty" in str(refused)
    (place / "v_turns.parquet").write_bytes(b"old")
    assert exported(sample, place, "--replace").exit_code == OK and len(read(place, "v_turns")) == 6
    (place / "thesis.txt").write_text("mine")
    refused = exported(sample, place, "--replace").exception
    assert isinstance(refused, Refused) and "thesis.txt" in str(refused)
    assert (place / "thesis.txt").read_text() == "mine" and list(tmp_path.glob(".*")) == []
    refused = exported(sample, place / "thesis.txt").exception
    assert isinstance(refused, Refused) and "is no folder" in str(refused)


def test_without_pyarrow_or_a_folder_a_line_says_what_is_missing(
    sample: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = CliRunner().invoke(app, ["export", str(sample)])
    assert isinstance(ended.exception, Refused) and "--parquet FOLDER" in str(ended.exception)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    ended = exported(sample, tmp_path / "out")
    assert isinstance(ended.exception, Refused) and "uv sync --extra parquet" in str(ended.exception)
    assert not (tmp_path / "out").exists()


@has_pyarrow
@pytest.mark.parametrize(
    "point",
    ["export.file:20", *(pytest.param(each, marks=pytest.mark.slow) for each in ("export.file:1", "export.written:1"))],
)
def test_an_export_that_is_killed_leaves_nothing_under_its_name(sample: Path, tmp_path: Path, point: str) -> None:
    place = tmp_path / "out"
    command = [sys.executable, "-m", "selfplay.inspect", "export", str(sample), "--parquet", str(place)]
    kill = {**os.environ, "SELFPLAY_KILL_AT": point}
    done = subprocess.run(command, capture_output=True, check=False, cwd=DOCS.parent, env=kill)
    assert done.returncode == -signal.SIGKILL and not place.exists()
    assert (tmp_path / ".out.writing").exists()
    assert exported(sample, place).exit_code == OK  # what was left is in nobody's way
    assert {path.name for path in place.iterdir()} == NAMES and not (tmp_path / ".out.writing").exists()
    before = {path.name: path.read_bytes() for path in place.iterdir()}
    done = subprocess.run([*command, "--replace"], capture_output=True, check=False, cwd=DOCS.parent, env=kill)
    assert done.returncode == -signal.SIGKILL  # ... and of a replacement, what stood there stands
    assert {path.name: path.read_bytes() for path in place.iterdir()} == before


@has_pyarrow
def test_what_a_killed_replacement_moved_aside_is_put_back(sample: Path, tmp_path: Path) -> None:
    place = tmp_path / "out"
    assert exported(sample, place).exit_code == OK
    place.rename(tmp_path / ".out.before")  # as after a kill between the two renames
    refused = exported(sample, place).exception
    assert isinstance(refused, Refused) and "is not empty" in str(refused) and len(read(place, "v_turns")) == 6


@has_pyarrow
def test_two_exports_to_one_place_do_not_mix_and_a_link_is_not_followed(sample: Path, tmp_path: Path) -> None:
    place = tmp_path / "out"
    with SqlStore.open_readonly(sample / DATABASE) as store, export._alone(tmp_path / ".out.writing"):
        with pytest.raises(Refused, match="another process is writing") as told:
            export.export_parquet(store, place, False, lambda file: None)
        assert told.value.code == BUSY
    (tmp_path / ".out.writing").rmdir()
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "a").write_text("mine")
    (tmp_path / ".out.writing").symlink_to(precious)
    assert exported(sample, place).exit_code != OK and (precious / "a").read_text() == "mine" and not place.exists()


# The drawing and the page of documentation


def test_the_drawing_has_a_box_for_each_table_and_a_line_for_each_reference() -> None:
    found = ElementTree.fromstring(drawing(tables(), "#{}"))
    space = "{http://www.w3.org/2000/svg}"
    assert {each.get("href") for each in found.iter(f"{space}a")} == {f"#{each.name}" for each in tables()}
    refers = [c for each in tables() for c in each.columns if c.refers_to and c.refers_to != each.name]
    assert len(list(found.iter(f"{space}path"))) == len(refers) > 15
    boxes = [tuple(float(each.get(name, "")) for name in ("x", "y", "width", "height"))
             for each in found.iter(f"{space}rect") if each.get("class") == "whole"]  # fmt: skip
    for i, (x, y, width, height) in enumerate(boxes):
        for other_x, other_y, other_width, other_height in boxes[:i]:
            apart = (
                x >= other_x + other_width
                or other_x >= x + width
                or y >= other_y + other_height
                or other_y >= y + height
            )
            assert apart, "two boxes overlap"
        assert x + width <= float(found.get("width", "")) and y + height <= float(found.get("height", ""))


def test_tables_that_refer_to_each_other_in_a_circle_can_be_drawn() -> None:
    key = tables()[0].columns[0]

    def table(name: str, refers_to: str) -> Relation:
        return Relation(name, "a <table> & more", (ShownColumn("id", key.kind, "", True, refers_to),))

    drawn = drawing([table("a", "b"), table("b", "a")])
    assert ElementTree.fromstring(drawn) is not None and "a &lt;table&gt; &amp; more" in drawn


def test_the_document_shows_what_the_code_says() -> None:
    text, picture = (DOCS / "database.md").read_text(), (DOCS / document.DRAWING).read_text()
    anew = "python -m selfplay.view.database.document docs/database.md writes both anew"
    assert document.page(text) == text and document.picture() == picture, anew
    assert "### v_problem_history\n\nA problem's history" in text
    with pytest.raises(ValueError, match="no place for views"):
        document.page("# Another page\n")


def test_every_query_of_the_documents_is_answered(sample: Path) -> None:
    queries = [
        query
        for name in ("database.md", "metrics.md")
        for block in re.findall(r"```sql\n(.*?)```", (DOCS / name).read_text(), re.DOTALL)
        for query in block.split(";\n")
        if query.strip()
    ]
    assert len(queries) > 10
    with SqlStore.open_readonly(sample / DATABASE) as store:
        for query in queries:
            store.ask(query, 10, 10.0)


def test_a_line_is_found_by_the_query_of_the_document(tmp_path: Path) -> None:
    made = [
        replace(SEED, problem_id=f"p-{i}", text=f"{i} + 1", canonical=str(i), parent_id=f"p-{i - 1}" if i else None)
        for i in range(4)
    ]
    create(tmp_path / DATABASE, seeds=tuple(made)).close()
    text = (DOCS / "database.md").read_text()
    query = re.search(r"(SELECT above\.depth.*?);", text, re.DOTALL)
    assert query is not None
    with SqlStore.open_readonly(tmp_path / DATABASE) as store:
        rows = store.ask(query[1].replace("43 + 39", "2 + 1"), 10, 10.0).rows
    assert rows == ((0, "0 + 1"), (1, "1 + 1"), (2, "2 + 1"))
