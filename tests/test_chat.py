"""Chat templates of other families: where a turn ends, and that a conversation in pieces is the template's own."""

from dataclasses import replace
from typing import Any

import pytest
from odd_models import bytewise
from scripted_roles import DOMAIN, completion, problem

from roles.prompts import PromptStyle
from selfplay.chat import chat_style
from selfplay.codec import stop_tokens
from selfplay.exits import Refused
from store.records import Finish

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
GEMMA = (
    "<bos>{% for m in messages %}<start_of_turn>{{ 'model' if m.role == 'assistant' else m.role }}\n"
    "{{ m.content | trim }}<end_of_turn>\n{% endfor %}{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
)
PHI = (  # closes a conversation that is over with its end of sequence
    "{% for m in messages %}<|{{ m.role }}|>\n{{ m.content }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% else %}<eos>{% endif %}"
)
LLAMA_2 = (
    "{% for m in messages %}{% if m.role == 'user' %}<bos>[INST] {{ m.content }} [/INST]"
    "{% else %} {{ m.content }} <eos>{% endif %}{% endfor %}"
)
BARE = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}{% if add_generation_prompt %}me:{% endif %}"
SPECIAL = (
    *("<bos>", "<eos>", "<|im_start|>", "<|im_end|>", "<start_of_turn>", "<end_of_turn>"),
    *("<|user|>", "<|assistant|>", "<|end|>"),
)


def tokenizer(template: str, eos: str | None = "<eos>", special: tuple[str, ...] = SPECIAL) -> Any:
    return bytewise(list(special), eos, template)


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


def test_thoughts_whose_end_is_in_no_text_are_refused() -> None:
    with pytest.raises(Refused, match=r"^prompts\.thinking=true: </think> is a special token of mine"):
        chat_style(DOMAIN, tokenizer(CHATML, special=(*SPECIAL, "</think>")), "mine", thinking=True, feedback=False)
