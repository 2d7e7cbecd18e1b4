"""Chat templates of other families: where a turn ends, and that a conversation in pieces is the template's own."""

from dataclasses import replace
from typing import Any

import pytest
from chat_templates import BARE, CHATML, GEMMA, LLAMA_2, PHI, SPECIAL, tokenizer
from odd_models import piecewise
from scripted_roles import DOMAIN, completion, problem

from roles.prompts import PromptStyle
from selfplay.machine.errors import Refused
from selfplay.prompting.chat import chat_style
from selfplay.prompting.codec import following, stop_tokens, text_of
from store.records import Finish


def style_of(made: Any) -> PromptStyle:
    return chat_style(DOMAIN, made, "mine", thinking=False, feedback=False)


@pytest.mark.parametrize(
    ("template", "end"),
    [(CHATML, "<|im_end|>"), (GEMMA, "<end_of_turn>"), (PHI, "<|end|>"), (LLAMA_2, "<eos>"), (BARE, "<eos>")],
    ids=["chatml", "gemma", "phi-3", "llama-2", "no token of its own"],
)
def test_the_end_of_turn_is_the_templates_and_stops_a_completion_as_eos_does(template: str, end: str) -> None:
    made = tokenizer(template)
    style = style_of(made)
    assert (style.stop, style.end_of_turn) == ((end,), end)
    assert stop_tokens(made, style.stop) == set(made.convert_tokens_to_ids([end, "<eos>"]))
    *answer, last = following(made, style.completion("67"), 5)
    assert (made.decode(answer), last) == ("67", made.convert_tokens_to_ids(end))


@pytest.mark.parametrize(
    ("template", "end"), [(CHATML, "<|im_end|>"), (GEMMA, "<end_of_turn>"), (PHI, "<|end|>"), (LLAMA_2, " <eos>")]
)
def test_a_conversation_in_pieces_is_what_the_template_makes_of_the_whole(template: str, end: str) -> None:
    made = tokenizer(template)
    style, asked, space = style_of(made), problem("23 + 45"), " " if template is LLAMA_2 else ""
    first = replace(completion("67"), finish=Finish.STOP)
    pieces = style.solver(asked) + f"{space}67{end}" + style.recheck(asked, first)
    messages = [
        {"role": "user", "content": f"{DOMAIN.solver_instruction}\n23 + 45 ="},
        {"role": "assistant", "content": "67"},
        {"role": "user", "content": DOMAIN.recheck_instruction},
    ]
    assert pieces == made.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    assert style.recheck(asked, completion("67")) == end.strip() + style.recheck(asked, first)  # cut: closed for it


def test_a_template_without_any_end_of_turn_is_refused() -> None:
    with pytest.raises(Refused, match=r"ends a turn with no token; use prompts\.style=few_shot"):
        style_of(tokenizer(BARE, eos=None))


def test_thoughts_may_end_with_a_special_token() -> None:
    """Case 47: it is read like any other."""
    made = tokenizer(CHATML, special=(*SPECIAL, "<think>", "</think>"))
    style = chat_style(DOMAIN, made, "mine", thinking=True, feedback=False)
    ids = made.encode("<think>6</think>68<|im_end|>", add_special_tokens=False)
    assert style.visible(text_of(made, ids, stop_tokens(made, style.stop))) == "68"


IN_PARTS = CHATML.replace("{{ m.content }}", "{% for c in m.content %}{{ c.text }}{% endfor %}")
OPENS = CHATML.replace("assistant\n{% endif %}", "assistant\n<think>\n{% endif %}")
BAD = {
    "no question": (CHATML.replace("{{ m.content }}", "hello"), "does not show a question as it is"),
    "tojson": (CHATML.replace("m.content", "m.content | tojson"), "does not show a question as it is"),
    "no words": (
        CHATML.replace("{{ m.content }}", "{{ m.content if m.role == 'user' else 'ok' }}"),
        "does not show an assistant's words as they are",
    ),
    "raises": ("{{ raise_exception('no') }}", "fails on a conversation of user (no)"),
    "raises later": (
        CHATML.replace("{{ m.content }}", "{{ m.content if loop.index < 2 else raise_exception('one turn') }}"),
        "fails on a conversation of user, assistant, user (one turn)",
    ),
    "type error": (CHATML.replace("m.content", "m.content + 1"), "fails on a conversation of user ("),
    "no template": ("{% for %}", "fails on a conversation of user ("),
    "opens a thought": (OPENS, "opens a thought with prompts.thinking=false too; use prompts.thinking=true"),
}


@pytest.mark.parametrize(("template", "said"), BAD.values(), ids=BAD.keys())
def test_a_template_that_does_not_do_its_work_is_one_line(template: str, said: str) -> None:
    """Case 48."""
    with pytest.raises(Refused) as caught:
        style_of(tokenizer(template))
    line = str(caught.value)
    assert line.startswith("prompts.style=chat: the chat template of mine ") and said in line and "\n" not in line


def test_a_template_that_takes_contents_as_lists_only_is_given_lists() -> None:
    """Case 48."""
    plain, parts = (style_of(tokenizer(template)) for template in (CHATML, IN_PARTS))
    asked, first = problem("23 + 45"), replace(completion("67"), finish=Finish.STOP)
    assert parts.solver(asked) == plain.solver(asked)
    assert parts.recheck(asked, first) == plain.recheck(asked, first)


def test_a_template_that_fails_on_a_later_question_is_one_line() -> None:
    """Case 48: not only at the start."""
    style = style_of(tokenizer(CHATML.replace("{{ m.content }}", "{{ m.content[:40] }}")))
    with pytest.raises(Refused, match="does not show a question as it is"):
        style.solver(problem("23 + 45"))


@pytest.mark.parametrize("scheme", ["always", "first", "never"])
def test_a_second_turn_is_read_as_in_the_whole_conversation(scheme: str) -> None:
    """Case 48: SentencePiece put a space in front of it."""
    made = piecewise(list(SPECIAL), "<eos>", CHATML, scheme)
    style, asked = style_of(made), problem("23 + 45")
    messages = [
        {"role": "user", "content": f"{DOMAIN.solver_instruction}\n23 + 45 ="},
        {"role": "assistant", "content": "67"},
        {"role": "user", "content": DOMAIN.recheck_instruction},
    ]
    whole = made.apply_chat_template(messages, add_generation_prompt=True, return_dict=False)
    second = style.recheck(asked, replace(completion("67"), finish=Finish.STOP))
    end = made.convert_tokens_to_ids("<|im_end|>")
    ours = following(made, second, end)
    assert whole[-len(ours) - 1 :] == [end, *ours]
    if scheme == "always":
        assert whole[-len(ours) - 1 :] != [end, *made.encode(f"a{second}", add_special_tokens=False)[1:]]


def test_pieces_that_are_read_otherwise_are_refused() -> None:
    """Case 48: here what follows an answer depends on how long that was."""
    shows = CHATML.replace(
        "<|im_end|>\n", "<|im_end|>{{ '\n' if m.content|length != 1 or m.role == 'user' else '  ' }}"
    )
    with pytest.raises(Refused, match="is read as other tokens in pieces than in a whole conversation"):
        style_of(tokenizer(shows))
