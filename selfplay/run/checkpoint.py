"""Checkpoints: files first and complete, then the row that names them.

A checkpoint folder holds the trainer's state (fp32 masters, Adam's moments), the served weights as a Hugging Face
model folder, and a manifest with every file's size and sha256. A row whose folder does not verify is passed over for
an older one, forgotten, and its folder set aside. A folder without a row goes only if its manifest says that it holds
weights of a step of this run, so that a kill has left it behind; what else is there is set aside.
"""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from selfplay.config.stored import config_of
from selfplay.machine.errors import CheckpointError
from selfplay.machine.run_folder import CHECKPOINT_FOLDER, Say, set_aside
from selfplay.model.policy import Policy
from selfplay.model.weights.reading import quiet
from selfplay.run.checkpoint_files import (
    MANIFEST,
    MASTER,
    PRODUCT,
    STATE_FILE,
    file_sha256,
    folder_of,
    manifest_of,
    verify,
)
from selfplay.run.model_card import CARD, model_card
from selfplay.run.versions.path import WeightsPath, weights_path
from selfplay.train.trainer import Trainer, tensor_bytes
from store.errors import DiskFull, disk_full, is_disk_error, translated
from store.kill_points import reach
from store.records import CheckpointRow, StepRow
from store.store import Store

_UNFINISHED = re.compile(r"\.tmp-step_\d+-\d+")


@dataclass(frozen=True, slots=True)
class Examined:
    """What the store's checkpoints turned out to be: those that verify, newest first, and what is wrong with others."""

    good: list[CheckpointRow]
    damaged: list[tuple[CheckpointRow, str]]


@dataclass(frozen=True, slots=True)
class Checkpoints:
    """The checkpoints of one run folder. Kept are the `keep` newest that the run's weights were made of, the best
    and the head's own. `say` hears what was set aside."""

    run_folder: Path
    keep: int
    say: Say = lambda line: None

    def save(self, store: Store, head: StepRow, trainer: Trainer, policy: Policy) -> CheckpointRow:
        """Write, sync, rename, commit the row, drop the oldest. Raises DiskFull, nothing written, if room is short."""
        state = trainer.state()
        name = f"step_{head.step:06d}"
        temporary, final = self._folder / f".tmp-{name}-{os.getpid()}", self._folder / name
        weights_digest = trainer.digest()  # not the head's: a run that came from another machine has bits of its own
        with self._whole_or_nothing(store, temporary):
            self._check_room(self.expected_bytes(trainer, policy))
            self._folder.mkdir(exist_ok=True)  # not its parents: a run's folder that was removed is not made anew
            temporary.mkdir()
            for part, tensors in _parts(state).items():
                save_file(tensors, temporary / STATE_FILE.format(part))
            _save_policy(policy, temporary / PRODUCT)
            card = model_card(store.run(), config_of(store), head.step, store.evaluations())
            (temporary / PRODUCT / CARD).write_text(card)
            reach("checkpoint.files")
            digest = _write_manifest(temporary, head, weights_digest)
            reach("checkpoint.manifest")
            store.require_own_files()  # or this is another run's folder by now
            if os.path.lexists(final):
                set_aside(self.run_folder, final, "in the place of a new checkpoint", self.say)
            temporary.rename(final)
            _sync(self._folder)
        reach("checkpoint.renamed")
        row = CheckpointRow(head.step_id, head.step, f"{CHECKPOINT_FOLDER}/{name}", digest, weights_digest)
        store.commit_checkpoint(row)
        self.drop_old(store)
        return row

    @staticmethod
    def expected_bytes(trainer: Trainer, policy: Policy) -> int:
        """What the tensors of a checkpoint take; the rest of it is small."""
        saved = [*trainer.state().values(), *policy.model.parameters()]
        return sum(tensor.numel() * tensor.element_size() for tensor in saved)

    def examine(self, store: Store, path: WeightsPath) -> Examined:
        """Every row's folder against its manifest: hashed until one of the path is good, others by size."""
        found = Examined([], [])
        for row in store.checkpoints():
            is_found = any(path.has(each.step) for each in found.good)
            try:
                verify(self.run_folder, row, None if is_found else "")
                found.good.append(row)
            except CheckpointError as error:
                found.damaged.append((row, str(error)))
        return found

    def load(self, row: CheckpointRow, trainer: Trainer, version: int) -> None:
        """Load a verified checkpoint and check that its weights have the digest that their step recorded."""
        state: dict[str, Tensor] = {}
        folder = folder_of(self.run_folder, row)
        try:
            for name in sorted(manifest_of(folder)["files"]):
                if fnmatchcase(name, STATE_FILE.format("*")):
                    state |= load_file(folder / name)
            trainer.load_state(state, version)
        except (SafetensorError, KeyError, RuntimeError) as error:
            raise CheckpointError(f"{row.path} does not fit the model of this run: {error}") from error
        if (digest := trainer.digest()) != row.weights_digest:
            raise CheckpointError(f"{row.path}: weights digest {digest}, the store says {row.weights_digest}")

    def newer_than(self, store: Store) -> str | None:
        """A checkpoint of a step that the database has never heard of, if there is one."""
        last = store.last_step()
        for folder in self._entries():
            step = (_manifest_or_none(folder) or {}).get("step")
            if isinstance(step, int) and step > last:
                return f"{CHECKPOINT_FOLDER}/{folder.name}"
        return None

    def discard(self, store: Store, row: CheckpointRow, why: str) -> None:
        """Forget a checkpoint that does not verify, and set its folder aside."""
        store.delete_checkpoint(row.step_id)
        try:
            folder = folder_of(self.run_folder, row)
        except CheckpointError:
            return  # a path that leads elsewhere: nothing there is ours
        if os.path.lexists(folder):
            set_aside(self.run_folder, folder, why, self.say)

    def tidy(self, store: Store) -> None:
        """Remove what a kill left behind; set aside what is not this run's."""
        known = {Path(row.path).name for row in store.checkpoints()}
        for path in self._entries():
            if path.name in known:
                continue
            is_ours = path.is_dir() and not path.is_symlink()
            if is_ours and _UNFINISHED.fullmatch(path.name):
                shutil.rmtree(path)
                continue
            manifest = _manifest_or_none(path) or {}
            if is_ours and _is_of(store, manifest.get("step"), manifest.get("weights_digest")):
                self._delete(path)
            else:
                set_aside(self.run_folder, path, "no checkpoint of this run", self.say)

    @property
    def _folder(self) -> Path:
        return self.run_folder / CHECKPOINT_FOLDER

    def _entries(self) -> list[Path]:
        return sorted(self._folder.iterdir()) if self._folder.is_dir() else []

    def newest(self, store: Store) -> list[CheckpointRow]:
        """The `keep` newest that the run's weights were made of, newest first."""
        path = weights_path(store.head().step, store.picks())
        return [row for row in store.checkpoints() if path.has(row.step)][: self.keep]

    def drop_old(self, store: Store) -> None:
        """Delete what is not to be kept, rows before files."""
        kept = {row.step for row in self.newest(store)} | {store.best_step(), store.head().step}
        for row in store.checkpoints():
            if row.step in kept:
                continue
            store.delete_checkpoint(row.step_id)
            reach("checkpoint.row_deleted")
            self._delete(folder_of(self.run_folder, row))
            reach("checkpoint.deleted")

    def _delete(self, folder: Path) -> None:
        """Under the name of something unfinished first: half a folder without its manifest would belong to nobody."""
        with suppress(OSError):  # what cannot be deleted now is tidied up by a resume
            unfinished = folder.with_name(f".tmp-{folder.name}-{os.getpid()}")
            folder.rename(unfinished)
            shutil.rmtree(unfinished)

    @contextmanager
    def _whole_or_nothing(self, store: Store, temporary: Path) -> Iterator[None]:
        """What a disk does in the block is one line, and what was written is removed: half a checkpoint is none."""
        try:
            with translated(temporary):
                yield
        except Exception as error:  # safetensors has an error of its own for a full disk, without a number
            shutil.rmtree(temporary, ignore_errors=True)
            with suppress(OSError):  # transformers makes a run's folder anew that was removed meanwhile
                self._folder.rmdir()
                self.run_folder.rmdir()
            store.require_own_files()  # or the folder went meanwhile, and that is what is to be said
            if isinstance(error, SafetensorError) and is_disk_error(error):
                raise disk_full(temporary, str(error)) from error
            raise

    def _check_room(self, needed: int) -> None:
        free = shutil.disk_usage(self.run_folder).free
        if free < 1.1 * needed:
            raise DiskFull(f"a checkpoint needs {needed / 1e6:.0f} MB, {self.run_folder} has {free / 1e6:.0f} MB free")


@torch.no_grad()
def load_weights(run_folder: Path, row: CheckpointRow, policy: Policy, version: int) -> None:
    """Give the policy a checkpoint's weights, as `Checkpoints.load` does, without a trainer. Raises CheckpointError."""
    verify(run_folder, row, hashed=STATE_FILE.format(MASTER))
    try:
        masters = load_file(folder_of(run_folder, row) / STATE_FILE.format(MASTER))
        for name, parameter in policy.trainable:
            parameter.copy_(masters[f"{MASTER}/{name}"])
    except (OSError, SafetensorError, KeyError, RuntimeError) as error:
        raise CheckpointError(f"{row.path} does not fit the model of this run: {error}") from error
    policy.version = version
    policy.refresh()


def _manifest_or_none(folder: Path) -> Mapping[str, Any] | None:
    try:
        return manifest_of(folder)
    except (OSError, CheckpointError):
        return None


def _is_of(store: Store, step: object, weights_digest: object) -> bool:
    """Whether a manifest that says so is of this run."""
    return isinstance(step, int) and isinstance(weights_digest, str) and store.knows_weights(step, weights_digest)


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
    files, mode = {}, 0o666 & ~_umask()
    for path in _files(folder):
        path.chmod(mode)  # safetensors makes files that only their owner may read
        _sync(path)
        files[str(path.relative_to(folder))] = {"size": path.stat().st_size, "sha256": file_sha256(path)}
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


def _files(folder: Path) -> Sequence[Path]:
    return sorted(p for p in folder.rglob("*") if p.is_file())


def _umask() -> int:
    """What the process takes from the mode of new files. It can only be read by setting it."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def weights_sha256(tensors: Iterator[tuple[str, Tensor]]) -> str:
    """sha256 over names and bytes, for `inspect digest`: slower than the step's digest, and for people to compare."""
    total = hashlib.sha256()
    for name, tensor in tensors:
        total.update(name.encode())
        total.update(tensor_bytes(tensor))
    return total.hexdigest()
