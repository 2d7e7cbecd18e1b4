"""The tiny policy that tests update, always the same, and the gradient that its first update saw."""

import torch
from torch import Tensor

from selfplay.model.policy import Policy
from selfplay.model.weights.loading import load_model
from selfplay.train.trainer import Trainer, TrainerSettings


def tiny_policy(name: str = "tiny-llama") -> Policy:
    """Fresh, in float32."""
    loaded = load_model(name, "float32")
    return Policy(loaded.model, loaded.tokenizer, torch.device("cpu"))


def gradient(trainer: Trainer, beta: float = TrainerSettings().betas[0]) -> Tensor:
    """The clipped gradient of a trainer's one update, by parameter name: Adam's first moment is 1 - beta of it."""
    state = trainer.state()
    moments = [state[name].flatten().double() for name in sorted(state) if name.startswith("adam/exp_avg/")]
    return torch.cat(moments) / (1 - beta)
