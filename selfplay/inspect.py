"""Look at a run: `python -m selfplay.inspect --help`. Read-only, quick, safe beside a run that is at work."""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from selfplay import looking
from selfplay.exits import clear_errors
from selfplay.looking import DATABASE, NotFound, ProblemFilter
from store.store import Store

app = typer.Typer(help=__doc__, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
console = Console(highlight=False, width=None if sys.stdout.isatty() else 160)  # a pipe has no width of its own

RunArgument = Annotated[str, typer.Argument(help="A run's name in --dir, or its folder.")]
Directory = Annotated[Path, typer.Option("--dir", help="Where run folders are.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON value on standard output, nothing else.")]
RUNS = Path("runs")


@app.command()
def runs(directory: Directory = RUNS, as_json: AsJson = False) -> None:
    """Every run: how far it is, and what its newest evaluation said."""
    found = looking.runs(directory)
    if as_json:
        return _json(found)
    rows = [row | {"acc_t1": "  ".join(f"{k} {v:.2f}" for k, v in row["acc_t1"].items())} for row in found]
    _print_table(rows, f"runs in {directory}/")


@app.command()
def status(run: RunArgument, directory: Directory = RUNS, as_json: AsJson = False) -> None:
    """Where a run stands: problems by state, families, held-out accuracy, checkpoints."""
    with _opened(run, directory) as store:
        found = looking.status(store)
    if as_json:
        return _json(found)
    states = "  ".join(f"{k} {v}" for k, v in found["states"].items())
    console.print(
        f"{found['name']}: step {found['step']}, frontier {found['frontier']}, checkpoints {found['checkpoints']}"
    )
    console.print(f"{found['problems']} problems: {states}")
    console.print("last 10 steps: " + "  ".join(f"{k} {v}" for k, v in found["recent"].items()))
    _print_table(
        [{"set": name} | row for name, row in found["evaluations"].items()], "held-out sets, newest evaluation"
    )
    _print_table(found["families"], "families")
    _print_table(found["incarnations"], "processes that worked on it")


@app.command()
def problems(
    run: RunArgument,
    directory: Directory = RUNS,
    sort: Annotated[str, typer.Option(help="difficulty, attempts, step or level.")] = "difficulty",
    state: Annotated[str | None, typer.Option(help="NEW, ACTIVE, MASTERED, TOO_HARD or RETIRED.")] = None,
    family: Annotated[str | None, typer.Option(help="The domain's class, e.g. dd+dd.")] = None,
    origin: Annotated[str | None, typer.Option(help="SEED, CHALLENGER or PROCEDURAL.")] = None,
    limit: Annotated[int, typer.Option(min=1)] = 50,
    as_json: AsJson = False,
) -> None:
    """The curriculum's problems with their states and pass rates."""
    with _opened(run, directory) as store:
        found = looking.problems(store, ProblemFilter(state, family, origin, sort, limit))
    return _json(found) if as_json else _print_table(found, f"{len(found)} problems")


@app.command()
def show(
    run: RunArgument,
    problem: Annotated[str, typer.Argument(help="A problem's id, or a unique beginning of it.")],
    directory: Directory = RUNS,
    as_json: AsJson = False,
) -> None:
    """One problem: where it came from, and every attempt at it, turn by turn."""
    with _opened(run, directory) as store:
        found = looking.show(store, problem)
    if as_json:
        return _json(found)
    _print_table([found["problem"]], "problem")
    console.print(
        "escalated from: ", Text(_plain(" <- ".join(reversed(found["ancestors"])) or "nothing: it is a seed"))
    )
    console.print("children: ", Text(_plain(", ".join(found["children"]) or "none")))
    rows = [
        {"step": attempt["step"], "attempt": attempt["attempt"]}
        | {f"turn {i}": f"{turn['text'].strip()}  {turn['outcome']}" for i, turn in enumerate(attempt["turns"])}
        | {"paid": ", ".join("-" if t["reward"] is None else f"{t['reward']:g}" for t in attempt["turns"])}
        for attempt in found["attempts"]
    ]
    _print_table(rows, f"{len(rows)} attempts")


@app.command()
def proposals(
    run: RunArgument,
    directory: Directory = RUNS,
    step: Annotated[int | None, typer.Option(help="Only this step's.")] = None,
    fate: Annotated[str | None, typer.Option(help="Only those that met this fate, e.g. DUPLICATE.")] = None,
    limit: Annotated[int, typer.Option(min=1)] = 30,
    as_json: AsJson = False,
) -> None:
    """What the challenger proposed, and what became of it."""
    with _opened(run, directory) as store:
        found = looking.proposals(store, step, fate, limit)
    if as_json:
        return _json(found)
    console.print("  ".join(f"{name} {count}" for name, count in sorted(found["fates"].items())) or "no proposals")
    columns = ("step", "target", "text", "fate", "reward")
    rows = [{c: row[c] for c in columns} | {"text": row["text"].strip()} for row in found["proposals"]]
    _print_table(rows, "newest proposals")


@app.command()
def steps(run: RunArgument, directory: Directory = RUNS, as_json: AsJson = False) -> None:
    """One row a step: the figures to watch (docs/metrics.md says how to read them)."""
    with _opened(run, directory) as store:
        found = looking.steps(store)
    if as_json:
        return _json(found)
    short = [{k.rsplit("/", 1)[-1]: v for k, v in row.items() if not k.startswith("tokens")} for row in found]
    _print_table(short, f"{len(found)} steps")


@app.command()
def digest(
    run: RunArgument,
    directory: Directory = RUNS,
    tables: Annotated[bool, typer.Option("--tables", help="Also one digest over all rows.")] = False,
    as_json: AsJson = False,
) -> None:
    """Digests of the weights after every step, and sha256 of the newest checkpoint's masters: to compare runs."""
    folder = looking.run_folder(run, directory)
    with _opened(run, directory) as store:
        found = looking.digests(store, tables)
        checkpoints = store.checkpoints()
    if checkpoints:
        found["checkpoint"] = {"step": checkpoints[0].step, "sha256": _masters_sha256(folder / checkpoints[0].path)}
    if as_json:
        return _json(found)
    for step, value in found["weights"].items():
        console.print(f"step {step:>4}  {value}")
    for name in ("checkpoint", "tables"):
        if name in found:
            console.print(f"{name}  {found[name]}")


@app.command()
def plot(
    run: RunArgument,
    directory: Directory = RUNS,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Default: plot.png in the run's folder.")
    ] = None,
) -> None:
    """A picture: held-out accuracy with intervals, signal shares, difficulty."""
    from selfplay.plot import draw  # matplotlib takes a second, and only this command needs it

    path = output or looking.run_folder(run, directory) / "plot.png"
    with _opened(run, directory) as store:
        draw(store, path)
    console.print(f"wrote {path}")


@app.command("validate-domain")
def validate_domain(
    name: Annotated[str, typer.Argument(help="A domain's name, or my_package.my_module:MyDomain.")],
    as_json: AsJson = False,
) -> None:
    """Check a domain without a model: its seeds, its judge, its canonical forms, its evaluation sets."""
    from curriculum.domains.loading import load_domain
    from curriculum.domains.validation import validate_domain as validate

    checks = validate(load_domain(name))
    rows = [{"check": c.name, "passed": c.passed, "detail": c.detail} for c in checks]
    _json(rows) if as_json else _print_table(rows, f"domain {name}")
    if not all(c.passed for c in checks):
        raise typer.Exit(1)


@app.command()
def migrate(run: RunArgument, directory: Directory = RUNS) -> None:
    """Bring a run's database to this version's schema, after a backup. Not while the run is at work."""
    from store.upgrade import migrate as upgrade

    backup = upgrade(looking.run_folder(run, directory) / DATABASE)
    console.print("already up to date" if backup is None else f"migrated; the old database is {backup}")


@contextmanager
def _opened(run: str, directory: Path) -> Iterator[Store]:
    with Store.open_readonly(looking.run_folder(run, directory) / DATABASE) as store:
        yield store


def _masters_sha256(folder: Path) -> str:
    from safetensors.torch import load_file  # loads torch: only here

    from selfplay.checkpoint import STATE_FILE, weights_sha256

    return weights_sha256(iter(sorted(load_file(folder / STATE_FILE.format("master")).items())))


def _json(value: Any) -> None:
    sys.stdout.write(json.dumps(value) + "\n")


def _print_table(rows: Sequence[Mapping[str, Any]], title: str) -> None:
    """Columns are the keys of the rows, in order of first appearance. Text of the model is shown, never interpreted."""
    table = Table(title=title, title_justify="left")
    columns = list(dict.fromkeys(key for row in rows for key in row))
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text(_plain("" if row.get(c) is None else str(row[c]))) for c in columns))
    console.print(table)


def _plain(text: str) -> str:
    """Without control characters: a model's text must not drive the terminal."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def main() -> None:
    with clear_errors():
        try:
            app()
        except NotFound as error:
            print(f"error: {error}", file=sys.stderr)
            sys.exit(2)


if __name__ == "__main__":
    main()
