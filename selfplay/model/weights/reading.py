"""Reading with transformers: what it has to say of a file is one line, and nothing else."""

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, redirect_stderr

from transformers.utils import logging as transformers_logging

from curriculum.error_lines import first_line
from selfplay.machine.errors import ModelError
from selfplay.model.weights.places import EMBEDDED

Say = Callable[[str], None]


@contextmanager
def readable(name: str, shows_progress: bool = False) -> Iterator[None]:
    """Inside, what a reader raises becomes a ModelError that names `name`; transformers is quiet unless it
    `shows_progress`."""
    with nullcontext() if shows_progress else quiet():
        try:
            yield
        except (MemoryError, ModelError):
            raise
        except Exception as error:  # a damaged file fails anywhere in the readers, some of whose errors have no base
            raise ModelError(
                f"model.name={name}: cannot be loaded ({first_line(error)}). Give a folder with a transformers model, "
                f"a .gguf file, an id that is in the Hugging Face cache or can be fetched, or {EMBEDDED}"
            ) from error


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
