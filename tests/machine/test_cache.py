"""A folder that is made once: whole, or made again; one maker at a time; nothing left behind."""

import multiprocessing
import time
from pathlib import Path

import pytest

from selfplay.machine.cache import MANIFEST, is_whole, made_once


class Maker:
    """Writes two files and counts how often it was asked to."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, folder: Path) -> None:
        self.calls += 1
        (folder / "weights").write_bytes(b"w" * 3_000_000)
        (folder / "empty").touch()


@pytest.fixture
def made(tmp_path: Path) -> Path:
    return made_once(tmp_path / "cache" / "model", "v1", Maker())


def flip_one_bit(folder: Path) -> None:
    content = bytearray((folder / "weights").read_bytes())
    content[2_999_999] ^= 1
    (folder / "weights").write_bytes(content)


DAMAGES = {
    "a flipped bit": flip_one_bit,
    "a cut file": lambda folder: (folder / "weights").write_bytes(b"w"),
    "a missing file": lambda folder: (folder / "empty").unlink(),
    "a file too many": lambda folder: (folder / "stranger").touch(),
    "no manifest": lambda folder: (folder / MANIFEST).unlink(),
    "a cut manifest": lambda folder: (folder / MANIFEST).write_text('{"source": "v1", "fi'),
    "a foreign manifest": lambda folder: (folder / MANIFEST).write_text("[1]"),
}


def test_it_is_made_once_and_then_used(made: Path) -> None:
    maker = Maker()
    assert made_once(made, "v1", maker) == made
    assert maker.calls == 0


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_damage_is_found_and_mended(damage: object, made: Path) -> None:
    assert is_whole(made, "v1")
    damage(made)  # type: ignore[operator]
    assert not is_whole(made, "v1")
    made_once(made, "v1", Maker())
    assert is_whole(made, "v1")


def test_another_source_is_made_anew(made: Path) -> None:
    maker = Maker()
    made_once(made, "v2", maker)
    assert maker.calls == 1
    assert is_whole(made, "v2")
    assert not is_whole(made, "v1")


def test_what_a_killed_process_left_is_cleared(tmp_path: Path) -> None:
    left = tmp_path / ".model.new"
    left.mkdir()
    (left / "half").write_text("half")
    folder = made_once(tmp_path / "model", "v1", Maker())
    assert is_whole(folder, "v1")
    assert not (folder / "half").exists()
    assert not left.exists()


def test_a_maker_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def fail(folder: Path) -> None:
        (folder / "half").write_text("half")
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        made_once(tmp_path / "model", "v1", fail)
    assert not any(path.is_dir() for path in tmp_path.iterdir())


def _make_slowly(folder: Path, log: Path) -> None:
    def make(new: Path) -> None:
        with log.open("a") as file:
            file.write("made\n")
        time.sleep(0.2)
        Maker()(new)

    assert is_whole(made_once(folder, "v1", make), "v1")


def test_of_many_processes_one_makes_and_all_use(tmp_path: Path) -> None:
    folder, log = tmp_path / "model", tmp_path / "log"
    context = multiprocessing.get_context("fork")
    children = [context.Process(target=_make_slowly, args=(folder, log)) for _ in range(4)]
    for child in children:
        child.start()
    for child in children:
        child.join()
    assert [child.exitcode for child in children] == [0] * 4
    assert log.read_text() == "made\n"
