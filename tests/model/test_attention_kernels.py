"""Kernels for GPUs give what the padded one gives, and are not used where they do not.

On a CPU torch has no variable-length call and no backward pass of FlexAttention. So the plan of root paths is checked
there with a call by the book (plain_varlen.py), FlexAttention's mask by its forward pass, and torch's own kernels by
the tests that are marked gpu.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from families import family_model
from flat_truth import assert_same_gradient, packed
from odd_models import odd_model
from plain_varlen import bottom_right, one_key_more, plain_varlen, top_left
from random_trees import WEIGHTS, random_step, random_tree
from torch import Tensor
from torch.nn.attention.flex_attention import flex_attention

from roles.tree import ROOT, Tree
from selfplay.config.files import load
from selfplay.learn.batch import build_batch
from selfplay.model.attention.choosing import MOST_COPIES, Kernels
from selfplay.model.attention.flex import Intervals, intervals, torch_flex
from selfplay.model.attention.plan import Chains, PathPlan, plan_paths
from selfplay.model.attention.varlen import torch_varlen
from selfplay.model.kernel_probe import Found, offered, proved
from selfplay.model.policy import Policy
from selfplay.model.weights.loading import load_model
from selfplay.model.weights.tiny import ByteTokenizer
from selfplay.run.build_model import proved_policy

CPU = torch.device("cpu")
HEADS, KV_HEADS, WIDTH, SCALE = 6, 2, 8, 0.3
BY_THE_BOOK = Kernels(varlen=plain_varlen())
UNCOMPILED = Kernels(flex=flex_attention)


def plan_of(seed: int, num_before: int = 0) -> PathPlan:
    """Of a tree of 60 nodes, the first of which are only in the buffer, as while sampling."""
    return plan_paths(*random_tree(seed, 60), np.arange(num_before, 60), CPU)


def heads_of(plan: PathPlan, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    random = torch.Generator().manual_seed(seed)
    sizes = ((len(plan.chains.queries), HEADS), (60, KV_HEADS), (60, KV_HEADS))
    query, key, value = (torch.randn(*size, WIDTH, generator=random, requires_grad=True) for size in sizes)
    return query, key, value


@pytest.mark.parametrize("window", [None, 1, 4])
@pytest.mark.parametrize("seed", range(4))
def test_root_paths_without_padding_give_what_padded_ones_give(seed: int, window: int | None) -> None:
    plan = plan_of(seed, num_before=20 if seed % 2 else 0)
    inputs = heads_of(plan, seed)
    ours, truth = (each.attend(*inputs, plan, window, SCALE, None, None) for each in (BY_THE_BOOK, Kernels()))
    torch.testing.assert_close(ours, truth, atol=1e-5, rtol=1e-5)
    wanted = torch.randn(truth.shape, generator=torch.Generator().manual_seed(seed))
    found, expected = (torch.autograd.grad(each, inputs, wanted) for each in (ours, truth))
    for mine, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-5, rtol=1e-5)


def test_root_paths_of_a_tree_worked_out_by_hand() -> None:
    """0 - 1 - 2, and 3 below 0: two chains, of which the second has one query and two keys."""
    paths = plan_paths(np.array([-1, 0, 1, 0]), np.array([0, 1, 2, 1]), np.arange(4), CPU).root_paths()
    assert paths.key_index.tolist() == [0, 1, 2, 0, 3]
    assert paths.cu_seq_q.tolist() == [0, 3, 4]
    assert paths.cu_seq_k.tolist() == [0, 3, 5]
    assert (paths.max_q, paths.max_k) == (3, 3)


def test_what_a_kernel_does_not_compute_goes_to_the_padded_one() -> None:
    """Soft caps, sinks and values of another width: bit for bit as without other kernels."""
    plan = plan_of(0)
    query, key, value = heads_of(plan, 0)
    sinks = torch.linspace(-1.0, 1.0, HEADS)
    for narrow, softcap, sink in ((value, 0.7, None), (value, None, sinks), (value[..., :5], None, None)):
        for kernels in (BY_THE_BOOK, UNCOMPILED):
            arguments = (query, key, narrow, plan, None, SCALE, softcap, sink)
            assert torch.equal(kernels.attend(*arguments), Kernels().attend(*arguments))


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
@pytest.mark.parametrize("window", [None, 4])
@pytest.mark.parametrize("seed", range(4))
def test_a_mask_of_blocks_gives_what_padded_paths_give(seed: int, window: int | None) -> None:
    plan = plan_of(seed)
    query, key, value = (x.detach() for x in heads_of(plan, seed))
    ours, truth = (k.attend(query, key, value, plan, window, SCALE, None, None) for k in (UNCOMPILED, Kernels()))
    torch.testing.assert_close(ours, truth, atol=1e-5, rtol=1e-5)


def test_depth_first_intervals_are_the_paths() -> None:
    parents, depths = random_tree(3, 60)
    begin, end = intervals(parents)
    for query in range(60):
        path, above = set(), query
        while above >= 0:
            path.add(above)
            above = int(parents[above])
        assert {k for k in range(60) if begin[k] <= begin[query] < end[k]} == path
    padded = Intervals.of(Chains.of(parents, depths, np.arange(60)), CPU)
    assert len(padded.begin) == 128
    assert (padded.end[60:] == 0).all()


def test_a_sampler_s_pass_is_none_for_blocks() -> None:
    """It reads keys that are no tokens of the pass: the padded kernel takes it, bit for bit."""
    plan = plan_of(1, num_before=20)
    query, key, value = (x.detach() for x in heads_of(plan, 1))
    arguments = (query, key, value, plan, None, SCALE, None, None)
    assert torch.equal(UNCOMPILED.attend(*arguments), Kernels().attend(*arguments))


@pytest.mark.parametrize(("num_leaves", "used"), [(4, "varlen"), (64, "flex")])
def test_what_would_be_copied_most_goes_to_the_mask_of_blocks(num_leaves: int, used: str) -> None:
    tree = Tree()
    header = tree.extend(ROOT, range(30))
    for leaf in range(num_leaves):
        tree.extend(header, [100 + leaf])
    plan = plan_paths(np.array(tree.parents), np.array(tree.depths), np.arange(len(tree)), CPU)
    assert (plan.chains.copies > MOST_COPIES) == (used == "flex")
    called = []

    def noting(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *args, **kwargs: (called.append(name), call(*args, **kwargs))[1]

    kernels = Kernels(noting("varlen", plain_varlen()), noting("flex", flex_attention))
    random = torch.Generator().manual_seed(0)
    query, key, value = (torch.randn(len(tree), 2, WIDTH, generator=random) for _ in range(3))
    kernels.attend(query, key, value, plan, None, SCALE, None, None)
    assert called == [used]


def policy_of(name: str, dtype: str = "bfloat16") -> Policy:
    if name in ("mistral", "gemma3"):
        return Policy(odd_model(name).to(getattr(torch, dtype)), ByteTokenizer(), CPU)
    loaded = load_model(name, dtype)
    return Policy(loaded.model, loaded.tokenizer, CPU)


@pytest.mark.parametrize("name", ["tiny-llama", "tiny-qwen3", "mistral", "gemma3"])
def test_a_step_s_gradients_do_not_depend_on_the_kernel(name: str) -> None:
    batch = build_batch(*random_step(5, vocabulary=200), WEIGHTS)
    policy = policy_of(name, "float32")
    loss, logprobs, gradients = packed(policy, batch, 40, "tree")
    policy.kernels = BY_THE_BOOK
    ours, our_logprobs, our_gradients = packed(policy, batch, 40, "tree")
    assert ours == pytest.approx(loss.item(), abs=1e-5)
    torch.testing.assert_close(our_logprobs, logprobs, atol=1e-4, rtol=1e-4)
    assert_same_gradient(our_gradients, gradients)


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
@pytest.mark.parametrize("name", ["tiny-llama", "tiny-qwen3", "tiny-gpt2", "tiny-gemma", "mistral", "gemma3"])
def test_a_right_kernel_is_proved_at_start(name: str, dtype: str) -> None:
    policy = policy_of(name, dtype)
    before = [p.clone() for p in policy.model.parameters()]
    assert proved(BY_THE_BOOK, policy) == Found(BY_THE_BOOK)
    assert all(torch.equal(a, b) for a, b in zip(before, policy.model.parameters(), strict=True))


@pytest.mark.parametrize(
    ("name", "mask"), [("tiny-llama", top_left), ("mistral", one_key_more), ("gemma3", one_key_more)]
)
def test_a_wrong_kernel_is_not_used_and_the_reason_is_said(name: str, mask: Any) -> None:
    found = proved(Kernels(varlen=plain_varlen(mask)), policy_of(name))
    assert found.kernels == Kernels()
    assert found.notes[0].startswith("attention runs without varlen: its output is off by ")


def test_a_kernel_with_a_wrong_gradient_alone_is_not_used() -> None:
    honest = plain_varlen(bottom_right)

    def half_the_slope(query: Tensor, *others: Any, **more: Any) -> Tensor:
        return honest(query * 0.5 + query.detach() * 0.5, *others, **more)

    found = proved(Kernels(varlen=half_the_slope), policy_of("tiny-llama"))
    assert found.kernels == Kernels()
    assert "its gradient by the query is off by 5.0e-01" in found.notes[0]


def test_a_kernel_that_fails_is_not_used_and_its_error_is_said() -> None:
    def fails(*_: Any, **__: Any) -> Tensor:
        raise RuntimeError("no kernel image is available")

    found = proved(Kernels(varlen=fails), policy_of("tiny-llama"))
    assert found == Found(
        Kernels(), ("attention runs without varlen: it does not run here (RuntimeError: no kernel image is available)",)
    )


def test_a_model_without_a_layer_for_a_kernel_says_so() -> None:
    """Its sinks leave it to the padded kernel."""
    policy = Policy(family_model("gpt_oss").bfloat16(), ByteTokenizer(), CPU)
    assert proved(BY_THE_BOOK, policy).notes == (
        "attention runs without varlen: no layer of the model is of the kind that it computes",
    )


def test_on_a_cpu_nothing_else_is_offered_and_only_who_asked_is_told() -> None:
    policy = policy_of("tiny-llama")
    assert offered("auto", policy) == offered("padded", policy) == Found(Kernels())
    assert offered("varlen", policy).notes == ("attention runs without varlen: torch has it for CUDA alone",)
    assert "backward pass for CUDA alone" in offered("flex", policy).notes[0]


def test_a_run_that_asks_for_a_kernel_is_told_that_it_runs_without() -> None:
    said: list[str] = []
    keys = ["model.name=tiny-llama", "run.device=cpu", "run.threads=1", "model.attention=varlen"]
    policy, _ = proved_policy(load(None, keys), said.append)
    assert policy.kernels == Kernels()
    assert said == ["attention runs without varlen: torch has it for CUDA alone"]


def test_torch_still_has_no_backward_pass_of_flex_on_a_cpu() -> None:
    """Where this fails, `torch_flex` can offer it there too."""
    leaf = torch.randn(1, 1, 128, WIDTH, requires_grad=True)
    with pytest.raises(NotImplementedError, match="backward on CPU"):
        flex_attention(leaf, leaf, leaf)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
@pytest.mark.parametrize("name", ["tiny-llama", "tiny-qwen3", "mistral"])
def test_torch_s_own_kernels_are_proved_on_a_gpu(name: str) -> None:
    on_gpu = policy_of(name)
    policy = Policy(on_gpu.model, on_gpu.tokenizer, torch.device("cuda"))
    (varlen, no_varlen), (flex, no_flex) = torch_varlen(policy.device, policy.dtype), torch_flex(policy.device)
    assert varlen is not None, no_varlen
    assert flex is not None, no_flex
    assert proved(Kernels(varlen, flex), policy) == Found(Kernels(varlen, flex))
