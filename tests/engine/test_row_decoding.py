"""Decoding in rows of fixed shapes: token for token what the tree engine says, with nothing read back inside a step."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import Gemma3ForCausalLM, Gemma3TextConfig

from roles.requests import Sampled, SamplingParams
from roles.tree import ROOT, Tree
from selfplay.config.keys import Config
from selfplay.engine import row_decoding
from selfplay.engine.graphs import CaptureError, Eager, Graphs
from selfplay.engine.protocol import Draw, TokenCount
from selfplay.engine.row_decoding import BUCKETS, RowDecoding, bucket_of, capacity_of
from selfplay.engine.row_step import StepState, step
from selfplay.engine.tree_engine import TreeEngine
from selfplay.machine.errors import NonFiniteError
from selfplay.model.attention.fixed_rows import FixedRows, RowPool
from selfplay.model.attention.interface import KeyValues
from selfplay.model.policy import Policy
from selfplay.model.weights.loading import load_model
from selfplay.model.weights.tiny import EOS_ID, VOCABULARY, ByteTokenizer
from selfplay.run.build_model import policy_sampler, proved_policy
from store.records import Completion
from store.store import Store

TEXTS = (
    "What is 12 + 7? Say the number alone, and nothing else, in one line, please. 12 + 7 =",
    "What is 12 + 9 =",
    "x",
)
FREE = SamplingParams(temperature=1.0, max_tokens=16, stop=("\n",))
MODELS = ("tiny-llama", "tiny-qwen3", "tiny-gpt2", "tiny-gemma")
REPOSITORY = Path(__file__).resolve().parents[2]
Step = Callable[[], None]


def policy_of(name: str = "tiny-llama", device: str = "cpu", dtype: str = "float32") -> Policy:
    loaded = load_model(name, dtype)
    return Policy(loaded.model, loaded.tokenizer, torch.device(device))


@pytest.fixture(scope="module")
def policy() -> Policy:
    return policy_of()


def draws(tree: Tree, n: int, params: SamplingParams = FREE, texts: Sequence[str] = TEXTS) -> list[Draw]:
    nodes = [tree.extend(ROOT, text.encode()) for text in texts]
    return [Draw(node, n, params, ("solver", i), "solver/0") for i, node in enumerate(nodes)]


def in_rows(
    policy: Policy, mib: float = 64, lines: list[str] | None = None, seed: int = 3, **others: Any
) -> TreeEngine:
    said = [] if lines is None else lines
    return TreeEngine(policy, seed, RowDecoding(policy, int(mib * 2**20), said.append, **others))


def completions(groups: Sequence[Sequence[Sampled]]) -> list[Completion]:
    return [sampled.completion for group in groups for sampled in group]


def assert_same(found: Sequence[Completion], expected: Sequence[Completion]) -> None:
    assert [(c.ids, c.text, c.finish) for c in found] == [(c.ids, c.text, c.finish) for c in expected]
    for one, other in zip(found, expected, strict=True):
        assert one.logprobs == pytest.approx(other.logprobs, abs=1e-4)


def two_waves(engine: TreeEngine, n: int, params: SamplingParams, tree: Tree) -> list[Completion]:
    """Attempts, and second looks behind what was said."""
    first = engine.sample(tree, draws(tree, n, params))
    ends = dict.fromkeys(sampled.node for group in first for sampled in group)
    looks = [Draw(tree.extend(end, b"again:"), 2, params, ("look", i), "solver/1") for i, end in enumerate(ends)]
    return completions(first) + completions(engine.sample(tree, looks))


@pytest.mark.parametrize(
    ("name", "temperature", "ahead"),
    [*((name, 1.0, 1) for name in MODELS), ("tiny-llama", 1.0, 0), ("tiny-llama", 0.7, 1), ("tiny-gpt2", 0.0, 1)],
)
def test_rows_say_what_the_tree_engine_says(name: str, temperature: float, ahead: int) -> None:
    policy, lines = policy_of(name), list[str]()
    params = replace(FREE, temperature=temperature)
    tree, truth = Tree(), Tree()
    found = two_waves(in_rows(policy, lines=lines, ahead=ahead), 4, params, tree)
    assert_same(found, two_waves(TreeEngine(policy, 3), 4, params, truth))
    assert tree.tokens == truth.tokens and tree.parents == truth.parents and tree.labels == truth.labels
    assert lines == []  # nothing fell back
    assert len({len(c.ids) for c in found}) > 2 or temperature < 1.0  # rows ended at different times


def test_samples_that_find_no_room_wait_and_say_the_same(policy: Policy) -> None:
    """Two rows of 128 keys at a time, each of 256 bytes and layer: the others are decoded after them."""
    tree, truth, lines = Tree(), Tree(), list[str]()
    count, plain = TokenCount(), TokenCount()
    found = in_rows(policy, 0.2, lines).sample(tree, draws(tree, 5), count=count)
    assert_same(completions(found), completions(TreeEngine(policy, 3).sample(truth, draws(truth, 5), count=plain)))
    assert lines == []
    assert count.flat == plain.flat
    assert {tuple(tree.tokens[n] for n in tree.path(node)) for node in range(len(tree))} == {
        tuple(truth.tokens[n] for n in truth.path(node)) for node in range(len(truth))
    }


def test_a_completion_that_has_no_room_at_all_is_decoded_on_the_tree(policy: Policy) -> None:
    tree, truth, lines = Tree(), Tree(), list[str]()
    found = in_rows(policy, 0.05, lines).sample(tree, draws(tree, 2))
    assert_same(completions(found), completions(TreeEngine(policy, 3).sample(truth, draws(truth, 2))))
    assert len(lines) == 1 and "engine.kv_cache_mib" in lines[0]


def test_truncated_roles_are_decoded_on_the_tree(policy: Policy) -> None:
    tree, truth, lines = Tree(), Tree(), list[str]()
    params = replace(FREE, top_p=0.9)
    engine = in_rows(policy, lines=lines)
    for _ in range(2):
        found = engine.sample(tree, draws(tree, 2, params))
    plain = TreeEngine(policy, 3)
    for _ in range(2):
        expected = plain.sample(truth, draws(truth, 2, params))
    assert_same(completions(found), completions(expected))
    assert len(lines) == 1 and "top_p" in lines[0]


@pytest.mark.parametrize("seed", [3, 99])  # what drew the script, and another that would draw something else
def test_a_script_is_repeated_and_leaves_the_keys_that_drawing_left(policy: Policy, seed: int) -> None:
    greedy = replace(FREE, temperature=0.0)

    def looks(tree: Tree, groups: Sequence[Sequence[Sampled]]) -> list[Draw]:
        nodes = [tree.extend(sampled.node, b"?") for group in groups for sampled in group]
        return [Draw(node, 2, greedy, ("look", i), "solver/1") for i, node in enumerate(nodes)]

    tree, again = Tree(), Tree()
    engine, replaying = in_rows(policy), in_rows(policy, seed=seed)
    first = engine.sample(tree, draws(tree, 4))
    behind = engine.sample(tree, looks(tree, first))
    repeated = replaying.sample(again, draws(again, 4), completions(first))
    assert completions(repeated) == completions(first)
    assert replaying.sample(again, looks(again, repeated)) == behind  # chosen, and the same to the last bit
    assert again == tree


class Stopping(ByteTokenizer):
    """The end of sequence is a letter that comes often."""

    eos_token_id = ord("e")


def test_stops_of_several_tokens_end_a_completion_though_the_device_goes_on() -> None:
    """The host alone sees a stop that several tokens make; what the device has said meanwhile is nobody's."""
    loaded = load_model("tiny-llama", "float32")
    policy = Policy(loaded.model, ByteTokenizer(), torch.device("cpu"))
    plain, tree = TreeEngine(policy, 3), Tree()
    free = completions(plain.sample(tree, draws(tree, 6, replace(FREE, stop=()))))
    pair = next(c.text[3:5] for c in free if len(c.text) > 8 and c.text[3:5].isascii())
    stops = [replace(FREE, stop=(pair,)), replace(FREE, stop=("\n", "zzz"))]
    results = []
    for engine in (in_rows(policy, ahead=1), TreeEngine(policy, 3)):
        tree = Tree()
        asked = [replace(d, params=stops[i % 2]) for i, d in enumerate(draws(tree, 6))]
        results.append(completions(engine.sample(tree, asked)))
    assert_same(*results)
    assert any(c.text.endswith(pair) for c in results[0])


def test_the_device_finds_the_end_that_a_single_token_makes() -> None:
    loaded = load_model("tiny-llama", "float32")
    policy = Policy(loaded.model, Stopping(), torch.device("cpu"))
    ended = []

    class Watched(Eager):
        def run(self, key: Hashable, step: Step, state: StepState) -> None:
            was_live = state.live.clone()
            step()
            is_last = (state.said[:, 0] == ord("e")) | (state.left == 0)
            assert torch.equal(state.live, was_live * ~is_last)
            ended.append(int(((was_live > state.live) & (state.left > 0)).sum()))

    tree = Tree()
    in_rows(policy, runner=Watched()).sample(tree, draws(tree, 30, replace(FREE, stop=()), TEXTS[:1]))
    assert sum(ended) > 0


def test_windows_caps_and_heads_of_two_kinds() -> None:
    config = Gemma3TextConfig(
        vocab_size=VOCABULARY, hidden_size=64, intermediate_size=128, num_hidden_layers=4, num_attention_heads=4,
        num_key_value_heads=2, head_dim=16, sliding_window=8, sliding_window_pattern=2, max_position_embeddings=512,
        bos_token_id=None, eos_token_id=EOS_ID, pad_token_id=None, attn_logit_softcapping=2.0,
    )  # fmt: skip
    torch.manual_seed(0)
    model = Gemma3ForCausalLM(config)
    for parameter in model.parameters():
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=0.1)
    policy, lines = Policy(model, ByteTokenizer(), torch.device("cpu")), list[str]()
    tree, truth = Tree(), Tree()
    found = two_waves(in_rows(policy, lines=lines), 4, FREE, tree)
    assert_same(found, two_waves(TreeEngine(policy, 3), 4, FREE, truth))
    assert lines == []


READS = {"_local_scalar_dense", "nonzero", "masked_select", "equal", "_unique2", "unique_dim", "is_nonzero", "item"}


class Operations(TorchDispatchMode):
    """The names of what runs."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.names.append(func.overloadpacket.__name__)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("temperature", [1.0, 0.0])
def test_a_step_reads_nothing_back_and_moves_nothing(
    name: str, temperature: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """This is what a CUDA graph asks of it: no operation whose shape or whose path depends on numbers, and for each
    shape the same operations at the same addresses in every step."""
    traces: dict[tuple[int, ...], set[tuple[str, ...]]] = {}
    addresses: dict[tuple[int, ...], set[tuple[int, ...]]] = {}

    def watched(policy: Policy, state: StepState, rows: FixedRows, temperature: float) -> None:
        with Operations() as operations:
            step(policy, state, rows, temperature)
        shape = (len(rows.lengths), rows.capacity, rows.shared.length)
        traces.setdefault(shape, set()).add(tuple(operations.names))
        read = (rows.lengths, *rows.keys.values(), *rows.values.values(), *rows.shared.keys.values())
        addresses.setdefault(shape, set()).add(tuple(each.data_ptr() for each in read))

    monkeypatch.setattr(row_decoding, "step", watched)
    tree, params = Tree(), replace(FREE, temperature=temperature, stop=())
    engine = in_rows(policy_of(name))
    for _ in range(2):
        engine.sample(tree, draws(tree, 4, params))
    assert traces.keys() >= {(8, 128, 0), (16, 128, 0)}
    assert all(len(each) == 1 for each in (*traces.values(), *addresses.values()))
    assert not {name for names in traces.values() for each in names for name in each} & READS


def test_a_model_that_recomputes_activations_reads_no_random_state(monkeypatch: pytest.MonkeyPatch) -> None:
    policy = policy_of()
    policy.enable_gradient_checkpointing()
    reads: list[int] = []
    honest = torch.get_rng_state
    monkeypatch.setattr(torch, "get_rng_state", lambda: reads.append(1) or honest())

    def watched(policy: Policy, state: StepState, rows: FixedRows, temperature: float) -> None:
        before = len(reads)
        step(policy, state, rows, temperature)
        assert len(reads) == before
        steps.append(1)

    steps: list[int] = []
    monkeypatch.setattr(row_decoding, "step", watched)
    tree = Tree()
    in_rows(policy).sample(tree, draws(tree, 2, texts=TEXTS[:1]))
    assert steps and reads  # prompts are run in training mode: the watch sees those
    assert policy.model.training


def test_the_check_for_reads_sees_one() -> None:
    with Operations() as operations:
        torch.tensor([1.0, 2.0]).sum().item()
    assert set(operations.names) & READS


def test_rows_of_equal_shape_have_equal_addresses(policy: Policy) -> None:
    tree, memory = Tree(), KeyValues()
    node = tree.extend(ROOT, b"12 + 7 =" * 10)
    policy.tree_nodes_hidden(tree, np.arange(len(tree)), memory)
    pool, lengths = RowPool(memory, 4096), torch.zeros(8, dtype=torch.int64)
    paths = torch.tensor([tree.path(node)] * 3)
    first = pool.filled(lengths[:4], 64, 64, memory, paths)
    moved = pool.moved(first, torch.tensor([2]), lengths[:1], 128)
    again = pool.view(lengths[:4], 64, 64)
    for layer, keys in first.keys.items():
        assert keys.data_ptr() == again.keys[layer].data_ptr()
        own = memory.keys[layer][paths[0, 64:]].transpose(0, 1)
        assert torch.equal(moved.keys[layer][0, :, : own.shape[1]], own)
        assert torch.equal(moved.shared.keys[layer], memory.keys[layer][paths[0, :64]].transpose(0, 1))


class OffByOne(Eager):
    """A fault: positions are one too many."""

    def run(self, key: Hashable, step: Step, state: StepState) -> None:
        state.positions.add_(1)
        step()
        state.positions.sub_(1)


class Uncapturable(Eager):
    """Its third step cannot be captured."""

    steps = 0

    def run(self, key: Hashable, step: Step, state: StepState) -> None:
        self.steps += 1
        if self.steps == self.fails_at:
            raise CaptureError("its step cannot be captured (RuntimeError: synchronises)")
        step()

    def __init__(self, fails_at: int) -> None:
        self.fails_at = fails_at


def test_a_step_that_is_wrong_is_found_before_it_is_used(policy: Policy) -> None:
    tree, truth, lines = Tree(), Tree(), list[str]()
    found = two_waves(in_rows(policy, lines=lines, runner=OffByOne()), 4, FREE, tree)
    assert found == two_waves(TreeEngine(policy, 3), 4, FREE, truth)
    assert tree == truth
    assert len(lines) == 1 and "nats from the tree's" in lines[0]


@pytest.mark.parametrize("ahead", [0, 1])
@pytest.mark.parametrize("fails_at", [1, 20, 25])  # in the proof (15 steps), and in the first wave
def test_a_step_that_cannot_be_captured_is_decoded_on_the_tree(policy: Policy, fails_at: int, ahead: int) -> None:
    tree, truth, lines = Tree(), Tree(), list[str]()
    engine = in_rows(policy, lines=lines, runner=Uncapturable(fails_at), ahead=ahead)
    assert_same(two_waves(engine, 4, FREE, tree), two_waves(TreeEngine(policy, 3), 4, FREE, truth))
    assert tree.tokens == truth.tokens
    assert lines == ["decoding in rows is off: its step cannot be captured (RuntimeError: synchronises)"]


def test_weights_that_ran_away_are_refused() -> None:
    policy = policy_of()
    tree, engine = Tree(), in_rows(policy)
    engine.sample(tree, draws(tree, 2))
    with torch.no_grad():
        policy.head.weight.fill_(float("nan"))
    with pytest.raises(NonFiniteError):
        engine.sample(tree, draws(tree, 2, replace(FREE, max_tokens=4)))


def test_sizes_hold_what_they_are_asked_to() -> None:
    assert [bucket_of(n) for n in (1, 3, 9, 17, 33, 200, 256)] == [1, 4, 16, 24, 48, 256, 256]
    assert all(bucket_of(n) >= n for n in range(1, BUCKETS[-1] + 1))
    assert [capacity_of(n) for n in (1, 64, 65, 500, 513, 4096, 4097)] == [64, 64, 128, 512, 1024, 4096, 4608]


def test_the_key_decides_and_a_cpu_stays_with_the_tree(tmp_path: Path) -> None:
    config = Config()
    config.model.name, config.run.device, config.run.threads = "tiny-llama", "cpu", 1
    policy, parity = proved_policy(config, print)
    kinds = {}
    for kind in ("auto", "tree", "rows"):
        config.engine.decoding = kind  # type: ignore[assignment]
        kinds[kind] = policy_sampler(config, policy, parity, print)._decoding  # type: ignore[attr-defined]
    assert kinds["auto"] is None and kinds["tree"] is None
    assert isinstance(kinds["rows"], RowDecoding)


@pytest.mark.slow
def test_a_killed_run_that_decodes_in_rows_resumes_with_the_bits_of_one_never_stopped(tmp_path: Path) -> None:
    """Its stored waves are run again with their tokens given, and second looks are drawn behind their keys."""

    def loop(folder: str, *words: str, kill_at: str = "") -> subprocess.CompletedProcess[str]:
        environment = os.environ | ({"SELFPLAY_KILL_AT": kill_at} if kill_at else {})
        command = [sys.executable, "-m", "selfplay.loop", *words, f"run.dir={tmp_path / folder}"]
        return subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True)

    start = (
        "configs/tiny.yaml", "run.name=x", "run.steps=2", "run.device=cpu", "run.threads=1", "engine.decoding=rows",
        "evaluate.interim_size=2", "evaluate.pass_size=1",
    )  # fmt: skip
    assert loop("whole", *start).returncode == 0
    assert loop("killed", *start, kill_at="wave.committed:4").returncode == -signal.SIGKILL
    resumed = loop("killed", "--resume", "x")
    assert resumed.returncode == 0, resumed.stderr
    assert "decoding in rows is off" not in resumed.stdout
    digests = []
    for folder in ("whole", "killed"):
        with Store.open_readonly(tmp_path / folder / "x" / "selfplay.db") as store:
            digests.append([row.weights_digest for row in store.steps()])
    assert digests[0] == digests[1] and len(set(digests[0])) > 1


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
class TestGraphs:
    """CUDA graphs say what the tree engine says on a CPU."""

    @pytest.mark.parametrize("name", MODELS)
    @pytest.mark.parametrize("temperature", [1.0, 0.0])
    def test_graphs_say_what_a_cpu_says(self, name: str, temperature: float) -> None:
        policy, lines = policy_of(name, "cuda"), list[str]()
        params = replace(FREE, temperature=temperature)
        tree, truth = Tree(), Tree()
        found = two_waves(in_rows(policy, lines=lines), 5, params, tree)
        assert lines == []
        assert_same(found, two_waves(TreeEngine(policy_of(name), 3), 5, params, truth))

    def test_graphs_hold_through_an_update_of_the_weights(self) -> None:
        policy, lines = policy_of("tiny-llama", "cuda"), list[str]()
        engine = in_rows(policy, lines=lines)
        tree = Tree()
        before = completions(engine.sample(tree, draws(tree, 4)))
        with torch.no_grad():
            for parameter in policy.model.parameters():
                parameter.add_(0.05 * torch.randn_like(parameter))
        policy.refresh()
        engine.load(policy.version)
        tree, truth = Tree(), Tree()
        after = completions(engine.sample(tree, draws(tree, 4)))
        assert_same(after, completions(TreeEngine(policy, 3).sample(truth, draws(truth, 4))))
        assert [c.ids for c in after] != [c.ids for c in before]
        assert lines == []

    def test_a_step_that_reads_back_is_not_captured_and_nothing_is_lost(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def reading(policy: Policy, state: StepState, rows: Any, temperature: float) -> None:
            step(policy, state, rows, temperature)
            state.live.sum().item()

        monkeypatch.setattr(row_decoding, "step", reading)
        policy, lines = policy_of("tiny-llama", "cuda"), list[str]()
        tree, truth = Tree(), Tree()
        found = two_waves(in_rows(policy, lines=lines, runner=Graphs(policy)), 4, FREE, tree)
        assert_same(found, two_waves(TreeEngine(policy, 3), 4, FREE, truth))
        assert len(lines) == 1 and "cannot be captured" in lines[0]
