"""The choices that an update has, as types. They stand apart from the code that acts on them: this loads no torch."""

from typing import Literal

Anchor = Literal["policy", "sampler"]  # what a ratio is taken against (loss.py)
PassMode = Literal["auto", "tree", "flat"]  # how a pack runs (passes.py)
Surrogate = Literal["ppo", "cispo", "gspo"]  # what a ratio and its clip make of an advantage (loss.py)
ImportanceMode = Literal[  # what corrects for the sampler's distribution (importance.py)
    "none", "token_truncate", "token_mask", "sequence_truncate", "sequence_mask"
]
