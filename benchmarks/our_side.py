"""Our side of benchmarks/step.py, as a child process: one step of the loop's own parts, on the tree or flat.

What a step of the loop also does (the store, the journal, judging in a sandbox) is left out: TRL does none of it.
"""

import time

import torch
from child import Channel, Cost, Meter, Spec, StepReport, begin, ids_digest, report, weights_digest
from workloads import WORKLOADS, Workload, encode, rewards

from roles.pay.advantages import group_advantages
from roles.requests import SamplingParams
from roles.tree import CONTEXT, ROOT, Tree
from selfplay.engine.flat_engine import FlatEngine
from selfplay.engine.protocol import Draw, Sampler, TokenCount
from selfplay.engine.tree_engine import TreeEngine
from selfplay.learn.batch import TrainSample, build_batch
from selfplay.model.policy import Policy
from selfplay.model.weights.loading import load_model
from selfplay.train.trainer import Trainer, TrainerSettings

LABEL = "solver/0"


def main() -> None:
    spec, channel = begin()
    workload = WORKLOADS[spec.workload]
    loaded = load_model("smollm2-135m", "bfloat16")
    policy = Policy(loaded.model, loaded.tokenizer, torch.device(spec.device))
    policy.tokenizer.eos_token = None  # no token ends a completion, here or in TRL
    is_flat = spec.side == "flat"
    engine: Sampler = FlatEngine(policy, seed=0) if is_flat else TreeEngine(policy, seed=0)
    trainer = Trainer(policy, TrainerSettings(mode="flat" if is_flat else "auto", pack_tokens=spec.pack_tokens))
    cost = Cost.of(policy.model)
    channel.say(weights=weights_digest(policy.model))
    serve(spec, channel, workload, policy, engine, trainer, cost)


def serve(
    spec: Spec, channel: Channel, workload: Workload, policy: Policy, engine: Sampler, trainer: Trainer, cost: Cost
) -> None:
    """A step for every line the parent writes."""
    step = 0
    while channel.wait():
        prompts = encode(policy.tokenizer, workload.prompts(step, policy.tokenizer))
        tree = Tree(merge=workload.merge and spec.side == "tree")  # the flat side shares nothing
        channel.report(one_step(workload, tree, prompts, policy, engine, trainer, cost))
        step += 1


def one_step(
    workload: Workload, tree: Tree, prompts: list[list[int]], policy: Policy, engine: Sampler, trainer: Trainer,
    cost: Cost,
) -> StepReport:  # fmt: skip
    """Sample, reward, train, serve the new weights."""
    meter = Meter()
    meter.start()
    params = SamplingParams(1.0, workload.new_tokens, ())
    count = TokenCount()
    nodes = [tree.extend(ROOT, ids) for ids in prompts]
    draws = [Draw(node, workload.group_size, params, ("solver", i), LABEL) for i, node in enumerate(nodes)]
    groups = engine.sample(tree, draws, count=count)
    meter.sampling = time.perf_counter() - meter.wall
    samples = [
        TrainSample(LABEL, said.node, len(said.completion.ids), advantage)
        for group, paid in zip(groups, rewards(workload), strict=True)
        for said, advantage in zip(group, group_advantages(paid, "centred"), strict=True)
    ]
    assert all(s.num_tokens == workload.new_tokens and s.advantage != 0.0 for s in samples)
    batch = build_batch(tree, samples, {LABEL: 1.0})
    update = trainer.step(batch)
    engine.load(policy.version)
    contexts = {parent for parent, label in zip(tree.parents, tree.labels, strict=True) if label != CONTEXT}
    rows = len(contexts) if isinstance(engine, TreeEngine) else len(samples) * workload.new_tokens
    return report(
        meter, tokens_sampling=count.computed, tokens_training=update.tokens_computed, samples=len(samples),
        flops_sampling=cost.sampling(count.computed, rows),
        flops_training=cost.training(update.tokens_computed, len(batch.targets)),
        weight_bytes=cost.weight_bytes, prompts=ids_digest(prompts),
    )  # fmt: skip


if __name__ == "__main__":
    main()
