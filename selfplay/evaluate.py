"""Evaluate a model, or a run's weights, on any problems: python -m selfplay.evaluate MODEL_OR_RUN[@STEP] --set SET."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from selfplay.machine.exits import clear_errors
from selfplay.machine.outlet import complain
from selfplay.suite.outcomes_file import check_path, write
from selfplay.suite.request import Request, prepare
from selfplay.suite.sets import read_options
from selfplay.suite.shown import compared_rows, model_rows, passing_lines, passing_rows, report_json
from selfplay.view.terminal import AsJson, command_line, say, say_json, say_table

USAGE = """\
Evaluate a model, or a run's weights, on problems of any kind. Nothing is trained, and no run is changed.

\b
  python -m selfplay.evaluate smollm2-135m --set questions.jsonl
  python -m selfplay.evaluate runs/default-seed0 --samples 8            a run's newest checkpoint, on its own sets
  python -m selfplay.evaluate default-seed0@40 --set arithmetic:add2 --against default-seed0@0
  python -m selfplay.evaluate ./my-model --set reasoning_gym:chain_sum --limit 100 --out outcomes.jsonl
  python -m selfplay.evaluate ./my-model --set my_module:MyDomain --option size=3 solver.max_tokens=64

MODEL_OR_RUN is what model.name takes (smollm2-135m, a folder, a Hugging Face id), or a run, by its folder or its name
in --dir. Of a run the newest checkpoint that verifies is evaluated, or that of STEP; step 0 is what it began with, best
is the one that its probes picked.
KEY=VALUE are keys of a configuration (`python -m selfplay.loop --keys`), such as solver.max_tokens or run.threads: a
run has its own, a model those that every run has if nobody says otherwise. --against is asked as the first one is.

Every share has its 95% interval in brackets. docs/evaluate.md says how each figure is made. Exit codes are those of
python -m selfplay.loop.
"""

app = command_line("selfplay.evaluate", None)


@app.command(help=USAGE)
def evaluate(
    model: Annotated[str, typer.Argument(metavar="MODEL_OR_RUN[@STEP]", help="What is evaluated.")],
    keys: Annotated[list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Keys of a configuration.")] = None,
    sets: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="SET",
            help="FILE.jsonl, whole; DOMAIN[:SET], its held-out problems; reasoning_gym:FAMILY; or "
            "my_package.my_module:MyDomain[:SET]. May be given several times. A run's own sets by default.",
        ),
    ] = None,
    option: Annotated[
        list[str] | None, typer.Option(metavar="KEY=VALUE", help="An option of the sets' domains, as domain_options.")
    ] = None,
    against: Annotated[
        str | None, typer.Option(metavar="MODEL_OR_RUN[@STEP]", help="Compare with this one, problem by problem.")
    ] = None,
    turns: Annotated[int | None, typer.Option(help="1: first tries alone; 2: a second look at each.")] = None,
    samples: Annotated[int, typer.Option(min=0, help="First tries at temperature 1 for pass@k and the vote.")] = 0,
    search_tokens: Annotated[
        int, typer.Option(min=0, help="Tokens a problem of a tree search told by the judge, beside best-of-N.")
    ] = 0,
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many problems of each set.")] = None,
    style: Annotated[str | None, typer.Option(help="How problems are put into words: prompts.style.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of the samples. A run's own by default, else 0.")] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Each problem's outcomes: .jsonl, or .parquet.")
    ] = None,
    directory: Annotated[Path, typer.Option("--dir", help="Where run folders are.")] = Path("runs"),
    as_json: AsJson = False,
) -> None:
    given = {"solver.turns": turns, "prompts.style": style, "seed": seed, "evaluate.search_tokens": search_tokens}
    overrides = [*(keys or ()), *(f"{key}={value}" for key, value in given.items() if value is not None)]
    if out is not None:
        check_path(out)
    prepared = prepare(
        Request(
            model=model,
            sets=sets or (),
            against=against,
            num_samples=samples,
            limit=limit,
            options=read_options(option or ()),
            overrides=overrides,
            directory=directory,
        )
    )

    from selfplay.suite.evaluating import evaluate as run  # loads torch, and a wrong argument is answered before

    report = run(prepared, complain)
    if out is not None:
        write(report, out)
    if as_json:
        return say_json(report_json(report))
    for each in (report.model, report.against):
        if each is not None:
            at = f", step {each.step}" if each.step else ""
            say_table(model_rows(each), f"{each.model}{at} [95%]")
    if report.against is not None:
        say_table(compared_rows(report), f"A: {report.model.model}, B: {report.against.model}, on the same problems")
        if report.passing:
            say_table(passing_rows(report.passing), "pass@k, A is the first model and B the second")
            for line in passing_lines(report.passing):
                say(line)
    return None


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command; ends the process with its exit code."""
    with clear_errors(is_answer=True):
        app(args=arguments)


if __name__ == "__main__":
    main()
