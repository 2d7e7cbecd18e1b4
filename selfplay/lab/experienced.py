"""Chains of which some sizes are posed and others measured alone, for the experiment on early experience."""

from collections.abc import Sequence

from curriculum.domains.chains import ChainsDomain
from curriculum.domains.seed_files import DomainError


class DrawnChains(ChainsDomain):
    """`drawn`: the sizes that are posed; others are measured alone, and none is a state on the way of what is posed
    where all that is measured is at least as long. DomainError for impossible options."""

    def __init__(
        self, min_steps: int = 2, max_steps: int = 4, modulus: int = 17, max_operand: int = 4,
        drawn: Sequence[int] = (3,),
    ) -> None:  # fmt: skip
        super().__init__(min_steps, max_steps, modulus, max_operand)
        if not drawn or not all(isinstance(size, int) and size in self.sizes for size in drawn):
            raise DomainError(f"domain_options: drawn are sizes from {min_steps} to {max_steps}, at least one")
        self.levels = list(drawn)
