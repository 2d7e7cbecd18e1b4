"""Prompts by a tokenizer's chat template, and what the template tells about how turns end and thoughts begin.

A turn ends with the token that the template puts behind an assistant's words. That is often the tokenizer's
`eos_token`, but not always: Gemma's is `<end_of_turn>`, Phi-3's `<|end|>`.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from curriculum.answers.reading import THOUGHT_END, THOUGHT_START
from curriculum.domains.abilities import ability
from curriculum.domains.protocol import Domain, Prompted
from curriculum.error_lines import first_line
from roles.prompts import Messages, PromptStyle, Thought
from selfplay.machine.errors import USAGE, Refused
from selfplay.prompting.codec import beginning, following, text_of
from selfplay.prompting.templates import TemplateError, rendered

_SAID = "A\0A"  # stands for an assistant's words; no template strips it or holds it
_ASKED: Messages = (("user", "U"), ("assistant", _SAID))
_QUESTION = 'one "line"\nand <another> & more'  # what a template that spells its contents anew does not show as it is


def chat_style(domain: Domain, tokenizer: Any, name: str, thinking: bool, feedback: bool) -> PromptStyle:
    """The style of the model `name`; `thinking` is the template's own switch. Raises Refused where chat cannot be."""
    if getattr(tokenizer, "chat_template", None) is None:
        raise Refused(f"prompts.style=chat: {name} has no chat template; use prompts.style=few_shot", USAGE)
    template = _working(_Template(tokenizer, name, thinking))
    closing = _shared(template.behind("U"), template(_ASKED, False).partition(_SAID)[2])
    end = _end_of_turn(tokenizer, closing, name)
    is_said = end in closing

    def next_turn(content: str) -> str:
        # what the template puts between an assistant's answer and its next one, the end-of-turn token left out:
        # that one was sampled, and is trained
        text = template.behind(content)
        return text.partition(end)[2] if is_said else text

    if is_said:
        _compare_ids(template, next_turn, end)
    return PromptStyle(
        ability(domain, Prompted), stop=(end,), render=template, end_of_turn=end, next_turn=next_turn,
        feedback=feedback, thought=_thought(template),
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Template:
    """A chat template, a programme that somebody else wrote. Raises Refused for what it gets wrong.

    `in_parts`: it takes a content as a list of parts, as templates of models of several media may.
    """

    tokenizer: Any
    name: str
    thinking: bool
    in_parts: bool = False

    def __call__(self, messages: Messages, asks: bool = True) -> str:
        shaped = [
            {"role": role, "content": [{"type": "text", "text": content}] if self.in_parts else content}
            for role, content in messages
        ]
        try:
            text = rendered(
                self._source(), shaped, asks, self.tokenizer.special_tokens_map | {"enable_thinking": self.thinking}
            )
        except TemplateError as error:
            roles = ", ".join(role for role, _ in messages)
            raise self.refusal(f"fails on a conversation of {roles} ({error})") from error
        if not all(content.strip() in text for role, content in messages if role == "user"):
            raise self.refusal("does not show a question as it is")
        return text

    def _source(self) -> str:
        """The template's text. A folder may hold several, by name, and none that is the default."""
        try:
            return str(self.tokenizer.get_chat_template())
        except ValueError as error:
            raise self.refusal(f"is none of several ({first_line(error)})") from error

    def behind(self, content: str) -> str:
        """What follows an assistant's words where the user says `content` next."""
        _, words, text = self((*_ASKED, ("user", content))).partition(_SAID)
        if not words:
            raise self.refusal("does not show an assistant's words as they are")
        return text

    def refusal(self, what: str, advice: str = "use prompts.style=few_shot") -> Refused:
        return Refused(f"prompts.style=chat: the chat template of {self.name} {what}; {advice}", USAGE)


def _working(template: _Template) -> _Template:
    """The template in the way of giving it contents that works. Raises Refused if none does."""
    asked = (("user", _QUESTION),)
    try:
        template(asked)
    except Refused as refusal:
        template = replace(template, in_parts=True)
        try:
            template(asked)
        except Refused:
            raise refusal from None
    if not template.thinking and _is_opened(template):
        raise template.refusal("opens a thought with prompts.thinking=false too", "use prompts.thinking=true")
    return template


def _is_opened(template: _Template) -> bool:
    """Whether a thought is already begun where the assistant is to speak."""
    return template((("user", "U"),)).rstrip().endswith(THOUGHT_START)


def _compare_ids(template: _Template, next_turn: Callable[[str], str], end: str) -> None:
    """Raises Refused where a second turn by our pieces is read as other tokens than in the whole conversation."""
    tokenizer = template.tokenizer
    whole = beginning(tokenizer, template((("user", _QUESTION), ("assistant", "A"), ("user", _QUESTION))))
    [*_, last] = tokenizer.encode(end, add_special_tokens=False)
    ours = following(tokenizer, next_turn(_QUESTION), last)
    if whole[-len(ours) - 1 :] != [last, *ours]:
        raise template.refusal(
            f"is read as other tokens in pieces than in a whole conversation ({len(ours)} behind an answer)"
        )


def _shared(one: str, two: str) -> str:
    """What both begin with."""
    unlike = (i for i, (a, b) in enumerate(zip(one, two, strict=False)) if a != b)
    return one[: next(unlike, min(len(one), len(two)))]


def _end_of_turn(tokenizer: Any, closing: str, name: str) -> str:
    """The first token of the tokenizer's own in `closing`, which follows an assistant's words whatever comes next;
    the end of sequence where the template has none."""
    eos: str | None = tokenizer.eos_token
    own = {token for token in (*tokenizer.get_added_vocab(), eos) if token and token.strip() and token in closing}
    if own:
        return min(own, key=lambda token: (closing.index(token), -len(token)))
    if not eos:
        raise Refused(
            f"prompts.style=chat: the chat template of {name} ends a turn with no token; use prompts.style=few_shot",
            USAGE,
        )
    return eos


def _thought(template: _Template) -> Thought:
    """How a completion's thought begins: by itself, or already in the prompt."""
    if not template.thinking:
        return "none"
    ids = template.tokenizer.encode(THOUGHT_END, add_special_tokens=False)
    if THOUGHT_END not in text_of(template.tokenizer, ids, ()):
        raise Refused(
            f"prompts.thinking=true: the tokenizer of {template.name} cannot say {THOUGHT_END}, so an answer cannot be "
            "told from a thought; use prompts.thinking=false",
            USAGE,
        )
    return "opened" if _is_opened(template) else "said"
