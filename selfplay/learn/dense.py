"""What a search teaches: dense advantages for the steps of answers, or its best answer to be copied."""

from collections.abc import Collection

from roles.search.credit import CreditSettings, step_advantages
from roles.search.growth import LABEL, Searched
from selfplay.learn.batch import TrainSample
from store.records import Outcome


def credited(found: Searched, credit: CreditSettings, is_banked: bool, kl_labels: Collection[str]) -> list[TrainSample]:
    """Each step of the answers with its own advantage, once for each time that it was sampled.

    VinePPO's rollouts only measure: with `monte_carlo` the steps of the attempts alone are trained.
    """
    advantages = step_advantages(found.tree, credit)
    is_kept = any(advantages.values()) and not is_banked
    if not is_kept and LABEL not in kl_labels:
        return []
    samples = []
    for index, advantage in advantages.items():
        node = found.tree.nodes[index]
        assert node.piece is not None
        sample = TrainSample(
            LABEL, node.piece.last_token, node.piece.num_tokens, advantage if is_kept else 0.0, is_kept
        )
        samples += [sample] * (node.given if credit.rule == "monte_carlo" else node.said)
    return samples


def best_path(found: Searched) -> list[TrainSample]:
    """The best right answer, to be copied whole; nothing where the search found none (AlphaLLM, arXiv 2404.12253)."""
    if found.best is None or found.tree.nodes[found.best].outcome is not Outcome.CORRECT:
        return []
    node = found.tree.nodes[found.best]
    assert node.piece is not None
    return [TrainSample(LABEL, node.piece.last_token, node.tokens_above, 1.0)]
