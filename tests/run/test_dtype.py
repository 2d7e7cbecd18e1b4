"""model.dtype=auto: what the processor is fast at, and what a run began with ever after."""

from pathlib import Path

import pytest
import torch

from selfplay import api
from selfplay.config import files as configuration
from selfplay.machine.environment import has_bfloat16
from selfplay.run import build_model

TINY = Path("configs/tiny.yaml")
KEYS = ["model.dtype=auto", "run.name=x", "run.steps=1", "run.threads=1", "evaluate.pass_size=1", "evaluate.pass_k=1"]


@pytest.mark.parametrize(("is_fast", "dtype"), [(True, "bfloat16"), (False, "float32")])
def test_auto_is_what_the_processor_is_fast_at(is_fast: bool, dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build_model, "has_bfloat16", lambda device: is_fast)
    for asked, found in {"auto": dtype, "bfloat16": "bfloat16", "float32": "float32"}.items():
        assert build_model.dtype_of(configuration.load(TINY, [f"model.dtype={asked}"])) == found


def test_a_gpu_has_products_of_bfloat16() -> None:
    assert has_bfloat16(torch.device("cuda"))


@pytest.mark.slow
def test_a_run_keeps_the_precision_that_it_began_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Resumed on a processor of another kind."""
    monkeypatch.setattr(build_model, "has_bfloat16", lambda device: False)
    api.run([str(TINY), *KEYS, f"run.dir={tmp_path}"])
    monkeypatch.setattr(build_model, "has_bfloat16", lambda device: True)
    api.resume(tmp_path / "x", ["run.steps=2"])
    with api.open_store(tmp_path / "x") as store:
        assert configuration.resumed(store.run().config_yaml, ()).model.dtype == "float32"
        assert [row.step for row in store.steps()] == [0, 1, 2]
