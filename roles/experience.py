"""Early experience: what comes of the model's own actions, and why a right one is right. No reward has a part in it.

Source: Zhang et al., "Agent Learning via Early Experience" (arXiv 2510.08558). In a state on a problem's right path
the model is asked for alternatives, and the domain executes each, the right action too. What is learned from it:
selfplay/learn/copies/experience.py.

A reflection is asked for with all outcomes in view,

    45*7+5*3*8 =
    Tried: 25, which gave: 45*7 is 24, not 25
    Right: 24, which gave: 24+5*3*8 =
    Why: ... So: 24

and ends with an action. It holds where executing that action leads along the right path. Without execution
(`ExperienceSettings.grounded`), the control: the model itself says what came of an action, a reflection sees actions
alone, and all that it says is taken. Left out: actions behind an alternative, which are one step here as in the paper.
"""

import re
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from curriculum.domains.abilities import ability
from curriculum.domains.protocol import Executable, Stepwise
from curriculum.domains.stepping import Stand, right_path
from roles.prompts import BLANK_LINE, PromptStyle
from roles.requests import NodeId, Sample, Sampled, SamplingParams
from roles.tree import ROOT, Tree
from store.records import Problem

ALTERNATIVE, GUESS, ASKED = "experience/alternative", "experience/guess", "experience/asked"  # sampled, never trained
STATE, EXPERT, REFLECTION = "experience/state", "experience/expert", "experience/reflection"  # trained
LABELS = (STATE, EXPERT, REFLECTION)
MOST_CHARS = 400  # of an action or a state as it is shown, learned and stored
SO = "So:"
_GAVE = ", which gave: "
_OUTCOME = ("Executed:", "What does executing that give? Say that only.")
_WHY = "Why:"
_REFLECT = (
    "Say in one or two sentences why the right answer is right and the ones that were tried are not. End with "
    f'"{SO}" and the right answer.'
)
_REASON = f'First say in one or two sentences why, then end with "{SO}" and the answer.'

Fits = Callable[[NodeId | None, str, int], bool]  # parent, prompt, tokens behind it -> does the model have room


@dataclass(frozen=True, slots=True)
class ExperienceSettings:
    """`alternatives` >= 1 own actions in each of the first `states` states of the right path (0: all of them).
    `params`: of an action. `reflection`: of a reflection; None: there is none. `grounded` False: nothing that the model
    says or does is executed."""

    alternatives: int
    params: SamplingParams
    states: int = 0
    reflection: SamplingParams | None = None
    grounded: bool = True


@dataclass(frozen=True, slots=True)
class Tried:
    """An action and what came of it. `sampled` None: it is the right action, which nobody said. `is_right`: whether it
    leads along the right path; None where nobody knows."""

    action: str
    next_state: str
    sampled: Sampled | None
    is_expert: bool
    is_right: bool | None


@dataclass(frozen=True, slots=True)
class Experienced:
    """What came of the actions in a state; `node`: the last one of what asks for an action there. `reflection`: what
    was said of them, "" where nothing was; `is_kept`: whether it is learned from. `is_last`: whether nothing is left to
    do after the right action."""

    problem: Problem
    index: int  # place on the right path, from 0
    state: str
    node: NodeId
    tried: tuple[Tried, ...]
    reflection: str = ""
    is_kept: bool = False
    is_last: bool = True

    @property
    def expert(self) -> Tried | None:
        """The right action."""
        return next((each for each in self.tried if each.is_expert), None)

    @property
    def own(self) -> list[Tried]:
        """The model's own actions, each once."""
        return [each for each in self.tried if each.sampled is not None]


Exploring = Generator[list[Sample], list[list[Sampled]], list[Experienced]]


def explore(
    problem: Problem, style: PromptStyle, settings: ExperienceSettings, tree: Tree, step: int, fits: Fits
) -> Exploring:
    """Yields what it wants sampled, is sent the completions, returns what came of them, a record for each state.

    A state that the model has no room for is left out, and so is a reflection.
    """
    domain = ability(style.domain, Executable, "early experience")
    ends = ability(style.domain, Stepwise).step_ends
    params = replace(settings.params, stop=(*settings.params.stop, *ends))
    path = right_path(domain, problem)[: settings.states or None]
    stands = [(i, each) for i, each in enumerate(path) if fits(None, style.asked(each.state), params.max_tokens)]
    if not stands:
        return []
    key = ("experience", step, problem.problem_id)
    drawn = yield [
        Sample(None, style.asked(each.state), settings.alternatives, params, (*key, i), ALTERNATIVE)
        for i, each in stands
    ]
    found = [
        Experienced(
            problem,
            i,
            each.state,
            _asked_at(tree, said[0]),
            _actions(each, said, style, ends),
            is_last=len(each.ahead) <= 1,
        )
        for (i, each), said in zip(stands, drawn, strict=True)
    ]
    if settings.grounded:
        found = [_executed(each, stand, domain) for each, (_, stand) in zip(found, stands, strict=True)]
    else:
        found = yield from _guessed(found, style, settings, key, fits)
    if settings.reflection is None:
        return found
    return (yield from _reflected(found, path, style, domain, settings, key, fits))


def outcome_prompt(tried: Tried, style: PromptStyle) -> str:
    """What stands between an action and the state after it: behind the action's last token, or where nobody said it,
    behind what asked for an action."""
    before = style.completion(tried.action) if tried.sampled is None else style.closing(tried.sampled.completion)
    return before + style.follow_up(*_OUTCOME)


def reason_prompt(state: str, style: PromptStyle) -> str:
    """Ask for a reason and an action, without any outcome in view: what a reflection is learned behind."""
    if style.render is not None:
        return style.asked(f"{_REASON}\n{state}")
    return f"{style.asked(state)}\n{_WHY}"


def reflection_prompt(found: Experienced, style: PromptStyle, domain: Executable, grounded: bool) -> str:
    """Ask for a reflection with the outcomes in view; without execution, with the actions alone."""
    lines = [found.state]
    for each in sorted(found.tried, key=lambda tried: tried.is_expert):
        if each.is_expert or each.is_right is not True:
            outcome = f"{_GAVE}{each.next_state}" if grounded else ""
            lines.append(f"{'Right' if each.is_expert else 'Tried'}: {_line(each.action)}{outcome}")
    shown = "\n".join(lines)
    if style.render is not None:
        return style.render((("user", f"{_REFLECT}\n{shown}"),))
    examples = [
        (block if grounded else re.sub(f"{_GAVE}.*", "", block), said) for block, said in domain.reflection_examples
    ]
    return "".join(f"{block}\n{_WHY} {said}{BLANK_LINE}" for block, said in examples) + f"{shown}\n{_WHY}"


def _actions(stand: Stand, said: Sequence[Sampled], style: PromptStyle, ends: Sequence[str]) -> tuple[Tried, ...]:
    """The right action and the model's own, those that say the same once, before anything came of them."""
    own: dict[str, Sampled] = {}
    for each in said:
        own.setdefault(_action(each, style, ends), each)
    tried = [Tried(text, "", each, text == stand.action, None) for text, each in own.items()]
    if stand.action is not None and stand.action not in own:
        tried.append(Tried(stand.action, "", None, True, None))
    return tuple(tried)


def _action(said: Sampled, style: PromptStyle, ends: Sequence[str]) -> str:
    """What a completion does, without the string that ended it."""
    text = style.visible(said.completion.text)
    end = next((each for each in ends if text.endswith(each)), "")
    return text.removesuffix(end).strip()[:MOST_CHARS]


def _executed(found: Experienced, stand: Stand, domain: Executable) -> Experienced:
    tried = []
    for each in found.tried:
        after = _line(domain.executes(found.problem, found.state, each.action))
        is_right = None if stand.action is None else after in {_line(state) for state in stand.ahead}
        tried.append(replace(each, next_state=after, is_right=is_right))
    return replace(found, tried=tuple(tried))


def _guessed(
    found: Sequence[Experienced], style: PromptStyle, settings: ExperienceSettings, key: tuple[Any, ...], fits: Fits
) -> Exploring:
    """What the model itself says that came of each action."""
    asked = [
        Sample(
            each.node if tried.sampled is None else tried.sampled.node, outcome_prompt(tried, style), 1,
            settings.params, (*key, each.index, "guess", place), GUESS,
        )
        for each in found for place, tried in enumerate(each.tried)
    ]  # fmt: skip
    room = [fits(each.parent, each.prompt, each.params.max_tokens) for each in asked]
    wanted = [each for each, has_room in zip(asked, room, strict=True) if has_room]
    said = iter((yield wanted) if wanted else [])
    texts = iter([_line(style.visible(next(said)[0].completion.text)) if has_room else "" for has_room in room])
    return [replace(each, tried=tuple(replace(t, next_state=next(texts)) for t in each.tried)) for each in found]


def _reflected(
    found: Sequence[Experienced], path: Sequence[Stand], style: PromptStyle, domain: Executable,
    settings: ExperienceSettings, key: tuple[Any, ...], fits: Fits,
) -> Exploring:  # fmt: skip
    """With a reflection wherever some action is not the right one."""
    assert settings.reflection is not None
    asked: dict[int, Sample] = {}
    for place, each in enumerate(found):
        if each.expert is None or all(t.is_expert or t.is_right for t in each.tried):
            continue
        prompt = reflection_prompt(each, style, domain, settings.grounded)
        if fits(None, prompt, settings.reflection.max_tokens):
            asked[place] = Sample(None, prompt, 1, settings.reflection, (*key, each.index, "reflection"), ASKED)
    said = dict(zip(asked, (yield list(asked.values())) if asked else [], strict=True))
    texts = {place: style.visible(each[0].completion.text).strip() for place, each in said.items()}
    kept = {place for place, text in texts.items() if _is_kept(text, found[place], path, domain, settings.grounded)}
    return [replace(each, reflection=texts.get(place, ""), is_kept=place in kept) for place, each in enumerate(found)]


def _is_kept(text: str, found: Experienced, path: Sequence[Stand], domain: Executable, grounded: bool) -> bool:
    """Whether it gives a reason, and the action that it ends with leads along the right path; without execution,
    whether it says anything."""
    if not grounded:
        return text != ""
    reason, _, action = text.rpartition(SO)
    after = domain.executes(found.problem, found.state, action.strip())
    return reason.strip() != "" and after in path[found.index].ahead


def _asked_at(tree: Tree, said: Sampled) -> NodeId:
    """The last node of what asked for a completion."""
    length = len(said.completion.ids)
    node = said.node if length == 0 else tree.parents[tree.tail(said.node, length)[0]]
    assert node != ROOT
    return node


def _line(text: str) -> str:
    """In one line, and not longer than what is stored."""
    return " ".join(text.split())[:MOST_CHARS]
