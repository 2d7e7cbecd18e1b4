"""What samples fastest, and where: our engine on the token tree, vLLM, and transformers' `generate`, on the same waves.

A wave is what the loop asks for at once: completions behind some prompts. All sides get the same weights and prompt
ids, and say as many tokens, since nothing ends a completion early. Sides take turns; medians over the rounds.

    header    24 sums behind the few-shot header that all share, 8 attempts each, 8 tokens long
    looks     a second look at each of these attempts, 8 tokens long: contexts that the side has read before
    chat      8 chat prompts that share little, 8 completions each, 64 tokens long
    long      4 of them, 8 completions each, 512 tokens long

    uv run python benchmarks/engines.py --sides tree,vllm,generate

vLLM is the worker of engine.kind=vllm (docs/engines.md says how to make it). It reads what it has in its prefix cache,
of which each round begins with none.
"""

import gc
import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Annotated, Any, Protocol

import torch
import typer
from rich.console import Console
from rich.table import Table
from torch.nn.utils.rnn import pad_sequence
from transformers import GenerationConfig
from workloads import Workload, encode

from roles.requests import SamplingParams
from roles.tree import ROOT, Tree
from selfplay.config.keys import Config
from selfplay.engine.protocol import Draw, Sampler, TokenCount
from selfplay.engine.vllm.sampler import VllmSampler
from selfplay.machine.errors import SelfplayError
from selfplay.machine.memory import keep_freed_memory, release_freed_memory
from selfplay.model.policy import Policy
from selfplay.model.probe import Parity
from selfplay.run.build_model import policy_sampler, proved_policy

LOOK = "\nRecheck:"
SHAPES = {
    "header": Workload("shared-header", num_prompts=24, group_size=8, new_tokens=8, merge=True, expected=1.0),
    "chat": Workload("chat", num_prompts=8, group_size=8, new_tokens=64, merge=True, expected=1.0),
    "long": Workload("chat", num_prompts=4, group_size=8, new_tokens=512, merge=True, expected=1.0),
}
SIDES = ("tree", "vllm", "generate")
console = Console(stderr=True)


@dataclass(frozen=True, slots=True)
class Wave:
    """One side's time for one wave. `computed`: tokens that went through the model, as far as the side says so."""

    wall: float
    cpu: float  # seconds of all threads and of a worker
    said: int
    computed: int


class Side(Protocol):
    """`sample` adds n completions of `new_tokens` below each node and gives the nodes of their last tokens."""

    def begin(self) -> None:
        """Forget what earlier rounds left."""

    def sample(self, tree: Tree, nodes: Sequence[int], n: int, new_tokens: int, count: TokenCount) -> list[int]: ...

    def cpu(self) -> float:
        """Seconds of processor time so far, this process and a worker."""

    def close(self) -> None: ...


class OnTree:
    """A sampler of the loop: our own engine, or vLLM behind the same interface."""

    def __init__(self, policy: Policy, sampler: Sampler) -> None:
        self._policy, self._sampler = policy, sampler
        self._rounds = 0

    def begin(self) -> None:
        self._rounds += 1
        if isinstance(self._sampler, VllmSampler):
            self._sampler.load(self._policy.version)

    def sample(self, tree: Tree, nodes: Sequence[int], n: int, new_tokens: int, count: TokenCount) -> list[int]:
        params = SamplingParams(1.0, new_tokens, ())
        draws = [Draw(node, n, params, ("bench", self._rounds, i), "solver/0") for i, node in enumerate(nodes)]
        return [said.node for group in self._sampler.sample(tree, draws, count=count) for said in group]

    def cpu(self) -> float:
        pid = self._sampler.worker_pid if isinstance(self._sampler, VllmSampler) else None
        return time.process_time() + (0.0 if pid is None else _cpu_below(pid))

    def close(self) -> None:
        self._sampler.close()


class Generate:
    """transformers: one left-padded row for each sample."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy

    def begin(self) -> None:
        """Nothing is kept between calls."""

    @torch.no_grad()
    def sample(self, tree: Tree, nodes: Sequence[int], n: int, new_tokens: int, count: TokenCount) -> list[int]:
        rows = [torch.tensor([tree.tokens[each] for each in tree.path(node)]) for node in nodes for _ in range(n)]
        ids = pad_sequence(rows, batch_first=True, padding_side="left")
        mask = pad_sequence([torch.ones_like(row) for row in rows], batch_first=True, padding_side="left")
        settings = GenerationConfig(
            max_new_tokens=new_tokens, min_new_tokens=new_tokens, do_sample=True, temperature=1.0, top_k=0, top_p=1.0,
            use_cache=True, pad_token_id=0,
        )  # fmt: skip
        done = self._policy.model.generate(ids, attention_mask=mask, generation_config=settings)
        count.computed += done.shape[0] * (done.shape[1] - 1)  # the last token of a row is not run
        above = [node for node in nodes for _ in range(n)]
        return [
            tree.extend(node, row[ids.shape[1] :].tolist()) for node, row in zip(above, done, strict=True)
        ]  # fmt: skip

    def cpu(self) -> float:
        return time.process_time()

    def close(self) -> None:
        """Nothing is kept."""


def _cpu_below(pid: int) -> float:
    """Seconds of processor time of a process and of all that it started, from /proc; 0 of one that has ended."""
    ticks, total = os.sysconf("SC_CLK_TCK"), 0.0
    waiting = [pid]
    while waiting:
        process = Path("/proc") / str(waiting.pop())
        try:
            fields = (process / "stat").read_text().rpartition(")")[2].split()
            tasks = [task / "children" for task in (process / "task").iterdir()]
            waiting += [int(child) for task in tasks for child in task.read_text().split()]
        except OSError:
            continue
        total += (int(fields[11]) + int(fields[12])) / ticks  # utime and stime
    return total


def play(side: Side, policy: Policy, names: Sequence[str], step: int) -> dict[str, Wave]:
    """The waves of one round, each timed. Second looks are asked in the tree of their attempts."""
    side.begin()
    found: dict[str, Wave] = {}
    for name in names:
        shape = SHAPES[name]
        tree = Tree(merge=True)
        prompts = [tree.extend(ROOT, ids) for ids in encode(policy.tokenizer, shape.prompts(step, policy.tokenizer))]
        ends, found[name] = timed(side, tree, prompts, shape.group_size, shape.new_tokens)
        if name == "header":
            ids = policy.tokenizer.encode(LOOK, add_special_tokens=False)
            looks = [tree.extend(node, ids) for node in ends]
            _, found["looks"] = timed(side, tree, looks, 1, shape.new_tokens)
    return found


def timed(side: Side, tree: Tree, nodes: Sequence[int], n: int, new_tokens: int) -> tuple[list[int], Wave]:
    gc.collect()
    release_freed_memory()
    count = TokenCount()
    wall, cpu = time.perf_counter(), side.cpu()
    ends = side.sample(tree, nodes, n, new_tokens, count)
    wave = Wave(time.perf_counter() - wall, side.cpu() - cpu, len(nodes) * n * new_tokens, count.computed)
    return ends, wave


def measure(
    sides: Mapping[str, Side], policy: Policy, names: Sequence[str], rounds: int
) -> dict[str, dict[str, list[Wave]]]:
    """[side][wave][round]; a round before them, of the first wave alone, warms each side up."""
    for side in sides.values():
        play(side, policy, names[:1], rounds)
    found: dict[str, dict[str, list[Wave]]] = {name: {} for name in sides}
    for step in range(rounds):
        for name, side in sides.items():
            for wave, each in play(side, policy, names, step).items():
                found[name].setdefault(wave, []).append(each)
                console.print(f"round {step + 1}, {name}, {wave}: {each.wall:.2f} s", highlight=False)
    return found


def summary(found: Mapping[str, Mapping[str, Sequence[Wave]]]) -> list[dict[str, Any]]:
    """A row for each wave and side: medians, and the side's wall time over the tree's, round by round."""
    first = next(iter(found))
    rows: list[dict[str, Any]] = []
    for wave in found[first]:
        for side, waves in found.items():
            each = waves[wave]
            ratios = [a.wall / b.wall for a, b in zip(each, found[first][wave], strict=True)]
            rows.append({
                "wave": wave, "side": side, "wall": median(w.wall for w in each), "cpu": median(w.cpu for w in each),
                "tokens_per_second": median(w.said / w.wall for w in each),
                "computed": round(median(w.computed for w in each)),
                "over_first": median(ratios), "lowest": min(ratios), "highest": max(ratios),
            })  # fmt: skip
    return rows


def show(rows: Sequence[Mapping[str, Any]], first: str) -> None:
    heads = ("wave", "side", "wall s", "CPU s", "tokens/s said", "tokens computed", f"wall / {first}", "range")
    table = Table(*heads, title="sampling, medians over the rounds")
    for row in rows:
        table.add_row(
            row["wave"], row["side"], f"{row['wall']:.2f}", f"{row['cpu']:.2f}", f"{row['tokens_per_second']:,.0f}",
            f"{row['computed']:,}", f"{row['over_first']:.2f}", f"{row['lowest']:.2f} to {row['highest']:.2f}",
        )  # fmt: skip
    console.print(table)


def side_of(name: str, config: Config, policy: Policy, parity: Parity, say: Callable[[str], None]) -> Side:
    if name == "generate":
        return Generate(policy)
    config.engine.kind = "vllm" if name == "vllm" else "local"
    return OnTree(policy, policy_sampler(config, policy, parity, say))


def main(
    sides: Annotated[str, typer.Option(help="which of tree, vllm, generate; ratios are over the first")] = "tree,vllm,"
    "generate",
    waves: Annotated[str, typer.Option(help="which of header (with looks), chat, long")] = "header,chat,long",
    rounds: Annotated[int, typer.Option(min=1, help="of each side, in turns")] = 3,
    threads: Annotated[int, typer.Option(min=1, help="of torch, and of the worker")] = 2,
    model: Annotated[str, typer.Option(help="as model.name of a run")] = "smollm2-135m",
    device: Annotated[str, typer.Option(help="as run.device of a run")] = "cpu",
    as_json: Annotated[bool, typer.Option("--json", help="print one JSON array to standard output")] = False,
) -> None:
    """Time every side on every wave."""
    chosen, names = sides.split(","), waves.split(",")
    if not set(chosen) <= set(SIDES) or not set(names) <= set(SHAPES):
        raise typer.BadParameter(f"sides are {', '.join(SIDES)}; waves are {', '.join(SHAPES)}")
    keep_freed_memory()
    config = Config()
    config.model.name, config.run.threads, config.run.device = model, threads, device
    config.engine.kv_cache_mib = 2048  # 32 completions of 600 tokens, with room
    config.engine.context = 1024
    policy, parity = proved_policy(config, console.print)
    policy.tokenizer.eos_token = None  # no token ends a completion, on any side
    made = {name: side_of(name, config, policy, parity, console.print) for name in chosen}
    try:
        rows = summary(measure(made, policy, names, rounds))
    except SelfplayError as error:
        raise SystemExit(f"error: {error}") from None
    finally:
        for side in made.values():
            side.close()
    show(rows, chosen[0])
    if as_json:
        print(json.dumps(rows))


if __name__ == "__main__":
    typer.run(main)
