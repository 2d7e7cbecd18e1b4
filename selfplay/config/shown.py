"""What of a configuration shows on the terminal while a run works."""

from dataclasses import dataclass

from selfplay.config.keys import Config


@dataclass(frozen=True, slots=True)
class ShownSettings:
    """`transcript_every`: steps between transcripts, 0 for none. The bonus and stage I are what an alarm advises to
    change."""

    num_steps: int
    turns: int
    transcript_every: int
    correction_bonus: float
    stage_one_steps: int


def shown_settings(config: Config) -> ShownSettings:
    return ShownSettings(
        num_steps=config.run.steps,
        turns=config.solver.turns,
        transcript_every=config.logging.transcript_every,
        correction_bonus=config.judge.correction_bonus,
        stage_one_steps=config.train.stage_one.max_steps,
    )
