"""Engines: keyed randomness, stops, greedy choice, replay from a script, merging of what was said alike."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from roles.requests import Sampled, SamplingParams
from roles.tree import ROOT, Tree
from selfplay.engine.flat_engine import FlatEngine
from selfplay.engine.protocol import Draw, Sampler, TokenCount
from selfplay.engine.sampling import Speaker, choose, drawn_tokens, uniforms
from selfplay.engine.tree_engine import TreeEngine
from selfplay.model.policy import Policy
from selfplay.model.weights.loading import load_model
from selfplay.model.weights.tiny import EOS_ID, VOCABULARY, ByteTokenizer
from selfplay.prompting.codec import stop_tokens
from store.records import Completion, Finish

ENGINES = [TreeEngine, FlatEngine]
FREE = SamplingParams(temperature=1.0, max_tokens=6, stop=("\n",))
TEXTS = ("12 + 7 =", "12 + 9 =", "x")


@pytest.fixture(scope="module")
def policy() -> Policy:
    loaded = load_model("tiny-llama", "float32")
    return Policy(loaded.model, loaded.tokenizer, torch.device("cpu"))


def draws(tree: Tree, keys: Sequence[int], n: int = 4, params: SamplingParams = FREE) -> list[Draw]:
    """One draw for each key, below the text of that number."""
    return [Draw(tree.extend(ROOT, TEXTS[k % 3].encode()), n, params, ("solver", 1, k), "solver/0") for k in keys]


def said(groups: Sequence[Sequence[Sampled]]) -> list[list[tuple[int, ...]]]:
    return [[sampled.completion.ids for sampled in group] for group in groups]


def completions(groups: Sequence[Sequence[Sampled]]) -> list[Completion]:
    return [sampled.completion for group in groups for sampled in group]


@pytest.mark.parametrize("kind", ENGINES)
def test_a_key_says_the_same_whatever_else_is_drawn(kind: type[Sampler], policy: Policy) -> None:
    def sample(keys: Sequence[int], n: int) -> dict[int, list[tuple[int, ...]]]:
        tree = Tree()
        found = kind(policy, seed=3).sample(tree, draws(tree, keys, n))  # type: ignore[call-arg]
        return dict(zip(keys, said(found), strict=True))

    together = sample([0, 1, 2], 4)
    alone, reversed_, more = sample([1], 4), sample([2, 1, 0], 4), sample([1], 7)
    assert together[1] == alone[1] == reversed_[1] == more[1][:4]
    assert together == reversed_
    assert len(set(more[1])) > 1  # samples of one draw have streams of their own


def test_seed_version_and_every_part_of_the_key_change_the_stream() -> None:
    base = uniforms(3, ("solver", 1, "p", 0), 5, 8)
    assert base.tolist() == uniforms(3, ("solver", 1, "p", 0), 5, 8).tolist()
    assert base[:4].tolist() == uniforms(3, ("solver", 1, "p", 0), 5, 4).tolist()
    others = [
        uniforms(4, ("solver", 1, "p", 0), 5, 8),
        uniforms(3, ("solver", 1, "p", 0), 6, 8),
        uniforms(3, ("solver", 2, "p", 0), 5, 8),
        uniforms(3, ("evaluation", 1, "p", 0), 5, 8),
        uniforms(3, ("solver", 1, "p", 1), 5, 8),
        uniforms(3, ("solver", 1, "p0"), 5, 8),
    ]
    assert len({tuple(stream.tolist()) for stream in [base, *others]}) == 7


@pytest.mark.parametrize("kind", ENGINES)
def test_another_policy_version_draws_anew(kind: type[Sampler], policy: Policy) -> None:
    found = []
    for version in (0, 1):
        tree = Tree()
        policy.version = version
        found.append(said(kind(policy, seed=3).sample(tree, draws(tree, [0, 1]))))  # type: ignore[call-arg]
    policy.version = 0
    assert found[0] != found[1]


def test_draws_follow_the_policys_distribution(policy: Policy) -> None:
    tree = Tree()
    [draw] = draws(tree, [0], n=4000, params=SamplingParams(1.0, 1, ()))
    [group] = TreeEngine(policy, seed=1).sample(tree, [draw])
    with torch.no_grad():
        p = policy.model(torch.tensor([list(TEXTS[0].encode())])).logits[0, -1].double().softmax(-1)
    counts = torch.zeros(VOCABULARY, dtype=torch.float64)
    for sampled in group:
        counts[sampled.completion.ids[0]] += 1
        assert sampled.completion.logprobs[0] == pytest.approx(p[sampled.completion.ids[0]].log().item(), abs=1e-4)
    chi2 = ((counts - 4000 * p) ** 2 / (4000 * p)).sum().item()
    assert chi2 < 257 + 5 * (2 * 257) ** 0.5  # 256 degrees of freedom, five standard deviations


@pytest.mark.parametrize(("random", "token"), [(0.0, 5), (1.0 - 2.0**-53, 8)], ids=["lowest", "highest, 1 in fp32"])
@pytest.mark.parametrize("size", [VOCABULARY, 5000])
def test_no_draw_falls_on_a_token_that_cannot_be_said(random: float, token: int, size: int) -> None:
    logits = torch.full((1, size), -torch.inf)
    logits[:, 5:9] = 0.0
    [draw] = draws(Tree(), [0], n=1)
    speaker = Speaker(draw, np.array([random]), ByteTokenizer(), draw.node)
    choose(logits, [[speaker]])
    assert speaker.chosen == (token, pytest.approx(-np.log(4.0)))
    end = torch.ones(1, 1, dtype=torch.float64)  # what rounding can make of a random number below 1
    assert drawn_tokens(logits.softmax(-1), end).item() == 8


@pytest.mark.parametrize("size", [49_152, 49_159, 257])
def test_every_token_has_its_chance_to_a_part_in_ten_million(size: int) -> None:
    """Case 8: fp32 sums left a ten-thousandth of the mass that no draw could reach. A token is drawn between
    two ends, and each end must be where exact sums have it."""
    random = torch.Generator().manual_seed(0)
    logits = torch.randn(1, size, generator=random) * 4
    exact = logits.double().softmax(-1)[0]
    ends = exact.cumsum(0)
    heavy, light = exact.topk(20).indices, exact.topk(20, largest=False).indices
    tokens = torch.cat([torch.randperm(size, generator=random)[:1000], heavy, light, torch.arange(size - 20, size)])
    for side in (-1, 1):
        near = (ends[tokens] + side * 5e-8).clamp(0.0, 1.0 - 2.0**-53)
        found = drawn_tokens(logits.softmax(-1), near[None])[0]
        assert (found <= tokens if side < 0 else (found > tokens) | (near > 1.0 - 1e-9)).all()


@dataclass(frozen=True)
class Words:
    """A tokenizer whose tokens hold several characters, some with a stop inside."""

    eos_token_id: int = EOS_ID

    def __len__(self) -> int:
        return VOCABULARY

    def decode(self, ids: Sequence[int], skip_special_tokens: bool = False) -> str:
        return "".join(self.word(i) for i in ids if not (skip_special_tokens and i == EOS_ID))

    def word(self, token: int) -> str:
        return {EOS_ID: "<eos>"}.get(token, f"a\nb{token}" if token % 5 == 0 else f"w{token} ")


@pytest.mark.parametrize("kind", ENGINES)
def test_any_token_that_holds_the_stop_ends_a_completion_and_belongs_to_it(kind: type[Sampler], policy: Policy) -> None:
    wordy = Policy(policy.model, Words(), torch.device("cpu"))
    tree = Tree()
    found = completions(kind(wordy, seed=0).sample(tree, draws(tree, [0, 1, 2], n=30)))  # type: ignore[call-arg]
    assert {c.finish for c in found} == {Finish.STOP, Finish.LENGTH}
    for c in found:
        ends = [i % 5 == 0 or i == EOS_ID for i in c.ids]
        assert not any(ends[:-1])
        assert ends[-1] == (c.finish is Finish.STOP)
        assert len(c.ids) == FREE.max_tokens or ends[-1]
        assert c.text == Words().decode(c.ids, skip_special_tokens=True)  # decoded from the ids, stop included


def test_stop_tokens_of_the_real_tokenizer() -> None:
    tokenizer = load_model("smollm2-135m", "bfloat16").tokenizer
    stops = stop_tokens(tokenizer, ("\n",))
    assert tokenizer.eos_token_id in stops
    assert {tokenizer.encode(t, add_special_tokens=False)[0] for t in ("\n", "\n\n", "\n\n\n")} <= stops
    assert len(tokenizer.encode("\n\n", add_special_tokens=False)) == 1  # one token, two stops
    assert all("\n" in tokenizer.decode([i]) for i in stops - {tokenizer.eos_token_id})
    assert stop_tokens(tokenizer, ()) == {tokenizer.eos_token_id}


@pytest.mark.parametrize("kind", ENGINES)
def test_greedy_takes_the_likeliest_token_whatever_the_key(kind: type[Sampler], policy: Policy) -> None:
    params, tree = SamplingParams(0.0, 5, ()), Tree()
    groups = kind(policy, seed=8).sample(tree, draws(tree, [0, 1, 3], n=2, params=params))  # type: ignore[call-arg]
    for key, group in zip([0, 1, 3], groups, strict=True):
        ids = list(TEXTS[key % 3].encode())
        for _ in range(5):
            with torch.no_grad():
                ids.append(int(policy.model(torch.tensor([ids])).logits[0, -1].argmax()))
        assert {sampled.completion.ids for sampled in group} == {tuple(ids[-5:])}


@pytest.mark.parametrize("kind", ENGINES)
def test_a_call_run_again_from_its_script_leaves_everything_as_it_was(kind: type[Sampler], policy: Policy) -> None:
    def second_look(tree: Tree, groups: Sequence[Sequence[Sampled]]) -> list[Draw]:
        ends = [sampled.node for group in groups for sampled in group]
        return [
            Draw(tree.extend(end, b"again:"), 2, FREE, ("solver", 1, 9, i), "solver/1") for i, end in enumerate(ends)
        ]

    first_tree, again_tree = Tree(), Tree()
    engine = kind(policy, seed=3)  # type: ignore[call-arg]
    first = engine.sample(first_tree, draws(first_tree, [0, 1, 2]))
    looks = engine.sample(first_tree, second_look(first_tree, first))

    replaying = kind(policy, seed=3)  # type: ignore[call-arg]
    script = completions(first)
    again = replaying.sample(again_tree, draws(again_tree, [0, 1, 2]), script)
    assert again == first
    looks_again = replaying.sample(again_tree, second_look(again_tree, again))
    assert looks_again == looks  # drawn, not scripted: keys and values were what they had been, to the last bit
    assert again_tree == first_tree


def test_a_script_is_repeated_and_not_drawn(policy: Policy) -> None:
    tree, other_tree = Tree(), Tree()
    script = completions(TreeEngine(policy, seed=3).sample(tree, draws(tree, [0, 1])))
    stranger = TreeEngine(policy, seed=99)
    assert completions(stranger.sample(other_tree, draws(other_tree, [0, 1]), script)) == script


def test_merging_changes_the_tree_and_not_what_is_said(policy: Policy) -> None:
    found, trees = [], []
    for merge in (True, False):
        tree = Tree(merge=merge)
        groups = TreeEngine(policy, seed=3).sample(tree, draws(tree, [0, 1], n=40))
        found.append(completions(groups))
        trees.append(tree)
    for one, two in zip(*found, strict=True):
        assert (one.ids, one.text, one.finish) == (two.ids, two.text, two.finish)
        assert one.logprobs == pytest.approx(two.logprobs, abs=1e-5)
    num_said = sum(len(c.ids) for c in found[0])
    assert [label for label in trees[1].labels].count("solver/0") == num_said
    distinct = {(len(c.ids) and i // 40, c.ids[:k]) for i, c in enumerate(found[0]) for k in range(1, len(c.ids) + 1)}
    assert trees[0].labels.count("solver/0") == len(distinct) < num_said


def test_new_weights_forget_old_keys_and_values() -> None:
    loaded = load_model("tiny-llama", "float32")
    fresh = Policy(loaded.model, loaded.tokenizer, torch.device("cpu"))
    engine, tree = TreeEngine(fresh, seed=3), Tree()
    greedy = SamplingParams(0.0, 4, ())
    before = completions(engine.sample(tree, draws(tree, [0], n=1, params=greedy)))
    with torch.no_grad():
        for parameter in fresh.model.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    engine.load(0)
    after = completions(engine.sample(tree, draws(tree, [0], n=1, params=greedy)))
    plain, new_tree = TreeEngine(fresh, seed=3), Tree()
    assert after == completions(plain.sample(new_tree, draws(new_tree, [0], n=1, params=greedy)))
    assert after != before


def test_an_engine_that_ended_sampling_runs_a_tree_anew_and_says_the_same(policy: Policy) -> None:
    engine, tree = TreeEngine(policy, seed=3), Tree()
    computed = []
    said = []
    for ends in (False, False, True):
        if ends:
            engine.end_sampling()
        count = TokenCount()
        said.append(completions(engine.sample(tree, draws(tree, [0], n=4), count=count)))
        computed.append(count.computed)
    first, kept, anew = computed
    assert kept < first == anew
    assert said[0] == said[2]
    assert [c.ids for c in said[0]] == [c.ids for c in said[1]]  # logprobs round otherwise


@pytest.mark.parametrize("kind", ENGINES)
def test_one_call_has_one_temperature(kind: type[Sampler], policy: Policy) -> None:
    tree = Tree()
    mixed = draws(tree, [0]) + draws(tree, [1], params=SamplingParams(0.5, 4, ()))
    with pytest.raises(ValueError, match="one temperature"):
        kind(policy, seed=0).sample(tree, mixed)  # type: ignore[call-arg]
