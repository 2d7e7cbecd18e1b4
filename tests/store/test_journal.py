"""Journal files: exact, durable, and checked against the hash in their row."""

import hashlib
import os
import resource
import signal
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from store import kill_points
from store.errors import JournalError, StoreError
from store.journal import StepJournal, read_journal, write_journal

ARRAYS = {
    "ids": np.array([[3, 1], [2, 2**31 - 1]], dtype=np.int32),
    "logprobs": np.array([-0.1, -1e-300]),
    "advantages": np.array([0.5, -0.25, np.nan], dtype=np.float32),
    "mask": np.array([True, False]),
    "alpha": np.array(10.0),
    "none": np.zeros((0, 4), dtype=np.int64),
    "turned": np.arange(6).reshape(2, 3).T,
}


def _same(left: np.ndarray, right: np.ndarray) -> bool:
    return left.dtype == right.dtype and left.shape == right.shape and left.tobytes() == right.tobytes()


def test_a_journal_comes_back_exactly(tmp_path: Path) -> None:
    name, sha256 = write_journal(tmp_path / "journal", StepJournal(12, ARRAYS))
    assert name == "step_000012.safetensors"
    read = read_journal(tmp_path / "journal", name, sha256)
    assert read.step == 12 and read.arrays.keys() == ARRAYS.keys()
    assert all(_same(read.arrays[key], ARRAYS[key]) for key in ARRAYS)
    assert [file.name for file in (tmp_path / "journal").iterdir()] == [name]


@given(npst.arrays(st.sampled_from([np.int32, np.int64, np.float32, np.float64]), npst.array_shapes(min_side=0)))
def test_any_array_comes_back_exactly(tmp_path_factory: pytest.TempPathFactory, array: np.ndarray) -> None:
    folder = tmp_path_factory.getbasetemp() / "any"
    read = read_journal(folder, *write_journal(folder, StepJournal(1, {"array": array})))
    assert _same(read.arrays["array"], array)


def test_equal_journals_have_equal_bytes_whatever_the_order_of_their_names(tmp_path: Path) -> None:
    turned = dict(reversed(ARRAYS.items()))
    written = write_journal(tmp_path, StepJournal(1, ARRAYS))
    assert write_journal(tmp_path, StepJournal(1, turned)) == written
    assert write_journal(tmp_path, StepJournal(1, {**ARRAYS, "alpha": np.array(11.0)}))[1] != written[1]


@pytest.mark.parametrize("damage", ["flip", "cut", "delete", "empty"])
def test_a_damaged_journal_is_named(tmp_path: Path, damage: str) -> None:
    name, sha256 = write_journal(tmp_path, StepJournal(3, ARRAYS))
    blob = bytearray((tmp_path / name).read_bytes())
    if damage == "delete":
        (tmp_path / name).unlink()
    else:
        blob[-1] ^= 1
        (tmp_path / name).write_bytes(bytes({"flip": blob, "cut": blob[:-5], "empty": bytearray()}[damage]))
    with pytest.raises(JournalError, match=r"step_000003\.safetensors"):
        read_journal(tmp_path, name, sha256)


def test_a_file_name_that_leaves_the_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="no folder"):
        read_journal(tmp_path, "../step_000003.safetensors", "x")


def test_an_array_of_objects_is_refused(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="step 1 holds an array"):
        write_journal(tmp_path, StepJournal(1, {"x": np.array([object()])}))


def test_a_folder_that_cannot_be_written_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="step_000001"):
        write_journal(tmp_path / "file", StepJournal(1, {}))


def test_a_write_that_fails_leaves_no_half_file(tmp_path: Path) -> None:
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))  # stands in for a full disk
        try:
            write_journal(tmp_path, StepJournal(1, {"x": np.zeros(10_000)}))
        except StoreError:
            os._exit(0)
        os._exit(1)
    assert os.waitpid(child, 0)[1] == 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("point", "keeps_old"), [("journal.written", True), ("journal.renamed", False)])
def test_a_kill_leaves_the_old_file_or_the_new_one(tmp_path: Path, point: str, keeps_old: bool) -> None:
    old = write_journal(tmp_path, StepJournal(1, {"x": np.arange(3)}))
    child = os.fork()
    if child == 0:
        try:
            kill_points.arm(point, 1)
            write_journal(tmp_path, StepJournal(1, {"x": np.arange(4)}))
        finally:
            os._exit(1)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
    if keeps_old:
        assert read_journal(tmp_path, *old).arrays["x"].tolist() == [0, 1, 2]
    else:
        with pytest.raises(JournalError, match="damaged"):
            read_journal(tmp_path, *old)
    new = write_journal(tmp_path, StepJournal(1, {"x": np.arange(4)}))
    assert read_journal(tmp_path, *new).arrays["x"].tolist() == [0, 1, 2, 3]
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    "content", [b"", b"garbled", b"\xff" * 99, b"\2" + bytes(7) + b"{}", b"\4" + bytes(7) + b"null"]
)
def test_what_is_no_journal_is_named_though_its_sha256_is_right(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "step_000001.safetensors").write_bytes(content)
    with pytest.raises(JournalError, match="is no journal"):
        read_journal(tmp_path, "step_000001.safetensors", hashlib.sha256(content).hexdigest())
