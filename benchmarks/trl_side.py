"""TRL's side of benchmarks/step.py, as a child process: GRPOTrainer as it is, one optimizer step at a time.

Nothing of TRL is replaced. A callback waits for the parent before each optimizer step (generation happens inside
it), and two methods are wrapped to note the prompt ids and the time that generation took.
"""

import tempfile
import time
from typing import Any

import torch
from child import Channel, Cost, Meter, Spec, begin, ids_digest, report, weights_digest
from datasets import Dataset
from transformers import TrainerCallback
from trl import GRPOConfig, GRPOTrainer
from workloads import WORKLOADS, Workload, rewards

from selfplay.model.weights.loading import load_model


class Measured(GRPOTrainer):
    """GRPOTrainer that notes what it was given and how long it sampled."""

    meter: Meter
    seen: list[list[int]]
    lengths: set[int]

    def _tokenize_prompts(self, prompts: list[Any]) -> Any:
        result = super()._tokenize_prompts(prompts)
        self.seen = [list(ids) for ids in result[0]]
        return result

    def _generate_single_turn(self, *args: Any, **kwargs: Any) -> Any:
        start = time.perf_counter()
        result = super()._generate_single_turn(*args, **kwargs)
        self.meter.sampling += time.perf_counter() - start
        self.lengths = {len(ids) for ids in result[0]}
        return result


class OneStepAtATime(TrainerCallback):
    """Waits for the parent, and reports to it."""

    def __init__(self, trainer: Measured, channel: Channel, workload: Workload, cost: Cost) -> None:
        self._trainer, self._channel, self._workload, self._cost = trainer, channel, workload, cost

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if not self._channel.wait():
            raise SystemExit(0)
        self._trainer.meter.start()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        work, trainer = self._workload, self._trainer
        assert trainer.lengths == {work.new_tokens}, trainer.lengths
        size = work.group_size
        prompts = trainer.seen[::size]
        assert trainer.seen == [ids for ids in prompts for _ in range(size)], "groups are not together"
        padded = max(map(len, prompts))
        sampled = work.num_samples * (padded + work.new_tokens - 1)  # what a padded batch with a cache runs
        trained = work.num_samples * (padded + work.new_tokens)
        rows = work.num_samples * work.new_tokens
        self._channel.report(
            report(
                trainer.meter, tokens_sampling=sampled, tokens_training=trained, samples=len(trainer.seen),
                flops_sampling=self._cost.sampling(sampled, rows),
                flops_training=self._cost.training(trained, rows),
                weight_bytes=self._cost.weight_bytes, prompts=ids_digest(prompts),
            )
        )  # fmt: skip


def config(spec: Spec, workload: Workload, vocabulary: int, folder: str) -> GRPOConfig:
    """The benchmark's fixed choices, and the ones that the grid tries."""
    return GRPOConfig(
        output_dir=folder, use_cpu=spec.device == "cpu", report_to=[], save_strategy="no", logging_strategy="no",
        disable_tqdm=True,
        seed=0, max_steps=spec.steps, shuffle_dataset=False, dataloader_num_workers=0,
        bf16=spec.precision == "autocast", fp16=False, gradient_checkpointing=False,
        per_device_train_batch_size=spec.micro_batch,
        gradient_accumulation_steps=workload.num_samples // spec.micro_batch,
        num_generations=workload.group_size, max_completion_length=workload.new_tokens,
        temperature=1.0, top_k=0, top_p=1.0, beta=0.0, num_iterations=1, learning_rate=1e-5,
        lr_scheduler_type="constant",
        # no token ends a completion
        generation_kwargs={"ignore_eos": True} if spec.vllm else {"eos_token_id": [vocabulary]},
        **({"use_vllm": True, "vllm_mode": "colocate", "vllm_gpu_memory_utilization": 0.3} if spec.vllm else {}),
    )  # fmt: skip


def main() -> None:
    spec, channel = begin()
    workload = WORKLOADS[spec.workload]
    loaded = load_model("smollm2-135m", "bfloat16" if spec.precision == "bf16" else "float32")
    loaded.model.set_attn_implementation(spec.attention)
    vocabulary = loaded.model.config.vocab_size
    texts = [text for step in range(spec.steps) for text in workload.prompts(step, loaded.tokenizer)]
    paid = [value for group in rewards(workload) for value in group]

    def synthetic(completions: list[str], **_: Any) -> list[float]:
        assert len(completions) == len(paid)
        return paid

    with tempfile.TemporaryDirectory() as folder:
        trainer = Measured(
            model=loaded.model, reward_funcs=synthetic, args=config(spec, workload, vocabulary, folder),
            train_dataset=Dataset.from_dict({"prompt": texts}), processing_class=loaded.tokenizer,
        )  # fmt: skip
        trainer.eos_token_ids = [vocabulary]
        trainer.meter = Meter()
        assert torch.get_num_threads() == spec.threads
        trainer.add_callback(OneStepAtATime(trainer, channel, workload, Cost.of(trainer.model)))
        channel.say(weights=weights_digest(trainer.model))
        trainer.train()


if __name__ == "__main__":
    main()
