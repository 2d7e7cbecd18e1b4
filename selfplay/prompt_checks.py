"""Checks at start, before a run has a folder, that a model can be asked what it will be asked: that its tokenizer can
end an answer, and that conversations fit into its positions."""

from collections.abc import Callable, Iterable
from typing import Any

from torch import nn

from roles.prompts import PromptStyle
from roles.solver import SolverSettings
from selfplay.codec import Encoder, ends, said, stop_tokens
from selfplay.exits import ModelError
from store.records import Completion, Finish, Problem

_NEAR = 8  # rows that a table of positions may have beyond the positions: OPT's has two


def check_stops(style: PromptStyle, encode: Encoder, problem: Problem, name: str) -> None:
    """Raises ModelError where an answer's end cannot be said, or would not be found."""
    *_, before = encode(style.solver(problem), None)
    for stop in style.stop:
        ids = encode(f" {problem.answer}{stop}", before)
        found = [at for at in range(1, len(ids) + 1) if ends(encode.tokenizer, ids[:at], style.stop)]
        if found[:1] != [len(ids)]:
            shown = said(encode.tokenizer, ids, stop_tokens(encode.tokenizer, style.stop))
            raise ModelError(
                f"model.name={name}: its tokenizer cannot end an answer: {stop!r} behind {problem.answer!r} is read as "
                f"{shown!r}; "
                + ("use prompts.style=chat or choose another model" if style.render is None else "choose another model")
            )


def check_room(
    model: Any, style: PromptStyle, encode: Encoder, problems: Iterable[Problem], solver: SolverSettings,
    proposal_tokens: int, border: int | None, name: str, say: Callable[[str], None],
) -> None:  # fmt: skip
    """Raises ModelError where the longest conversation about known problems needs more positions than the model has.

    Where positions are computed (rotary ones), the model goes on beyond those that it was trained at: this is said. A
    `border` (`longest_context` in selfplay/probe.py) is refused with room for a problem that is yet to be invented.
    """
    limit = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    if limit is None and border is None:
        return
    longest = max(problems, key=lambda problem: len(problem.text), default=None)
    if longest is None:
        return
    needed = max(
        _conversation(style, encode, longest, solver),
        len(encode(style.challenger(longest), None)) + proposal_tokens,
    )
    advice = "lower solver.max_tokens, solver.turns or challenger.max_tokens, or choose another model.name"
    if border is not None and needed + proposal_tokens > border:
        raise ModelError(
            f"model.name={name}: its rotary scaling turns every position of a context otherwise once it is longer than "
            f"{border} tokens, and a conversation takes up to {needed + proposal_tokens}: {advice}"
        )
    if limit is None or needed <= limit:
        return
    if has_learned_positions(model, limit):
        raise ModelError(
            f"model.name={name}: it has {limit} positions, and a conversation takes up to {needed}: {advice}"
        )
    say(f"{name} was made for {limit} positions, and a conversation may take {needed}: {advice}")


def _conversation(style: PromptStyle, encode: Encoder, problem: Problem, solver: SolverSettings) -> int:
    """Tokens of all turns about `problem` if each is as long as it may be."""
    first = encode(style.solver(problem), None)
    cut = Completion((), (), "", Finish.LENGTH, 0, 0)
    look = len(encode(style.recheck(problem, cut), first[-1])) + solver.params.max_tokens
    total = len(first) + solver.params.max_tokens + (solver.turns - 1) * look
    if solver.report != "none" and solver.report_params is not None:
        total += len(encode(style.report(solver.report, cut), first[-1])) + solver.report_params.max_tokens
    return total


def has_learned_positions(model: Any, limit: int) -> bool:
    """Whether positions are rows of a table, beyond whose end there is nothing."""
    tokens = model.get_input_embeddings()
    tables = [m.weight for m in model.modules() if isinstance(m, nn.Embedding) and m is not tokens]
    tables += [buffer for buffer in model.buffers() if buffer.dim() == 2]  # sinusoids that were made beforehand
    return any(limit <= table.shape[0] <= limit + _NEAR for table in tables)
