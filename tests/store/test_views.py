"""The views for people: what they say of a run whose every number is known, and that all is described."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from store_samples import SEED, create, disagreement, experience, foretold, new_problem, skill_rounds, step_commit

from store.connections import writer_engine
from store.errors import Outdated
from store.records import Evaluation, Fate, PassRate, ProblemState, Proposal, Standing
from store.schema import metadata
from store.sql.descriptions import COLUMNS, TABLES, Kind
from store.sql.relations import relations, tables, views
from store.sql.store import SqlStore
from store.sql.views import VIEWS
from store.store import Store
from store.upgrade import migrate, upgrade

STORED = {Kind.INTEGER: int, Kind.REAL: float, Kind.TEXT: str, Kind.BLOB: bytes, Kind.FLAG: int, Kind.TIME: str}


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SqlStore]:
    """Three steps, of which the third was rewound and made again; p-2 was made of p-1, p-1 and p-3 of the seed."""
    path = tmp_path_factory.mktemp("sample") / "selfplay.db"
    config = {
        1: {"standings": {"p-seed": Standing(ProblemState.ACTIVE, 0.75), "p-1": Standing(ProblemState.TOO_HARD, 0.25)}},
        2: {"problems": (new_problem(2, parent_id="p-1"),), "disagreements": (disagreement(2),),
            "skill_rounds": skill_rounds(2),
            "experiences": (experience(2),), "foretold": (foretold(2),),
            "standings": {"p-seed": Standing(ProblemState.MASTERED, 0.875)}},
    }  # fmt: skip
    with create(path) as store:
        store.note_held_out({"sums": (SEED, new_problem(9))})
        store.add_incarnation("a machine")
        for step in (1, 2):
            store.commit_step(step_commit(step, **config[step]))
        store.commit_evaluation(Evaluation(2, "sums", "full", {"acc_t1": 0.5, "acc_t1_low": 0.25, "acc_t2": 0.5}, "21"))
        store.commit_step(step_commit(3, pass_rates=(PassRate("p-seed", 2, 8, 0),)))
        store.rewind(2)
        store.commit_step(step_commit(3, proposals=(Proposal("p-2", 0, 0, "1 + 2", Fate.DUPLICATE, "p-seed", -1.0),)))
    with SqlStore.open_readonly(path) as made:
        yield made


def told(store: SqlStore, query: str) -> list[tuple[object, ...]]:
    return list(store.ask(query, 100, 10.0).rows)


def test_a_problems_history_has_what_each_step_measured_and_what_was_foretold(sample: SqlStore) -> None:
    query = "SELECT step, attempts, successes, pass_rate, foretold_before, foretold_rate, state FROM v_problem_history"
    assert told(sample, f"{query} WHERE problem_id = 'p-seed' ORDER BY step") == [
        (1, 7, 7, 1.0, None, 0.75, "ACTIVE"),
        (2, 7, 7, 1.0, 0.75, 0.875, "MASTERED"),
        (3, 7, 7, 1.0, 0.875, None, None),
    ]
    looks = "SELECT problem, kept, broken, fixed, missed FROM v_problem_history WHERE problem_id = 'p-1'"
    assert told(sample, looks) == [("1 + 40", 4, 1, 2, 1)]


def test_a_family_by_step_is_the_sum_of_its_problems(sample: SqlStore) -> None:
    query = "SELECT family, problems, attempts, successes, pass_rate, foretold_rate, fixed FROM v_family_by_step"
    assert told(sample, f"{query} WHERE step = 1 ORDER BY family") == [
        ("d+d", 1, 7, 7, 1.0, 0.75, 0),
        ("d+dd", 1, 8, 5, 0.625, 0.25, 2),
    ]


def test_a_problem_stands_where_its_last_step_left_it(sample: SqlStore) -> None:
    query = "SELECT problem_id, state, foretold_rate, last_step, attempts, successes FROM v_problems ORDER BY 1"
    assert told(sample, query) == [
        ("p-1", "TOO_HARD", 0.25, 1, 8, 5),
        ("p-2", None, None, 2, 8, 5),
        ("p-3", None, None, 3, 8, 5),
        ("p-seed", None, None, 3, 21, 21),
    ]


def test_proposals_have_their_parents_fates_and_pay(sample: SqlStore) -> None:
    query = "SELECT parent, said, fate, reward, problem_id, attempts, successes FROM v_proposals_paid"
    assert told(sample, f"{query} WHERE step = 1 ORDER BY target") == [
        ("1 + 2", "1 + + 2", "INVALID", None, None, None, None),
        ("1 + 2", "1 + 40", "ACCEPTED", 0.75, "p-1", 8, 5),
    ]
    # of a repetition the step measured the problem too, but not as what became of the proposal
    assert told(sample, f"{query} WHERE step = 3") == [("2 + 40", "1 + 2", "DUPLICATE", -1.0, "p-seed", None, None)]


def test_a_line_leads_from_the_root_on(sample: SqlStore) -> None:
    assert told(sample, "SELECT problem_id, parent, root, depth, path FROM v_lineage ORDER BY path") == [
        ("p-seed", None, "1 + 2", 0, "p-seed"),
        ("p-1", "1 + 2", "1 + 2", 1, "p-seed/p-1"),
        ("p-2", "1 + 40", "1 + 2", 2, "p-seed/p-1/p-2"),
        ("p-3", "1 + 2", "1 + 2", 1, "p-seed/p-3"),
    ]


def test_turns_have_their_problem_verdict_and_reward(sample: SqlStore) -> None:
    query = (
        "SELECT problem, right_answer, attempt, turn, said, answer, outcome, reward, error FROM v_turns WHERE step = 1"
    )
    assert told(sample, f"{query} ORDER BY problem_id, turn") == [
        ("1 + 40", "41", 0, 0, " 4", None, "TRUNCATED", -0.25, None),
        ("1 + 40", "41", 0, 1, " 41\n", "41", "CORRECT", 1.1, None),
        ("1 + 2", "3", 1, 0, " ?", None, "UNJUDGED", None, "reward Mine: ValueError: no"),
    ]


def test_rewards_are_told_by_role_turn_and_part(sample: SqlStore) -> None:
    query = "SELECT role, turn, number, mean_reward, most_reward, successes FROM v_rewards WHERE step = 1 ORDER BY 1, 2"
    assert told(sample, query) == [
        ("challenger", None, 1, 0.75, 0.75, None),
        ("solver", 0, 1, -0.25, -0.25, 0),
        ("solver", 1, 1, 1.1, 1.1, 1),
    ]
    query = "SELECT turn, part, number, mean_reward FROM v_reward_parts WHERE step = 1 ORDER BY 1, 2"
    found = told(sample, query)
    assert found == [(0, "length", 1, -0.25), (1, "correction", 1, pytest.approx(0.225)), (1, "verdict", 1, 0.875)]


def test_evaluations_figures_alarms_and_disagreements_stand_at_their_steps(sample: SqlStore) -> None:
    query = "SELECT step, set_name, problems, first_try, first_try_low, first_try_high, second_look FROM v_evaluations"
    assert told(sample, query) == [(2, "sums", 2, 0.5, 0.25, None, 0.5)]
    query = "SELECT step, problem, right_answer, first_right, last_right FROM v_held_out_answers ORDER BY position"
    assert told(sample, query) == [(2, "1 + 2", "3", 1, 0), (2, "9 + 40", "49", 0, 1)]
    assert told(sample, "SELECT step, value FROM v_metrics WHERE name = 'reward/mean' ORDER BY step") == [
        (1, 0.1), (2, 0.2), (3, pytest.approx(0.3)),
    ]  # fmt: skip
    query = "SELECT name, step, over_step, figure, text FROM v_alarms ORDER BY step"
    said = "half of it says the same"
    assert told(sample, query) == [("repetition", 1, 2, 0.5, said), ("repetition", 3, None, 0.5, said)]
    query = "SELECT step, problem, said, outcome, is_right, means FROM v_disagreements"
    assert told(sample, query) == [(2, "2 + 40", " 41\n", "CORRECT", 0, "by division")]
    query = "SELECT step, side, version, name, since_version, action FROM v_skills ORDER BY position"
    assert told(sample, query) == [(2, "SOLVER", 2, "carry", 1, "ADD"), (2, "SOLVER", 2, "sign", 2, "ADD")]
    query = "SELECT step, problem, state_index, state, action, next_state, is_expert, reflection FROM v_experiences"
    assert told(sample, query) == [(2, "2 + 40", 2, "4 + 5 =", "8", "4 + 5 is 9", 1, "it is. So: 9")]
    query = "SELECT step, problem, beta_mean, features_mean, features_strength, attempts, successes FROM v_foretold"
    assert told(sample, query) == [(2, "2 + 40", 0.25, 0.625, 2.25, 8, 5)]


def test_every_table_view_and_column_is_described_once_and_as_it_is() -> None:
    assert TABLES.keys() == metadata.tables.keys()
    used = set()
    for relation in relations():
        assert relation.description and not relation.description.endswith("."), relation.name
        for column in relation.columns:
            own = f"{relation.name}.{column.name}"
            used.add(own if own in COLUMNS else column.name)
            assert column.description and not column.description.removesuffix(" ...").endswith("."), own
    assert used == COLUMNS.keys()
    for table in tables():
        for column in table.columns:
            stored = metadata.tables[table.name].columns[column.name].type.python_type
            assert stored is STORED[column.kind], f"{table.name}.{column.name}"


def test_what_views_give_is_of_the_kind_that_is_said(sample: SqlStore) -> None:
    for view in views():
        rows = told(sample, f"SELECT * FROM {view.name}")
        assert rows, view.name
        for row in rows:
            for column, cell in zip(view.columns, row, strict=True):
                assert cell is None or type(cell) is STORED[column.kind], (view.name, column.name, cell)


def test_a_run_of_before_says_what_to_do_and_then_has_its_views(tmp_path: Path) -> None:
    path = tmp_path / "selfplay.db"
    engine = writer_engine(path, create=True, foreign_keys=False)
    upgrade(engine, "0010")
    with engine.begin() as connection:
        for statement in (
            "INSERT INTO steps (step_id, step, parent_step_id, status, policy_version, metrics, weights_digest, "
            "seconds) VALUES (1, 0, NULL, 'LIVE', 0, '{}', 'w0', 0.0)",
            "INSERT INTO runs VALUES (1, 'old', 0, 'seed: 0', 'c', 'code', 1)",
            "INSERT INTO problems VALUES ('p', 'sums', '1 + 2', '+1 +2', 'd+d', 1, '3', 'seed', 'SEED', NULL, 1, 0)",
            "CREATE VIEW problem_states AS SELECT problem_id, 'NEW' AS state FROM problems",
        ):
            connection.exec_driver_sql(statement)
    engine.dispose()
    with pytest.raises(Outdated, match="schema 0010, older than this code's"):
        SqlStore.open_readonly(path)
    migrate(path)
    with SqlStore.open_readonly(path) as store:
        assert told(store, "SELECT problem, state, attempts FROM v_problems") == [("1 + 2", "NEW", 0)]
    connection = sqlite3.connect(path)
    found = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'view'")}
    connection.close()
    assert found == VIEWS.keys()
    with Store.open(path) as opened:
        assert list(opened.damages()) == []
