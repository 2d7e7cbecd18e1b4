"""What only a whole run shows: that the configuration's numbers come to where they act."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from journals import trained_labels
from run_server import Server

from selfplay.exits import OK
from store.store import Store


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.close()


def test_each_role_is_trained_at_the_temperature_that_it_spoke_at(server: Server, tmp_path: Path) -> None:
    ended = server.run(
        [
            "configs/tiny.yaml", "run.name=x", f"run.dir={tmp_path}", "run.threads=1", "run.steps=3",
            "run.checkpoint_every=1", "domain=few_problems:AnyText", "solver.problems=2", "solver.temperature=1.7",
            "challenger.temperature=0.6", "challenger.max_tokens=64", "challenger.proposals=8",
            "challenger.invalid_reward=-0.1", "curriculum.min_successes=1", "evaluate.pass_size=1", "evaluate.pass_k=2",
        ]
    )  # fmt: skip
    assert ended.code == OK, ended.output
    assert trained_labels(tmp_path / "x") == {"challenger", "solver/0", "solver/1"}
    with Store.open_readonly(tmp_path / "x" / "selfplay.db") as store:
        assert max(row.metrics["sampling/logp_diff/max"] for row in store.steps()[1:]) < 1e-4
