"""The right path of a problem, as far as its domain knows one: states and right actions, by execution alone."""

from dataclasses import dataclass

from curriculum.domains.protocol import Executable
from store.records import Problem

MOST_STEPS = 64  # of a path: a domain of somebody's may have no end


@dataclass(frozen=True, slots=True)
class Stand:
    """A state, the right action in it (None: nobody knows one) and the states that are reached from it by right
    actions, nearest first."""

    state: str
    action: str | None = None
    ahead: tuple[str, ...] = ()


def right_path(domain: Executable, problem: Problem) -> list[Stand]:
    """Every state in which something is left to do, from the first one on. One alone where no right action is known."""
    states, actions = [domain.begins(problem)], list[str]()
    while len(actions) < MOST_STEPS and (action := domain.expert(problem, states[-1])) is not None:
        actions.append(action)
        states.append(domain.executes(problem, states[-1], action))
    if not actions:
        return [Stand(states[0])]
    return [Stand(states[place], action, tuple(states[place + 1 :])) for place, action in enumerate(actions)]
