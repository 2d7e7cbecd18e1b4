"""What `--keys` prints: every key with its default and its help, as a YAML file that could be used as it is."""

import textwrap
from collections.abc import Iterator
from typing import Any

from omegaconf import OmegaConf

from selfplay.config.declared import Key, declared
from selfplay.config.keys import Config

WIDTH = 118
_INDENT = "  "


def listed() -> str:
    """Sections between empty lines, a help behind its key where there is room, else above it."""
    defaults, lines, depth = OmegaConf.structured(Config), [], 0
    for each in declared(Config):
        if each.is_section or each.name.count(".") < depth:
            lines.append("")
        lines += _lines(each, OmegaConf.select(defaults, each.name))
        depth = each.name.count(".")
    return "\n".join(lines) + "\n"


def _lines(key: Key, default: Any) -> Iterator[str]:
    indent, name = _INDENT * key.name.count("."), key.name.rpartition(".")[2]
    line = f"{indent}{name}:" if key.is_section else f"{indent}{name}: {_spelled(default)}"
    whole = f"{line}  # {key.help}"
    if len(whole) <= WIDTH:
        yield whole
        return
    margin = f"{indent}# "
    yield from textwrap.wrap(key.help, WIDTH, initial_indent=margin, subsequent_indent=margin, break_on_hyphens=False)
    yield line


def _spelled(value: Any) -> str:
    """A value on one line, as YAML reads it back."""
    if OmegaConf.is_list(value):
        return f"[{', '.join(_spelled(each) for each in value)}]"
    if OmegaConf.is_dict(value):
        return f"{{{', '.join(f'{name}: {_spelled(each)}' for name, each in value.items())}}}"
    return OmegaConf.to_yaml(OmegaConf.create({"key": value})).partition(":")[2].strip()
