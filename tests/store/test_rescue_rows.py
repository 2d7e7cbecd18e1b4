"""Groups of rescues: stored with their step, sealed, and gone with the branch they belong to."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from store_samples import copy_new, rescue, step_commit

from selfplay.view import queries
from store.errors import StoreError
from store.records import HelpKind
from store.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(copy_new(tmp_path / "selfplay.db")) as opened:
        yield opened


def test_rescues_come_back_as_they_were_stored_while_their_steps_are_live(store: Store) -> None:
    bare = replace(rescue(2), kind=HelpKind.HINT, given=0, successes=0)
    store.commit_step(step_commit(1, rescues=(rescue(1),)))
    store.commit_step(step_commit(2, rescues=(bare,)))
    assert store.rescues() == [(1, rescue(1)), (2, bare)]
    store.rewind(1)
    assert store.rescues() == [(1, rescue(1))]
    assert list(store.damages()) == []


def test_what_cannot_be_is_refused_and_leaves_nothing(store: Store) -> None:
    for wrong in (replace(rescue(1), given=4), replace(rescue(1), successes=9), replace(rescue(1), problem_id="x")):
        with pytest.raises(StoreError):
            store.commit_step(step_commit(1, rescues=(wrong,)))
    assert store.rescues() == [] and store.head().step == 0


def test_looking_at_a_problem_says_which_attempts_had_help(store: Store) -> None:
    store.commit_step(step_commit(1, rescues=(rescue(1),)))
    attempts = queries.show(store, "p-1")["attempts"]
    assert attempts and {each["help"] for each in attempts} == {"reverse 2 of 3"}
