"""The application: every address, its `.json` twin and, for charts, its CSV.

A handler asks a view (`run_views.py`, `problem_views.py` ...) for plain values, which go
through a template, or out as JSON as they stand. Handlers run in threads, each with a store of its own that it
opens and closes.
"""

import json
from collections import defaultdict
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from selfplay.machine.errors import USAGE, Failure
from selfplay.machine.exits import line_of
from selfplay.view.charts import catalogue
from selfplay.view.charts.chart import Chart, as_rows
from selfplay.view.charts.csv_text import csv_text
from selfplay.view.charts.curriculum import TRIED
from selfplay.view.page import asking, problem_views, run_views, schema_views, token_views
from selfplay.view.page.library import Library
from selfplay.view.page.rendering import environment
from selfplay.view.queries import NotFound
from store.errors import NoSuchProblem, StoreError

STATIC = Path(__file__).parent / "static"
MOST_COMPARED = 6
View = Callable[[Request], dict[str, Any]]
Drawing = Callable[[Request], Chart]


class Pages:
    """The handlers, which share the library and what was worked out of runs that stand still."""

    def __init__(self, library: Library) -> None:
        self.library = library
        self._lines = run_views.Lines(library, {})
        self._templates = environment()

    def routes(self) -> list[Route | Mount]:
        """Addresses that end in .json or .csv come first: a name may have a dot in it."""
        run, problem = "/runs/{run}", "/runs/{run}/problems/{problem}"
        attempt = problem + "/steps/{step:int}/attempts/{attempt:int}"
        return [
            *self._page("/", "runs.html", lambda request: run_views.runs(self._lines), json_path="/runs.json"),
            Route("/runs", lambda request: RedirectResponse("/")),
            *self._page("/compare", "compare.html", self._compared),
            *self._chart("/compare/charts/{key}", self._overlaid),
            *self._chart(run + "/charts/{key}", self._run_chart),
            *self._chart(problem + "/posterior", self._posterior),
            *self._chart(problem + "/steps/{step:int}/searched", self._searched),
            *self._chart(run + "/steps/{step:int}/blocks", self._blocks),
            *self._page(attempt, "tokens.html", self._tokens),
            *self._page(problem, "problem.html", lambda r: problem_views.problem(self.library, _run(r), _problem(r))),
            *self._page(run + "/problems", "problems.html", self._problems),
            *self._page(run + "/proposals", "proposals.html", self._proposals),
            *self._page(run + "/config", "config.html", lambda r: run_views.config(self.library, _run(r))),
            *self._page(run + "/schema", "schema.html", lambda r: schema_views.schema(self.library, _run(r))),
            *self._page(run + "/steps/{step:int}", "step.html", self._step),
            *self._page(run, "run.html", lambda r: run_views.run(self.library, _run(r))),
            Route("/static/plotly.min.js", _plotly),
            Mount("/static", StaticFiles(directory=STATIC)),
        ]

    def _page(self, path: str, template: str, view: View, json_path: str = "") -> list[Route]:
        def as_json(request: Request) -> Response:
            return self._answered(request, lambda: _json(view(request)), is_html=False)

        def as_html(request: Request) -> Response:
            return self._answered(request, lambda: self._html(request, template, view(request)), is_html=True)

        return [Route(json_path or f"{path}.json", as_json), Route(path, as_html)]

    def _chart(self, path: str, drawing: Drawing) -> list[Route]:
        def as_json(request: Request) -> Response:
            return self._answered(request, lambda: _json(chart_values(drawing(request))), is_html=False)

        def as_csv(request: Request) -> Response:
            return self._answered(request, lambda: _csv(drawing(request)), is_html=False)

        return [Route(f"{path}.json", as_json), Route(f"{path}.csv", as_csv)]

    def _answered(self, request: Request, answer: Callable[[], Response], is_html: bool) -> Response:
        """A failure that people can cause or meet is one line, with the status that a browser knows it by."""
        try:
            return answer()
        except (NotFound, NoSuchProblem) as error:
            return self._failed(request, str(error), 404, is_html)
        except StoreError as error:
            return self._failed(request, line_of(error), 503, is_html)
        except Failure as error:
            return self._failed(request, str(error), 404 if getattr(error, "code", USAGE) == USAGE else 500, is_html)

    def _failed(self, request: Request, message: str, status: int, is_html: bool) -> Response:
        if is_html:
            return self._html(request, "failed.html", {"message": message}, status)
        return _json({"error": message}, status)

    def _html(self, request: Request, template: str, values: dict[str, Any], status: int = 200) -> Response:
        asked = defaultdict(str, request.query_params)
        page = self._templates.get_template(template).render(**values, asked=asked, path=request.url.path)
        return HTMLResponse(page, status)

    def not_found(self, request: Request, error: Exception) -> Response:
        """An address that is none."""
        status = error.status_code if isinstance(error, HTTPException) else 404
        return self._failed(request, "there is no such page", status, is_html=not request.url.path.endswith(".json"))

    # What the addresses ask for

    def _compared(self, request: Request) -> dict[str, Any]:
        names = _compared_names(request)
        if not names:
            return {"runs": [], "available": self.library.names(), "settings": [], "paired": [], "charts": []}
        return run_views.compared(self.library, names)

    def _overlaid(self, request: Request) -> Chart:
        with ExitStack() as stack:
            names = _compared_names(request)
            if not names:
                raise NotFound("name the runs to compare: ?run=a&run=b")
            sources = {name: stack.enter_context(self.library.source(name)) for name in names}
            return catalogue.overlaid(sources, _wanted(request))

    def _run_chart(self, request: Request) -> Chart:
        with self.library.source(_run(request)) as source:
            return catalogue.chart(source, _wanted(request))

    def _posterior(self, request: Request) -> Chart:
        return problem_views.posterior_chart(self.library, _run(request), _problem(request))

    def _blocks(self, request: Request) -> Chart:
        return problem_views.blocks_chart(self.library, _run(request), request.path_params["step"])

    def _searched(self, request: Request) -> Chart:
        number, searched = request.path_params["step"], _problem(request)
        return problem_views.blocks_chart(self.library, _run(request), number, searched)

    def _tokens(self, request: Request) -> dict[str, Any]:
        step, attempt = request.path_params["step"], request.path_params["attempt"]
        return token_views.tokens(self.library, _run(request), _problem(request), step, attempt)

    def _problems(self, request: Request) -> dict[str, Any]:
        return problem_views.problems(self.library, _run(request), asking.problem_query(request.query_params))

    def _proposals(self, request: Request) -> dict[str, Any]:
        asked = request.query_params
        step, before = asking.whole(asked, "step"), asking.whole(asked, "before")
        return problem_views.proposals(self.library, _run(request), asking.fates(asked), step, before)

    def _step(self, request: Request) -> dict[str, Any]:
        return problem_views.step(self.library, _run(request), request.path_params["step"])


def application(library: Library) -> Starlette:
    """The page about the runs of a library. `guard.Guard` goes around it."""
    pages = Pages(library)
    return Starlette(routes=pages.routes(), exception_handlers={404: pages.not_found, 405: pages.not_found})


def chart_values(chart: Chart) -> dict[str, Any]:
    """A chart as JSON has it."""
    return asdict(chart) | {"is_empty": chart.is_empty}


def _run(request: Request) -> str:
    return str(request.path_params["run"])


def _problem(request: Request) -> str:
    return str(request.path_params["problem"])


def _compared_names(request: Request) -> list[str]:
    return list(dict.fromkeys(request.query_params.getlist("run")))[:MOST_COMPARED]


def _wanted(request: Request) -> catalogue.Wanted:
    asked = request.query_params
    return catalogue.Wanted(
        key=str(request.path_params["key"]),
        set_name=asked.get("set", ""),
        of=asked.get("of", TRIED),
        family=asked.get("family", ""),
    )


def _json(values: dict[str, Any], status: int = 200) -> Response:
    """ASCII alone, so that no text of a model's is anything but a JSON string."""
    return Response(json.dumps(values, allow_nan=False), status, media_type="application/json")


def _csv(chart: Chart) -> Response:
    name = f"{chart.key}.csv"
    headers = {"content-disposition": f'attachment; filename="{name}"'}
    return PlainTextResponse(csv_text(as_rows(chart)), headers=headers, media_type="text/csv")


def _plotly(request: Request) -> Response:
    """Plotly's own bundle, out of its Python package."""
    import plotly

    path = Path(plotly.__file__).parent / "package_data" / "plotly.min.js"
    return FileResponse(path, media_type="text/javascript", headers={"cache-control": "max-age=86400"})
