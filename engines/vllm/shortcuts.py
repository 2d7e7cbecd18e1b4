"""Where vLLM takes a long way on a CPU, and this worker, whose requests are all alike, can take a shorter one."""

from typing import Any


def leave_out_what_cannot_be_drawn() -> None:
    """Where all tokens are asked for, vLLM sends the whole vocabulary for each token, most of it at -inf. Here only as
    many are sent as the largest set of the batch has."""
    from vllm.v1.sample.sampler import Sampler

    whole = Sampler.gather_logprobs

    def gathered(logprobs: Any, num_logprobs: int, token_ids: Any) -> Any:
        if num_logprobs == logprobs.shape[-1]:
            num_logprobs = int(logprobs.isfinite().sum(-1).max())
        return whole(logprobs, num_logprobs, token_ids)

    Sampler.gather_logprobs = staticmethod(gathered)


def multiply_adapters_once() -> None:
    """On a CPU vLLM copies A and B for each token, since each could have others: that takes eight times as long as the
    layer's own product. Here all tokens have the same, in slot 0, so two products do."""
    from torch.nn.functional import linear
    from vllm.lora.punica_wrapper.punica_cpu import PunicaWrapperCPU

    def add_lora_linear(
        self: Any, y: Any, x: Any, a: tuple[Any, ...], b: tuple[Any, ...], scale: float, widths: tuple[int, ...],
        **more: Any,
    ) -> None:  # fmt: skip
        """y [M, sum of N] += scale x A^T B^T, of x [M, K] and, for each N, A [1, 1, r, K] and B [1, 1, N, r]."""
        if self.no_lora:
            return
        x, y, start = x.view(-1, x.shape[-1]), y.view(-1, y.shape[-1]), 0
        for each_a, each_b, width in zip(a, b, widths, strict=True):
            y[:, start : start + width] += linear(linear(x, each_a[0, 0]) * scale, each_b[0, 0])
            start += width

    PunicaWrapperCPU.add_lora_linear = add_lora_linear
