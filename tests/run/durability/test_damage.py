"""Every file of a run's folder, damaged in every way: noticed in one line with a code, or the same weights in the end.

Runs are built once and copied. Each copy is damaged and brought back as a resume does it, but for the model's build and
the steps that are left. docs/durability.md has what becomes of each as a table, and the table is what is tested.
"""

import io
import re
import shutil
from collections.abc import Callable
from contextlib import redirect_stderr
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from random_trees import WEIGHTS, random_step
from store_samples import create, step_commit
from torch import Tensor

from selfplay.config.resuming import resumable
from selfplay.learn.batch import build_batch
from selfplay.machine.errors import DATA, OK
from selfplay.machine.exits import clear_errors
from selfplay.machine.run_folder import CHECKPOINT_FOLDER, JOURNAL_FOLDER, claim_folder, lock, write_file
from selfplay.model.policy import Policy
from selfplay.model.weights.loading import load_model
from selfplay.run.checkpoint import Checkpoints
from selfplay.run.checkpoint_files import verify
from selfplay.run.recovery import recover
from selfplay.train.trainer import Trainer, TrainerSettings
from store.journal import StepJournal, write_journal
from store.store import Store

DOCS = Path(__file__).parents[3] / "docs" / "durability.md"
HERE = "this machine"
SAID_FILES = ("config.yaml", "metrics.jsonl", "summary.json")


@dataclass(frozen=True, slots=True)
class Copies:
    """What damages with: the run as it was before, and a run with another seed."""

    older: Path
    other: Path
    elsewhere: Path  # a folder outside of the run's


@dataclass(frozen=True, slots=True)
class Built:
    """A run that stopped at step 4 with checkpoints at 1 and 3, or one that ended there with checkpoints at 2 and 4."""

    folder: Path
    copies: Copies
    digest: str


class Bench:
    """One model and one trainer, put back to the start for each run."""

    def __init__(self) -> None:
        loaded = load_model("tiny-llama", "float32")
        self.policy = Policy(loaded.model, loaded.tokenizer, torch.device("cpu"))
        self.trainer = Trainer(self.policy, TrainerSettings(learning_rate=1e-3))
        self._start: dict[str, Tensor] = {name: tensor.clone() for name, tensor in self.trainer.state().items()}

    def restart(self) -> None:
        self.trainer.load_state(self._start, 0)

    def build(self, folder: Path, saved: tuple[int, ...], seed: int, older: Path | None = None) -> str:
        """Four steps; `older` gets a copy of the folder as it was after two. Returns the digest of the weights."""
        self.restart()
        for name in (JOURNAL_FOLDER, CHECKPOINT_FOLDER):
            (folder / name).mkdir(parents=True)
        (folder / "LOCK").write_text("process 1\n")
        for name in SAID_FILES:
            (folder / name).write_text(f"{name} of {seed}\n")
        checkpoints = Checkpoints(folder, keep=2)
        with create(folder / "selfplay.db", weights_digest=self.trainer.digest()) as store:
            store.add_incarnation(HERE)
            for step in range(1, 5):
                batch = build_batch(*random_step(seed + step, vocabulary=200), WEIGHTS)
                file, sha256 = write_journal(folder / JOURNAL_FOLDER, StepJournal(step, batch.arrays()))
                self.trainer.step(batch)
                digest = self.trainer.digest()
                head = store.commit_step(
                    step_commit(step, weights_digest=digest, journal_file=file, journal_sha256=sha256)
                )
                if step in saved:
                    checkpoints.save(store, head, self.trainer, self.policy)
                if step == 2 and older is not None:
                    store.checkpoint_wal()
                    shutil.copytree(folder, older)
        return digest

    def bring_back(self, folder: Path) -> tuple[int, list[str], str]:
        """As selfplay/run/opening.py does: exit code, lines, digest of the weights. Any other error is a traceback."""
        self.restart()
        said: list[str] = []
        errors, code = io.StringIO(), OK
        with redirect_stderr(errors):
            try:
                with clear_errors():
                    self._bring_back(folder, said.append)
            except SystemExit as end:
                code = int(end.code or 0)
        return code, said + errors.getvalue().splitlines(), self.trainer.digest()

    def _bring_back(self, folder: Path, say: Callable[[str], None]) -> None:
        resumable(folder.parent, folder.name)
        with lock(folder, say):
            for name in (JOURNAL_FOLDER, CHECKPOINT_FOLDER):
                claim_folder(folder, name, say)
            checkpoints = Checkpoints(folder, 2, say)
            with Store.open(folder / "selfplay.db") as store:
                recover(store, folder, self.trainer, self.policy, checkpoints, "replay", HERE, say)
                assert store.head().step == 4 and list(store.history())
                for row in store.checkpoints()[:1]:
                    verify(folder, row)  # what the closing line would name
            for name in SAID_FILES:
                write_file(folder / name, ["ours"], say)


@pytest.fixture(scope="module")
def bench() -> Bench:
    return Bench()


@pytest.fixture(scope="module", params=["stopped", "ended"])
def built(request: pytest.FixtureRequest, bench: Bench, tmp_path_factory: pytest.TempPathFactory) -> Built:
    place = tmp_path_factory.mktemp(request.param)
    saved = (1, 3) if request.param == "stopped" else (2, 4)
    (place / "elsewhere").mkdir()
    digest = bench.build(place / "run", saved, 0, place / "older")
    assert bench.build(place / "other", saved, 10) != digest
    return Built(place / "run", Copies(place / "older", place / "other", place / "elsewhere"), digest)


Damage = Callable[[Path, Path, Copies], None]  # the run's folder, the place in it, what to damage with


def _flip(run: Path, place: Path, copies: Copies) -> None:
    content = bytearray((run / place).read_bytes())
    content[{".safetensors": -1, ".db": 3}.get(place.suffix, len(content) // 3)] ^= 0x55
    (run / place).write_bytes(content)


def _cut(run: Path, place: Path, copies: Copies) -> None:
    content = (run / place).read_bytes()
    (run / place).write_bytes(content[: len(content) // 2])


def _empty(run: Path, place: Path, copies: Copies) -> None:
    if (run / place).is_dir():
        _remove(run, place, copies)
        (run / place).mkdir()
    else:
        (run / place).write_bytes(b"")


def _remove(run: Path, place: Path, copies: Copies) -> None:
    if (run / place).is_dir():
        shutil.rmtree(run / place)
    else:
        (run / place).unlink()


def _exchange(run: Path, place: Path, copies: Copies) -> None:
    """A folder for a file, a file for a folder."""
    was_folder = (run / place).is_dir()
    _remove(run, place, copies)
    if was_folder:
        (run / place).write_text("no folder")
    else:
        (run / place).mkdir()


def _link(run: Path, place: Path, copies: Copies) -> None:
    """To a stranger of the same kind."""
    target = copies.elsewhere / "target"
    if (run / place).is_dir():
        target.mkdir()
    else:
        target.write_text("precious")
    _remove(run, place, copies)
    (run / place).symlink_to(target)


def _put(run: Path, place: Path, source: Path, copies: Copies) -> None:
    _remove(run, place, copies)
    (shutil.copytree if source.is_dir() else shutil.copy)(source, run / place)


def _older(run: Path, place: Path, copies: Copies) -> None:
    """As it was after step 2; for what was not there then, the one of the same kind that was."""
    if place.parts[0] == JOURNAL_FOLDER and len(place.parts) > 1:
        earlier = sorted((copies.older / JOURNAL_FOLDER).iterdir())
    elif place.parts[0] == CHECKPOINT_FOLDER and len(place.parts) > 1:
        earlier = sorted((copies.older / CHECKPOINT_FOLDER).glob("/".join(("*", *place.parts[2:]))))
    else:
        earlier = [copies.older / place]
    _put(run, place, earlier[0], copies)


def _other(run: Path, place: Path, copies: Copies) -> None:
    """The file of the same name of a run with another seed."""
    _put(run, place, copies.other / place, copies)


def _beside(run: Path, place: Path, copies: Copies) -> None:
    """A stray file, a stray folder and a stray link in the same folder."""
    (run / place).with_name("stray.txt").write_text("stray")
    (run / place).with_name("stray folder").mkdir()
    (run / place).with_name("stray link").symlink_to(copies.elsewhere)


DAMAGES: dict[str, Damage] = {
    "flipped": _flip, "cut": _cut, "emptied": _empty, "removed": _remove,
    "a folder for a file, or the reverse": _exchange, "a link": _link,
    "an older copy": _older, "of another run": _other, "strays beside it": _beside,
}  # fmt: skip


def _places(folder: Path) -> dict[str, Path]:
    """The rows of the table, as places in this run's folder."""
    old, new = sorted(each.name for each in (folder / CHECKPOINT_FOLDER).iterdir())
    journals = sorted(each.name for each in (folder / JOURNAL_FOLDER).iterdir())
    at = Path(CHECKPOINT_FOLDER)
    return {
        "selfplay.db": Path("selfplay.db"),
        "LOCK, config.yaml, metrics.jsonl, summary.json": Path("LOCK"),
        "the last journal": Path(JOURNAL_FOLDER, journals[-1]),
        "a journal before the newest checkpoint": Path(JOURNAL_FOLDER, journals[0]),
        "journal/": Path(JOURNAL_FOLDER),
        "a file of the newest checkpoint": at / new / "trainer-master.safetensors",
        "a file of an older checkpoint": at / old / "trainer-master.safetensors",
        "the newest checkpoint": at / new,
        "checkpoints/": at,
    }


MORE = {
    "LOCK, config.yaml, metrics.jsonl, summary.json": [Path(name) for name in SAID_FILES],
    "a file of the newest checkpoint": [Path("manifest.json"), Path("policy/model.safetensors")],
}


def _table() -> dict[str, dict[str, str]]:
    """What docs/durability.md says, by place and damage: "same", "said", "65", or two of them, stopped / ended."""
    lines = DOCS.read_text().split("## Damage", 1)[1].split("\n## ", 1)[0].splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    heads = cells[0][1:]
    return {row[0].strip("`"): dict(zip(heads, row[1:], strict=True)) for row in cells[2:]}


def _content(folder: Path) -> dict[str, bytes]:
    """Every file but those that SQLite and the lock write while they only look."""
    passing = re.compile(r"selfplay\.db-(wal|shm)|LOCK")
    files = (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return {str(p.relative_to(folder)): p.read_bytes() for p in files if not passing.fullmatch(p.name)}


def _found(bench: Bench, built: Built, place: Path, damage: str, tmp_path: Path) -> str:
    """Damages a copy, brings it back, and says what became of it. Asserts what holds of all."""
    run = tmp_path / "copy" / "run"
    shutil.rmtree(tmp_path / "copy", ignore_errors=True)
    shutil.copytree(built.folder, run)
    DAMAGES[damage](run, place, built.copies)
    before = _content(run)
    code, lines, digest = bench.bring_back(run)
    case = f"{built.folder.parent.name}: {place} {damage}: {code} {lines}"
    assert code in (OK, DATA), case
    after = _content(run)
    if code == DATA:
        assert sum(line.startswith("error: ") for line in lines) == 1, case
        assert sorted(after.values()) == sorted(before.values()), f"{case}: something was lost"
    else:
        assert digest == built.digest, case
    stray = [name for name, content in after.items() if content == b"stray"]
    assert damage != "strays beside it" or stray, case
    target = built.copies.elsewhere / "target"
    if damage == "a link":
        assert target.is_dir() or target.read_text() == "precious", case
        assert len(place.parts) == 1 or target.is_file() or not list(target.iterdir()), case
        shutil.rmtree(target) if target.is_dir() else target.unlink()
    return "65" if code == DATA else "said" if any(not line.startswith("replaying ") for line in lines) else "same"


ROWS = tuple(_table())


@pytest.mark.parametrize("row", ROWS)
def test_whatever_is_done_to_a_file_is_noticed_or_harmless(
    bench: Bench, built: Built, row: str, tmp_path: Path
) -> None:
    """Cases 29 to 37, as docs/durability.md has them: a cell of two words says what becomes of a run that was stopped
    and of one that had ended."""
    is_stopped = built.folder.parent.name.startswith("stopped")
    place = _places(built.folder)[row]
    places = [place, *(place.parent / each for each in (MORE.get(row, []) if is_stopped else []))]
    for damage, cell in _table()[row].items():
        words = cell.split(" / ")
        for each in places if cell != "-" else []:
            assert _found(bench, built, each, damage, tmp_path) == words[0 if is_stopped else -1], (each, damage)


def test_the_table_has_every_place_and_every_damage(built: Built) -> None:
    table = _table()
    assert set(table) == set(_places(built.folder)) and all(set(cells) == set(DAMAGES) for cells in table.values())
    assert all(
        cell != "-" or (row.endswith(("/", "checkpoint")) and "file" not in row and damage in ("flipped", "cut"))
        for row, cells in table.items()
        for damage, cell in cells.items()
    )
