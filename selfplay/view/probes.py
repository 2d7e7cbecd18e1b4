"""The probes of a run and what its checkpoints answered to them: plain dictionaries for people and for --json."""

from dataclasses import asdict
from typing import Any

from curriculum.selection.probes import ProbeSets
from selfplay.config.stored import config_of, stored_value
from store.records import ProbeKind
from store.store import Store


def probes(store: Store) -> dict[str, Any]:
    """`best`: the step whose weights are the best, None before any were compared. `picks`: each comparison, oldest
    first. `probes`: each that was taken, with the step that took it, whether it `is_kept` (a set has a bounded size),
    and by step what its weights answered (`solved`)."""
    answers, picks = store.probe_answers(), store.picks()
    rows = []
    sets = ProbeSets(int(stored_value(config_of(store), "probes.size") or 0), 1, store.run().seed)
    taken = store.probes()
    sets.add(probe for _, probe in taken)
    kept = {kind: set(sets.of(kind)) for kind in ProbeKind}
    texts = {problem.problem_id: problem.text for problem, _ in store.problems()} if taken else {}
    for step, probe in taken:
        solved = {at: found[probe.problem_id] for at, found in answers.items() if probe.problem_id in found}
        rows.append(
            {"problem_id": probe.problem_id, "text": texts[probe.problem_id], "kind": probe.kind.value, "step": step}
            | {"rate": probe.rate, "is_kept": probe.problem_id in kept[probe.kind], "solved": solved}
        )
    return {"best": picks[-1].best_step if picks else None, "picks": [asdict(each) for each in picks], "probes": rows}
