"""Random conversations for the parity tests: prompts, groups, chains, second turns, identical siblings."""

import numpy as np

from roles.tree import ROOT, Tree
from selfplay.learn.batch import TrainSample

WEIGHTS = {"challenger": 0.7, "solver/0": 1.0, "solver/1": 1.3}


def random_step(seed: int, vocabulary: int, merge: bool = True) -> tuple[Tree, list[TrainSample]]:
    """A tree as a step grows it, with advantages of both signs and some zeros."""
    rng = np.random.Generator(np.random.Philox(key=seed))
    tree = Tree(merge=merge)
    samples: list[TrainSample] = []

    def tokens(low: int, high: int, alphabet: int = vocabulary) -> list[int]:
        return [int(t) for t in rng.integers(0, alphabet, int(rng.integers(low, high + 1)))]

    def speak(parent: int, label: str, low: int, high: int) -> int:
        said = tokens(low, high, alphabet=3)  # few words, so that siblings often agree
        node = tree.sampled(parent, said, (-rng.random(len(said)) * 3).tolist(), label)
        advantage = float(rng.choice([0.0, 1.0, -1.0, 0.25, -0.7]))
        samples.append(TrainSample(label, node, len(said), advantage))
        return node

    header = tree.extend(ROOT, tokens(1, 9))
    for _ in range(int(rng.integers(1, 5))):
        problem = tree.extend(header, tokens(1, 5))
        for _ in range(int(rng.integers(1, 6))):
            first = speak(problem, "solver/0", 1, 4)
            if rng.random() < 0.7:
                speak(tree.extend(first, tokens(1, 3)), "solver/1", 1, 4)
    target = tree.extend(ROOT, tokens(1, 6))
    for _ in range(int(rng.integers(0, 4))):
        speak(target, "challenger", 1, 7)
    return tree, samples


def sequences(tree: Tree, samples: list[TrainSample]) -> list[tuple[list[int], list[float], TrainSample]]:
    """The flat batch: for each sample its root-to-leaf ids and the sampler's log-probabilities of its own tokens."""
    rows = []
    for sample in samples:
        ids = [tree.tokens[n] for n in tree.path(sample.node)]
        rows.append((ids, [tree.logprobs[n] for n in tree.tail(sample.node, sample.num_tokens)], sample))
    return rows
