"""The commands that look at a run's store: where it stands, its problems, what was said. As people read it, or --json.

What needs more than the store is in selfplay/inspect.py, which adds it: a run's prompts, its weights, a domain.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from selfplay import metrics
from selfplay.machine.errors import DATA, DISK, USAGE, Refused
from selfplay.machine.outlet import tell
from selfplay.machine.run_folder import DATABASE
from selfplay.view import alarms as told
from selfplay.view import probes as compared
from selfplay.view import queries, trees
from selfplay.view.charts import catalogue
from selfplay.view.charts.chart import Chart, as_rows
from selfplay.view.charts.csv_text import csv_text
from selfplay.view.charts.source import Source
from selfplay.view.queries import NotFound, ProblemFilter, Sort
from selfplay.view.skills import skills as written_skills
from selfplay.view.tables import evaluation_row, minute, process_row
from selfplay.view.terminal import (
    AsJson,
    command_line,
    plain,
    say,
    say_json,
    say_table,
    say_tree,
)
from store.overview.store import OverviewStore
from store.records import Fate, Origin, ProblemState
from store.store import Store

app = command_line(
    "selfplay.inspect",
    "Look at a run: where it stands, its problems, what was said. Commands read only, also while the run is at work; "
    "but `migrate` changes a database, and `plot`, `tree -o`, `passk -o`, `audit --mask` and `export` write files.",
)

RunArgument = Annotated[str, typer.Argument(metavar="RUN", help="A run's name in --dir, or its folder.")]
Directory = Annotated[Path, typer.Option("--dir", help="Where run folders are.")]
RUNS = Path("runs")
SHOWN_ID = 8  # of 16 digits; `show` takes the beginning of an id
SHOWN_CHECKPOINTS = 4  # the newest, in the table of probes; --json has all
STEP_COLUMNS = {
    metrics.PASS_RATE: "pass",
    metrics.SIGNAL_SHARE: "signal",
    metrics.FIXED_SHARE: "fixed",
    metrics.BROKEN_SHARE: "broken",
    metrics.LEVEL_MEAN: "level",
    metrics.CHALLENGER_REWARD: "paid",
    metrics.LOSS: "loss",
    metrics.GRAD_NORM: "grad",
    metrics.TOKENS_COMPUTED: "tokens",
    metrics.TOKENS_FLAT: "flat",
}


@contextmanager
def opened(run: str, directory: Path) -> Iterator[Store]:
    """The store of a run, to read."""
    with Store.open_readonly(queries.run_folder(run, directory) / DATABASE) as store:
        yield store


@app.command()
def runs(directory: Directory = RUNS, as_json: AsJson = False) -> None:
    """Every run: how far it is, when it last wrote, and held-out accuracy (first try) at its first and newest step."""
    if not directory.is_dir():
        raise NotFound(f"there is no folder {directory}/: give the folder of runs with --dir")
    found = queries.runs(directory)
    if as_json:
        return say_json(found)
    rows = []
    for row in found:
        accuracy = {name: f"{a['first']:.2f} -> {a['newest']:.2f}" for name, a in row.get("evaluations", {}).items()}
        step = f"{row['head_step']}/{row['steps']}" if "head_step" in row else None
        shown = {
            "name": row["name"],
            "step": step,
            "seconds": row.get("seconds"),
            "last wrote (UTC)": minute(row["last_activity"]),
        }
        rows.append(shown | accuracy | ({"error": row["error"]} if "error" in row else {}))
    return say_table(rows, f"{len(rows)} runs in {directory}/")


@app.command()
def status(run: RunArgument, directory: Directory = RUNS, as_json: AsJson = False) -> None:
    """Where a run stands: step, frontier, problems by state, families, held-out accuracy, checkpoints, processes."""
    folder = queries.run_folder(run, directory).resolve().name
    with opened(run, directory) as store:
        found = {"folder": folder} | queries.status(store)
    if as_json:
        return say_json(found)
    named = folder if folder == found["name"] else f"{folder}, stored as {found['name']}"
    abandoned = f", {found['abandoned_steps']} abandoned" if found["abandoned_steps"] else ""
    checkpoints = ", ".join(str(row["step"]) for row in found["checkpoints"]) or "none"
    checkpoints += f" (best: {found['best_step']})" if found["best_step"] is not None else ""
    say(f"{named}, seed {found['seed']}: step {found['head_step']} of {found['steps']}{abandoned}")
    say(f"frontier: level {found['frontier']}    checkpoints: {checkpoints}")
    say(f"problems: {found['problems']}, " + ", ".join(f"{count} {name}" for name, count in found["states"].items()))
    signal = " ".join(metrics.shown(row, metrics.SIGNAL_SHARE) for row in found["recent"])
    say(f"signal share of the last steps: {signal or 'none yet'}")
    say("")
    say_table([evaluation_row(row) for row in found["evaluations"]], "held out, newest evaluation [95%]")
    families = [
        {"family": f["family"], "level": f["level"], "rate": f["rate"], "best": f["best_rate"] or None}
        | {"right": f"{f['right']}/{f['tried']}", "mastered": f["mastered"], "risk": f["risk"]}
        | {"last step": f["last_step"], "problems": f["num_problems"]}
        for f in found["families"]
    ]
    say_table(families, "families (rate: of first tries lately, best: once well measured, risk: of being forgotten)")
    return say_table([process_row(row) for row in found["incarnations"]], "processes that worked on it")


@app.command()
def problems(
    run: RunArgument,
    directory: Directory = RUNS,
    sort: Annotated[
        Sort,
        typer.Option(
            case_sensitive=False,
            help="Hardest, most tried, newest or highest first; or together by state, family or origin.",
        ),
    ] = Sort.DIFFICULTY,
    state: Annotated[ProblemState | None, typer.Option(case_sensitive=False, help="Only these.")] = None,
    family: Annotated[str | None, typer.Option(help="Only this family: `status` lists them.")] = None,
    origin: Annotated[Origin | None, typer.Option(case_sensitive=False, help="Only these.")] = None,
    min_rate: Annotated[float, typer.Option(help="Only those solved at least this often, from 0 to 1.")] = 0.0,
    max_rate: Annotated[float, typer.Option(help="Only those solved at most this often, from 0 to 1.")] = 1.0,
    limit: Annotated[int, typer.Option(min=1)] = 50,
    as_json: AsJson = False,
) -> None:
    """The curriculum's problems, with their state and the first-try pass rate that it foretells."""
    wanted = ProblemFilter(state, family, origin, min_rate, max_rate, sort, limit)
    with opened(run, directory) as store:
        found = queries.problems(store, wanted)
    if as_json:
        return say_json(found)
    rows = [
        {"id": row["problem_id"][:SHOWN_ID], "text": row["text"], "family": row["family"], "level": row["level"]}
        | {"origin": row["origin"], "state": row["state"], "rate": row["pass_rate"]}
        | {"right": f"{row['successes']}/{row['attempts']}", "from": row["admitted_step"], "last": row["last_step"]}
        for row in found["problems"]
    ]
    if not rows:
        return say(f"no problem matches; the families are {', '.join(found['families']) or 'none yet'}")
    return say_table(rows, f"{len(rows)} of {found['matching']} problems, by {sort}")


@app.command()
def tree(
    run: RunArgument,
    problem: Annotated[str, typer.Argument(metavar="PROBLEM", help="A problem's id, or a unique beginning of it.")],
    directory: Directory = RUNS,
    step: Annotated[int | None, typer.Option(help="Of this step; default: the newest that tried it.")] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Write it there: .png, .svg, .graphml or .json.")
    ] = None,
    attempts: Annotated[bool, typer.Option(help="The attempts alone, also where the judge searched.")] = False,
    as_json: AsJson = False,
) -> None:
    """What a step said about one problem, as a tree: said alike is said once; values are shares that ended right.

    Where the judge searched, nodes are the steps of answers, with visits and what the critics said.
    """
    with opened(run, directory) as store:
        graph, at_step, steps_with_any = queries.tree(store, problem, step, attempts)
    if output is not None:
        with writing(output):
            trees.write(graph, output, plain)
    if as_json:
        return say_json({"step": at_step, "steps": steps_with_any} | trees.graph_json(graph))
    say(f"step {at_step}; tried in steps {', '.join(map(str, steps_with_any))}")
    say_tree(trees.PROBLEM_NODE, lambda n: trees.label(graph.nodes[n]), lambda n: trees.children(graph, n))
    return say(f"wrote {output}") if output is not None else None


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """What goes wrong with a picture's file is one line that says what to do."""
    if not path.parent.is_dir():
        raise NotFound(f"there is no folder {path.parent}/ to write {path.name} to")
    try:
        yield
    except ValueError as error:
        raise Refused(str(error), USAGE) from None
    except OSError as error:
        raise Refused(f"cannot write {path}: {error.strerror}; choose another place with -o", DISK) from None


@app.command()
def lineage(run: RunArgument, directory: Directory = RUNS, as_json: AsJson = False) -> None:
    """The curriculum as a family tree: which problem was made into which, and the pass rate of each."""
    with opened(run, directory) as store:
        graph = queries.lineage(store)
    if as_json:
        return say_json(trees.graph_json(graph))
    roots = [node for node in graph if graph.in_degree(node) == 0]

    def label(node: str | None) -> str:
        if node is None:
            return f"{len(graph)} problems from {len(roots)} roots"
        own = graph.nodes[node]
        return f"{own['text']}  {own['family']}, rate {own['pass_rate']:.2f}, {own['state']}"

    return say_tree(None, label, lambda node: roots if node is None else list(graph.successors(node)))


@app.command()
def proposals(
    run: RunArgument,
    directory: Directory = RUNS,
    step: Annotated[int | None, typer.Option(help="Only this step's.")] = None,
    fate: Annotated[Fate | None, typer.Option(case_sensitive=False, help="Only those that met this fate.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="The newest that many.")] = 30,
    as_json: AsJson = False,
) -> None:
    """What the challenger proposed, and what became of it."""
    with opened(run, directory) as store:
        found = queries.proposals(store, step, fate, limit)
    if as_json:
        return say_json(found)
    counts = ", ".join(f"{count} {name}" for name, count in found["fates"].items())
    say(f"{found['total']} proposals" + (f": {counts}" if counts else ""))
    rows = [
        {"step": row["step"], "target": row["target"], "easy": row["parent"], "harder": row["text"].strip()}
        | {"fate": row["fate"], "reward": row["reward"]}
        for row in found["proposals"]
    ]
    return say_table(rows, "the newest")


@app.command()
def steps(run: RunArgument, directory: Directory = RUNS, as_json: AsJson = False) -> None:
    """One row a step: the figures to watch (docs/metrics.md says how to read them)."""
    with opened(run, directory) as store:
        found = queries.steps(store)
    if as_json:
        return say_json(found)
    rows = []
    for row in found:
        valid = f"{metrics.shown(row, metrics.VALID_NEW)}/{metrics.shown(row, metrics.PROPOSALS)}"
        shown = {"step": row["step"], "s": row["seconds"]} | {v: row.get(k) for k, v in STEP_COLUMNS.items()}
        rows.append(shown | {"valid": valid} | ({} if row["status"] == "LIVE" else {"": row["status"].lower()}))
    formats = {column: metrics.metric_of(name).unit.format for name, column in STEP_COLUMNS.items()}
    return say_table(rows, f"{len(found)} steps", formats=formats)


@app.command()
def alarms(run: RunArgument, directory: Directory = RUNS, as_json: AsJson = False) -> None:
    """What goes wrong and what went wrong: since which step, by which figure, and what to do (docs/metrics.md)."""
    with opened(run, directory) as store:
        found = told.alarms(store)
    if as_json:
        return say_json(found)
    share = found["format"]
    if share["passed"] is not None:
        ends = f"{share['first']:.2f} at first, {share['newest']:.2f} now"
        say(f"one format had over {share['threshold']:g} of first tries first at step {share['passed']} ({ends})")
    for fall in found["evaluations"]:
        say(
            f"step {fall['step']}: the first try at {fall['set']} changed by {100 * fall['change']:+.0f} points since "
            f"the start, 95% [{100 * fall['low']:+.0f}, {100 * fall['high']:+.0f}]"
        )
    if found["disagreements"]:
        differing = [
            {"step": row["step"], "problem": row["problem_id"][:SHOWN_ID], "attempt": row["attempt"]}
            | {"turn": row["turn"], "judged": row["outcome"], "again": "right" if row["is_right"] else "wrong"}
            | {"by": row["means"]}
            for row in found["disagreements"]
        ]
        say_table(differing, "answers that two judges do not agree on (`show` has what was said)")
    rows = [
        {"alarm": row["name"], "step": row["step"], "over": row["over"] or "open", "figure": row["figure"]}
        | {"threshold": row["threshold"], "what is seen": row["text"], "what to do": row["advice"]}
        for row in found["alarms"]
    ]
    return say_table(rows, f"{sum(row['over'] is None for row in found['alarms'])} of {len(rows)} alarms are open")


@app.command()
def probes(run: RunArgument, directory: Directory = RUNS, as_json: AsJson = False) -> None:
    """Problems kept to compare checkpoints by, what each checkpoint solved of them, and which is the best."""
    with opened(run, directory) as store:
        found = compared.probes(store)
    if as_json:
        return say_json(found)
    if not found["probes"]:
        return say("no probes: the run keeps none (probes.size), or no step has had one yet")
    shown = [
        {
            "step": row["step"],
            "hard": f"{row['hard_solved']}/{row['hard']}",
            "easy": f"{row['easy_solved']}/{row['easy']}",
        }
        | {"product": row["product"], "best": row["best_step"], "its product": row["best_product"]}
        | {
            "SE": row["standard_error"],
            "": f"went back, version {row['policy_version']}" if row["is_rollback"] else None,
        }
        for row in found["picks"]
    ]
    if shown:
        say_table(shown, "checkpoints, by the probes of that time")
    last = [step for step in sorted({each["step"] for each in found["picks"]})][-SHOWN_CHECKPOINTS:]
    rows = [
        {"id": row["problem_id"][:SHOWN_ID], "text": row["text"], "kind": row["kind"].lower(), "from": row["step"]}
        | {"rate": row["rate"], "kept": "yes" if row["is_kept"] else "no"}
        | {f"at {step}": {True: "solved", False: "failed"}.get(row["solved"].get(step)) for step in last}
        for row in found["probes"]
    ]
    best = "" if found["best"] is None else f"; best: step {found['best']} (RUN@best)"
    return say_table(rows, f"{len(rows)} probes{best}")


@app.command()
def skills(run: RunArgument, directory: Directory = RUNS, as_json: AsJson = False) -> None:
    """What challenger and solver wrote for themselves: the skills that they are shown now, and how each came about."""
    with opened(run, directory) as store:
        found = written_skills(store)
    if as_json:
        return say_json(found)
    for each in found["sets"]:
        rows = [{"skill": row["name"], "says": row["body"], "since step": row["since_step"]} for row in each["skills"]]
        say_table(rows, f"{each['side'].lower()}, version {each['version']}: {len(rows)} skills")
    rows = [
        {"step": row["step"], "side": row["side"].lower(), "outcome": row["outcome"], "action": row["action"]}
        | {"skill": row["name"], "why": row["reason"], "cases": len(row["cases"])}
        for row in found["rounds"]
    ]
    say_table(rows, f"{len(rows)} rounds")
    if not found["picks"]:
        return None
    shown = [
        {"step": row["step"], "version": row["version"], "hard": f"{row['hard_solved']}/{row['hard']}"}
        | {"easy": f"{row['easy_solved']}/{row['easy']}", "product": row["product"]}
        | {"": None if row["used_as"] is None else f"shown from then on, as version {row['used_as']}"}
        for row in found["picks"]
    ]
    return say_table(shown, "versions of the solver's skills, by the probes of that time")


@app.command()
def forecasts(
    run: RunArgument,
    directory: Directory = RUNS,
    parts: Annotated[int, typer.Option(min=1, help="Parts of the run that have rows of their own.")] = 3,
    as_json: AsJson = False,
) -> None:
    """How well pass rates were foretold before each step, by the curriculum's counts (beta), by what the
    features of untried problems add to them (features), and by a family's discounted counts alone (family)."""
    with opened(run, directory) as store:
        found = queries.forecasts(store, parts)
    if as_json:
        return say_json(found)
    rows = [
        {name.replace("_", " "): f"{value:.4f}" if "brier" in name else value for name, value in row.items()}
        for row in found
    ]
    return say_table(rows, "forecasts of groups (brier: lower is better; coverage: 0.9 or more is meant)")


@app.command()
def plot(
    run: RunArgument,
    directory: Directory = RUNS,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="A .png, .svg or .pdf. Default: plot.png in the run's folder.")
    ] = None,
    what: Annotated[str | None, typer.Option(help=f"One chart of the page alone: {', '.join(catalogue.KEYS)}.")] = None,
    as_csv: Annotated[
        bool, typer.Option("--csv", help="With --what: its data on standard output, no picture.")
    ] = False,
) -> None:
    """A picture: held-out accuracy with 95% intervals, what kept the learning going, frontier over steps."""
    folder = queries.run_folder(run, directory)
    if as_csv and what is None:
        raise Refused("--csv is of one chart: name it with --what", USAGE)
    path = output or folder / ("plot.png" if what is None else f"{what}.png")
    with OverviewStore.open_readonly(folder / DATABASE) as store:
        charts = [] if what is None else catalogue.drawn(Source(store), what)
        if as_csv:
            return tell(csv_text([{"chart": each.title} | row for each in charts for row in as_rows(each)]))
        with writing(path):
            _draw(store, charts, path)
    return say(f"wrote {path}")


def _draw(store: OverviewStore, charts: Sequence[Chart], path: Path) -> None:
    from selfplay.view import picture  # matplotlib takes a second, and only this command needs it
    from selfplay.view.charts import drawing

    if charts:
        drawing.draw(charts, path)
    else:
        picture.draw(store, path)


@app.command()
def verify(run: RunArgument, directory: Directory = RUNS, as_json: AsJson = False) -> None:
    """Every page and row of a run's database against what was stored; 65 and a line for each place that is damaged."""
    with opened(run, directory) as store:
        found = list(store.damages())
        count = len(store.steps(include_abandoned=True)) if not found else 0
    if as_json:
        say_json({"damaged": found})
    else:
        for line in found or [f"{count} steps and all that belongs to them are what was stored"]:
            say(line)
    if found:
        raise typer.Exit(DATA)


@app.command()
def migrate(run: RunArgument, directory: Directory = RUNS) -> None:
    """Bring a run's database to this code's schema, after a backup beside it. Not while the run is at work."""
    from selfplay.machine.run_folder import lock
    from store.upgrade import migrate as upgrade

    folder = queries.run_folder(run, directory)
    with lock(folder):
        backup = upgrade(folder / DATABASE)
    say("already up to date" if backup is None else f"migrated; the old database is {backup}")
