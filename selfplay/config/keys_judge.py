"""The keys of `judge`: what attempts are paid, and how the judge searches for what a step is worth."""

from dataclasses import dataclass, field


@dataclass
class SearchConfig:
    when: str = "never"  # never, every step, or band: on problems whose group is in the curriculum's band
    method: str = "mcts"  # mcts; monte_carlo: rollouts at each step of the attempts; n_ary: min_children everywhere
    rule: str = "uct"  # mcts: uct or puct
    exploration: float = 1.0  # c of the rule
    nodes: int = 32  # budget of a problem in new steps
    tokens: int = 0  # budget of a problem in sampled tokens; 0: no such limit
    at_once: int = 4  # steps chosen for one wave
    min_children: int = 2  # next steps of a step, at least
    max_children: int = 2  # ... and at most, with branching
    min_first: int = 4  # first steps of a problem, at least
    max_first: int = 4  # ... and at most, with branching
    branching: float = 0.0  # alpha of adaptive branching: next steps by how much they decide; 0: always the minimum
    rollouts: int = 1  # completions to the end of the answer from each new step
    prune: bool = False  # a step that fails when executed ends its answer, before more is sampled behind it
    merge: bool = False  # steps that leave the same to be done become one


@dataclass
class CriticsConfig:
    value: float = 0.0  # weight of the value head in a step's score
    process: float = 0.0  # ... of the process critic
    outcome: float = 1.0  # ... of the verdicts on rollouts
    process_from: str = "head"  # head, or words: the model's own 1 or 0 behind "Right:"
    process_threshold: float = 0.0  # a step is good where a larger share of the answers below it is right
    held_out: float = 0.25  # share of problems that the heads are measured on and never trained on
    width: int = 64  # hidden units of the heads
    learning_rate: float = 3e-3  # Adam, of the heads
    epochs: int = 4  # Adam steps on each step's trees
    last_step: int = 0  # the heads are trained up to this step; 0: always (a control: critics not refreshed)


@dataclass
class CreditConfig:
    rule: str = "outcome"  # what pays first tries: outcome (of the whole answer), tree, monte_carlo or siblings
    local_weight: float = 1.0  # tree: weight of V(step) - V(step before)
    global_weight: float = 1.0  # ... of V(step) - V(problem)
    outcome_weight: float = 0.0  # ... of verdict - V(problem), on the last step
    shrink: float = 0.0  # answers' worth of what was expected, mixed into the value of a step
    noise_floor: float = 0.0  # a step is trained where its advantage is above this many standard errors


@dataclass
class JudgeConfig:
    source: str = "verifier"  # who judges answers, also in a search: verifier (the domain), or model (asked in words)
    reward: str = "truth"  # truth; or a control: random, format
    truncated: str = "zero"  # what a completion cut by length earns: zero, or unjudged
    correction_bonus: float = 1.0  # alpha: the second turn is paid r2 + alpha (r2 - r1)
    first_turn_reward: str = "own"  # what pays the first turn's tokens: own, its own verdict; last, the last turn's
    report_reward: str = "none"  # confidence: brier, log, brier_apart; else consistency[_original], balanced
    search: SearchConfig = field(default_factory=SearchConfig)  # tree search over the steps of an answer
    critics: CriticsConfig = field(default_factory=CriticsConfig)  # what a search scores steps by
    credit: CreditConfig = field(default_factory=CreditConfig)  # dense rewards from the tree
