"""What a configuration names to be played, loaded: its domain, and what pays an answer."""

from dataclasses import dataclass

from curriculum.domains.loading import load_domain
from curriculum.domains.protocol import Domain
from roles.judging.rewards import Part, load
from selfplay.config.files import rewards
from selfplay.config.keys import Config
from selfplay.config.needs import require_abilities


@dataclass(frozen=True, slots=True)
class Task:
    """A domain that can do what its configuration needs, and the parts of the reward."""

    domain: Domain
    rewards: tuple[Part, ...]


def load_task(config: Config) -> Task:
    """Users' code is imported and made, which may take as long as its data are large: a run does it once. Raises
    DomainError or RewardError, one line."""
    domain = load_domain(config.domain, config.domain_options, config.judge.reward_seconds)
    require_abilities(config, domain)
    return Task(domain, load(rewards(config), config.judge.reward_seconds))
