"""What an experiment may ask of a cell whose run is done, and the names of what is found.

How it is found: selfplay/lab/finishing.py.
"""

from dataclasses import dataclass

PERPLEXITIES = ("perplexity", "perplexity_at_start")  # of the end's samples, a token, by the end and by the start
OVERLAPS = ("overlap", "overlap_by_chance")  # of what bf16 shows as changed, with another seed's run of the arm
AUDIT_FIGURES = (
    "changed_bf16", "changed_fp32", "changed_relative", "rank_fp32", "rank_bf16", "rank99_fp32", "moved", *OVERLAPS,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Afterwards:
    """`samples`: first tries at each held-out problem at temperature 1, by a run's start and by its end; 0: none.
    `audits`: whether its weights are compared with those that it began with."""

    samples: int = 0
    audits: bool = False


NOTHING = Afterwards()
