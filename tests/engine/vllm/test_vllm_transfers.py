"""vLLM's own transfers of weights, with vLLM's own end of them, on a CPU.

What stands in the place of a GPU is said in with_transfers.py of tests/helpers/vllm_workers. What is in the file is the
same on a GPU; test_transfers_gpu.py has the rest."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from samples_behind import apart, change
from with_transfers import ON_A_CPU, PACK, GlooGroup, transfer_of, transferring
from with_vllm import CLOSE, FREE, NEEDS_VLLM, SECONDS, SMALL, STALE_HEAD, drawn, tiny_policy

from selfplay.engine.vllm.device_transfer import NcclTransfer
from selfplay.engine.vllm.sampler import VllmSampler, VllmSettings
from selfplay.machine.errors import NO_ENGINE, OUT_OF_SYNC, EngineError, SyncError
from selfplay.model.policy import Policy

pytestmark = NEEDS_VLLM
Make = Callable[..., tuple[VllmSampler, Policy]]


@pytest.fixture
def make(patched: Callable[[str], Path], tmp_path: Path, lines: list[str]) -> Iterator[Make]:
    made = []

    def sampler(
        kind: str, patch: str = "", is_tied: bool = True, dtype: str = "float32", max_gap: float = CLOSE
    ) -> tuple[VllmSampler, Policy]:
        policy = tiny_policy(is_tied, dtype, 0)
        settings = VllmSettings(dtype, 512, 1 << 26, max_gap, 1)
        python, device = patched(ON_A_CPU + patch), transfer_of(kind, tmp_path)
        made.append(transferring(policy, python, device, settings, SECONDS, lines))
        made[-1].load(0)
        assert not lines, "every weight can be compared with the worker's"
        return made[-1], policy

    yield sampler
    for each in made:
        each.close()


@pytest.mark.parametrize(("kind", "is_tied"), [("ipc", True), ("ipc", False), ("nccl", True), ("nccl", False)])
def test_weights_travel_and_nothing_of_the_old_ones_stays(
    make: Make, kind: str, is_tied: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[int] = []
    monkeypatch.setattr(GlooGroup, "abort", lambda group: said.extend(group.said))
    sampler, policy = make(kind, is_tied=is_tied)
    for _ in range(3):
        drawn(sampler)  # the cache holds keys of these weights
        change(policy)
        assert apart(policy, drawn(sampler)[0], FREE.temperature) > 100 * CLOSE, "the worker has the old ones"
        sampler.load(policy.version)
        assert apart(policy, drawn(sampler)[0], FREE.temperature) < CLOSE
    sampler.close()
    if kind == "nccl":
        whole = sum(parameter.nbytes for parameter in policy.model.parameters())
        assert sum(said) == 4 * whole, "at the start, which tries it, and three times"
        assert len(said) > 4 * 3 and max(said) > PACK, "in packs"


ONE_LESS = """
receive = worker.transfers.receive
def but_one(llm, message):
    update = llm.update_weights
    def all_but(request):
        load = llm.llm_engine.model_executor.driver_worker.worker.get_model().load_weights
        model = llm.llm_engine.model_executor.driver_worker.worker.get_model()
        model.load_weights = lambda weights: load([each for each in weights if "layers.1.mlp.down" not in each[0]])
        try:
            update(request)
        finally:
            del model.load_weights
    llm.update_weights = all_but
    try:
        receive(llm, message)
    finally:
        llm.update_weights = update
"""
AFTER_THE_START = """
rounds = []
finish = worker.Engine.finish
def counted(self, message, blobs):
    rounds.append(1)
    if len(rounds) == 1:
        {later}
    return finish(self, message, blobs)
worker.Engine.finish = counted
"""


@pytest.mark.parametrize("kind", ["ipc", "nccl"])
@pytest.mark.parametrize(
    ("patch", "later", "line"),
    [
        (
            ONE_LESS,
            "worker.transfers.receive = but_one",
            r"1 of the 21 weights .*\(model.layers.1.mlp.down_proj.weight\)",
        ),
        (STALE_HEAD, "pass", r"1 of the 21 weights .*\(lm_head.weight\)"),
    ],
    ids=["a weight that stays behind", "a stale head"],
)
def test_what_stays_behind_is_caught_at_the_first_update(
    make: Make, kind: str, patch: str, later: str, line: str
) -> None:
    """In bfloat16, where an update that is so small hides behind rounding."""
    sampler, policy = make(kind, patch + AFTER_THE_START.format(later=later), dtype="bfloat16", max_gap=0.1)
    change(policy, SMALL)
    assert sampler.measure_gap().mean < 0.05
    with pytest.raises(SyncError, match=f"policy version 1: .*{line}") as caught:
        sampler.load(1)
    assert caught.value.code == OUT_OF_SYNC


DIES_ONCE = """
import os, pathlib
def dying(self, message, blobs):
    mark = pathlib.Path({mark!r})
    if mark.exists():
        mark.unlink()
        os._exit(5)
    return receive_(self, message, blobs)
receive_ = worker.Engine.receive
worker.Engine.receive = dying
"""


@pytest.mark.parametrize("kind", ["ipc", "nccl"])
def test_a_worker_that_dies_over_an_update_is_replaced(make: Make, kind: str, tmp_path: Path, lines: list[str]) -> None:
    mark = tmp_path / "die"
    sampler, policy = make(kind, DIES_ONCE.format(mark=str(mark)))
    pid = sampler.worker_pid
    change(policy)
    mark.touch()
    sampler.load(1)
    assert not mark.exists() and sampler.worker_pid not in (None, pid)
    assert len(lines) == 1 and "exit code 5" in lines[0] and "started anew" in lines[0], lines
    assert apart(policy, drawn(sampler)[0], FREE.temperature) < CLOSE
    change(policy)
    sampler.load(2)
    assert apart(policy, drawn(sampler)[0], FREE.temperature) < CLOSE


def test_a_broadcast_that_fails_here_ends_the_wait_there(
    make: Make, monkeypatch: pytest.MonkeyPatch, lines: list[str]
) -> None:
    """The worker is in the other half of it, and would wait for this one."""
    sampler, policy = make("nccl")
    whole, failed = GlooGroup.broadcast, []

    def broken(group: GlooGroup, data: object) -> None:
        if not failed:
            failed.append(True)
            raise RuntimeError("the way is broken")
        whole(group, data)  # type: ignore[arg-type]

    monkeypatch.setattr(GlooGroup, "broadcast", broken)
    change(policy)
    sampler.load(1)
    assert len(lines) == 1 and "this end failed: the way is broken" in lines[0], lines
    assert apart(policy, drawn(sampler)[0], FREE.temperature) < CLOSE


def test_vllm_that_cannot_take_weights_so_is_one_line_before_a_step_is_played(make: Make) -> None:
    refuses = "def no(llm, message): raise RuntimeError('no peer access')\nworker.transfers.receive = no\n"
    with pytest.raises(EngineError, match=r"engine.weights=ipc: vLLM could not .*no peer access.*engine.weights=files"):
        make("ipc", refuses)


def test_a_group_that_cannot_be_made_is_one_line(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere() -> bytes:
        raise OSError("there is no NCCL here")

    init = NcclTransfer.__init__
    monkeypatch.setattr(NcclTransfer, "__init__", lambda self, meet, identity, size: init(self, meet, nowhere, size))
    with pytest.raises(EngineError, match=r"engine.weights=nccl: there is no NCCL here; use") as caught:
        make("nccl")
    assert caught.value.code == NO_ENGINE
