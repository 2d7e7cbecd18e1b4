"""How roles put things into words: few-shot text for base-like use, or a model's chat template.

Both are built from the same parts of a domain. A prompt's beginning is the same for every problem of a role, so the
token tree shares it. The second look never says whether the first try was right.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from curriculum.domains.protocol import Domain
from store.records import Problem

Messages = Sequence[tuple[str, str]]  # (role, content): "system", "user" or "assistant"
Render = Callable[[Messages], str]  # a chat template, ending where the assistant is to speak


@dataclass(frozen=True, slots=True)
class PromptStyle:
    """`render` None is few-shot text. `stop` ends a completion; `continuation` is chat's text from the end of an
    assistant turn to the next one, with `{content}` for what the user says in between."""

    domain: Domain
    stop: tuple[str, ...] = ("\n",)
    render: Render | None = None
    continuation: str = ""

    def solver(self, problem: Problem) -> str:
        """Ask for a first try."""
        question = self.domain.question(problem)
        if self.render is not None:
            return self.render((("user", f"{self.domain.solver_instruction}\n{question}"),))
        shown = "".join(f"{q} {a}\n" for q, a in self.domain.solver_examples)
        return f"{shown}{question}"

    def recheck(self, problem: Problem, previous: str) -> str:
        """Ask for one more look, after `previous` (the completion's text, its stop included)."""
        if self.render is not None:
            return self.continuation.format(content=self.domain.recheck_instruction)
        newline = "" if previous.endswith("\n") else "\n"
        return f"{newline}Recheck: {self.domain.question(problem)}"

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
