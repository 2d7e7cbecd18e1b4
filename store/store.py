"""The store of one run: everything that was said, judged and measured, in one SQLite database.

One process writes (`create`, `open`); any number read (`open_readonly`), also while the run is live. The store takes
and returns records, not rows. Every write is one transaction that is on disk when the call returns. Left out: a lock on
the run's folder, the files of checkpoints, and all decisions.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Self

from sqlalchemy import delete, insert, select, update

from store import digest, lookups, reading, sealing, writing
from store.connections import empty_log, unsound, writer_engine
from store.errors import RowsDamaged, StoreError, translated
from store.journal import fsync_folder
from store.kill_points import reach
from store.kinds import experiences, foretold, holdout, probes, rescues, skills
from store.opened import OpenDatabase
from store.records import (
    Alarm,
    Attempt,
    CheckpointRow,
    Disagreement,
    Evaluation,
    Experience,
    Fate,
    Foretold,
    Incarnation,
    Pick,
    Probe,
    Problem,
    Proposal,
    Rescue,
    RunRow,
    SearchNode,
    SkillPick,
    SkillRound,
    SnapshotRow,
    StepCommit,
    StepHistory,
    StepRow,
    Wave,
)
from store.schema import checkpoints, incarnations, runs, steps
from store.upgrade import upgrade

_STEPS_AT_A_TIME = 64


class Store(OpenDatabase):
    """An open run database, made by `create`, `open` or `open_readonly`. A context manager; not to be forked."""

    @classmethod
    def create(
        cls,
        path: Path,
        *,
        name: str,
        seed: int,
        config_yaml: str,
        config_digest: str,
        code_digest: str,
        seeds: Sequence[Problem],
        weights_digest: str,
    ) -> Self:
        """Makes the database with step 0 (the base model) as head and the seed problems, and opens it for writing.

        It is built under a temporary name and renamed: after a kill it exists whole or not at all. StoreError if
        `path` is taken.
        """
        path = Path(path)
        if path.exists():
            raise StoreError(f"{path} exists already: resume that run, or choose another name")
        for log in (Path(f"{path}{end}") for end in ("-wal", "-journal")):
            if log.exists():
                raise StoreError(f"{log} is the log of a database that is gone: put that back, or choose another name")
        building = path.with_name(f".{path.name}.new")
        with translated(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            for suffix in ("", "-wal", "-shm"):
                Path(f"{building}{suffix}").unlink(missing_ok=True)
            engine = writer_engine(building, create=True)
            try:
                upgrade(engine)
                with engine.begin() as connection:
                    root = writing.insert_root(connection, weights_digest)
                    writing.admit(connection, seeds, root)
                    sealing.seal_step(connection, root, with_rows=True)
                    row = {"run_id": 1, "name": name, "seed": seed, "head_step_id": root, "config_yaml": config_yaml}
                    row |= {"config_digest": config_digest, "code_digest": code_digest}
                    connection.execute(insert(runs), row)
                    sealing.reseal(connection, sealing.RUN)
            except BaseException:
                engine.dispose()
                building.unlink(missing_ok=True)  # half a file, which would only fill a full disk further
                raise
            engine.dispose()
            reach("create.built")
            os.replace(building, path)
            fsync_folder(path.parent)
        reach("create.renamed")
        return cls.open(path)

    # The run

    def run(self) -> RunRow:
        """The run itself, with its head."""
        with self._reading() as connection:
            return reading.run_row(connection)

    def head(self) -> StepRow:
        """The newest committed step of the live branch; step 0 before the first commit."""
        with self._reading() as connection:
            return reading.head_row(connection)

    def update_config(self, config_yaml: str, config_digest: str) -> None:
        """Replaces the stored configuration. Which keys may change is the caller's to check."""
        with self._writing() as connection:
            writing.change_run(connection, config_yaml=config_yaml, config_digest=config_digest)

    def add_incarnation(
        self, fingerprint: str, note: str = "", *, config_digest: str = "", code_digest: str = ""
    ) -> Incarnation:
        """Notes that a process begins to work on the run, at its head. Steps committed from now on are its work."""
        started_at = writing.now()
        with self._writing() as connection:
            row = {"started_at": started_at, "fingerprint": fingerprint, "note": note}
            row |= {"config_digest": config_digest, "code_digest": code_digest}
            head_step = reading.head_row(connection).step
            connection.execute(insert(incarnations), row | {"head_step": head_step})
            sealing.reseal(connection, sealing.PROCESSES)
            return reading.incarnation_records(connection)[-1]

    def note_use(self, seconds: float, peak_memory_bytes: int) -> None:
        """Replaces what is noted of the newest incarnation's time and memory. `seconds` below 0 is stored as 0."""
        with self._writing() as connection:
            newest = incarnations.c.incarnation_id == reading.newest_incarnation_id(connection)
            row = {"seconds": max(0.0, seconds), "peak_memory_bytes": peak_memory_bytes}
            connection.execute(update(incarnations).where(newest).values(**row))
            sealing.reseal(connection, sealing.PROCESSES)

    def incarnations(self) -> list[Incarnation]:
        """The processes that worked on the run, oldest first."""
        with self._reading() as connection:
            return reading.incarnation_records(connection)

    # Waves and steps

    def commit_wave(self, wave: Wave) -> Wave:
        """Stores the completions of one engine call for the step after the head; returns the wave as it was stored.

        The caller must go on with what is returned: its text is cleaned (`clean_text`), as is that of `pending_waves`,
        from which a resumed run gets the wave. StoreError for another step, or for a key that is pending.
        """
        with self._writing() as connection:
            reach("wave.begin")
            head = reading.head_row(connection)
            if wave.step != head.step + 1:
                raise StoreError(f"wave {wave.key!r} is of step {wave.step}, but the next step is {head.step + 1}")
            writing.insert_wave(connection, wave, head.step_id)
            stored = reading.pending_wave_records(connection, wave.step, wave.key)[wave.key]
            reach("wave.inserted")
        reach("wave.committed")
        return stored

    def pending_waves(self, step: int) -> dict[str, Wave]:
        """The waves sampled from the head for `step` and not yet consumed, by key; {} for any step but head + 1."""
        with self._reading() as connection:
            return reading.pending_wave_records(connection, step)

    def commit_step(self, commit: StepCommit) -> StepRow:
        """Adds a step, all or nothing, consumes the head's pending waves, and moves the head to it.

        StoreError, with nothing written, if the step is not head + 1, a number is not finite, a problem is known
        already, or a row breaks a constraint.
        """
        if Path(commit.journal_file).name != commit.journal_file:
            raise StoreError(f"{commit.journal_file!r} is not a journal file name: it must have no folder")
        with self._writing() as connection:
            reach("step.begin")
            head = reading.head_row(connection)
            if commit.step != head.step + 1:
                raise StoreError(f"step {commit.step} cannot be committed: the next step is {head.step + 1}")
            step_id = writing.insert_step(connection, commit, head.step_id)
            writing.insert_game(connection, commit, step_id)
            writing.insert_alarms(connection, commit.alarms, step_id)
            writing.insert_disagreements(connection, commit.disagreements, step_id)
            probes.insert_probes(connection, commit.probes, step_id)
            skills.insert_rounds(connection, commit.skill_rounds, step_id)
            skills.insert_picks(connection, commit.skill_picks, step_id)
            rescues.insert_rescues(connection, commit.rescues, step_id)
            experiences.insert_experiences(connection, commit.experiences, step_id)
            foretold.insert_foretold(connection, commit.foretold, step_id)
            writing.consume_waves(connection, head.step_id, step_id)
            sealing.seal_step(connection, step_id, with_rows=True)
            writing.move_head(connection, step_id)
            row = reading.head_row(connection)
            reach("step.inserted")
        reach("step.committed")
        return row

    def rewind(self, step: int) -> StepRow:
        """Moves the head back to the LIVE row of `step`; later steps become ABANDONED and stay readable by `steps`.

        Their problems, proposals, attempts, evaluations, checkpoints and waves are offered no more. StoreError if
        the live branch has no such step.
        """
        with self._writing() as connection:
            row = reading.step_row(connection, step)
            writing.abandon_after(connection, step)
            writing.move_head(connection, row.step_id)
            reach("rewind.inserted")
        reach("rewind.committed")
        return row

    def step(self, step: int) -> StepRow:
        """The LIVE row of a step. StoreError if there is none."""
        with self._reading() as connection:
            return reading.step_row(connection, step)

    def steps(self, include_abandoned: bool = False, *, after: int = -1, until: int | None = None) -> list[StepRow]:
        """Steps after `after` and up to `until`, in order; with `include_abandoned` also those that a rewind left."""
        with self._reading() as connection:
            return reading.step_rows(connection, include_abandoned, after, until)

    def steps_with_journals(self) -> list[StepRow]:
        """Steps whose journal is not pruned, abandoned ones too."""
        with self._reading() as connection:
            return lookups.journal_rows(connection)

    def num_steps(self) -> int:
        """How many steps there are in all branches, step 0 included."""
        with self._reading() as connection:
            return len(reading.step_ids(connection))

    def step_seconds(self) -> float:
        """Seconds of all live steps together."""
        with self._reading() as connection:
            return lookups.step_seconds(connection)

    def last_step(self) -> int:
        """The highest number of a step, abandoned ones included."""
        with self._reading() as connection:
            return lookups.last_step(connection)

    def knows_weights(self, step: int, weights_digest: str) -> bool:
        """Whether a step of that number, abandoned or not, made these weights."""
        with self._reading() as connection:
            return lookups.is_any_step(connection, (steps.c.step == step) & (steps.c.weights_digest == weights_digest))

    def knows_journal(self, sha256: str) -> bool:
        """Whether a step, abandoned or not, had a journal of that digest, pruned or not."""
        with self._reading() as connection:
            return lookups.is_any_step(connection, steps.c.journal_sha256 == sha256)

    # The game

    def history(self, after: int = -1) -> Iterator[StepHistory]:
        """LIVE steps after `after` (step 0 has the seeds) to the head, in order and in the commits' order.

        They are read in chunks, each in a short transaction of its own.
        """
        last = self.head().step
        for first in range(after + 1, last + 1, _STEPS_AT_A_TIME):
            with self._reading() as connection:
                chunk = reading.history_chunk(connection, first, min(first + _STEPS_AT_A_TIME - 1, last))
            yield from chunk

    def snapshots(self) -> list[SnapshotRow]:
        """Snapshots of the curriculum after live steps, newest first."""
        with self._reading() as connection:
            return lookups.snapshot_rows(connection)

    def put_snapshot(self, label: str, packed: bytes) -> None:
        """Stores a snapshot of the curriculum after the head. One older snapshot is kept."""
        with self._writing() as connection:
            lookups.replace_snapshots(connection, label, packed, kept=2)

    def head_digest(self) -> str:
        """`SnapshotRow.step_digest` of the head."""
        with self._reading() as connection:
            return lookups.head_digest(connection)

    def problems(self) -> Iterator[tuple[Problem, int]]:
        """Live problems with the step that admitted each, in the order of admission."""
        for step in self.history():
            for problem in step.problems:
                yield problem, step.step

    def problem(self, problem_id: str) -> tuple[Problem, int]:
        """A live problem by its id or a unique beginning of it, and the step that admitted it; else NoSuchProblem."""
        with self._reading() as connection:
            return reading.find_problem(connection, problem_id)

    def attempts(self, problem_id: str) -> list[tuple[int, Attempt]]:
        """Live attempts at a problem (its whole id), each with its step, oldest first."""
        with self._reading() as connection:
            return reading.attempt_records(connection, problem_id)

    def search_nodes(self, problem_id: str) -> dict[int, list[SearchNode]]:
        """The trees that the judge searched for a problem (its whole id), by step; nodes in order, parents first."""
        with self._reading() as connection:
            return reading.search_node_records(connection, problem_id)

    def proposals(
        self, step: int | None = None, fate: Fate | None = None, limit: int | None = None
    ) -> list[tuple[int, Proposal]]:
        """Live proposals, each with its step, oldest first; with `limit`, the newest that many."""
        with self._reading() as connection:
            return reading.proposal_records(connection, step, fate, limit)

    def fate_counts(self, step: int | None = None) -> dict[Fate, int]:
        """How often live proposals, or those of one step, met each fate; the most frequent first."""
        with self._reading() as connection:
            return reading.fate_counts(connection, step)

    def alarms(self) -> list[tuple[int, Alarm]]:
        """What the guards raised and what was over, each with its live step, oldest first."""
        with self._reading() as connection:
            return reading.alarm_records(connection)

    def disagreements(self) -> list[tuple[int, Disagreement]]:
        """Turns that two judges do not agree on, each with its live step, oldest first."""
        with self._reading() as connection:
            return reading.disagreement_records(connection)

    # Picks of skills

    def skill_picks(self) -> list[tuple[int, SkillPick]]:
        """What the probes said of versions of the solver's skills, each with its live step, oldest first."""
        with self._reading() as connection:
            return skills.pick_records(connection)

    # Rescues

    def rescues(self) -> list[tuple[int, Rescue]]:
        """Groups with help, and those that were bare again, each with its live step, oldest first."""
        with self._reading() as connection:
            return rescues.rescue_records(connection)

    # Forecasts

    def foretold(self) -> list[tuple[int, Foretold]]:
        """What was foretold of problems before their first groups, each with its live step, oldest first."""
        with self._reading() as connection:
            return foretold.foretold_records(connection)

    # Probes

    def probes(self) -> list[tuple[int, Probe]]:
        """What became a probe, each with its live step, oldest first."""
        with self._reading() as connection:
            return probes.probe_records(connection)

    def commit_probe_answers(self, step: int, answers: Mapping[str, bool]) -> None:
        """Stores which probes (problem_id) the weights of a LIVE step solved. StoreError for one that is stored."""
        with self._writing() as connection:
            probes.insert_answers(connection, step, answers)
        reach("probes.answered")

    def probe_answers(self) -> dict[int, dict[str, bool]]:
        """By live step, which probes its weights solved and which not."""
        with self._reading() as connection:
            return probes.answer_records(connection)

    def commit_pick(self, pick: Pick, alarms: Sequence[Alarm] = ()) -> Pick:
        """Stores which weights were picked at a LIVE step, and what that raises or ends; returns it as stored."""
        stored = replace(pick, committed_at=writing.now())
        with self._writing() as connection:
            probes.insert_pick(connection, stored)
            writing.insert_alarms(connection, alarms, reading.step_row(connection, pick.step).step_id)
            reach("pick.inserted")
        reach("pick.committed")
        return stored

    def picks(self) -> list[Pick]:
        """Live picks, oldest first. The best weights are those of the newest one's `best_step`."""
        with self._reading() as connection:
            return probes.pick_records(connection)

    def best_step(self) -> int | None:
        """The step whose weights are the best of those that were kept; None where no probe compared any."""
        picked = self.picks()
        return picked[-1].best_step if picked else None

    def skill_rounds(self) -> list[tuple[int, SkillRound]]:
        """Rounds in which a side wrote skills, each with its live step, oldest first."""
        with self._reading() as connection:
            return skills.round_records(connection)

    def tries(self, first: int, last: int) -> list[tuple[Problem, list[Attempt]]]:
        """What live steps `first` to `last` tried, oldest first: each problem with the step's attempts at it."""
        with self._reading() as connection:
            return skills.tries(connection, first, last)

    def experiences(self, step: int | None = None) -> list[tuple[int, Experience]]:
        """What came of actions that nobody was paid for, each with its live step in order; or those of one step."""
        with self._reading() as connection:
            return experiences.experience_records(connection, step)

    # Evaluations, checkpoints, housekeeping

    def commit_evaluation(self, evaluation: Evaluation) -> Evaluation:
        """Stores an evaluation of a LIVE step, in place of one of the same step, set and kind; returns it as stored."""
        stored = replace(evaluation, committed_at=writing.now())
        with self._writing() as connection:
            writing.replace_evaluation(connection, stored)
            reach("evaluation.inserted")
        reach("evaluation.committed")
        return stored

    def note_held_out(self, sets: Mapping[str, Sequence[Problem]]) -> list[str]:
        """Stores the held-out sets, the first time. Later, returns the names of sets that differ from those stored."""
        with self._writing() as connection:
            return holdout.note(connection, sets)

    def evaluations(self) -> list[Evaluation]:
        """Live evaluations in order of step, set and kind."""
        with self._reading() as connection:
            return reading.evaluation_records(connection)

    def commit_checkpoint(self, checkpoint: CheckpointRow) -> None:
        """Stores the row of a checkpoint of a LIVE step, whose files are on disk."""
        with self._writing() as connection:
            reach("checkpoint.row_begin")
            writing.replace_checkpoint(connection, checkpoint)
        reach("checkpoint.row_committed")

    def checkpoints(self) -> list[CheckpointRow]:
        """Live checkpoints, newest first."""
        with self._reading() as connection:
            return reading.checkpoint_records(connection)

    def delete_checkpoint(self, step_id: int) -> None:
        """Deletes the row of a checkpoint, if there is one, before its files are deleted."""
        with self._writing() as connection:
            connection.execute(delete(checkpoints).where(checkpoints.c.step_id == step_id))
            sealing.reseal(connection, sealing.CHECKPOINTS)

    def prune_journal(self, before_step: int) -> list[str]:
        """Clears the journal names of all steps before `before_step`. Returns the files that the caller may now delete.

        `journal_sha256` stays, by which a file that a kill left undeleted is known to be the run's.
        """
        old = (steps.c.step < before_step) & steps.c.journal_file.is_not(None)
        with self._writing() as connection:
            rows = connection.execute(select(steps.c.step_id, steps.c.journal_file).where(old)).all()
            writing.change_steps(connection, [row.step_id for row in rows], journal_file=None)
            reach("prune.inserted")
        reach("prune.rows")
        return sorted({str(row.journal_file) for row in rows})

    def checkpoint_wal(self) -> bool:
        """Moves the write-ahead log into the database. False, at once, if a reader is in the way; that is harmless."""
        self._refuse_read_only()
        with translated(self.path):
            return empty_log(self._engine)

    def table_digest(self) -> str:
        """Hex sha256 of the run's content (store/digest.py says what that is)."""
        with self._reading() as connection:
            return digest.table_digest(connection)

    def require_whole(self) -> None:
        """Damaged, naming the first place, unless the whole database holds what was stored."""
        for damage in self.damages():
            with translated(self.path):
                raise RowsDamaged(damage)

    def damages(self) -> Iterator[str]:
        """Every place where the database does not hold what was stored; none of a sound one."""
        with self._reading() as connection:
            yield from unsound(connection)
            yield from sealing.damaged_parts(connection)
            ids = reading.step_ids(connection)
        for first in range(0, len(ids), _STEPS_AT_A_TIME):
            with self._reading() as connection:
                chunk = sealing.damages(connection, ids[first : first + _STEPS_AT_A_TIME])
            yield from chunk
