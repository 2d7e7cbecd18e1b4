"""How a run is gone on with: the command to type, and what of its stored configuration has to be typed again.

A run folder may come from somebody else. Its database holds data, so nothing that it names is imported: a domain
given by a dotted path is code, and code is named by the command line or by a file that the user chose.
"""

import shlex
from collections.abc import Sequence
from pathlib import Path

from curriculum.domains.loading import is_dotted_path, is_ours
from selfplay.config import files as configuration
from selfplay.config.files import Config, RunConfig
from selfplay.machine.errors import DATA, USAGE, Refused
from selfplay.machine.run_folder import DATABASE
from store.store import Store


def resume_command(folder: Path, config: Config) -> str:
    """What to type to go on with the run in `folder`."""
    words = ["python", "-m", "selfplay.loop", "--resume", folder.name]
    words += [] if str(folder.parent) == RunConfig().dir else [f"run.dir={folder.parent}"]
    words += [] if is_ours(config.domain) else [f"domain={config.domain}"]
    return shlex.join(words)


def auto_resumed(wanted: Config) -> tuple[Config, bool] | None:
    """What `--auto-resume` does: (configuration, whether its run is there already); None if that run is finished.

    A domain that is code was named by the user just now, or the configurations differ, which is refused.
    """
    database = Path(wanted.run.dir) / wanted.run.name / DATABASE
    if not database.exists():
        return wanted, False
    with Store.open_readonly(database) as store:
        config = configuration.matching(store.run().config_yaml, wanted)
        return None if _is_finished(store, config.run.steps) else (config, True)


def _is_finished(store: Store, steps: int) -> bool:
    """Whether nothing is left to do: no step, no evaluation at the end, and no checkpoint."""
    head = store.head().step
    kept = {row.step for row in store.checkpoints() if (store.path.parent / row.path).is_dir()}
    if head < steps or head not in kept:
        return False
    full = [each for each in store.evaluations() if each.kind == "full"]
    first, last = ({each.set_name for each in full if each.step == step} for step in (0, head))
    return head > steps or first <= last


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
