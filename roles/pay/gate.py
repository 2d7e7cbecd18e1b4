"""How strict a proposal is looked at before it is paid: the challenger's gate.

    gate       paid by its pass rate                                   paid `invalid_reward`
    strict     accepted, its answer verified, its pass rate in a band  everything else that was measured or rejected
    standard   accepted                                                every rejection
    loose      accepted; and any valid text, known or held out too     what is no problem of the domain
    none       accepted; and whatever parses                           what does not parse, or was cut

What is not measured in the step is paid by the rate that the curriculum foretells. A proposal that is valid and new but
found no place stays unpaid, by every gate. Only pay differs: which problems are attempted and trained on is decided
alike, for a text without an answer can be judged by nobody. An arm of experiments, after "Survive or Collapse" (arXiv
2605.22217), which has a gate on the training data: there a strict one was enough under every reward, and no reward was
enough without it.
"""

from dataclasses import dataclass
from typing import Literal

from store.records import Fate

GateRule = Literal["strict", "standard", "loose", "none"]

_KNOWN = (Fate.DUPLICATE, Fate.TRIVIAL_EDIT, Fate.HELD_OUT)  # valid texts that are not new
_NO_PROBLEM = (Fate.INVALID, Fate.TOO_LARGE)  # what parses and is no problem
_PAID_UNMEASURED = {"strict": (), "standard": (), "loose": _KNOWN, "none": (*_KNOWN, *_NO_PROBLEM)}


@dataclass(frozen=True, slots=True)
class Gate:
    """`band_low` and `band_high`: pass rates that count as solvable, ends included, where the gate is strict."""

    rule: GateRule = "standard"
    band_low: float = 0.1
    band_high: float = 0.9

    @property
    def wants_new(self) -> bool:
        """Whether a proposal that says what another one of the step says is worth nothing."""
        return self.rule in ("strict", "standard")

    def pays_unmeasured(self, fate: Fate) -> bool:
        """Whether a proposal with this fate, which nobody has attempted, is paid as if it had been."""
        return fate in _PAID_UNMEASURED[self.rule]

    def passes(self, pass_rate: float, is_verified: bool) -> bool:
        """Whether an accepted proposal is paid by its measured pass rate. `is_verified`: that nothing contradicts the
        answer that it came with."""
        return self.rule != "strict" or (is_verified and self.band_low <= pass_rate <= self.band_high)
