"""Imitation in place of reward: which completions are copied. Self-correction by RL is compared with these rules.

Every rule but one, a control, copies text that the model said and the judge found right; the loss is its plain
likelihood (`anchor` "none" in selfplay/train/loss.py). Sources: STaR (arXiv 2203.14465) and Pair-SFT (Welleck et al.,
arXiv 2211.00053) as SCoRe (arXiv 2409.12917, section 4) sets them up; rejection-sampling fine-tuning (2308.01825).
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Literal

from roles.judging.groups import JudgedGroup
from roles.requests import Sampled
from roles.solver import turn_label
from roles.tree import Tree
from selfplay.learn.batch import NOT_SAMPLED, TrainSample

ImitationRule = Literal["none", "rft", "star", "pair_sft", "pair_sft_plus", "best_path", "truth"]
Spell = Callable[[str, int], Sequence[int]]  # an answer and the token before it -> ids of a completion that gives it


def imitated(tree: Tree, group: JudgedGroup, rule: ImitationRule, spell: Spell) -> tuple[TrainSample, ...]:
    """The completions of a group that are copied, each with advantage 1.

    A completion that was not sampled where it is copied is added to the tree there.

    Every rule copies right first tries: a small model that is trained on second looks only forgets the first. Of later
    turns, they copy

    rft            every right one, whether it mended a wrong one or kept a right one: also called STaR+
    star           those that mended a wrong one
    pair_sft       after a wrong one, a right first try of the same problem as if that had been the second look;
                   pair_sft_plus: after right ones, too
    best_path      only the best answer that the judge's search found: selfplay/learn/dense.py
    truth          after right and wrong ones, the domain's own answer: a control that is told what the others must find
    """
    return tuple(TrainSample(label, node, length, 1.0) for label, node, length in _copied(tree, group, rule, spell))


def _copied(tree: Tree, group: JudgedGroup, rule: ImitationRule, spell: Spell) -> Iterator[tuple[str, int, int]]:
    """(label, last node, tokens) of each completion to copy."""
    right_tries = [a.turns[0].sampled.completion.ids for a in group.judged if a.turns[0].is_right]
    for index, attempt in enumerate(group.judged):
        if attempt.turns[0].is_right:
            yield _said(0, attempt.turns[0].sampled)
        for before, turn in pairwise(range(len(attempt.turns))):
            look = attempt.turns[turn].sampled
            takes_all = rule in ("rft", "pair_sft_plus")
            if rule == "truth":
                yield _grafted(tree, turn, look, spell(group.problem.answer, tree.tokens[_asked_at(tree, look)]))
            elif attempt.turns[before].is_right and not takes_all:
                continue
            elif rule.startswith("pair_sft") and right_tries:
                yield _grafted(tree, turn, look, right_tries[index % len(right_tries)])
            elif not rule.startswith("pair_sft") and attempt.turns[turn].is_right:
                yield _said(turn, look)


def _said(turn: int, sampled: Sampled) -> tuple[str, int, int]:
    return turn_label(turn), sampled.node, len(sampled.completion.ids)


def _grafted(tree: Tree, turn: int, look: Sampled, ids: Sequence[int]) -> tuple[str, int, int]:
    """Hangs `ids` where `look` was said. Nobody sampled them there, and likelihood needs no log-probabilities."""
    node = tree.sampled(_asked_at(tree, look), ids, [NOT_SAMPLED] * len(ids), turn_label(turn))
    return turn_label(turn), node, len(ids)


def _asked_at(tree: Tree, look: Sampled) -> int:
    """The last node of what asked for `look`."""
    return tree.parents[tree.tail(look.node, len(look.completion.ids))[0]]
