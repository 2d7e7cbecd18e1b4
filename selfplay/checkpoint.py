"""Checkpoints: files first and complete, then the row that names them (reliability.md 1.3).

A checkpoint folder holds the trainer's state (fp32 masters, Adam's moments), the served weights as a Hugging Face
model folder, and a manifest with every file's size and sha256. A folder without a row is harmless and is swept up;
a row whose folder does not verify is passed over for an older one.
"""

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from selfplay.models import quiet
from selfplay.policy import Policy
from selfplay.train.trainer import Trainer, tensor_bytes
from store.errors import DiskFull, disk_full
from store.faults import reach
from store.records import CheckpointRow, StepRow
from store.store import Store

STATE_FILE = "trainer-{}.safetensors"  # one for the masters and one for each of Adam's moments
MANIFEST = "manifest.json"


class CheckpointError(Exception):
    """A checkpoint does not verify: the message names the file and what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Checkpoints:
    """The checkpoints of one run folder; `keep` newest are kept."""

    run_folder: Path
    keep: int

    def save(self, store: Store, head: StepRow, trainer: Trainer, policy: Policy) -> CheckpointRow:
        """Write, sync, rename, commit the row, drop the oldest. Raises DiskFull, nothing written, if room is short."""
        state = trainer.state()
        self._check_room(state, policy)
        name = f"step_{head.step:06d}"
        temporary = self._folder / f".tmp-{name}-{os.getpid()}"
        shutil.rmtree(temporary, ignore_errors=True)
        weights_digest = trainer.digest()  # not the head's: a run that came from another machine has bits of its own
        with _whole_or_nothing(temporary):
            temporary.mkdir(parents=True)
            for part, tensors in _parts(state).items():
                save_file(tensors, temporary / STATE_FILE.format(part))
            _save_policy(policy, temporary / "policy")
            reach("checkpoint.files")
            digest = _write_manifest(temporary, head, weights_digest)
            reach("checkpoint.manifest")
        final = self._folder / name
        shutil.rmtree(final, ignore_errors=True)  # an orphan of an earlier crash
        temporary.rename(final)
        _sync(self._folder)
        reach("checkpoint.renamed")
        row = CheckpointRow(head.step_id, head.step, f"checkpoints/{name}", digest, weights_digest)
        store.commit_checkpoint(row)
        self._drop_old(store)
        return row

    def newest(self, store: Store) -> tuple[CheckpointRow, list[str]]:
        """The newest checkpoint that verifies, and what was wrong with newer ones. Raises CheckpointError if none."""
        problems: list[str] = []
        for row in store.checkpoints():
            try:
                verify(self.run_folder / row.path, row)
                return row, problems
            except CheckpointError as error:
                problems.append(str(error))
        raise CheckpointError("; ".join(problems) or "no checkpoint")

    def load(self, row: CheckpointRow, trainer: Trainer, version: int) -> None:
        """Load a verified checkpoint and check that its weights have the digest that their step recorded."""
        state: dict[str, Tensor] = {}
        for path in sorted((self.run_folder / row.path).glob(STATE_FILE.format("*"))):
            state |= load_file(path)
        trainer.load_state(state, version)
        if (digest := trainer.digest()) != row.weights_digest:
            raise CheckpointError(f"{row.path}: weights digest {digest}, the store says {row.weights_digest}")

    def sweep(self, store: Store) -> None:
        """Remove what a crash left behind: unfinished folders, and folders without a row."""
        if not self._folder.exists():
            return
        known = {Path(row.path).name for row in store.checkpoints()}
        for folder in self._folder.iterdir():
            if folder.name not in known:
                shutil.rmtree(folder)

    @property
    def _folder(self) -> Path:
        return self.run_folder / "checkpoints"

    def _drop_old(self, store: Store) -> None:
        for row in store.checkpoints()[self.keep :]:
            store.delete_checkpoint(row.step_id)
            reach("checkpoint.row_deleted")
            shutil.rmtree(self.run_folder / row.path, ignore_errors=True)
            reach("checkpoint.deleted")

    def _check_room(self, state: dict[str, Tensor], policy: Policy) -> None:
        needed = sum(t.numel() * t.element_size() for t in state.values())
        needed += sum(p.numel() * p.element_size() for p in policy.model.parameters())
        free = shutil.disk_usage(self.run_folder).free
        if free < 1.1 * needed:
            raise DiskFull(f"a checkpoint needs {needed / 1e6:.0f} MB, {self.run_folder} has {free / 1e6:.0f} MB free")


def verify(folder: Path, row: CheckpointRow) -> None:
    """Check the manifest against the row, and every file's size and sha256 against the manifest."""
    manifest_path = folder / MANIFEST
    if not manifest_path.is_file():
        raise CheckpointError(f"{row.path}/{MANIFEST} is missing")
    text = manifest_path.read_bytes()
    if hashlib.sha256(text).hexdigest() != row.manifest_sha256:
        raise CheckpointError(f"{row.path}/{MANIFEST} is damaged: its sha256 is not the one in the store")
    for name, facts in json.loads(text)["files"].items():
        path = folder / name
        if not path.is_file():
            raise CheckpointError(f"{row.path}/{name} is missing")
        if path.stat().st_size != facts["size"] or _sha256(path) != facts["sha256"]:
            raise CheckpointError(f"{row.path}/{name} is damaged: size or sha256 differs from the manifest")


def _parts(state: dict[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """Grouped by kind: safetensors copies what it writes, so writing all at once would double the state."""
    parts: dict[str, dict[str, Tensor]] = {}
    for name, tensor in state.items():
        kind = name.rsplit("/", 1)[0].replace("/", "-")
        parts.setdefault(kind, {})[name] = tensor
    return parts


def _save_policy(policy: Policy, folder: Path) -> None:
    """The served weights as transformers or peft would save them: the run's product."""
    with quiet():
        if policy.adapter is None:
            policy.model.save_pretrained(folder)
        else:  # peft would ask the hub for the base, to see whether its embeddings have grown
            policy.adapter.save_pretrained(folder, save_embedding_layers=False)
    if hasattr(policy.tokenizer, "save_pretrained"):
        policy.tokenizer.save_pretrained(folder)


def _write_manifest(folder: Path, head: StepRow, weights_digest: str) -> str:
    """Sync every file, then the manifest that lists them; returns the manifest's sha256."""
    files = {}
    for path in _files(folder):
        _sync(path)
        files[str(path.relative_to(folder))] = {"size": path.stat().st_size, "sha256": _sha256(path)}
    manifest = {
        "step": head.step,
        "policy_version": head.policy_version,
        "weights_digest": weights_digest,
        "torch": torch.__version__,
        "files": files,
    }
    text = json.dumps(manifest, indent=1, sort_keys=True).encode()
    (folder / MANIFEST).write_bytes(text)
    _sync(folder / MANIFEST)
    for directory in (folder, *(p for p in folder.rglob("*") if p.is_dir())):
        _sync(directory)
    return hashlib.sha256(text).hexdigest()


@contextmanager
def _whole_or_nothing(folder: Path) -> Iterator[None]:
    """A full disk in the block becomes DiskFull, and what was written is removed: half a checkpoint helps nobody."""
    try:
        yield
    except Exception as error:  # safetensors has an error of its own for a full disk, without a number
        shutil.rmtree(folder, ignore_errors=True)
        if getattr(error, "errno", None) == errno.ENOSPC or "No space left" in str(error):
            raise disk_full(folder, str(error)) from error
        raise


def _files(folder: Path) -> Sequence[Path]:
    return sorted(p for p in folder.rglob("*") if p.is_file())


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def weights_sha256(tensors: Iterator[tuple[str, Tensor]]) -> str:
    """sha256 over names and bytes, for `inspect digest`: slower than the step's digest, and for people to compare."""
    total = hashlib.sha256()
    for name, tensor in tensors:
        total.update(name.encode())
        total.update(tensor_bytes(tensor))
    return total.hexdigest()
