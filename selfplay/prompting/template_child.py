"""Renders chat templates, which are programs of whoever made the model, in a process that may be ended.

Run as a script: a line of JSON in, a line of JSON out (curriculum/child.py). Jinja's sandbox keeps a template from
files, network and code; here are limits on what it takes: memory, and characters of what it makes. The date that a
template may ask for is always the same, as a run's prompts must be when it is resumed. Nothing that loads torch is
imported.
"""

import sys
from datetime import datetime
from pathlib import Path
from typing import Any

from transformers.utils import chat_template_utils

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from curriculum.child import serve

MEMORY = 256 * 2**20  # bytes, beyond what the libraries take
LONGEST = 2**20  # characters of a rendered conversation


class _AlwaysTheSame(datetime):
    @classmethod
    def now(cls, tz: object = None) -> "_AlwaysTheSame":
        return cls(2025, 1, 1)


def answer(request: dict[str, Any]) -> dict[str, str]:
    """{"text": the rendered conversation}. Raises whatever the template's author thought of."""
    rendered: Any = chat_template_utils.render_jinja_template(
        [request["messages"]], chat_template=request["template"],
        add_generation_prompt=request["asks"], **request["variables"],
    )  # fmt: skip
    text = rendered[0][0]
    if len(text) > LONGEST:
        raise ValueError(f"it makes {len(text)} characters of it")
    return {"text": text}


if __name__ == "__main__":
    chat_template_utils.datetime = _AlwaysTheSame  # type: ignore[attr-defined]
    serve(answer, MEMORY)
