"""Bringing weights back: checkpoint and journal give the very bits that were lost, and damage is noticed."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from random_trees import WEIGHTS, random_step
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from store_samples import create, step_commit

from selfplay.learn.batch import TrainBatch, build_batch
from selfplay.learn.critic_batch import CriticBatch
from selfplay.machine.errors import DATA, Refused
from selfplay.machine.run_folder import JOURNAL_FOLDER
from selfplay.model.policy import Policy
from selfplay.model.weights.loading import load_model
from selfplay.run import checkpoint
from selfplay.run.checkpoint import Checkpoints
from selfplay.run.checkpoint_files import verify
from selfplay.run.recovery import recover
from selfplay.train.trainer import Trainer, TrainerSettings, Update
from store.errors import DiskFull, JournalLost
from store.journal import StepJournal, write_journal
from store.store import Store

STEPS = 4
SAID: list[str] = []  # by the checkpoints of the run at hand
HERE, ELSEWHERE = "this machine", "another machine"


def fresh() -> tuple[Policy, Trainer]:
    loaded = load_model("tiny-llama", "float32")
    policy = Policy(loaded.model, loaded.tokenizer, torch.device("cpu"))
    return policy, Trainer(policy, TrainerSettings(learning_rate=1e-3))


@dataclass(frozen=True, slots=True)
class Killed:
    """A run that was killed after its last commit, and the digest of its weights after each step."""

    folder: Path
    store: Store
    checkpoints: Checkpoints
    digests: list[str]
    older: Path  # a copy of the database as it was after step 2

    def resume(self, mode: str = "replay", fingerprint: str = HERE) -> tuple[Policy, Trainer, list[str]]:
        policy, trainer = fresh()
        said: list[str] = []
        recover(self.store, self.folder, trainer, policy, self.checkpoints, mode, fingerprint, said.append)
        return policy, trainer, said


@pytest.fixture
def killed(tmp_path: Path) -> Iterator[Killed]:
    """Four steps, a checkpoint after the second."""
    policy, trainer = fresh()
    checkpoints = Checkpoints(tmp_path, keep=2, say=SAID.append)
    SAID.clear()
    (tmp_path / JOURNAL_FOLDER).mkdir()
    digests = [trainer.digest()]
    with create(tmp_path / "selfplay.db", weights_digest=digests[0]) as store:
        store.add_incarnation(HERE)
        for step in range(1, STEPS + 1):
            tree, samples = random_step(step, vocabulary=200)
            batch = build_batch(tree, samples, WEIGHTS)
            file, sha256 = write_journal(tmp_path / JOURNAL_FOLDER, StepJournal(step, batch.arrays()))
            trainer.step(batch)
            digests.append(trainer.digest())
            head = store.commit_step(
                step_commit(step, weights_digest=digests[-1], journal_file=file, journal_sha256=sha256)
            )
            if step == 2:
                checkpoints.save(store, head, trainer, policy)
                assert store.checkpoint_wal()
                older = Path(shutil.copy(store.path, tmp_path.with_suffix(".db")))
        assert len(set(digests)) == STEPS + 1
        yield Killed(tmp_path, store, checkpoints, digests, older)


def test_replay_brings_the_weights_to_the_head_bit_for_bit(killed: Killed) -> None:
    policy, trainer, said = killed.resume()
    assert (trainer.digest(), policy.version) == (killed.digests[STEPS], STEPS)
    assert said == ["replaying steps 3 to 4 from the journal ..."]


def test_rewind_goes_back_to_the_checkpoint_and_abandons_what_came_after(killed: Killed) -> None:
    policy, trainer, _ = killed.resume("rewind")
    assert (trainer.digest(), policy.version) == (killed.digests[2], 2)
    assert killed.store.head().step == 2
    assert len(killed.store.steps(include_abandoned=True)) == STEPS + 1


def test_a_damaged_checkpoint_is_passed_over_for_the_journal(killed: Killed) -> None:
    [file] = (killed.folder / "checkpoints" / "step_000002").glob("trainer-master*")
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    _, trainer, said = killed.resume()
    assert trainer.digest() == killed.digests[STEPS]
    assert "damaged" in said[0]


def test_a_damaged_checkpoint_is_set_aside_and_made_again(killed: Killed) -> None:
    """Case 31: it was named as the weights for ever, and the good one went first."""
    before = _sizes(killed.folder / "checkpoints" / "step_000002")
    [file] = (killed.folder / "checkpoints" / "step_000002").glob("trainer-master*")
    file.write_bytes(file.read_bytes()[:-1])
    policy, trainer, _ = killed.resume()
    [row] = killed.store.checkpoints()
    verify(killed.folder, row)
    assert _sizes(killed.folder / row.path) == before
    assert (killed.folder / "set-aside" / row.path / file.name).is_file(), "nothing damaged is deleted either"
    assert [line for line in SAID if line.startswith("set aside: checkpoints/step_000002 ")]
    killed.checkpoints.save(killed.store, killed.store.head(), trainer, policy)
    assert [verify(killed.folder, each) for each in killed.store.checkpoints()] == [None, None]


def _sizes(folder: Path) -> dict[str, int]:
    return {str(p.relative_to(folder)): p.stat().st_size for p in folder.rglob("*") if p.is_file()}


def _with_the_older_database(killed: Killed) -> Killed:
    """As a user does who is told to restore a backup."""
    killed.store.close()
    for file in killed.folder.glob("selfplay.db*"):
        file.unlink()
    shutil.copy(killed.older, killed.folder / "selfplay.db")
    return replace(killed, store=Store.open(killed.folder / "selfplay.db"))


def test_a_database_that_is_older_than_its_folder_is_refused_and_nothing_is_lost(killed: Killed) -> None:
    """Case 29: the newer checkpoints and journals were swept away as unknown."""
    policy, trainer, _ = killed.resume()
    killed.checkpoints.save(killed.store, killed.store.head(), trainer, policy)
    before = {path: path.read_bytes() for path in killed.folder.glob("*/**/*") if path.is_file()}
    older = _with_the_older_database(killed)
    with older.store, pytest.raises(Refused, match="is an older copy") as caught:
        older.resume()
    assert caught.value.code == DATA and "checkpoints/step_000004" in str(caught.value)
    assert {path: path.read_bytes() for path in killed.folder.glob("*/**/*") if path.is_file()} == before


def test_an_older_database_goes_on_where_it_can_with_the_rest_set_aside(killed: Killed) -> None:
    """Case 29, the journals alone: whoever wants the older state says so, and still loses nothing."""
    journals = killed.folder / JOURNAL_FOLDER
    kept = (journals / "step_000004.safetensors").read_bytes()
    older = _with_the_older_database(killed)
    with older.store:
        with pytest.raises(Refused, match=r"step_000004\.safetensors is of a later one"):
            older.resume()
        _, trainer, said = older.resume("rewind")
        assert (trainer.digest(), older.store.head().step) == (killed.digests[2], 2)
    assert (killed.folder / "set-aside" / JOURNAL_FOLDER / "step_000004.safetensors").read_bytes() == kept
    assert [line for line in said if line.startswith("set aside: ")]


def test_an_older_database_that_nothing_fits_any_more_names_the_newest_weights(killed: Killed) -> None:
    """Case 29, with the checkpoint that the database knows and its journals long pruned."""
    policy, trainer, _ = killed.resume()
    killed.checkpoints.save(killed.store, killed.store.head(), trainer, policy)
    older = _with_the_older_database(killed)
    shutil.rmtree(killed.folder / "checkpoints" / "step_000002")
    with older.store:
        older.store.prune_journal(9)
        with pytest.raises(Refused, match=r"weights in .*checkpoints/step_000004") as caught:
            older.resume("rewind")
    assert caught.value.code == DATA
    assert (killed.folder / "checkpoints" / "step_000004").is_dir()


@pytest.fixture
def forked(killed: Killed, monkeypatch: pytest.MonkeyPatch) -> Killed:
    """The same run, on a machine whose updates come out a little different."""
    honest = Trainer.step

    def rounded_otherwise(self: Trainer, batch: TrainBatch, judged: CriticBatch | None = None) -> Update:
        update = honest(self, batch, judged)
        next(iter(self.masters.values())).view(-1)[7] += 1e-6
        return update

    monkeypatch.setattr(Trainer, "step", rounded_otherwise)
    return killed


def test_other_bits_in_the_same_environment_are_an_error(forked: Killed) -> None:
    with pytest.raises(Refused, match="replaying step 3 gave other weights") as caught:
        forked.resume()
    assert caught.value.code == DATA


def test_other_bits_in_another_environment_are_said_and_the_run_goes_on(forked: Killed) -> None:
    policy, trainer, said = forked.resume(fingerprint=ELSEWHERE)
    assert policy.version == STEPS
    assert trainer.digest() != forked.digests[STEPS]
    assert sum("goes on as a new incarnation" in line for line in said) == 2


def test_a_journal_that_was_tampered_with_is_not_replayed(killed: Killed) -> None:
    path = killed.folder / JOURNAL_FOLDER / "step_000003.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(JournalLost, match="damaged"):
        killed.resume()


@pytest.mark.parametrize(
    ("column", "forged", "reason"),
    [
        ("ids", None, "has no ids"),
        ("ids", np.int64(10**6), "the model has no more than 257 tokens"),
        ("ids", np.int64(-1), "an id is below 0, or a parent is not before"),
        ("parents", np.int64(10**6), "an id is below 0, or a parent is not before"),
        ("depths", np.int64(10**6), "a depth is not one more than the parent"),
        ("targets", np.int64(10**6), "are not distinct tokens of the forest"),
        ("targets", np.int64(0), "are not distinct tokens|without anything before it"),
        ("labels", np.int64(10**6), "a label is not one of label_names"),
        ("positive", np.float64("nan"), "positive is not a column"),
        ("counts", np.float32(1), "counts is not a column"),
        ("kl", np.float64(1), "needs the reference policy"),
        ("label_names", np.uint8(255), "can't decode"),
    ],
)
def test_a_journal_that_somebody_made_up_is_one_line(
    killed: Killed, column: str, forged: np.generic | None, reason: str
) -> None:
    """Its sha256 is in the database, which is theirs too: what was no update's ended in a traceback."""
    arrays = build_batch(*random_step(5, vocabulary=200), WEIGHTS).arrays()
    if forged is None:
        del arrays[column]
    else:
        arrays[column] = np.full(arrays[column].shape, forged)
    file, sha256 = write_journal(killed.folder / JOURNAL_FOLDER, StepJournal(5, arrays))
    killed.store.commit_step(step_commit(5, weights_digest="made up", journal_file=file, journal_sha256=sha256))
    with pytest.raises(JournalLost, match=rf"journal/step_000005.safetensors is not what .*({reason})"):
        killed.resume()


def test_another_start_model_is_noticed(killed: Killed) -> None:
    policy, trainer = fresh()
    next(iter(trainer.masters.values())).view(-1)[0] += 1
    with pytest.raises(Refused, match="not the one this run began with"):
        recover(killed.store, killed.folder, trainer, policy, killed.checkpoints, "replay", HERE, lambda line: None)


def test_what_a_crash_left_behind_is_swept_up(killed: Killed) -> None:
    """Unfinished, or of a step of this run: the head's before its row, an old one's after it."""
    policy, trainer, _ = killed.resume()
    killed.checkpoints.save(killed.store, killed.store.head(), trainer, policy)
    killed.store.delete_checkpoint(killed.store.head().step_id)
    (killed.folder / "checkpoints" / ".tmp-step_000004-77").mkdir()
    killed.resume()
    assert [f.name for f in (killed.folder / "checkpoints").iterdir()] == ["step_000002"]
    assert not (killed.folder / "set-aside").exists()


def test_what_is_not_the_runs_is_set_aside(killed: Killed, tmp_path: Path) -> None:
    """Case 37: a stray file, folder or link ended in a traceback, or was deleted."""
    (tmp_path / "elsewhere").mkdir()
    for place in ("checkpoints", JOURNAL_FOLDER):
        (killed.folder / place / "notes.txt").write_text(place)
        (killed.folder / place / "step_000004x").mkdir()
        (killed.folder / place / "link").symlink_to(tmp_path / "elsewhere")
    (killed.folder / "checkpoints" / "step_000004").mkdir()  # in the place of one to come
    _, trainer, said = killed.resume()
    assert trainer.digest() == killed.digests[STEPS]
    assert [f.name for f in (killed.folder / "checkpoints").iterdir()] == ["step_000002"]
    for place in ("checkpoints", JOURNAL_FOLDER):
        assert (killed.folder / "set-aside" / place / "notes.txt").read_text() == place
        assert {"step_000004x", "link"} <= {each.name for each in (killed.folder / "set-aside" / place).iterdir()}
    assert sum(line.startswith("set aside: ") for line in SAID + said) == 7
    assert (tmp_path / "elsewhere").is_dir()


def test_a_row_whose_path_leads_out_of_the_folder_is_never_followed(killed: Killed, tmp_path: Path) -> None:
    """A hostile database: what a checkpoint's row names was deleted when it was old."""
    (tmp_path / "elsewhere").mkdir()
    row = replace(killed.store.checkpoints()[0], path="checkpoints/../elsewhere")
    killed.store.commit_checkpoint(row)
    _, trainer, said = killed.resume()
    assert trainer.digest() == killed.digests[STEPS] and "is no folder of a checkpoint" in said[0]
    assert (tmp_path / "elsewhere").is_dir()


def test_a_stray_file_in_a_checkpoint_is_not_loaded(killed: Killed) -> None:
    """Case 37: its manifest says which files are the trainer's, not their names."""
    [file] = (killed.folder / "checkpoints" / "step_000002").glob("trainer-master*")
    state = {name: torch.zeros_like(tensor) for name, tensor in load_file(file).items()}
    save_file(state, file.with_name("trainer-zzz.safetensors"))
    _, trainer, _ = killed.resume()
    assert trainer.digest() == killed.digests[STEPS]


def test_a_damaged_journal_that_is_not_needed_is_said(killed: Killed) -> None:
    (killed.folder / JOURNAL_FOLDER / "step_000001.safetensors").write_bytes(b"")
    _, trainer, said = killed.resume()
    assert trainer.digest() == killed.digests[STEPS]
    assert [line for line in said if "journal/step_000001.safetensors is damaged" in line]


def test_a_journal_that_no_step_names_is_swept_up(killed: Killed) -> None:
    """Cut off, or pruned before it was deleted. That of the next step stays: the step writes it anew."""
    folder = killed.folder / JOURNAL_FOLDER
    (folder / ".step_000005.safetensors.tmp").write_bytes(b"cut off")
    (folder / "step_000005.safetensors").write_bytes(b"of a step that was not committed")
    assert killed.store.prune_journal(2) == ["step_000001.safetensors"]
    killed.resume()
    assert {f.name for f in folder.iterdir()} == {f"step_{step:06d}.safetensors" for step in (2, 3, 4, 5)}
    assert not (killed.folder / "set-aside").exists()


def _moved(killed: Killed) -> tuple[Policy, Trainer]:
    """The run goes on elsewhere, where updates come out otherwise, and commits a step there."""
    policy, trainer, _ = killed.resume(fingerprint=ELSEWHERE)
    killed.store.add_incarnation(ELSEWHERE)
    _commit(killed, trainer, STEPS + 1)
    return policy, trainer


def _commit(killed: Killed, trainer: Trainer, step: int) -> None:
    tree, samples = random_step(step, vocabulary=200)
    batch = build_batch(tree, samples, WEIGHTS)
    file, sha256 = write_journal(killed.folder / JOURNAL_FOLDER, StepJournal(step, batch.arrays()))
    trainer.step(batch)
    killed.store.commit_step(
        step_commit(step, weights_digest=trainer.digest(), journal_file=file, journal_sha256=sha256)
    )


def test_a_run_that_moved_is_resumed_where_it_moved_to(forked: Killed) -> None:
    _, trainer = _moved(forked)
    policy, again, said = forked.resume(fingerprint=ELSEWHERE)
    assert (again.digest(), policy.version) == (trainer.digest(), STEPS + 1)
    assert sum("gave other weights" in line for line in said) == 2, "the two steps of the first machine"


def test_a_run_that_moved_and_came_back_goes_on(forked: Killed, monkeypatch: pytest.MonkeyPatch) -> None:
    _moved(forked)
    monkeypatch.undo()
    _, trainer, said = forked.resume(fingerprint=HERE)
    assert [line for line in said if "other weights" in line] == [
        f"note: replaying step {STEPS + 1} gave other weights than it did first; the environment has changed, so the "
        "run goes on as a new incarnation"
    ]
    forked.store.add_incarnation(HERE)
    _commit(forked, trainer, STEPS + 2)
    _, again, _ = forked.resume(fingerprint=HERE)
    assert again.digest() == trainer.digest()


def test_a_checkpoint_of_a_run_that_moved_holds_the_weights_it_says(forked: Killed) -> None:
    policy, trainer, _ = forked.resume(fingerprint=ELSEWHERE)
    forked.checkpoints.save(forked.store, forked.store.head(), trainer, policy)
    _, again, said = forked.resume(fingerprint=ELSEWHERE)
    assert again.digest() == trainer.digest()
    assert said == []


def test_a_disk_that_fills_up_in_a_checkpoint_leaves_nothing_of_it(
    killed: Killed, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy, trainer, _ = killed.resume()

    def full(*_: object) -> None:
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(checkpoint, "_save_policy", full)
    with pytest.raises(DiskFull):
        killed.checkpoints.save(killed.store, killed.store.head(), trainer, policy)
    assert [f.name for f in (killed.folder / "checkpoints").iterdir()] == ["step_000002"]
