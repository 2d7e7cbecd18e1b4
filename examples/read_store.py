"""Read what a run remembers into pandas: its problems with their pass rates, and its steps.

python examples/read_store.py RUN_FOLDER
It prints the families by how often they are solved, and how a few figures went from step to step.
"""

import sys
from dataclasses import asdict

from selfplay import api

try:
    import pandas as pd
except ImportError:
    sys.exit("this example needs pandas: uv pip install pandas")

with api.open_store(sys.argv[1]) as store:
    problems = pd.DataFrame([asdict(problem) | {"admitted": step} for problem, step in store.problems()])
    steps = pd.DataFrame([{"step": row.step, "seconds": row.seconds} | row.metrics for row in store.steps(after=0)])
    rates = pd.DataFrame([asdict(rate) for history in store.history() for rate in history.pass_rates])

tried = rates.groupby("problem_id")[["attempts", "successes"]].sum()
families = problems.join(tried, on="problem_id").groupby(["family", "level"])
table = families.agg(problems=("problem_id", "count"), attempts=("attempts", "sum"), right=("successes", "sum"))
print(table.assign(rate=table.right / table.attempts).sort_values("rate").round(2))
print(steps.set_index("step")[["seconds", "solver/pass_rate", "curriculum/signal_share"]].round(3))
