"""Which tokens may be drawn: top_k, top_p and min_p, in this order, on the distribution at the role's temperature.

It is the order of transformers. vLLM applies min_p before top_k and top_p, so with min_p and top_p both set its
nucleus, of what min_p has left, may be smaller than this one; any one of them alone, and top_k with either, leaves the
same tokens there.

Each of the three comes to a least probability, so tokens that are equally likely are left or taken out together.
"""

import torch
from torch import Tensor

from roles.requests import SamplingParams

FIRST_SORTED = 256  # tokens of a context that are looked at for a nucleus before more are


def drawable(probabilities: Tensor, params: SamplingParams) -> Tensor:
    """[M, V] bool: the tokens that `params` leaves of probabilities [M, V] fp32, which are at `params.temperature`. One
    or more in each row, none of probability 0."""
    least = torch.zeros_like(probabilities[:, :1])
    if 0 < params.top_k < probabilities.shape[1]:
        least = probabilities.topk(params.top_k).values[:, -1:]
    if params.top_p < 1:
        least = _least_of_nucleus(probabilities.where(probabilities >= least, 0.0), params.top_p)
    if params.min_p > 0:
        least = torch.maximum(least, params.min_p * probabilities.amax(-1, keepdim=True))
    return (probabilities >= least) & (probabilities > 0)


def _least_of_nucleus(probabilities: Tensor, top_p: float, count: int = FIRST_SORTED) -> Tensor:
    """[M, 1] the smallest of the fewest probabilities that come to `top_p` of a row's sum, likeliest first.

    Sums are float64: in fp32 a long tail would add nothing. The `count` likeliest are looked at first, and more only of
    the rows whose nucleus is larger: sorting all of a large vocabulary takes thirty times as long.
    """
    size = probabilities.shape[1]
    wanted = top_p * probabilities.sum(-1, keepdim=True, dtype=torch.float64)
    highest = probabilities.topk(min(count, size)).values
    is_needed = highest.cumsum(-1, dtype=torch.float64) - highest < wanted
    least = highest.where(is_needed, torch.inf).amin(-1, keepdim=True)
    if count < size and (is_larger := is_needed[:, -1]).any():
        least[is_larger] = _least_of_nucleus(probabilities[is_larger], top_p, 16 * count)
    return least
