"""Room for conversations in a model's positions: checked of known problems at start, and of each that is invented."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from heapq import nlargest

from roles.judging.by_model import ModelJudgeSettings, judge_prompt
from roles.prompts import PromptStyle
from roles.requests import SamplingParams
from roles.skills.reading import newest_first
from roles.solver import SolverSettings
from selfplay.machine.errors import ModelError
from selfplay.prompting.codec import Encoder
from store.records import Completion, Finish, Problem, Side, Skill

_MEASURED = 16  # problems of the longest texts: characters are not tokens
_ADVICE = "lower solver.max_tokens, solver.turns or challenger.max_tokens, or choose another model.name"


@dataclass(frozen=True, slots=True)
class Room:
    """Every context about a problem, with completions as long as they may be, must fit into `limit` tokens (None: all
    fit).

    `proposal`: how proposals are sampled; None where nobody proposes. `judge`: how the model is asked for verdicts as
    well; None where it is not. `is_told`: the domain's answers are trained in the place of later turns
    (`train.imitation=truth`), and they may be longer than what is sampled there.
    """

    style: PromptStyle
    encode: Encoder
    solver: SolverSettings
    proposal: SamplingParams | None
    judge: ModelJudgeSettings | None = None
    is_told: bool = False
    limit: int | None = None

    def fits(self, problem: Problem, help: str = "") -> bool:
        """Whether the problem, with `help` in its prompt, can be attempted, judged and made harder. A longer answer is
        judged as far as it goes: a question to the judge that does not fit is not put (`Rollout` in
        selfplay/engine/rollout.py)."""
        return self.limit is None or self.needed(problem, help) <= self.limit

    def fitting(
        self, side: Side, skills: Sequence[Skill], problems: Sequence[Problem], help: Mapping[str, str] | None = None
    ) -> tuple[Skill, ...]:
        """The side's skills, without as many of the oldest as leave no room for a conversation about one of `problems`,
        with the `help` (problem_id -> text) in its prompt."""
        helped = help or {}
        kept = list(skills)
        while kept and self.limit is not None:
            style = self.style.showing(side, kept)
            if all(self._of_side(side, each, style, helped) <= self.limit for each in problems):
                break
            kept.remove(newest_first(kept)[-1])
        return tuple(kept)

    def _of_side(self, side: Side, problem: Problem, style: PromptStyle, helped: Mapping[str, str]) -> int:
        if side is Side.CHALLENGER:
            return self._proposal(problem, style)
        return self._conversation(problem, style, helped.get(problem.problem_id, ""))

    def needed(self, problem: Problem, help: str = "") -> int:
        """Tokens of the longest context about `problem`."""
        contexts = [self._conversation(problem, self.style, help)]
        if self.proposal is not None:
            contexts.append(self._proposal(problem, self.style))
        if self.judge is not None:
            asked = judge_prompt(problem, problem.answer, self.style, self.judge)
            contexts.append(len(self.encode(asked, None)))
        return max(contexts)

    def _proposal(self, problem: Problem, style: PromptStyle) -> int:
        """Tokens of what is said to have `problem` made harder."""
        most = 0 if self.proposal is None else self.proposal.max_tokens
        return len(self.encode(style.challenger(problem), None)) + most

    def _conversation(self, problem: Problem, style: PromptStyle, help: str = "") -> int:
        """Tokens of all turns and the report, or of all turns with the domain's answer in the place of the last."""
        encode, solver = self.encode, self.solver
        first = encode(style.solver(problem, help), None)
        last = first[-1]
        looks = [len(encode(style.recheck(problem, cut), last)) for cut in (_cut(""), _cut(f" {problem.answer}"))]
        most = solver.params.max_tokens
        total = len(first) + most + (solver.turns - 1) * (max(looks) + most)
        told = len(encode(style.completion(problem.answer), last)) if self.is_told and solver.turns > 1 else 0
        report = 0
        if solver.report != "none" and solver.report_params is not None:
            report = len(encode(style.report(solver.report, _cut("")), last)) + solver.report_params.max_tokens
        return max(total + report, total - most + told)


def check_room(
    room: Room,
    problems: Iterable[Problem],
    limit: int | None,
    is_table: bool,
    border: int | None,
    sampled: int | None,
    name: str,
    say: Callable[[str], None],
) -> int | None:
    """The most tokens that a context may have, None where nothing bounds it. Raises ModelError where the longest
    conversation about known problems has more.

    `limit`: positions that the model was made for, None where it says nothing. Where these are computed (rotary ones),
    it goes on beyond them as far as known problems need: this is said. What is invented later goes no further, or one
    problem of a domain's could take all memory. It does not go beyond the rows of a table (`is_table`), nor beyond a
    `border` (`longest_context` in selfplay/model/probe.py), nor beyond what the sampler takes (`sampled`).
    """
    if limit is None and border is None and sampled is None:
        return None
    longest = nlargest(_MEASURED, problems, key=lambda problem: len(problem.text))
    needed = max((room.needed(problem) for problem in longest), default=0)
    if border is not None and needed > border:
        raise ModelError(
            f"model.name={name}: its rotary scaling turns every position of a context otherwise once it is longer than "
            f"{border} tokens, and a conversation takes up to {needed}: {_ADVICE}"
        )
    if sampled is not None and needed > sampled:
        raise ModelError(
            f"model.name={name}: the sampler takes contexts of up to {sampled} tokens (engine.context, or the model's "
            f"positions), and a conversation takes up to {needed}: raise engine.context, {_ADVICE}"
        )
    if limit is not None and needed > limit:
        if is_table:
            raise ModelError(
                f"model.name={name}: it has {limit} positions, and a conversation takes up to {needed}: {_ADVICE}"
            )
        say(f"{name} was made for {limit} positions, and a conversation may take {needed}: {_ADVICE}")
        limit = needed
    return min((bound for bound in (limit, border, sampled) if bound is not None), default=None)


def _cut(text: str) -> Completion:
    """A completion that did not end itself."""
    return Completion((), (), text, Finish.LENGTH, 0, 0)
