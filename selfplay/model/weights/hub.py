"""A model that is no folder here: its id at the Hugging Face hub, asked for once and briefly.

transformers would ask for file after file, each several times with growing pauses, before it said that nothing is
there. One request for the head of config.json says the same at once.
"""

import re
from pathlib import Path

from huggingface_hub import get_hf_file_metadata, hf_hub_url, try_to_load_from_cache
from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RemoteEntryNotFoundError, RepositoryNotFoundError
from rapidfuzz import fuzz, process

from selfplay.machine.errors import ModelError
from selfplay.model.weights.places import EMBEDDED
from selfplay.model.weights.tiny import NAMES as TINY_NAMES

CONFIG = "config.json"
SECONDS = 10.0  # that the hub has for its answer
_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}(/[A-Za-z0-9][\w.-]{0,95})?", re.ASCII)
_OFFLINE = (
    "offline, fetch it elsewhere (`hf download`) and give its folder, or give a .gguf file, or "
    f"{EMBEDDED}, which is in a package"
)


def check_id(name: str) -> None:
    """Raises ModelError for what is no id at the hub, or is meant to be one of our own names."""
    if name.endswith(".gguf"):
        raise ModelError(f"model.name={name}: there is no such file")
    if not _ID.fullmatch(name):
        raise ModelError(f"model.name={name}: there is no such folder")
    near = process.extractOne(name, [EMBEDDED, *TINY_NAMES], scorer=fuzz.ratio, score_cutoff=85)
    if near is not None:
        raise ModelError(f"model.name={name}: there is no such model; did you mean {near[0]}?")


def cached_only(name: str) -> Path | None:
    """The model's folder in the Hugging Face cache where the hub gives no answer; None where the hub has the model.
    Raises ModelError where it can be had from neither."""
    try:
        get_hf_file_metadata(hf_hub_url(name, CONFIG), timeout=SECONDS)
    except GatedRepoError as error:
        raise ModelError(
            f"model.name={name}: the hub gives it to those only who accepted its terms; do so on its page there, and "
            "set HF_TOKEN"
        ) from error
    except RepositoryNotFoundError as error:
        raise ModelError(
            f"model.name={name}: there is no such folder here and no such model at the hub; check its spelling, and "
            "set HF_TOKEN if it is private"
        ) from error
    except RemoteEntryNotFoundError as error:
        raise ModelError(f"model.name={name}: at the hub it has no {CONFIG}, so it is no transformers model") from error
    except Exception as error:  # no network, a proxy, HF_HUB_OFFLINE: each layer below has errors of its own
        kept = try_to_load_from_cache(name, CONFIG)
        if isinstance(kept, str):
            return Path(kept).parent
        reason = error.response.status_code if isinstance(error, HfHubHTTPError) else type(error).__name__
        raise ModelError(
            f"model.name={name}: there is no such folder here, it is not in the Hugging Face cache, and its hub gives "
            f"no answer ({reason}); {_OFFLINE}"
        ) from error
    return None
