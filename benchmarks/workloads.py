"""What both sides of the benchmark are given: prompts, group size, length and rewards, the same for everyone.

Rewards are synthetic, two of a group right and the rest wrong, so that no group is flat: every sampled token is
trained on every side. In real runs many groups are flat, and a trainer that drops them first does less.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from curriculum.domains.arithmetic.domain import ArithmeticDomain
from roles.prompts import few_shot_style
from selfplay.prompting.codec import beginning
from store.records import Origin, Problem

CHAT_REQUESTS = (
    "Explain in two sentences why the sky is blue.",
    "Write a short poem about a lighthouse keeper who is afraid of the sea.",
    "My bread does not rise. What are the three most likely reasons, and how do I find out which one it is?",
    "Translate into French: the train leaves at half past nine.",
    "What is a hash table? Explain it to someone who knows arrays.",
    "Give me a plan for a weekend in a city where it rains all day.",
    "A shop sells pens at 3 for 2 euros. What do 12 pens cost? Show your reasoning.",
    "Name five animals that sleep in winter and say for each where it sleeps.",
    "Write an e-mail to my landlord: the heating in the bedroom has been cold since Tuesday, and I want a date.",
    "Why do we have leap years?",
    "Summarise the story of Little Red Riding Hood in four sentences.",
    "Which is larger, 0.9 or 0.11? Explain how you compare them.",
    "How do I boil an egg so that the yolk stays soft?",
    "Write a Python function that returns the second largest number of a list without sorting it.",
    "What should a beginner know before buying a bicycle second hand?",
    "Describe the water cycle for a child of eight years.",
)


@dataclass(frozen=True, slots=True)
class Workload:
    """`merge`: whether our side may let identical siblings share a node. `expected`: TRL's wall time over ours."""

    name: str
    num_prompts: int
    group_size: int
    new_tokens: int
    merge: bool
    expected: float

    @property
    def num_samples(self) -> int:
        return self.num_prompts * self.group_size

    def prompts(self, step: int, tokenizer: Any) -> list[str]:
        """The texts of one step; another step has others."""
        return _chat(self, step, tokenizer) if self.name == "chat" else _shared_header(self, step)


WORKLOADS = {
    w.name: w
    for w in (
        Workload("shared-header", num_prompts=16, group_size=8, new_tokens=4, merge=True, expected=15.0),
        Workload("chat", num_prompts=8, group_size=8, new_tokens=64, merge=False, expected=3.0),
    )
}


def reward(prompt: int, sample: int, group_size: int) -> float:
    """1 for two samples of each group, another two for each prompt; 0 for the rest."""
    return float((sample + prompt) % group_size < 2)


def rewards(workload: Workload) -> list[list[float]]:
    """[prompt][sample]."""
    size = workload.group_size
    return [[reward(p, i, size) for i in range(size)] for p in range(workload.num_prompts)]


def encode(tokenizer: Any, texts: Sequence[str]) -> list[list[int]]:
    """Ids as the loop makes them."""
    return [beginning(tokenizer, text) for text in texts]


def _shared_header(workload: Workload, step: int) -> list[str]:
    domain = ArithmeticDomain()
    style = few_shot_style(domain)
    rng = random.Random(f"step {step}")
    texts: dict[str, None] = {}
    while len(texts) < workload.num_prompts:
        drawn = domain.draw(rng, 2 + len(texts) % 3)
        problem = Problem(
            problem_id="", domain=domain.name, text=drawn.text, canonical=drawn.canonical, family=drawn.family,
            level=drawn.level, answer=drawn.answer, answer_source=drawn.answer_source, origin=Origin.PROCEDURAL,
        )  # fmt: skip
        texts.setdefault(style.solver(problem))
    return list(texts)


def _chat(workload: Workload, step: int, tokenizer: Any) -> list[str]:
    chosen = random.Random(f"step {step}").sample(CHAT_REQUESTS, workload.num_prompts)
    return [
        tokenizer.apply_chat_template([{"role": "user", "content": text}], tokenize=False, add_generation_prompt=True)
        for text in chosen
    ]
