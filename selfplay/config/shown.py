"""What of a configuration shows on the terminal while a run works."""

from dataclasses import dataclass

from selfplay.config.keys import Config


@dataclass(frozen=True, slots=True)
class ShownSettings:
    """`transcript_every`: steps between transcripts, 0 for none. `is_posed_by_model`: there are proposals;
    `is_any_new`: problems come that were never posed before."""

    num_steps: int
    turns: int
    transcript_every: int
    is_posed_by_model: bool = True
    is_any_new: bool = True


def shown_settings(config: Config) -> ShownSettings:
    return ShownSettings(
        num_steps=config.run.steps,
        turns=config.solver.turns,
        transcript_every=config.logging.transcript_every,
        is_posed_by_model=config.challenger.source in ("self", "frozen"),
        is_any_new=config.challenger.source != "none",
    )
