"""Tokens scored again are what the model itself says of them: at the temperature, and over the tokens, of sampling."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from run_server import Server
from store_samples import SEED, create

from roles.tree import ROOT
from selfplay.learn import rescored
from selfplay.learn.batch import TrainBatch
from selfplay.machine.errors import OK, Refused
from selfplay.machine.run_folder import DATABASE, JOURNAL_FOLDER
from selfplay.suite.loading import LoadedPolicy, load
from selfplay.suite.rescoring import logprobs_of, rescore
from selfplay.suite.subjects import subject
from store.journal import read_journal
from store.store import Store

Read = Callable[[int], tuple[TrainBatch, LoadedPolicy]]


@pytest.fixture(scope="module")
def folder(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a run of four steps with a checkpoint of each, whose solver samples hot and truncated."""
    directory = tmp_path_factory.mktemp("runs")
    ended = server.run(
        ["configs/tiny.yaml", "run.name=x", f"run.dir={directory}", "run.threads=1", "run.steps=4",
         "run.checkpoint_every=1", "run.keep_checkpoints=3", "domain=few_problems:FewProblems",
         "challenger.source=procedural", "solver.problems=3", "solver.max_tokens=6", "solver.top_k=40",
         "evaluate.pass_size=1", "evaluate.pass_k=2"]
    )  # fmt: skip
    assert ended.code == OK, ended.output
    return directory / "x"


def batch_of(folder: Path, step: int) -> tuple[TrainBatch, str]:
    with Store.open_readonly(folder / DATABASE) as store:
        row = store.step(step)
    assert row.journal_file is not None and row.journal_sha256 is not None
    journal = read_journal(folder / JOURNAL_FOLDER, row.journal_file, row.journal_sha256)
    return TrainBatch.from_arrays(journal.arrays), row.journal_sha256


def policy_of(folder: Path, step: int) -> LoadedPolicy:
    return load(subject(f"{folder}@{step}", folder.parent, ()), lambda line: None)


def test_the_weights_that_sampled_say_what_the_sampler_said(folder: Path) -> None:
    batch, _ = batch_of(folder, 4)
    assert batch.supports is not None, "the sampler was truncated"
    np.testing.assert_allclose(logprobs_of(batch, policy_of(folder, 3)), batch.sampler_logprobs, atol=2e-4)


def test_later_weights_say_what_their_model_says(folder: Path) -> None:
    """Against transformers' own logits of one row at a time."""
    batch, _ = batch_of(folder, 3)
    loaded = policy_of(folder, 4)
    found = logprobs_of(batch, loaded)
    for row in range(0, len(batch.targets), 7):
        path, node = [], int(batch.parents[batch.targets[row]])
        while node != ROOT:
            path.append(int(batch.ids[node]))
            node = int(batch.parents[node])
        with torch.no_grad():
            logits = loaded.policy.model(input_ids=torch.tensor([path[::-1]])).logits[0, -1].float() / 1.2
        assert batch.supports is not None
        drawable = torch.from_numpy(batch.supports.drawable(np.array([row]))[0])
        logprobs = logits.masked_fill(~drawable, -torch.inf).log_softmax(-1)
        assert found[row] == pytest.approx(logprobs[int(batch.ids[batch.targets[row]])].item(), abs=2e-4)
    assert np.abs(found - batch.sampler_logprobs).max() > 1e-3, "two updates lie between"


def test_a_file_is_of_its_journal_and_the_latest_policy_is_read(folder: Path) -> None:
    said: list[str] = []
    for by in (3, None):
        rescore(folder, [2, 3, 4], by, said.append)
    names = sorted(path.name for path in (folder / rescored.FOLDER).iterdir())
    assert names == [f"step_{step:06d}_by_{by:06d}.json" for step, by in ((2, 3), (2, 4), (3, 3), (3, 4), (4, 4))]
    batch, digest = batch_of(folder, 3)
    newest = rescored.newest(folder, 3, digest, len(batch.targets))
    assert newest is not None and newest.by == 4
    assert newest.logprobs == pytest.approx(logprobs_of(batch, policy_of(folder, 4)), abs=1e-6)
    assert rescored.newest(folder, 3, "of another", len(batch.targets)) is None
    assert rescored.newest(folder, 3, digest, len(batch.targets) + 1) is None


def test_what_cannot_be_scored_is_refused_before_a_model_is_loaded(folder: Path, tmp_path: Path) -> None:
    create(tmp_path / DATABASE, seeds=(SEED,)).close()
    for where, steps, by, words in (
        (
            folder,
            [1],
            None,
            "step 1 tried this problem, and none of it has both a journal and the checkpoint of step 4",
        ),
        (folder, [4], 2, "and none of it has both a journal and the checkpoint of step 2"),
        (folder, [4], 9, "has no checkpoint of step 9; there are those of steps 2, 3, 4"),
        (folder, [], None, "no step has tried this problem yet"),
        (tmp_path, [], None, "has no checkpoint yet"),
    ):
        with pytest.raises(Refused, match=words):
            rescore(where, steps, by, lambda line: None)
