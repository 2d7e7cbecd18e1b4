"""kill -9 at twenty moments of a run and of its vLLM worker, and of both at once: what was said stays as it was said,
and nothing stays behind.

That a run which samples in its own process ends bit for bit as if it had never been killed is tested elsewhere
(tests/run/durability/test_resume.py). With vLLM waves that were not stored are drawn anew, so less is promised, and
tested here.
"""

import os
import signal
import sqlite3
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from run_server import Server
from with_vllm import CLOSE, NEEDS_VLLM, abandoned_folders, processes, within_ten_seconds

from selfplay.engine.vllm.process import VARIABLE
from selfplay.machine.errors import OK
from selfplay.metrics import MISMATCH_MAX
from store.records import Wave
from store.store import Store

pytestmark = NEEDS_VLLM
KILLED = -signal.SIGKILL
STEPS, PROBLEMS, GROUP = 3, 2, 4
SMALL = (
    "configs/tiny.yaml", "run.name=x", "run.threads=1", f"run.steps={STEPS}", "run.checkpoint_every=1",
    "engine.kind=vllm", "engine.context=512", "engine.kv_cache_mib=64", f"engine.max_logprob_gap={CLOSE}",
    "domain=few_problems:FewProblems", "challenger.source=procedural", f"solver.problems={PROBLEMS}",
    f"solver.group_size={GROUP}", "solver.max_tokens=6", "curriculum.min_successes=1", "evaluate.pass_size=1",
    "evaluate.pass_k=2",
)  # fmt: skip
OF_THE_RUN = (
    "wave.begin:1", "wave.inserted:1", "wave.committed:1", "wave.committed:1", "loop.rolled_out:1", "loop.updated:1",
    "journal.written:1", "step.inserted:1", "loop.committed:1", "checkpoint.renamed:1",
)  # fmt: skip
OF_THE_WORKER = {  # what kills it, in the order in which a run comes there
    "it starts": "before(worker, 'make_folder')",
    "it begins to load": "before(worker.Engine, 'load')",
    "it has loaded": "after(worker.Engine, 'load')",
    "it reads its weights back": "before(worker.tensors, 'digests')",
    "it has said log-probabilities": "after(worker.Engine, 'logprobs')",
    "it begins to sample": "before(worker.Engine, 'generate')",
    "it has sampled": "after(worker.Engine, 'generate')",
    "it has said half an answer": "half_an_answer()",
    "it begins to take weights": "before(worker.tensors, 'reload')",
    "it has taken weights": "after(worker.Engine, 'weights')",
}
KILLS = """
import os, signal, pathlib
MOMENTS = pathlib.Path({folder!r})
def die():
    os.kill(os.getpid(), signal.SIGKILL)
def is_due(moment):
    try:
        (MOMENTS / moment).unlink()
    except FileNotFoundError:
        return False
    return True
def before(owner, name, moment):
    whole = getattr(owner, name)
    setattr(owner, name, lambda *of: die() if is_due(moment) else whole(*of))
def after(owner, name, moment):
    whole = getattr(owner, name)
    def then_die(*of):
        found = whole(*of)
        return die() if is_due(moment) else found
    setattr(owner, name, then_die)
def half_an_answer(moment):
    whole = worker.messages.send
    def half(connection, message, blobs):
        if "cached" in message and is_due(moment):
            connection.sendall(bytes(3))
            die()
        whole(connection, message, blobs)
    worker.messages.send = half
"""


def words(directory: Path, folder: Path) -> list[str]:
    return [*SMALL, f"run.dir={directory}", f"model.name={folder}", "engine.restarts=10"]


def pending(directory: Path) -> tuple[int, dict[str, Wave]]:
    """The step that is being worked on, and its stored waves by key."""
    with Store.open_readonly(directory / "x" / "selfplay.db") as store:
        step = store.head().step + 1
        return step, store.pending_waves(step)


def assert_nothing_is_left(python: Path, others: Sequence[Path]) -> None:
    assert within_ten_seconds(lambda: not processes(python.parent)), "the worker ends with its run"
    assert within_ten_seconds(lambda: set(others) >= set(abandoned_folders())), "and takes its shared memory along"


def assert_counted_once(directory: Path) -> None:
    with Store.open_readonly(directory / "x" / "selfplay.db") as store:
        rows = store.steps()
    assert [row.step for row in rows] == list(range(STEPS + 1)), "no step lost, none twice"
    assert all(row.metrics[MISMATCH_MAX] < CLOSE for row in rows[1:]), "what was drawn was drawn from the policy"
    with sqlite3.connect(directory / "x" / "selfplay.db") as database:
        attempts = dict(
            database.execute("SELECT step, count(*) FROM attempts JOIN steps USING (step_id) GROUP BY step")
        )
        tokens = dict(
            database.execute("SELECT step, sum(turns.num_tokens) FROM turns JOIN steps USING (step_id) GROUP BY step")
        )
    assert attempts == dict.fromkeys(range(1, STEPS + 1), PROBLEMS * GROUP)
    assert tokens == {row.step: row.metrics["tokens/sampled"] for row in rows[1:]}


def folder_of(worker: int) -> Path:
    """A worker's own folder, by its command."""
    words = Path(f"/proc/{worker}/cmdline").read_bytes().decode().split("\0")
    return Path(words[words.index("--folder") + 1])


def said(directory: Path, step: int) -> Counter[tuple[str, int, str]]:
    with sqlite3.connect(directory / "x" / "selfplay.db") as database:
        return Counter(
            database.execute(
                "SELECT text, turns.num_tokens, finish FROM turns JOIN steps USING (step_id) WHERE step = ?", (step,)
            ).fetchall()
        )


def test_a_run_killed_at_ten_moments_goes_on_with_what_was_said(
    server: Server, tmp_path: Path, folder: Path, patched: Callable[[str], Path]
) -> None:
    """A chain: each resume of the last corpse is killed at the next point."""
    python, others = patched(""), abandoned_folders()
    environment = {VARIABLE: str(python)}
    known: dict[int, dict[str, Wave]] = {}
    arguments = words(tmp_path, folder)
    for point in OF_THE_RUN:
        ended = server.run(arguments, environment=environment | {"SELFPLAY_KILL_AT": point})
        assert ended.code == KILLED, (point, ended.output)
        assert_nothing_is_left(python, others)
        step, waves = pending(tmp_path)
        assert known.get(step, {}).items() <= waves.items(), f"{point}: a stored wave is another now, or gone"
        known[step] = waves
        arguments = ["--resume", "x", f"run.dir={tmp_path}"]
    ended = server.run(arguments, environment=environment)
    assert ended.code == OK, ended.output
    assert_nothing_is_left(python, others)
    assert sum(map(len, known.values())) >= 2, "some were killed with waves that were stored"
    for step, waves in known.items():
        stored = Counter((c.text, len(c.ids), c.finish.name) for wave in waves.values() for c in wave.completions)
        assert stored <= said(tmp_path, step)
    assert_counted_once(tmp_path)


def test_a_run_whose_worker_is_killed_at_ten_moments_goes_on(
    server: Server, tmp_path: Path, folder: Path, patched: Callable[[str], Path]
) -> None:
    moments, others = tmp_path / "moments", abandoned_folders()
    moments.mkdir()
    for moment in OF_THE_WORKER:
        (moments / moment).touch()
    calls = [call.removesuffix(")") + f", {moment!r})" for moment, call in OF_THE_WORKER.items()]
    python = patched(KILLS.format(folder=str(moments)) + "\n".join(calls).replace("(, ", "("))
    ended = server.run(words(tmp_path, folder), environment={VARIABLE: str(python)})
    assert ended.code == OK, ended.output
    assert not [*moments.iterdir()], "it was killed at each"
    assert "".join(ended.output.split()).count("killedbysignal9") == len(OF_THE_WORKER)
    assert_nothing_is_left(python, others)
    assert_counted_once(tmp_path)


def test_a_run_and_its_worker_killed_at_once_leave_nothing_to_the_next(
    server: Server, tmp_path: Path, folder: Path, patched: Callable[[str], Path]
) -> None:
    """As the system does when memory runs out."""
    python, others = patched(""), set(abandoned_folders())
    arguments = [*words(tmp_path, folder), "run.steps=500"]
    with server.running(arguments, tmp_path, environment={VARIABLE: str(python)}) as run:
        assert run.has_said("step "), run.errors.read_text()
        [worker] = processes(python.parent)
        place = folder_of(worker)
        assert place.is_dir()
        os.kill(worker, signal.SIGKILL)
        os.kill(run.pid, signal.SIGKILL)
    last = pending(tmp_path)[0]
    arguments = ["--resume", "x", f"run.dir={tmp_path}", f"run.steps={last}", "domain=few_problems:FewProblems"]
    ended = server.run(arguments, environment={VARIABLE: str(python)})
    assert ended.code == OK, ended.output
    assert not place.exists(), "what they left was swept, by this run or by another that began meanwhile"
    assert_nothing_is_left(python, [*others])
