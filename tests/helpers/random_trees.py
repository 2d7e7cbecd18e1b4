"""Random trees: conversations with prompts, groups, chains, second turns and identical siblings; and plain ones."""

import numpy as np

from roles.support import Support
from roles.tree import ROOT, Tree
from selfplay.learn.batch import TrainSample

WEIGHTS = {"challenger": 0.7, "solver/0": 1.0, "solver/1": 1.3}


def random_step(
    seed: int, vocabulary: int, merge: bool = True, drawn_of: int | None = None
) -> tuple[Tree, list[TrainSample]]:
    """A tree as a step grows it, with advantages of both signs and some zeros. With `drawn_of`, the model's vocabulary,
    some tokens were drawn from a part of it only."""
    rng = np.random.Generator(np.random.Philox(key=seed))
    tree = Tree(merge=merge)
    samples: list[TrainSample] = []

    def tokens(low: int, high: int, alphabet: int = vocabulary) -> list[int]:
        return [int(t) for t in rng.integers(0, alphabet, int(rng.integers(low, high + 1)))]

    def speak(parent: int, label: str, low: int, high: int) -> int:
        said = tokens(low, high, alphabet=3)  # few words, so that siblings often agree
        parts = [_part(rng, token, drawn_of) for token in said] if drawn_of else None
        node = tree.sampled(parent, said, (-rng.random(len(said)) * 3).tolist(), label, parts)
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


def _part(rng: np.random.Generator, token: int, vocabulary: int) -> Support | None:
    """Few tokens, most of them, or all (None); `token` is one."""
    share = rng.choice([0.01, 0.7, 1.0])
    is_in = rng.random(vocabulary) < share
    is_in[token] = True
    return None if share == 1.0 else Support.of(np.flatnonzero(is_in), vocabulary)


def sequences(tree: Tree, samples: list[TrainSample]) -> list[tuple[list[int], list[float], TrainSample]]:
    """The flat batch: for each sample its root-to-leaf ids and the sampler's log-probabilities of its own tokens."""
    rows = []
    for sample in samples:
        ids = [tree.tokens[n] for n in tree.path(sample.node)]
        rows.append((ids, [tree.logprobs[n] for n in tree.tail(sample.node, sample.num_tokens)], sample))
    return rows


def random_tree(seed: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Parents and depths of `size` nodes: runs that continue and runs that begin anywhere."""
    random = np.random.default_rng(seed)
    parents = [-1]
    for node in range(1, size):
        parents.append(node - 1 if random.random() < 0.7 else int(random.integers(-1, node)))
    depths = [0] * size
    for node, parent in enumerate(parents):
        depths[node] = 0 if parent < 0 else depths[parent] + 1
    return np.array(parents), np.array(depths)
