"""Whether a folder holds what a model needs, file by file, before anything of it is loaded: each lack is one line that
says what to do. Whether the files then belong together is selfplay/model/weights/whole.py's matter."""

import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from transformers import CONFIG_MAPPING
from transformers import __version__ as _VERSION

from curriculum.error_lines import first_line
from selfplay.machine.errors import ModelError

INDEX = "model.safetensors.index.json"
_TOKENIZERS = ("tokenizer.json", "tokenizer.model", "tokenizer_config.json", "vocab.json", "vocab.txt", "tekken.json")
_PICKLES = ("*.bin", "*.pt", "*.pth")
_PLAIN = ("F64", "F32", "F16", "BF16")  # kinds of numbers, as safetensors calls them


def check_files(folder: Path, name: str) -> None:
    """Raises ModelError unless `folder` has whole weights in safetensors, and a tokenizer."""
    _check_weights(folder, name)
    if not any((folder / file).is_file() for file in _TOKENIZERS):
        raise ModelError(
            f"model.name={name}: has no tokenizer ({_TOKENIZERS[0]}); copy the tokenizer's files there from the model "
            "that it was made of"
        )


def check_config(folder: Path, name: str) -> None:
    """Raises ModelError unless `folder` has a configuration of an architecture that transformers has."""
    path = folder / "config.json"
    if not path.is_file():
        raise ModelError(f"model.name={name}: has no config.json, so it is no transformers model; {_advice(folder)}")
    kind = _mapping(path, name).get("model_type")
    if not isinstance(kind, str):
        raise ModelError(f"model.name={name}: its config.json names no model_type; fetch it again")
    if kind not in CONFIG_MAPPING:
        raise ModelError(
            f"model.name={name}: its architecture {kind[:100]!r} is not one of transformers {_VERSION}, "
            "though a later version may have it. Code that comes with a model is never run"
        )


def _advice(folder: Path) -> str:
    if ggufs := sorted(folder.glob("*.gguf")):
        return f"give the file itself: model.name={folder / ggufs[0].name}"
    if steps := sorted(folder.glob("checkpoints/step_*/policy")):
        return f"the weights of this run are in {steps[-1]}"
    return "save one there by save_pretrained(), or give another folder"


def _check_weights(folder: Path, name: str) -> None:
    for shard in _shards(folder, name):
        if not (folder / shard).is_file():
            raise ModelError(f"model.name={name}: lacks {shard}, which {INDEX} names; fetch that file")
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        pickles = sorted(path.name for pattern in _PICKLES for path in folder.glob(pattern))
        found = f"only {pickles[0]}, which can run code when it is read" if pickles else "none"
        raise ModelError(
            f"model.name={name}: has no weights in *.safetensors ({found}); fetch them, or save the model by "
            "save_pretrained()"
        )
    for path in files:
        check_tensors(path, name)


def _shards(folder: Path, name: str) -> list[str]:
    """The files of weights that the folder's index names."""
    if not (folder / INDEX).is_file():
        return []
    places = _mapping(folder / INDEX, name).get("weight_map")
    if not isinstance(places, dict) or not all(isinstance(file, str) for file in places.values()):
        raise ModelError(f"model.name={name}: its {INDEX} has no weight_map; fetch it again")
    return sorted(set(places.values()))


def check_tensors(path: Path, name: str) -> None:
    """Raises ModelError for a file that is cut, and for tensors that are no plain numbers, though no configuration says
    that they are quantised: without their scales fp8 and whole numbers would be read as weights."""
    try:
        with safe_open(path, framework="pt") as file:
            kinds = {key: file.get_slice(key).get_dtype() for key in file.keys()}  # noqa: SIM118  # no mapping
    except (SafetensorError, OSError, ValueError) as error:
        raise ModelError(
            f"model.name={name}: {path.name} is cut or damaged ({first_line(error)}); fetch that file again"
        ) from error
    for key, kind in kinds.items():
        if key.endswith("weight") and kind not in _PLAIN:
            raise ModelError(
                f"model.name={name}: {path.name} holds {key} as {kind}, which cannot be trained; give the "
                "folder or id of the same model in bfloat16 or float32"
            )


def _mapping(path: Path, name: str) -> dict[str, Any]:
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(
            f"model.name={name}: its {path.name} is no JSON ({first_line(error)}); fetch it again"
        ) from error
    if not isinstance(facts, dict):
        raise ModelError(f"model.name={name}: its {path.name} is no JSON object; fetch it again")
    return facts
