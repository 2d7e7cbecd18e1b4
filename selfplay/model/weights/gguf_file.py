"""A model in a .gguf file, llama.cpp's form: its weights, mostly in 4 or 8 bits, and its tokenizer.

transformers reads it, by half a minute of work for each 100 million parameters. So it is converted once, to a folder of
safetensors in the user's cache folder, which is made again when the file's content changes. Blocks of bits become fp32
values, exactly: bfloat16 would be off by 0.14% (root mean square), and what `model.dtype=float32` starts from should be
what the file says.
"""

import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from gguf import GGUFReader
from transformers import AutoModelForCausalLM, AutoTokenizer

from selfplay.machine.cache import made_once
from selfplay.machine.errors import ModelError
from selfplay.model.weights.places import cache_folder, converted_place, gguf_place
from selfplay.model.weights.reading import Say, quiet, readable
from selfplay.model.weights.whole import refuse_parts
from store.errors import DiskFull, is_disk_error

SUFFIX = ".gguf"
_BESIDE_WEIGHTS = 64_000_000  # bytes that a tokenizer of 262,144 tokens and the rest may take
_NEEDED = "tokenizer.ggml.tokens"


def converted(gguf: Path, name: str, say: Say) -> Path:
    """A folder with the model in `gguf`, made now unless it was before. Raises ModelError, DiskFull."""
    try:
        folder, source = gguf_place(gguf)
    except OSError as error:
        raise ModelError(f"model.name={name}: cannot be read ({error.strerror})") from error
    return converted_once(lambda: gguf, folder, source, name, say)


def converted_once(find: Callable[[], Path], folder: str, source: str, name: str, say: Say) -> Path:
    """Folder `folder` among the cached models. Unless it was made from the same `source`, it is made now from the file
    that `find` gives."""

    def make(empty: Path) -> None:
        gguf = find()
        say(f"{name}: converting its weights, once (about half a minute for 100 million parameters) ...")
        convert(gguf, empty, name, say)
        say(f"{name}: converted, kept in {cache_folder()}")

    try:
        return made_once(converted_place(folder), source, make)
    except OSError as error:
        if is_disk_error(error):
            raise
        raise ModelError(
            f"model.name={name}: its converted weights cannot be kept in {cache_folder()} ({error.strerror}); set "
            "SELFPLAY_CACHE to a folder that can be written"
        ) from error


def convert(gguf: Path, folder: Path, name: str, say: Say = lambda line: None) -> None:
    """Write the model in `gguf` to `folder` as fp32 safetensors, with its tokenizer. Raises ModelError, DiskFull."""
    with readable(name):
        reader = GGUFReader(gguf)
        needed = 4 * sum(int(tensor.n_elements) for tensor in reader.tensors) + _BESIDE_WEIGHTS
        if _NEEDED not in reader.fields:
            raise ModelError(
                f"model.name={name}: holds no tokenizer ({_NEEDED}); take a .gguf of a whole model, or the folder that "
                "it was made from"
            )
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise DiskFull(f"{name} takes {needed / 1e6:.0f} MB in {folder.parent}: {free / 1e6:.0f} MB are free")
    with readable(name, shows_progress=sys.stderr.isatty()):
        both: Any = AutoModelForCausalLM.from_pretrained(
            str(gguf.parent), gguf_file=gguf.name, dtype=torch.float32, output_loading_info=True
        )
        loaded, loading = both
        refuse_parts(loaded, loading, name, say)
        tokenizer = AutoTokenizer.from_pretrained(str(gguf.parent), gguf_file=gguf.name)
        facts = {key: value for key, value in loaded.config.to_dict().items() if key != "quantization_config"}
        plain = type(loaded)(type(loaded.config)(**facts))  # a model loaded from GGUF refuses to be saved
        plain.load_state_dict(loaded.state_dict())
    with quiet():
        plain.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
