"""The challenger: asked to make a parent problem harder, some number of times."""

from collections.abc import Generator
from dataclasses import dataclass

from roles.prompts import PromptStyle
from roles.requests import Sample, Sampled, SamplingParams
from store.records import Problem

LABEL = "challenger"


@dataclass(frozen=True, slots=True)
class ProposedGroup:
    """Proposals of one target: a group with a baseline of its own."""

    target: int
    parent: Problem
    proposals: tuple[Sampled, ...]


def propose(
    parent: Problem, target: int, style: PromptStyle, n: int, params: SamplingParams, step: int
) -> Generator[Sample, list[Sampled], ProposedGroup]:
    """Yields one request for `n` escalations of `parent`; `target` is its index in the step."""
    key = (LABEL, step, target, parent.problem_id)
    said = yield Sample(None, style.challenger(parent), n, params, key, LABEL)
    return ProposedGroup(target, parent, tuple(said))
