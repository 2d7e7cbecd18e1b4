"""A reward of your own beside the verdict: sums are answered as ever, and are paid a little more for few characters.

python examples/own_reward.py [run.steps=10] [model.name=smollm2-135m] [...]
It prints, step by step, what each part of the reward paid, and what the last attempt at each problem was paid for.
"""

import sys

from selfplay import api


class Brief:
    def __init__(self, characters: int = 4) -> None:
        self.characters = characters

    def __call__(self, problem: api.Problem, text: str, verdict: api.Verdict) -> float:
        return min(1.0, self.characters / max(1, len(text.strip())))  # from -1 to 1


if __name__ == "__main__":
    parts = "[{part: verdict}, {part: own_reward:Brief, weight: 0.2, characters: 2}]"
    keys = ["run.name=own-reward", "domain=sums", "domain_options.max_digits=1", f"judge.rewards={parts}"]
    result = api.run([*keys, "solver.max_tokens=16", "run.steps=10", *sys.argv[1:]], note=print)
    with api.open_store(result.folder) as store:
        for row in store.steps(after=0):
            paid = {name: value for name, value in row.metrics.items() if name.startswith("reward/")}
            print(row.step, *(f"{name}={value:+.2f}" for name, value in paid.items()))
        for problem, _ in store.problems():
            for step, attempt in store.attempts(problem.problem_id)[-1:]:
                print(step, problem.text, *(dict(turn.parts) for turn in attempt.turns))
