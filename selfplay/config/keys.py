"""Every key of a configuration: its default, what it means, and what it must be.

Defaults are what somebody with another task and another model would expect. What was chosen for the default job, which
is arithmetic on two CPU cores, stands in configs/default.yaml. `python -m selfplay.loop --keys` prints all of this.
"""

# ruff: noqa: RUF009  (what `key` and `section` return are fields)
from dataclasses import dataclass
from typing import Any, Literal, get_args

from curriculum.selection.rescue import RescueRule
from curriculum.settings import ForecastRule
from roles.judging.groups import TruncatedRule
from roles.pay.advantages import AdvantageRule
from roles.pay.formats import BaselineRule
from roles.pay.gate import GateRule
from roles.pay.rewards import ChallengerRule
from roles.prompts import ReportKind
from roles.search.credit import CreditRule
from roles.search.critics import ProcessSource
from roles.search.mcts import SearchRule
from selfplay.config.declared import key, section
from selfplay.config.rules import (
    MOST_TOKENS,
    Rule,
    above_zero_to_one,
    at_least,
    between_zero_and_one,
    count,
    digest_or_empty,
    formats_by_text,
    from_to,
    given,
    hash_key,
    list_of_parts,
    positive,
    project_name,
    run_name,
    server_address,
    share_below_one,
    some_of,
    two_betas,
)
from selfplay.engine.voices import DecodingKind, EngineKind, WeightsKind
from selfplay.guards.thresholds import Thresholds
from selfplay.learn.batch import MeanRule
from selfplay.learn.copies.imitation import ImitationRule
from selfplay.learn.reports import ReportRule
from selfplay.learn.scaling import ScaleRule
from selfplay.learn.settings import FirstTurnRule
from selfplay.model.attention.choices import AttentionChoice
from selfplay.play.posing import LevelRule
from selfplay.play.searching import Method
from selfplay.prompting.choosing import StyleName
from selfplay.stats.product_rule import RateRule
from selfplay.trackers.choosing import TrackerName
from selfplay.train.choices import Anchor, ImportanceMode, PassMode, Surrogate

_TOP_K = "likeliest tokens that each token of {} is drawn from; 0: all"  # of both roles that are sampled
_TOP_P = "of these the fewest that have this share of their probability; 1: all"
_MIN_P = "of these those that are at least this many times as likely as the likeliest; 0: all"
EXPERIENCE_LOSSES = ("world_model", "imitation", "reflection")  # keys of train.experience that are weights
MOST_THREADS = 1024  # more than systems let a process start, and than a step has work for
_BOUNDS = Thresholds()


@dataclass
class RunConfig:
    name: str = key("", "name of the run's folder; empty: <configuration file>-seed<seed>", run_name())
    dir: str = key("runs", "folder that run folders are in", given("a folder"))
    steps: int = key(100, "optimizer steps in all; a finished run goes on with --resume and a larger number", count(1))
    checkpoint_every: int = key(20, "steps between checkpoints; the last step always has one", count(1))
    keep_checkpoints: int = key(
        2, "newest checkpoints that are kept; journals older than the oldest of them are deleted", count(1)
    )
    threads: int = key(
        2, "torch threads. A number, not all cores: with another number the same run has other bits",
        count(1, MOST_THREADS),
    )  # fmt: skip
    device: Literal["auto", "cpu", "cuda"] = key(
        "auto", "where the model runs: cpu, cuda, or auto: cuda if it is there"
    )
    kept_mib: int = key(
        0, "unused memory that is kept from one update for the next, in MiB, on a CPU. 0 gives all of it back, which "
        "takes least memory; updates are faster with what they take anyway",
        count(0),
    )  # fmt: skip


@dataclass
class ModelConfig:
    name: str = key(
        "smollm2-135m", "the start weights: smollm2-135m (comes with the project), tiny-llama, tiny-qwen3, tiny-gpt2 "
        "or tiny-gemma (random ones), a folder, a .gguf file, or a Hugging Face id",
        given("a model's name"),
    )  # fmt: skip
    dtype: Literal["auto", "bfloat16", "float32"] = key(
        "auto",
        "precision of sampling and of forward passes: bfloat16, float32, or auto: bfloat16 where the processor has "
        "products of it. A run keeps what it began with. What is trained is kept in float32",
    )
    attention: AttentionChoice = key(
        "auto",
        "what computes attention on the token tree: padded (batches of padded rows, everywhere); varlen (torch's call "
        "for rows of any length, CUDA and bfloat16 alone); flex (FlexAttention with a mask of blocks, training on CUDA "
        "alone); or auto: varlen where it is there, flex beside it where much would be copied, else padded. What is "
        "not there, or gives other numbers at start, is not used, and a line says so",
    )


@dataclass
class EngineConfig:  # docs/engines.md
    kind: EngineKind = key(
        "local", "what samples from the policy: local, the run's own process; or vllm, a process beside it"
    )
    decoding: DecodingKind = key(
        "auto", "local: how tokens behind a completion's first are sampled. tree: each distinct context once; rows: a "
        "row for each sample in fixed shapes, which CUDA runs as graphs; auto: rows on a CUDA device, else tree",
    )  # fmt: skip
    url: str = key(
        "", "vllm: a server that is already up, tcp://HOST:PORT, whose secret is in SELFPLAY_VLLM_TOKEN; empty: a "
        "process of the run's own", server_address(),
    )  # fmt: skip
    gpu: int = key(
        0, "vllm: the worker's GPU, of those that the run sees, counted from 0, which is the run's own", count(0)
    )
    weights: WeightsKind = key(
        "files", "vllm: how weights come to the worker. files: safetensors, in shared memory or over the connection; "
        "ipc, nccl: vLLM's own transfers, within the one GPU that both use, or from the run's GPU to the worker's",
    )  # fmt: skip
    context: int = key(0, "vllm: the longest context, in tokens; 0: the model's own", count(0))
    kv_cache_mib: int = key(1024, "vllm, decoding=rows: memory for keys and values, in MiB", count(1))
    max_logprob_gap: float = key(
        0.1, "vllm: mean difference of sampler's and trainer's log-probabilities, in nats, above which a run ends",
        positive(),
    )  # fmt: skip
    seconds: float = key(600.0, "vllm: how long the worker may take to answer, then it hangs", positive())
    restarts: int = key(2, "vllm: times that a lost worker is started anew for one question", count(0))


@dataclass
class LoraConfig:
    r: int = key(0, "rank of LoRA adapters; 0 trains all parameters", count(0))
    alpha: int = key(32, "scale of the adapters: alpha / r", positive())
    target_modules: list[str] = key(
        ["all-linear"], "the decoder's linear layers that get adapters, by name; all-linear: every one"
    )
    per_role: bool = key(
        False, "the challenger has adapters of its own, which say and learn proposals; the solver's say and learn all "
        "else. false: one set for both",
    )  # fmt: skip


@dataclass
class PolicyConfig:
    lora: LoraConfig = section(LoraConfig, "adapters in place of full training")


@dataclass
class PromptsConfig:
    style: StyleName = key(
        "auto", "few_shot: examples as plain text, which base models follow too; chat: the model's chat template; "
        "auto: chat where the tokenizer has a template that works, else few_shot",
    )  # fmt: skip
    thinking: bool = key(False, "chat: the template's switch for thinking; what comes after </think> is read")


@dataclass
class ChallengerConfig:
    source: Literal["self", "frozen", "procedural", "none"] = key(
        "self",
        "who poses problems: self (the policy); as controls frozen (the start weights) or procedural (the domain's own "
        "sampler); none: nobody, a step's problems are drawn from the domain's seeds, as from a dataset",
    )
    levels: LevelRule = key(
        "uniform", "how the domain's own sampler draws the levels of new problems: uniform; or learnable, more often "
        "those of which about half is solved now, so that they rise and fall with the model",
    )  # fmt: skip
    drawn_share: float = key(
        0.0, "self, frozen: share of a step's problems that the domain's own sampler poses beside the challenger, so "
        "that what nobody proposes is practised too", share_below_one(),
    )  # fmt: skip
    targets: int = key(8, "parents that are made harder in a step", count(1))
    proposals: int = key(6, "proposals for each parent; they are each other's baseline", count(2))
    max_tokens: int = key(256, "longest proposal, in tokens", count(1, MOST_TOKENS))
    temperature: float = key(1.0, "temperature of proposals", positive())
    top_k: int = key(0, _TOP_K.format("a proposal"), count(0))
    top_p: float = key(1.0, _TOP_P, above_zero_to_one())
    min_p: float = key(0.0, _MIN_P, share_below_one())
    reward: ChallengerRule = key(
        "learnability", "what a proposal of pass rate p is paid: learnability, 4 p (1 - p); azr, 1 - p for p > 0; "
        "r_zero, 1 - 2 |p - 1/2|; or, as a control, difficulty, 1 - p, by which the hopeless pays most",
    )  # fmt: skip
    invalid_reward: float = key(
        0.0, "what a rejected proposal is paid; with negative values proposing was seen to collapse", from_to(-1, 0)
    )
    gate: GateRule = key(
        "standard", "what a proposal must be to be paid by a pass rate: strict (accepted, its answer not contradicted "
        "by other means, its pass rate in the curriculum's band); standard (accepted); loose (also a valid text that "
        "is known); none (also what parses and is no problem). An arm of experiments; what is attempted stays the same",
    )  # fmt: skip
    novelty: float = key(
        0.0, "share of a proposal's reward that it loses where much like it was ever admitted (docs/rewards.md); needs "
        "the extra datasketch. 0: none", from_to(0, 1),
    )  # fmt: skip
    learned_credit: float = key(
        0.0, "what a rise of a family's pass rate from 0 to 1, on problems that were never practised, pays its later "
        "proposals in all; a fall is charged (docs/rewards.md). 0: nothing", at_least(0),
    )  # fmt: skip
    aim: str = key(
        "", "problems that proposals are to come near, as long as they are not solved: one of the domain's evaluation "
        'sets, without what is held out of it, or a JSONL file, {"text": "34 + 15"} a line. Empty: none',
    )  # fmt: skip
    aim_weight: float = key(
        0.5, "share of a proposal's reward that it loses where it is nowhere near challenger.aim, or much longer",
        from_to(0, 1),
    )  # fmt: skip


@dataclass
class SolverConfig:
    source: Literal["self", "frozen"] = key(
        "self",
        "who attempts problems: self (the policy), or frozen: the start weights, so that all training is offline",
    )
    problems: int = key(32, "problems in a step, new and replayed", count(1))
    group_size: int = key(8, "first tries at each problem; they are each other's baseline", count(2))
    turns: int = key(2, "1: a first try only; 2: a second look at it; more: looks at looks", count(1, 8))
    looks: int = key(1, "second looks at each first try; with 2 or more they are each other's baseline", count(1, 16))
    max_tokens: int = key(256, "longest completion of a turn, in tokens", count(1, MOST_TOKENS))
    temperature: float = key(1.0, "temperature of attempts; above 1 where groups no longer differ", positive())
    top_k: int = key(0, _TOP_K.format("an attempt"), count(0))
    top_p: float = key(1.0, _TOP_P, above_zero_to_one())
    min_p: float = key(0.0, _MIN_P, share_below_one())
    feedback: bool = key(False, "show a second look what the domain observed of the first answer; else it is blind")
    report: ReportKind = key(
        "none",
        "what is asked for after the last turn: none, confidence (stated), or self_evaluation (in training only)",
    )
    report_tokens: int = key(6, "longest report, in tokens: a number and its end", count(1, MOST_TOKENS))


@dataclass
class SearchConfig:
    when: Literal["never", "every", "band"] = key(
        "never", "when the judge searches: never, every step, or band: problems whose group is in the curriculum's band"
    )
    method: Method = key(
        "mcts", "mcts; monte_carlo: rollouts at each step of the attempts; or n_ary: min_children everywhere"
    )
    rule: SearchRule = key("uct", "how mcts chooses the next step: uct or puct")
    exploration: float = key(1.0, "constant c of the rule, which weighs what was seldom tried", at_least(0))
    nodes: int = key(32, "budget of a problem, in new steps", count(1))
    tokens: int = key(0, "budget of a problem, in sampled tokens; 0: no such limit", count(0))
    at_once: int = key(4, "steps that are chosen for one wave of sampling", count(1))
    min_children: int = key(2, "next steps of a step, at least", count(1))
    max_children: int = key(2, "next steps of a step, at most, with branching", count(1))
    min_first: int = key(4, "first steps of a problem, at least", count(1))
    max_first: int = key(4, "first steps of a problem, at most, with branching", count(1))
    branching: float = key(
        0.0, "alpha of adaptive branching: more next steps where they decide more; 0: always the minimum", at_least(0)
    )
    rollouts: int = key(1, "completions to the end of the answer from each new step", count(0))
    prune: bool = key(False, "end an answer at a step that fails when executed, before more is sampled behind it")
    merge: bool = key(False, "make one of steps that leave the same to be done")


@dataclass
class CriticsConfig:
    value: float = key(0.0, "weight of the value head in a step's score", at_least(0))
    process: float = key(0.0, "weight of the process critic in a step's score", at_least(0))
    outcome: float = key(1.0, "weight of the verdicts on rollouts in a step's score", at_least(0))
    process_from: ProcessSource = key(
        "head", 'what the process critic is: head, on hidden states; or words: the model\'s own 1 or 0 behind "Right:"'
    )
    process_threshold: float = key(
        0.0, "a step is good where a larger share of the answers below it is right", share_below_one()
    )
    held_out: float = key(
        0.25, "share of problems that the heads are measured on and never trained on", share_below_one()
    )
    width: int = key(64, "hidden units of the heads", count(1))
    learning_rate: float = key(3e-3, "learning rate of the heads (Adam)", positive())
    epochs: int = key(4, "Adam steps of the heads on each step's trees", count(1))
    last_step: int = key(
        0, "the heads are trained up to this step; 0: always (else a control: critics not refreshed)", count(0)
    )


@dataclass
class CreditConfig:
    rule: Literal["outcome", CreditRule] = key(
        "outcome", "what pays the steps of first tries: outcome of the whole answer; or tree, monte_carlo or siblings, "
        "which read a search's tree",
    )  # fmt: skip
    local_weight: float = key(1.0, "tree: weight of V(step) - V(step before)", at_least(0))
    global_weight: float = key(1.0, "tree: weight of V(step) - V(problem)", at_least(0))
    outcome_weight: float = key(0.0, "tree: weight of verdict - V(problem), on the last step", at_least(0))
    shrink: float = key(0.0, "answers' worth of what was expected that is mixed into a step's value", at_least(0))
    noise_floor: float = key(
        0.0, "a step is trained where its advantage is above this many standard errors", at_least(0)
    )


@dataclass
class ModelJudgeConfig:
    threshold: float = key(0.5, "an answer is right where P(right) is above this", share_below_one())
    floor: float = key(
        0.01,
        "least probability that the model gives to right and wrong together; below it nothing was said",
        from_to(0, 1),
    )
    max_chars: int = key(1000, "characters of a question or an answer that the judge is shown", count(2))


@dataclass
class MajorityConfig:
    min_share: float = key(
        0.0, "where fewer of the answers that can be read are the most frequent one, nothing is judged (R-Zero: 0.3)",
        from_to(0, 1),
    )  # fmt: skip


@dataclass
class JudgeConfig:
    source: Literal["verifier", "model", "majority"] = key(
        "verifier", "who judges answers, also in a search: verifier (the domain), model (it is asked in words), or "
        "majority (right is what most first tries say)",
    )  # fmt: skip
    rewards: list[Any] = key(
        [{"part": "verdict", "weight": 1.0}], "what an answer is paid: the sum of weight times part. A part is verdict "
        "(the domain's score), correct (right or not), format, length (with free and limit, in tokens), as controls "
        "wrong, random (with rate) and shuffled, or "
        "my_package.my_module:MyOwn with its options, which is named again on resume. name tells two of one kind apart",
        list_of_parts(),
    )  # fmt: skip
    reward_seconds: float = key(
        10.0,
        "how long a reward or a judge of your own may take for an answer, which is left out then",
        from_to(0.001, 1e6),
    )
    truncated: TruncatedRule = key(
        "zero", "the score of a completion that was cut by its length: zero; or unjudged: it is left out"
    )
    max_error_share: float = key(
        0.5, "share of a step's answers on which the domain's judge or a reward may fail: they are left out. Beyond it "
        "a run ends",
        from_to(0, 1),
    )  # fmt: skip
    correction_bonus: float = key(1.0, "alpha of SCoRe: a second turn is paid r2 + alpha (r2 - r1)", at_least(0))
    first_turn_reward: FirstTurnRule = key(
        "own", "which verdict pays a first turn's tokens: own, that of the first turn; or last, that of the last turn"
    )
    report_reward: ReportRule = key(
        "none", "what a report is paid. A confidence: brier, log or brier_apart. A self-evaluation: consistency, "
        "consistency_original or balanced. Or none",
    )  # fmt: skip
    model: ModelJudgeConfig = section(ModelJudgeConfig, "the model as judge, where judge.source is model")
    majority: MajorityConfig = section(MajorityConfig, "a vote as judge, where judge.source is majority")
    search: SearchConfig = section(SearchConfig, "tree search over the steps of an answer")
    critics: CriticsConfig = section(CriticsConfig, "what a search scores steps by")
    credit: CreditConfig = section(CreditConfig, "rewards of steps, from a search's tree")


@dataclass
class CurriculumConfig:  # rules and formulas: curriculum/settings.py, docs/curriculum.md
    forgetting: float = key(0.97, "what a past observation of a problem is still worth, per policy version")
    family_forgetting: float = key(0.9, "what a past observation of a family is still worth, per policy version")
    band_low: float = key(0.1, "replays are drawn from problems that are solved at least this often")
    band_high: float = key(0.9, "replays are drawn from problems that are solved at most this often")
    min_new_share: float = key(0.4, "at least this share of a step's problems is new, if there are any")
    max_new_share: float = key(
        0.6, "at most this share of a step's problems is new, unless no known problem is worth its place"
    )
    min_successes: int = key(
        2, "a group of 8 with fewer right answers, but some, is banked: not trained on, tried again with more attempts"
    )
    mastered_share: float = key(
        0.06, "usual share of a step for families that were mastered once, moved by their risk of being forgotten"
    )
    known_rate: float = key(
        0.6, "families that were never solved this often are not rehearsed; lower it where temperatures are high"
    )
    level_discount: float = key(
        0.5, "what a level is worth for each level that it lies above what is reached; 1: jumps are welcome"
    )
    staleness_weight: float = key(0.15, "weight of staleness beside learnability when replays are drawn")
    parent_low: float = key(0.2, "a problem that is solved less often than this is no parent for harder ones")
    max_family_share: float = key(
        0.34, "most of a step's parents, and of its promising new problems, that are of one family"
    )
    family_quota: float = key(
        1.0,
        "most of a step's places for new problems that one family may take; where a family has more, places are "
        "left to known problems. 1: no quota",
    )
    bank_delay: int = key(4, "steps before a banked problem is tried again, with twice the attempts")
    reprobe_delay: int = key(10, "steps before a problem that was too hard is tried again, if its family has improved")
    forecast: ForecastRule = key(
        "beta", "by which it is foretold how often an untried problem is solved, so that none is tried that is "
        "hopeless or certain: beta, its family's rate; features, what its features, parent and log-probability add"
    )  # fmt: skip
    rescue: RescueRule = key(
        "none", "problems that are too hard are posed with help, less as they are solved, and bare again. none: not; "
        "hint tells half of the solution first, reverse nearly all of it, subproblem the answers of parts"
    )  # fmt: skip
    rescue_share: float = key(0.125, "share of a step's places that they may take, where rescue is not none")
    max_candidates: int = key(
        1024, "known problems that are looked at in a draw: it bounds a step's work whatever the store's size"
    )


@dataclass
class WeightsConfig:
    challenger: float = key(1.0, "weight of the challenger's part of the loss", at_least(0))
    solver_first: float = key(1.0, "weight of the solver's first turn in the loss", at_least(0))
    solver_second: float = key(1.0, "weight of the solver's later turns in the loss", at_least(0))
    report: float = key(1.0, "weight of the solver's reports in the loss", at_least(0))


@dataclass
class KlConfig:
    challenger: float = key(
        0.0, "weight of the KL to the start policy on the challenger's tokens, on top of train.kl_coef", at_least(0)
    )
    solver_first: float = key(0.0, "the same on the solver's first turn", at_least(0))
    solver_second: float = key(0.0, "the same on the solver's later turns", at_least(0))


@dataclass
class StageOneConfig:
    max_steps: int = key(0, "steps that SCoRe's stage I lasts at most; 0: there is no stage I", count(0))
    kl_first: float = key(1.0, "weight of the KL to the start policy on first-turn tokens in stage I", at_least(0))
    plateau_window: int = key(
        20, "stage I ends when this many steps gain less than plateau_gain over as many before; 0: never", count(0)
    )
    plateau_gain: float = key(0.01, "least gain in the share of right second looks that prolongs stage I", at_least(0))
    kl_budget: float = key(
        0.0, "stage I also ends when a step's mean KL of first-turn tokens is above this; 0: no such limit", at_least(0)
    )


@dataclass
class ExperienceConfig:  # docs/experience.md
    world_model: float = key(
        0.0, "weight of the loss on what came of an action, of the model's own actions and of right ones", at_least(0)
    )
    imitation: float = key(0.0, "weight of the loss on right actions", at_least(0))
    reflection: float = key(
        0.0, "weight of the loss on what the model said of why the right action is right, where executing what it ends "
        "with bears it out", at_least(0),
    )  # fmt: skip
    steps: int = key(
        0, "first steps, in which a run learns from experience alone, before RL; 0: beside RL in every step", count(0)
    )
    alternatives: int = key(4, "actions of its own that the model is asked for in each state", count(1))
    states: int = key(0, "first states of a problem's right path in which it is asked; 0: all", count(0))
    max_tokens: int = key(96, "tokens of a reflection at most", count(1, MOST_TOKENS))
    grounded: bool = key(
        True,
        "execute actions. false is a control: the model itself says what came of them, and all it reflects is kept",
    )


@dataclass
class TrainConfig:
    learning_rate: float = key(1e-5, "AdamW's learning rate, at its highest", positive())
    weight_decay: float = key(0.0, "AdamW's weight decay", at_least(0))
    betas: list[float] = key([0.9, 0.999], "AdamW's two decay rates of moments", two_betas())
    warmup_steps: int = key(0, "steps over which the learning rate rises linearly from 0", count(0))
    decay_steps: int = key(
        0, "step at which the learning rate, falling linearly, would be 0. 0: it does not fall, for how fast it should "
        "depends on how long a run is meant to be",
        count(0),
    )  # fmt: skip
    decay_floor: float = key(0.1, "share of itself below which the learning rate does not fall", from_to(0, 1))
    step_kl: float = key(
        0.0, "nats a token by which an update is to move the policy: the learning rate is steered to it, from a "
        "sixteenth of itself on, so that it need not be known for a new model. 0: it is as it is set",
        at_least(0),
    )  # fmt: skip
    grad_clip: float = key(1.0, "bound on the gradient's L2 norm", positive())
    clip_low: float = key(
        0.2, "how far the ratio may fall below 1; acts with anchor sampler alone, for a sample is updated on once",
        between_zero_and_one(),
    )  # fmt: skip
    clip_high: float = key(0.28, "how far the ratio may rise above 1; acts with anchor sampler alone", positive())
    anchor: Anchor = key(
        "policy", "what the ratio is taken against: the policy that is updated, or the sampler (selfplay/train/loss.py)"
    )
    importance_mode: ImportanceMode = key(
        "token_truncate", "weights that correct for a sampler of other rounding or age, with anchor policy. Of each "
        "token: token_truncate, cut to importance_cap, or token_mask, 0 above it. Of each completion, which costs one "
        "more forward pass: sequence_truncate or sequence_mask. none: no weights",
    )  # fmt: skip
    importance_cap: float = key(2.0, "bound on these weights", at_least(1))
    imitation: ImitationRule = key(
        "none", "copy right answers in place of policy gradients: rft, star, pair_sft, pair_sft_plus, best_path, or as "
        "a control truth (selfplay/learn/copies/imitation.py). none: do not",
    )  # fmt: skip
    kl_coef: float = key(0.0, "weight of the KL to the start policy, on all tokens that were sampled", at_least(0))
    kl: KlConfig = section(KlConfig, "more of that KL, by who was speaking")
    stage_one: StageOneConfig = section(StageOneConfig, "reward on the second turn only, at first")
    experience: ExperienceConfig = section(
        ExperienceConfig, "early experience: losses without reward, on what comes of the model's own actions"
    )
    advantage: AdvantageRule = key(
        "centred", "advantages in a group: centred, reward minus mean (Dr. GRPO); or rloo, minus the others' mean"
    )
    baseline: BaselineRule = key(
        "group", "what first tries are compared with: the group; or format, those of the group in the same format "
        "(guards.formats), so that being right pays and a format does not",
    )  # fmt: skip
    format_quota: float = key(
        0.0, "least share of what right first tries are pushed up by that each format has of which any is right; what "
        "is seldom is pushed up to 8 times as much for it. 0: none", from_to(0, 0.5),
    )  # fmt: skip
    clip_cov: float = key(
        0.0, "Clip-Cov: share of the trained tokens that an update leaves out, of those that make the policy most "
        "certain (selfplay/learn/clip_cov.py); 0.0002 in arXiv 2505.22617. 0: none", from_to(0, 1),
    )  # fmt: skip
    clip_cov_low: float = key(1.0, "least covariance of log-probability and advantage of such a token", at_least(0))
    clip_cov_high: float = key(5.0, "largest covariance of such a token", at_least(0))
    advantage_scale: ScaleRule = key(
        "none", "what advantages are divided by: none; group, the standard deviation of the group's rewards (GRPO), "
        "which pays a lucky success most; batch, that of all advantages of who was speaking (REINFORCE++)",
    )  # fmt: skip
    mean: MeanRule = key(
        "tokens", "what the loss of who was speaking is a mean over: tokens (DAPO); completions, each a mean over its "
        "tokens (GRPO); or constant, completions, each a sum over its tokens divided by max_tokens (Dr. GRPO)",
    )  # fmt: skip
    surrogate: Surrogate = key(
        "ppo", "with anchor sampler, what ratio and clip make of an advantage: ppo; cispo, where clipped tokens push "
        "too; or gspo, of whole completions, which costs one more forward pass (docs/losses.md)",
    )  # fmt: skip
    weights: WeightsConfig = section(WeightsConfig, "weights of the parts of the loss")
    pack_tokens: int = key(
        4096, "tokens in a forward and backward pass: memory against speed; the update is the same but for rounding",
        count(1),
    )  # fmt: skip
    logprob_chunk: int = key(
        64, "rows of logits that are made at a time: memory against speed; the update is the same but for rounding",
        count(1),
    )  # fmt: skip
    gradient_checkpointing: bool = key(False, "recompute activations in the backward pass: less memory, more time")
    pass_mode: PassMode = key("auto", "how packs run: tree, flat, or auto: whichever is cheaper for each pack")
    merge: bool = key(True, "let samples of a group that say the same share their nodes of the tree")
    mask: str = key(
        "", "train only the subnetwork in this file, which `selfplay.inspect audit --mask` wrote: the rest keeps its "
        "bits. Empty: train everything",
    )  # fmt: skip
    mask_digest: str = key(
        "", "digest of that subnetwork. Empty: a run notes that of the file that it begins with, and goes on with no "
        "other",
        digest_or_empty(),
    )  # fmt: skip


@dataclass
class EvaluateConfig:
    every: int = key(20, "steps between interim evaluations", count(1))
    sets: list[str] = key(
        [], "names of the sets that are measured, such as [add2, sub2]; what others hold out is not trained on either. "
        "Empty: all"
    )  # fmt: skip
    size: int = key(0, "problems of each set that are measured at most; 0: all that are held out", count(0))
    interim_size: int = key(100, "problems of each set in an interim evaluation, first try only", count(1))
    pass_k: int = key(
        8,
        "samples of each problem for pass@k, drawn at temperature 1 from all tokens, before and after the run",
        count(1),
    )
    pass_size: int = key(100, "problems of each set for pass@k", count(1))
    report: ReportKind = key(
        "none", "what sampled answers are asked for afterwards: none, confidence or self_evaluation"
    )
    search_tokens: int = key(
        0,
        "sampled tokens a problem of a search that is measured beside best-of-N and voting, drawn as the solver's are; "
        "0: none",
        count(0),
    )
    search_seconds: float = key(
        0.0, "end that search by a clock as well, which is marked as not reproducible; 0: no such limit", at_least(0)
    )
    mechanism: bool = key(
        False, "also measure second looks at the start model's own first tries, and how errors have moved"
    )
    holdout_key: str = key("selfplay-1", "key of the hash that chooses held-out problems", hash_key())


@dataclass
class GuardsConfig:  # why each threshold is what it is: selfplay/guards/thresholds.py
    formats: dict[str, str] = key(
        {}, "formats of answers that are counted: by name, a text that stands in each, in this order. Empty: the "
        "domain's own, or told by shape", formats_by_text(),
    )  # fmt: skip
    format_share: float = key(
        _BOUNDS.format_share, "alarm above this share of first tries in one format, where others were worth something. "
        "This and the others below: 1 is never", from_to(0, 1),
    )  # fmt: skip
    answer_prior: float = key(
        _BOUNDS.answer_prior, "alarm above this share of first tries, beyond what is right, that give one and the same "
        "answer", from_to(0, 1),
    )  # fmt: skip
    answer_copied: float = key(
        _BOUNDS.answer_copied, "alarm above this share of first tries, beyond what is right, that answer with what "
        "stands in the problem", from_to(0, 1),
    )  # fmt: skip
    answered_alike: float = key(
        _BOUNDS.answered_alike, "alarm above this share of tries at a problem that answer as tries at a changed one do",
        from_to(0, 1),
    )  # fmt: skip
    answer_visible: float = key(
        _BOUNDS.answer_visible, "alarm where the share of problems whose right answer stands in their text rises above "
        "this", from_to(0, 1),
    )  # fmt: skip
    repetition: float = key(
        _BOUNDS.repetition, "alarm above this share of first tries that mostly repeat themselves", from_to(0, 1)
    )
    cut_share: float = key(
        _BOUNDS.cut_share, "alarm above this share of the solver's turns that the limit cuts", from_to(0, 1)
    )
    entropy: float = key(
        _BOUNDS.entropy, "alarm below this entropy of what solver or challenger samples, in nats a token; 0 is never",
        at_least(0),
    )  # fmt: skip
    rechecks: int = key(
        0, "answers of a step, out of the quarter that was paid most, that the domain judges once more by other means; "
        "what differs is stored and is an alarm. 0: none", count(0),
    )  # fmt: skip
    distinct_proposals: float = key(
        _BOUNDS.distinct_proposals, "alarm below this share of different texts among the proposals; 0 is never",
        from_to(0, 1),
    )  # fmt: skip


@dataclass
class ProbesConfig:  # docs/probes.md
    size: int = key(
        0, "problems of each kind, hard and easy, that are kept of the run's own to compare its checkpoints by, and "
        "posed no more from then on; 0: none", count(0),
    )  # fmt: skip
    every: int = key(1, "steps between new probes: one of each kind, where a step has one", count(1))
    rule: RateRule = key(
        "posterior_mean", "the rate of n probes of which s are solved: posterior_mean, (s + 1) / (n + 2); or plus_one, "
        "(s + 1) / (n + 1), as Ctx2Skill has it. The best checkpoint has the highest product of both kinds' rates",
    )  # fmt: skip
    rollback: float = key(
        0.0, "go back to the best checkpoint's weights where the product fell by more than so many standard errors, "
        "such as 2; 0: never", at_least(0),
    )  # fmt: skip


@dataclass
class SkillsConfig:
    every: int = key(
        0, "steps between rounds in which challenger and solver each write skills for themselves, short pieces of "
        "advice that their prompts show from then on (docs/skills.md). 0: none", count(0),
    )  # fmt: skip
    most: int = key(5, "skills that each of them keeps at most", count(1, 64))
    tokens: int = key(40, "tokens that a skill has at most, its name included", count(4, 1024))
    cases: int = key(6, "problems that a round looks at: failed ones for the solver, solved ones for the challenger",
        count(1, 64),
    )  # fmt: skip
    temperature: float = key(0.7, "of what is said in a round; 0 is greedy", at_least(0))
    pick: bool = key(
        False, "a new set of the solver's is compared by the probes with those before it, and with none; the best by "
        "probes.rule is shown (docs/skills.md)"
    )  # fmt: skip
    evaluate: bool = key(True, "evaluations of the run show the solver's skills as its steps do")


@dataclass
class ResumeConfig:
    mode: Literal["replay", "rewind", "best"] = key(
        "replay", "replay: make the updates since the last checkpoint again; rewind: go back to that checkpoint; best: "
        "go back to the one that the run's probes picked",
    )  # fmt: skip


@dataclass
class LoggingConfig:
    transcript_every: int = key(10, "steps between transcripts on the terminal; 0 shows none", count(0))
    report_to: list[str] = key(
        [], "experiment trackers that are sent every step's figures: tensorboard, wandb, mlflow and trackio, each with "
        "an extra of its name (docs/metrics.md). Empty: none",
        some_of(*get_args(TrackerName)),
    )  # fmt: skip
    project: str = key("selfplay", "what trackers file the run under: a project, MLflow's experiment", project_name())


@dataclass
class Config:
    seed: int = key(
        0, "everything random is derived from it", Rule("from 0 to 2^63 - 1", lambda value: 0 <= value < 2**63)
    )
    domain: str = key(
        "arithmetic",
        "what problems are: a domain's name, or my_package.my_module:MyDomain, which is named again on resume",
    )
    domain_options: dict[str, Any] = key({}, "keyword arguments for the domain")
    run: RunConfig = section(RunConfig, "the run folder, the run's length, and the machine")
    model: ModelConfig = section(ModelConfig, "the start weights")
    engine: EngineConfig = section(EngineConfig, "what samples")
    policy: PolicyConfig = section(PolicyConfig, "what of the weights is trained")
    prompts: PromptsConfig = section(PromptsConfig, "how roles are put into words")
    challenger: ChallengerConfig = section(ChallengerConfig, "who poses problems")
    solver: SolverConfig = section(SolverConfig, "who attempts problems")
    judge: JudgeConfig = section(JudgeConfig, "what attempts are paid")
    curriculum: CurriculumConfig = section(CurriculumConfig, "which problems are posed and practised")
    train: TrainConfig = section(TrainConfig, "the update")
    evaluate: EvaluateConfig = section(EvaluateConfig, "held-out problems")
    guards: GuardsConfig = section(GuardsConfig, "what a run watches for in every step; nothing of it is trained")
    probes: ProbesConfig = section(ProbesConfig, "the run's own problems by which checkpoints are compared")
    skills: SkillsConfig = section(SkillsConfig, "advice that challenger and solver write for themselves")
    resume: ResumeConfig = section(ResumeConfig, "how a killed run goes on")
    logging: LoggingConfig = section(LoggingConfig, "the terminal, and experiment trackers")
