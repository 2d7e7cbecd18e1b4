"""A run whose sampler says what a script has wherever skills are asked for, and notes what it was asked.

All else is the real run's: such completions are given to its own sampler as a resume gives those of a stored wave.
"""

import json
import os
from collections.abc import Sequence
from typing import Any

from roles.tree import Tree
from selfplay.engine.protocol import Draw
from store.records import Completion, Finish

SMALL = (
    "configs/tiny.yaml", "run.name=x", "run.threads=1", "run.steps=5", "run.checkpoint_every=2", "solver.problems=8",
    "domain=few_problems:AnyBriefly", "challenger.source=self", "challenger.proposals=4", "challenger.max_tokens=24",
    "solver.turns=1", "solver.max_tokens=12", "curriculum.min_successes=1", "judge.rewards=[{part: verdict}]",
    "evaluate.every=9", "evaluate.pass_size=1", "evaluate.pass_k=2", "logging.transcript_every=0", "skills.every=1",
    "skills.most=2", "skills.tokens=40", "skills.cases=2",
)  # fmt: skip
SPOKEN = "scripted skills"  # what plants it in a run (run_server.py)
ASKED = "SKILLS_ASKED"  # names the file in the environment, a line of JSON for each draw
NOTHING = " nothing at all\n\n"
SAID = {  # (step, side, who) -> text
    (2, "SOLVER", "propose"): " add\nName: one\nWhy: s.\n\n",
    (2, "SOLVER", "write"): " one: solver first\n\n",
    (2, "CHALLENGER", "propose"): " add\nName: one\nWhy: c.\n\n",
    (2, "CHALLENGER", "write"): " one: challenger first\n\n",
    (3, "SOLVER", "propose"): " add\nName: two\nWhy: s.\n\n",
    (3, "SOLVER", "write"): " one: solver first\n- two: solver second\n\n",
    (4, "SOLVER", "propose"): " merge\nName: one\nWhy: s.\n\n",
    (4, "SOLVER", "write"): " one: solver third\n- two: solver second\n\n",
    (4, "CHALLENGER", "propose"): " add\nName: two\nWhy: c.\n\n",
    (4, "CHALLENGER", "write"): " no set\n\n",
    (5, "CHALLENGER", "propose"): " merge\nName: one\nWhy: c.\n\n",
    (5, "CHALLENGER", "write"): " one: challenger fifth\n\n",
}


class ScriptedSkills:
    """The real sampler, but for skills."""

    def __init__(self, honest: Any, policy: Any) -> None:
        self._honest, self._policy = honest, policy

    def __getattr__(self, name: str) -> Any:
        return getattr(self._honest, name)

    def sample(self, tree: Tree, draws: Sequence[Draw], script: Any = None, count: Any = None) -> Any:
        if script is None:
            self._note(tree, draws)
            if draws and all(draw.key[0] == "skills" for draw in draws):
                script = [self._said(draw) for draw in draws]
        return self._honest.sample(tree, draws, script, count)

    def _said(self, draw: Draw) -> Completion:
        _, step, side, who = draw.key
        text = SAID.get((int(step), str(side), str(who)), NOTHING)
        ids = tuple(self._policy.tokenizer.encode(text))
        version = self._policy.version
        return Completion(ids, (-1.0,) * len(ids), text, Finish.STOP, version, version)

    def _note(self, tree: Tree, draws: Sequence[Draw]) -> None:
        if ASKED not in os.environ:
            return
        with open(os.environ[ASKED], "a", encoding="utf-8") as file:
            for draw in draws:
                text = self._policy.tokenizer.decode([tree.tokens[node] for node in tree.path(draw.node)])
                file.write(json.dumps({"key": draw.key, "label": draw.label, "prompt": text}) + "\n")


def plant() -> None:
    """From now on runs of this process sample so."""
    from selfplay.run import build_model

    honest = build_model.policy_sampler

    def policy_sampler(config: Any, policy: Any, *more: Any) -> Any:
        return ScriptedSkills(honest(config, policy, *more), policy)

    build_model.policy_sampler = policy_sampler
