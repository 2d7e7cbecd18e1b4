"""The challenger: it is asked to make a parent problem harder, several times over."""

from collections.abc import Generator
from dataclasses import dataclass

from roles.prompts import PromptStyle
from roles.requests import Sample, Sampled, SamplingParams
from store.records import Problem

LABEL = "challenger"


@dataclass(frozen=True, slots=True)
class ProposedGroup:
    """The proposals made of one parent: a group with a baseline of its own."""

    group: int  # the group's index in the step
    parent: Problem
    proposals: tuple[Sampled, ...]


def propose(
    parent: Problem, group: int, style: PromptStyle, n: int, params: SamplingParams, step: int
) -> Generator[Sample, list[Sampled], ProposedGroup]:
    """Yields one request for `n` problems harder than `parent`. `group` is the index of the group in the step."""
    key = (LABEL, step, group, parent.problem_id)
    said = yield Sample(None, style.challenger(parent), n, params, key, LABEL)
    return ProposedGroup(group, parent, tuple(said))
