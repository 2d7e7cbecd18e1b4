"""How much of what was said is open, and how much of it is different."""

from collections.abc import Sequence

from store.records import Completion


def token_entropy(completions: Sequence[Completion]) -> float | None:
    """Mean -log p of the sampled tokens, in nats: an estimate of the entropy of the distributions that they were drawn
    from. None without tokens."""
    logprobs = [logprob for each in completions for logprob in each.logprobs]
    return -sum(logprobs) / len(logprobs) if logprobs else None


def distinct_share(texts: Sequence[str]) -> float | None:
    """How many different texts there are for each text, whatever blanks are in them; None without any."""
    return len({" ".join(text.split()) for text in texts}) / len(texts) if texts else None
