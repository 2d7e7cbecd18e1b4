"""The ways of attention that a configuration can name. Without torch, so that keys can be read without it."""

from typing import Literal

AttentionChoice = Literal["auto", "padded", "varlen", "flex"]
