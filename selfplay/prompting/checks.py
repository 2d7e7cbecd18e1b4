"""A check at start, before a run has a folder: that a tokenizer can end an answer."""

from collections.abc import Sequence

from curriculum.domains.seed_files import DomainError
from roles.prompts import PromptStyle
from selfplay.machine.errors import ModelError
from selfplay.prompting.codec import Encoder, ends, stop_tokens, text_of
from store.records import Problem


def check_stops(style: PromptStyle, encode: Encoder, problems: Sequence[Problem], name: str) -> None:
    """Raises ModelError where the tokenizer cannot spell the end of an answer, or where it would not be found, and
    DomainError where it would be found inside an answer. `problems`: at least one."""
    if not style.stop and encode.tokenizer.eos_token_id is None:
        raise ModelError(
            f"model.name={name}: its tokenizer has no end of sequence, and {style.domain.name} names no stop: give it "
            "one, or choose another model"
        )
    for each in problems if style.render is None else ():
        written = style.domain.written(each.answer)
        if inside := [stop for stop in style.stop if stop in written]:
            raise DomainError(
                f"{style.domain.name}: {inside[0]!r} ends a completion, and an answer has it: {each.answer[:80]!r}. "
                "Give the domain another stop (domain_options.stop of a dataset, `stops` of a class)"
            )
    problem = problems[0]
    *_, before = encode(style.solver(problem), None)
    for stop in style.stop:
        ids = encode(f" {problem.answer}{stop}", before)
        found = [at for at in range(1, len(ids) + 1) if ends(encode.tokenizer, ids[:at], style.stop)]
        if found[:1] != [len(ids)]:
            shown = text_of(encode.tokenizer, ids, stop_tokens(encode.tokenizer, style.stop))
            raise ModelError(
                f"model.name={name}: its tokenizer cannot end an answer: {stop!r} behind {problem.answer!r} is read as "
                f"{shown!r}; "
                + ("use prompts.style=chat or choose another model" if style.render is None else "choose another model")
            )
