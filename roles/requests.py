"""What a role may ask for, and what it is sent back, as plain records that know no engine."""

import math
from dataclasses import dataclass

from store.records import Completion

NodeId = int  # a node of the token tree (roles/tree.py)


@dataclass(frozen=True, slots=True)
class SamplingParams:
    """`temperature` >= 0, where 0 is greedy. A completion ends after `max_tokens` tokens, or with the first token that
    completes a string of `stop`; where `stop` is empty, with the end of sequence.

    Of the distribution at this temperature, the tokens that are left are the `top_k` likeliest (0: all), of these the
    fewest that have `top_p` in (0, 1] of their probability, of these the ones that are at least `min_p` in [0, 1) times
    as likely as the likeliest (selfplay/engine/truncation.py).
    """

    temperature: float
    max_tokens: int
    stop: tuple[str, ...]
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0

    @property
    def is_truncated(self) -> bool:
        """Whether some tokens may be left out. A greedy choice is the same with and without them."""
        return self.temperature > 0 and (self.top_k > 0 or self.top_p < 1 or self.min_p > 0)

    @property
    def distribution(self) -> tuple[float, int, float, float]:
        """What decides which distribution tokens are drawn from."""
        return self.temperature, self.top_k, self.top_p, self.min_p


@dataclass(frozen=True, slots=True)
class Sample:
    """Append `prompt` below `parent` (None: the root) and sample `n` completions.

    Random numbers are derived from `key`, such as (role, step, problem, turn, attempt); the driver adds the run's seed
    and the policy version. `label` says which role and turn the sampled tokens belong to, such as "solver/0". `given`:
    `n` known completions that stand in place of sampled ones; either all requests of a wave give theirs, or none.
    """

    parent: NodeId | None
    prompt: str
    n: int
    params: SamplingParams
    key: tuple[str | int, ...]
    label: str
    given: tuple[Completion, ...] = ()


@dataclass(frozen=True, slots=True)
class Sampled:
    """One completion, and the node of its last token."""

    node: NodeId
    completion: Completion


@dataclass(frozen=True, slots=True)
class Score:
    """Ask for probabilities and critic scores in the context that ends with `prompt` below `parent`; samples nothing.

    `choices`: texts whose first tokens are asked about as the next token; without any, only the critics are asked.
    """

    parent: NodeId | None
    prompt: str = ""
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Scored:
    """`choices`: the probability of each choice's first token, among all tokens. `value`, `process`: the critic heads'
    scores of the context, in [0, 1]; None where there are no heads."""

    choices: tuple[float, ...] = ()
    value: float | None = None
    process: float | None = None


def mean_logprob(completion: Completion) -> float | None:
    """Mean log-probability of a completion's tokens by the policy that sampled it, <= 0; None without tokens."""
    return math.fsum(completion.logprobs) / len(completion.logprobs) if completion.logprobs else None
