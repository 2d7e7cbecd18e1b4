"""Every key of a configuration, with its default and what it means."""

from dataclasses import dataclass, field
from typing import Any


@dataclass
class RunConfig:
    name: str = ""  # the run's folder; empty: <config file>-seed<seed>
    dir: str = "runs"  # where run folders are
    steps: int = 58  # optimizer steps in all; a finished run goes on with --resume and a larger number
    checkpoint_every: int = 29  # steps between checkpoints; the last step always has one
    keep_checkpoints: int = 2  # newest checkpoints kept; journals older than the oldest of them are pruned
    threads: int = 2  # torch threads; part of what makes a run repeatable bit for bit
    device: str = "auto"  # auto, cpu or cuda


@dataclass
class ModelConfig:
    name: str = "smollm2-135m"  # smollm2-135m, tiny-llama/-qwen3/-gpt2/-gemma, a folder, or a Hugging Face id
    dtype: str = "bfloat16"  # what samples and runs forward: bfloat16 or float32; masters are always float32


@dataclass
class LoraConfig:
    r: int = 0  # rank of LoRA adapters; 0 trains all parameters
    alpha: int = 32  # LoRA scale is alpha / r
    target_modules: list[str] = field(  # the decoder's linear layers that get adapters, by name; all-linear: every one
        default_factory=lambda: ["all-linear"]
    )


@dataclass
class PolicyConfig:
    lora: LoraConfig = field(default_factory=LoraConfig)  # adapters in place of full training


@dataclass
class PromptsConfig:
    style: str = "few_shot"  # few_shot (base-like use) or chat (the model's template)
    thinking: bool = False  # chat: the template's switch; what is read is what comes after </think>


@dataclass
class ChallengerConfig:
    source: str = "self"  # self; or a control: frozen (asked, not trained) or procedural (the domain's own sampler)
    targets: int = 8  # parents escalated per step
    proposals: int = 6  # proposals per parent: a group with a baseline of its own
    max_tokens: int = 12  # longest proposal
    temperature: float = 1.0  # of its sampling
    reward: str = "learnability"  # learnability 4p(1-p), azr or r_zero
    invalid_reward: float = 0.0  # what a rejected proposal is paid; negative values have caused death spirals


@dataclass
class SolverConfig:
    source: str = "self"  # who attempts: self; or frozen: the start weights, so that all traces are offline
    problems: int = 24  # problems per step, new and replayed
    group_size: int = 8  # attempts per problem
    turns: int = 2  # 1: first try only; 2: one second look at it
    looks: int = 1  # second looks at each first try: with 2 or more they are each other's baseline
    max_tokens: int = 8  # longest completion of a turn
    temperature: float = 1.2  # of its sampling: above 1, so that groups of what is nearly always right still differ
    feedback: bool = False  # the second look is shown what the domain observed of the first answer; else it is blind
    report: str = "none"  # after the last turn: none, confidence (stated), or self_evaluation (only in training)
    report_tokens: int = 6  # longest report


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


@dataclass
class CurriculumConfig:
    forgetting: float = 0.97  # what a past observation of a problem is still worth, per policy version
    family_forgetting: float = 0.9  # ... of a family, whose rate is news sooner
    band_low: float = 0.1  # replays are drawn from problems solved at least this often
    band_high: float = 0.9  # and at most this often
    min_new_share: float = 0.4  # at least this share of a step is new problems, if there are any
    max_new_share: float = 0.6  # and at most this, unless no known problem is worth its place
    min_successes: int = 2  # a group of 8 with fewer (but some) is banked: not trained on, but tried again
    mastered_share: float = 0.06  # usual share of a step for families once mastered, moved by their risk
    staleness_weight: float = 0.15  # weight of staleness beside learnability when replays are drawn
    parent_low: float = 0.2  # a problem solved less often than this is no parent to escalate from
    max_family_share: float = 0.34  # most of a step's parents, or of its promising new problems, from one family
    bank_delay: int = 4  # steps before a banked problem is tried again, with twice the attempts
    reprobe_delay: int = 10  # steps before a problem that was too hard is tried again, if its family has improved
    max_candidates: int = 1024  # known problems looked at per draw: bounds a step's work whatever the store's size


@dataclass
class WeightsConfig:
    challenger: float = 1.0  # weight of the challenger's part of the loss
    solver_first: float = 1.0  # ... of the solver's first turn
    solver_second: float = 2.0  # ... of its later turns
    report: float = 1.0  # ... of its reports


@dataclass
class KlConfig:
    challenger: float = 0.0  # weight of the KL to the start on the challenger's tokens, on top of train.kl_coef
    solver_first: float = 0.0  # ... on the solver's first turn
    solver_second: float = 0.0  # ... on its later turns


@dataclass
class StageOneConfig:
    max_steps: int = 0  # SCoRe's stage I lasts at most this many steps; 0: there is none
    kl_first: float = 1.0  # KL to the start on first-turn tokens while it lasts
    plateau_window: int = 20  # it ends when this many steps gain less than plateau_gain over as many before; 0: never
    plateau_gain: float = 0.01  # ... in the share of right second looks
    kl_budget: float = 0.0  # or when a step's mean KL of first-turn tokens is above this; 0: no budget


@dataclass
class TrainConfig:
    learning_rate: float = 5e-5  # AdamW, at its highest
    weight_decay: float = 0.0  # AdamW
    betas: list[float] = field(default_factory=lambda: [0.9, 0.999])  # AdamW
    warmup_steps: int = 0  # linear warm-up of the learning rate
    decay_steps: int = 64  # the learning rate falls linearly towards 0 at this step; 0: it does not fall
    decay_floor: float = 0.1  # ... but not below this share of itself
    grad_clip: float = 1.0  # bound on the gradient's norm
    clip_low: float = 0.2  # ratio clip below 1: acts with anchor sampler alone, as there is one update a sample
    clip_high: float = 0.28  # ratio clip above 1: acts with anchor sampler alone
    anchor: str = "policy"  # what the ratio is taken against: policy or sampler (selfplay/train/loss.py)
    importance_cap: float = 2.0  # truncation of the sampler's importance weights
    imitation: str = "none"  # copy right answers instead: rft, star, pair_sft[_plus], best_path, or truth (a control)
    kl_coef: float = 0.0  # weight of the KL to the start policy, on all tokens that were said
    kl: KlConfig = field(default_factory=KlConfig)  # more of it, by who said them
    stage_one: StageOneConfig = field(default_factory=StageOneConfig)  # reward on the second turn only, at first
    advantage: str = "centred"  # centred (Dr.GRPO) or rloo
    weights: WeightsConfig = field(default_factory=WeightsConfig)  # of the parts of the loss
    pack_tokens: int = 1536  # tokens per forward and backward pass; does not change the update
    logprob_chunk: int = 64  # rows of logits made at a time; does not change the update
    gradient_checkpointing: bool = False  # recompute activations: less memory, more time
    pass_mode: str = "auto"  # tree, flat, or auto: whichever is cheaper for each pack
    merge: bool = True  # identical samples of a group become one


@dataclass
class EvaluateConfig:
    every: int = 20  # steps between interim evaluations
    interim_size: int = 100  # problems of each set in between: first try only
    pass_k: int = 8  # samples per problem for pass@k, before and after
    pass_size: int = 100  # problems of each set for pass@k
    report: str = "none"  # ask for a report after sampled answers: none, confidence or self_evaluation
    search_tokens: int = 0  # also search, beside best-of-N and voting, with so many sampled tokens a problem; 0: no
    search_seconds: float = 0.0  # ... ended by a clock as well, marked as not reproducible; 0: no such limit
    mechanism: bool = False  # also measure second looks at the start model's own first tries, and how errors moved
    holdout_key: str = "selfplay-1"  # keys the hash that chooses held-out problems


@dataclass
class ResumeConfig:
    mode: str = "replay"  # replay: redo updates from the journal; rewind: go back to the last checkpoint


@dataclass
class LoggingConfig:
    transcript_every: int = 10  # steps between transcripts on the terminal; 0 shows none


@dataclass
class Config:
    seed: int = 0  # everything random is derived from it
    domain: str = "arithmetic"  # a domain's name, or my_package.my_module:MyDomain, named again on resume
    domain_options: dict[str, Any] = field(default_factory=dict)  # keyword arguments for the domain
    run: RunConfig = field(default_factory=RunConfig)  # the run folder and its length
    model: ModelConfig = field(default_factory=ModelConfig)  # the start weights
    policy: PolicyConfig = field(default_factory=PolicyConfig)  # what of them is trained
    prompts: PromptsConfig = field(default_factory=PromptsConfig)  # how roles put things into words
    challenger: ChallengerConfig = field(default_factory=ChallengerConfig)  # who poses problems
    solver: SolverConfig = field(default_factory=SolverConfig)  # who attempts them
    judge: JudgeConfig = field(default_factory=JudgeConfig)  # what attempts are paid
    curriculum: CurriculumConfig = field(default_factory=CurriculumConfig)  # what is posed and practised
    train: TrainConfig = field(default_factory=TrainConfig)  # the update
    evaluate: EvaluateConfig = field(default_factory=EvaluateConfig)  # held-out problems
    resume: ResumeConfig = field(default_factory=ResumeConfig)  # how a killed run goes on
    logging: LoggingConfig = field(default_factory=LoggingConfig)  # the terminal
