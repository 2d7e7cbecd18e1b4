"""What a configuration needs of its domain: asked before a model is loaded."""

from collections.abc import Iterator

from curriculum.domains.abilities import Capability, ability
from curriculum.domains.protocol import (
    ChecksAgain,
    Decomposable,
    Domain,
    Drawable,
    Executable,
    Explained,
    Mergeable,
    Observable,
    Posable,
    Prunable,
)
from curriculum.domains.seed_files import DomainError
from selfplay.config.keys import EXPERIENCE_LOSSES, Config


def require_abilities(config: Config, domain: Domain) -> None:
    """DomainError, one line that names the members to write, for the first thing that the domain cannot do."""
    for wanted_by, wanted in needs(config):
        ability(domain, wanted, wanted_by)
    source = config.challenger.source
    poses = source in ("self", "frozen") and ability(domain, Posable).leaves_answers_open
    if poses and config.judge.source == "verifier":
        raise DomainError(
            f"judge.source=verifier cannot judge what challenger.source={source} poses: {domain.name} knows no answer "
            "to a new question. Set judge.source=majority or judge.source=model"
        )


def needs(config: Config) -> Iterator[tuple[str, Capability[Domain]]]:
    """(key=value that needs it, capability), beside the core. Capabilities of which nothing has to be written are
    needed by none."""
    source, search = config.challenger.source, config.judge.search
    searches = search.when != "never" or config.evaluate.search_tokens > 0
    if source in ("self", "frozen"):
        yield f"challenger.source={source} (challenger.source=none poses the domain's own problems)", Posable
        if config.challenger.drawn_share > 0:
            yield f"challenger.drawn_share={config.challenger.drawn_share:g}", Drawable
    if source == "procedural":
        yield "challenger.source=procedural", Drawable
    if config.guards.rechecks > 0:
        yield f"guards.rechecks={config.guards.rechecks}", ChecksAgain
    rescue = config.curriculum.rescue
    if rescue != "none":
        yield f"curriculum.rescue={rescue}", Decomposable if rescue == "subproblem" else Explained
    if config.solver.feedback:
        yield "solver.feedback=true", Observable
    for name in EXPERIENCE_LOSSES:
        if (weight := getattr(config.train.experience, name)) > 0:
            yield f"train.experience.{name}={weight:g}", Executable
    if searches and search.prune:
        yield "judge.search.prune=true", Prunable
    if searches and search.merge:
        yield "judge.search.merge=true", Mergeable
