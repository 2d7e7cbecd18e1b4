"""Prompts: their exact text in both styles, that the second look gives nothing away, and the real tokenizer's part."""

from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest
from scripted_roles import DOMAIN, completion, problem

from curriculum.domains.abilities import ability
from curriculum.domains.protocol import Prompted
from roles.prompts import Messages, PromptStyle
from selfplay.config.files import load
from selfplay.machine.errors import Refused
from selfplay.model.weights.loading import load_model
from selfplay.model.weights.tiny import ByteTokenizer
from selfplay.run.build import prompt_style
from store.records import Finish

FEW_SHOT = PromptStyle(ability(DOMAIN, Prompted))


def render(messages: Messages) -> str:
    """A chat template in small."""
    return "".join(f"<{role}>{content}<end>" for role, content in messages) + "<assistant>"


CHAT = PromptStyle(
    ability(DOMAIN, Prompted),
    stop=("<end>",),
    render=render,
    end_of_turn="<end>",
    next_turn=lambda content: f"<user>{content}<end><assistant>",
)


def test_the_solver_sees_worked_examples_and_then_the_question() -> None:
    assert FEW_SHOT.solver(problem("23 + 45")) == (
        "28 - 13 = 15\n3 * 4 = 12\n6 + 3 = 9\n34 + 15 = 49\n23 + 45 ="
    )  # fmt: skip


def test_help_stands_behind_the_problem_in_both_styles() -> None:
    asked = problem("30 + 7 + 5")
    bare, helped = (FEW_SHOT.solver(asked, text) for text in ("", "Hint: 37 + 5"))
    assert bare == FEW_SHOT.solver(asked) and helped == f"{bare}\nHint: 37 + 5\n30 + 7 + 5 ="
    assert CHAT.solver(asked, "Hint: 37 + 5") == (
        "<user>Compute the expression. Answer with the number only.\n30 + 7 + 5 =\nHint: 37 + 5<end><assistant>"
    )


def test_an_answer_is_spelled_as_the_style_reads_it_and_ends_there() -> None:
    """D3: in a chat it has no space in front and the end of the turn behind, and any thought is over."""
    opened = replace(CHAT, thought="opened")
    assert (FEW_SHOT.completion("68"), CHAT.completion("68")) == (" 68\n", "68<end>")
    assert opened.completion("68") == "</think>\n68<end>"
    for style in (FEW_SHOT, CHAT, replace(CHAT, thought="said"), opened):
        assert style.visible(style.completion("68")).strip() == "68"
        assert style.completion("68").endswith(style.stop)


def test_the_challenger_sees_escalations_and_then_the_parent() -> None:
    asked = FEW_SHOT.challenger(problem("23 + 45"))
    assert asked.startswith("Easy: 3 + 4\nHarder: 13 + 4\n\nEasy: 17 - 5\nHarder: 47 - 15\n\n")
    assert asked.endswith("Easy: 34 + 15\nHarder: 38 + 47\n\nEasy: 23 + 45\nHarder:")


def test_prompts_of_a_role_differ_only_after_the_examples() -> None:
    for ask in (FEW_SHOT.solver, FEW_SHOT.challenger):
        one, two = ask(problem("1 + 2")), ask(problem("77 - 6"))
        shared = next(i for i, (a, b) in enumerate(zip(one, two, strict=False)) if a != b)
        assert one[shared:].startswith("1 + 2") and two[shared:].startswith("77 - 6")


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (" 68\n", "Recheck: 23 + 45 ="),
        (" 68\n\n", "Recheck: 23 + 45 ="),
        (" 68", "\nRecheck: 23 + 45 ="),  # cut by length
        (" 68\n ", "\nRecheck: 23 + 45 ="),  # the stop token had more to it
        ("", "\nRecheck: 23 + 45 ="),
    ],
)
def test_the_second_look_begins_on_a_line_of_its_own(said: str, expected: str) -> None:
    assert FEW_SHOT.recheck(problem("23 + 45"), completion(said)) == expected


def test_the_second_look_does_not_say_whether_the_first_was_right() -> None:
    for style in (FEW_SHOT, CHAT):
        asked = {style.recheck(problem("23 + 45"), completion(said)) for said in (" 68\n", " 67\n", " no idea\n")}
        assert len(asked) == 1
        assert "68" not in asked.pop()


def test_chat_puts_instruction_and_question_into_one_user_turn() -> None:
    assert CHAT.solver(problem("23 + 45")) == f"<user>{DOMAIN.solver_instruction}\n23 + 45 =<end><assistant>"
    assert CHAT.challenger(problem("23 + 45")) == f"<user>{DOMAIN.challenger_instruction}\n23 + 45<end><assistant>"


def test_chat_asks_for_the_second_look_in_a_new_user_turn() -> None:
    asked = f"<user>{DOMAIN.recheck_instruction}<end><assistant>"
    assert CHAT.recheck(problem("23 + 45"), completion("68\n")) == asked  # the end of its turn was sampled
    assert CHAT.recheck(problem("23 + 45"), completion("68")) == f"<end>{asked}"  # cut: close the turn for it


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (" 68\n", " 68"),
        (" 68\nRecheck", " 68"),
        ("\n68", ""),
        (" 68", " 68"),
        ("", ""),
        (" 6;8\n", " 6"),  # the first of several stops, wherever it stands in the list
        (" 6\n8;", " 6"),
    ],
)
def test_text_ends_at_its_first_stop(text: str, expected: str) -> None:
    assert PromptStyle(ability(DOMAIN, Prompted), stop=("\n", ";")).strip_stop(text) == expected


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    """The default model's own."""
    return load_model("smollm2-135m", "bfloat16").tokenizer


def chat(tokenizer: Any, *overrides: str) -> PromptStyle:
    return prompt_style(load(None, ["prompts.style=chat", *overrides]), DOMAIN, tokenizer)


def test_a_conversation_in_pieces_is_what_the_real_template_makes_of_the_whole(tokenizer: Any) -> None:
    style, asked = chat(tokenizer), problem("23 + 45")
    first = replace(completion("67"), finish=Finish.STOP)  # its text is decoded without the end-of-turn token
    pieces = style.solver(asked) + "67<|im_end|>" + style.recheck(asked, first)
    messages = [
        {"role": "user", "content": f"{DOMAIN.solver_instruction}\n23 + 45 ="},
        {"role": "assistant", "content": "67"},
        {"role": "user", "content": DOMAIN.recheck_instruction},
    ]
    whole = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    assert pieces == whole
    cut = style.solver(asked) + "67" + style.recheck(asked, completion("67"))
    assert cut == whole
    assert style.stop == ("<|im_end|>",)


def test_special_tokens_of_the_template_become_their_ids(tokenizer: Any) -> None:
    ids = tokenizer.encode(chat(tokenizer).challenger(problem("23 + 45")), add_special_tokens=False)
    start, end = (tokenizer.convert_tokens_to_ids(t) for t in ("<|im_start|>", "<|im_end|>"))
    assert (ids.count(start), ids.count(end)) == (3, 2)  # system, user, and the assistant that is to speak


def test_problems_share_the_ids_of_their_header(tokenizer: Any) -> None:
    for style in (FEW_SHOT, chat(tokenizer)):
        one, two = (tokenizer.encode(style.solver(problem(t)), add_special_tokens=False) for t in ("23 + 45", "9 * 8"))
        shared = next(i for i, (a, b) in enumerate(zip(one, two, strict=False)) if a != b)
        assert tokenizer.decode(one[shared:]).startswith("23 + 45 =")
        assert shared > 30


def test_an_answer_follows_a_few_shot_prompt_in_tokens_of_its_own(tokenizer: Any) -> None:
    prompt = FEW_SHOT.solver(problem("23 + 45"))
    apart = tokenizer.encode(prompt, add_special_tokens=False) + tokenizer.encode(" 68\n", add_special_tokens=False)
    assert apart == tokenizer.encode(prompt + " 68\n", add_special_tokens=False)


def test_thinking_is_the_templates_switch(tokenizer: Any) -> None:
    thinker = deepcopy(tokenizer)
    thinker.chat_template = (
        "{% for m in messages %}[{{ m.role }}]{{ m.content }}<|im_end|>{% endfor %}"
        "[assistant]{% if not enable_thinking %}<no-thought>{% endif %}"
    )
    asked = problem("1 + 2")
    assert chat(thinker).solver(asked).endswith("[assistant]<no-thought>")
    assert chat(thinker, "prompts.thinking=true").solver(asked).endswith("[assistant]")
    assert chat(thinker).recheck(asked, replace(completion("3"), finish=Finish.STOP)) == (
        f"[user]{DOMAIN.recheck_instruction}<|im_end|>[assistant]<no-thought>"
    )


def test_few_shot_needs_no_template() -> None:
    style = prompt_style(load(None, []), DOMAIN, ByteTokenizer())
    assert (style.render, style.stop) == (None, ("\n",))


def test_chat_without_a_template_is_refused_with_the_key() -> None:
    with pytest.raises(Refused, match=r"^prompts\.style=chat: .* use prompts\.style=few_shot"):
        chat(ByteTokenizer())
