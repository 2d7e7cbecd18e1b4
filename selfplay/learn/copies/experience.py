"""What early experience teaches: three losses without reward, each the likelihood of a text in its place in the tree.

Over the states s of a step, with a the right action and (a', s') an action and what came of it,

    world model   L = -mean over tokens of log pi(s' | s, a')        own actions and the right one, each once
    imitation     L = -mean over tokens of log pi(a | s)
    reflection    L = -mean over tokens of log pi(c, a | s)          c: the reflection, which ends with a

by the policy's own weights; only the tokens of s', of a, and of (c, a) are trained, what is before them is context.
Source: Zhang et al. (arXiv 2510.08558), equations of implicit world modelling, imitation and self-reflection. A
reflection is learned behind a prompt of its own (`reason_prompt`), so that answers keep the form that the judge reads.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from curriculum.domains.abilities import ability
from curriculum.domains.protocol import Stepwise
from roles.experience import EXPERT, REFLECTION, STATE, Experienced, outcome_prompt, reason_prompt
from roles.prompts import PromptStyle
from roles.requests import NodeId
from roles.tree import ROOT, Tree
from selfplay.learn.batch import NOT_SAMPLED, TrainSample
from selfplay.prompting.codec import Encode


@dataclass(frozen=True, slots=True)
class ExperienceTeaching:
    """`weights`: label -> weight of its loss; a label that is missing is not trained. `last_step`: of the stage before
    RL, in which nothing else is trained; 0: there is none, and the losses are added to those of RL."""

    weights: Mapping[str, float] = field(default_factory=dict)
    last_step: int = 0

    def is_alone(self, step: int) -> bool:
        """Whether the step trains on nothing else."""
        return step <= self.last_step


@dataclass(frozen=True, slots=True)
class _Grafted:
    """A text that is trained: `prompt` is given below `parent` (ROOT: on its own), `text` is learned behind it."""

    label: str
    parent: NodeId
    prompt: str
    text: str


def experience_samples(
    tree: Tree, found: Sequence[Experienced], weights: Mapping[str, float], style: PromptStyle, encode: Encode,
    limit: int | None = None,
) -> list[TrainSample]:  # fmt: skip
    """One sample for each text that is learned, which is added to the tree. A text for which the model has no room
    (`limit` tokens of a context, None: no limit) is left out."""
    grafted = (each for state in found for each in _texts(state, style) if weights.get(each.label, 0.0) > 0)
    return [sample for each in grafted for sample in _hung(tree, each, encode, limit)]


def _texts(found: Experienced, style: PromptStyle) -> Iterator[_Grafted]:
    for each in found.tried:
        if each.next_state:
            parent = found.node if each.sampled is None else each.sampled.node
            yield _Grafted(STATE, parent, outcome_prompt(each, style), style.said(each.next_state))
    if (text := _imitated(found, style)) is not None:
        yield _Grafted(EXPERT, found.node, "", text)
    if found.is_kept:
        yield _Grafted(REFLECTION, ROOT, reason_prompt(found.state, style), style.said(found.reflection))


def _imitated(found: Experienced, style: PromptStyle) -> str | None:
    """The right action as it stands in an answer: with what ends it, or a step. None where there is none, or more is
    left to do and answers have no steps: to end there would be a wrong answer."""
    if found.expert is None:
        return None
    whole = style.completion(found.expert.action)
    ends = ability(style.domain, Stepwise).step_ends
    if found.is_last or not ends:
        return whole if found.is_last else None
    return style.begun(found.expert.action) + ends[0]


def _hung(tree: Tree, each: _Grafted, encode: Encode, limit: int | None) -> list[TrainSample]:
    after, above = (None, 0) if each.parent == ROOT else (tree.tokens[each.parent], tree.depths[each.parent] + 1)
    prompt = encode(each.prompt, after) if each.prompt else []
    ids = encode(each.text, prompt[-1] if prompt else after)
    if limit is not None and above + len(prompt) + len(ids) > limit:
        return []
    node = tree.sampled(tree.extend(each.parent, prompt), ids, [NOT_SAMPLED] * len(ids), each.label)
    return [TrainSample(each.label, node, len(ids), 1.0)]
