"""One attempt token by token: what exactly was reinforced, as far as the step's journal still has it.

A journal keeps what the update was computed from: the token tree, the sampler's log-probabilities, and the advantages
summed over the samples that said a token. Left out: what nothing pushed, which no journal has.

How the policy has changed since needs its later weights, so a command computes it (`inspect rescore`), and its file is
read here.
"""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from roles.tree import ROOT
from selfplay.config.stored import stored_value
from selfplay.learn import rescored
from selfplay.learn.batch import TrainBatch
from selfplay.machine.run_folder import JOURNAL_FOLDER
from selfplay.view.page.library import Library
from selfplay.view.page.run_views import header
from selfplay.view.queries import NotFound
from store.encoding import clean_text
from store.errors import JournalError
from store.journal import read_journal
from store.records import Attempt, StepRow

TOKENIZER = "tokenizer.json"


@dataclass(frozen=True, slots=True)
class TokenShown:
    """One token of a turn. `advantage`: mean of those of the samples that said it. `logprob`: the sampler's, None of
    one that is only copied. `samples`: how many samples it stands for, over those of the turn's rarest token. `change`:
    its log-probability under the weights of a later step less `logprob`; None where that was not computed."""

    text: str
    token_id: int
    advantage: float
    logprob: float | None
    samples: float
    change: float | None = None


def tokens(library: Library, name: str, problem_id: str, step: int, index: int) -> dict[str, Any]:
    """An attempt, each turn with its tokens, or with the reason why there are none."""
    with library.source(name) as source:
        tried = [attempt for at, attempt in source.store.attempts(problem_id) if at == step]
        chosen = next((attempt for attempt in tried if attempt.attempt == index), None)
        if chosen is None:
            raise NotFound(f"step {step} has no attempt {index} at problem {problem_id!r}")
        problem, _ = source.store.problem(problem_id)
        row = source.store.step(step)
        folder = library.run_folder(name)
        found = _read(folder, row, problem.text, chosen, source.config)
        return {
            "run": header(library, name, source),
            "problem": asdict(problem),
            "step": step,
            "attempt": asdict(chosen),
            "others": sorted(attempt.attempt for attempt in tried),
            "tokens": [[asdict(each) for each in turn] for turn in found.turns],
            "reason": found.reason,
            "changed_by": found.changed_by,
            "rescore": shlex.join(["python", "-m", "selfplay.inspect", "rescore", str(folder), problem_id]),
        }


@dataclass(frozen=True, slots=True)
class _Read:
    """What a journal says of an attempt's turns. `reason`: why some or all have no tokens. `changed_by`: the step under
    whose weights they were scored again, if they were."""

    turns: list[list[TokenShown]]
    reason: str = ""
    changed_by: int | None = None


def _read(folder: Path, row: StepRow, problem: str, attempt: Attempt, config: Mapping[str, Any]) -> _Read:
    nothing: list[list[TokenShown]] = [[] for _ in attempt.turns]
    if row.journal_file is None or row.journal_sha256 is None:
        return _Read(
            nothing,
            "The journal of this step was deleted: a run keeps those since its oldest checkpoint. What was said is "
            "still here, what each token was paid is not.",
        )
    tokenizer = _tokenizer(folder, config)
    if tokenizer is None:
        return _Read(
            nothing,
            "No tokenizer.json was found in the run's checkpoints, so the journal's token ids cannot be read as text "
            "yet: the first checkpoint brings one.",
        )
    try:
        stored = read_journal(folder / JOURNAL_FOLDER, row.journal_file, row.journal_sha256)
        batch = TrainBatch.from_arrays(stored.arrays)
    except (JournalError, ValueError) as error:
        return _Read(nothing, f"The journal of this step cannot be read: {error}")
    later = rescored.newest(folder, row.step, row.journal_sha256, len(batch.targets))
    journal = _Journal(batch, tokenizer, None if later is None else later.logprobs)
    paths: list[list[int]] = []
    for place, turn in enumerate(attempt.turns):
        paths.append(journal.path(problem, f"solver/{place}", turn.text, paths[-1] if paths else []))
    missing = "" if all(paths) else (
        "A turn without coloured tokens is not in the journal: nothing pushed it, as where all of its group fared "
        "alike."
    )  # fmt: skip
    return _Read([journal.shown(path) for path in paths], missing, None if later is None else later.by)


class _Journal:
    """A step's trained tokens, found by what they say."""

    def __init__(self, batch: TrainBatch, tokenizer: Tokenizer, later: Sequence[float] | None) -> None:
        """`later`: log-probabilities of the trained tokens under later weights."""
        self._batch, self._tokenizer, self._later = batch, tokenizer, later
        self._row = {int(node): row for row, node in enumerate(batch.targets)}
        self._children: dict[int, list[int]] = {}
        for node, parent in enumerate(batch.parents.tolist()):
            self._children.setdefault(parent, []).append(node)

    def path(self, problem: str, label: str, text: str, earlier: Sequence[int]) -> list[int]:
        """The tokens that say `text` under `label`, behind a context that says the problem as near to its end as any,
        and has the path of the turn before in it, where that was found; [] if no tokens do.
        """
        if label not in self._batch.label_names:
            return []
        wanted = self._batch.label_names.index(label)
        starts: dict[
            int, list[int]
        ] = {}  # by context; a label's tokens hang together, so each walk begins at the first
        for node in self._row:
            context = int(self._batch.parents[node])
            if self._label(node) == wanted and self._label(context) != wanted:
                starts.setdefault(context, []).append(node)
        for context in sorted(starts, key=lambda node: self._distance(node, problem)):
            if self._distance(context, problem) == _FAR:
                break
            if earlier and earlier[-1] not in self._above(context):
                continue
            for node in starts[context]:
                if path := self._walk(node, wanted, text):
                    return path
        return []

    def _walk(self, start: int, label: int, text: str) -> list[int]:
        """The path from `start` whose tokens together say `text`."""
        paths = [[start]]
        while paths:
            path = paths.pop()
            said = self._text([int(self._batch.ids[node]) for node in path])
            if clean_text(said) == text or clean_text(said.rstrip("\N{REPLACEMENT CHARACTER}")) == text:
                longer = self._ending(path, label, text)
                return longer or path
            if text.startswith(said.rstrip("\N{REPLACEMENT CHARACTER}")):
                below = [node for node in self._children.get(path[-1], ()) if self._label(node) == label]
                paths += [[*path, node] for node in below]
        return []

    def _ending(self, path: list[int], label: int, text: str) -> list[int]:
        """`path` with the stop token behind it, which text leaves out, if there is exactly one way on."""
        below = [node for node in self._children.get(path[-1], ()) if self._label(node) == label]
        is_end = (
            len(below) == 1 and not self._children.get(below[0]) and self._text([int(self._batch.ids[below[0]])]) == ""
        )
        return [*path, below[0]] if is_end else []

    def shown(self, path: Sequence[int]) -> list[TokenShown]:
        """The tokens of a path, with what they were paid."""
        if not path:
            return []
        batch, rows = self._batch, [self._row[node] for node in path]
        counts = batch.counts[rows]
        least = counts[counts > 0].min() if (counts > 0).any() else 1.0
        found = []
        for node, row in zip(path, rows, strict=True):
            count = float(batch.counts[row])
            pushed = float(batch.positive[row] + batch.negative[row]) / count if count else 0.0
            logprob = float(batch.sampler_logprobs[row])
            token = int(batch.ids[node])
            found.append(
                TokenShown(
                    text=self._tokenizer.decode([token], skip_special_tokens=False),
                    token_id=token,
                    advantage=round(pushed, 6),
                    logprob=None if np.isnan(logprob) else round(logprob, 6),
                    samples=round(count / float(least), 3) if count else 0.0,
                    change=self._change(row, logprob),
                )
            )
        return found

    def _change(self, row: int, logprob: float) -> float | None:
        change = np.nan if self._later is None else self._later[row] - logprob
        return round(float(change), 6) if np.isfinite(change) else None

    def _label(self, node: int) -> int:
        row = self._row.get(node)
        return -1 if row is None else int(self._batch.labels[row])

    def _distance(self, context: int, problem: str) -> int:
        """Characters between the last place where the text up to a node says the problem, and its end; or _FAR."""
        said = self._text([int(self._batch.ids[node]) for node in self._above(context)[::-1]])
        place = said.rfind(problem)
        return _FAR if place < 0 else len(said) - place - len(problem)

    def _above(self, node: int) -> list[int]:
        """The node and all above it."""
        path = []
        while node != ROOT:
            path.append(node)
            node = int(self._batch.parents[node])
        return path

    def _text(self, ids: Sequence[int]) -> str:
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=True))


_FAR = 1 << 60


def _tokenizer(folder: Path, config: Mapping[str, Any]) -> Tokenizer | None:
    """Of the newest checkpoint's model; else of the model's folder, where the run names one."""
    places = sorted((folder / "checkpoints").glob(f"*/policy/{TOKENIZER}"), reverse=True)
    named = stored_value(config, "model.name")
    if isinstance(named, str) and Path(named).is_absolute():
        places.append(Path(named) / TOKENIZER)
    for place in places:
        try:
            return Tokenizer.from_file(str(place))
        except Exception:  # the library raises its own kind, and a folder that goes is none of ours
            continue
    return None
