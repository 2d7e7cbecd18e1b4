"""What roles say to a model, in few-shot text or through a chat template, and what is read of its reply.

Both kinds of prompt are built from the same parts of a domain. A prompt begins alike for every problem of a role, so
that the token tree shares the beginning. The prompt of a second look never says whether the first try was right. With
`feedback` it says what the domain observed of it, such as an executed check. Of a model that thinks aloud only what
comes after its thought is read.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from curriculum.answers.reading import THOUGHT_END, THOUGHT_START
from curriculum.domains.abilities import ability, able
from curriculum.domains.protocol import Domain, Observable, Posable, Prompted
from store.records import Completion, Finish, Problem, Side, Skill

Messages = Sequence[tuple[str, str]]  # (role, content): "system", "user" or "assistant"
ReportKind = Literal["none", "confidence", "self_evaluation"]
Render = Callable[[Messages], str]  # a chat template, ending where the assistant is to speak
# How a thought stands in a completion. "none": the model has none. "said": the completion has both of its marks.
# "opened": the prompt has the opening mark already, so that the completion begins inside the thought.
Thought = Literal["none", "said", "opened"]

CUES = ("Check:", "Recheck:", "Easy:", "Harder:", "Confidence:", "Right:")  # what few-shot prompts ask with
BLANK_LINE = "\n\n"  # stands between few-shot examples that no stop string ends

_REPORT_PROMPTS = {  # few-shot text, chat
    "confidence": ("Confidence:", "How likely is it that your answer is right? Say a number from 0 to 1, only that."),
    "self_evaluation": ("Right:", "Is your answer right? Say 1 for yes and 0 for no, only that."),
}


@dataclass(frozen=True, slots=True)
class PromptStyle:
    """How a domain's problems are put to a model.

    `stop`: strings that end a completion, beside the end of sequence. `render`: the chat template; None for few-shot
    text. In chat, `end_of_turn` closes an assistant's turn, and `next_turn` turns what the user says into the text
    between two assistant's turns. In few-shot text without a stop, `end_of_turn` is the end of sequence.
    A side's skills stand behind what all its prompts begin with, and in front of the problem, so that the token tree
    shares them. Neither side is shown the other's.
    """

    domain: Prompted
    stop: tuple[str, ...] = ("\n",)
    render: Render | None = None
    end_of_turn: str = ""
    next_turn: Callable[[str], str] | None = None
    feedback: bool = False  # the second look is shown the domain's `observation` of the answer
    thought: Thought = "none"
    solver_skills: tuple[Skill, ...] = ()
    challenger_skills: tuple[Skill, ...] = ()

    def showing(self, side: Side, skills: Sequence[Skill]) -> "PromptStyle":
        """The same with these skills of a side."""
        if side is Side.SOLVER:
            return replace(self, solver_skills=tuple(skills))
        return replace(self, challenger_skills=tuple(skills))

    def solver(self, problem: Problem, help: str = "") -> str:
        """Ask for a first try. `help` stands behind the problem, which few-shot text then asks once more."""
        return self.asked(self.domain.question(problem), help)

    def asked(self, question: str, help: str = "") -> str:
        """Put a question before the solver."""
        if self.render is not None:
            block = _skill_block(self.solver_skills, "\n")
            asked = f"{question}\n{help}" if help else question
            return self.render((("user", f"{self.domain.solver_instruction}\n{block}{asked}"),))
        if help:
            question = f"{question}\n{help}\n{question}"
        shown = "".join(f"{q} {a}{self._separator}" for q, a in self.domain.solver_examples)
        return f"{shown}{_skill_block(self.solver_skills, self._separator)}{question}"

    def completion(self, answer: str) -> str:
        """What a model says that answers a question with `answer` and ends there, behind the prompt of any turn."""
        return self.said(self.domain.written(answer))

    def said(self, text: str) -> str:
        """A completion that says `text` and ends there."""
        end = self.stop[0] if self.render is None and self.stop else self.end_of_turn
        return f"{self.begun(text)}{end}"

    def begun(self, text: str) -> str:
        """A completion that says `text` and goes on."""
        if self.render is None:
            return f" {text}"
        opened = f"{THOUGHT_END}\n" if self.thought == "opened" else ""
        return f"{opened}{text}"

    def recheck(self, problem: Problem, previous: Completion) -> str:
        """Ask for a second look. The prompt continues the completion `previous`, which has its stop token if any."""
        seen = self._observed(problem, previous) if self.feedback else ""
        if self.next_turn is not None:
            return self.closing(previous) + self.next_turn(f"{seen}\n{self.domain.recheck_instruction}".lstrip())
        check = f"Check: {seen}\n" if self.feedback else ""
        return f"{self.closing(previous)}{check}Recheck: {self.domain.question(problem)}"

    def _observed(self, problem: Problem, previous: Completion) -> str:
        """Empty for a domain that runs nothing, such as that of a set which a run with feedback is evaluated on."""
        observable = able(self.domain, Observable)
        return "" if observable is None else observable.observation(problem, self.visible(previous.text))

    def report(self, kind: ReportKind, previous: Completion) -> str:
        """Ask the solver how sure it is of the answer in `previous`, or whether that is right."""
        words, instruction = _REPORT_PROMPTS[kind]
        return self.closing(previous) + self.follow_up(words, instruction)

    def follow_up(self, words: str, instruction: str) -> str:
        """What asks for more behind a completion that has ended: `words` in few-shot text, `instruction` in chat."""
        return words if self.next_turn is None else self.next_turn(instruction)

    def closing(self, previous: Completion) -> str:
        """The text that ends `previous`; empty where it ended itself. What it said of another stop stays."""
        if self.next_turn is not None:
            return "" if previous.finish is Finish.STOP else self.end_of_turn
        return "" if previous.text.endswith(self._separator) else self._separator

    @property
    def _separator(self) -> str:
        """Few-shot: what stands behind an answer."""
        return self.stop[0] if self.stop else BLANK_LINE

    def challenger(self, parent: Problem) -> str:
        """Ask for something harder than `parent`."""
        domain = ability(self.domain, Posable, "a challenger")
        if self.render is not None:
            block = _skill_block(self.challenger_skills, "\n")
            return self.render((("user", f"{domain.challenger_instruction}\n{block}{parent.text}"),))
        shown = "".join(f"Easy: {easy}\nHarder: {harder}\n\n" for easy, harder in domain.escalation_examples)
        return f"{shown}{_skill_block(self.challenger_skills, BLANK_LINE)}Easy: {parent.text}\nHarder:"

    def strip_stop(self, text: str) -> str:
        """`text` up to its first stop string."""
        cuts = [at for stop in self.stop if (at := text.find(stop)) >= 0]
        return text[: min(cuts)] if cuts else text

    def visible(self, text: str) -> str:
        """The part of a completion that is read: up to its first stop string, without its thought."""
        return self.after_thought(self.strip_stop(text))

    def after_thought(self, text: str) -> str:
        """What follows the thought in `text`; empty where the thought has not ended."""
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


def skill_lines(skills: Sequence[Skill]) -> str:
    """One line for each skill."""
    return "\n".join(f"- {skill.name}: {skill.body}" for skill in skills)


def _skill_block(skills: Sequence[Skill], behind: str) -> str:
    """The skills as a prompt shows them; empty where there are none."""
    return f"Skills:\n{skill_lines(skills)}{behind}" if skills else ""


def few_shot_style(domain: Domain, feedback: bool = False, eos: str = "") -> PromptStyle:
    """Plain text with the domain's examples. A completion ends where the domain says, and with `eos`, which the
    tokenizer calls the end of sequence."""
    prompted = ability(domain, Prompted)
    stop = tuple(prompted.stops)
    return PromptStyle(prompted, stop=stop, feedback=feedback, end_of_turn="" if stop else eos)
