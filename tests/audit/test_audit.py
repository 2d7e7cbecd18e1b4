"""The update audit: its counts and ranks against torch's, its files, what two runs share, and what it refuses."""

import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from looking import Look
from run_server import ENVIRONMENT
from safetensors.torch import load_file, save_file

from selfplay import api
from selfplay.audit.auditing import Request, _Making, audit
from selfplay.audit.counting import as_bf16, changed, update
from selfplay.audit.grouping import by_size, group, groups, kind_of, layer_of, overlap
from selfplay.audit.ranks import MOST_SIDE, GrowingMatrix
from selfplay.audit.records import Audit, Counts, OfSize, Ranks
from selfplay.audit.sizes import HIGHEST, LOWEST
from selfplay.audit.streaming import Pair, audited_tensors
from selfplay.machine.errors import USAGE, Refused
from selfplay.model.weights.loading import load_model
from selfplay.model.weights.places import stored_folder
from selfplay.model.weights.tensor_files import Floats, TensorFiles, blocks
from selfplay.train.masks import Mask, packed, read_mask, write_mask

TINY = ("configs/tiny.yaml", "run.threads=1", "domain=few_problems:AnyEnds", "challenger.source=none")
SHORT = (
    "run.steps=2",
    "run.checkpoint_every=1",
    "solver.problems=3",
    "evaluate.pass_size=1",
    "evaluate.interim_size=1",
)


@dataclass(frozen=True, slots=True)
class HeldTensors:
    """Tensors that are in memory, in any precision that numpy has."""

    tensors: Mapping[str, np.ndarray]

    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        return {name: tensor.shape for name, tensor in self.tensors.items()}

    def rows(self, name: str, start: int, stop: int) -> Floats:
        return np.atleast_1d(self.tensors[name])[start:stop].astype(np.float32)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of runs of two steps from a model in a folder, in bfloat16: two seeds, and adapters."""
    folder = tmp_path_factory.mktemp("runs")
    loaded = load_model("tiny-llama", "float32")
    loaded.model.save_pretrained(folder / "model")
    loaded.tokenizer.save_pretrained(folder / "model")
    each = [*TINY, *SHORT, f"run.dir={folder}", f"model.name={folder / 'model'}", "model.dtype=bfloat16"]
    api.run([*each, "run.name=one", "seed=1", "train.learning_rate=1e-4"])
    api.run([*each, "run.name=two", "seed=2", "train.learning_rate=1e-4"])
    api.run([*each, "run.name=lora", "seed=1", "policy.lora.r=2"])
    return folder


def heard(run: str, folder: Path, **options: object) -> Audit:
    """An audit during which nothing had to be said: the start was read from its files, and no checkpoint was bad."""
    lines: list[str] = []
    found, _ = audit(Request(run, directory=folder, **options), lines.append)  # type: ignore[arg-type]
    assert lines == []
    return found


def test_counts_are_those_that_torch_has_of_a_run(runs: Path) -> None:
    found = {each.name: each for each in heard("one", runs).tensors}
    masters = load_file(runs / "one/checkpoints/step_000002/trainer-master.safetensors")
    start = dict(load_model(str(runs / "model"), "bfloat16").model.named_parameters())
    assert {f"master/{name}" for name in found} == masters.keys()
    for name, each in found.items():
        now, before = masters[f"master/{name}"], start[name].detach().float()
        served = now.bfloat16().float()
        assert each.changed == Counts(
            int((~torch.isclose(served, before, rtol=0, atol=1e-5)).sum()),
            int((~torch.isclose(now, before, rtol=0, atol=1e-5)).sum()),
            int(((now - before).abs() > 1e-3 * before.abs()).sum()),
        )
        assert each.squares == pytest.approx(float((now - before).double().square().sum()))
        if now.dim() == 2:
            assert each.ranks is not None
            assert each.ranks.fp32.rank == np.linalg.matrix_rank((now - before).numpy())
            assert each.ranks.bf16.rank == np.linalg.matrix_rank((served - before).numpy())
    whole = group("all", list(found.values()))
    assert 0 < whole.changed["bf16"] < whole.changed["fp32"] < 1  # most of a small step is lost on rounding to bf16


def test_a_step_in_between_is_what_is_compared_with(runs: Path) -> None:
    """From step 1 on there was one update, whose Adam step is at most the learning rate."""
    found = heard("one", runs, since=1)
    since, now = (load_file(runs / f"one/checkpoints/step_00000{step}/trainer-master.safetensors") for step in (1, 2))
    moved = sum(float((now[name] - since[name]).double().square().sum()) for name in now)
    assert sum(each.squares for each in found.tensors) == pytest.approx(moved) and moved > 0
    assert found.audited.since == 1


def test_two_runs_are_each_compared_with_their_start(runs: Path, look: Look) -> None:
    code, out, _ = look("audit", "one", "--against", "two", "--dir", runs, "--json")
    found = json.loads(out)
    alone = {name: audit(Request(name, directory=runs, ranks=False), print)[0] for name in ("one", "two")}
    counts = [sum(each.changed.fp32 for each in alone[name].tensors) for name in ("one", "two")]
    assert (code, found["against"]["run"]) == (0, "two")
    shared = found["overlap"]["fp32"]
    assert shared["chance_first"] == pytest.approx(counts[1] / found["all"]["numbers"])
    assert shared["of_first"] * counts[0] == pytest.approx(shared["of_second"] * counts[1])
    itself = overlap(heard("one", runs, against="one").tensors, "bf16")
    assert itself.of_first == itself.of_second == 1.0 and itself.chance_first < itself.chance_first_within < 1


def test_overlap_and_chance_by_hand() -> None:
    """Two tensors of 4. A changed 2 and 1 of them, B 2 and 4; both 1 and 1."""
    start = {"a": np.zeros(4), "layers.0.b": np.zeros(4)}
    first = {"a": np.array([1.0, 1.0, 0, 0]), "layers.0.b": np.array([1.0, 0, 0, 0])}
    second = {"a": np.array([0, 1.0, 1.0, 0]), "layers.0.b": np.ones(4)}
    pairs = [Pair(HeldTensors(now), HeldTensors(start), rounds=False) for now in (first, second)]
    found = overlap(list(audited_tensors(*pairs)), "fp32")
    assert (found.of_first, found.of_second) == (pytest.approx(2 / 3), pytest.approx(2 / 6))
    assert (found.chance_first, found.chance_second) == (pytest.approx(6 / 8), pytest.approx(3 / 8))
    within = 2 * 2 / 4 + 1 * 4 / 4
    assert (found.chance_first_within, found.chance_second_within) == (within / 3, pytest.approx(within / 6))


def test_chance_among_weights_of_like_size_by_hand() -> None:
    """Of two small weights and four large ones A changed one and two, B two and three: 1 x 2 / 2 + 2 x 3 / 4."""
    start = {"a": np.array([0.001, 0.001, -0.5, 0.5, 0.5, 0.5])}
    first = {"a": start["a"] + np.array([1, 0, 1, 1, 0, 0]) * 1e-2}
    second = {"a": start["a"] + np.array([1, 1, 0, 1, 1, 1]) * 1e-2}
    pairs = [Pair(HeldTensors(now), HeldTensors(start), rounds=False) for now in (first, second)]
    tensors = list(audited_tensors(*pairs))
    found, alike = overlap(tensors, "fp32"), 1 * 2 / 2 + 2 * 3 / 4
    assert (found.chance_first_alike, found.chance_second_alike) == (pytest.approx(alike / 3), pytest.approx(alike / 5))
    assert by_size(tensors) == [OfSize(-10, 2, Counts(1, 1, 1)), OfSize(-1, 4, Counts(2, 2, 2))]


def test_sizes_are_whole_powers_and_all_weights_count() -> None:
    start = np.float32([0.0, 2.0**-30, 2.0**-8, np.nextafter(np.float32(2.0**-7), 0), -(2.0**-7), 1e9])
    (found,) = audited_tensors(Pair(HeldTensors({"a": start}), HeldTensors({"a": start}), rounds=False))
    assert [(each.power, each.numbers) for each in found.sizes] == [(LOWEST, 2), (-8, 2), (-7, 1), (HIGHEST, 1)]


def test_tables_say_what_was_counted_and_a_mask_is_written(runs: Path, look: Look, tmp_path: Path) -> None:
    path = tmp_path / "mask.safetensors"
    code, out, err = look("audit", "one@2", "--dir", runs, "--mask", path, "--count", "fp32")
    assert (code, err) == (0, "")
    assert "self_attn.q_proj" in out and "layer 1" in out and "outside layers" in out and "1e-05" in out
    assert "by size of the weight at the start" in out and "2^-8" in out
    found = heard("one", runs)
    mask = read_mask(path)
    assert path.stat().st_size < sum(each.numbers for each in found.tensors) / 8 + 8000
    assert {each.name: int(mask.of(each.name).sum()) for each in found.tensors} == {
        each.name: each.changed.fp32 for each in found.tensors
    }
    masters = load_file(runs / "one/checkpoints/step_000002/trainer-master.safetensors")
    start = dict(load_model(str(runs / "model"), "bfloat16").model.named_parameters())
    for name in mask.shapes:
        now = masters[f"master/{name}"] - start[name].detach().float()
        assert torch.equal(torch.from_numpy(mask.of(name)), now.abs() > 1e-5)


def test_bits_are_packed_across_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tensor of 7 columns, read a few rows at a time: no block ends at a byte."""
    monkeypatch.setattr("selfplay.audit.streaming.blocks", lambda shape: blocks(shape, at_once=21))
    now = np.random.default_rng(0).integers(0, 2, (11, 7)).astype(np.float32)
    making = _Making("fp32")
    found = list(audited_tensors(Pair(HeldTensors({"a": now}), HeldTensors({"a": now * 0}), False), heard=making.hear))
    mask = making.finished({"a": (11, 7)})
    assert mask is not None and np.array_equal(mask.of("a"), now > 0)
    assert np.array_equal(mask.bits["a"], packed(now > 0)) and found[0].changed.fp32 == now.sum()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["lora"], "trained adapters"),
        (["one@0"], "nothing has changed"),
        (["one@7"], "no such checkpoint is kept"),
        (["smollm2-135m"], "is no run"),
        (["one", "--since", "2"], "is not before step 2"),
        (["one", "--count", "int8"], "give one of bf16, fp32, relative"),
        (["one", "--mask", "nowhere/mask.safetensors"], "its folder is not there"),
    ],
)
def test_what_cannot_be_audited_is_one_line(runs: Path, look: Look, arguments: list[str], words: str) -> None:
    code, out, err = look("audit", *arguments, "--dir", runs)
    assert (code, out) == (USAGE, "") and words in err and err.count("\n") == 1


def test_runs_of_other_architectures_share_nothing() -> None:
    one, other = (HeldTensors({"a": np.zeros((2, width))}) for width in (2, 3))
    with pytest.raises(Refused, match=r"did not train the same tensors: a is \(2, 2\) in the first and \(2, 3\)"):
        list(audited_tensors(Pair(one, one, False), Pair(other, other, False)))


def test_a_damaged_checkpoint_is_passed_over(runs: Path, tmp_path: Path) -> None:
    shutil.copytree(runs / "one", tmp_path / "one")
    file = tmp_path / "one/checkpoints/step_000002/trainer-master.safetensors"
    file.write_bytes(file.read_bytes()[:-1])
    lines: list[str] = []
    found, _ = audit(Request("one", directory=tmp_path), lines.append)
    assert found.audited.step == 1 and len(lines) == 1 and "passed over" in lines[0]


def test_a_random_model_is_loaded_and_its_start_is_the_same(tmp_path: Path) -> None:
    """tiny-llama lies in no folder; the model that was saved from it does, in another precision."""
    api.run([*TINY, *SHORT, "run.steps=1", f"run.dir={tmp_path}", "run.name=tiny", "model.name=tiny-llama"])
    lines: list[str] = []
    found, _ = audit(Request("tiny", directory=tmp_path), lines.append)
    assert len(lines) == 1 and "loaded whole" in lines[0]
    assert 0 < group("all", found.tensors).moved < 0.1


def test_bfloat16_is_rounded_as_torch_does() -> None:
    generator = np.random.default_rng(0)
    numbers = generator.integers(0, 2**32, 100_000, dtype=np.uint32).view(np.float32)
    numbers = np.concatenate([numbers[np.isfinite(numbers)], np.float32([0.0, -0.0, 1e-40, 1.00390625, 1.01171875])])
    expected = torch.from_numpy(numbers).bfloat16().float().numpy()
    assert np.array_equal(as_bf16(numbers).view(np.uint32), expected.view(np.uint32))


def test_what_is_smaller_than_the_spacing_of_bfloat16_counts_only_in_fp32() -> None:
    start = as_bf16(np.float32([0.02, 0.02, 0.02, 0.0, 0.0]))
    now = start + np.float32([5e-5, 2e-4, 5e-6, 5e-6, 0.0])
    found = changed(start, update(start, now))
    assert found.bf16.tolist() == [False, True, False, False, False]
    assert found.fp32.tolist() == [True, True, False, False, False]
    assert found.relative.tolist() == [True, True, False, True, False]


@pytest.mark.parametrize("shape", [(300, 40), (40, 300), (64, 64)])
@pytest.mark.parametrize("rank", [0, 7, 40])
def test_ranks_are_numpys(shape: tuple[int, int], rank: int) -> None:
    generator = np.random.default_rng(rank)
    left, right = generator.normal(size=(shape[0], rank)), generator.normal(size=(rank, shape[1]))
    matrix = (left @ right).astype(np.float32)
    growing = GrowingMatrix("a", shape)
    for first in range(0, shape[0], 13):
        growing.add(matrix[first : first + 13])
    values = np.linalg.svd(matrix, compute_uv=False).astype(float)
    held = np.cumsum(values**2) / max(1e-30, (values**2).sum())
    fewest = int((held < 0.99).sum()) + 1 if rank else 0
    assert growing.ranks() == Ranks(min(shape), int(np.linalg.matrix_rank(matrix)), fewest)
    assert growing.ranks().rank == rank and not growing.is_sampled


def test_of_a_large_matrix_a_part_is_drawn_and_it_is_said() -> None:
    shape = (MOST_SIDE + 200, MOST_SIDE + 100)
    generator = np.random.default_rng(0)
    matrix = (generator.normal(size=(shape[0], 5)) @ generator.normal(size=(5, shape[1]))).astype(np.float32)
    found = list(audited_tensors(Pair(HeldTensors({"a": matrix}), HeldTensors({"a": 0 * matrix}), rounds=False)))
    assert found[0].ranks is not None and found[0].ranks.is_sampled
    assert found[0].ranks.fp32[:2] == (MOST_SIDE, 5) and group("all", found).sampled == 1


@pytest.mark.parametrize(
    ("name", "layer", "kind"),
    [
        ("model.layers.3.self_attn.q_proj.weight", "layer 3", "self_attn.q_proj"),
        ("model.layers.12.mlp.experts.7.up_proj.weight", "layer 12", "mlp.experts.*.up_proj"),
        ("transformer.h.0.attn.c_attn.bias", "layer 0", "attn.c_attn.bias"),
        ("model.embed_tokens.weight", "outside layers", "embed_tokens"),
        ("model.norm.weight", "outside layers", "norm"),
    ],
)
def test_names_are_grouped(name: str, layer: str, kind: str) -> None:
    assert (layer_of(name), kind_of(name)) == (layer, kind)


def test_layers_come_in_their_order() -> None:
    tensors = {f"model.layers.{n}.w": np.ones((2, 2)) for n in range(11)}
    found = list(audited_tensors(Pair(HeldTensors(tensors), HeldTensors(tensors), rounds=False)))
    assert [each.name for each in groups(found, layer_of)] == [f"layer {n}" for n in range(11)]


def test_tensors_are_read_in_rows_whatever_they_are_stored_in(tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    kinds = (torch.float32, torch.bfloat16, torch.float16, torch.float64)
    stored = {str(kind): torch.randn(5, 3, 2, generator=generator).to(kind) for kind in kinds}
    stored |= {"one": torch.tensor(2.5), "whole": torch.arange(3)}
    save_file(stored, tmp_path / "a.safetensors")
    files = TensorFiles([tmp_path / "a.safetensors"])
    assert files.shapes() == {name: tuple(each.shape) for name, each in stored.items() if name != "whole"}
    for kind in kinds:
        assert np.array_equal(files.rows(str(kind), 1, 4), stored[str(kind)][1:4].float().numpy())
    assert files.rows("one", 0, 1).tolist() == [2.5]
    assert [*blocks((5, 3, 2), at_once=13)] == [(0, 2), (2, 4), (4, 5)] and [*blocks(())] == [(0, 1)]


def test_where_files_of_models_lie(tmp_path: Path) -> None:
    (tmp_path / "adapters").mkdir()
    (tmp_path / "adapters/adapter_config.json").write_text("{}")
    assert stored_folder(str(tmp_path)) == tmp_path
    assert [stored_folder(name) for name in (str(tmp_path / "adapters"), "tiny-llama", "a/b/c", "\0", "~no-one/x")] == (
        [None] * 5
    )


def test_memory_does_not_grow_with_the_model(tmp_path: Path) -> None:
    """Two files of 164 MB with one tensor each: what is held is blocks of it and the drawn part."""
    tensor = torch.randn(6400, 6400)
    save_file({"a": tensor}, tmp_path / "start.safetensors")
    save_file({"a": tensor + 1e-3 * torch.randn(6400, 6400)}, tmp_path / "now.safetensors")
    code = (
        "import resource, sys; from pathlib import Path; from selfplay.audit.streaming import *;"
        "from selfplay.model.weights.tensor_files import TensorFiles; from selfplay.audit.auditing import _Making;"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10; before = peak();"
        "now, start = (TensorFiles([Path(f'{name}.safetensors')]) for name in ('now', 'start'));"
        "making = _Making('fp32'); pair = Pair(now, start, True);"
        "found = list(audited_tensors(pair, pair, heard=making.hear)); making.finished({'a': (6400, 6400)});"
        "print(found[0].changed.fp32, before, peak(), 'torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True, check=True
    )
    changed_numbers, before, peak, has_torch = done.stdout.split()
    assert int(changed_numbers) > 0.9 * 6400**2 and has_torch == "False"
    assert int(peak) - int(before) < 150, f"{before} MiB before, {peak} MiB at most"


def test_a_mask_is_read_as_it_was_written_and_other_files_are_refused(tmp_path: Path) -> None:
    trained = {"a": np.array([[True, False, True]] * 3), "b": np.array(True)}
    mask = Mask(
        {name: packed(each) for name, each in trained.items()}, {name: each.shape for name, each in trained.items()}
    )
    write_mask(tmp_path / "m", mask, {"run": "x"})
    found = read_mask(tmp_path / "m")
    assert all(np.array_equal(found.of(name), each) for name, each in trained.items())
    assert found.share() == 0.7 and found.digest() == mask.digest()
    other = Mask({**mask.bits, "a": mask.bits["a"] ^ np.uint8(128)}, mask.shapes)
    assert other.digest() != mask.digest()
    save_file({"a": torch.zeros(2)}, tmp_path / "weights")
    cut = Mask({"a": mask.bits["a"][:1]}, {"a": (3, 3)})
    write_mask(tmp_path / "cut", cut, {})
    (tmp_path / "text").write_text("hello")
    for name in ("weights", "cut", "text", "missing"):
        with pytest.raises(Refused, match=f"train.mask={tmp_path / name}: is no mask"):
            read_mask(tmp_path / name)
