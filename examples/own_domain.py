"""A kind of problem of your own, in which the model poses harder problems to itself: words to spell backwards.

python examples/own_domain.py [run.steps=10] [model.name=smollm2-135m] [...]
It prints the challenger's newest proposals, and what became of each.
"""

import re
import sys

from selfplay import api


class Backwards:
    name = "backwards"
    solver_examples = (("on ->", "no"), ("cat ->", "tac"))
    escalation_examples = (("on", "cat"), ("cat", "lamp"))
    question = staticmethod(lambda problem: f"{problem.text} ->")
    seeds = shown_examples = lambda self: [self.parse(word) for word in ("on", "cat", "lamp", "house")]

    def test_sets(self) -> dict[str, list[api.Statement | api.Fate]]:
        return {"new": [self.parse(word) for word in ("it", "dog", "tree", "stone")]}

    def parse(self, text: str) -> api.Statement | api.Fate:
        word = text.strip()
        if not re.fullmatch("[a-z]{2,12}", word):
            return api.Fate.UNPARSED
        return api.Statement(word, word, f"{len(word)} letters", len(word), word[::-1], "executed")

    def judge(self, problem: api.Problem, text: str) -> tuple[api.Outcome, str | None]:
        if self.parse(text) is api.Fate.UNPARSED:
            return api.Outcome.UNPARSED, None
        return (api.Outcome.CORRECT if text.strip() == problem.answer else api.Outcome.INCORRECT), text.strip()


if __name__ == "__main__":
    keys = ["run.name=own-domain", "domain=own_domain:Backwards", "solver.max_tokens=16", "challenger.max_tokens=16"]
    result = api.run([*keys, "prompts.style=few_shot", "run.steps=10", *sys.argv[1:]], note=print)
    with api.open_store(result.folder) as store:
        print(*(f"{each.fate.value:12} {each.text.strip()!r}" for _, each in store.proposals(limit=20)), sep="\n")
