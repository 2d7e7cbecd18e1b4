"""Self-play: a model poses problems to itself, attempts them, looks again, and learns from what came of it.

python -m selfplay.loop [CONFIG.yaml] [key=value ...] [--auto-resume | --dry-run [--json]]
python -m selfplay.loop --resume [NAME] [key=value ...]    code of your own: domain=..., judge.rewards=... again
"""

import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from selfplay.arguments import Arguments, parse
from selfplay.config.resuming import resume_command
from selfplay.config.shown import shown_settings
from selfplay.machine import exits
from selfplay.machine.clock import process_started
from selfplay.machine.errors import OK

if TYPE_CHECKING:
    from selfplay.play.step import Step
    from selfplay.run.session import Run, StartFacts
    from selfplay.view.progress import Progress


def run(
    arguments: Arguments,
    progress: "Progress | None" = None,
    started: float | None = None,
    known: "Sequence[StartFacts]" = (),
) -> int:
    """The algorithm. Returns the process's exit code. `started`: on the clock of time.monotonic(), else now. `known`:
    what other runs found of the same start model, which need not be found again."""
    started = time.monotonic() if started is None else started
    from selfplay.closing import close  # loads torch, and a wrong argument is answered before
    from selfplay.run.opening import open_run
    from selfplay.view.progress import Progress

    config = arguments.config
    watcher = progress or Progress(shown_settings(config))
    with open_run(config, arguments.is_resume, watcher, started, arguments.task) as run:
        run.adopt(known)
        run.evaluate()  # the start model, on problems that will never be trained on
        run.checkpoint()  # one that was due when a run was killed: no later step may come to make it
        for step in run.steps():
            take(run, step)
            run.evaluate()
            run.checkpoint()
        return close(run, resume_command(run.folder, config), watcher)


def take(run: "Run", step: "Step") -> None:
    """One step: played, learned from, stored."""
    from selfplay.play.step import Played

    skilled = run.write_skills(step)  # what each learns from what was solved and what was not, where a round is due
    proposed = run.propose(step, skilled)  # the challenger makes known problems harder
    posed = run.pose(step, proposed)  # what is valid, new and promising is admitted; replays fill the step
    judged = run.solve(step, posed, skilled)  # attempts, second looks, verdicts
    searches = run.search(step, judged)  # the judge looks further, where it is told to
    experienced = run.explore(step, judged)  # what comes of actions that nobody is paid for, where it is told to
    played = Played(posed, judged, searches, skilled, experienced)
    taught = run.teach(step, played)  # rewards and advantages, summed over the tree
    written = run.update(step, taught)  # one optimizer step for challenger and solver
    run.commit(step, played, taught, written)  # one transaction


def main(argv: Sequence[str] | None = None) -> Any:
    started = process_started()
    with exits.clear_errors():
        arguments = parse(sys.argv[1:] if argv is None else argv)
        if arguments is None:
            return OK
        if arguments.is_dry:
            with exits.clear_errors(is_answer=True):  # its table is what the command is for
                from selfplay.dry_run.command import answer

                sys.exit(answer(arguments.config, arguments.task, take, started, arguments.as_json))
        return run(arguments, started=started)


if __name__ == "__main__":
    sys.exit(main())
