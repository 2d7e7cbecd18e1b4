"""What a step measured, by the names of docs/metrics.md."""

from collections.abc import Collection, Mapping, Sequence
from statistics import pstdev

from curriculum.domains.judging import judged
from curriculum.selection.admission import fate_counts
from roles.experience import Experienced
from roles.judging.groups import JudgedGroup, node_values, verdict
from roles.prompts import PromptStyle
from roles.search.critics import HEADS
from roles.search.growth import Searched
from roles.search.step_tree import STEP_ROOT, StepTree
from roles.solver import turn_label
from roles.tree import Tree
from selfplay import metrics
from selfplay.learn.critic_batch import CriticTeaching
from selfplay.learn.lessons import SolverLesson
from selfplay.learn.proposals import PaidProposal
from selfplay.learn.teacher import Taught
from selfplay.play.game import Game
from selfplay.play.skills import Skilled
from selfplay.play.step import Played, Step
from selfplay.stats.calibration import calibration_metrics
from selfplay.stats.edits import edit_histogram, edit_ratio
from selfplay.stats.intervals import share
from store.records import Fate, Origin, Outcome, PassRate, Rescue, Side


def step_metrics(step: Step, played: Played, taught: Taught, rates: Sequence[PassRate], game: Game) -> dict[str, float]:
    """The step's own figures; docs/metrics.md says how to read each. `rates`: of the groups that could be judged."""
    lessons, posed, groups = taught.lessons, played.posed, played.judged.groups
    kept = [lesson for lesson in lessons if lesson.is_kept]
    found = {
        metrics.PROBLEMS: float(len(lessons)),
        metrics.NEW_PROBLEMS: float(len(posed.new)),
        metrics.SIGNAL_SHARE: share([lesson.is_kept for lesson in lessons]),
        metrics.MIXED_SHARE: share([lesson.is_mixed for lesson in lessons]),
        metrics.TRAINED: float(len(kept)),
        metrics.TRAINED_CHALLENGER: float(sum(k.group.problem.origin is Origin.CHALLENGER for k in kept)),
        metrics.STAGE: float(taught.stage),
        metrics.LEVEL_MEAN: _mean([float(group.problem.level) for group in groups]),
        metrics.TOKENS_SAMPLED: float(_sampled(played)),
    }
    found |= _solver_metrics(lessons, rates) | copying_metrics(groups)
    found |= _challenger_metrics(taught.proposals) | _tree_metrics(step.tree, groups)
    if game.skills is not None:
        found |= skill_metrics(played.skilled, step)
    if taught.num_clipped:
        found[metrics.CLIP_COV] = float(taught.num_clipped)
    if played.experienced:
        found |= experience_metrics(played.experienced)
    if game.searcher is not None:
        by_problem = {group.problem.problem_id: group.first_try_rate or 0.0 for group in groups}
        found |= search_metrics(taught.critics, list(played.searches.values()), by_problem)
    if game.model_judge is not None:
        found |= _model_judge_metrics(played, game.style)
    if game.majority is not None:
        found |= majority_metrics(groups, game.style) | verdict_metrics(played.searches.values(), game.style)
    return found | {metrics.PHASE_SECONDS.format(phase=phase): wall for phase, wall in step.seconds.items()}


def skill_metrics(skilled: Skilled, step: Step) -> dict[str, float]:
    """What became of the rounds before the step, and what its prompts show."""
    found = {metrics.SKILL_ROUNDS: float(len(skilled.rounds))}
    for outcome in {each.outcome for each in skilled.rounds}:
        number = sum(each.outcome is outcome for each in skilled.rounds)
        found[metrics.SKILL_OUTCOME.format(outcome=outcome.lower())] = float(number)
    for side in Side:
        found[metrics.SKILL_VERSION.format(side=side.lower())] = float(skilled.sets.of(side).version)
    for side, shown in step.shown.items():
        found[metrics.SKILLS_SHOWN.format(side=side.lower())] = float(len(shown.skills))
        found[metrics.SKILL_TOKENS.format(side=side.lower())] = float(shown.tokens)
        found[metrics.SKILLS_LEFT_OUT.format(side=side.lower())] = float(shown.left_out)
    return found


def rescue_metrics(rescues: Sequence[Rescue] | None) -> dict[str, float]:
    """How problems under rescue fared; nothing where `rescues` is None."""
    if rescues is None:
        return {}
    helped, bare = ([each for each in rescues if (each.given > 0) is is_helped] for is_helped in (True, False))
    found = {
        metrics.RESCUE_POSED: float(len(helped)),
        metrics.RESCUE_BARE: float(len(bare)),
        metrics.RESCUE_FREED: float(sum(each.successes > 0 for each in bare)),
    }
    if not helped:
        return found
    solved = sum(each.successes for each in helped) / sum(each.attempts for each in helped)
    return found | {metrics.RESCUE_SOLVED: solved}


def _sampled(played: Played) -> int:
    """Tokens that were sampled in the step, by all roles and by the judge's searches."""
    attempts = [(group, attempt) for group in played.judged.groups for attempt in group.attempts]
    said = [turn.sampled for _, attempt in attempts for turn in attempt.turns[1:]]
    said += [attempt.turns[0].sampled for group, attempt in attempts if attempt.index % group.looks == 0]  # shared
    said += [attempt.report.sampled for _, attempt in attempts if attempt.report is not None]
    said += [proposal.sampled for proposal in played.posed.proposals]
    said += [tried.sampled for state in played.experienced for tried in state.tried if tried.sampled is not None]
    searched = sum(found.num_sampled for found in played.searches.values())
    return sum(len(s.completion.ids) for s in said) + searched + played.skilled.num_sampled


def experience_metrics(experienced: Sequence[Experienced]) -> dict[str, float]:
    """What came of actions that nobody is paid for."""
    own = [tried for state in experienced for tried in state.own]
    reflected = [state for state in experienced if state.reflection]
    return {
        metrics.EXPERIENCED_STATES: float(len(experienced)),
        metrics.EXPERIENCED_ACTIONS: float(len(own)),
        metrics.EXPERIENCED_RIGHT: share([tried.is_right is True for tried in own]),
        metrics.REFLECTED: float(len(reflected)),
        metrics.REFLECTED_KEPT: share([state.is_kept for state in reflected]),
    }


def _model_judge_metrics(played: Played, style: PromptStyle) -> dict[str, float]:
    """How far the model's verdicts are from the domain's, which nothing is paid by, and how its canaries fared."""
    turns = [(group.problem, turn) for group in played.judged.groups for a in group.attempts for turn in a.turns]
    pairs = [(turn.is_right, verdict(problem, turn.sampled, style.domain, style.visible)[0]) for problem, turn in turns]
    wrong = [said for said, truth in pairs if truth is not Outcome.CORRECT]
    found = {
        metrics.JUDGE_AGREES: share([said == (truth is Outcome.CORRECT) for said, truth in pairs]),
        metrics.JUDGE_FALSE_POSITIVES: share(wrong),
    }
    canaries = played.judged.canaries
    if canaries is not None:
        found |= {
            metrics.CANARY_FALSE_POSITIVES: canaries.rate,
            metrics.CANARY_BLOCKED: canaries.blocked / max(1, canaries.tried),
        }
    return found | verdict_metrics(played.searches.values(), style)


def majority_metrics(groups: Sequence[JudgedGroup], style: PromptStyle) -> dict[str, float]:
    """How true the labels of a majority are, of the groups that have one and whose right answer the domain knows;
    judge/label_accuracy only where there is such a group."""
    labels = [(g.problem, next((a.turns[0] for a in g.first_tries if a.turns[0].is_right), None)) for g in groups]
    truths = [verdict(problem, turn.sampled, style.domain, style.visible).outcome for problem, turn in labels if turn]
    known = [truth is Outcome.CORRECT for truth in truths if truth is not Outcome.UNJUDGED]
    count = {metrics.LABEL_COUNT: float(len(known))}
    return count | {metrics.LABEL_ACCURACY: share(known)} if known else count


def _solver_metrics(lessons: Sequence[SolverLesson], rates: Sequence[PassRate]) -> dict[str, float]:
    turns = [turn for lesson in lessons for attempt in lesson.group.attempts for turn in attempt.turns]
    firsts = [attempt.turns[0] for lesson in lessons for attempt in lesson.group.attempts]
    changed = [a.turns[0].answer != a.turns[-1].answer for lesson in lessons for a in lesson.group.attempts]
    bare = [lesson.group for lesson in lessons if lesson.group.help is None]
    tried = sum(rate.attempts for rate in rates)
    wrong, right = sum(r.fixed + r.missed for r in rates), sum(r.kept + r.broken for r in rates)
    paid = [value for lesson in lessons for values in lesson.paid for value in values if value is not None]
    return {
        metrics.REWARD_MEAN: _mean(paid),
        metrics.PASS_RATE: sum(rate.successes for rate in rates) / max(1, tried),
        metrics.LAST_PASS_RATE: share([attempt.is_right for group in bare for attempt in group.judged]),
        metrics.FIXED_SHARE: sum(rate.fixed for rate in rates) / max(1, wrong),
        metrics.BROKEN_SHARE: sum(rate.broken for rate in rates) / max(1, right),
        metrics.STEP_CHANGE_RATE: share(changed),
        metrics.STEP_PARSED: share([turn.answer is not None for turn in firsts]),
        metrics.MEAN_LENGTH: _mean([float(len(turn.sampled.completion.ids)) for turn in turns]),
        metrics.CLIPPED_RATIO: share([turn.outcome is Outcome.TRUNCATED for turn in turns]),
        metrics.UNJUDGED: float(sum(turn.outcome is Outcome.UNJUDGED for turn in turns)),
        metrics.JUDGE_ERRORS: float(sum(turn.error != "" for turn in turns)),
    } | _part_metrics(lessons)


def _part_metrics(lessons: Sequence[SolverLesson]) -> dict[str, float]:
    """Mean and standard deviation of each part of the reward, over the turns that have it."""
    by_part: dict[str, list[float]] = {}
    for parts in (turn for lesson in lessons for attempt in lesson.parts for turn in attempt):
        for name, paid in parts.items():
            by_part.setdefault(name, []).append(paid)
    found = {}
    for name, values in by_part.items():
        found[metrics.PART_MEAN.format(part=name)] = _mean(values)
        found[metrics.PART_STD.format(part=name)] = pstdev(values)
    return found


def _tree_metrics(tree: Tree, groups: Sequence[JudgedGroup]) -> dict[str, float]:
    """Size of the tree, and how much one token of a first try decides: mean |V(node) - V(parent)|."""
    leaves: dict[int, list[float]] = {}
    for group in groups:
        for attempt in group.judged:
            leaves.setdefault(attempt.turns[0].sampled.node, []).append(attempt.rewards()[0])
    parents, labels = tree.parents, tree.labels
    values = node_values(parents, leaves)
    gaps = [abs(values[n] - values[parents[n]]) for n in values if n >= 0 and labels[n] == turn_label(0)]
    return {metrics.TREE_NODES: float(len(tree)), metrics.VALUE_GAP: _mean(gaps)}


def _challenger_metrics(proposals: Sequence[PaidProposal]) -> dict[str, float]:
    fates = fate_counts([paid.triaged.fate for paid in proposals])
    paid = [each.reward for each in proposals if each.reward is not None]
    found = {metrics.fate_count(fate): float(count) for fate, count in fates.items()}
    found |= {
        metrics.PROPOSALS: float(len(proposals)),
        metrics.VALID_NEW: float(fates[Fate.ACCEPTED] + fates[Fate.SURPLUS]),
        metrics.CHALLENGER_REWARD: _mean(paid),
    }
    return found | _shaped_metrics(proposals)


def _shaped_metrics(proposals: Sequence[PaidProposal]) -> dict[str, float]:
    """What a gate kept and what shaped rewards, each only where it did."""
    novelties = [each.shaped.novelty for each in proposals if each.shaped.novelty is not None]
    aims = [each.shaped.aim for each in proposals if each.shaped.aim is not None]
    learned = [each.shaped.learned for each in proposals if each.shaped.learned is not None]
    found = {}
    if gated := sum(each.is_gated for each in proposals):
        found[metrics.CHALLENGER_GATED] = float(gated)
    if novelties:
        found[metrics.CHALLENGER_NOVELTY] = _mean(novelties)
    if aims:
        found[metrics.CHALLENGER_AIM] = _mean(aims)
    if learned:
        found[metrics.CHALLENGER_LEARNED] = sum(learned)
    return found


def _mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else 0.0


def copying_metrics(groups: Sequence[JudgedGroup]) -> dict[str, float]:
    """How far second looks are from first tries in a step, as text and as answers; {} where there are none.

    What could not be read as an answer is none, and so is not given again: that is a collapse, another alarm.
    """
    pairs = [(a.turns[0], a.turns[-1]) for group in groups for a in group.judged if len(a.turns) > 1]
    if not pairs:
        return {}
    ratios = [edit_ratio(first.sampled.completion.text, last.sampled.completion.text) for first, last in pairs]
    wrong = [first.answer == last.answer for first, last in pairs if not first.is_right and first.answer is not None]
    histogram = edit_histogram(ratios, BINS)
    shares = {
        metrics.EDIT_RATIO.format(tenth=f"{i / BINS:.1f}"): count / len(ratios) for i, count in enumerate(histogram)
    }
    copies = len(wrong) >= MIN_WRONG and sum(wrong) >= COPIED_SHARE * len(wrong)
    return {metrics.EDIT_RATIO_MEAN: sum(ratios) / len(ratios), metrics.COPIES: float(copies)} | shares


COPIED_SHARE = 0.95


MIN_WRONG = 16  # fewer wrong first answers say nothing about copying


BINS = 10


def search_metrics(
    critics: CriticTeaching, searched: Sequence[Searched], rates: Mapping[str, float]
) -> dict[str, float]:
    """Of a step's searches; {} where there were none. `rates`: problem -> pass rate of its attempts.

    `search/gap`: share of searches that found a right answer, less the mean pass rate. Calibration of the critics is on
    the answers below steps of problems that the heads were never trained on.
    """
    if not searched:
        return {}
    trees = [each.tree for each in searched]
    steps = [node for tree in trees for node in tree if node.index != STEP_ROOT]
    found = sum(each.is_right for each in searched) / len(searched)
    mean_rate = sum(rates[each.problem.problem_id] for each in searched) / len(searched)
    figures = {
        metrics.SEARCH_PROBLEMS: float(len(searched)),
        metrics.SEARCH_NODES: float(len(steps)),
        metrics.STEP_SEARCH_TOKENS: float(sum(each.num_sampled for each in searched)),
        metrics.SEARCH_RIGHT_SHARE: found,
        metrics.SEARCH_GAP: found - mean_rate,
        metrics.MERGED_SHARE: sum(node.merged_into is not None for node in steps) / max(1, len(steps)),
        metrics.FLAT_SHARE: sum(_is_flat(tree) for tree in trees) / len(trees),
    }
    figures |= {metrics.BRANCHING.format(depth=depth): value for depth, value in _branching(trees).items()}
    held_out = [each.tree for each in searched if critics.is_held_out(each.problem.problem_id)]
    return figures | critic_calibration(held_out)


def verdict_metrics(searched: Collection[Searched], style: PromptStyle) -> dict[str, float]:
    """How far a model's verdicts in searches are from the domain's, which pay and steer nothing: search/agrees and
    search/false_positive_rate, over different answers that ended and that both could judge."""
    pairs = []
    for each in searched:
        for node in each.tree:
            if node.is_finished and node.outcome not in (Outcome.TRUNCATED, Outcome.UNJUDGED):
                text = style.visible(each.tree.text(node.index))
                truth = judged(style.domain, each.problem, text).outcome
                if truth is not Outcome.UNJUDGED:
                    pairs.append((node.outcome is Outcome.CORRECT, truth is Outcome.CORRECT))
    if not pairs:
        return {}
    return {
        metrics.SEARCH_AGREES: share([said == is_right for said, is_right in pairs]),
        metrics.SEARCH_FALSE_POSITIVES: share([said for said, is_right in pairs if not is_right]),
    }


def critic_calibration(trees: Sequence[StepTree]) -> dict[str, float]:
    """critic/<head>_brier, _ece, _auroc and _n of each head that spoke: what it said of a step against the verdict of
    each finished answer below it."""
    figures: dict[str, float] = {}
    for head in HEADS:
        right: list[bool] = []
        said: list[float] = []
        for node in (node for tree in trees for node in tree):
            stated = node.value if head == "value" else node.process
            if stated is None or not node.leaves:
                continue
            right += [True] * node.right + [False] * (node.leaves - node.right)
            said += [stated] * node.leaves
        if said:
            fit = calibration_metrics(right, said)
            figures |= {name.format(head=head): fit[figure] for name, figure in CRITIC_FIGURES.items()}
            figures[metrics.CRITIC_N.format(head=head)] = float(len(said))
    return figures


CRITIC_FIGURES = {metrics.CRITIC_BRIER: "brier", metrics.CRITIC_ECE: "ece", metrics.CRITIC_AUROC: "auroc"}


def _is_flat(tree: StepTree) -> bool:
    """Whether all of its answers are right, or all wrong: nothing to learn from."""
    return tree.nodes[STEP_ROOT].right in (0, tree.nodes[STEP_ROOT].leaves)


def _branching(trees: Sequence[StepTree]) -> dict[int, float]:
    """Depth -> mean number of different next steps of those that have any."""
    by_depth: dict[int, list[int]] = {}
    for node in (node for tree in trees for node in tree if node.children):
        by_depth.setdefault(node.depth, []).append(len(node.children))
    return {depth: sum(counts) / len(counts) for depth, counts in sorted(by_depth.items())}
