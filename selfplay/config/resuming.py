"""How a run is gone on with: the command to type, and what of its stored configuration has to be typed again.

A run folder may come from somebody else. Its database holds data, so nothing that it names is imported: a domain or a
reward given by a dotted path is code, and code is named by the command line or by a file that the user chose.
"""

import hashlib
import json
import shlex
from collections.abc import Sequence
from pathlib import Path

from curriculum.domains.loading import code_named, names_code_well
from selfplay.config import files as configuration
from selfplay.config.keys import Config, RunConfig
from selfplay.machine.errors import DATA, USAGE, Refused
from selfplay.machine.run_folder import DATABASE, is_file, last_worked, require_database
from store.store import Store


def resumable(directory: Path, name: str | None) -> Path:
    """The folder of the run to resume: the named one, by its name in `directory` or as a path, or the one that was
    worked on last."""
    if name is not None:
        is_name = Path(name).name == name and not is_file(Path(name) / DATABASE)
        folder = directory / name if is_name or is_file(directory / name / DATABASE) else Path(name)
        require_database(folder)
        if not is_file(folder / DATABASE):
            where = f"no run {name} in {directory}/" if is_name else f"no run in {folder}"
            raise Refused(f"there is {where}: `python -m selfplay.inspect runs` names those that are", USAGE)
        return folder if folder.name not in ("", "..") else folder.resolve()
    runs = [path.parent for path in directory.glob(f"*/{DATABASE}")]
    if not runs:
        raise Refused(f"there is no run in {directory}/ to resume", USAGE)
    return max(runs, key=last_worked)


def stored_config(folder: Path, overrides: Sequence[str]) -> Config:
    """The run's own configuration, with what may change on resume changed."""
    with Store.open_readonly(folder / DATABASE) as store:
        run = store.run()
    if hashlib.sha256(run.config_yaml.encode()).hexdigest() != run.config_digest:  # as old databases have it, unsealed
        raise Refused(f"{folder}: its stored configuration is not what was stored: its database is damaged", DATA)
    config = configuration.resumed(run.config_yaml, overrides)
    config.run.dir, config.run.name = str(folder.parent), folder.name  # a folder may have been moved
    refuse_unconfirmed(folder, config, overrides)
    return config


def resume_command(folder: Path, config: Config) -> str:
    """What to type to go on with the run in `folder`."""
    words = ["python", "-m", "selfplay.loop", "--resume", folder.name]
    words += [] if str(folder.parent) == RunConfig().dir else [f"run.dir={folder.parent}"]
    return shlex.join(words + code_named_by(config))


def code_named_by(config: Config) -> list[str]:
    """What a configuration names that is code of the user's, as the words with which it is named again."""
    domain = code_named(config.domain, config.domain_options)
    words = [domain] if domain else []
    if not all(entry.is_ours for entry in configuration.rewards(config)):
        words.append(f"judge.rewards={json.dumps(config.judge.rewards)}")
    return words


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
    """Refuses a run whose domain or reward is code, unless it was given again. Another one was refused before this."""
    given = {override.partition("=")[0] for override in overrides}
    unconfirmed = [word for word in code_named_by(stored) if word.partition("=")[0] not in given]
    if not unconfirmed:
        return
    if not names_code_well(stored.domain, stored.domain_options):
        raise Refused(f"{folder}: its stored domain {stored.domain[:80]!r} names none: its database is damaged", DATA)
    raise Refused(
        f"{folder} names code to run, {' and '.join(unconfirmed)}, and what a run folder names is not run until you "
        f"name it too. If that is your code: {resume_command(folder, stored)}",
        USAGE,
    )
