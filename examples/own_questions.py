"""Train on questions of your own, one JSON object a line; no code and no challenger is needed.

python examples/own_questions.py [domain_options.path=questions.jsonl] [run.steps=10] [model.name=smollm2-135m] [...]
To have a file it writes sums.jsonl. It prints what questions that were kept out of training say of the gain.
"""

import json
import sys
from pathlib import Path

from selfplay import api

path = Path("sums.jsonl")
rows = [{"question": f"What is {a} plus {b}?", "answer": str(a + b)} for a in range(10) for b in range(10)]
path.write_text("".join(json.dumps(row) + "\n" for row in rows))

keys = [
    "run.name=own-questions",
    "run.steps=10",
    "domain=dataset",
    f"domain_options.path={path}",
    "domain_options.examples=3",
    "challenger.source=none",
    "prompts.style=few_shot",  # the default model follows examples better than its chat template
    "solver.problems=8",
    "solver.max_tokens=16",
]
result = api.run([*keys, *sys.argv[1:]], note=print)
first, *_, last = (each for each in result.evaluations if each.kind == "full")
for each in (first, last):
    print(f"step {each.step}: {each.metrics['acc_t1']:.2f} of {each.metrics['n']:.0f} questions right")
