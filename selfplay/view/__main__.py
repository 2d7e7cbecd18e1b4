"""See runs in a browser: python -m selfplay.view [RUN|FOLDER]. The page is selfplay/view/page."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from selfplay.machine.errors import USAGE, Refused
from selfplay.machine.exits import clear_errors
from selfplay.view.page.library import Library
from selfplay.view.queries import NotFound, run_folder
from selfplay.view.terminal import command_line

RUNS = Path("runs")
INSTALL = "uv sync --extra view"
NEEDED = ("jinja2", "plotly", "starlette", "uvicorn")
app = command_line("selfplay.view", None)


@app.command()
def view(
    shown: Annotated[
        str, typer.Argument(metavar="[RUN|FOLDER]", help="A run's name in runs/, its folder, or a folder of runs.")
    ] = "",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Where to listen; 0: any port that is free.")] = 8642,
    host: Annotated[
        str, typer.Option(help="Whom to listen to. Beyond this machine, whoever looks needs the printed token.")
    ] = "127.0.0.1",
    is_opened: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
) -> None:
    """See runs in a browser: what was learned, practised, paid and said. It only reads, also while a run is at work."""
    library, path = found(shown)
    try:
        import plotly  # noqa: F401 (its script is served, and nothing else would notice before a chart is asked for)

        from selfplay.view.page.serving import Place, serve
    except ModuleNotFoundError as error:
        lacking = (error.name or "").partition(".")[0]
        if lacking not in NEEDED:
            raise
        raise Refused(f"the page needs {lacking}, which is not installed: {INSTALL}", USAGE) from None
    serve(library, Place(host, port), path, is_opened)


def found(shown: str) -> tuple[Library, str]:
    """The runs that are meant, and the address of the page to begin with. NotFound where there is neither."""
    if shown:
        with suppress(NotFound):
            whole = run_folder(shown, RUNS).resolve()
            return Library(whole.parent), f"/runs/{whole.name}"
    folder = Path(shown) if shown else RUNS
    if not folder.is_dir():
        begin = "start one with python -m selfplay.loop, or name its folder"
        hint = "name a run or a folder of runs" if shown else begin
        raise NotFound(f"there is no run and no folder {str(folder)!r}: {hint}")
    return Library(folder), "/"


def main(arguments: Sequence[str] | None = None) -> None:
    """Serves until Ctrl-C; ends the process with its exit code."""
    with clear_errors(is_answer=True):
        app(args=arguments)


if __name__ == "__main__":
    main()
