"""What the tests of this folder share: runs to be shown."""

import shutil
from pathlib import Path

import pytest
from few_problems import TRAINED
from hostile_run import hostile_run
from run_server import Server


@pytest.fixture(scope="session")
def shown_runs(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a finished run of the tiny model, a copy of it to compare it with, and a hostile run."""
    folder = tmp_path_factory.mktemp("shown")
    done = server.run(
        ["configs/tiny.yaml", "run.name=tiny0", f"run.dir={folder}", "run.steps=4", "run.threads=1",
         "evaluate.every=2", "evaluate.pass_size=2", "evaluate.pass_k=2", *TRAINED]
    )  # fmt: skip
    assert done.code == 0, done.output
    shutil.copytree(folder / "tiny0", folder / "tiny1")
    hostile_run(folder)
    return folder
