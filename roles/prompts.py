"""How roles put things into words: few-shot text for base-like use, or a model's chat template.

Both are built from the same parts of a domain. A prompt's beginning is the same for every problem of a role, so the
token tree shares it. The second look never says whether the first try was right; with `feedback` it says what the
domain observed of it (an executed check). Of a model that thinks aloud only what comes after its thought is read.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from curriculum.domains.protocol import Domain
from store.records import Completion, Finish, Problem

Messages = Sequence[tuple[str, str]]  # (role, content): "system", "user" or "assistant"
ReportKind = Literal["none", "confidence", "self_evaluation"]
Render = Callable[[Messages], str]  # a chat template, ending where the assistant is to speak
Thought = Literal["none", "said", "opened"]  # what a completion may begin with: nothing of it, all, all but its start

THOUGHT_START, THOUGHT_END = "<think>", "</think>"

_REPORT_PROMPTS = {  # few-shot text, chat
    "confidence": ("Confidence:", "How likely is it that your answer is right? Say a number from 0 to 1, only that."),
    "self_evaluation": ("Right:", "Is your answer right? Say 1 for yes and 0 for no, only that."),
}


@dataclass(frozen=True, slots=True)
class PromptStyle:
    """`render` None is few-shot text. `stop` ends a completion. For chat, `end_of_turn` closes an assistant turn and
    `next_turn` makes the text from there to the assistant's next turn out of what the user says in between."""

    domain: Domain
    stop: tuple[str, ...] = ("\n",)
    render: Render | None = None
    end_of_turn: str = ""
    next_turn: Callable[[str], str] | None = None
    feedback: bool = False  # the second look is shown the domain's `observation` of the answer
    thought: Thought = "none"

    def solver(self, problem: Problem) -> str:
        """Ask for a first try."""
        question = self.domain.question(problem)
        if self.render is not None:
            return self.render((("user", f"{self.domain.solver_instruction}\n{question}"),))
        shown = "".join(f"{q} {a}\n" for q, a in self.domain.solver_examples)
        return f"{shown}{question}"

    def completion(self, answer: str) -> str:
        """What a model says that answers a question with `answer` and ends there, behind the prompt of any turn."""
        if self.render is None:
            return f" {answer}\n"
        opened = f"{THOUGHT_END}\n" if self.thought == "opened" else ""
        return f"{opened}{answer}{self.end_of_turn}"

    def recheck(self, problem: Problem, previous: Completion) -> str:
        """Ask for one more look, right after the completion `previous`, whose stop token is part of it."""
        seen = self.domain.observation(problem, self.visible(previous.text)) if self.feedback else ""
        if self.next_turn is not None:
            return self._closing(previous) + self.next_turn(f"{seen}\n{self.domain.recheck_instruction}".lstrip())
        check = f"Check: {seen}\n" if self.feedback else ""
        return f"{self._closing(previous)}{check}Recheck: {self.domain.question(problem)}"

    def report(self, kind: ReportKind, previous: Completion) -> str:
        """Ask what the solver thinks of the answer that `previous` gave: how sure it is, or whether it is right."""
        words, instruction = _REPORT_PROMPTS[kind]
        if self.next_turn is not None:
            return self._closing(previous) + self.next_turn(instruction)
        return f"{self._closing(previous)}{words}"

    def _closing(self, previous: Completion) -> str:
        """What ends `previous` where it did not end itself."""
        if self.next_turn is not None:
            return "" if previous.finish is Finish.STOP else self.end_of_turn
        return "" if previous.text.endswith("\n") else "\n"

    def challenger(self, parent: Problem) -> str:
        """Ask for something harder than `parent`."""
        if self.render is not None:
            return self.render((("user", f"{self.domain.challenger_instruction}\n{parent.text}"),))
        shown = "".join(f"Easy: {easy}\nHarder: {harder}\n\n" for easy, harder in self.domain.escalation_examples)
        return f"{shown}Easy: {parent.text}\nHarder:"

    def strip_stop(self, text: str) -> str:
        """`text` up to its first stop string."""
        cuts = [at for stop in self.stop if (at := text.find(stop)) >= 0]
        return text[: min(cuts)] if cuts else text

    def visible(self, text: str) -> str:
        """What is read of a completion's `text`: up to its first stop string, and nothing of its thought."""
        return self.after_thought(self.strip_stop(text))

    def after_thought(self, text: str) -> str:
        """`text` behind its thought; empty while that has not ended."""
        if self.is_thinking(text):
            return ""
        _, end, after = text.rpartition(THOUGHT_END)
        return after.lstrip() if end and self.thought != "none" else text

    def is_thinking(self, text: str) -> bool:
        """Whether `text` ends inside a thought."""
        if self.thought == "none":
            return False
        _, end, after = text.rpartition(THOUGHT_END)
        return (not end and self.thought == "opened") or after.lstrip().startswith(THOUGHT_START)
