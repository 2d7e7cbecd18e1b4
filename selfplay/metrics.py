"""Every figure that a run stores: its name, its unit and format, what it is and how to read it.

Whoever writes or reads a figure names it by a constant of this file, so that a misspelt name is an error and not a
missing value. A figure of a step is in the step's metrics, one of an evaluation in the metrics of each held-out set.
docs/metrics.md shows the table: `python -m selfplay.metrics docs/metrics.md` writes it there anew.
"""

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from store.records import Fate, RoundOutcome

NOTHING = "-"  # what is shown of a figure that was not measured


@dataclass(frozen=True, slots=True)
class Unit:
    """What a figure counts, and how Python's `format` writes one."""

    name: str
    format: str


SHARE = Unit("share", ".2f")
SHARE_CHANGE = Unit("share", "+.2f")
COUNT = Unit("count", ".0f")
MEAN_COUNT = Unit("mean count", ".1f")
TOKENS = Unit("tokens", ",.0f")
MEAN_TOKENS = Unit("tokens", ".1f")
SECONDS = Unit("seconds", ".1f")
BYTES = Unit("bytes", ",.0f")
REWARD = Unit("reward", "+.2f")
UNSIGNED_REWARD = Unit("reward", ".2f")
NATS = Unit("nats", ".3f")
LEVEL = Unit("level", ".2f")
FLAG = Unit("0 or 1", ".0f")
NUMBER = Unit("number", ".3f")
RATE = Unit("number", ".1e")


@dataclass(frozen=True, slots=True)
class Metric:
    """One figure, or one for each value of what stands in braces in its name: "challenger/{fate}".

    `values`: regular expressions of what may stand there. `reading`: how to read it. `has_interval`: the ends of its
    95% interval are stored beside it, as `<name>_low` and `<name>_high`.
    """

    name: str
    unit: Unit
    help: str
    reading: str = ""
    has_interval: bool = False
    values: Mapping[str, str] = field(default_factory=dict)

    def matches(self, name: str) -> bool:
        """Whether a stored name is of this figure."""
        pattern = re.escape(self.name)
        for key, value in self.values.items():
            pattern = pattern.replace(re.escape(f"{{{key}}}"), f"(?:{value})")
        return re.fullmatch(pattern + ("(?:_low|_high)?" if self.has_interval else ""), name) is not None


@dataclass(frozen=True, slots=True)
class Section:
    """Figures that are shown together, each of a step or each of an evaluation. `when`: what has to be on for them."""

    title: str
    when: str = ""
    metrics: list[Metric] = field(default_factory=list)

    def add(
        self, name: str, unit: Unit, help: str, reading: str = "", has_interval: bool = False, **values: str
    ) -> str:
        """Put a figure into the table. Returns its name."""
        self.metrics.append(Metric(name, unit, help, reading, has_interval, values))
        return name


POSED = Section("What was posed")
SIGNAL_SHARE = POSED.add(
    "curriculum/signal_share",
    SHARE,
    "share of the step's groups of which some turn was trained on: first tries that were paid differently (right and "
    "wrong, or by graded scores), or second looks that were",
    "the first figure to watch: under 0.3, most of the sampling teaches nothing",
)
MIXED_SHARE = POSED.add(
    "curriculum/mixed_share",
    SHARE,
    "share of groups whose first tries were paid differently (right and wrong, where the verdict alone pays), banked "
    "groups included",
    "the stricter figure: what is missing to `curriculum/signal_share` is second looks",
)
PROBLEMS = POSED.add("curriculum/problems", COUNT, "problems of the step")
NEW_PROBLEMS = POSED.add("curriculum/new", COUNT, "problems that were not posed before")
TRAINED = POSED.add("curriculum/trained", COUNT, "groups that were trained on")
TRAINED_CHALLENGER = POSED.add(
    "curriculum/trained_challenger", COUNT, "groups trained on whose problem the challenger posed"
)
LEVEL_MEAN = POSED.add(
    "curriculum/level_mean", LEVEL, "mean level of the step's problems", "rising: the curriculum escalates"
)
RESCUE_POSED = POSED.add(
    "rescue/posed", COUNT, "with `curriculum.rescue`: problems that were too hard, and were posed with help"
)
RESCUE_SOLVED = POSED.add(
    "rescue/solved_with_help",
    SHARE,
    "share of right first tries at these",
    "0 for long: the help does not help, or the model cannot read it",
)
RESCUE_BARE = POSED.add("rescue/bare_again", COUNT, "problems that were posed bare while they were being rescued")
RESCUE_FREED = POSED.add(
    "rescue/freed",
    COUNT,
    "of these, problems that were solved at least once, which ends their rescue",
    "0 for long while `rescue/bare_again` is not: with help they are solved, and without it they are not",
)
_RULE = "beta|features"
FIRST_SIGNAL = POSED.add(
    "forecast/signal",
    SHARE,
    "of problems that nobody had tried before, the share of groups with right and wrong first tries",
)
FORECAST_SIGNAL = POSED.add(
    "forecast/signal_{rule}",
    SHARE,
    "the same, as it was foretold before they were tried: by their family's rate (`beta`), and by their features",
    "far from `forecast/signal`: what is admitted is not what was meant",
    rule=_RULE,
)
FORECAST_BRIER = POSED.add(
    "forecast/brier_{rule}",
    NUMBER,
    "Brier score of a first try at such a problem, by each rule ([curriculum.md](curriculum.md#what-is-known))",
    "lower is better; 0.25 is what a rate of 1/2 for everything scores",
    rule=_RULE,
)
FORECAST_COVERAGE = POSED.add(
    "forecast/coverage_{rule}",
    SHARE,
    "share of such groups whose right tries lie in the 90% interval of what was foretold, by each rule",
    "below 0.9 for long: what is foretold is surer than it should be",
    rule=_RULE,
)
PROPOSALS = POSED.add("challenger/proposals", COUNT, "what the challenger proposed")
VALID_NEW = POSED.add("challenger/valid_new", COUNT, "proposals that were valid and new: accepted, or surplus")
FATE_COUNT = POSED.add(
    "challenger/{fate}",
    COUNT,
    f"proposals by what became of them: {', '.join(f'`{fate.value.lower()}`' for fate in Fate)}",
    "many duplicates: the challenger repeats itself",
    fate="|".join(fate.value.lower() for fate in Fate),
)
CHALLENGER_REWARD = POSED.add(
    "challenger/reward", UNSIGNED_REWARD, "mean reward of the proposals that were measured or rejected"
)
CHALLENGER_GATED = POSED.add(
    "challenger/gated",
    COUNT,
    "with `challenger.gate=strict`: accepted proposals that were paid as rejected ones, for a pass rate out of the "
    "band or an answer that other means contradict",
)
CHALLENGER_NOVELTY = POSED.add(
    "challenger/novelty",
    NUMBER,
    "with `challenger.novelty`: mean of 1 / sqrt(1 + n) over the proposals that were paid by their pass rate, n the "
    "known problems like each",
    "falling to 0: the challenger says again what is known",
)
CHALLENGER_AIM = POSED.add(
    "challenger/aim",
    SHARE,
    "with `challenger.aim`: how near the same proposals are, in the mean, to the nearest target that is not solved",
    "1 in every step: all targets are solved, or nothing is left to aim better",
)
CHALLENGER_LEARNED = POSED.add(
    "challenger/learned",
    REWARD,
    "with `challenger.learned_credit`: sum of what the step paid for rises of held pass rates",
    "below 0: families are solved less often than was paid for",
)

SOLVED = Section("What was answered")
PASS_RATE = SOLVED.add(
    "solver/pass_rate",
    SHARE,
    "share of first tries that were right",
    "held near the middle by the scheduler; it does not measure progress",
)
LAST_PASS_RATE = SOLVED.add("solver/last_pass_rate", SHARE, "share of last turns that were right")
FIXED_SHARE = SOLVED.add(
    "solver/fixed_share",
    SHARE,
    "share of wrong first tries that a second look mended",
    "above `solver/broken_share`: self-correction pays, where as many tries are wrong as right",
)
BROKEN_SHARE = SOLVED.add("solver/broken_share", SHARE, "share of right first tries that a second look broke")
STEP_CHANGE_RATE = SOLVED.add(
    "solver/change_rate",
    SHARE,
    "share of attempts whose last answer differs from the first",
    "falling to 0: second looks copy the first try",
)
STEP_PARSED = SOLVED.add("solver/parsed", SHARE, "share of first tries with an answer in the domain's syntax")
EDIT_RATIO_MEAN = SOLVED.add(
    "solver/edit_ratio_mean",
    SHARE,
    "mean edit distance of the last turn's text from the first's, over the sum of their lengths",
)
EDIT_RATIO = SOLVED.add(
    "solver/edit_ratio_{tenth}",
    SHARE,
    "share of attempts whose ratio is in the tenth that begins at `0.0`, `0.1` ... `0.9`",
    "all in the first tenth: second looks only copy",
    tenth=r"0\.\d",
)
COPIES = SOLVED.add(
    "alarm/copies",
    FLAG,
    "1 when at least 95% of the wrong first answers (16 or more that could be read) were given again",
    "five steps in a row are said on the terminal",
)
REWARD_MEAN = SOLVED.add("reward/mean", REWARD, "mean of what turns were paid, bonus included")
_PARTS = (
    "over the turns that have it: `verdict` and others of `judge.rewards`, `correction` (`judge.correction_bonus`, of "
    "later turns), `report` (`judge.report_reward`, of last turns)"
)
PART_MEAN = SOLVED.add(
    "reward/{part}_mean",
    REWARD,
    f"mean of a part's weighted share of the reward, {_PARTS}",
    "a part that rises while `solver/pass_rate` does not is what the model learns in its place",
    part=r"[A-Za-z]\w*",
)
PART_STD = SOLVED.add(
    "reward/{part}_std",
    UNSIGNED_REWARD,
    "standard deviation of the same",
    "0: the part pushes nothing; far above the others': it decides what is learned",
    part=r"[A-Za-z]\w*",
)
MEAN_LENGTH = SOLVED.add("completions/mean_length", MEAN_TOKENS, "mean length of the solver's turns")
CLIPPED_RATIO = SOLVED.add("completions/clipped_ratio", SHARE, "share of the solver's turns that the limit cut")
UNJUDGED = SOLVED.add(
    "judge/unjudged",
    COUNT,
    "turns that nobody could judge; they are in no group",
    "above 0: the judge or a reward of your own fails, or the domain cannot tell",
)
JUDGE_ERRORS = SOLVED.add(
    "judge/errors",
    COUNT,
    "those of them on which the domain's judge or a reward failed; the store has the first line of each error",
    "above 0: a line says how; beyond `judge.max_error_share` the run stops",
)
TREE_NODES = SOLVED.add("tree/nodes", TOKENS, "tokens in the step's tree")
VALUE_GAP = SOLVED.add(
    "tree/value_gap",
    UNSIGNED_REWARD,
    "how much one token of a first try decides: mean distance of a node's value (mean reward of the samples below it) "
    "from its parent's",
    "high: answers are decided at single tokens",
)

JUDGED = Section(
    "What others than the domain judged",
    "with `judge.source=model` or `majority`; the domain's own verdicts pay nothing there",
)
LABEL_ACCURACY = JUDGED.add(
    "judge/label_accuracy",
    SHARE,
    "majority: share of groups whose most frequent answer is right, of those whose right answer the domain knows",
    "falling while the pass rate rises: the solver agrees with itself on wrong answers",
)
LABEL_COUNT = JUDGED.add("judge/label_count", COUNT, "majority: groups that this is a share of")
JUDGE_AGREES = JUDGED.add("judge/agrees", SHARE, "share of the model's verdicts that the domain's verifier shares")
JUDGE_FALSE_POSITIVES = JUDGED.add(
    "judge/false_positive_rate", SHARE, "share of wrong answers that the model took for right"
)
CANARY_FALSE_POSITIVES = JUDGED.add(
    "judge/canary_false_positive_rate",
    SHARE,
    "share of answers wrong for sure that the model took for right",
    "above 0.01: said on the terminal",
)
CANARY_BLOCKED = JUDGED.add(
    "judge/canary_blocked_share", SHARE, "share of answers wrong for sure that were never shown to the model"
)
SEARCH_AGREES = JUDGED.add(
    "search/agrees",
    SHARE,
    "of the different answers that searches ended and that both could judge: share of the model's verdicts that the "
    "verifier shares",
)
SEARCH_FALSE_POSITIVES = JUDGED.add(
    "search/false_positive_rate",
    SHARE,
    "of the wrong ones among them: share that the model took for right",
    "a search looks for what its judge says yes to: well above `judge/false_positive_rate`, it finds the judge's "
    "errors, not answers",
)

SEARCHED = Section("What searches found", "with `judge.search.when` other than never; critics with `judge.critics.*`")
SEARCH_PROBLEMS = SEARCHED.add("search/problems", COUNT, "problems searched")
SEARCH_NODES = SEARCHED.add("search/nodes", COUNT, "steps of answers in the searches' trees")
STEP_SEARCH_TOKENS = SEARCHED.add("search/tokens", TOKENS, "tokens that the searches sampled")
SEARCH_RIGHT_SHARE = SEARCHED.add(
    "search/right_share", SHARE, "share of searches that found a right answer, as `judge.source` judges"
)
SEARCH_GAP = SEARCHED.add(
    "search/gap",
    SHARE_CHANGE,
    "`search/right_share` less the mean pass rate of the same problems' attempts",
    "what search knows and the policy does not yet",
)
MERGED_SHARE = SEARCHED.add("search/merged_share", SHARE, "share of steps that were merged into another")
FLAT_SHARE = SEARCHED.add("search/flat_share", SHARE, "share of trees with all answers right or all wrong")
BRANCHING = SEARCHED.add(
    "search/branching_{depth}", MEAN_COUNT, "mean number of different next steps of a step at that depth", depth=r"\d+"
)
_OF_CRITICS = "of what a head said of each step against every verdict below it, on problems it was never trained on"
CRITIC_BRIER = SEARCHED.add("critic/{head}_brier", NUMBER, f"Brier score {_OF_CRITICS}", head="value|process")
CRITIC_ECE = SEARCHED.add("critic/{head}_ece", NUMBER, "expected calibration error of the same", head="value|process")
CRITIC_AUROC = SEARCHED.add(
    "critic/{head}_auroc",
    NUMBER,
    "area under the ROC curve of the same",
    "near 0.5: the head knows nothing",
    head="value|process",
)
CRITIC_N = SEARCHED.add(
    "critic/{head}_n", COUNT, "pairs of a step and a verdict that were counted", head="value|process"
)
CRITIC_LOSS = SEARCHED.add("critic/loss", NUMBER, "cross-entropy of the heads before the step's fit")

UPDATED = Section("The update")
LOSS = UPDATED.add("loss/policy", NUMBER, "the policy-gradient loss and the losses of early experience, KL left out")
GRAD_NORM = UPDATED.add("grad_norm", NUMBER, "L2 norm of the gradient before clipping", "absent where nothing pushed")
GRAD_NORM_OF = UPDATED.add(
    "grad_norm/{adapter}",
    NUMBER,
    "with `policy.lora.per_role`: the same of each role's adapters, `default` (the solver's) and `challenger`",
    "absent where nothing pushed them",
    adapter=r"default|challenger",
)
LEARNING_RATE = UPDATED.add("lr", RATE, "learning rate of the step")
STEP_KL = UPDATED.add(
    "train/step_kl",
    NATS,
    "with `train.step_kl`: KL of the update at the tokens it was made from, a token, which the learning rate follows",
)
STAGE = UPDATED.add("train/stage", Unit("1 or 2", ".0f"), "1 in SCoRe's stage I, else 2")
KL = UPDATED.add(
    "kl/{label}",
    NATS,
    "mean KL to the start a token, of the distributions that were drawn from, over the tokens that these left; of "
    "labels that a KL holds (`train.kl_coef`, `train.kl.*`, stage I): `challenger`, "
    "`solver/0` (first tries), `solver/1` (second looks) ..., `solver/report`",
    label=r"[a-z_]+(?:/\w+)?",
)
NLL = UPDATED.add(
    "nll/{label}",
    NATS,
    "with `train.experience.*`: mean -log p of a token that is learned without reward, before the update: "
    "`experience/state` (what came of an action), `experience/expert` (right actions), `experience/reflection`",
    "falls as it is learned",
    label=r"experience/\w+",
)
ENTROPY = UPDATED.add(
    "entropy",
    NATS,
    "mean -log p of what was said and trained: an estimate of the entropy of the distributions that were drawn from, "
    "at the roles' temperatures and truncated by their top_k, top_p and min_p",
    "a fall to 0 is a collapse",
)
CLIP_RATIO = UPDATED.add("clip_ratio/region_mean", SHARE, "share of trained tokens whose ratio was clipped")
TRUNCATED_SHARE = UPDATED.add(
    "sampling/truncated_mean",
    SHARE,
    "share of the importance weights that were cut; these are of trained tokens, or of completions with "
    "`train.importance_mode=sequence_*`",
    "beyond a few hundredths the update is biased: the sampler is too old or too coarse",
)
IMPORTANCE_MEAN = UPDATED.add(
    "sampling/importance/mean",
    NUMBER,
    "mean of these weights as they were used",
    "1: nothing was lost by cutting them; absent where nothing pushed",
)
IMPORTANCE_MAX = UPDATED.add(
    "sampling/importance/max", NUMBER, "the largest of them before it was cut, shown as e^20 where it is more"
)
IMPORTANCE_ESS = UPDATED.add(
    "sampling/importance/ess",
    SHARE,
    "effective sample size: how many samples of the policy itself the weighed ones are worth, as a share of them, "
    "(sum w)^2 / (n sum w^2)",
    "under a half, most of the sampling is for nothing",
)
MISMATCH_MEAN = UPDATED.add(
    "sampling/logp_diff/mean",
    NATS,
    "mean distance of the sampler's and the trainer's log-probabilities of a token, both of the distribution that it "
    "was drawn from; none of one that is only copied",
    "above 0.05 on one machine: the two do not run the same weights",
)
MISMATCH_MAX = UPDATED.add("sampling/logp_diff/max", NATS, "the largest such distance")
SAMPLER_KL = UPDATED.add(
    "sampling/kl",
    NATS,
    "KL of the sampler to the policy that is trained, a token, on what the sampler said: mean of "
    "theta/mu - 1 - log theta/mu",
    "the gap that weights correct: 0 where both compute alike",
)
CLIP_COV = UPDATED.add(
    "train/clip_cov_tokens", TOKENS, "with `train.clip_cov`: trained tokens that the update left out"
)
PACKS = UPDATED.add("train/packs", COUNT, "forward and backward passes")
PACKS_FLAT = UPDATED.add("train/packs_flat", COUNT, "how many of them ran as flat rows, not on the tree")
TOKENS_TRAINED = UPDATED.add("train/tokens_trained", TOKENS, "trained tokens, those that were said alike counted once")

EXPERIENCED = Section("Early experience", "with `train.experience.*`: [experience.md](experience.md)")
EXPERIENCED_STATES = EXPERIENCED.add("experience/states", COUNT, "states in which the model was asked for actions")
EXPERIENCED_ACTIONS = EXPERIENCED.add(
    "experience/actions", COUNT, "different actions of its own in them, each executed once"
)
EXPERIENCED_RIGHT = EXPERIENCED.add(
    "experience/right_share",
    SHARE,
    "of these, those that lead along the right path",
    "1: nothing is contrasted; 0 where nothing is executed",
)
REFLECTED = EXPERIENCED.add("experience/reflections", COUNT, "reflections that were asked for")
REFLECTED_KEPT = EXPERIENCED.add(
    "experience/reflections_kept",
    SHARE,
    "of these, those that are learned from: the action that they end with leads along the right path",
    "near 0: the model does not follow the form, and nothing is learned from reflections",
)

GUARDED = Section(
    "What the guards watch",
    "of first tries as they were sampled, and of proposals. From where on a figure is an alarm stands below (Guards)",
)
FORMAT_SHARE = GUARDED.add(
    "format/share_{format}",
    SHARE,
    "share of first tries in a format: of `guards.formats`, of the domain, or by shape",
    format=r"[a-z]\w*",
)
FORMAT_ACCURACY = GUARDED.add(
    "format/accuracy_{format}", SHARE, "share of a format's first tries that were right", format=r"[a-z]\w*"
)
FORMAT_MOST = GUARDED.add(
    "format/most", SHARE, "the largest of these shares", "rising to 1: one format drives out the others"
)
FORMAT_ENTROPY = GUARDED.add(
    "format/entropy",
    SHARE,
    "entropy of these shares, over its largest value",
    "1: all formats are as frequent, 0: there is one",
)
FORMAT_AT_STAKE = GUARDED.add(
    "format/at_stake",
    SHARE,
    "share of first tries in other formats that are right at least half as often as in the most frequent one",
    "what is lost where one format drives out the others",
)
ANSWER_PRIOR = GUARDED.add(
    "shortcut/answer_prior",
    SHARE,
    "by how much more often than it is right one answer is given, as a share of first tries, the worst answer's",
    "0 for a solver that is right; high: one answer is given whatever is asked",
)
ANSWER_COPIED = GUARDED.add(
    "shortcut/answer_copied",
    SHARE,
    "share of first tries whose answer stands in the problem's text, less that of right answers",
    "high: what is asked is given back",
)
ANSWER_VISIBLE = GUARDED.add(
    "shortcut/answer_visible",
    SHARE,
    "share of problems whose right answer stands in their text, where it is known",
    "rising: problems are posed that copying solves",
)
ANSWERED_ALIKE = GUARDED.add(
    "shortcut/answered_alike",
    SHARE,
    "how often two problems of which one is the other changed, with different right answers, get the same answer",
    "high: what was changed is not read",
)
REPETITION = GUARDED.add(
    "shortcut/repetition", SHARE, "share of first tries of 8 tokens or more that mostly repeat themselves"
)
ROLE_ENTROPY = GUARDED.add(
    "entropy/{role}",
    NATS,
    "mean -log p of what `solver` (first tries) or `challenger` sampled, trained or not",
    "a fall to 0: everything is said alike, and groups teach nothing",
    role="solver|challenger",
)
DISTINCT_PROPOSALS = GUARDED.add(
    "challenger/distinct_share", SHARE, "different texts among the proposals, as a share of them"
)
READABLE_PROPOSALS = GUARDED.add(
    "challenger/readable_share", SHARE, "share of the proposals that are problems of the domain, new or not"
)
RECHECKED = GUARDED.add(
    "recheck/checked", COUNT, "with `guards.rechecks`: turns that were judged once more, by other means"
)
DISAGREEMENTS = GUARDED.add(
    "recheck/disagreements",
    COUNT,
    "how many of them are right by one judge and wrong by the other",
    "above 0: `inspect alarms` lists them, and the judge can be pleased",
)
ALARMS_OPEN = GUARDED.add("alarm/open", COUNT, "alarms that are open after the step", "above 0: `inspect alarms`")

SKILLED = Section("Skills", "With `skills.every` ([skills.md](skills.md)).")
SKILL_ROUNDS = SKILLED.add("skills/rounds", COUNT, "rounds of writing before the step, one a side")
SKILL_OUTCOME = SKILLED.add(
    "skills/{outcome}",
    COUNT,
    "rounds by what became of them",
    "few are `written`: the model does not keep to the form, and its sets stay as they are",
    outcome="|".join(outcome.lower() for outcome in RoundOutcome),
)
SKILL_VERSION = SKILLED.add(
    "skills/version_{side}", COUNT, "how often a side's set has changed", side="challenger|solver"
)
SKILLS_SHOWN = SKILLED.add("skills/shown_{side}", COUNT, "skills that a side's prompts show", side="challenger|solver")
SKILL_TOKENS = SKILLED.add(
    "skills/tokens_{side}",
    TOKENS,
    "tokens that they take, once a step: the tree shares them",
    side="challenger|solver",
)
SKILLS_LEFT_OUT = SKILLED.add(
    "skills/left_out_{side}",
    COUNT,
    "skills that find no room in the model",
    "above 0: fewer or shorter ones (`skills.most`, `skills.tokens`)",
    side="challenger|solver",
)

SPENT = Section("What it took")
TOKENS_SAMPLED = SPENT.add(
    "tokens/sampled", TOKENS, "tokens that all roles and searches said", "what arms of equal cost have alike"
)
TOKENS_COMPUTED = SPENT.add(
    "tokens/computed",
    TOKENS,
    "tokens through the model, sampling and training, repeated ancestors and padding included",
)
TOKENS_FLAT = SPENT.add(
    "tokens/flat",
    TOKENS,
    "what a flat batch would have needed, without padding",
    "over `tokens/computed`: what the tree saves",
)
PHASE_SECONDS = SPENT.add(
    "seconds/{phase}",
    SECONDS,
    "wall time of `skills`, `propose`, `solve`, `judge`, `search`, `explore` and `update`",
    phase="skills|propose|solve|judge|search|explore|update",
)
DEVICE_PEAK = SPENT.add("memory/device_peak_bytes", BYTES, "the most that tensors held on a GPU", "absent on a CPU")

HELD_OUT = Section("Accuracy on a held-out set", "first tries and second looks are greedy")
N = HELD_OUT.add("n", COUNT, "problems of the set that were asked")
ACC_T1 = HELD_OUT.add("acc_t1", SHARE, "share of first tries that were right", has_interval=True)
ACC_T2 = HELD_OUT.add(
    "acc_t2",
    SHARE,
    "share of last turns that were right; absent where only first tries were asked for",
    has_interval=True,
)
DELTA = HELD_OUT.add(
    "delta", SHARE_CHANGE, "`acc_t2` - `acc_t1` = `i2c` - `c2i` (SCoRe, arXiv 2409.12917)", has_interval=True
)
I2C = HELD_OUT.add("i2c", SHARE, "share of all problems that went from wrong to right")
C2I = HELD_OUT.add("c2i", SHARE, "share of all problems that went from right to wrong")
CHANGE_RATE = HELD_OUT.add("change_rate", SHARE, "share of problems whose last answer differs from the first")
PARSED = HELD_OUT.add("parsed", SHARE, "share of first tries with an answer in the domain's syntax")
TOKENS_MEAN = HELD_OUT.add("tokens_mean", MEAN_TOKENS, "tokens said a problem, reports left out")
PASS_AT_1 = HELD_OUT.add(
    "pass_at_1",
    SHARE,
    "share right among sampled first tries at the set's first `evaluate.pass_size` problems",
    "full evaluations only",
)
PASS_AT_K = HELD_OUT.add(
    "pass_at_{k}",
    SHARE,
    "share of those problems that one of `evaluate.pass_k` samples solved",
    has_interval=True,
    k=r"\d+",
)
FIRST_TRY_CHANGE = HELD_OUT.add(
    "first_try_change", SHARE_CHANGE, "change of the first try since the start, problem by problem", has_interval=True
)
FIRST_TRY_ALARM = HELD_OUT.add(
    "alarm_first_try",
    FLAG,
    "1 when that change is below -0.02 and McNemar's exact test gives it a probability under 5% by chance",
    "said on the terminal with the interval",
)
EVALUATION_SECONDS = HELD_OUT.add("seconds", SECONDS, "wall time of the set's evaluation")

MECHANISM = Section("Second looks at one's own mistakes and at the start model's", "with `evaluate.mechanism`")
FIX_OWN = MECHANISM.add("fix_own", SHARE, "share of one's own wrong first tries that a sampled second look mends")
BREAK_OWN = MECHANISM.add("break_own", SHARE, "share of one's own right first tries that it breaks")
FIX_START = MECHANISM.add("fix_start", SHARE, "the first for the start model's first tries")
BREAK_START = MECHANISM.add("break_start", SHARE, "the second for the start model's first tries")
ERROR_DISTANCE = MECHANISM.add(
    "error_distance", SHARE, "total variation between one's own wrong answers and the start model's"
)
ERROR_FLOOR = MECHANISM.add("error_floor", SHARE, "the same between two draws of the start model: what chance gives")

REPORTED = Section(
    "What sampled answers say of themselves",
    "with `evaluate.report`, in full evaluations; all but the first are over the reports that could be read",
)
REPORT_PARSED = REPORTED.add("report_parsed", SHARE, "share of reports that could be read")
_TOO_LARGE = "noise alone makes it too large; the pages under docs/lab/ show it less that"
REPORT_BRIER = REPORTED.add(
    "report_brier",
    NUMBER,
    "Brier score, mean (q - c)^2 of stated probabilities q and verdicts c",
    "= reliability - resolution + uncertainty",
)
REPORT_RELIABILITY = REPORTED.add("report_reliability", NUMBER, "Murphy's reliability, by stated value", _TOO_LARGE)
REPORT_RESOLUTION = REPORTED.add("report_resolution", NUMBER, "Murphy's resolution, by stated value", _TOO_LARGE)
REPORT_UNCERTAINTY = REPORTED.add("report_uncertainty", NUMBER, "accuracy times (1 - accuracy)")
REPORT_ECE = REPORTED.add("report_ece", NUMBER, "expected calibration error, ten bins of equal width", _TOO_LARGE)
REPORT_ECE_MASS = REPORTED.add(
    "report_ece_mass", NUMBER, "expected calibration error, ten bins of about as many answers each"
)
REPORT_AUROC = REPORTED.add(
    "report_auroc", NUMBER, "P(q of a right answer > q of a wrong one), ties half", "0.5: reports tell nothing"
)
REPORT_DISTINCT = REPORTED.add("report_distinct", COUNT, "number of different stated values")
REPORT_ACCURACY = REPORTED.add("report_accuracy", SHARE, "share of the answers that are right")
REPORT_CONFIDENCE = REPORTED.add("report_mean_confidence", SHARE, "mean stated probability")
REPORT_FIGURE = {  # by the name that selfplay/stats/calibration.py has for it
    "brier": REPORT_BRIER,
    "reliability": REPORT_RELIABILITY,
    "resolution": REPORT_RESOLUTION,
    "uncertainty": REPORT_UNCERTAINTY,
    "ece": REPORT_ECE,
    "ece_mass": REPORT_ECE_MASS,
    "auroc": REPORT_AUROC,
    "distinct": REPORT_DISTINCT,
    "accuracy": REPORT_ACCURACY,
    "mean_confidence": REPORT_CONFIDENCE,
}

SEARCHES = Section(
    "Search at equal sampled tokens",
    "with `evaluate.search_tokens`, on the first `evaluate.pass_size` problems, in full evaluations",
)
SEARCH_ACC = SEARCHES.add("search_acc", SHARE, "share of problems that a search got right within so many tokens")
BEST_OF_ACC = SEARCHES.add("best_of_acc", SHARE, "the same of best-of-N")
VOTE_ACC = SEARCHES.add("vote_acc", SHARE, "the same of a vote among the samples of best-of-N")
SEARCH_TOKENS = SEARCHES.add("search_tokens", MEAN_TOKENS, "tokens that a search spent a problem")
BEST_OF_TOKENS = SEARCHES.add("best_of_tokens", MEAN_TOKENS, "tokens that best-of-N spent a problem")
BEST_OF_N = SEARCHES.add("best_of_n", MEAN_COUNT, "samples of best-of-N a problem")
SEARCH_REPRODUCIBLE = SEARCHES.add("search_reproducible", FLAG, "0 where a clock could end a search")

PROBED = Section("Checkpoints compared by probes", "with `probes.size`, at each checkpoint")
PROBES_HARD = PROBED.add("probe/hard", COUNT, "hard probes: problems of the run that were failed when they were taken")
PROBES_EASY = PROBED.add("probe/easy", COUNT, "easy probes, which were solved")
PROBE_HARD_SOLVED = PROBED.add("probe/hard_solved", COUNT, "hard probes that the checkpoint solves, greedily")
PROBE_EASY_SOLVED = PROBED.add(
    "probe/easy_solved", COUNT, "easy ones that it solves", "falling: what was known is being forgotten"
)
PROBE_PRODUCT = PROBED.add(
    "probe/product", NUMBER, "product of the rates of both kinds (`probes.rule`), by which checkpoints are compared"
)
PROBE_BEST_PRODUCT = PROBED.add("probe/best_product", NUMBER, "the same of the best checkpoint, on the same probes")
PROBE_BEST_STEP = PROBED.add("probe/best_step", COUNT, "the step whose weights are the best")
PROBE_ERROR = PROBED.add(
    "probe/standard_error",
    NUMBER,
    "standard error of the difference of these products, paired by probe",
    "a fall of more than two of them is an alarm, and with `probes.rollback` the run goes back",
)
PROBE_ROLLBACK = PROBED.add("probe/rollback", FLAG, "1 where the run goes on with the best checkpoint's weights")

STEP_SECTIONS = (POSED, SOLVED, GUARDED, JUDGED, SEARCHED, EXPERIENCED, UPDATED, SKILLED, SPENT)
EVALUATION_SECTIONS = (HELD_OUT, MECHANISM, REPORTED, SEARCHES)
PROBE_SECTIONS = (PROBED,)
STEP_METRICS = tuple(metric for section in STEP_SECTIONS for metric in section.metrics)
EVALUATION_METRICS = tuple(metric for section in EVALUATION_SECTIONS for metric in section.metrics)
PROBE_METRICS = tuple(metric for section in PROBE_SECTIONS for metric in section.metrics)
_BY_NAME = {metric.name: metric for metric in (*STEP_METRICS, *EVALUATION_METRICS, *PROBE_METRICS)}


def metric_of(name: str) -> Metric:
    """The row of the table that a stored name belongs to; ValueError for a name that no code writes."""
    found = _BY_NAME.get(name) or next((each for each in _BY_NAME.values() if each.matches(name)), None)
    if found is None:
        raise ValueError(f"{name!r} is no figure of selfplay/metrics.py")
    return found


def low(name: str) -> str:
    """The name under which the lower end of a figure's 95% interval is stored."""
    return f"{name}_low"


def high(name: str) -> str:
    """The name under which the upper end of a figure's 95% interval is stored."""
    return f"{name}_high"


def fate_count(fate: Fate) -> str:
    """The name of the number of proposals that met `fate`."""
    return FATE_COUNT.format(fate=fate.value.lower())


def shown(metrics: Mapping[str, float | None], name: str) -> str:
    """A figure as it is printed wherever it is; NOTHING where it was not measured."""
    value = metrics.get(name)
    return NOTHING if value is None else format(value, metric_of(name).unit.format)


BEGIN, END = "<!-- {}: made of selfplay/metrics.py -->", "<!-- end -->"


def page(text: str) -> str:
    """docs/metrics.md with its tables made anew; what stands around them is kept."""
    tables_of = {"steps": STEP_SECTIONS, "evaluations": EVALUATION_SECTIONS, "probes": PROBE_SECTIONS}
    for name, sections in tables_of.items():
        before, found, rest = text.partition(BEGIN.format(name))
        _, ended, after = rest.partition(END)
        if not found or not ended:
            raise ValueError(f"the page has no place for {name}: {BEGIN.format(name)} ... {END}")
        tables = "\n".join(_table(section) for section in sections)
        text = f"{before}{found}\n\n{tables}\n{ended}{after}"
    return text


def _table(section: Section) -> str:
    title = f"### {section.title}\n\n" + (f"{section.when[0].upper()}{section.when[1:]}.\n\n" if section.when else "")
    rows = (f"| {_shown_name(m)} | {m.unit.name} | {m.help} | {m.reading} |\n" for m in section.metrics)
    return title + "| name | unit | what it is | how to read it |\n|---|---|---|---|\n" + "".join(rows)


def _shown_name(metric: Metric) -> str:
    name = re.sub(r"{(\w+)}", r"<\1>", metric.name)
    return f"`{name}`, `_low`, `_high`" if metric.has_interval else f"`{name}`"


if __name__ == "__main__":
    _path = Path(sys.argv[1])
    _path.write_text(page(_path.read_text()))
