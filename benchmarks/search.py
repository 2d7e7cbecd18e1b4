"""Tree search on the token tree against the same search on transformers' `generate`, and best-of-N beside both.

The search is plain UCT with one rollout a step, on countdown. Its waves are answered by TreeEngine, or by one
left-padded `model.generate` a wave, which shares nothing between rows or waves. Both draw by the same keyed random
numbers, yet rounding differs: among 49,152 tokens many a draw falls on one whose share is smaller than that, a fifth of
them in bfloat16, and the trees part. So in the rounds that count `generate` makes its own draws and is then made to say
what ours said: the trees are the same step for step, which is checked. How often it would have said the same is
reported, and float32 log-probabilities that are apart end the run. With a tiny model's few tokens the trees are the
same without that (tests/test_search_benchmark.py).

Best-of-N spends as many sampled tokens as the search on whole answers, on our engine, in one wave.

Of the prompts `few-shot` has six solved problems in front of each problem, as base models are asked and the default job
asks; `chat` is the model's template and an instruction. The searches of a step run in one batch, and the more of them
there are the fuller the engine is.

    uv run python benchmarks/search.py --prompts few-shot
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Annotated, Any

import torch
import typer
from rich.console import Console
from rich.table import Table
from search_sides import GenerateEngine, Run, ShownCountdown, Work, best_of, run

from curriculum.domains.countdown import CountdownDomain
from selfplay.engine.tree_engine import TreeEngine
from selfplay.machine.memory import keep_freed_memory
from selfplay.model.weights.loading import load_model

MAX_APART = 1e-3  # of float32 log-probabilities of the same token behind the same context
PROMPTS: dict[str, tuple[type[CountdownDomain], str]] = {
    "few-shot": (ShownCountdown, "few_shot"),
    "chat": (CountdownDomain, "chat"),
}
NAMES = {"tree": "ours, tree", "generate": "generate", "best_of": "ours, best of N"}
console = Console(stderr=True)


@dataclass(frozen=True, slots=True)
class Measured:
    """The rounds of each side, and what the warm-up showed."""

    rounds: Mapping[str, Sequence[Run]]
    n: int  # answers to each problem of best-of-N
    equal_steps: float  # when each side drew its own
    equal_draws: float  # behind the same tokens
    apart: float  # log-probabilities of these, at most


def measure(work: Work, rounds: int, is_exact: bool) -> Measured:
    """Every side once to warm up, then `rounds` of each in turns."""
    first = run(work, TreeEngine(work.policy, 0), work.search, {})
    other = run(work, GenerateEngine(work.policy, 0), work.search, {})
    console.print(f"warm-up: ours {first.wall:.2f} s, generate {other.wall:.2f} s", highlight=False)
    guess = max(1, first.sampled // (len(work.problems) * work.steps.params.max_tokens))
    answers = run(work, TreeEngine(work.policy, 0), lambda growth: best_of(growth, guess), {})
    n = max(1, round(guess * first.sampled / answers.sampled))
    runs: dict[str, list[Run]] = {side: [] for side in NAMES}
    drawn, agreed, apart = 0, 0, 0.0
    for number in range(rounds):
        runs["tree"].append(run(work, TreeEngine(work.policy, 0), work.search, {}))
        generate = GenerateEngine(work.policy, 0)
        runs["generate"].append(run(work, generate, work.search, first.waves))
        drawn, agreed, apart = drawn + generate.drawn, agreed + generate.agreed, max(apart, generate.apart)
        if is_exact and apart > MAX_APART:
            raise SystemExit(f"log-probabilities of the same tokens are {apart:.1e} apart: the sides differ")
        for side in ("tree", "generate"):
            if runs[side][-1].grown() != first.grown():
                raise SystemExit(f"{NAMES[side]}: another search tree than in the warm-up")
        runs["best_of"].append(run(work, TreeEngine(work.policy, 0), lambda growth: best_of(growth, n), {}))
        walls = ", ".join(f"{NAMES[side]} {done[-1].wall:.2f} s" for side, done in runs.items())
        console.print(f"round {number + 1} of {rounds}: {walls}", highlight=False)
    return Measured(runs, n, first.equal_steps(other), agreed / drawn, apart)


def summary(measured: Measured) -> dict[str, Any]:
    """Everything that was measured, as plain values. Ratios are generate's seconds over ours, round by round."""
    result: dict[str, Any] = {}
    for what in ("wall", "cpu"):
        pairs = zip(measured.rounds["generate"], measured.rounds["tree"], strict=True)
        ratios = [getattr(theirs, what) / getattr(ours, what) for theirs, ours in pairs]
        result |= {f"ratio_{what}_median": median(ratios), f"ratio_{what}_spread": [min(ratios), max(ratios)]}
    tree, generate = (measured.rounds[side][0] for side in ("tree", "generate"))
    return result | {
        "ratio_computed": generate.computed / tree.computed,
        "equal_steps": measured.equal_steps,
        "equal_draws": measured.equal_draws,
        "logprobs_apart": measured.apart,
        "best_of_n": measured.n,
        "sides": {side: _side(rounds) for side, rounds in measured.rounds.items()},
    }


def _side(rounds: Sequence[Run]) -> dict[str, float]:
    """Medians of what varies; the rest is the same in every round."""
    last = rounds[-1]
    return {
        "wall": median(r.wall for r in rounds),
        "cpu": median(r.cpu for r in rounds),
        "nodes_per_second": median(r.nodes / r.wall for r in rounds),
        "samples_per_second": median(r.samples / r.wall for r in rounds),
        "tokens_per_second": median(r.sampled / r.wall for r in rounds),
        "nodes": last.nodes,
        "samples": last.samples,
        "sampled": last.sampled,
        "computed": last.computed,
        "flat": last.flat,
        "solved": sum(each.is_right for each in last.found),
        "extra_gib": max(r.extra_bytes for r in rounds) / 2**30,
    }


def show(result: dict[str, Any]) -> None:
    """The table, and the ratios below it."""
    title = f"{result['problems']} searches to {result['nodes']} steps or more, medians of {result['rounds']} rounds"
    table = Table(title=title)
    for column in ("", *NAMES.values()):
        table.add_column(column, justify="left" if not column else "right")
    rows = {
        "wall seconds": ("wall", "{:.2f}"),
        "CPU seconds": ("cpu", "{:.2f}"),
        "steps per second": ("nodes_per_second", "{:.2f}"),
        "samples per second": ("samples_per_second", "{:.2f}"),
        "sampled tokens per second": ("tokens_per_second", "{:.1f}"),
        "steps": ("nodes", "{}"),
        "samples": ("samples", "{}"),
        "tokens sampled": ("sampled", "{}"),
        "tokens computed, padding included": ("computed", "{}"),
        "tokens flat": ("flat", "{}"),
        "problems solved": ("solved", "{}"),
        "peak memory of the run, GiB": ("extra_gib", "{:.2f}"),
    }
    for name, (key, form) in rows.items():
        table.add_row(name, *(form.format(result["sides"][side][key]) for side in NAMES))
    console.print(table)
    for what in ("wall", "cpu"):
        low, high = result[f"ratio_{what}_spread"]
        console.print(f"generate over ours, {what}: {result[f'ratio_{what}_median']:.1f}x ({low:.1f} to {high:.1f})")
    console.print(
        f"computed: {result['ratio_computed']:.1f}x; steps equal when each drew its own: {result['equal_steps']:.1%}, "
        f"draws equal behind the same tokens: {result['equal_draws']:.1%}, their log-probabilities at most "
        f"{result['logprobs_apart']:.1e} apart; N = {result['best_of_n']}"
    )


def main(
    model: Annotated[str, typer.Option(help="as model.name of a run")] = "smollm2-135m",
    dtype: Annotated[str, typer.Option(help="bfloat16 or float32")] = "bfloat16",
    attention: Annotated[str, typer.Option(help="of generate: sdpa or eager")] = "sdpa",
    prompts: Annotated[str, typer.Option(help="few-shot or chat")] = "few-shot",
    problems: Annotated[int, typer.Option(help="searches, all in one batch")] = 32,
    nodes: Annotated[int, typer.Option(help="steps, those of rollouts included, after which a search ends")] = 32,
    max_tokens: Annotated[int, typer.Option(help="of a whole answer")] = 48,
    rounds: Annotated[int, typer.Option(help="rounds that count, after one warm-up")] = 3,
    threads: Annotated[int, typer.Option(help="torch threads")] = 2,
    as_json: Annotated[bool, typer.Option("--json", help="print one JSON object to standard output")] = False,
) -> None:
    """Measure tree search on our engine against the same search on transformers' generate, and best-of-N."""
    if prompts not in PROMPTS:
        raise typer.BadParameter(f"{prompts!r}: it is one of {', '.join(PROMPTS)}", param_hint="--prompts")
    torch.set_num_threads(threads)
    keep_freed_memory()
    loaded = load_model(model, dtype)
    loaded.model.set_attn_implementation(attention)
    domain, style = PROMPTS[prompts]
    work = Work.of(loaded, domain(3, 4), problems, nodes, max_tokens, style)
    facts = {
        "model": model, "dtype": dtype, "prompts": prompts, "attention": attention, "problems": problems,
        "nodes": nodes, "max_tokens": max_tokens, "rounds": rounds, "threads": threads, "search": asdict(work.settings),
    }  # fmt: skip
    result = summary(measure(work, rounds, is_exact=dtype == "float32")) | facts
    show(result)
    if as_json:
        print(json.dumps(result))


if __name__ == "__main__":
    typer.run(main)
