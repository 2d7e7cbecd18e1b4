"""What a configuration needs of its domain: asked before a model is loaded."""

from curriculum.domains.abilities import require
from curriculum.domains.protocol import Domain
from selfplay.config.keys import Config


def require_abilities(config: Config, domain: Domain) -> None:
    """DomainError, one line that names the member to write, for the first thing that the domain cannot do."""
    source, search = config.challenger.source, config.judge.search
    if source in ("self", "frozen"):
        require(domain, "parse", f"challenger.source={source} (challenger.source=none poses the domain's own problems)")
    if source == "procedural":
        require(domain, "draw", "challenger.source=procedural")
        require(domain, "levels", "challenger.source=procedural")
    if config.solver.feedback:
        require(domain, "observation", "solver.feedback=true")
    if search.when != "never" and search.prune:
        require(domain, "fails", "judge.search.prune=true")
    if search.when != "never" and search.merge:
        require(domain, "state", "judge.search.merge=true")
