"""When is the tree pass cheaper than the flat pass? A grid over prompt length, completion length and group size.

Times forward and backward of one pack in both modes, without the output embedding (it costs the same in both). A pack
has about 1,000 tokens, or one group where that is longer; a shape whose group has more than 5,000 is left out, since a
run cuts it into several packs. From that it fits the constants that choose between them: `TREE_PAIR_COST` and
`FLAT_PAIR_COST` (selfplay/train/passes.py) and `BUCKET_OVERHEAD` (selfplay/model/attention/plan.py), and shows what
`auto` chooses and what it costs.

    uv run python benchmarks/grid.py
    uv run python benchmarks/grid.py --long       # completions of 512 to 4,096 tokens, without fitting constants
    uv run python benchmarks/grid.py --long --quick --threads 1 --prompt 16 --prompt 256
"""

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import product
from typing import Annotated, Any, Literal

import numpy as np
import torch
import typer
from rich.console import Console
from rich.table import Table

from roles.tree import ROOT, Tree
from selfplay.learn.batch import TrainBatch, TrainSample, build_batch
from selfplay.machine.memory import keep_freed_memory
from selfplay.model.attention import plan as plans
from selfplay.model.policy import Policy
from selfplay.model.weights.loading import load_model
from selfplay.train import passes
from selfplay.train.packing import cut
from selfplay.train.passes import PackPass, pack_hidden, prepare

PROMPTS, GROUPS = (16, 64, 256), (1, 2, 8)
SHORT, LONG = (4, 32, 128), (512, 2048, 4096)  # completions
PACK_TOKENS, MOST_TOKENS = 1024, 5_000
OVERHEADS = (0, 30_000, 10**9)  # of a bucket: as many buckets as there can be, as now, only one
console = Console(stderr=True)


@dataclass(frozen=True, slots=True)
class Cell:
    """One shape of a batch, and CPU seconds of its two passes."""

    prompt: int
    completion: int
    group_size: int
    tree_tokens: int
    flat_tokens: int
    tree: float
    flat: float
    chosen: str

    @property
    def auto_over_flat(self) -> float:
        return (self.tree if self.chosen == "tree" else self.flat) / self.flat


@dataclass(frozen=True, slots=True)
class Timing:
    """One timed pass in the terms of the cost model."""

    mode: Literal["tree", "flat"]
    tokens: int
    pairs: int
    buckets: int
    seconds: float


def batch_of(prompt: int, completion: int, group_size: int, vocabulary: int) -> TrainBatch:
    """Random groups behind random prompts, nothing shared but a group's prompt; completions half to fully long."""
    random = np.random.Generator(np.random.Philox(key=prompt * 10**6 + completion * 10**3 + group_size))
    tree = Tree(merge=False)
    samples: list[TrainSample] = []
    while not samples or len(tree) + prompt + completion * group_size <= PACK_TOKENS:
        above = tree.extend(ROOT, (int(t) for t in random.integers(0, vocabulary, prompt)))
        for i in range(group_size):
            length = int(random.integers(max(1, completion // 2), completion + 1))
            ids = [int(t) for t in random.integers(0, vocabulary, length)]
            node = tree.sampled(above, ids, [-1.0] * length, "solver/0")
            samples.append(TrainSample("solver/0", node, length, 1.0 if i % 2 else -1.0))
    return build_batch(tree, samples, {"solver/0": 1.0})


def run(policy: Policy, batch: TrainBatch, plan: PackPass) -> float:
    """CPU seconds of forward and backward."""
    start = time.process_time()
    with pack_hidden(policy, batch, plan) as hidden:
        hidden.float().square().mean().backward()
    seconds = time.process_time() - start
    policy.model.zero_grad()
    return seconds


def fastest(policy: Policy, batch: TrainBatch, plans: Sequence[PackPass], times: int) -> list[float]:
    """The least seconds of each, in turns."""
    seconds = [[run(policy, batch, plan) for plan in plans] for _ in range(times)]
    return [min(column) for column in zip(*seconds, strict=True)]


def measure(
    policy: Policy, batch: TrainBatch, shape: tuple[int, int, int], times: int, overheads: Sequence[int]
) -> tuple[Cell, list[Timing]]:
    """Both modes of a batch that is one pack, and the tree at these overheads of a bucket."""
    (pack,) = cut(batch, 10**6)
    width = policy.head.weight.shape[1]
    tree, flat = (prepare(batch, pack, mode, width) for mode in ("tree", "flat"))
    assert flat.rows is not None
    tree_seconds, flat_seconds = fastest(policy, batch, [tree, flat], times)
    rows, length = flat.rows.ids.shape
    timings = [Timing("flat", flat.tokens, rows * length * length, 0, flat_seconds)]
    before = plans.BUCKET_OVERHEAD
    for overhead in overheads:
        plans.BUCKET_OVERHEAD = overhead
        plan = passes.tree_plan(batch, pack, policy.device)
        seconds = tree_seconds if overhead == before else fastest(policy, batch, [tree], times)[0]
        timings.append(Timing("tree", tree.tokens, plan.num_pairs, len(plan.buckets), seconds))
    plans.BUCKET_OVERHEAD = before
    chosen = prepare(batch, pack, "auto", width).mode
    return Cell(*shape, tree.tokens, flat.tokens, tree_seconds, flat_seconds, chosen), timings


def fit(timings: Sequence[Timing], width: int) -> dict[str, float]:
    """Least squares of relative errors: seconds = a tokens + (tree or flat) b pairs + c buckets + d, none below 0."""
    columns = np.array([
        [t.tokens, t.pairs * (t.mode == "tree"), t.pairs * (t.mode == "flat"), t.buckets, 1.0] for t in timings
    ])  # fmt: skip
    seconds = np.array([t.seconds for t in timings])
    active = list(range(columns.shape[1]))
    while True:
        solved = np.linalg.lstsq(columns[:, active] / seconds[:, None], np.ones(len(seconds)), rcond=None)[0]
        if (solved >= 0).all():
            break
        active.pop(int(solved.argmin()))
    token, tree_pair, flat_pair, bucket, _ = (dict(zip(active, solved, strict=True)).get(i, 0.0) for i in range(5))
    return {
        "tree_pair_cost": tree_pair * width / token,
        "flat_pair_cost": flat_pair * width / token,
        "bucket_overhead": bucket / tree_pair if tree_pair else float("inf"),
        "worst_relative_error": float(np.abs(columns[:, active] @ solved / seconds - 1).max()),
    }


def show(cells: Sequence[Cell], fitted: dict[str, float] | None) -> None:
    table = Table(title="forward and backward of one pack, CPU seconds")
    for name in ("prompt", "completion", "group", "tokens tree", "flat", "tree", "flat", "auto", "auto / flat"):
        table.add_column(name, justify="right")
    for c in cells:
        table.add_row(
            *map(str, (c.prompt, c.completion, c.group_size, c.tree_tokens, c.flat_tokens)),
            f"{c.tree:.2f}", f"{c.flat:.2f}", c.chosen, f"{c.auto_over_flat:.2f}",
        )  # fmt: skip
    console.print(table)
    if fitted is not None:
        console.print({name: float(f"{value:.3g}") for name, value in fitted.items()})
    console.print(
        f"in use: TREE_PAIR_COST {passes.TREE_PAIR_COST}, FLAT_PAIR_COST {passes.FLAT_PAIR_COST}, "
        f"BUCKET_OVERHEAD {plans.BUCKET_OVERHEAD}; auto over flat at worst "
        f"{max(c.auto_over_flat for c in cells):.2f}, at best {min(c.auto_over_flat for c in cells):.2f}"
    )


def main(
    threads: Annotated[int, typer.Option(help="torch threads")] = 2,
    times: Annotated[int, typer.Option(help="passes of each kind, of which the fastest counts")] = 3,
    quick: Annotated[bool, typer.Option(help="a smaller grid, each pass once")] = False,
    long: Annotated[bool, typer.Option(help="completions of 512 to 4,096 tokens in place of 4 to 128")] = False,
    prompt: Annotated[list[int] | None, typer.Option(help="of these lengths alone; may be repeated")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print one JSON object to standard output")] = False,
) -> None:
    """Time both passes over the grid, fit the constants, and check what `auto` chooses."""
    torch.set_num_threads(threads)
    keep_freed_memory()
    loaded = load_model("smollm2-135m", "bfloat16")
    policy = Policy(loaded.model, loaded.tokenizer, torch.device("cpu"))
    vocabulary, width = policy.head.weight.shape
    completions = LONG if long else SHORT
    grid: list[tuple[Any, ...]] = list(product(PROMPTS, completions, GROUPS))
    if quick:
        grid, times = list(product(PROMPTS[1:2] if long else PROMPTS[:2], LONG if long else SHORT[:2], GROUPS)), 1
    if prompt:
        grid = list(product(prompt, dict.fromkeys(completion for _, completion, _ in grid), GROUPS))
    grid = [shape for shape in grid if shape[0] + shape[1] * shape[2] <= MOST_TOKENS]
    cells: list[Cell] = []
    timings: list[Timing] = []
    warm = batch_of(16, 4, 2, vocabulary)
    run(policy, warm, prepare(warm, cut(warm, 10**6)[0], "tree", width))
    for shape in grid:
        cell, timed = measure(policy, batch_of(*shape, vocabulary), shape, times, () if long else OVERHEADS)
        cells.append(cell)
        timings += timed
        console.print(
            f"prompt {cell.prompt}, completion {cell.completion}, group of {cell.group_size}: "
            f"tree {cell.tree:.2f} s, flat {cell.flat:.2f} s",
            highlight=False,
        )
    fitted = None if long else fit(timings, width)
    show(cells, fitted)
    if as_json:
        rows = [asdict(cell) | {"auto_over_flat": cell.auto_over_flat} for cell in cells]
        print(json.dumps({"threads": threads, "cells": rows, "fitted": fitted}))


if __name__ == "__main__":
    typer.run(main)
