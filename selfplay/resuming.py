"""How a run is gone on with: the command to type, and what of its stored configuration has to be typed again.

A run folder may come from somebody else. Its database holds data, so nothing that it names is imported: a domain
given by a dotted path is code, and code is named by the command line or by a file that the user chose.
"""

import shlex
from collections.abc import Sequence
from pathlib import Path

from curriculum.domains.loading import is_dotted_path, is_ours
from selfplay.config import Config, RunConfig
from selfplay.exits import DATA, USAGE, Refused


def resume_command(folder: Path, config: Config) -> str:
    """What to type to go on with the run in `folder`."""
    words = ["python", "-m", "selfplay.loop", "--resume", folder.name]
    words += [] if str(folder.parent) == RunConfig().dir else [f"run.dir={folder.parent}"]
    words += [] if is_ours(config.domain) else [f"domain={config.domain}"]
    return shlex.join(words)


def refuse_unconfirmed(folder: Path, stored: Config, overrides: Sequence[str]) -> None:
    """Refuses a run whose domain is code, unless the domain was given again. Another domain was refused before this."""
    if is_ours(stored.domain) or any(override.startswith("domain=") for override in overrides):
        return
    if not is_dotted_path(stored.domain):
        raise Refused(f"{folder}: its stored domain {stored.domain[:80]!r} names none: its database is damaged", DATA)
    raise Refused(
        f"{folder} names code to run, {stored.domain}, and what a run folder names is not run until you name it too. "
        f"If that is your domain: {resume_command(folder, stored)}",
        USAGE,
    )
