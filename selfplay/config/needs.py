"""What a configuration needs of its domain: asked before a model is loaded."""

from curriculum.domains.abilities import require
from curriculum.domains.judging import require_agreement
from curriculum.domains.loading import is_ours, load_domain
from curriculum.domains.protocol import Domain
from selfplay.config.keys import Config


def require_domain(config: Config, is_new: bool) -> None:
    """DomainError, one line, where the domain cannot be loaded or lacks an ability, and where the judge of a user's own
    domain contradicts its seeds. A run that is there (not `is_new`) keeps the seeds that it began with."""
    domain = load_domain(config.domain, config.domain_options, config.judge.reward_seconds)
    require_abilities(config, domain)
    if is_new and not is_ours(config.domain):
        require_agreement(domain)


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
