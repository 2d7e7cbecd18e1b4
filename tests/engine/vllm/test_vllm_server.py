"""A worker on a server: who is let in, that weights travel there, and what becomes of a run whose server goes away.

The server is the real one (engines/vllm/server.py); its workers are tests/helpers/vllm_workers/vllm_stand_in.py.
test_vllm.py has one with vLLM.
"""

import os
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from samples_behind import change
from with_stand_in import SETTINGS, STAND_IN, drawn, draws
from with_vllm import within_ten_seconds

from roles.tree import Tree
from selfplay.engine.tree_engine import TreeEngine
from selfplay.engine.vllm import server as client
from selfplay.engine.vllm import worker as asking
from selfplay.engine.vllm.process import PROJECT
from selfplay.engine.vllm.sampler import VllmSampler
from selfplay.engine.vllm.server import VARIABLE, Server, server_token
from selfplay.engine.vllm.wire import receive, send
from selfplay.engine.vllm.worker import Worker
from selfplay.machine.errors import NO_ENGINE, EngineError, Refused, SyncError
from selfplay.model.policy import Policy

TOKEN = "a secret of these tests"


class Listening:
    """A server, whose workers have the faults in `faults`. `port` 0: one that is free."""

    def __init__(self, folder: Path, faults: Path, port: int = 0) -> None:
        script = folder / "worker.py"
        script.write_text(f"import os, sys\nos.execv({sys.executable!r}, [{sys.executable!r}, {str(STAND_IN)!r}, "
                          f"{str(faults)!r}, *sys.argv])\n")  # fmt: skip
        run = "import sys, pathlib, server; server.listen(sys.argv[1], pathlib.Path(sys.argv[2]), 1)"
        theirs = {"PYTHONPATH": str(PROJECT), VARIABLE: TOKEN, "TMPDIR": str(folder)}
        self._process = subprocess.Popen(
            [sys.executable, "-c", run, f"127.0.0.1:{port}", str(script)], stdout=subprocess.PIPE, text=True,
            start_new_session=True, env=os.environ | theirs,
        )  # fmt: skip
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline().rpartition(":")[2])
        self.url = f"tcp://127.0.0.1:{self.port}"

    def kill(self) -> None:
        """With its workers."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()


@pytest.fixture
def listening(tmp_path: Path, faults: Path) -> Iterator[Listening]:
    server = Listening(tmp_path, faults)
    yield server
    server.kill()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that is gone is not waited for, and files are sent in many parts."""
    monkeypatch.setattr(client, "_CONNECT_SECONDS", 0.3)
    monkeypatch.setattr(client, "_PAUSE_SECONDS", 0.05)
    monkeypatch.setattr(asking, "_PART", 100_000)


@pytest.fixture
def connected(policy: Policy, lines: list[str], quick: None) -> Iterator[Callable[..., VllmSampler]]:
    made = []

    def sampler(url: str, token: str = TOKEN, seconds: float = 60.0) -> VllmSampler:
        settings = replace(SETTINGS, restarts=1)
        hire = lambda: Worker(Server(url, token, seconds), seconds)  # noqa: E731
        made.append(VllmSampler(policy, TreeEngine(policy, 3), 3, settings, hire, lines.append))
        return made[-1]

    yield sampler
    for each in made:
        each.close()


def test_weights_travel_to_a_server_and_it_says_what_a_process_says(
    listening: Listening, connected: Callable[..., VllmSampler], make: Callable[..., VllmSampler], policy: Policy,
    faults: Path, tmp_path: Path,
) -> None:  # fmt: skip
    sampler = connected(listening.url)
    sampler.load(0)
    change(policy)
    sampler.load(1)
    assert sampler.measure_gap().mean < 1e-5
    assert drawn(sampler)[1] == drawn(make())[1]
    [session] = tmp_path.glob("selfplay-worker-*")
    (faults / "stale").touch()
    change(policy)
    with pytest.raises(SyncError, match="policy version 2: 21 of the 21 weights"):
        sampler.load(2)
    assert within_ten_seconds(lambda: not session.exists()), "what the run sent is not kept"


def test_a_server_that_starts_anew_is_found_again(
    listening: Listening, connected: Callable[..., VllmSampler], policy: Policy, lines: list[str], tmp_path: Path,
    faults: Path,
) -> None:  # fmt: skip
    sampler = connected(listening.url)
    sampler.load(0)
    change(policy)
    sampler.load(1)
    before = drawn(sampler)[1]
    listening.kill()
    another = Listening(tmp_path, faults, listening.port)
    try:
        assert drawn(sampler)[1] == before
        assert len(lines) == 1 and "is gone, or has ended the connection" in lines[0]
    finally:
        another.kill()


def test_a_server_that_stays_away_is_one_line(
    listening: Listening, connected: Callable[..., VllmSampler], lines: list[str]
) -> None:
    sampler = connected(listening.url)
    sampler.load(0)
    listening.kill()
    tree = Tree()
    with pytest.raises(
        EngineError, match=rf"lost 2 times at one question \(nobody listens at {listening.url}"
    ) as caught:
        sampler.sample(tree, draws(tree))
    assert caught.value.code == NO_ENGINE and len(lines) == 1
    assert not any(tree.labels)


def test_a_server_that_serves_another_run_is_waited_for(
    listening: Listening, connected: Callable[..., VllmSampler]
) -> None:
    first = connected(listening.url)
    first.load(0)
    with pytest.raises(EngineError, match="serves somebody else, or hangs"):
        connected(listening.url, seconds=0.5).load(0)
    first.close()
    connected(listening.url).load(0)


def test_another_token_is_turned_away_and_the_server_stays(
    listening: Listening, connected: Callable[..., VllmSampler]
) -> None:
    with pytest.raises(EngineError, match=f"was started with another {VARIABLE}; nothing was sent") as caught:
        connected(listening.url, token="a secret of somebody else").load(0)
    assert caught.value.code == NO_ENGINE
    for noise in (
        b"",
        b"GET / HTTP/1.1\r\n\r\n",
        struct.pack(">I", 1 << 31),
        struct.pack(">I", 2) + b"[]",
        os.urandom(99),
    ):
        with socket.create_connection(("127.0.0.1", listening.port)) as connection:
            connection.sendall(noise)
    connected(listening.url).load(0)


def test_nothing_is_sent_to_a_server_that_does_not_have_the_token(connected: Callable[..., VllmSampler]) -> None:
    """A run folder of somebody else may name one."""
    heard: list[Any] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def impostor() -> None:
            connection, _ = listening.accept()
            with connection:
                send(connection, {"name": "selfplay", "number": "0" * 64})
                heard.append(receive(connection))
                send(connection, {"proof": heard[0][0]["proof"]})  # what it was told, said back
                while part := connection.recv(1000):
                    heard.append(part)

        thread = threading.Thread(target=impostor)
        thread.start()
        with pytest.raises(EngineError, match="nothing was sent"):
            connected(f"tcp://127.0.0.1:{listening.getsockname()[1]}").load(0)
        thread.join(10)
    assert len(heard) == 1 and heard[0][0].keys() == {"number", "proof"}


def test_a_token_is_wanted_on_both_sides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "short")
    with pytest.raises(Refused, match=f"{VARIABLE} is to hold the secret") as caught:
        server_token()
    assert caught.value.code == NO_ENGINE
    monkeypatch.setenv(VARIABLE, TOKEN)
    assert server_token() == TOKEN
    ended = subprocess.run(
        [sys.executable, PROJECT / "worker.py", "--listen", "127.0.0.1:0"], capture_output=True, text=True,
        env=os.environ | {VARIABLE: "short"},
    )  # fmt: skip
    assert ended.returncode == 1 and ended.stderr.startswith(f"error: set {VARIABLE} to a secret")


@pytest.fixture
def theirs(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Any]]:
    """Modules of engines/vllm, in this process."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(PROJECT)
    yield import_module
    for name in {"messages", "server", "tensors", "worker"} - before:
        sys.modules.pop(name, None)


@pytest.mark.parametrize("name", ["../x", "..", "/x", "", ".x", "a/b", "a\0b"])
def test_a_file_is_put_nowhere_but_in_the_workers_folder(
    theirs: Callable[[str], Any], tmp_path: Path, name: str
) -> None:
    (tmp_path / "files").mkdir()
    engine = theirs("worker").Engine(tmp_path / "files")
    for message in ({"folder": name, "file": "x"}, {"folder": "x", "file": name}):
        with pytest.raises(ValueError, match="is no plain name"):
            engine.put(message, [b"?"])
    engine.put({"folder": "weights", "file": "model.safetensors"}, [b"1"])
    engine.put({"folder": "weights", "file": "model.safetensors"}, [b"2"])
    assert (tmp_path / "files" / "weights" / "model.safetensors").read_bytes() == b"12"
    assert [path.name for path in tmp_path.iterdir()] == ["files"]


@pytest.mark.parametrize(
    ("size", "head", "words"),
    [
        ((1 << 26) + 1, b"", "a message of 67108865 bytes"),
        (2, b"[]", "no object"),
        (14, b'{"blobs":[-1]}', "no possible size"),
        (23, b'{"blobs":[99999999999]}', "no possible size"),
        (9, b'{"blobs":', "Expecting value"),
        (31, b'{"blobs":[1,1,1,1,1,1,1,1,1,1]}', "too many arrays"),
        (11, b'{"blobs":5}', "too many arrays"),
    ],
)
def test_what_is_no_message_is_refused_on_both_sides(
    theirs: Callable[[str], Any], size: int, head: bytes, words: str
) -> None:
    for read in (receive, theirs("messages").receive):
        ours, other = socket.socketpair()
        with ours, other:
            ours.settimeout(5)
            other.sendall(struct.pack(">I", size) + head)
            other.close()
            with pytest.raises(ValueError, match=words):
                read(ours)
