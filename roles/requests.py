"""What a role may ask for, and what it is sent back: plain records, no engine behind them."""

from dataclasses import dataclass

from store.records import Completion

NodeId = int  # a node of the token tree (roles/tree.py): its path from the root is the context


@dataclass(frozen=True, slots=True)
class SamplingParams:
    """temperature >= 0 (0 is greedy); at most max_tokens tokens; a token whose text contains a stop string ends it."""

    temperature: float
    max_tokens: int
    stop: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Sample:
    """Append `prompt` below `parent` (None: the root) and sample `n` completions.

    `key` is what randomness is derived from (role, item, attempt, turn ...); the driver adds the run's seed and the
    policy version. `label` names the (role, turn) that the sampled tokens belong to, e.g. "solver/0". `given`: `n`
    completions that are known already and stand in place of sampled ones; all requests of a wave give theirs, or none.
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
    """One completion and the node of its last token."""

    node: NodeId
    completion: Completion


@dataclass(frozen=True, slots=True)
class Score:
    """Ask what the policy makes of the context that ends with `prompt` below `parent`; nothing is sampled.

    `choices`: texts whose first tokens are compared as what comes next; none asks the critic heads only.
    """

    parent: NodeId | None
    prompt: str = ""
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Scored:
    """`choices`: probability of each choice's first token among all tokens, in [0, 1]. `value`, `process`: what the
    critic heads say of the context, in [0, 1]; None where there are no heads."""

    choices: tuple[float, ...] = ()
    value: float | None = None
    process: float | None = None
