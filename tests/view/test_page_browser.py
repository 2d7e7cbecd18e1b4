"""The page in a real browser: Debian's Chromium, driven by Playwright's Python package.

Run with `-m browser -n 0`, after `uv sync --extra view --group browser` and `apt-get install chromium`. AXE_CORE is the
path of axe.min.js, which `npm pack axe-core` has; without it that one test is skipped.
"""

import json
import os
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hostile_run import HOSTILE
from looking import Look

pytest.importorskip("starlette", reason="the page is an extra: uv sync --extra view")
pytest.importorskip("plotly", reason="the page is an extra: uv sync --extra view")
pytest.importorskip("playwright", reason="the browser's driver: uv sync --group browser")

import uvicorn
from playwright import sync_api

from selfplay.view.page.app import application
from selfplay.view.page.guard import Guard
from selfplay.view.page.library import Library

CHROMIUM = next((found for name in ("chromium", "chromium-browser") if (found := shutil.which(name))), None)
DRAWN = """() => [...document.querySelectorAll("figure.chart[data-seen]")].every(
    (figure) => figure.dataset.drawn || figure.classList.contains("is-empty"))"""

pytestmark = [
    pytest.mark.browser,
    pytest.mark.timeout(900),  # a machine that is at other work draws charts slowly
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here: apt-get install chromium"),
]


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """The address of a server of these runs in a thread of this process."""
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(Guard(application(Library(folder))), log_level="error", lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    server.should_exit = True
    thread.join(20)


@pytest.fixture(scope="module")
def address(shown_runs: Path) -> Iterator[str]:
    with serving(shown_runs) as made:
        yield made


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as driver:
        made = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield made
        made.close()


class Tab:
    """A tab that notes whatever the browser complains of."""

    def __init__(self, browser: Any, address: str, **options: Any) -> None:
        self.complaints: list[str] = []
        self.asked: list[str] = []
        self._address = address
        self.page = browser.new_context(**options).new_page()
        self.page.set_default_timeout(60_000)
        self.page.on("console", lambda said: self.complaints.append(said.text) if said.type == "error" else None)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("dialog", lambda dialog: (self.complaints.append("a dialog"), dialog.dismiss()))
        self.page.on("request", lambda request: self.asked.append(request.url))

    def open(self, path: str) -> Any:
        """Goes there, looks at all of it, and waits until what was seen is drawn."""
        self.page.goto(self._address + path)
        height, at = self.page.evaluate("document.documentElement.scrollHeight"), 0
        while at < height:
            self.page.evaluate(f"window.scrollTo(0, {at})")
            self.page.wait_for_timeout(60)
            at += 700
        self.wait()
        return self.page

    def wait(self) -> None:
        deadline = time.monotonic() + 60
        while not self.page.evaluate(DRAWN):
            assert time.monotonic() < deadline, "a chart was not drawn"
            self.page.wait_for_timeout(100)


@pytest.fixture
def tab(browser: Any, address: str) -> Iterator[Tab]:
    made = Tab(browser, address, viewport={"width": 1300, "height": 900})
    yield made
    made.page.context.close()


@pytest.mark.parametrize("run", ["tiny0", "hostile"])
def test_every_page_opens_and_follows_its_links_without_a_complaint(tab: Tab, address: str, run: str) -> None:
    page = tab.open("/")
    page.get_by_role("link", name=run, exact=True).click()
    tab.wait()
    for name in ("Problems", "Proposals", "Steps", "Settings", "Database", "Compare", "All runs"):
        page.goto(f"{address}/runs/{run}")
        page.get_by_role("navigation").get_by_role("link", name=name, exact=True).first.click()
        page.wait_for_load_state()
        assert page.locator("h1").count() == 1
        tab.wait()
    tab.open(f"/runs/{run}")
    assert page.locator("figure.chart.is-empty").count() < page.locator("figure.chart").count() / 2
    assert page.locator(".js-plotly-plot").count() > 5
    page.goto(f"{address}/runs/{run}/problems?sort=attempts")
    page.locator("td.text a").first.click()
    page.get_by_role("link", name="token by token").first.click()
    page.get_by_role("link", name="log-probability").click()
    assert "by=logprob" in page.url and page.locator("h1").count() == 1
    tab.open(f"/compare?run={run}&run=tiny1")
    assert tab.complaints == [] and all(asked.startswith((address, "data:", "blob:")) for asked in tab.asked)


def test_filters_sorting_and_paging_work_by_hand(tab: Tab, address: str) -> None:
    page = tab.open("/runs/tiny0/problems")
    total = int(page.locator("main p b").first.inner_text())
    page.get_by_label("Family").select_option(index=1)
    family = page.get_by_label("Family").input_value()
    page.get_by_role("button", name="Show").click()
    shown = page.locator("tbody tr")
    assert 0 < shown.count() < total and f"family={family.replace('+', '%2B')}" in page.url
    page.get_by_role("link", name="Level").click()
    assert page.locator("th[aria-sort=descending]").inner_text().startswith("Level")
    page.get_by_role("link", name="Level").click()
    assert page.locator("th[aria-sort=ascending]").inner_text().startswith("Level")
    assert shown.count() == int(page.locator("main p b").first.inner_text())  # the filter stayed
    page.get_by_label("Search").fill("no such text")
    page.keyboard.press("Enter")
    page.wait_for_load_state()
    page.get_by_role("link", name="Clear the filters").click()
    page.goto(f"{address}/runs/tiny0/problems?limit=3")
    first = shown.first.inner_text()
    page.get_by_role("link", name="Next page").click()
    assert shown.first.inner_text() != first
    page.go_back()
    assert shown.first.inner_text() == first and tab.complaints == []


def test_the_picture_of_the_curriculum_has_its_switches(tab: Tab) -> None:
    page = tab.open("/runs/tiny0")
    title = page.locator("figure.of-curriculum h3")
    family = page.locator("select[name=family]")
    family.select_option(index=1)
    deadline = time.monotonic() + 30
    while family.input_value() not in title.inner_text():
        assert time.monotonic() < deadline, title.inner_text()
        page.wait_for_timeout(100)
    assert tab.complaints == []


def test_the_drawing_of_the_database_leads_to_its_tables_by_hand_and_by_keyboard(tab: Tab) -> None:
    page = tab.open("/runs/tiny0/schema")
    drawn = page.locator("svg.database")
    assert drawn.locator("a").count() == page.locator("section.card").count() - page.locator("section[id^=v_]").count()
    assert drawn.bounding_box()["width"] > 600
    drawn.locator("a", has_text="disagreements").click()
    assert page.url.endswith("/schema#disagreements") and page.locator("#disagreements").is_visible()
    page.locator(".drawn").focus()
    page.keyboard.press("Tab")  # the first box
    name = page.evaluate("document.activeElement.getAttribute('href')")
    edge = "getComputedStyle(document.activeElement.querySelector('.whole')).strokeWidth"
    assert name.startswith("#") and page.evaluate(edge) == "3px"
    page.keyboard.press("Enter")
    assert page.url.endswith(f"/schema{name}") and tab.complaints == []


def test_the_drawing_of_the_database_has_colours_for_light_and_dark(browser: Any, address: str) -> None:
    seen = set()
    for scheme in ("light", "dark"):
        tab = Tab(browser, address, color_scheme=scheme, viewport={"width": 1300, "height": 900})
        page = tab.open("/runs/tiny0/schema")
        seen.add(tuple(page.evaluate(f"getComputedStyle(document.querySelector('.database {part}')).fill")
                       for part in (".whole", ".title")))  # fmt: skip
        tab.page.context.close()
    assert len(seen) == 2 and len({colour for pair in seen for colour in pair}) == 4


def test_calibration_is_drawn_between_0_and_1(tab: Tab) -> None:
    page = tab.open("/runs/hostile")
    plot = page.locator("figure[data-src*='/calibration.json'] .js-plotly-plot")
    axes = "(plot) => [plot.layout.xaxis, plot.layout.yaxis].map((axis) => [axis.title.text, axis.range])"
    assert plot.evaluate(axes) == [["stated confidence", [-0.02, 1.02]], ["share right", [-0.02, 1.02]]]
    assert "100%" in plot.locator(".xtick").all_text_contents()
    diagonal = plot.evaluate("(plot) => plot.data.find((line) => line.line.dash === 'dash')")
    assert diagonal["x"] == [0, 1] and diagonal["y"] == [0, 1] and tab.complaints == []


def test_tokens_are_coloured_by_how_the_policy_has_changed_since(
    browser: Any, shown_runs: Path, tmp_path: Path, look: Look
) -> None:
    """Of a run that was rescored by its command: the colour of each token is that of its figure; none is none."""
    folder = tmp_path / "tiny0"
    shutil.copytree(shown_runs / "tiny0", folder)
    with serving(tmp_path) as address:
        tab = Tab(browser, address, viewport={"width": 1300, "height": 900})
        path, problem = _with_tokens(tab, address)
        page = tab.open(f"{path}?by=change")
        assert "inspect rescore" in page.locator(".legend").inner_text()
        assert page.locator(".tokens .unknown").count() == page.locator(".tokens .token").count() > 0
        code, out, err = look("rescore", folder, problem, "--json")
        assert code == 0, err
        page = tab.open(f"{path}?by=change")
        assert page.locator(".tokens .unknown").count() == 0
        seen: dict[int, set[str]] = {-1: set(), 0: set(), 1: set()}
        for each in page.locator(".tokens .token").all():
            change = float(each.get_attribute("title").split("since then ")[1].split(",")[0])
            sign = 0 if abs(change) < 0.05 else 1 if change > 0 else -1
            seen[sign].add(each.evaluate("(token) => getComputedStyle(token).backgroundColor"))
        legend = page.locator(".legend .token")
        colours = legend.evaluate_all("(all) => all.map((each) => getComputedStyle(each).backgroundColor)")
        assert sum(map(bool, seen.values())) > 1 and not seen[-1] & seen[1] and seen[0] <= {colours[2]}, seen
        file = next(name for name in json.loads(out) if f"step_{int(path.split('/')[-3]):06d}" in name)
        stored = json.loads(Path(file).read_text())
        Path(file).write_text(json.dumps(stored | {"logprobs": [None] * len(stored["logprobs"])}))
        page = tab.open(f"{path}?by=change")
        looks = "(token) => [getComputedStyle(token).backgroundImage, getComputedStyle(token).borderTopStyle]"
        image, border = page.locator(".tokens .token").first.evaluate(looks)
        assert "repeating-linear-gradient" in image and border == "dashed"
        assert page.locator(".legend .unknown").evaluate(looks) == [image, border] and tab.complaints == []
        tab.page.context.close()


def _with_tokens(tab: Tab, address: str) -> tuple[str, str]:
    """The path of an attempt of the last step whose turns all have tokens, and its problem."""
    asked = tab.page.request
    for line in asked.get(f"{address}/runs/tiny0/problems.json?step=4").json()["problems"]:
        for index in range(4):
            path = f"/runs/tiny0/problems/{line['problem_id']}/steps/4/attempts/{index}"
            if all(asked.get(f"{address}{path}.json").json()["tokens"]):
                return path, line["problem_id"]
    raise AssertionError("the last step trained on nothing")


def test_a_hostile_text_harms_nothing_where_it_is_shown(tab: Tab) -> None:
    for path in ("/", "/runs/hostile", "/runs/hostile/steps/1", "/runs/hostile/proposals"):
        tab.open(path)
        assert tab.page.evaluate("window.harmed") is None, path
    for i in range(len(HOSTILE)):
        page = tab.open(f"/runs/hostile/problems/h-{i}")
        assert page.evaluate("window.harmed") is None and page.evaluate("document.scripts.length") == 2, HOSTILE[i][:30]
        wide = page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
        assert wide[0] <= wide[1], f"{HOSTILE[i][:30]} makes the page wider than its window"
    assert tab.complaints == []


def test_a_narrow_window_and_a_keyboard_are_enough(browser: Any, address: str) -> None:
    tab = Tab(browser, address, viewport={"width": 360, "height": 640}, color_scheme="dark")
    for path in ("/", "/runs/tiny0", "/runs/tiny0/problems", "/runs/tiny0/steps/2", "/runs/tiny0/schema",
                 "/compare?run=tiny0&run=tiny1"):  # fmt: skip
        page = tab.open(path)
        wide = page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
        assert wide[0] <= wide[1], path
    page.goto(f"{address}/")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "To the content"
    page.keyboard.press("Enter")
    for _ in range(12):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.textContent") == "tiny0":
            page.keyboard.press("Enter")
            break
    page.wait_for_url("**/runs/tiny0")
    assert tab.complaints == []
    page.context.close()


@pytest.mark.skipif("AXE_CORE" not in os.environ, reason="AXE_CORE names no axe.min.js: `npm pack axe-core` has one")
def test_axe_finds_no_serious_fault(browser: Any, address: str) -> None:
    script = Path(os.environ["AXE_CORE"]).read_text()
    for scheme in ("light", "dark"):
        tab = Tab(browser, address, color_scheme=scheme, viewport={"width": 1300, "height": 900})
        tried = "/runs/tiny0/problems"
        for path in (
            "/",
            "/runs/tiny0",
            tried,
            "/runs/tiny0/steps/2",
            "/runs/tiny0/config",
            "/runs/tiny0/schema",
            "/compare?run=tiny0&run=tiny1",
        ):
            page = tab.open(path)
            page.evaluate(script)
            found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")["violations"]
            serious = [
                (each["id"], each["nodes"][0]["html"][:200])
                for each in found
                if each["impact"] in ("serious", "critical")
            ]
            assert serious == [], (scheme, path)
        tab.page.context.close()
