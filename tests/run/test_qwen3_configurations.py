"""The configurations for Qwen3, each played whole for three steps by a Qwen3 of two layers with random weights.

What they say for a GPU is overridden by what a test has time for; all else is as it is in the file. The model's folder
has a chat template with Qwen3's switches, and its tokens. All of them, with and without thoughts:

    uv sync --extra reasoning-gym && uv run pytest -m "slow or not slow" tests/run/test_qwen3_configurations.py
"""

import importlib.util
from pathlib import Path

import pytest
from chat_templates import qwen3_folder
from run_server import Server

from selfplay.api import open_store
from selfplay.config.files import load
from selfplay.machine.errors import OK
from store.records import StepRow

SMALL = (
    "model.dtype=float32", "run.device=cpu", "run.threads=1", "run.steps=3", "run.checkpoint_every=2",
    "challenger.targets=2", "challenger.proposals=2", "challenger.max_tokens=12",
    "solver.problems=3", "solver.group_size=4", "solver.max_tokens=12",
    "evaluate.every=2", "evaluate.interim_size=2", "evaluate.pass_size=1", "evaluate.pass_k=2",
    "judge.rewards=[{part: random}]",  # random weights are never right: coins make them learn something
)  # fmt: skip
FEW_PROGRAMS = ("domain_options.kinds=[deduction]", "domain_options.max_level=1")  # one evaluation set, of 400
FEW_PUZZLES = ("domain_options.levels=2", "domain_options.entries=6", "domain_options.test_entries=4")
CASES = {  # file, what makes its domain small, whether it thinks
    "0.6b": ("qwen3-0.6b", FEW_PROGRAMS, False),
    "0.6b-thinking": ("qwen3-0.6b", (*FEW_PROGRAMS, "prompts.thinking=true"), True),
    "1.7b-lora": ("qwen3-1.7b-lora", FEW_PUZZLES, False),
    "1.7b-lora-thinking": ("qwen3-1.7b-lora", (*FEW_PUZZLES, "prompts.thinking=true"), True),
    "8b": ("qwen3-8b", FEW_PUZZLES, True),
    "8b-at-once": ("qwen3-8b", (*FEW_PUZZLES, "prompts.thinking=false"), False),
}
# slow: the default tests play each file as it is
OTHER_WAY = ("0.6b-thinking", "1.7b-lora-thinking", "8b-at-once")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[bool, Path]:
    """A folder with tied embeddings, as the smaller ones have them, and one without, as 8B has them."""
    place = tmp_path_factory.mktemp("models")
    return {tied: qwen3_folder(place / f"tied-{tied}", tied) for tied in (True, False)}


def steps_of(run: Path) -> list[StepRow]:
    with open_store(run) as store:
        return list(store.steps()[1:])


@pytest.mark.parametrize("case", [pytest.param(c, marks=pytest.mark.slow if c in OTHER_WAY else ()) for c in CASES])
def test_a_configuration_runs_whole(case: str, server: Server, tmp_path: Path, models: dict[bool, Path]) -> None:
    name, small, thinks = CASES[case]
    config = load(Path("configs") / f"{name}.yaml", small)
    if config.domain == "reasoning_gym" and importlib.util.find_spec("reasoning_gym") is None:
        pytest.skip("the extra reasoning-gym is not installed")
    assert config.prompts.thinking is thinks
    model = models["8b" not in case]
    ended = server.run(
        [f"configs/{name}.yaml", f"model.name={model}", *SMALL, *small, "run.name=x", f"run.dir={tmp_path}"]
    )
    assert ended.code == OK, ended.output
    rows = steps_of(tmp_path / "x")
    assert [row.step for row in rows] == [1, 2, 3]
    assert sum(row.metrics["train/packs"] for row in rows) > 0
    assert max(row.metrics["sampling/logp_diff/max"] for row in rows) < 1e-3, "what samples is what is trained"
    assert len({row.weights_digest for row in rows}) > 1, "something was learned"
    saved = tmp_path / "x" / "checkpoints" / "step_000003" / "policy"
    assert (saved / "adapter_model.safetensors").exists() == (config.policy.lora.r > 0)
    assert (saved / "model.safetensors").exists() == (config.policy.lora.r == 0)
