"""Which of a run's checkpoints is the best, told at each checkpoint by probes; and going back to it.

Every kept checkpoint answers each probe once, greedily, those too that were taken after it was made: so all are
compared by the same probes. What it answered is stored, so a checkpoint is loaded again only for probes that are new to
it. A pick is decided by what is stored, so a run that is killed meanwhile goes on to the same one.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from curriculum.selection.probes import ProbeSets
from curriculum.tracking.difficulty import Tracker
from selfplay.engine.voices import Voices
from selfplay.evaluation.evaluator import Evaluator
from selfplay.guards.rules import Open
from selfplay.machine.errors import CheckpointError
from selfplay.model.policy import Policy
from selfplay.run.checkpoint import Checkpoints, load_weights
from selfplay.run.checkpoint_files import STATE_FILE, verify
from selfplay.stats.product_rule import Answers, Fall, RateRule, best_of, fall, product
from selfplay.train.trainer import Trainer
from store.kill_points import reach
from store.records import Alarm, AlarmEvent, CheckpointRow, Pick, ProbeKind, StepRow
from store.store import Store

ALARM = "probes"
ALARM_ERRORS = 2.0  # standard errors of a fall, beyond which it is an alarm


@dataclass(frozen=True, slots=True)
class Picker:
    """`rollback`: standard errors of a fall beyond which the run goes back; 0: never. `tracker` has every problem."""

    sets: ProbeSets
    rule: RateRule
    rollback: float
    tracker: Tracker
    evaluator: Evaluator
    voices: Voices
    policy: Policy
    trainer: Trainer
    say: Callable[[str], None] = field(default=lambda line: None)

    def pick(
        self, store: Store, checkpoints: Checkpoints, opened: Mapping[str, Open], is_last: bool
    ) -> tuple[Pick, tuple[Alarm, ...]] | None:
        """Compares the kept checkpoints at the head's, stores the pick and what it raises, and goes back where it says.

        None where there is nothing to compare by, or where it was done. `opened`: the alarms that are open. `is_last`:
        no step is to come, so the run does not go back.
        """
        head = store.head()
        if self.num_probes() == 0 or any(pick.step == head.step for pick in store.picks()):
            return None
        checkpoints.drop_old(store)
        rows = {row.step: row for row in sorted(store.checkpoints(), key=lambda row: row.step)}
        if head.step not in rows:
            return None
        answers = self._answers(store, checkpoints, rows, head)
        best = self._best(checkpoints, rows, answers, head.step)
        fallen = fall(answers[best], answers[head.step], self.rule) if best != head.step else Fall(0.0, 0.0)
        goes_back = not is_last and self.rollback > 0 and best != head.step and fallen.is_beyond(self.rollback)
        pick = self._made(head, best, answers, fallen, goes_back)
        alarms = said_of(pick, fallen, opened.get(ALARM), self.rollback > 0)
        stored = store.commit_pick(pick, alarms)
        if goes_back:
            checkpoints.load(rows[best], self.trainer, pick.policy_version)
            self.voices.serve(self.policy.version)
            reach("pick.rolled_back")
        return stored, alarms

    def num_probes(self) -> int:
        return sum(len(self.sets.of(kind)) for kind in ProbeKind)

    def _answers(
        self, store: Store, checkpoints: Checkpoints, rows: Mapping[int, CheckpointRow], head: StepRow
    ) -> dict[int, Answers]:
        """By step, of every checkpoint that can be read."""
        probes = [each for kind in ProbeKind for each in self.sets.of(kind)]
        version, is_away, found = self.policy.version, False, {}
        for step, row in rows.items():
            known = store.probe_answers().get(step, {})
            missing = [each for each in probes if each not in known]
            if missing and step != head.step:
                try:
                    load_weights(checkpoints.run_folder, row, self.policy, store.step(step).policy_version)
                except CheckpointError as error:
                    self.say(f"a checkpoint is not compared: {error}")
                    continue
                is_away = True
            elif missing and is_away:
                self._return(version)
                is_away = False
            if missing:
                self.voices.serve(self.policy.version)
                store.commit_probe_answers(step, self._asked(missing, step))
            known = store.probe_answers().get(step, {})
            found[step] = Answers(*(tuple(known[each] for each in self.sets.of(kind)) for kind in ProbeKind))
        if is_away:
            self._return(version)
        return found

    def _return(self, version: int) -> None:
        """To the weights that are trained."""
        self.trainer.serve(version)
        self.voices.serve(version)

    def _asked(self, problem_ids: Sequence[str], step: int) -> dict[str, bool]:
        """Whether each probe is solved by the weights as they are."""
        self.voices.end_sampling()
        problems = [self.tracker.problem(each) for each in problem_ids]
        groups = self.evaluator.greedy(problems, 1, step)
        self.voices.end_sampling()
        return {each.problem.problem_id: each.attempts[0].turns[0].is_right for each in groups}

    def _best(
        self,
        checkpoints: Checkpoints,
        rows: Mapping[int, CheckpointRow],
        answers: Mapping[int, Answers],
        head: int,
    ) -> int:
        """The step of the best whose files are whole. They are read whole where the run may go back to them."""
        left = dict(answers)
        hashed = STATE_FILE.partition("{")[0] if self.rollback > 0 else None
        while (best := best_of(left, self.rule)) != head:
            try:
                verify(checkpoints.run_folder, rows[best], hashed)
                break
            except CheckpointError as error:
                self.say(f"a checkpoint is not compared: {error}")
                del left[best]
        return best

    def _made(self, head: StepRow, best: int, answers: Mapping[int, Answers], fallen: Fall, goes_back: bool) -> Pick:
        own, most = answers[head.step], answers[best]
        return Pick(
            step=head.step,
            best_step=best,
            hard=len(own.hard),
            easy=len(own.easy),
            hard_solved=sum(own.hard),
            easy_solved=sum(own.easy),
            product=product(own, self.rule),
            best_hard_solved=sum(most.hard),
            best_easy_solved=sum(most.easy),
            best_product=product(most, self.rule),
            standard_error=fallen.standard_error,
            policy_version=self.policy.version + goes_back,
            is_rollback=goes_back,
        )


def said_of(pick: Pick, fallen: Fall, opened: Open | None, may_go_back: bool) -> tuple[Alarm, ...]:
    """The alarm that a pick raises or ends: a fall by more than `ALARM_ERRORS` standard errors."""
    bound = ALARM_ERRORS * fallen.standard_error
    if fallen.is_beyond(ALARM_ERRORS) == (opened is not None):
        return ()
    if opened is not None:
        text = f"{ALARM} is over: {line_of(pick)}; it was raised at step {opened.step}"
        return (Alarm(ALARM, AlarmEvent.OVER, fallen.by, bound, text, ""),)
    text = f"what the run could do is being lost: {line_of(pick)}, a fall of {_errors(fallen)} standard errors"
    advice = f"The weights to keep are those of step {pick.best_step} (RUN@best)"
    if pick.is_rollback:
        advice = f"The run goes on with the weights of step {pick.best_step}; a lower train.learning_rate may hold them"
    elif not may_go_back:
        advice += "; a run with probes.rollback=2 goes back to them by itself"
    return (Alarm(ALARM, AlarmEvent.RAISED, fallen.by, bound, text, advice),)


def line_of(pick: Pick) -> str:
    """What the probes said, in one line."""
    own = f"step {pick.step} solves {pick.hard_solved}/{pick.hard} hard and {pick.easy_solved}/{pick.easy} easy probes"
    if pick.best_step == pick.step:
        return f"{own}, the best so far"
    return f"{own}, the best, step {pick.best_step}, {pick.best_hard_solved}/{pick.hard} and " \
        f"{pick.best_easy_solved}/{pick.easy}"  # fmt: skip


def _errors(fallen: Fall) -> str:
    return f"{fallen.by / fallen.standard_error:.1f}" if fallen.standard_error else "many"
