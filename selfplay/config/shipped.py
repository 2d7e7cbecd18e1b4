"""Configuration files that come with the project, wherever it is run from."""

from pathlib import Path

_HERE = Path(__file__).resolve().parents[1]
_PLACES = (_HERE, _HERE.parent)  # selfplay/configs in an installed package; configs in the project's folder
DEFAULT_FILE = Path("configs/default.yaml")


def default_file() -> Path:
    """The default job. Never a file of this name that lies where somebody happens to be."""
    return _shipped(DEFAULT_FILE) or DEFAULT_FILE


def configuration_file(named: str) -> Path:
    """A file as it was named; where there is none, the one of ours by that name, such as configs/tiny.yaml."""
    path = Path(named)
    return path if path.exists() or path.is_absolute() else _shipped(path) or path


def _shipped(path: Path) -> Path | None:
    if path.parts[:1] != ("configs",) or ".." in path.parts:
        return None
    return next((place / path for place in _PLACES if (place / path).is_file()), None)
