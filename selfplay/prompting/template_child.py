"""Renders chat templates, which are programs of whoever made the model, in a process that may be ended.

Run as a script. A line of JSON in, a line of JSON out. Jinja's sandbox keeps a template from files, network and code;
here are limits on what it takes: processor time, memory, files, and characters of what it makes. The date that a
template may ask for is always the same, as a run's prompts must be when it is resumed. Nothing of ours is imported, so
that it starts without torch.
"""

import json
import os
import resource
import signal
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

from transformers.utils import chat_template_utils

MEMORY = 256 * 2**20  # bytes, beyond what the libraries take
SECONDS = 2.0  # of processor time, for one conversation: then the system ends this process
LONGEST = 2**20  # characters of a rendered conversation
SHOWN = 200  # characters of an error


class _AlwaysTheSame(datetime):
    @classmethod
    def now(cls, tz: object = None) -> "_AlwaysTheSame":
        return cls(2025, 1, 1)


def main() -> None:
    chat_template_utils.datetime = _AlwaysTheSame  # type: ignore[attr-defined]
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    _limit()
    for line in sys.stdin:
        signal.setitimer(signal.ITIMER_PROF, SECONDS)
        answer = json.dumps(_answer(json.loads(line)))
        signal.setitimer(signal.ITIMER_PROF, 0)
        answers.write(answer + "\n")
        answers.flush()


def _answer(request: dict[str, Any]) -> dict[str, str]:
    try:
        rendered: Any = chat_template_utils.render_jinja_template(
            [request["messages"]], chat_template=request["template"],
            add_generation_prompt=request["asks"], **request["variables"],
        )  # fmt: skip
    except MemoryError:
        return {"error": f"it takes more than {MEMORY >> 20} MB of memory"}
    except RecursionError:
        return {"error": "it calls itself without end"}
    except Exception as error:  # whatever its author thought of
        return {"error": (str(error).strip().splitlines() or [type(error).__name__])[0][:SHOWN]}
    text = rendered[0][0]
    if len(text) > LONGEST:
        return {"error": f"it makes {len(text)} characters of it"}
    return {"text": text}


def _limit() -> None:
    sizes = Path("/proc/self/statm")
    if sizes.is_file():
        in_use = int(sizes.read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (in_use + MEMORY, in_use + MEMORY))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the run, which goes on to the end of its step


if __name__ == "__main__":
    main()
