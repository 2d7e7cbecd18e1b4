"""Bringing weights back: checkpoint and journal give the very bits that were lost, and damage is noticed."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from random_trees import WEIGHTS, random_step
from safetensors import SafetensorError
from store_samples import create, step_commit

from selfplay import checkpoint
from selfplay.checkpoint import Checkpoints
from selfplay.exits import DATA, Refused
from selfplay.models import load_model
from selfplay.policy import Policy
from selfplay.recovery import JOURNAL_FOLDER, recover
from selfplay.train.batch import TrainBatch, build_batch
from selfplay.train.critic import CriticBatch
from selfplay.train.trainer import Trainer, TrainerSettings, Update
from store.errors import DiskFull, JournalError
from store.journal import StepJournal, write_journal
from store.store import Store

STEPS = 4
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

    def resume(self, mode: str = "replay", fingerprint: str = HERE) -> tuple[Policy, Trainer, list[str]]:
        policy, trainer = fresh()
        said: list[str] = []
        recover(self.store, self.folder, trainer, self.checkpoints, mode, fingerprint, said.append)
        return policy, trainer, said


@pytest.fixture
def killed(tmp_path: Path) -> Iterator[Killed]:
    """Four steps, a checkpoint after the second."""
    policy, trainer = fresh()
    checkpoints = Checkpoints(tmp_path, keep=2)
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
        assert len(set(digests)) == STEPS + 1
        yield Killed(tmp_path, store, checkpoints, digests)


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
    with pytest.raises(JournalError, match="damaged"):
        killed.resume()


def test_another_start_model_is_noticed(killed: Killed) -> None:
    _, trainer = fresh()
    next(iter(trainer.masters.values())).view(-1)[0] += 1
    with pytest.raises(Refused, match="not the one this run began with"):
        recover(killed.store, killed.folder, trainer, killed.checkpoints, "replay", HERE, lambda line: None)


def test_what_a_crash_left_behind_is_swept_up(killed: Killed) -> None:
    for name in (".tmp-step_000004-77", "step_000004"):
        (killed.folder / "checkpoints" / name).mkdir()
    killed.resume()
    assert [f.name for f in (killed.folder / "checkpoints").iterdir()] == ["step_000002"]


def test_a_journal_that_no_step_names_is_swept_up(killed: Killed) -> None:
    for name in (".step_000005.safetensors.tmp", "step_000005.safetensors"):
        (killed.folder / JOURNAL_FOLDER / name).write_bytes(b"cut off")
    killed.resume()
    assert {f.name for f in (killed.folder / JOURNAL_FOLDER).iterdir()} == {
        row.journal_file for row in killed.store.steps() if row.step > 0
    }


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
