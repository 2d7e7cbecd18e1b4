"""How a plain question is asked, and the forms that an answer can be asked for in, by rule: how each is asked for,
written, read and judged.

A domain takes one of them by a line in each of the members that it touches:

    solver_instruction = ASKED["boxed"]
    def written(self, answer): return written(answer, "boxed")
    def judge(self, problem, text): return judged_by_rule(problem.answer, text, "boxed")
"""

from collections.abc import Mapping

from curriculum.answers.comparing import is_same_answer
from curriculum.answers.reading import AnswerRule, read_answer
from store.records import Outcome

ASKED: Mapping[AnswerRule, str] = {  # what a solver is told in chat
    "text": "Answer the question. Give the answer only.",
    "last_line": "Answer the question. Give the answer alone in the last line.",
    "boxed": "Answer the question. Put the final answer in \\boxed{}.",
    "tag": "Answer the question. Put the final answer between <answer> and </answer>.",
    "hashes": "Answer the question. End with #### and the final answer.",
    "last_number": "Answer the question. End with the final number.",
    "choice": "Answer the question with the letter of the right choice only.",
}
_FORMS: Mapping[AnswerRule, str] = {"boxed": "\\boxed{%s}", "tag": "<answer>%s</answer>", "hashes": "#### %s"}


def asked(question: str) -> str:
    """A question as few-shot prompts have it, with or without examples before it."""
    return f"Question: {question}\nAnswer:"


def written(answer: str, rule: AnswerRule) -> str:
    """`answer` as a solver is to write it."""
    return _FORMS.get(rule, "%s") % answer


def judged_by_rule(right: str, text: str, rule: AnswerRule, as_mathematics: bool = True) -> tuple[Outcome, str | None]:
    """The verdict on a solver's `text`, and the answer that was read from it; `right` is the right one.

    Compared as text, as a number and, unless it is a letter or not `as_mathematics`, as an expression. Raises
    ChildEnded where the process that compares expressions does not work.
    """
    answer = read_answer(text, rule)
    if answer is None:
        return Outcome.UNPARSED, None
    is_right = is_same_answer(answer, right, as_mathematics and rule != "choice")
    return (Outcome.CORRECT if is_right else Outcome.INCORRECT), answer
