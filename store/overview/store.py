"""A run's store as a page looks at it: with what is to be known of many steps or problems at once."""

from store.overview import queries
from store.overview.records import Listed, Measured, ProblemLine, ProblemPage, ProblemQuery, ProposalLine, TurnMean
from store.reading import attempt_records_of_step, unchecked_fate_counts
from store.records import Attempt, Fate
from store.store import Store


class OverviewStore(Store):
    """Opened by `open_readonly`. Each method is one short transaction; none of what it adds compares seals."""

    def measured(self, problem_id: str = "") -> list[Measured]:
        """What live steps measured, in order; of one problem, or of all."""
        with self._reading() as connection:
            return queries.measured(connection, problem_id)

    def listed(self) -> list[Listed]:
        """All live problems, in the order of their admission."""
        with self._reading() as connection:
            return queries.listed(connection)

    def examples(self) -> tuple[dict[str, str], dict[str, str]]:
        """One problem of each held-out set, and one of each family of live problems, as they are asked."""
        with self._reading() as connection:
            return queries.set_examples(connection), queries.family_examples(connection)

    def problem_page(self, query: ProblemQuery) -> ProblemPage:
        """One page of the problems that the query leaves."""
        with self._reading() as connection:
            return queries.problem_page(connection, query)

    def problem_line(self, problem_id: str) -> ProblemLine | None:
        """The line of one live problem, by its whole id; None where there is none."""
        with self._reading() as connection:
            return queries.problem_line(connection, problem_id)

    def children(self, problem_id: str) -> list[ProblemLine]:
        """The live problems that were made of this one, in the order of their admission."""
        with self._reading() as connection:
            return queries.children(connection, problem_id)

    def lines_of_step(self, step: int) -> list[ProblemLine]:
        """The problems that a live step tried, in its order."""
        with self._reading() as connection:
            return queries.lines_of_step(connection, step)

    def names(self) -> dict[str, list[str]]:
        """{"domain": [...], "family": [...]} of all problems."""
        with self._reading() as connection:
            return queries.names(connection)

    def proposal_page(
        self, fates: tuple[Fate, ...] = (), step: int | None = None, before: int | None = None, limit: int = 50
    ) -> tuple[list[ProposalLine], int | None]:
        """Live proposals, newest first, and the place before which the next page begins (None: there is none)."""
        with self._reading() as connection:
            return queries.proposal_page(connection, fates, step, before, limit)

    def proposal_counts(self, step: int | None = None) -> dict[Fate, int]:
        """How often live proposals, or those of one step, met each fate; the most frequent first."""
        with self._reading() as connection:
            return unchecked_fate_counts(connection, step)

    def proposals_of(self, problem_id: str) -> list[ProposalLine]:
        """The live proposals that said this problem, oldest first."""
        with self._reading() as connection:
            return queries.proposals_of(connection, problem_id)

    def turn_means(self) -> list[TurnMean]:
        """What first tries, second looks ... were paid in each live step."""
        with self._reading() as connection:
            return queries.turn_means(connection)

    def attempts_of_step(self, step: int) -> list[Attempt]:
        """All attempts of a live step, by problem and place in the group; [] for a step that there is not."""
        with self._reading() as connection:
            return attempt_records_of_step(connection, step)
