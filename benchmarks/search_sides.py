"""The sides of benchmarks/search.py: the same searches answered by our engine or by transformers' `generate`."""

import gc
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import GenerationConfig

from curriculum.domains.bare import distinct
from curriculum.domains.countdown import CountdownDomain
from curriculum.domains.protocol import Domain, problem_of
from roles.judging.verdicts import ByVerifier
from roles.requests import Sampled, SamplingParams
from roles.search.growth import Growing, Growth, Searched, StepStyle
from roles.search.mcts import SearchSettings, search
from roles.search.step_tree import STEP_ROOT
from roles.tree import Tree
from selfplay.config.keys import Config
from selfplay.engine.protocol import Draw, Sampler, TokenCount
from selfplay.engine.rollout import Rollout
from selfplay.engine.sampling import Speaker, choose, say_chosen, speakers
from selfplay.machine.memory import release_freed_memory
from selfplay.model.policy import Policy
from selfplay.model.weights.loading import LoadedModel
from selfplay.run.build import prompt_style
from selfplay.run.build_model import encoder
from selfplay.run.build_search import step_style
from store.records import Completion, Origin, Problem, Wave


class ShownCountdown(CountdownDomain):
    """Countdown behind a header of solved problems, as base models are asked."""

    solver_examples = (
        ("2 3 4: 24 =", "2*3=6,4*6=24"),
        ("1 5 9: 13 =", "5+9=14,14-1=13"),
        ("3 7 8: 29 =", "3*7=21,8+21=29"),
        ("2 5 6: 17 =", "2*6=12,5+12=17"),
        ("1 4 6 7: 34 =", "4*7=28,1*6=6,6+28=34"),
        ("2 3 5 8: 31 =", "3*5=15,2*8=16,15+16=31"),
    )


class GenerateEngine:
    """Answers a wave by one `model.generate` over left-padded rows, one for each sample. Nothing is kept.

    With a script it counts how often it would have said the scripted token, `agreed` of `drawn`, and keeps how far
    apart the two log-probabilities of such a token were at most.
    """

    def __init__(self, policy: Policy, seed: int) -> None:
        self.drawn = self.agreed = 0
        self.apart = 0.0
        self._policy = policy
        self._seed = seed

    def end_sampling(self) -> None:
        """Nothing is kept between calls."""

    def load(self, version: int) -> None:
        """Nothing is kept between calls."""
        assert version == self._policy.version, (version, self._policy.version)

    @torch.no_grad()
    def sample(
        self,
        tree: Tree,
        draws: Sequence[Draw],
        script: Sequence[Completion] | None = None,
        count: TokenCount | None = None,
    ) -> list[list[Sampled]]:
        """See `Sampler.sample`."""
        count = count or TokenCount()
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
        count.computed += len(rows) * (done.shape[1] - 1)  # the last token of a row is not run
        count.flat += sum(tree.depths[speaker.node] + 1 for speaker in rows)
        return [[speaker.sampled(version) for speaker in group] for group in groups]

    @torch.no_grad()
    def hidden(self, tree: Tree, nodes: Sequence[int], count: TokenCount | None = None) -> Tensor:
        """See `LocalSampler.hidden`."""
        (count or TokenCount()).computed += sum(tree.depths[node] + 1 for node in nodes)
        return self._policy.padded_hidden(tree, nodes)

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
    def of(
        cls, loaded: LoadedModel, domain: Domain, problems: int, nodes: int, max_tokens: int, style: str = "few_shot"
    ) -> "Work":
        """`style` as prompts.style of a run."""
        policy = Policy(loaded.model, loaded.tokenizer, torch.device("cpu"))
        tokenizer = policy.tokenizer
        config = Config()
        config.prompts.style = style
        prompts = prompt_style(config, domain, tokenizer)
        steps = step_style(prompts, SamplingParams(1.0, max_tokens, prompts.stop), tokenizer)
        stated = distinct(lambda rng: domain.draw(rng, rng.choice(domain.levels)), problems, "benchmarks/search.py")
        posed = [problem_of(each, domain.name, Origin.PROCEDURAL) for each in stated]
        return cls(policy, steps, posed, SearchSettings(node_budget=nodes))

    def search(self, growth: Growth) -> Growing:
        return search(growth, self.settings)

    def encode(self, text: str, after: int | None) -> list[int]:
        return encoder(self.policy)(text, after)


def best_of(growth: Growth, n: int) -> Growing:
    """`n` whole answers in one wave."""
    (group,) = yield [growth.ask_rollouts(growth.tree.nodes[STEP_ROOT], n)]
    for sampled in group:
        growth.receive([STEP_ROOT], sampled)
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
        return sum(each.num_sampled for each in self.found)

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
        return tuple(self.tree.tokens[n] for n in self.tree.tail(node.piece.last_token, node.tokens_above))


def run(work: Work, engine: Sampler, way: Callable[[Growth], Growing], script: Mapping[str, Wave]) -> Run:
    """All problems in one batch. Waves of `script` are said again, not drawn."""
    tree, waves = Tree(), dict(script)

    def commit(wave: Wave) -> Wave:
        return waves.setdefault(wave.key, wave)

    rollout = Rollout(1, tree, engine, work.encode, commit, script)
    growths = [
        Growth(p, work.steps, tree, ("search", 1, p.problem_id), ByVerifier(p, work.steps.domain))
        for p in work.problems
    ]
    resident = _reset_peak()
    wall, cpu = time.perf_counter(), time.process_time()
    found = rollout.run("search", [way(growth) for growth in growths])
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    extra = _resident("VmHWM") - resident
    return Run(wall, cpu, rollout.count.computed, rollout.count.flat, extra, waves, found, tree)


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
