"""The store keeps what it is given, all or nothing, and offers only the live branch."""

import dataclasses
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine, text
from sqlalchemy.event import listen, remove
from store_samples import (
    SEED,
    copy_new,
    create,
    disagreement,
    experience,
    foretold,
    new_problem,
    skill_picks,
    skill_rounds,
    step_commit,
    wave,
)

from store.encoding import (
    MAX_TEXT_CHARS,
    clean_text,
    is_storable,
    pack_ids,
    pack_logprobs,
    unpack_ids,
    unpack_logprobs,
)
from store.errors import StoreError
from store.records import Alarm, AlarmEvent, CheckpointRow, Evaluation, Fate, RunRow, StepHistory, StepStatus
from store.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(copy_new(tmp_path / "selfplay.db")) as made:
        yield made


def _committed(store: Store, last: int) -> Store:
    for step in range(store.head().step + 1, last + 1):
        store.commit_step(step_commit(step))
    return store


def test_a_new_run_has_the_base_model_as_head_and_the_seeds_as_problems(store: Store) -> None:
    assert store.run() == RunRow("sample", 2**40, "seed: 1\n", "config-digest", "code-digest", 1, 0)
    head = store.head()
    assert (head.step, head.policy_version, head.weights_digest, head.parent_step_id) == (0, 0, "weights-0", None)
    assert (head.journal_file, head.metrics) == (None, {})
    assert list(store.problems()) == [(SEED, 0)]


def test_many_seeds_are_written_in_a_few_statements(tmp_path: Path) -> None:
    """A dataset may have a hundred thousand."""
    seeds = tuple(new_problem(n, parent_id=None) for n in range(2500))
    said: list[str] = []

    def hear(*arguments: object) -> None:
        said.append(str(arguments[2]))

    listen(Engine, "before_cursor_execute", hear)
    try:
        with create(tmp_path / "selfplay.db", seeds=seeds) as store:
            assert [problem for problem, _ in store.problems()] == list(seeds)
    finally:
        remove(Engine, "before_cursor_execute", hear)
    assert 1 <= sum("problems" in statement for statement in said) < 50


def test_a_step_comes_back_as_it_was_committed(store: Store) -> None:
    bare = replace(experience(1), is_right=None, reflection=None, is_kept=None, place=4)
    more = {
        "skill_rounds": skill_rounds(1),
        "skill_picks": skill_picks(1),
        "experiences": (experience(1), bare),
        "foretold": (foretold(1),),
    }
    commit = step_commit(1, disagreements=(disagreement(1),), **more)
    row = store.commit_step(commit)
    assert row == store.head() == store.step(1) == store.steps()[-1]
    assert (row.step, row.parent_step_id, row.status, row.policy_version) == (1, 1, StepStatus.LIVE, 1)
    assert (row.metrics, row.seconds) == (commit.metrics, commit.seconds)
    assert (row.journal_file, row.journal_sha256) == (commit.journal_file, commit.journal_sha256)
    assert list(store.history()) == [
        StepHistory(0, 0, (SEED,), (), ()),
        StepHistory(1, 1, commit.problems, commit.proposals, commit.pass_rates),
    ]
    assert store.attempts("p-1") == [(1, commit.attempts[0])]
    assert store.attempts("p-seed") == [(1, commit.attempts[1])]
    assert store.search_nodes("p-1") == {1: list(commit.search_nodes)} and store.search_nodes("p-seed") == {}
    assert store.proposals() == [(1, proposal) for proposal in commit.proposals]
    assert store.alarms() == [(1, alarm) for alarm in commit.alarms]
    assert store.disagreements() == [(1, each) for each in commit.disagreements] != []
    assert store.experiences() == store.experiences(1) == [(1, each) for each in commit.experiences]
    assert store.experiences(2) == []
    assert store.skill_picks() == [(1, each) for each in skill_picks(1)]
    assert store.foretold() == [(1, foretold(1))]
    assert store.skill_rounds() == [(1, each) for each in commit.skill_rounds] != []
    assert store.tries(1, 1) == [(new_problem(1), [commit.attempts[0]]), (SEED, [commit.attempts[1]])]
    assert store.tries(2, 3) == []
    store.commit_step(step_commit(2, pass_rates=step_commit(2).pass_rates[1:]))  # p-2 was tried with help
    assert [problem.problem_id for problem, _ in store.tries(1, 2)] == ["p-1", "p-seed", "p-seed"]


def test_skills_are_those_of_the_live_branch(store: Store) -> None:
    for step in (1, 2):
        store.commit_step(step_commit(step, skill_rounds=skill_rounds(step)))
    store.rewind(1)
    assert store.skill_rounds() == [(1, each) for each in skill_rounds(1)]
    store.commit_step(step_commit(2, skill_rounds=skill_rounds(2)[:1]))
    assert store.skill_rounds()[-1] == (2, skill_rounds(2)[0]) and len(store.skill_rounds()) == 3
    assert list(store.damages()) == []
    with pytest.raises(StoreError):
        store.commit_step(step_commit(3, skill_rounds=(replace(skill_rounds(3)[1], parent_version=0),)))


def test_alarms_are_those_of_the_live_branch_in_order(store: Store) -> None:
    _committed(store, 3)
    two = Alarm("a", AlarmEvent.RAISED, 1.0, 0.5, "text \x00", "do"), Alarm("B", AlarmEvent.OVER, 1.0, 0.5, "text", "")
    store.rewind(1)
    store.commit_step(
        step_commit(2, problems=(), proposals=(), attempts=(), pass_rates=(), search_nodes=(), alarms=two)
    )
    first, *later = store.alarms()
    assert first == (1, step_commit(1).alarms[0])
    assert later == [(2, replace(two[0], text=clean_text(two[0].text))), (2, two[1])]
    with pytest.raises(StoreError, match="the figure of the alarm a"):
        store.commit_step(step_commit(3, alarms=(replace(two[0], figure=math.nan),)))
    assert len(store.alarms()) == 3 and list(store.damages()) == []


def test_history_streams_all_steps_in_order(store: Store) -> None:
    _committed(store, 130)  # more than two chunks
    assert [item.step for item in store.history()] == list(range(131))
    assert [item.problems[0].problem_id for item in store.history()][:3] == ["p-seed", "p-1", "p-2"]


def test_problems_are_paged_in_the_order_of_admission(store: Store) -> None:
    many = tuple(new_problem(1, problem_id=f"q{(i * 7919) % 2500:05d}") for i in range(2500))
    store.commit_step(step_commit(1, problems=(*many, new_problem(1))))
    assert [problem for problem, _ in store.problems()] == [SEED, *many, new_problem(1)]


def test_a_problem_is_found_by_a_unique_beginning_of_its_id(store: Store) -> None:
    _committed(store, 11)
    assert store.problem("p-s") == (SEED, 0)
    assert store.problem("p-1") == (new_problem(1), 1)  # whole id, though p-10 and p-11 start with it
    with pytest.raises(StoreError, match="more than one"):
        store.problem("p-")
    with pytest.raises(StoreError, match="no problem"):
        store.problem("x")


def test_proposals_are_filtered_and_the_limit_keeps_the_newest(store: Store) -> None:
    _committed(store, 3)
    assert [step for step, _ in store.proposals(fate=Fate.INVALID)] == [1, 2, 3]
    assert [p.fate for _, p in store.proposals(step=2)] == [Fate.ACCEPTED, Fate.INVALID]
    assert [(step, p.fate) for step, p in store.proposals(limit=3)] == [
        (2, Fate.INVALID),
        (3, Fate.ACCEPTED),
        (3, Fate.INVALID),
    ]


@pytest.mark.parametrize("step", [0, 1, 3])
def test_only_the_step_after_the_head_is_committed(store: Store, step: int) -> None:
    _committed(store, 1)
    before = store.table_digest()
    with pytest.raises(StoreError, match="the next step is 2"):
        store.commit_step(step_commit(step))
    assert store.table_digest() == before


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"metrics": {"a": 1.0, "loss/policy": float("nan")}}, "loss/policy"),
        ({"metrics": {"grad_norm": float("inf")}}, "grad_norm"),
        ({"seconds": float("nan")}, "seconds"),
        ({"problems": (SEED,)}, "p-seed was admitted at step 0 already"),
        ({"problems": (new_problem(1), new_problem(1))}, "no problem twice"),
        ({"problems": ()}, "breaks its rules"),  # attempts at a problem that is nowhere
        ({"journal_file": "../x"}, "no folder"),
    ],
)
def test_a_commit_that_is_refused_leaves_no_trace(store: Store, changes: dict[str, object], message: str) -> None:
    store.commit_wave(wave(1))
    before = store.table_digest()
    with pytest.raises(StoreError, match=message) as caught:
        store.commit_step(step_commit(1, **changes))
    assert "\n" not in str(caught.value)
    assert store.table_digest() == before and list(store.pending_waves(1)) == ["solver/0"]
    store.commit_step(step_commit(1))


def test_a_reward_that_is_not_a_number_is_refused_and_not_stored_as_null(store: Store) -> None:
    commit = step_commit(1)
    paid = dataclasses.replace(commit.proposals[0], reward=float("nan"))
    with pytest.raises(StoreError, match="reward of proposal 0 of target 1"):
        store.commit_step(dataclasses.replace(commit, proposals=(paid,)))


def test_waves_are_pending_until_their_step_consumes_them(store: Store) -> None:
    first, second = wave(1, "solver/1"), wave(1, "solver/0")
    assert store.commit_wave(first) == first
    store.commit_wave(second)
    assert list(store.pending_waves(1).items()) == [("solver/1", first), ("solver/0", second)]
    assert store.pending_waves(2) == {}
    store.commit_step(step_commit(1))
    assert store.pending_waves(1) == {} and store.pending_waves(2) == {}
    rows = _rows(store, "SELECT ids, logprobs, text FROM completions ORDER BY wave_id, position")
    assert rows == [(None, None, "")] * 2, "what a turn has as well is not kept twice"


def test_a_wave_of_another_step_or_with_a_pending_key_is_refused(store: Store) -> None:
    store.commit_wave(wave(1))
    with pytest.raises(StoreError, match="stored already"):
        store.commit_wave(wave(1))
    with pytest.raises(StoreError, match="the next step is 1"):
        store.commit_wave(wave(2))


def test_rewind_leaves_a_branch_behind_and_offers_nothing_of_it(store: Store) -> None:
    _committed(store, 3)
    for step in (2, 3):
        store.commit_evaluation(Evaluation(step, "add2", "full", {"acc_t1": 0.5}))
        store.commit_checkpoint(CheckpointRow(store.step(step).step_id, step, f"checkpoints/{step}", "m", "w"))
    store.commit_wave(wave(4))
    head = store.rewind(2)
    assert store.head() == head == store.step(2)
    assert [row.status for row in store.steps(include_abandoned=True)] == ["LIVE", "LIVE", "LIVE", "ABANDONED"]
    assert [row.step for row in store.steps()] == [0, 1, 2]
    assert [item.step for item in store.history()] == [0, 1, 2]
    assert [problem.problem_id for problem, _ in store.problems()] == ["p-seed", "p-1", "p-2"]
    assert store.attempts("p-3") == [] and store.proposals(step=3) == []
    assert [row.step for row in store.evaluations()] == [2]
    assert [row.step for row in store.checkpoints()] == [2]
    assert store.pending_waves(4) == {} and store.pending_waves(3) == {}
    with pytest.raises(StoreError, match="no step 3"):
        store.step(3)
    with pytest.raises(StoreError, match="no problem"):
        store.problem("p-3")


def test_a_new_branch_may_admit_the_same_problem_in_its_own_words(store: Store) -> None:
    _committed(store, 2)
    store.rewind(0)
    store.commit_wave(wave(1))  # the same key as a wave of the branch left behind may have had
    turned = new_problem(2, text="40 + 2")
    commit = step_commit(1, problems=(turned, new_problem(1)))
    store.commit_step(commit)
    assert list(store.problems()) == [(SEED, 0), (turned, 1), (new_problem(1), 1)]
    assert store.attempts("p-1") == [(1, commit.attempts[0])]
    assert [(item.step, item.problems) for item in store.history()] == [(0, (SEED,)), (1, commit.problems)]
    assert len(store.steps(include_abandoned=True)) == 4


def test_a_checkpoint_of_a_new_branch_takes_over_the_folder_of_the_old_one(store: Store) -> None:
    _committed(store, 1)
    old = CheckpointRow(store.head().step_id, 1, "checkpoints/step_000001", "m", "w")
    store.commit_checkpoint(old)
    store.rewind(0)
    _committed(store, 1)
    new = dataclasses.replace(old, step_id=store.head().step_id, manifest_sha256="n")
    store.commit_checkpoint(new)
    assert store.checkpoints() == [new]
    assert _rows(store, "SELECT manifest_sha256 FROM checkpoints") == [("n",)]


def test_the_waves_of_a_step_can_be_sampled_again_after_a_rewind(store: Store) -> None:
    store.commit_wave(wave(1))
    _committed(store, 1)
    store.commit_wave(wave(2))
    store.rewind(0)
    assert store.pending_waves(1) == {}
    store.commit_wave(wave(1))
    _committed(store, 1)
    assert store.pending_waves(2) == {}


def test_rewinding_to_the_head_keeps_its_pending_waves(store: Store) -> None:
    store.commit_wave(wave(1))
    store.rewind(0)
    assert store.pending_waves(1) == {"solver/0": wave(1)}


def test_rewinding_to_an_abandoned_or_unknown_step_is_refused(store: Store) -> None:
    _committed(store, 2)
    store.rewind(1)
    with pytest.raises(StoreError, match="no step 2: its head is at step 1"):
        store.rewind(2)


def test_an_evaluation_replaces_the_one_of_the_same_step_set_and_kind(store: Store) -> None:
    kept = Evaluation(0, "add2", "interim", {"acc_t1": 0.25})
    store.commit_evaluation(Evaluation(0, "add2", "full", {"acc_t1": 0.1}))
    store.commit_evaluation(kept)
    store.commit_evaluation(Evaluation(0, "add2", "full", {"acc_t1": 1 / 3}, "0123"))
    assert store.evaluations() == [Evaluation(0, "add2", "full", {"acc_t1": 1 / 3}, "0123"), kept]
    with pytest.raises(StoreError, match="no step 5"):
        store.commit_evaluation(Evaluation(5, "add2", "full", {}))
    with pytest.raises(StoreError, match="breaks its rules"):
        store.commit_evaluation(Evaluation(0, "add2", "sometimes", {}))


def test_checkpoints_are_offered_newest_first_until_deleted(store: Store) -> None:
    _committed(store, 2)
    rows = [CheckpointRow(store.step(s).step_id, s, f"checkpoints/{s}", f"m{s}", f"w{s}") for s in (1, 2)]
    for row in rows:
        store.commit_checkpoint(row)
    store.commit_checkpoint(dataclasses.replace(rows[1], manifest_sha256="again"))
    assert store.checkpoints() == [dataclasses.replace(rows[1], manifest_sha256="again"), rows[0]]
    store.delete_checkpoint(rows[1].step_id)
    store.delete_checkpoint(rows[1].step_id)
    assert store.checkpoints() == [rows[0]]
    with pytest.raises(StoreError, match="left behind"):
        store.commit_checkpoint(dataclasses.replace(rows[0], step_id=99))


def test_pruning_the_journal_clears_the_names_of_old_steps(store: Store) -> None:
    _committed(store, 3)
    assert store.prune_journal(3) == ["step_000001.safetensors", "step_000002.safetensors"]
    assert [(row.journal_file, row.journal_sha256) for row in store.steps()] == [
        (None, None),
        (None, "sha-1"),
        (None, "sha-2"),
        ("step_000003.safetensors", "sha-3"),
    ]
    assert store.prune_journal(3) == []


def test_incarnations_and_config_changes_are_kept(store: Store) -> None:
    made = [store.add_incarnation("torch 2.13", "first")]
    _committed(store, 1)
    made.append(store.add_incarnation("torch 2.11"))
    store.update_config("seed: 2\n", "other")
    assert store.incarnations() == made
    assert [(item.fingerprint, item.head_step, item.note) for item in made] == [
        ("torch 2.13", 0, "first"),
        ("torch 2.11", 1, ""),
    ]
    assert (store.run().config_yaml, store.run().config_digest) == ("seed: 2\n", "other")


def test_a_step_names_the_process_that_made_it_and_through_it_its_code_and_configuration(store: Store) -> None:
    for number in (1, 2):
        store.add_incarnation("torch", config_digest=f"config-{number}", code_digest=f"code-{number}")
        _committed(store, number)
        store.note_use(1.0, 9)
        store.note_use(number + 0.5, 10 * number)  # in place of what was noted before
    made = {each.incarnation_id: each for each in store.incarnations()}
    makers = [made[row.incarnation_id] for row in store.steps() if row.incarnation_id is not None]
    assert [(m.config_digest, m.code_digest) for m in makers] == [("config-1", "code-1"), ("config-2", "code-2")]
    assert [(m.seconds, m.peak_memory_bytes) for m in makers] == [(1.5, 10), (2.5, 20)]
    store.note_use(-1.0, 1)
    assert store.incarnations()[-1].seconds == 0.0, "a clock that goes back"


HOSTILE = [
    "\ud800 lone \udfff",
    "a\x00b",
    "x" * (MAX_TEXT_CHARS + 1),
    "\x00" * MAX_TEXT_CHARS,
    "'; DROP TABLE runs; --",
]


@pytest.mark.parametrize("said", HOSTILE)
def test_hostile_text_is_stored_cleaned_and_read_back_alike(store: Store, said: str) -> None:
    stored = store.commit_wave(wave(1, text=said))
    assert stored == store.pending_waves(1)["solver/0"] == wave(1, text=clean_text(said))
    commit = step_commit(1)
    turn = dataclasses.replace(commit.attempts[0].turns[0], text=said, answer=said)
    attempt = dataclasses.replace(commit.attempts[0], turns=(turn,))
    proposal = dataclasses.replace(commit.proposals[1], text=said)
    problem = new_problem(1, text=said, canonical=said, answer=said)
    store.commit_step(dataclasses.replace(commit, attempts=(attempt,), proposals=(proposal,), problems=(problem,)))
    [(_, read)] = store.attempts("p-1")
    assert read.turns[0].text == read.turns[0].answer == clean_text(said)
    assert store.proposals()[0][1].text == store.problem("p-1")[0].canonical == clean_text(said)


def test_clean_text_escapes_what_the_database_cannot_hold() -> None:
    assert clean_text("a\ud800b\x00c é") == "a\\ud800b\\x00c é"
    cut = clean_text("y" * 50_000)
    assert len(cut) == MAX_TEXT_CHARS and cut.endswith("y [cut]")


@given(st.text(alphabet=st.characters(), max_size=50), st.integers(0, 3))
def test_clean_text_is_idempotent_and_always_storable(said: str, times: int) -> None:
    cleaned = clean_text(said * 10**times)
    assert clean_text(cleaned) == cleaned and len(cleaned) <= MAX_TEXT_CHARS and is_storable(cleaned)
    assert is_storable(said) == (clean_text(said) == said)
    assert b"\x00" not in cleaned.encode("utf-8")


@given(st.lists(st.tuples(st.integers(0, 2**31 - 1), st.floats(max_value=0, allow_infinity=False))))
def test_ids_and_logprobs_come_back_exactly(tokens: list[tuple[int, float]]) -> None:
    ids, logprobs = tuple(i for i, _ in tokens), tuple(x for _, x in tokens)
    assert unpack_ids(pack_ids(ids)) == ids
    assert [x.hex() for x in unpack_logprobs(pack_logprobs(logprobs))] == [x.hex() for x in logprobs]


def test_ids_and_logprobs_that_cannot_be_kept_are_refused(store: Store) -> None:
    with pytest.raises(StoreError, match="out of range"):
        pack_ids([2**31])
    with pytest.raises(StoreError, match="not finite"):
        pack_logprobs([float("nan")])
    short = dataclasses.replace(wave(1).completions[1], logprobs=(-1.0,))
    with pytest.raises(StoreError, match="3 ids but 1 log-prob"):
        store.commit_wave(dataclasses.replace(wave(1), completions=(short,)))
    assert store.pending_waves(1) == {}


def _rows(store: Store, query: str) -> list[tuple[object, ...]]:
    with store._engine.begin() as connection:
        return [tuple(row) for row in connection.execute(text(query))]
