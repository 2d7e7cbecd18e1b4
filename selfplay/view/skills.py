"""The skills that a run's challenger and solver wrote for themselves, read from its store: plain dictionaries."""

from dataclasses import asdict
from typing import Any

from roles.skills.sets import folded
from store.records import Side, SkillRound
from store.store import Store


def skills(store: Store) -> dict[str, Any]:
    """`sets`: the newest set of each side, each skill with the step that first showed it as it reads now. `rounds`:
    every round, oldest first, with what became of it and the set that it wrote. `picks`: what the probes said of
    versions of the solver's set, by step and version."""
    told = store.skill_rounds()
    steps = {(each.side, each.written.version): step for step, each in told if each.written is not None}
    picks = store.skill_picks()
    sets = folded(told, picks)
    return {
        "sets": [
            {
                "side": side.value,
                "version": sets.of(side).version,
                "skills": [
                    {"name": skill.name, "body": skill.body, "since_step": steps[side, skill.since]}
                    for skill in sets.of(side).skills
                ],
            }
            for side in Side
        ],
        "rounds": [_round(step, each) for step, each in told],
        "picks": [{"step": step} | asdict(each) for step, each in picks],
    }


def _round(step: int, made: SkillRound) -> dict[str, Any]:
    return {
        "step": step,
        "side": made.side.value,
        "outcome": made.outcome.value,
        "parent_version": made.parent_version,
        "action": None if made.action is None else made.action.value,
        "name": made.name,
        "reason": made.reason,
        "cases": list(made.cases),
        "skills": None if made.written is None else {each.name: each.body for each in made.written.skills},
    }
