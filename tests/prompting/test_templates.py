"""A model folder's chat template is a program of somebody else's. Case 39."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from chat_templates import CHATML, tokenizer
from run_server import ROOT
from scripted_roles import DOMAIN

from selfplay.machine.errors import USAGE, Refused
from selfplay.prompting import templates
from selfplay.prompting.chat import chat_style
from selfplay.prompting.template_child import LONGEST, MEMORY
from selfplay.prompting.templates import TemplateError, rendered

ASKED = ({"role": "user", "content": "3 + 4"},)


def text_of(template: str, **variables: Any) -> str:
    return rendered(template, ASKED, True, variables)


@pytest.mark.parametrize(
    ("template", "what"),
    [
        ("{{ 'a' * 10**10 }}", "memory"),
        ("{% set n = namespace(x='a' * 99) %}{% for i in range(60) %}{% set n.x = n.x ~ n.x %}{% endfor %}", "memory"),
        ("{{ (range(99999) | list) * 100000 }}", "memory"),
        ("{{ 'a' * 5000000 }}", "makes 5000000 characters"),
        ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "calls itself without end"),
        ("{{ messages[5].content.x }}", "no element 5"),
        ("{% nonsense %}", "unknown tag"),
        ("{{ raise_exception('no\nway') }}", "no"),
        ("{{ messages.append(1) }}", "append"),
        ("{{ cycler.__init__.__globals__.os.system('true') }}", "unsafe|undefined"),
        ("{% include '/etc/passwd' %}", "loader"),
    ],
)
def test_what_a_template_does_wrong_is_one_line_that_names_the_model(template: str, what: str) -> None:
    with pytest.raises(TemplateError, match=what):
        text_of(template)
    line = r"^prompts\.style=chat: the chat template of mine fails on .*; use prompts\.style=few_shot$"
    with pytest.raises(Refused, match=line) as end:
        chat_style(DOMAIN, tokenizer(template), "mine", thinking=False, feedback=False)
    assert end.value.code == USAGE and "\n" not in str(end.value)


def test_a_template_without_end_is_ended_and_the_next_one_is_rendered() -> None:
    loop = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
    with pytest.raises(TemplateError, match="takes too long"):
        text_of(loop + loop)
    assert text_of(CHATML).endswith("3 + 4<|im_end|>\n<|im_start|>assistant\n")


def test_a_child_that_somebody_else_ends_costs_nothing() -> None:
    assert text_of("one") == "one"
    assert templates._child.pid is not None
    os.kill(templates._child.pid, signal.SIGKILL)
    assert text_of("two") == "two"


def test_the_child_is_limited(tmp_path: Path) -> None:
    """What its own limits are, as the system has them: no file, and memory for a template but for nothing large."""
    assert text_of("one") == "one"
    limits = Path(f"/proc/{templates._child.pid}/limits").read_text()
    found = {line[:26].strip(): line[26:].split()[0] for line in limits.splitlines()[1:]}
    assert found["Max file size"] == "0"
    assert int(found["Max address space"]) < 2**30 + MEMORY
    assert LONGEST < MEMORY


def test_the_date_is_the_same_on_every_day() -> None:
    """A prompt with today's date in it would be another one when its run is resumed."""
    assert text_of("{{ strftime_now('%d %b %Y') }}") == "01 Jan 2025"


def test_a_prompt_costs_little() -> None:
    """About 0.15 ms each, where a step has a few hundred; the bound is for machines that are busy with other things."""
    text_of(CHATML)
    started = time.process_time()
    for _ in range(200):
        text_of(CHATML)
    assert time.process_time() - started < 0.4


def test_the_child_ends_with_its_parent() -> None:
    code = (
        "import os; from selfplay.prompting import templates\n"
        "templates.rendered('x', [{'role': 'user', 'content': 'a'}], True, {})\n"
        "print(templates._child.pid, flush=True); os.kill(os.getpid(), 9)"
    )
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    child = Path(f"/proc/{int(ended.stdout)}")
    for _ in range(100):
        if not child.exists() or "Z (zombie)" in (child / "status").read_text():
            return
        time.sleep(0.05)
    raise AssertionError("it goes on")
