"""The challenger: asked to make a parent problem harder, some number of times."""

from collections.abc import Generator
from dataclasses import dataclass

from roles.prompts import PromptStyle
from roles.requests import Sample, Sampled, SamplingParams
from store.records import Problem

LABEL = "challenger"


@dataclass(frozen=True, slots=True)
class ProposedGroup:
    """Proposals made from one parent: a group with a baseline of its own."""

    group: int  # its index in the step
    parent: Problem
    proposals: tuple[Sampled, ...]


def propose(
    parent: Problem, group: int, style: PromptStyle, n: int, params: SamplingParams, step: int
) -> Generator[Sample, list[Sampled], ProposedGroup]:
    """Yields one request for `n` escalations of `parent`; `group` is the index in the step of what they make."""
    key = (LABEL, step, group, parent.problem_id)
    said = yield Sample(None, style.challenger(parent), n, params, key, LABEL)
    return ProposedGroup(group, parent, tuple(said))
