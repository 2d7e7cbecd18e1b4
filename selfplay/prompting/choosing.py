"""Which way of asking a run uses: the model's chat template, or few-shot text."""

from collections.abc import Callable
from typing import Any, Literal

from curriculum.domains.protocol import Domain
from roles.prompts import PromptStyle, few_shot_style
from selfplay.machine.errors import Refused
from selfplay.prompting.chat import chat_style

StyleName = Literal["auto", "few_shot", "chat"]


def chosen_style(
    wanted: StyleName,
    domain: Domain,
    tokenizer: Any,
    name: str,
    thinking: bool,
    feedback: bool,
    say: Callable[[str], None] = lambda line: None,
) -> PromptStyle:
    """The style of the model `name`, and a line to `say` that tells which it is and why. Raises Refused.

    "auto" asks in the chat template where the tokenizer has one that works (it is tried), else few-shot: that a
    tokenizer has a template is the only sign of an instruct model that a folder carries. `thinking` is a template's own
    switch, so with it there is no few-shot text to fall back to.
    """
    few_shot = few_shot_style(domain, feedback, getattr(tokenizer, "eos_token", None) or "")
    if wanted == "few_shot":
        say("prompts: few-shot text, by prompts.style=few_shot")
        return few_shot
    if wanted == "chat" or thinking:
        style = chat_style(domain, tokenizer, name, thinking, feedback)
        say(f"prompts: the chat template of {name}, by prompts.{'style=chat' if wanted == 'chat' else 'thinking=true'}")
        return style
    if getattr(tokenizer, "chat_template", None) is None:
        say(f"prompts: few-shot text, since the tokenizer of {name} has no chat template")
        return few_shot
    try:
        style = chat_style(domain, tokenizer, name, thinking, feedback)
    except Refused as refusal:
        why = str(refusal).removeprefix("prompts.style=chat: ")
        say(f"prompts: few-shot text, since {why.rpartition(';')[0] or why}")
        return few_shot
    say(f"prompts: the chat template of {name}, which its tokenizer has; prompts.style=few_shot asks by examples")
    return style
