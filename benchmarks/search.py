"""Tree search on the token tree against the same search on transformers' `generate`, and best-of-N beside both.

The search is plain UCT with one rollout a step, on countdown. Its waves are answered by TorchEngine, or by one
left-padded `model.generate` a wave, which shares nothing between rows or waves. Both draw by the same keyed random
numbers, yet rounding differs: among 49,152 tokens many a draw falls on one whose share is smaller than that, a fifth of
them in bfloat16, and the trees part. So in the rounds that count `generate` makes its own draws and is then made to say
what ours said: the trees are the same step for step, which is checked. How often it would have said the same is
reported, and float32 log-probabilities that are apart end the run. With a tiny model's few tokens the trees are the
same without that (tests/test_search_benchmark.py).

Best-of-N spends as many sampled tokens as the search on whole answers, on our engine, in one wave.

    uv run python benchmarks/search.py --problems 16 --nodes 32
"""

import gc
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import torch
import typer
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import GenerationConfig

from curriculum.domains.bare import distinct
from curriculum.domains.countdown import CountdownDomain
from curriculum.domains.protocol import Domain, problem_of
from roles.growth import Growing, Growth, Searched, StepStyle
from roles.requests import Sampled, SamplingParams
from roles.search import SearchSettings, search
from roles.step_tree import ROOT
from roles.tree import Tree
from selfplay.build import prompt_style
from selfplay.build_search import step_style
from selfplay.config import Config
from selfplay.engine.protocol import Draw, Engine, TokenCount
from selfplay.engine.sampling import Speaker, choose, say_chosen, speakers
from selfplay.engine.torch_engine import TorchEngine
from selfplay.memory import keep_freed_memory, release_freed_memory
from selfplay.models import LoadedModel, load_model
from selfplay.policy import Policy
from selfplay.rollout import Rollout
from store.records import Completion, Origin, Problem, Wave

MAX_APART = 1e-3  # of float32 log-probabilities of the same token behind the same context
NAMES = {"tree": "ours, tree", "generate": "generate", "best_of": "ours, best of N"}
console = Console(stderr=True)


class GenerateEngine:
    """Answers a wave by one `model.generate` over left-padded rows, one for each sample. Nothing is kept.

    With a script it counts how often it would have said the scripted token, `agreed` of `drawn`, and keeps how far
    apart the two log-probabilities of such a token were at most.
    """

    def __init__(self, policy: Policy, seed: int) -> None:
        self.tokens = TokenCount()
        self.drawn = self.agreed = 0
        self.apart = 0.0
        self._policy = policy
        self._seed = seed

    def load(self, version: int) -> None:
        """Nothing is kept between calls."""
        assert version == self._policy.version, (version, self._policy.version)

    @torch.no_grad()
    def sample(
        self, tree: Tree, draws: Sequence[Draw], script: Sequence[Completion] | None = None
    ) -> list[list[Sampled]]:
        """See `Engine.sample`."""
        tokenizer, version = self._policy.tokenizer, self._policy.version
        groups = speakers(tokenizer, self._seed, version, draws, script)
        rows = [speaker for group in groups for speaker in group]
        prompts = [torch.tensor([tree.tokens[n] for n in tree.path(speaker.node)]) for speaker in rows]
        ids = pad_sequence(prompts, batch_first=True, padding_side="left")
        mask = pad_sequence([torch.ones_like(p) for p in prompts], batch_first=True, padding_side="left")
        longest = max(speaker.draw.params.max_tokens for speaker in rows)
        done = self._policy.model.generate(
            ids,
            attention_mask=mask,
            generation_config=GenerationConfig(max_new_tokens=longest, do_sample=False, use_cache=True, pad_token_id=0),
            logits_processor=[lambda _, logits: self._say(tree, rows, logits)],
            stopping_criteria=[lambda *_: torch.tensor([speaker.finish is not None for speaker in rows])],
        )
        self.tokens.computed += len(rows) * (done.shape[1] - 1)  # the last token of a row is not run
        self.tokens.flat += sum(tree.depths[speaker.node] + 1 for speaker in rows)
        return [[speaker.sampled(tokenizer, version) for speaker in group] for group in groups]

    def hidden(self, tree: Tree, nodes: Sequence[int]) -> Tensor:
        """See `Engine.hidden`."""
        raise NotImplementedError("this search is valued by rollouts alone")

    def _say(self, tree: Tree, rows: Sequence[Speaker], logits: Tensor) -> Tensor:
        """One more token for every row that is not finished, and logits [B, V] that leave `generate` no other."""
        open_rows = [row for row, speaker in enumerate(rows) if speaker.finish is None]
        live = [rows[row] for row in open_rows]
        choose(logits[open_rows], [[speaker] for speaker in live])
        chosen = [speaker.chosen for speaker in live]
        say_chosen(tree, live)
        for (token, logprob), speaker in zip(chosen, live, strict=True):
            self.drawn += 1
            if token == speaker.ids[-1]:
                self.agreed += 1
                self.apart = max(self.apart, abs(logprob - speaker.logprobs[-1]))
        logits[open_rows, [speaker.ids[-1] for speaker in live]] = torch.inf
        return logits


@dataclass(frozen=True, slots=True)
class Work:
    """The searches of one batch: the same problems, prompts and budget for every side."""

    policy: Policy
    steps: StepStyle
    problems: Sequence[Problem]
    settings: SearchSettings

    @classmethod
    def of(cls, loaded: LoadedModel, domain: Domain, problems: int, nodes: int, max_tokens: int) -> "Work":
        """Chat prompts where the model has a template for them, else few-shot text."""
        policy = Policy(loaded.model, loaded.tokenizer, torch.device("cpu"))
        tokenizer = policy.tokenizer
        config = Config()
        config.prompts.style = "few_shot" if getattr(tokenizer, "chat_template", None) is None else "chat"
        style = prompt_style(config, domain, tokenizer)
        steps = step_style(style, SamplingParams(1.0, max_tokens, style.stop), tokenizer)
        stated = distinct(lambda rng: domain.draw(rng, rng.randint(1, 2)), problems, "benchmarks/search.py")
        posed = [problem_of(each, domain.name, Origin.PROCEDURAL) for each in stated]
        return cls(policy, steps, posed, SearchSettings(nodes=nodes))

    def search(self, growth: Growth) -> Growing:
        return search(growth, self.settings)

    def encode(self, text: str) -> list[int]:
        return self.policy.tokenizer.encode(text, add_special_tokens=False)


def best_of(growth: Growth, n: int) -> Growing:
    """`n` whole answers in one wave."""
    (group,) = yield [growth.ask_rollouts(growth.tree.nodes[ROOT], n)]
    for sampled in group:
        growth.receive([ROOT], sampled)
    return growth.result()


@dataclass(frozen=True, slots=True)
class Run:
    """One side's turn. `extra_bytes`: its most resident memory above what was there before; 0 where not known."""

    wall: float
    cpu: float  # seconds of all threads
    computed: int
    flat: int
    extra_bytes: int
    waves: Mapping[str, Wave]
    found: Sequence[Searched]
    tree: Tree

    @property
    def nodes(self) -> int:
        """Steps, without the problems themselves."""
        return sum(len(each.tree) - 1 for each in self.found)

    @property
    def samples(self) -> int:
        return sum(len(wave.completions) for wave in self.waves.values())

    @property
    def sampled(self) -> int:
        return sum(each.tokens for each in self.found)

    def grown(self) -> list[list[tuple[object, ...]]]:
        """Every step of every problem: what was said up to its end, and what the search made of it."""
        return [
            [
                (self._said(each, node.index), node.said, node.visits, node.value_sum, node.leaves, node.outcome)
                for node in each.tree
            ]
            for each in self.found
        ]

    def equal_steps(self, other: "Run") -> float:
        """The share of steps of both that each of the two said."""
        ours, theirs = (
            {(each.problem.problem_id, run._said(each, node.index)) for each in run.found for node in each.tree}
            for run in (self, other)
        )
        return len(ours & theirs) / len(ours | theirs)

    def _said(self, each: Searched, index: int) -> tuple[int, ...]:
        """Ids of the answer up to the end of a step."""
        node = each.tree.nodes[index]
        if node.piece is None:
            return ()
        return tuple(self.tree.tokens[n] for n in self.tree.tail(node.piece.node, node.tokens_above))


def run(work: Work, engine: Engine, way: Callable[[Growth], Growing], script: Mapping[str, Wave]) -> Run:
    """All problems in one batch. Waves of `script` are said again, not drawn."""
    tree, waves = Tree(), dict(script)

    def commit(wave: Wave) -> Wave:
        return waves.setdefault(wave.key, wave)

    rollout = Rollout(1, tree, engine, work.encode, commit, script)
    growths = [Growth(problem, work.steps, tree, ("search", 1, problem.problem_id)) for problem in work.problems]
    resident = _reset_peak()
    wall, cpu = time.perf_counter(), time.process_time()
    found = rollout.run("search", [way(growth) for growth in growths])
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    extra = _resident("VmHWM") - resident
    return Run(wall, cpu, engine.tokens.computed, engine.tokens.flat, extra, waves, found, tree)


def _reset_peak() -> int:
    """Give back what is not used, forget the peak, and return what is resident; 0 where there is no /proc."""
    gc.collect()
    release_freed_memory()
    if Path("/proc/self/clear_refs").exists():
        Path("/proc/self/clear_refs").write_text("5")  # proc(5): resets VmHWM
    return _resident("VmRSS")


def _resident(name: str) -> int:
    """Bytes, from /proc/self/status."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:")), 0)


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
    first = run(work, TorchEngine(work.policy, 0), work.search, {})
    other = run(work, GenerateEngine(work.policy, 0), work.search, {})
    console.print(f"warm-up: ours {first.wall:.2f} s, generate {other.wall:.2f} s", highlight=False)
    guess = max(1, first.sampled // (len(work.problems) * work.steps.params.max_tokens))
    answers = run(work, TorchEngine(work.policy, 0), lambda growth: best_of(growth, guess), {})
    n = max(1, round(guess * first.sampled / answers.sampled))
    runs: dict[str, list[Run]] = {side: [] for side in NAMES}
    drawn, agreed, apart = 0, 0, 0.0
    for number in range(rounds):
        runs["tree"].append(run(work, TorchEngine(work.policy, 0), work.search, {}))
        generate = GenerateEngine(work.policy, 0)
        runs["generate"].append(run(work, generate, work.search, first.waves))
        drawn, agreed, apart = drawn + generate.drawn, agreed + generate.agreed, max(apart, generate.apart)
        if is_exact and apart > MAX_APART:
            raise SystemExit(f"log-probabilities of the same tokens are {apart:.1e} apart: the sides differ")
        for side in ("tree", "generate"):
            if runs[side][-1].grown() != first.grown():
                raise SystemExit(f"{NAMES[side]}: another search tree than in the warm-up")
        runs["best_of"].append(run(work, TorchEngine(work.policy, 0), lambda growth: best_of(growth, n), {}))
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
    problems: Annotated[int, typer.Option(help="searches, all in one batch")] = 16,
    nodes: Annotated[int, typer.Option(help="steps, those of rollouts included, after which a search ends")] = 32,
    max_tokens: Annotated[int, typer.Option(help="of a whole answer")] = 48,
    rounds: Annotated[int, typer.Option(help="rounds that count, after one warm-up")] = 5,
    threads: Annotated[int, typer.Option(help="torch threads")] = 2,
    as_json: Annotated[bool, typer.Option("--json", help="print one JSON object to standard output")] = False,
) -> None:
    """Measure tree search on our engine against the same search on transformers' generate, and best-of-N."""
    torch.set_num_threads(threads)
    keep_freed_memory()
    loaded = load_model(model, dtype)
    loaded.model.set_attn_implementation(attention)
    work = Work.of(loaded, CountdownDomain(3, 4), problems, nodes, max_tokens)
    facts = {
        "model": model, "dtype": dtype, "attention": attention, "problems": problems, "nodes": nodes,
        "max_tokens": max_tokens, "rounds": rounds, "threads": threads, "search": asdict(work.settings),
    }  # fmt: skip
    result = summary(measure(work, rounds, is_exact=dtype == "float32")) | facts
    show(result)
    if as_json:
        print(json.dumps(result))


if __name__ == "__main__":
    typer.run(main)
