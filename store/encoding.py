"""How values become columns and back: a model's text, metrics, token ids, log-probabilities. Pure.

Left out: compression. Ids and log-probabilities are dropped when their step is committed.
"""

import json
import math
from collections.abc import Mapping, Sequence

import numpy as np

from store.errors import StoreError

MAX_TEXT_CHARS = 20_000
_CUT_MARK = " [cut]"


def is_storable(text: str) -> bool:
    """Whether a database, a YAML file and a file system all take it as it is: without NUL and lone surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in text


def clean_text(text: str) -> str:
    """`text` as the database keeps it: lone surrogates and NUL escaped, at most MAX_TEXT_CHARS characters.

    Cleaning a second time changes nothing, so text that was stored once is equal to what is read back.
    """
    head = text[: MAX_TEXT_CHARS + 1]  # cut before escaping: a hostile completion may be huge
    head = head.encode("utf-8", "backslashreplace").decode("utf-8").replace("\x00", "\\x00")
    if len(head) <= MAX_TEXT_CHARS:
        return head
    return head[: MAX_TEXT_CHARS - len(_CUT_MARK)] + _CUT_MARK


def finite(value: float, what: str) -> float:
    """`value` as a float. StoreError for NaN, which SQLite would store as NULL, and for infinities."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise StoreError(f"{what} is {value!r}, which is not a number the store can keep") from error
    if not math.isfinite(number):
        raise StoreError(f"{what} is {number}: only finite numbers are stored; find what made it, or leave it out")
    return number


def encode_metrics(metrics: Mapping[str, float]) -> str:
    """Metrics as JSON with sorted keys. StoreError names the key that is not finite."""
    numbers = {key: finite(value, f"metric {key!r}") for key, value in metrics.items()}
    return json.dumps(numbers, sort_keys=True, allow_nan=False)


def decode_metrics(text: str) -> dict[str, float]:
    """The inverse of encode_metrics: every number comes back exactly, as a float."""
    return {key: float(value) for key, value in json.loads(text).items()}


def encode_parts(parts: Mapping[str, float], what: str) -> str | None:
    """Parts of a reward as JSON, in their order; None where there are none. StoreError for one that is not finite."""
    numbers = {name: finite(share, f"{name} of {what}") for name, share in parts.items()}
    return json.dumps(numbers, allow_nan=False) if numbers else None


def decode_parts(text: str | None) -> dict[str, float]:
    """The inverse of encode_parts."""
    return {} if text is None else decode_metrics(text)


def encode_ids(ids: Sequence[str]) -> str:
    """Ids of rows as JSON, in their order."""
    return json.dumps(list(ids))


def decode_ids(text: str) -> tuple[str, ...]:
    """The inverse of encode_ids."""
    return tuple(map(str, json.loads(text)))


def pack_ids(ids: Sequence[int]) -> bytes:
    """Token ids (0 to 2**31 - 1) as little-endian int32. StoreError for an id out of range."""
    wide = np.asarray(ids, dtype=np.int64).reshape(-1)
    if wide.size and (wide.min() < 0 or wide.max() >= 2**31):
        raise StoreError(f"a token id is out of range: {int(wide.min())} to {int(wide.max())}")
    return wide.astype("<i4").tobytes()


def unpack_ids(blob: bytes) -> tuple[int, ...]:
    """The inverse of pack_ids."""
    return tuple(np.frombuffer(blob, dtype="<i4").tolist())


def pack_logprobs(logprobs: Sequence[float]) -> bytes:
    """Log-probabilities (nats) as little-endian float64, so that they come back exactly. StoreError if not finite."""
    wide = np.asarray(logprobs, dtype="<f8").reshape(-1)
    if not np.isfinite(wide).all():
        raise StoreError("a sampled token has a log-probability that is not finite: the model's logits are broken")
    return wide.tobytes()


def unpack_logprobs(blob: bytes) -> tuple[float, ...]:
    """The inverse of pack_logprobs."""
    return tuple(np.frombuffer(blob, dtype="<f8").tolist())
