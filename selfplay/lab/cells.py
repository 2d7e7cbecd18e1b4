"""A cell: one arm of an experiment with one seed, run as an ordinary run, that leaves a small row when it is done.

A cell whose run was interrupted goes on where it stopped; one whose row is there and was made with today's settings is
not run again. What a run prints goes to a file beside its folder: many cells share one terminal.
"""

import hashlib
import json
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from curriculum.domains.loading import load_domain
from curriculum.domains.protocol import Domain
from selfplay import loop, metrics
from selfplay.arguments import Arguments
from selfplay.config import files as configuration
from selfplay.config.keys import Config, RunConfig, TrainConfig
from selfplay.config.shown import shown_settings
from selfplay.lab.afterwards import NOTHING
from selfplay.lab.credit import credit_auroc
from selfplay.lab.experiments.experiment import Experiment
from selfplay.lab.finishing import audited, sampled, subnetwork
from selfplay.lab.ran import PICKED, figures_of_run, picked_accuracy
from selfplay.lab.rows import Row, read_row, row_path, write_row
from selfplay.lab.scratch import start_model
from selfplay.machine.errors import DATA, OK, Refused
from selfplay.machine.run_folder import DATABASE
from selfplay.run.session import StartFacts
from selfplay.view.progress import Progress
from selfplay.view.terminal import drawn
from store.records import Evaluation
from store.store import Store

ROWS = Path("docs/lab")
CODE = ("selfplay", "roles", "curriculum", "store", "configs")
LATE = 20  # steps at the end of a run
STEP_FIGURES = (
    metrics.TOKENS_SAMPLED,
    metrics.CRITIC_ECE.format(head="value"),
    metrics.CRITIC_AUROC.format(head="value"),
    metrics.CRITIC_BRIER.format(head="value"),
    metrics.CRITIC_AUROC.format(head="process"),
    metrics.SEARCH_NODES,
    metrics.MERGED_SHARE,
    metrics.SEARCH_GAP,
    metrics.MIXED_SHARE,
    metrics.FORMAT_SHARE.format(format="direct"),
    metrics.FORMAT_SHARE.format(format="steps"),
    metrics.FORMAT_SHARE.format(format="back"),
    metrics.FORMAT_ACCURACY.format(format="direct"),
    metrics.FORMAT_ACCURACY.format(format="steps"),
    metrics.FORMAT_ACCURACY.format(format="back"),
    metrics.FORMAT_MOST,
    metrics.FORMAT_ENTROPY,
    metrics.ANSWER_PRIOR,
    metrics.REPETITION,
    metrics.LABEL_ACCURACY,
    metrics.DISTINCT_PROPOSALS,
)
SERIES = (
    metrics.ACC_T1,
    metrics.ACC_T2,
    metrics.FIX_OWN,
    metrics.FIX_START,
    metrics.BREAK_OWN,
    metrics.ERROR_DISTANCE,
    metrics.ERROR_FLOOR,
)


@dataclass(frozen=True, slots=True)
class Cell:
    """Which arm, which seed, and where its run folder is."""

    experiment: Experiment
    arm: str
    seed: int
    directory: Path

    @property
    def name(self) -> str:
        return f"{self.arm}-seed{self.seed}"

    @property
    def settings(self) -> list[str]:
        """What makes the cell what it is, for its row: the base file with a digest of what it comes to and of how the
        start model is made, and the arm's changes."""
        base = Path(self.experiment.base_config)
        return [f"{base.as_posix()}@{base_digest(self.experiment)}", *self.experiment.arms[self.arm].overrides]


def base_digest(experiment: Experiment) -> str:
    """8 hex digits of what the base file sets otherwise than the neutral configuration, and of how the start model is
    made.

    A comment in the file, a default that it now states itself, and a new key change nothing. Where a run is and how
    much memory it keeps are left out, for a cell is the same with others.
    """
    base = Path(experiment.base_config)
    said = _changed(base, base.read_text()) + repr(experiment.warm_start)
    if experiment.afterwards != NOTHING:
        said += repr(experiment.afterwards)
    return hashlib.sha256(said.encode()).hexdigest()[:8]


@lru_cache
def _changed(base: Path, text: str) -> str:
    """What the file `base` of this `text` sets otherwise than the neutral configuration, as JSON."""
    config = configuration.load(base, [])
    config.run = replace(config.run, dir="", name="", kept_mib=0)
    return json.dumps(configuration.changed(config), sort_keys=True)


def finished(cell: Cell, rows: Path = ROWS) -> bool:
    """Whether its row is there and says the settings of today."""
    path = row_path(rows / cell.experiment.name, cell.arm, cell.seed)
    return path.is_file() and list(read_row(path).config) == cell.settings


def run_cell(cell: Cell, say: Callable[[str], None], made_at: str, rows: Path = ROWS) -> Row | None:
    """Start or resume the cell's run, and write its row. None when it was interrupted. Raises Refused.

    `made_at`: the commit of the code that runs, which files may have left by the time that the cell is done.
    """
    config = _config(cell, say)
    folder = Path(config.run.dir) / config.run.name
    is_resume = (folder / DATABASE).is_file()
    if is_resume and not _is_of(folder, config):
        raise Refused(f"{folder} was made with other settings: delete it, and type the command again", DATA)
    Path(config.run.dir).mkdir(parents=True, exist_ok=True)
    with open(folder.with_suffix(".log"), "a") as log:
        progress = Progress(shown_settings(config), drawn(120, soft_wrap=True, file=log))
        code = loop.run(Arguments(config, is_resume), progress, known=() if is_resume else _start_facts(cell, config))
    if code != OK:
        return None
    with Store.open_readonly(folder / DATABASE) as store:
        row = row_of(cell, store, load_domain(config.domain, config.domain_options), made_at)
    row = _with_afterwards(cell, row, folder)
    write_row(rows / cell.experiment.name, row)
    return row


def _with_afterwards(cell: Cell, row: Row, folder: Path) -> Row:
    """With what the experiment measures of a run that is done."""
    wanted, known = cell.experiment.afterwards, {name: len(text["end"]) for name, text in row.outcomes.items()}
    if wanted.samples:
        found = sampled(folder, known, wanted.samples, folder.parent / f"start-seed{cell.seed}.json")
        row = replace(
            row,
            samples={name: found[name].texts for name in known},
            end={name: {**row.end[name], **found[name].figures} for name in known},
        )
    if wanted.audits:
        figures = audited(folder, _of_other_seeds(cell, folder))
        row = replace(row, end={name: {**row.end[name], **figures} for name in known})
    return row


def _of_other_seeds(cell: Cell, folder: Path) -> list[Path]:
    """Runs of the arm that began with the same weights; none where each seed has a start model of its own."""
    if cell.experiment.warm_start is not None:
        return []
    others = (folder.parent / f"{cell.arm}-seed{seed}" for seed in cell.experiment.seeds if seed != cell.seed)
    return [each for each in others if (each / DATABASE).is_file()]


def row_of(cell: Cell, store: Store, domain: Domain, made_at: str) -> Row:
    """What of a finished run the pages need."""
    evaluations = store.evaluations()
    last = store.head().step
    ends = {"start": 0, "end": last}
    full = {
        moment: {e.set_name: e for e in evaluations if e.kind == "full" and e.step == step}
        for moment, step in ends.items()
    }
    sets = sorted(full["end"])
    reported = [name for name in sets if full["end"][name].reports]
    searched = [name for name in sets if full["end"][name].searches]
    found = _late_figures(store, domain, last) | _sum_of_tokens(store)
    found |= figures_of_run(store, configuration.curriculum_settings(configuration.varied(store.run().config_yaml, [])))
    picked = picked_accuracy(store)
    incarnations = store.incarnations()
    return Row(
        experiment=cell.experiment.name,
        arm=cell.arm,
        seed=cell.seed,
        commit=made_at,
        config=tuple(cell.settings),
        steps=last,
        seconds=sum(step.seconds for step in store.steps()),
        fingerprint=incarnations[-1].fingerprint,
        start={name: _facts(full["start"][name]) for name in sets},
        end={
            name: _facts(full["end"][name]) | found | ({PICKED: picked[name]} if name in picked else {})
            for name in sets
        },
        outcomes={name: {moment: full[moment][name].outcomes for moment in ends} for name in sets},
        reports={name: {moment: full[moment][name].reports for moment in ends} for name in reported},
        searches={name: {moment: full[moment][name].searches for moment in ends} for name in searched},
        series={name: _series(name, evaluations) for name in sets},
    )  # fmt: skip


def _late_figures(store: Store, domain: Domain, last: int) -> dict[str, float]:
    """Means over the last steps of what only steps measure, and how well dense rewards told right steps from others."""
    steps = [step for step in store.steps() if step.step > max(0, last - LATE)]
    found = {}
    for name in STEP_FIGURES:
        values = [step.metrics[name] for step in steps if name in step.metrics]
        if values:
            found[name] = sum(values) / len(values)
    return found | credit_auroc(store, domain, {step.step for step in steps})


def _sum_of_tokens(store: Store) -> dict[str, float]:
    """{"thousand_tokens": what was sampled in the whole run}: what arms of equal cost have alike."""
    return {"thousand_tokens": sum(step.metrics.get(metrics.TOKENS_SAMPLED, 0.0) for step in store.steps()) / 1000}


def commit() -> str:
    """The commit the code is at, with a + when files have changed since; "unknown" outside a repository."""
    root = Path(__file__).resolve().parents[2]
    try:
        said = [
            subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, check=True).stdout
            for arguments in (("rev-parse", "--short", "HEAD"), ("status", "--porcelain", "--", *CODE))
        ]
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return said[0].strip() + ("+" if said[1].strip() else "")


def _config(cell: Cell, say: Callable[[str], None]) -> Config:
    experiment = cell.experiment
    own = [
        f"seed={cell.seed}",
        f"run.name={cell.name}",
        f"run.dir={cell.directory / experiment.name}",
        "logging.transcript_every=0",
    ]
    config = configuration.load(Path(experiment.base_config), [*experiment.arms[cell.arm].overrides, *own])
    if experiment.warm_start is not None:
        key = config.evaluate.holdout_key
        base = configuration.load(Path(experiment.base_config), [])  # one for all arms, whatever they pose
        folder = start_model(base.domain, base.domain_options, experiment.warm_start, cell.seed, key, say)
        config.model.name = str(folder)
    if given := experiment.arms[cell.arm].mask_of:
        config.train.mask = str(subnetwork(Path(config.run.dir) / f"{given}-seed{cell.seed}"))
    return config


def _is_of(folder: Path, config: Config) -> bool:
    """Whether the run in `folder` was made with this configuration."""
    with Store.open_readonly(folder / DATABASE) as store:
        stored = store.run()
    return stored.config_digest == configuration.digest(configuration.begun(stored.config_yaml, config))


def _start_facts(cell: Cell, config: Config) -> list[StartFacts]:
    """What the other arms of the seed found of the start model, which is theirs too."""
    found = []
    for path in sorted(Path(config.run.dir).glob(f"*-seed{cell.seed}/{DATABASE}")):
        with Store.open_readonly(path) as store:
            stored, incarnations, is_whole = store.run(), store.incarnations(), store.head().step > 0
            evaluations = [each for each in store.evaluations() if each.step == 0]
        if is_whole and _of_start(configuration.varied(stored.config_yaml, [])) == _of_start(
            configuration.begun(stored.config_yaml, config)
        ):
            found.append(StartFacts(stored.name, incarnations[0], evaluations))
    return found


def _of_start(config: Config) -> Config:
    """Without what an evaluation of the start model does not read, which is most of what arms differ in."""
    return replace(
        config,
        run=replace(RunConfig(), threads=config.run.threads, device=config.run.device),
        solver=replace(config.solver, source="self"),
        judge=replace(config.judge, correction_bonus=0.0, first_turn_reward="own"),
        train=TrainConfig(),
    )


def _facts(evaluation: Evaluation) -> dict[str, float]:
    return {name: value for name, value in evaluation.metrics.items() if name != metrics.EVALUATION_SECONDS}


def _series(name: str, evaluations: Sequence[Evaluation]) -> Mapping[str, Sequence[tuple[int, float]]]:
    mine = [e for e in evaluations if e.set_name == name]
    found = {metric: [(e.step, e.metrics[metric]) for e in mine if metric in e.metrics] for metric in SERIES}
    return {metric: points for metric, points in found.items() if points}
