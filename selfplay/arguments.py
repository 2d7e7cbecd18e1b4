"""The command line of `python -m selfplay.loop`: a file, overrides, ways to resume, --help. No torch is loaded here."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import fill

from selfplay.config import files as configuration
from selfplay.config.keys import Config
from selfplay.config.listing import listed
from selfplay.config.resuming import auto_resumed, resumable, stored_config
from selfplay.config.shipped import configuration_file, default_file
from selfplay.config.task import Task, load_task
from selfplay.machine.errors import ConfigError
from selfplay.machine.outlet import tell

USAGE = f"""\
Self-play: a language model poses problems to itself, solves them, and gets better.

  python -m selfplay.loop                            the default job (configs/default.yaml), five to ten minutes
  python -m selfplay.loop configs/tiny.yaml          the whole loop on a tiny random model, under a minute
  python -m selfplay.loop FILE.yaml key=value ...    your own configuration, with changes
  python -m selfplay.loop --resume [NAME]            go on with a run: the latest, or one by its name or folder
  python -m selfplay.loop FILE.yaml ... --auto-resume  start, go on, or end with 0 if finished: for a supervisor
  python -m selfplay.loop FILE.yaml ... --dry-run    what the run will take, from one real step: memory, disk, tokens,
                                                     seconds. Nothing is left behind. --json: as one JSON value
  python -m selfplay.loop --keys                     every configuration key with its default and what it means

{fill(f"On resume the stored configuration is used. Only {configuration.changeable()}.", 119)}
A domain or a reward of your own is named again (domain=my_package.my_module:MyDomain, judge.rewards=[...]): what a run
folder names is never run by itself, and the refusal has the line to type.
Ctrl-C stops after the step; nothing that was committed is lost. Look at a run with `python -m selfplay.inspect`.
`python -m selfplay.evaluate` asks a model, or a run's weights, any other problems.

Exit codes: 0 done, 2 configuration, 65 damaged data, 66 no model, 69 no sandbox, 70 NaN or infinite loss,
71 no memory or files, 72 no vLLM or it was lost again and again, 74 disk full, 75 run in use, 76 vLLM has other weights
than the trainer, 130 stopped by Ctrl-C, 143 by SIGTERM.
"""


@dataclass(frozen=True, slots=True)
class Arguments:
    """What to run: a checked configuration, whether its run exists, and what it plays, where that is loaded already.
    `is_dry`: one step alone, to say what the run will take, which `as_json` has said as one JSON value."""

    config: Config
    is_resume: bool
    task: Task | None = None
    is_dry: bool = False
    as_json: bool = False


def parse(argv: Sequence[str]) -> Arguments | None:
    """None when the answer was printed (--help, --keys). Raises ConfigError, DomainError, RewardError or Refused."""
    if "--help" in argv or "-h" in argv:
        tell(USAGE)
        return None
    if "--keys" in argv:
        tell(listed())
        return None
    is_dry, as_json = "--dry-run" in argv, "--json" in argv
    if is_dry and (resuming := [a for a in argv if a in ("--resume", "--auto-resume")]):
        raise ConfigError(f"--dry-run says what a new run will take: it goes without {resuming[0]}")
    if as_json and not is_dry:
        raise ConfigError("--json goes with --dry-run: a run writes its figures to metrics.jsonl and summary.json")
    if "--resume" in argv:
        return _resume([a for a in argv if a != "--resume"])
    is_auto = "--auto-resume" in argv
    argv = [a for a in argv if a not in ("--auto-resume", "--dry-run", "--json")]
    if unknown := [a for a in argv if a.startswith("-")]:
        raise ConfigError(f"{unknown[0]} is not an option; see python -m selfplay.loop --help")
    files = [a for a in argv if a.endswith((".yaml", ".yml")) and "=" not in a]
    if len(files) > 1:
        raise ConfigError(f"one configuration file at a time, not {', '.join(files)}")
    file = configuration_file(files[0]) if files else default_file()
    config = configuration.load(file, [a for a in argv if a not in files])
    found = auto_resumed(config) if is_auto else (config, False)
    if found is None:
        tell(f"run {Path(config.run.dir) / config.run.name} is finished: there is nothing to do\n")
        return None
    config, is_resume = found
    task = load_task(config)  # a typo there is answered now, not once torch is loaded
    return Arguments(config, is_resume, task, is_dry, as_json)


def _resume(rest: Sequence[str]) -> Arguments:
    names = [a for a in rest if "=" not in a]
    if len(names) > 1 or any(n.endswith((".yaml", ".yml")) or n.startswith("-") for n in names):
        raise ConfigError(
            "--resume takes the name or folder of one run, and key=value; the stored configuration is used"
        )
    where = [a.removeprefix("run.dir=") for a in rest if a.startswith("run.dir=")]
    overrides = [a for a in rest if "=" in a and not a.startswith("run.dir=")]
    folder = resumable(Path(where[-1] if where else Config().run.dir), names[0] if names else None)
    return Arguments(stored_config(folder, overrides), is_resume=True)


def domain_of(name: str, options: Sequence[str]) -> Config:
    """A configuration of nothing but a domain and `domain_options.key=value`. Raises ConfigError."""
    for option in options:
        if not option.startswith("domain_options"):
            raise ConfigError(f"{option!r}: a domain takes domain_options.key=value and nothing else")
    return configuration.load(None, [f"domain={name}", *options])
