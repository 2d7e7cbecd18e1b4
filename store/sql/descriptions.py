"""What the tables and columns of a run's database mean, in a line each, for people. The only place that says so.

A column's line holds wherever the name stands, but where "relation.name" says something else. Views describe
themselves (store/sql/views.py). docs/database.md, the page and `inspect sql` are made of this.
"""

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """What a column holds. FLAG and TIME say more than the database does, which keeps them as INTEGER and TEXT."""

    INTEGER = "integer"
    REAL = "real"
    TEXT = "text"
    BLOB = "blob"
    FLAG = "0 or 1"
    TIME = "time, UTC"


@dataclass(frozen=True, slots=True)
class Described:
    """A column."""

    kind: Kind
    description: str


def _integer(description: str) -> Described:
    return Described(Kind.INTEGER, description)


def _real(description: str) -> Described:
    return Described(Kind.REAL, description)


def _text(description: str) -> Described:
    return Described(Kind.TEXT, description)


def _flag(description: str) -> Described:
    return Described(Kind.FLAG, description)


TABLES = {
    "runs": "The run itself, one row: its name, seed, configuration, and the step it stands at",
    "incarnations": "The processes that worked on the run, with their environment, time and memory",
    "steps": "Every committed step with its figures and digests; step 0 is the start, ABANDONED ones were rewound",
    "problems": "Every problem that was admitted, once, with its answer and the problem it was made of",
    "proposals": "What the challenger said when it was asked to make a problem harder, and what became of it",
    "attempts": "Attempts at problems: which policy versions made them, and what they say of their own result",
    "turns": "What was said in an attempt, turn by turn, with verdict and reward: 0 first try, 1 second look",
    "pass_rates": "What a step measured of a problem, and where the curriculum had the problem after it",
    "search_nodes": "The trees that a judge searched for a problem, a row for each step of an answer",
    "alarms": "What the guards raised at a step, and what was over with it",
    "disagreements": "Turns that were paid by one verdict, and of which other means say the reverse",
    "probes": "Problems that are posed no more, to compare checkpoints by, and the step that took each",
    "probe_answers": "Which probes the weights of a checkpoint solve, greedily",
    "picks": "Comparisons of checkpoints by probes: the best weights then, and whether the run went back to them",
    "waves": "Calls of the sampler, committed as each ends, so that a killed step goes on with what was said",
    "completions": "What was sampled in a wave, with ids and log-probabilities until its step is committed",
    "checkpoints": "Finished checkpoint folders",
    "evaluations": "Evaluations of held-out sets, with an outcome for each member",
    "seals": "Digests of parts of the database, by which damage is noticed",
    "snapshots": "The curriculum's state after a step, which spares a start the history before it",
    "held_out": "The members of every held-out set, in the order of evaluations.outcomes; they are never trained on",
}

COLUMNS = {
    "step": _integer("number of the step, from 0, which is the start"),
    "step_id": _integer("the step's row in `steps`; after a rewind, several ids may have one number"),
    "steps.step_id": _integer("id of the row, in the order of commits"),
    "status": _text("LIVE, or ABANDONED by a rewind"),
    "parent_step_id": _integer("the step before"),
    "waves.parent_step_id": _integer("the step at which the run stood when the wave was sampled"),
    "consumed_step_id": _integer("the step that was made of the wave"),
    "head_step_id": _integer("the step at which the run stands"),
    "head_step": _integer("the step at which the process began"),
    "admitted_step_id": _integer("the step that admitted the problem"),
    "admitted_step": _integer("the step that admitted the problem"),
    "last_step": _integer("the step that tried it last"),
    "over_step": _integer("the step at which the alarm was over; empty while it goes on"),
    "seconds": _real("wall time"),
    "committed_at": Described(Kind.TIME, "when it was stored; empty before schema 0006"),
    "started_at": Described(Kind.TIME, "when the process started"),
    "policy_version": _integer("version of the weights that the step made"),
    "pass_rates.policy_version": _integer("oldest version of the weights that said the attempts"),
    "v_problem_history.policy_version": _integer("oldest version of the weights that said the attempts"),
    "search_nodes.policy_version": _integer("version of the weights that said it"),
    "first_version": _integer("version of the weights that said the first token"),
    "last_version": _integer("version of the weights that said the last token"),
    "metrics": _text("figures as JSON, by the names of docs/metrics.md"),
    "weights_digest": _text("digest of the weights"),
    "journal_file": _text("what the update can be run again from; empty once it was deleted"),
    "journal_sha256": _text("digest of the journal"),
    "game_seal": _text("digest of the step's problems, proposals and pass rates"),
    "said_seal": _text("digest of the step's attempts, turns, searches and waves"),
    "seal": _text("digest of the row, or of the part"),
    "part": _text("name of the part of the reward"),
    "seals.part": _text("what is sealed"),
    "run_id": _integer("1"),
    "name": _text("name of the figure"),
    "runs.name": _text("name of the run"),
    "alarms.name": _text("the guard that raised it"),
    "v_alarms.name": _text("the guard that raised it"),
    "seed": _integer("seed of all that is random"),
    "config_yaml": _text("the configuration whole"),
    "config_digest": _text("digest of the configuration"),
    "code_digest": _text("digest of the code"),
    "incarnation_id": _integer("the process that made it"),
    "fingerprint": _text("machine, library versions, threads"),
    "note": _text("how it began: started, resumed ..."),
    "peak_memory_bytes": _integer("the most memory that the process held resident"),
    "problem_id": _text("id of the problem, a digest of its domain and canonical form"),
    "proposals.problem_id": _text("the problem that it became, or that it repeats"),
    "v_proposals_paid.problem_id": _text("the problem that it became, or that it repeats"),
    "domain": _text("kind of problems"),
    "text": _text("the problem as the solver is asked it"),
    "proposals.text": _text("what the challenger said"),
    "turns.text": _text("what the solver said"),
    "completions.text": _text("what was said"),
    "search_nodes.text": _text("what was said in this step of an answer"),
    "alarms.text": _text("what is seen"),
    "v_alarms.text": _text("what is seen"),
    "problem": _text("the problem as the solver is asked it"),
    "canonical": _text("equal for problems that are the same"),
    "family": _text("the domain's class of the problem"),
    "level": _integer("the domain's measure of size, from 1"),
    "answer": _text("what was read of what was said; empty where nothing was"),
    "problems.answer": _text("the right answer"),
    "held_out.answer": _text("the right answer"),
    "right_answer": _text("the right answer"),
    "answer_source": _text("how the answer is known: executed, seed ..."),
    "origin": _text("who posed it: SEED, CHALLENGER or PROCEDURAL"),
    "parent_id": _text("the problem that it was made of; empty of a root"),
    "parent": _text("that problem's text"),
    "search_nodes.parent": _integer("the node before; empty of the first"),
    "parent_level": _integer("that problem's level"),
    "root_id": _text("the root of its line"),
    "root": _text("the root's text"),
    "depth": _integer("how many problems lie between it and its root, itself counted"),
    "path": _text("ids from the root to it, with / between"),
    "ordinal": _integer("place in its step"),
    "target": _integer("which group of proposals of the step"),
    "proposal_index": _integer("place in its group"),
    "fate": _text("what became of it: ACCEPTED, DUPLICATE, INVALID ..."),
    "reward": _real("what it was paid; empty where nothing was judged or measured"),
    "attempt": _integer("place in the group of attempts at the problem, from 0"),
    "turn": _integer("0 is the first try, 1 the second look; empty of the challenger"),
    "report": _text("what it said of its own result, where it was asked"),
    "confidence": _real("the report as a number, 0 to 1; empty where it could not be read"),
    "said": _text("what was said"),
    "search_nodes.said": _integer("how often it was sampled"),
    "outcome": _text("the verdict: CORRECT, INCORRECT, UNPARSED, TRUNCATED or UNJUDGED"),
    "finish": _text("how it ended: STOP, or LENGTH where it was cut off"),
    "num_tokens": _integer("its tokens"),
    "score": _real("the verdict's score, 0 to 1"),
    "parts": _text("JSON: what the reward is the sum of, by name"),
    "error": _text("how its judge or a reward failed"),
    "attempts": _integer("first tries that were judged"),
    "successes": _integer("first tries that were right"),
    "v_rewards.successes": _integer("how many of them were right; empty of the challenger"),
    "kept": _integer("second looks that kept a right answer"),
    "broken": _integer("second looks that broke a right answer"),
    "fixed": _integer("second looks that put a wrong answer right"),
    "missed": _integer("second looks that left a wrong answer wrong"),
    "state": _text("where the problem stands in the curriculum: NEW, ACTIVE, MASTERED, TOO_HARD or RETIRED"),
    "waves.state": _text("DONE, CONSUMED by a step, or ABANDONED"),
    "pass_rate": _real("share of first tries that were right"),
    "rate": _real("pass rate of first tries that the curriculum foretold after the step"),
    "foretold_rate": _real("pass rate of first tries that the curriculum foretold after the step"),
    "v_problems.foretold_rate": _real("pass rate that the curriculum foretold after the step that tried it last"),
    "v_family_by_step.foretold_rate": _real("mean of the pass rates that the curriculum foretold after the step"),
    "foretold_before": _real("what it foretold after the step that tried it before; empty at first"),
    "is_graded": _flag("did first tries that fared alike differ in score"),
    "problems": _integer("how many problems"),
    "node": _integer("number in its tree; 0 is the problem"),
    "logprob": _real("the sampler's log-probability, in nats"),
    "visits": _integer("how often the search came by"),
    "mean": _real("mean of the values that the search backed up"),
    "leaves": _integer("finished answers below it"),
    "right_leaves": _integer("right answers below it"),
    "value": _real("the figure"),
    "search_nodes.value": _real("the value critic's score, 0 to 1"),
    "process": _real("the process critic's score, 0 to 1"),
    "merged_into": _integer("the node that says the same"),
    "advantage": _real("what it was paid, where rewards are dense"),
    "event": _text("RAISED or OVER"),
    "figure": _real("what the guard watches, as a mean over a few steps"),
    "threshold": _real("what the figure has passed"),
    "advice": _text("what to do"),
    "is_right": _flag("what the other means say"),
    "means": _text("which these are"),
    "probe_answers.step_id": _integer("the step whose weights answered"),
    "probe_answers.is_right": _flag("was the answer right"),
    "probes.kind": _text("HARD where it was failed when it was taken, EASY where it was solved"),
    "probes.rate": _real("share of first tries that were right in the step that took it"),
    "best_step_id": _integer("the step whose weights are the best"),
    "hard": _integer("how many hard probes there were"),
    "easy": _integer("how many easy probes there were"),
    "hard_solved": _integer("hard probes that the step's weights solve"),
    "easy_solved": _integer("easy probes that the step's weights solve"),
    "product": _real("product of the rates of both kinds"),
    "best_hard_solved": _integer("hard probes that the best weights solve"),
    "best_easy_solved": _integer("easy probes that the best weights solve"),
    "best_product": _real("the product of the best weights"),
    "standard_error": _real("of the difference of both products, paired by probe"),
    "picks.policy_version": _integer("version of the weights that the run goes on with"),
    "is_rollback": _flag("did the run go back to the best weights"),
    "wave_id": _integer("id of the wave"),
    "wave_key": _text("name of the wave in its step, such as solver/1"),
    "position": _integer("place in the wave, from 0"),
    "held_out.position": _integer("place in the set, from 0"),
    "v_held_out_answers.position": _integer("place in the set, from 0"),
    "ids": Described(Kind.BLOB, "token ids, int32, little endian; empty once the step was committed"),
    "logprobs": Described(Kind.BLOB, "the sampler's log-probabilities, float64, little endian; empty as the ids are"),
    "manifest_sha256": _text("digest of the list of its files"),
    "checkpoints.path": _text("its folder, relative to the run's"),
    "set_name": _text("name of the held-out set"),
    "kind": _text("full, or interim"),
    "outcomes": _text("a digit for each member: 2 if the first turn was right, and 1 more if the last was"),
    "reports": _text("1:0.7 0:- ...: whether a sampled answer was right, and what it said of itself"),
    "searches": _text("34/7/-/-/0 ...: tokens and nodes until right, of a search and of best-of-N; is the vote right"),
    "first_try": _real("share of first tries that were right"),
    "first_try_low": _real("lower end of its 95% interval"),
    "first_try_high": _real("upper end of its 95% interval"),
    "second_look": _real("share of last turns that were right"),
    "second_look_low": _real("lower end of its 95% interval"),
    "second_look_high": _real("upper end of its 95% interval"),
    "first_right": _flag("was the first try right"),
    "last_right": _flag("was the last turn right"),
    "role": _text("solver or challenger"),
    "number": _integer("how many were paid"),
    "mean_reward": _real("their mean"),
    "least_reward": _real("the least"),
    "most_reward": _real("the most"),
    "label": _text("digest of all that the snapshot depends on"),
    "packed": Described(Kind.BLOB, "the state, packed"),
}
