"""A conversation by a model's chat template, rendered by a child that may be ended
(selfplay/prompting/template_child.py).

One child serves this process and all templates; it is started at the first conversation, and ends with its parent.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from curriculum.child import Child, ChildEnded, ChildLate

SECONDS = 2.0  # of processor time, for one conversation
PATIENCE = 120.0  # seconds for an answer, the child's start included: its own limit is of processor time, and far less

_child = Child(Path(__file__).with_name("template_child.py"), SECONDS, PATIENCE)


class TemplateError(Exception):
    """Why a template gave no text, in one line."""


def rendered(template: str, messages: Sequence[Mapping[str, Any]], asks: bool, variables: Mapping[str, Any]) -> str:
    """The text of `messages`, with what makes an assistant speak if `asks`. Raises TemplateError."""
    request = {"template": template, "messages": list(messages), "asks": asks, "variables": dict(variables)}
    try:
        answer = _child.ask(request)
    except ChildLate:
        raise TemplateError("it takes too long") from None
    except ChildEnded:
        raise TemplateError("the process that renders it ends") from None
    if "error" in answer:
        raise TemplateError(str(answer["error"]))
    return str(answer["text"])
