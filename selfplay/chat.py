"""Prompts by a tokenizer's chat template, and what the template tells about how turns end and thoughts begin.

A turn ends with the token that the template puts behind an assistant's words. That is often the tokenizer's
`eos_token`, but not always: Gemma's is `<end_of_turn>`, Phi-3's `<|end|>`.
"""

from collections.abc import Callable
from typing import Any

from curriculum.domains.protocol import Domain
from roles.prompts import THOUGHT_END, THOUGHT_START, Messages, PromptStyle, Thought
from selfplay.exits import USAGE, Refused

_SAID = "A\0A"  # stands for an assistant's words; no template strips it or holds it
_ASKED: Messages = (("user", "U"), ("assistant", _SAID))


def chat_style(domain: Domain, tokenizer: Any, name: str, thinking: bool, feedback: bool) -> PromptStyle:
    """The style of the model `name`; `thinking` is the template's own switch. Raises Refused where chat cannot be."""
    if getattr(tokenizer, "chat_template", None) is None:
        raise Refused(f"prompts.style=chat: {name} has no chat template; use prompts.style=few_shot", USAGE)

    def render(messages: Messages, asks: bool = True) -> str:
        return tokenizer.apply_chat_template(  # type: ignore[no-any-return]  # transformers is untyped here
            [{"role": role, "content": content} for role, content in messages],
            tokenize=False, add_generation_prompt=asks, enable_thinking=thinking,
        )  # fmt: skip

    def behind(content: str) -> str:
        return render((*_ASKED, ("user", content))).partition(_SAID)[2]

    closing = _shared(behind("U"), render(_ASKED, False).partition(_SAID)[2])
    end = _end_of_turn(tokenizer, closing, name)

    def next_turn(content: str) -> str:
        # what the template puts between an assistant's answer and its next one, the end-of-turn token left out:
        # that one was sampled, and is trained
        text = behind(content)
        return text.partition(end)[2] if end in closing else text

    thought = _thought(tokenizer, render, name) if thinking else "none"
    return PromptStyle(
        domain, stop=(end,), render=render, end_of_turn=end, next_turn=next_turn, feedback=feedback, thought=thought
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


def _thought(tokenizer: Any, render: Callable[[Messages], str], name: str) -> Thought:
    """How a completion's thought begins: by itself, or already in the prompt."""
    ids = tokenizer.encode(THOUGHT_END, add_special_tokens=False)
    if THOUGHT_END not in tokenizer.decode(ids, skip_special_tokens=True):  # as a completion's text is decoded
        raise Refused(
            f"prompts.thinking=true: {THOUGHT_END} is a special token of {name} and in no completion's text, so an "
            "answer cannot be told from a thought; use prompts.thinking=false",
            USAGE,
        )
    return "opened" if render((("user", "U"),)).rstrip().endswith(THOUGHT_START) else "said"
