"""Between text and token ids, as a model's tokenizer has it. The only way from a prompt to ids, and from ids to text.

A context begins with what the tokenizer puts in front of a text (Gemma's and Llama's `<bos>`), once: a chat template
may have brought it. What continues a context is read as it would be read there: SentencePiece tokenizers put a space
in front of a text that stands alone.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from typing import Any

from selfplay.machine.errors import ModelError

Encode = Callable[[str, int | None], Sequence[int]]  # a prompt, and the token before it (None: it begins) -> ids
UNKNOWN = "\N{REPLACEMENT CHARACTER}"  # what an id is shown as that the tokenizer has no text for


@dataclass(frozen=True, slots=True)
class Encoder:
    """Prompt text to ids for a model whose embedding has `rows` rows."""

    tokenizer: Any
    rows: int

    def __call__(self, text: str, after: int | None) -> list[int]:
        """Ids of a prompt that begins a context (`after` None), or of text that follows the token `after`.

        Raises ModelError for a text that the model has no embedding for.
        """
        ids = beginning(self.tokenizer, text) if after is None else following(self.tokenizer, text, after)
        if ids and max(ids) >= self.rows:
            raise ModelError(
                f"the tokenizer reads {self.tokenizer.decode([max(ids)])!r} of a prompt as token {max(ids)}, and the "
                f"model has {self.rows} of them: the tokenizer is another model's, or the prompt spells a token that "
                "only other models of its family have; choose another model.name"
            )
        return ids


@cache
def leading(tokenizer: Any) -> tuple[int, ...]:
    """The tokens that the tokenizer puts in front of a text by itself; what it puts behind one is none of them."""
    plain, whole = _plain(tokenizer, "a"), list(tokenizer.encode("a", add_special_tokens=True))
    for start in range(len(whole) - len(plain) + 1):
        if whole[start : start + len(plain)] == plain:
            return tuple(whole[:start])
    raise ModelError(
        "the tokenizer reads a text in another way where it adds special tokens, which is not supported: choose "
        "another model.name"
    )


def beginning(tokenizer: Any, prompt: str) -> list[int]:
    """Ids of a prompt with nothing in front of it."""
    first, ids = leading(tokenizer), _plain(tokenizer, prompt)
    return ids if tuple(ids[: len(first)]) == first else [*first, *ids]


def following(tokenizer: Any, text: str, after: int) -> list[int]:
    """Ids of `text` where it stands behind the token `after`."""
    if not text or _reads_alike_anywhere(tokenizer):
        return _plain(tokenizer, text)
    for before in (_inner_text(tokenizer, after), "\n", "=", "a"):
        head, whole = _plain(tokenizer, before), _plain(tokenizer, before + text)
        if head and whole[: len(head)] == head and (head[-1] == after or before != _inner_text(tokenizer, after)):
            return whole[len(head) :]
    return _plain(tokenizer, text)


@cache
def _reads_alike_anywhere(tokenizer: Any) -> bool:
    """Whether a text is read alike where it stands alone and behind another one."""
    return _plain(tokenizer, "a\nb") == _plain(tokenizer, "a\n") + _plain(tokenizer, "b")


def _plain(tokenizer: Any, text: str) -> list[int]:
    return list(tokenizer.encode(text, add_special_tokens=False))


@cache
def _inner_text(tokenizer: Any, token: int) -> str:
    """A token's text inside a text: decoded alone, one that begins with a space may lose it."""
    return str(tokenizer.decode([token, token])).removeprefix(tokenizer.decode([token]))


def text_of(tokenizer: Any, ids: Sequence[int], stops: Collection[int]) -> str:
    """A completion's text, with its special tokens, since whoever judges it must see them. Only a special token of
    `stops` at its end is left out."""
    if ids and ids[-1] in stops and not tokenizer.decode([ids[-1]], skip_special_tokens=True):
        ids = ids[:-1]
    known = _known(tokenizer)
    if known is None or known.issuperset(ids):
        return str(tokenizer.decode(list(ids)))
    runs = groupby(ids, known.__contains__)
    return "".join(str(tokenizer.decode(list(run))) if is_known else UNKNOWN * len(list(run)) for is_known, run in runs)


@cache
def _known(tokenizer: Any) -> frozenset[int] | None:
    """Ids that have a text. A model may have more: its embedding is often rounded up."""
    vocabulary = getattr(tokenizer, "get_vocab", None)
    return None if vocabulary is None else frozenset(vocabulary().values())


@cache
def _token_texts(tokenizer: Any) -> list[str]:
    return [tokenizer.decode([i]) for i in range(len(tokenizer))]


@cache
def stop_tokens(tokenizer: Any, stop: tuple[str, ...]) -> frozenset[int]:
    """Ids that end a completion: those whose text contains a stop string, and the end-of-sequence token."""
    stops = {i for i, text in enumerate(_token_texts(tokenizer)) if any(s in text for s in stop)}
    if tokenizer.eos_token_id is not None:
        stops.add(tokenizer.eos_token_id)
    return frozenset(stops)


@cache
def _closing_tokens(tokenizer: Any, stop: tuple[str, ...]) -> frozenset[int]:
    """Ids that may end a stop string that other tokens began."""
    tails = tuple(s[at:] for s in stop for at in range(1, len(s)))
    if not all(s.isascii() for s in stop):
        tails += (UNKNOWN,)  # a part of a character
    return (
        frozenset(i for i, text in enumerate(_token_texts(tokenizer)) if text.startswith(tails))
        if tails
        else frozenset()
    )


def ends(tokenizer: Any, ids: Sequence[int], stop: tuple[str, ...]) -> bool:
    """Whether the last of `ids` ends a completion: by itself, or with a stop string that earlier ones began."""
    if ids[-1] in stop_tokens(tokenizer, stop):
        return True
    if ids[-1] not in _closing_tokens(tokenizer, stop):
        return False
    tail = tokenizer.decode(list(ids[-1 - max(len(s.encode()) for s in stop) :]))
    return any(s in tail for s in stop)
