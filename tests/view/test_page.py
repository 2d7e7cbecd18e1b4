"""Every page and its JSON twin, by their addresses: what a browser is sent of a tiny run and of a hostile one."""

import html
import json
import re
import shlex
import shutil
import socket
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hostile_run import HOSTILE
from looking import Look

pytest.importorskip("starlette", reason="the page is an extra: uv sync --extra view")
pytest.importorskip("plotly", reason="the page is an extra: uv sync --extra view")

from starlette.testclient import TestClient

from selfplay.machine.errors import Refused
from selfplay.machine.run_folder import DATABASE, lock
from selfplay.view.page.app import application
from selfplay.view.page.guard import Guard
from selfplay.view.page.library import Library
from selfplay.view.page.serving import Place, _listening
from store.sql.store import SqlStore


@pytest.fixture(scope="module")
def client(shown_runs: Path) -> Iterator[TestClient]:
    with TestClient(Guard(application(Library(shown_runs))), base_url="http://localhost") as made:
        yield made


def told(client: TestClient, path: str) -> Any:
    answer = client.get(path)
    assert answer.status_code == 200, (path, answer.text[:300])
    return answer.json()


def pages(client: TestClient, run: str) -> list[str]:
    """The address of every kind of page of a run."""
    tried = told(client, f"/runs/{run}/problems.json?sort=attempts")["problems"][0]
    problem = f"/runs/{run}/problems/{tried['problem_id']}"
    step = tried["last_step"]
    return ["/", f"/runs/{run}", f"/runs/{run}/problems", f"/runs/{run}/proposals", f"/runs/{run}/config",
            f"/runs/{run}/schema", problem,
            f"/runs/{run}/steps/{step}", f"{problem}/steps/{step}/attempts/0",
            f"/compare?run={run}&run=tiny1"]  # fmt: skip


@pytest.mark.parametrize("run", ["tiny0", "hostile"])
def test_every_page_and_its_twin_are_there(client: TestClient, run: str) -> None:
    for path in pages(client, run):
        page = client.get(path)
        assert page.status_code == 200 and "<h1" in page.text, (path, page.text[:300])
        address, _, query = path.partition("?")
        assert told(client, ("/runs" if address == "/" else address) + f".json?{query}")


def test_every_chart_is_there_as_json_and_as_csv(client: TestClient) -> None:
    for run in ("tiny0", "hostile"):
        for page in pages(client, run):
            for source in re.findall(r'data-src="([^"]+)"', client.get(page).text):
                source = source.replace("&amp;", "&")
                drawn = told(client, source)
                assert drawn["title"] and drawn["help"]
                rows = client.get(source.replace(".json", ".csv")).text.splitlines()
                assert drawn["is_empty"] or len(rows) > 1


def test_a_hostile_text_is_only_text(client: TestClient) -> None:
    listed = told(client, "/runs/hostile/problems.json")["problems"]
    assert len(listed) == len(HOSTILE) + 1
    for path in [*pages(client, "hostile"), *(f"/runs/hostile/problems/h-{i}" for i in range(len(HOSTILE)))]:
        text = client.get(path).text
        assert "<script>window" not in text and "<img src=x" not in text and "<svg onload" not in text, path
        assert "<b>stored" not in text and "<u>part" not in text and "<i>set" not in text and "<b>error" not in text
        assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e]", text), path
        assert "49{" not in text  # {{ 7 * 7 }} is no template
        assert not re.search(r"""href=["']?\s*javascript:""", text)
        scripts = re.findall(r"<script[^>]*>(.*?)</script>", text, re.DOTALL)
        assert all(body == "" for body in scripts)  # all code is in files
    rows = client.get(f"/runs/hostile/charts/evaluation.csv?set={quote('<i>set</i>')}").text
    assert rows.splitlines()[0] == "series,step,value,low,high"


def test_filters_sorting_and_paging_are_addresses(client: TestClient) -> None:
    whole = told(client, "/runs/tiny0/problems.json?sort=rate&dir=asc&limit=200")
    found, path = [], "/runs/tiny0/problems?sort=rate&dir=asc&limit=2"
    while path:
        page = client.get(path)
        found += re.findall(r'class="text"><a href="/runs/tiny0/problems/(\w+)"', page.text)
        following = re.search(r'rel="next" href="([^"]+)"', page.text)
        path = "/runs/tiny0/problems" + following[1].replace("&amp;", "&") if following else ""
    assert found == [each["problem_id"] for each in whole["problems"]] and len(found) == whole["matching"]
    family = whole["problems"][0]["family"]
    only = told(client, f"/runs/tiny0/problems.json?family={quote(family)}")
    assert only["matching"] == sum(each["family"] == family for each in whole["problems"])


def test_a_set_and_a_family_are_shown_with_a_problem_of_theirs(client: TestClient, shown_runs: Path) -> None:
    found, page = told(client, "/runs/tiny0.json"), client.get("/runs/tiny0").text
    with SqlStore.open_readonly(shown_runs / "tiny0" / DATABASE) as store:
        firsts = dict(store.ask("SELECT set_name, text FROM held_out WHERE position = 0", 9, 9.0).rows)
    assert {each["set"]: each["example"] for each in found["sets"]} == firsts and len(firsts) == 2
    for each in found["families"]:
        of = told(client, f"/runs/tiny0/problems.json?family={quote(each['family'])}&limit=200")["problems"]
        newest = max(line["admitted_step"] for line in of)
        assert each["example"] in [line["text"] for line in of if line["admitted_step"] == newest]
    assert f"e.g. <bdi>{firsts['add1']}</bdi>" in page


def test_what_an_address_asks_for_and_is_not_there_is_one_line(client: TestClient) -> None:
    for path, words in (
        ("/runs/nobody", "there is no run"),
        ("/runs/..%2f..%2fetc", "no such page"),
        ("/runs/tiny0/steps/99", "steps 1 to 4"),
        ("/runs/tiny0/problems/zzz", "no problem"),
        ("/runs/tiny0/problems?sort=beauty", "none of"),
        ("/runs/tiny0/problems?min_rate=x", "no number"),
        ("/runs/tiny0/problems?step=1e99", "no number"),
        ("/nowhere", "no such page"),
    ):
        answer = client.get(path)
        assert answer.status_code == 404 and words in answer.text, (path, answer.status_code)
    assert client.get("/runs/nobody.json").json()["error"].startswith("there is no run")
    assert client.get("/runs/tiny0/charts/beauty.json").status_code == 404


def test_tokens_are_those_that_were_said_and_sum_up_to_nothing_in_a_group(client: TestClient) -> None:
    """In a group whose rewards differ, advantages of first tries are of both signs; and the tokens say the text."""
    signs, said = set(), 0
    for line in told(client, "/runs/tiny0/problems.json?step=4")["problems"]:
        problem = f"/runs/tiny0/problems/{line['problem_id']}"
        for index in range(4):
            found = told(client, f"{problem}/steps/4/attempts/{index}.json")
            for turn, tokens in zip(found["attempt"]["turns"], found["tokens"], strict=True):
                if tokens:
                    said += 1
                    assert abs(len(tokens) - turn["num_tokens"]) <= 1
                    assert all(each["logprob"] is None or each["logprob"] <= 0 for each in tokens)
                    signs |= {each["advantage"] > 0 for each in tokens if each["advantage"]}
    assert said > 0 and signs == {True, False}


def test_tokens_have_the_policys_change_once_a_command_has_computed_it(
    shown_runs: Path, tmp_path: Path, look: Look
) -> None:
    """The page says which command; its file is the page's only source, and the database stays as it is."""
    folder = tmp_path / "tiny0"
    shutil.copytree(shown_runs / "tiny0", folder)
    with TestClient(Guard(application(Library(tmp_path))), base_url="http://localhost") as client:
        listed = told(client, "/runs/tiny0/problems.json?step=4")["problems"]
        pages = [f"/runs/tiny0/problems/{line['problem_id']}/steps/4/attempts/{i}" for line in listed for i in range(4)]
        page = next(page for page in pages if all(told(client, f"{page}.json")["tokens"]))
        before = told(client, f"{page}.json")
        assert before["changed_by"] is None and all(each["change"] is None for each in before["tokens"][0])
        assert before["rescore"] in html.unescape(client.get(f"{page}?by=change").text)
        database = (folder / DATABASE).read_bytes()
        code, out, err = look(*shlex.split(before["rescore"])[3:], "--json")
        assert code == 0, err
        assert (folder / DATABASE).read_bytes() == database and not (folder / f"{DATABASE}-wal").exists()
        written = [Path(name) for name in json.loads(out)]
        assert folder / "rescored" / "step_000004_by_000004.json" in written
        after = told(client, f"{page}.json")
        tokens = [each for turn in after["tokens"] for each in turn]
        assert after["changed_by"] == 4 and all(each["change"] is not None for each in tokens)
        assert any(abs(each["change"]) > 1e-4 for each in tokens), "the update of step 4 moved the policy"
        shown = client.get(f"{page}?by=change").text
        assert "under the weights of step 4" in shown and "Change until step 4" in shown
        for broken in ("{", "[]", '{"journal_sha256": "0", "logprobs": []}', "[" * 100_000):
            (folder / "rescored" / "step_000004_by_000004.json").write_text(broken)
            assert told(client, f"{page}.json")["changed_by"] is None


def test_a_pruned_journal_is_said(client: TestClient, shown_runs: Path) -> None:
    found = told(client, "/runs/hostile/problems/h-0/steps/1/attempts/0.json")
    assert found["tokens"] == [[], []] and "cannot be read" in found["reason"]  # it names a journal that is not there


def test_a_run_that_cannot_be_read_hides_no_other(shown_runs: Path, tmp_path: Path) -> None:
    for name in ("good", "bad"):
        (tmp_path / name).mkdir()
        (tmp_path / name / DATABASE).write_bytes((shown_runs / "hostile" / DATABASE).read_bytes())
    with sqlite3.connect(tmp_path / "bad" / DATABASE) as connection:
        connection.execute("UPDATE evaluations SET metrics = '{}'")
    client = TestClient(Guard(application(Library(tmp_path))), base_url="http://localhost")
    rows = {row["name"]: row for row in client.get("/runs.json").json()["runs"]}
    assert rows["bad"]["state"] == "unreadable" and "damaged" in rows["bad"]["error"]
    assert rows["good"]["state"] == "stopped" and rows["good"]["head_step"] == 2
    assert client.get("/runs/bad").status_code == 503 and "damaged" in client.get("/runs/bad").text


def test_a_run_is_live_while_somebody_owns_its_folder_and_looking_owns_nothing(
    client: TestClient, shown_runs: Path
) -> None:
    def state() -> str:
        return str(next(row["state"] for row in told(client, "/runs.json")["runs"] if row["name"] == "tiny1"))

    assert state() == "finished"
    with lock(shown_runs / "tiny1"):
        assert state() == "live"
    with lock(shown_runs / "tiny1"):  # it is free again, however often it was looked at
        pass
    assert state() == "finished"


def test_looking_leaves_a_run_as_it_was(client: TestClient, shown_runs: Path) -> None:
    def content() -> dict[str, bytes]:
        folder = shown_runs / "tiny0"
        return {
            str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
        }

    before = content()
    for path in pages(client, "tiny0"):
        client.get(path)
    assert content() == before


def test_a_port_that_is_taken_and_a_host_that_is_not_ours_are_one_line() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(Refused, match="--port"):
            _listening(Place("127.0.0.1", taken.getsockname()[1]))
    with pytest.raises(Refused, match="cannot listen"):
        _listening(Place("192.0.2.1", 0))
