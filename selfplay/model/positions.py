"""How many positions a model has, and whether they are learned."""

from typing import Any

from torch import nn

_NEAR = 8  # rows that a table of positions may have beyond the positions: OPT's has two


def positions(model: Any) -> int | None:
    """How many a model was made for, as its configuration has it."""
    count: int | None = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    return count


def learned_positions(model: Any) -> int | None:
    """How many positions a model has whose positions are rows of a table; None where they are computed."""
    limit = positions(model)
    if limit is None:
        return None
    tokens = model.get_input_embeddings()
    tables = [m.weight for m in model.modules() if isinstance(m, nn.Embedding) and m is not tokens]
    tables += [buffer for buffer in model.buffers() if buffer.dim() == 2]  # sinusoids that were made beforehand
    return limit if any(limit <= table.shape[0] <= limit + _NEAR for table in tables) else None
