"""One ordinary run of benchmarks/gpu.py, as a child process: the loop as it is, and what its updates were given to do.

The command line is a folder for the report and the arguments of selfplay.loop. One method is wrapped to note how many
tokens each update ran and how long it took; everything else comes from the run's own store.
"""

import json
import sys
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from child import Cost, finish_device

from selfplay import loop
from selfplay.api import open_store
from selfplay.machine.memory import peak_bytes
from selfplay.metrics import PHASE_SECONDS, TOKENS_COMPUTED, TOKENS_SAMPLED, TOKENS_TRAINED
from selfplay.train.trainer import Trainer, Update

SAMPLING = ("propose", "solve", "search")  # phases that are sampling nearly all the time


class Noted:
    """What the updates did: tokens through the model and seconds of each, and the model's cost for a token."""

    def __init__(self) -> None:
        self.cost: Cost | None = None
        self.tokens: list[int] = []
        self.seconds: list[float] = []

    def wrap(self) -> None:
        step = Trainer.step

        def noting(trainer: Trainer, *arguments: Any) -> Update:
            self.cost = self.cost or Cost.of(trainer._policy.model)
            finish_device()
            start = perf_counter()
            update = step(trainer, *arguments)
            finish_device()
            self.tokens.append(update.tokens_computed)
            self.seconds.append(perf_counter() - start)
            return update

        Trainer.step = noting  # type: ignore[method-assign]


def report(noted: Noted, run: Path) -> dict[str, Any]:
    """Means over the run's steps. FLOPs are those of the products, without attention (child.py)."""
    with open_store(run) as store:
        rows = [row.metrics for row in store.steps() if row.step > 0]
    phases = {
        phase: sum(row.get(PHASE_SECONDS.format(phase=phase), 0.0) for row in rows) / len(rows)
        for phase in ("propose", "solve", "judge", "search", "update")
    }
    trained = sum(noted.tokens)
    sampled = sum(row[TOKENS_COMPUTED] for row in rows) - trained
    said = sum(row[TOKENS_SAMPLED] for row in rows)
    charged = sum(row[TOKENS_TRAINED] for row in rows)
    cost, sampling = noted.cost, sum(phases[phase] for phase in SAMPLING) * len(rows)
    assert cost is not None
    is_cuda = torch.cuda.is_initialized()
    return {
        "steps": len(rows),
        "seconds": phases,
        "update_seconds": noted.seconds,
        "tokens_sampling": sampled / len(rows),
        "tokens_training": trained / len(rows),
        # every distinct context makes a row of logits: no more than tokens were said, or run
        "flops_per_second_sampling": cost.sampling(int(sampled), int(min(said, sampled))) / sampling,
        "flops_per_second_training": cost.training(trained, int(charged)) / sum(noted.seconds),
        "peak_bytes": torch.cuda.max_memory_allocated() if is_cuda else peak_bytes(),
        "reserved_bytes": torch.cuda.max_memory_reserved() if is_cuda else None,
    }


def main() -> None:
    folder, arguments = Path(sys.argv[1]), sys.argv[2:]
    noted = Noted()
    noted.wrap()
    code = loop.main([*arguments, "run.name=run", f"run.dir={folder}"])
    if code:
        sys.exit(code)
    (folder / "report.json").write_text(json.dumps(report(noted, folder / "run")))


if __name__ == "__main__":
    main()
