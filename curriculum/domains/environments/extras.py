"""Whether an optional package is there, asked without importing it."""

import importlib.metadata
import importlib.util

from curriculum.domains.seed_files import DomainError


def version_of(distribution: str, module: str, wanted_by: str) -> str:
    """The installed version. DomainError, which gives the command, where there is none."""
    if importlib.util.find_spec(module) is None:
        raise DomainError(f"{wanted_by} needs {distribution}, which is not installed: `uv sync --extra {distribution}`")
    return importlib.metadata.version(distribution)
