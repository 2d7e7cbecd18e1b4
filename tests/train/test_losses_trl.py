"""docs/losses.md against TRL's own code: its trainer's loss and ours on the same tokens, advantages and log mu.

uv run --isolated --group bench pytest -m trl -n 0 tests/train/test_losses_trl.py
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from test_losses import GROUPS, LONGEST, ROWS, Said, by_group, centred, leave_one_out, logprobs, ours, played
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from torch import Tensor
from transformers import PreTrainedTokenizerFast
from updates import tiny_policy

from selfplay.metrics import CLIP_RATIO, LOSS

pytestmark = pytest.mark.trl
NOISE = 0.5  # nats between theta and mu: some tokens are clipped or cut, some not


@dataclass(frozen=True, slots=True)
class Theirs:
    """What of TRL is a row of the page. `options`: of its GRPOConfig or RLOOConfig. `is_on_policy`: nothing is said to
    have moved since sampling. `cap`: of weights for another sampler; None: no weights. `scale`: what TRL's loss is
    divided by to be ours."""

    advantages: Callable[[list[Said]], list[Tensor]]
    options: Mapping[str, Any] = field(default_factory=dict)
    trainer: str = "GRPO"
    is_on_policy: bool = False
    cap: float | None = None
    scale: float = 1.0
    has_value: bool = True  # whether the loss's value is compared too


TRL = {
    "GRPO": Theirs(by_group, {"loss_type": "grpo", "epsilon": 0.2}),
    "Dr. GRPO": Theirs(centred, {"loss_type": "dr_grpo", "epsilon": 0.2}),
    "DAPO": Theirs(by_group, {"loss_type": "dapo", "epsilon": 0.2, "epsilon_high": 0.28}),
    "BNPO": Theirs(by_group, {"loss_type": "bnpo", "epsilon": 0.2, "epsilon_high": 0.28}),
    "GSPO": Theirs(
        by_group,
        {"loss_type": "grpo", "importance_sampling_level": "sequence", "epsilon": 3e-4, "epsilon_high": 4e-4},
    ),
    "CISPO": Theirs(by_group, {"loss_type": "cispo", "epsilon_high": 1.28}),
    "RLOO": Theirs(leave_one_out, trainer="RLOO", is_on_policy=True, scale=LONGEST, has_value=False),
    "TIS": Theirs(centred, {"loss_type": "dapo"}, is_on_policy=True, cap=2.0),
}
KEYS = {"BNPO": ROWS["DAPO"]}  # in one process and one batch both are a mean over all tokens


def trl_loss(row: Theirs, folder: Path) -> tuple[float, Tensor]:
    """(loss, gradient) by TRL's trainer of the flat completions."""
    trl, datasets = pytest.importorskip("trl"), pytest.importorskip("datasets")
    policy = tiny_policy()
    rows, said = flat(policy)
    options = {
        "output_dir": str(folder), "per_device_train_batch_size": len(rows), "num_generations": len(rows), "beta": 0.0,
        "max_completion_length": LONGEST, "bf16": False, "fp16": False, "use_cpu": True, "report_to": [],
        "disable_dropout": True, "temperature": 1.0, **row.options,
    }  # fmt: skip
    trainer = getattr(trl, f"{row.trainer}Trainer")(
        model=policy.model,
        reward_funcs=lambda completions, **_: [0.0] * len(completions),
        args=getattr(trl, f"{row.trainer}Config")(**options),
        train_dataset=datasets.Dataset.from_list([{"prompt": "0 + 0 ="}] * len(rows)),
        processing_class=some_tokenizer(),
    )
    trainer.current_gradient_accumulation_steps = 1
    policy.model.train()
    inputs = batch_of(rows, said, row)
    trainer.use_vllm = row.cap is not None
    loss = trainer._compute_loss(policy.model, inputs)
    policy.model.zero_grad()
    loss.backward()
    grads = {name: parameter.grad for name, parameter in policy.trainable}
    found = torch.cat([grad.flatten().double() for _, grad in sorted(grads.items()) if grad is not None])
    return loss.item() / row.scale, found / row.scale


def some_tokenizer() -> Any:
    """The trainer asks for one; its loss reads ids alone."""
    words = Tokenizer(WordLevel({"<pad>": 0, "<eos>": 1, "<unk>": 2}, unk_token="<unk>"))
    return PreTrainedTokenizerFast(tokenizer_object=words, pad_token="<pad>", eos_token="<eos>", unk_token="<unk>")


def flat(policy: Any) -> tuple[list[tuple[list[int], list[int]]], list[Said]]:
    """(prompt, completion) of each completion, and what the formulas take of it."""
    tree, groups = played(NOISE)
    rows, said = [], []
    for number, group in enumerate(groups):
        prompt = list(f"{number} + {number} =".encode())
        for attempt, text in zip(group.attempts, GROUPS[number][0], strict=True):
            ids = list(text.encode())
            nodes = tree.tail(attempt.turns[0].sampled.node, len(ids))
            rows.append((prompt, ids))
            with torch.no_grad():
                now = logprobs(policy, prompt, ids)
            said.append(Said(number, attempt.rewards()[0], now, torch.tensor([tree.logprobs[n] for n in nodes])))
    return rows, said


def batch_of(rows: list[tuple[list[int], list[int]]], said: list[Said], row: Theirs) -> dict[str, Tensor]:
    """As TRL's trainer makes it of what was generated: completions padded on the right."""

    def padded(columns: list[Any], fill: float) -> Tensor:
        tensors = [torch.as_tensor(each) for each in columns]
        return torch.nn.utils.rnn.pad_sequence(tensors, batch_first=True, padding_value=fill)

    old = padded([each.old for each in said], 0.0)
    now = padded([each.now for each in said], 0.0)
    prompts, mask = torch.tensor([prompt for prompt, _ in rows]), padded([[1] * len(ids) for _, ids in rows], 0)
    inputs = {
        "prompt_ids": prompts,
        "prompt_mask": torch.ones_like(prompts),
        "completion_ids": padded([ids for _, ids in rows], 0),
        "completion_mask": mask,
        "advantages": torch.stack([torch.as_tensor(each) for each in row.advantages(said)]),
        "num_items_in_batch": mask.sum(),
        "old_per_token_logps": now if row.is_on_policy else old,
    }
    if row.trainer == "RLOO":
        inputs["old_logps"] = (now * mask).sum(1)
    if row.cap is not None:
        inputs["importance_sampling_ratio"] = (now - old).exp().clamp(max=row.cap)
    return inputs


def test_every_row_of_the_page_that_trl_has_is_compared() -> None:
    """REINFORCE++ is no loss of TRL's: its `scale_rewards=batch` divides by the deviation of rewards, not of
    advantages."""
    assert ROWS.keys() - TRL.keys() == {"REINFORCE++ with a baseline"}


@pytest.mark.parametrize("name", TRL)
def test_the_keys_of_the_page_give_trls_loss(name: str, tmp_path: Path) -> None:
    metrics, gradient = ours(KEYS.get(name) or ROWS[name], 100_000, NOISE)
    loss, wanted = trl_loss(TRL[name], tmp_path)
    assert (gradient - wanted).norm() / wanted.norm() < 1e-5
    if TRL[name].has_value:
        assert metrics[LOSS] == pytest.approx(loss, rel=1e-5, abs=1e-6)
    if not TRL[name].is_on_policy:
        assert 0 < metrics[CLIP_RATIO] < 1, "a test of a clip that never bit, or always"


def test_cispo_here_and_in_trl_differ_below_the_lower_bound_alone() -> None:
    """TRL bounds the ratio from above only: on these tokens none is below ours, or the two would differ."""
    _, said = flat(tiny_policy())
    assert min(each.ratio.min().item() for each in said) > 0.2
    assert max(each.ratio.max().item() for each in said) > 1.28 and math.isfinite(NOISE)
