"""What a page asks of the store: live rows alone, counted right, and pages of them that neither lose nor repeat one."""

from pathlib import Path

import pytest
from store_samples import SEED, create, new_problem, step_commit

from store.overview.records import ProblemOrder, ProblemQuery
from store.overview.store import OverviewStore
from store.records import Fate, Origin, PassRate, ProblemState, Standing


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Three live steps, and one that a rewind left behind."""
    place = tmp_path / "selfplay.db"
    with create(place) as store:
        for step in (1, 2, 3, 4):
            standings = {SEED.problem_id: Standing(ProblemState.ACTIVE, 0.1 * step)}
            rates = (PassRate(SEED.problem_id, step - 1, 8, step), PassRate(f"p-{step}", step - 1, 8, 8))
            standings[f"p-{step}"] = Standing(ProblemState.MASTERED, 0.95)
            store.commit_step(step_commit(step, pass_rates=rates, standings=standings))
        store.rewind(3)
    return place


@pytest.fixture
def store(path: Path):  # type: ignore[no-untyped-def]
    with OverviewStore.open_readonly(path) as opened:
        yield opened


def test_what_was_measured_is_of_live_steps_in_order(store: OverviewStore) -> None:
    rows = store.measured()
    assert [(row.step, row.problem_id, row.successes) for row in rows if row.problem_id == SEED.problem_id] == [
        (1, SEED.problem_id, 1),
        (2, SEED.problem_id, 2),
        (3, SEED.problem_id, 3),
    ]
    assert len(rows) == 6 and store.measured("p-2") == [row for row in rows if row.problem_id == "p-2"]
    assert {each.problem_id: each.admitted_step for each in store.listed()} == {
        "p-seed": 0,
        "p-1": 1,
        "p-2": 2,
        "p-3": 3,
    }


def test_a_line_adds_up_all_tries_and_stands_as_it_stood_last(store: OverviewStore) -> None:
    line = store.problem_line(SEED.problem_id)
    assert line is not None
    assert (line.attempts, line.successes, line.last_step, line.state) == (24, 6, 3, ProblemState.ACTIVE)
    assert line.rate == pytest.approx(0.3) and line.origin is Origin.SEED
    assert store.problem_line("p-4") is None and store.problem_line("") is None  # of an abandoned step, and of none


@pytest.mark.parametrize("order", list(ProblemOrder))
@pytest.mark.parametrize("is_descending", [True, False])
def test_pages_of_one_are_together_the_page_of_all(
    store: OverviewStore, order: ProblemOrder, is_descending: bool
) -> None:
    whole = store.problem_page(ProblemQuery(order=order, is_descending=is_descending))
    found, after = [], None
    while True:
        page = store.problem_page(ProblemQuery(order=order, is_descending=is_descending, after=after, limit=1))
        assert page.matching == 4
        found += page.lines
        if page.following is None:
            break
        after = page.following
    assert tuple(found) == whole.lines and len({line.problem_id for line in found}) == 4


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        (ProblemQuery(text="2 + 4"), {"p-2"}),
        (ProblemQuery(text="p-3"), {"p-3"}),
        (ProblemQuery(text="%"), set()),  # a search is for the text, not for a pattern
        (ProblemQuery(text="' OR 1=1 --"), set()),
        (ProblemQuery(family="d+d"), {"p-seed"}),
        (ProblemQuery(state=ProblemState.MASTERED), {"p-1", "p-2", "p-3"}),
        (ProblemQuery(origin=Origin.SEED), {"p-seed"}),
        (ProblemQuery(max_rate=0.5), {"p-seed"}),
        (ProblemQuery(min_rate=0.5, step=2), {"p-2"}),
        (ProblemQuery(step=4), set()),  # abandoned
        (ProblemQuery(domain="words"), set()),
    ],
)
def test_filters_leave_what_they_say(store: OverviewStore, query: ProblemQuery, wanted: set[str]) -> None:
    page = store.problem_page(query)
    assert {line.problem_id for line in page.lines} == wanted and page.matching == len(wanted)


def test_children_and_the_problems_of_a_step(store: OverviewStore) -> None:
    assert [line.problem_id for line in store.children(SEED.problem_id)] == ["p-1", "p-2", "p-3"]
    assert [line.problem_id for line in store.lines_of_step(2)] == ["p-seed", "p-2"]
    assert store.names() == {"domain": ["arithmetic"], "family": ["d+d", "d+dd"]}


def test_proposals_come_newest_first_in_pages(store: OverviewStore) -> None:
    whole, following = store.proposal_page()
    assert following is None and [line.step for line in whole] == [3, 3, 2, 2, 1, 1]
    first, place = store.proposal_page(limit=4)
    rest, end = store.proposal_page(limit=4, before=place)
    assert first + rest == whole and end is None
    accepted, _ = store.proposal_page(fates=(Fate.ACCEPTED,), step=2)
    assert [line.proposal.text for line in accepted] == [new_problem(2).text]
    assert store.proposal_counts() == {Fate.ACCEPTED: 3, Fate.INVALID: 3} == store.fate_counts()
    assert store.proposal_counts(2) == {Fate.ACCEPTED: 1, Fate.INVALID: 1} and store.proposal_counts(4) == {}
    assert accepted == store.proposals_of("p-2") and accepted[0].parent_text == SEED.text


def test_attempts_of_a_step_and_what_turns_were_paid(store: OverviewStore) -> None:
    found = store.attempts_of_step(2)
    assert [(each.problem_id, len(each.turns)) for each in found] == [("p-2", 2), ("p-seed", 1)]
    assert store.attempts_of_step(4) == [] == store.attempts_of_step(99)
    means = {(each.step, each.turn): (each.reward, each.count) for each in store.turn_means()}
    assert means[2, 0] == (-0.25, 1) and means[2, 1] == (pytest.approx(2.1), 1)  # the unjudged turn was paid nothing
