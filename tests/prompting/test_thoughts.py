"""Models that think aloud: their thoughts are sampled and trained, and read by nobody."""

from dataclasses import replace

import pytest
from chat_templates import CHATML, QWEN3, qwen3_tokenizer, tokenizer
from scripted_roles import DOMAIN, ScriptedEngine, completion, countdown, problem, step_style

from curriculum.domains.abilities import ability
from curriculum.domains.protocol import Prompted
from curriculum.holdout import HeldOut
from curriculum.selection.admission import triage
from roles.judging.by_model import answer_in
from roles.judging.groups import report_of, verdict
from roles.prompts import PromptStyle, Thought
from roles.requests import Sampled
from roles.search.growth import Growth
from selfplay.config.files import load
from selfplay.prompting.chat import chat_style
from selfplay.prompting.templates import rendered
from selfplay.run.build import prompt_style
from store.records import Completion, Fate, Finish, Outcome

END = "<|im_end|>"
OPENS = CHATML.replace("assistant\n{% endif %}", "assistant\n{% if enable_thinking %}<think>\n{% endif %}{% endif %}")


def thinker(thought: Thought = "said") -> PromptStyle:
    return PromptStyle(ability(DOMAIN, Prompted), stop=(END,), thought=thought)


def said(text: str) -> Completion:
    """Ended by itself where `text` has the end of turn."""
    return completion(text, stops=(END,))


ANSWERS = [
    (f"<think>\n2 + 2 is 4, so 68?\n</think>\n\n68{END}", Outcome.CORRECT, "68"),
    (f"<think>\n68\n</think>\n\n67{END}", Outcome.INCORRECT, "67"),
    (f"<think>\n\n</think>\n\n68{END}", Outcome.CORRECT, "68"),
    (f"<think>a</think><think>b</think>68{END}", Outcome.CORRECT, "68"),
    (f"<think>67{END}", Outcome.UNPARSED, None),
    (f"\n<think>\n68{END}", Outcome.UNPARSED, None),
    (f"<think>a</think><think>68{END}", Outcome.UNPARSED, None),
    (f"<think>68</think>{END}", Outcome.UNPARSED, None),
    ("<think>\n68", Outcome.TRUNCATED, None),
    ("<think>a</think>68", Outcome.TRUNCATED, None),
]


@pytest.mark.parametrize(("text", "outcome", "answer"), [*ANSWERS, (f"68{END}", Outcome.CORRECT, "68")])
def test_an_answer_is_what_comes_after_the_thought(text: str, outcome: Outcome, answer: str | None) -> None:
    assert verdict(problem("23 + 45"), Sampled(0, said(text)), DOMAIN, thinker().visible)[:2] == (outcome, answer)


@pytest.mark.parametrize(
    ("text", "outcome", "answer"),
    [(text.replace("<think>", "", 1), outcome, answer) for text, outcome, answer in ANSWERS]
    + [(f"68{END}", Outcome.UNPARSED, None)],
)
def test_a_thought_may_begin_in_the_prompt(text: str, outcome: Outcome, answer: str | None) -> None:
    assert verdict(problem("23 + 45"), Sampled(0, said(text)), DOMAIN, thinker("opened").visible)[:2] == (
        outcome,
        answer,
    )


def test_without_thinking_the_marks_are_text_like_any_other() -> None:
    text = f"<think>\n</think>\n\n68{END}"
    assert thinker("none").visible(text) == "<think>\n</think>\n\n68"
    assert verdict(problem("23 + 45"), Sampled(0, said(text)), DOMAIN, thinker("none").visible)[:2] == (
        Outcome.UNPARSED,
        None,
    )


@pytest.mark.parametrize(
    ("text", "fate"),
    [
        (f"<think>\nharder: 1 + 1\n</think>\n\n38 + 47{END}", Fate.ACCEPTED),
        (f"<think>\n38 + 47{END}", Fate.UNPARSED),
        ("<think>\n38 + 47", Fate.TRUNCATED),
    ],
)
def test_a_proposal_is_what_comes_after_the_thought(text: str, fate: Fate) -> None:
    each = said(text)
    shown, held_out = thinker().visible(each.text), HeldOut(DOMAIN, "key")
    assert triage(problem("34 + 15"), shown, each.finish, DOMAIN, lambda _: False, held_out, set())[0] is fate


def test_reports_observations_and_the_models_questions_are_without_thoughts_too() -> None:
    class Seeing(type(DOMAIN)):  # type: ignore[misc]  # the class of an instance
        def observation(self, problem: object, text: str) -> str:
            return f"[{text}]"

    style = replace(thinker(), domain=Seeing(), feedback=True)
    sure = Sampled(0, said(f"<think>0.1?</think>\n0.75{END}"))
    assert report_of("confidence", sure, style.visible).value == 0.75
    assert report_of("self_evaluation", Sampled(0, said(f"<think>0</think>1{END}")), style.visible).value == 1.0
    assert "[0.75]" in style.recheck(problem("1 + 2"), sure.completion)
    assert answer_in(sure, style) == "0.75"


def test_steps_inside_a_thought_fail_nothing() -> None:
    plain = step_style()
    steps = replace(plain, style=replace(plain.style, thought="said"))
    engine = ScriptedEngine()
    texts = ["<think>3*3=1,3+5=8,</think>3+5=8,8+8=16\n", "3+5=8,8+8=16\n", "<think>x,</think>3*3=1,8+8=16\n"]
    growth: Growth = engine.growth(countdown("3 5 8: 16"), texts, steps=steps, merge=True, prune=True)
    ends = {growth.tree.text(node.index): node.outcome for node in growth.tree if node.is_finished}
    assert ends == {
        texts[0]: Outcome.CORRECT,
        texts[1]: Outcome.CORRECT,
        "<think>x,</think>3*3=1,": Outcome.INCORRECT,
    }


@pytest.mark.parametrize(
    ("texts", "merged"),
    [
        (["a</think>3+5=8,8+8=16\n", "b</think>5+3=8,8*8=64\n"], ["b</think>5+3=8,"]),  # by what is behind thoughts
        (["3+5=8,</think>1\n", "5+3=8,</think>2\n"], []),
    ],
)
def test_steps_merge_by_what_is_said_behind_thoughts(texts: list[str], merged: list[str]) -> None:
    plain = step_style()
    steps = replace(plain, style=replace(plain.style, thought="opened"))
    tree = ScriptedEngine().growth(countdown("3 5 8: 16"), texts, steps=steps, merge=True).tree
    assert [tree.text(node.index) for node in tree if node.merged_into is not None] == merged


@pytest.mark.parametrize(("template", "on"), [(CHATML, "said"), (OPENS, "opened")])
def test_the_key_turns_thoughts_on_and_the_template_says_how_they_begin(template: str, on: Thought) -> None:
    made = tokenizer(template)
    assert chat_style(DOMAIN, made, "mine", thinking=True, feedback=False).thought == on
    assert chat_style(DOMAIN, made, "mine", thinking=False, feedback=False).thought == "none"
    style = prompt_style(load(None, ["prompts.style=chat", "prompts.thinking=true"]), DOMAIN, made)
    assert (style.thought, style.visible(f"a</think>\n\n68{END}")) == (on, "68")
    few_shot = load(None, ["prompts.style=few_shot", "prompts.thinking=true"])
    assert prompt_style(few_shot, DOMAIN, made).thought == "none"


EMPTY_THOUGHT = "<think>\n\n</think>\n\n"


@pytest.mark.parametrize(("thinking", "begins", "thought"), [(True, "", "said"), (False, EMPTY_THOUGHT, "none")])
def test_qwen3_thinks_or_is_given_an_empty_thought(thinking: bool, begins: str, thought: Thought) -> None:
    style = chat_style(DOMAIN, qwen3_tokenizer(), "mine", thinking=thinking, feedback=False)
    assert style.thought == thought
    assert style.solver(problem("23 + 45")).endswith(f"23 + 45 ={END}\n<|im_start|>assistant\n{begins}")
    first = said(f"<think>\n20 + 40\n</think>\n\n68{END}" if thinking else f"68{END}")
    assert style.visible(first.text) == "68"
    look = style.recheck(problem("23 + 45"), first)
    assert look.startswith("\n<|im_start|>user\n") and look.endswith(f"{END}\n<|im_start|>assistant\n{begins}")


@pytest.mark.parametrize("thinking", [True, False])
def test_a_second_look_of_qwen3_continues_the_context_its_template_would_drop_the_thought(thinking: bool) -> None:
    """The tree only grows; that is a difference to the template, of which docs/models.md tells."""
    style = chat_style(DOMAIN, qwen3_tokenizer(), "mine", thinking=thinking, feedback=False)
    thought = "<think>\n20 + 40\n</think>\n\n" if thinking else ""
    ours = style.solver(problem("1 + 2")) + f"{thought}3{END}" + style.recheck(problem("1 + 2"), said(f"3{END}"))
    asked = ours.split("user\n")[1].split(END)[0], ours.split("user\n")[2].split(END)[0]
    turns = [{"role": "user", "content": asked[0]}, {"role": "assistant", "content": f"{thought}3"},
             {"role": "user", "content": asked[1]}]  # fmt: skip
    whole = rendered(QWEN3, turns, True, {"enable_thinking": thinking})
    dropped = thought or EMPTY_THOUGHT
    assert ours != whole and ours.replace(f"{dropped}3", "3") == whole


def test_a_thought_that_is_cut_is_closed_for_the_next_turn() -> None:
    style = chat_style(DOMAIN, tokenizer(CHATML), "mine", thinking=True, feedback=False)
    cut = said("<think>\n68")
    assert cut.finish is Finish.LENGTH
    assert style.recheck(problem("1 + 2"), cut).startswith(f"{END}\n<|im_start|>user\n")
