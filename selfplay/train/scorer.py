"""Answers a role's `Score`: what the policy's next-token probabilities and the critic heads say of a context.

A sampler on another machine cannot give hidden states, so scores are made beside the trainer, whose weights they are
of. In one process the sampler's own keys and values are read, and a context costs one token.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from roles.requests import Scored
from roles.tree import Tree
from selfplay.engine.local import LocalSampler
from selfplay.engine.protocol import Question, TokenCount
from selfplay.model.head import ROWS_OF_LOGITS
from selfplay.model.policy import Policy
from selfplay.train.critic import Critic


@dataclass(frozen=True, slots=True)
class Scorer:
    """`critic` None: there are no heads, only next-token probabilities."""

    policy: Policy
    sampler: LocalSampler
    critic: Critic | None = None

    @torch.no_grad()
    def __call__(self, tree: Tree, questions: Sequence[Question], count: TokenCount) -> list[Scored]:
        """One answer for each question, in order. What ran is added to `count`."""
        nodes = sorted({question.node for question in questions})
        where = {node: row for row, node in enumerate(nodes)}
        hidden = self.sampler.hidden(tree, nodes, count)
        heads = None if self.critic is None else self.critic.predict(hidden).tolist()
        asked = {where[q.node]: q.choices for q in questions if q.choices}
        compared = sorted({choice for choices in asked.values() for choice in choices})
        next_tokens = dict(zip(sorted(asked), self._next_tokens(hidden, sorted(asked), compared), strict=True))
        found = []
        for question in questions:
            row = where[question.node]
            choices = tuple(next_tokens[row][compared.index(choice)] for choice in question.choices)
            value, process = (None, None) if heads is None else heads[row]
            found.append(Scored(choices, value, process))
        return found

    def _next_tokens(self, hidden: torch.Tensor, rows: Sequence[int], compared: Sequence[int]) -> list[list[float]]:
        """[len(rows)][len(compared)] probabilities at temperature 1."""
        found: list[list[float]] = []
        for start in range(0, len(rows), ROWS_OF_LOGITS):
            logits = self.policy.head.logits(hidden[list(rows[start : start + ROWS_OF_LOGITS])])
            found += logits.softmax(-1)[:, list(compared)].tolist()
        return found
