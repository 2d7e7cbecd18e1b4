"""Early experience in the loop: in which steps the model explores, and what it asks for."""

from collections.abc import Sequence
from dataclasses import dataclass

from roles.experience import Experienced, ExperienceSettings, Exploring, explore
from roles.prompts import PromptStyle
from roles.requests import NodeId
from roles.tree import Tree
from selfplay.prompting.codec import Encode
from store.records import Problem


@dataclass(frozen=True, slots=True)
class Explorer:
    """`last_step`: of the stage before RL, behind which nothing is explored; 0: every step explores, beside RL."""

    style: PromptStyle
    settings: ExperienceSettings
    encode: Encode
    limit: int | None = None  # tokens of a context, beyond which the model cannot go
    last_step: int = 0

    def is_active(self, step: int) -> bool:
        """Whether this step explores."""
        return self.last_step == 0 or step <= self.last_step

    def roles(self, problems: Sequence[Problem], tree: Tree, step: int) -> list[Exploring]:
        """One for each problem, to be driven by a rollout."""

        def fits(parent: NodeId | None, prompt: str, more: int) -> bool:
            if self.limit is None:
                return True
            above, after = (0, None) if parent is None else (tree.depths[parent] + 1, tree.tokens[parent])
            return above + len(self.encode(prompt, after)) + more <= self.limit

        return [explore(each, self.style, self.settings, tree, step, fits) for each in problems]


def flattened(found: Sequence[Sequence[Experienced]]) -> tuple[Experienced, ...]:
    """Of all problems, in order."""
    return tuple(each for states in found for each in states)
