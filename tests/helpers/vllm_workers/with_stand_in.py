"""The run's side of the vLLM worker with vllm_stand_in.py in place of vLLM: what is drawn, and from what."""

from pathlib import Path

from samples_behind import drawn_behind, draws_behind

from roles.requests import SamplingParams
from roles.tree import Tree
from selfplay.engine.protocol import Draw, TokenCount
from selfplay.engine.vllm.sampler import VllmSampler, VllmSettings
from store.records import Completion

STAND_IN = Path(__file__).resolve().parent / "vllm_stand_in.py"
FREE = SamplingParams(temperature=1.2, max_tokens=5, stop=("\n",))
TEXTS = ("12 + 7 =", "12 + 9 =", "x")
SETTINGS = VllmSettings("float32", None, 1 << 26, 1e-3, 2)


def draws(tree: Tree, params: SamplingParams = FREE, n: int = 2) -> list[Draw]:
    return draws_behind(tree, TEXTS, params, n)


def drawn(sampler: VllmSampler, params: SamplingParams = FREE) -> tuple[Tree, list[Completion], TokenCount]:
    return drawn_behind(sampler, TEXTS, params, 2)
