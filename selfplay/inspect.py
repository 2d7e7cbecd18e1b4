"""Look at a run: python -m selfplay.inspect COMMAND. Most commands are selfplay/view/commands.py's."""

import re
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from selfplay.machine.errors import DATA, Refused
from selfplay.machine.exits import clear_errors
from selfplay.machine.run_folder import DATABASE
from selfplay.view import queries
from selfplay.view.commands import RUNS, Directory, RunArgument, app, opened, writing
from selfplay.view.database import commands as database
from selfplay.view.tables import attempt_rows
from selfplay.view.terminal import LONGEST_CELL, WHOLE, AsJson, say, say_json, say_lines, say_table
from store.store import Store

app.command()(database.sql)
app.command()(database.export)


@app.command()
def show(
    run: RunArgument,
    problem: Annotated[str, typer.Argument(metavar="PROBLEM", help="A problem's id, or a unique beginning of it.")],
    directory: Directory = RUNS,
    full: Annotated[bool, typer.Option(help="What was said whole, also where it is long.")] = False,
    prompt: Annotated[bool, typer.Option(help="Also what the solver is asked, as the model reads it.")] = False,
    domain: Annotated[
        str | None, typer.Option(help="With --prompt: the run's domain, where it is a class of your own.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """One problem: where it came from, what came from it, and every attempt at it, turn by turn."""
    with opened(run, directory) as store:
        found = queries.show(store, problem)
        if prompt:
            from selfplay.run.shown_prompt import solver_prompt  # loads torch, which takes seconds: only here

            found["prompt"] = solver_prompt(store, found["problem"]["problem_id"], domain)
    if as_json:
        return say_json(found)
    own, attempts = found["problem"], found["attempts"]
    say(f"{own['text']}    answer {own['answer']}    {own['problem_id']}")
    say(f"{own['family']}, level {own['level']}, {own['origin']}, answer {own['answer_source']}; now {own['state']}")
    say(f"pass rate {own['pass_rate']:.2f}, {own['successes']} of {own['attempts']} first tries right")
    say(f"admitted in step {own['admitted_step']}, last tried in step {own['last_step']}")
    say("from:     " + (" <- ".join(each["text"] for each in found["ancestors"]) or "nobody, it is a root"))
    say("children: " + (", ".join(each["text"] for each in found["children"]) or "none"))
    if prompt:
        say("prompt:")
        say_lines(found["prompt"])
    say("")
    return say_table(attempt_rows(attempts), f"{len(attempts)} attempts", WHOLE if full else LONGEST_CELL)


@app.command()
def digest(
    run: RunArgument,
    directory: Directory = RUNS,
    tables: Annotated[bool, typer.Option("--tables", help="Also one digest over all rows.")] = False,
    as_json: AsJson = False,
) -> None:
    """Digests of the weights after every step, and sha256 of the newest checkpoint's masters: to compare two runs."""
    folder = queries.run_folder(run, directory)
    with Store.open_readonly(folder / DATABASE) as store:
        found = queries.digests(store, tables)
        newest = next(iter(store.checkpoints()), None)
    if newest is not None:
        found["checkpoint"] = {"step": newest.step, "sha256": _masters_sha256(folder / newest.path)}
    if as_json:
        return say_json(found)
    for row in found["weights"]:
        say(f"step {row['step']:>4}  xxh3 {row['weights_digest']}")
    if newest is not None:
        say(f"checkpoint of step {newest.step}  sha256 {found['checkpoint']['sha256']}")
    if tables:
        say(f"tables  sha256 {found['tables']}")
    return None


def _masters_sha256(folder: Path) -> str:
    from safetensors.torch import load_file  # loads torch, which takes seconds: only here

    from selfplay.run.checkpoint import weights_sha256
    from selfplay.run.checkpoint_files import STATE_FILE

    path = folder / STATE_FILE.format("master")
    if not path.is_file():
        raise Refused(f"{path} is missing: the checkpoint is of another version, or was deleted just now", DATA)
    return weights_sha256(iter(sorted(load_file(path).items())))


@app.command()
def audit(
    run: Annotated[
        str, typer.Argument(metavar="RUN[@STEP]", help="A run; without a step its newest checkpoint; @best.")
    ],
    against: Annotated[
        str | None, typer.Option(metavar="RUN[@STEP]", help="Another run: how much of what both changed is the same.")
    ] = None,
    since: Annotated[int, typer.Option(min=0, help="Compare with this step's checkpoint, not with the start.")] = 0,
    ranks: Annotated[bool, typer.Option(help="Also the rank of each matrix's update, which takes longest.")] = True,
    mask: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write which parameters changed: what train.mask=FILE trains.")
    ] = None,
    count: Annotated[str, typer.Option(help="What --mask takes for changed: bf16, fp32 or relative.")] = "bf16",
    directory: Directory = RUNS,
    as_json: AsJson = False,
) -> None:
    """What training changed in the weights: the share of parameters, by layer and kind, and the rank of the update."""
    from selfplay.audit.command import run_audit

    run_audit(run, against, since, ranks, mask, count, directory, as_json)


@app.command()
def weights(
    run: Annotated[
        str,
        typer.Argument(metavar="RUN[@STEP]", help="A run's newest checkpoint, or @STEP, or @best, as probes picked."),
    ],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FOLDER", help="Also copy it there, a folder that is new.")
    ] = None,
    directory: Directory = RUNS,
    as_json: AsJson = False,
) -> None:
    """Where a run's weights are, once they are read and found whole: a folder that transformers or peft can read."""
    from selfplay.suite.product import copied, product

    step, folder = product(run, directory)
    if output is not None:
        with writing(output):
            copied(folder, output)
    if as_json:
        return say_json({"step": step, "folder": str(output or folder)})
    return say(str(output or folder))


@app.command()
def rescore(
    run: Annotated[str, typer.Argument(metavar="RUN[@STEP]", help="A run; without a step its newest checkpoint.")],
    problem: Annotated[str, typer.Argument(metavar="PROBLEM", help="A problem's id, or a unique beginning of it.")],
    directory: Directory = RUNS,
    as_json: AsJson = False,
) -> None:
    """How the policy has changed since a problem was tried: scores the tokens that were trained on once more.

    Writes a small file for each step that tried it and has its journal, of all that was trained in the step; the page
    colours tokens by it (an attempt, token by token). The run may be at work.
    """
    named, _, at = run.rpartition("@") if re.fullmatch(r".+@\d+", run) else (run, "", "")
    folder = queries.run_folder(named, directory)
    with Store.open_readonly(folder / DATABASE) as store:
        steps = sorted({step for step, _ in store.attempts(queries.found_problem(store, problem))})
    from selfplay.suite.rescoring import rescore as rescored  # loads torch, which takes seconds: only here

    files = rescored(folder, steps, int(at) if at else None, say if not as_json else lambda line: None)
    if as_json:
        say_json([str(path) for path in files])


@app.command()
def passk(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="What evaluate --samples N --out FILE wrote.")],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Also draw the curves there: .png, .svg or .pdf.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """pass@k of the models in outcome files: curves, and of the first two where they part and who solves what."""
    from selfplay.suite import passing
    from selfplay.suite.shown import passing_lines, passing_rows, sampled_rows

    found = passing.read_outcomes(files)
    models = passing.by_model(found)
    compared = list(passing.compared_passing(*models[:2])) if len(models) > 1 else []
    if output is not None:
        from selfplay.suite.passing_picture import draw_passing

        with writing(output):
            draw_passing(found, output)
    if as_json:
        return say_json({"compared": [asdict(each) for each in compared], "models": sampled_rows(found)})
    if compared:
        say_table(passing_rows(compared), f"A: {compared[0].first}, B: {compared[0].second} [95%]")
        for line in passing_lines(compared):
            say(line)
    else:
        say_table(sampled_rows(found), "pass@k")
    return say(f"wrote {output}") if output is not None else None


@app.command("validate-domain")
def validate_domain(
    name: Annotated[str, typer.Argument(metavar="NAME_OR_PATH", help='"arithmetic", or my_package.my_module:MyDomain')],
    options: Annotated[
        list[str] | None, typer.Argument(metavar="[domain_options.KEY=VALUE]...", help="As for a run.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check a domain without a model: its seeds, its judge, its canonical forms and evaluation sets. 1 if one fails."""
    from curriculum.domains.loading import load_domain
    from curriculum.validation import validate_domain as validate
    from selfplay.arguments import domain_of

    domain = load_domain(name, domain_of(name, options or ()).domain_options)
    rows = [{"check": c.name, "passed": c.passed, "detail": c.detail} for c in validate(domain)]
    if as_json:
        say_json(rows)
    else:
        say_table(rows, f"domain {name}")
    if not all(row["passed"] for row in rows):
        raise typer.Exit(1)


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs one command; ends the process with its exit code."""
    with clear_errors(is_answer=True):
        app(args=arguments)


if __name__ == "__main__":
    main()
