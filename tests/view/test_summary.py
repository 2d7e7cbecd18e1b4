"""summary.json, the issue's contract: every figure by hand, from a small store that is written here."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from store_samples import create, step_commit

from selfplay.view.summary import summarise
from store.records import Evaluation
from store.store import Store

BEFORE = {"acc_t1": 0.25, "acc_t2": 0.5, "delta": 0.25, "i2c": 0.5, "pass_at_8": 0.123456}
AFTER = {"acc_t1": 0.75, "acc_t2": 0.5, "delta": -0.25, "i2c": 0.25, "pass_at_8": 1.0}


def metrics(signal: float, proposals: int, valid: int, trained: int, own: int) -> dict[str, float]:
    """Of one step: `valid` of `proposals` were valid and new, `own` of `trained` groups were the challenger's."""
    return {
        "curriculum/signal_share": signal, "curriculum/mixed_share": signal / 2, "challenger/proposals": proposals,
        "challenger/valid_new": valid, "curriculum/trained": trained, "curriculum/trained_challenger": own,
        "tokens/computed": 100.0 + proposals, "tokens/flat": 2000.0 + proposals,
    }  # fmt: skip


STEPS = (  # thirds of seven steps are two, two and three
    metrics(0.5, proposals=10, valid=2, trained=4, own=1),
    metrics(0.7, proposals=30, valid=10, trained=4, own=1),
    metrics(0.2, proposals=10, valid=10, trained=4, own=4),
    metrics(0.4, proposals=10, valid=10, trained=4, own=4),
    metrics(0.1, proposals=8, valid=8, trained=1, own=0),
    metrics(0.2, proposals=0, valid=0, trained=0, own=0),
    metrics(0.6, proposals=8, valid=4, trained=9, own=8),
)


def summary(store: Store) -> dict[str, Any]:
    """As a reader of the file gets it."""
    found: dict[str, Any] = json.loads(json.dumps(summarise(store)))
    return found


def commit(store: Store, step: int, measured: dict[str, float]) -> None:
    store.commit_step(step_commit(step, problems=(), proposals=(), attempts=(), pass_rates=(), search_nodes=(),
                                  metrics=measured))  # fmt: skip


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """Seven steps, a set evaluated whole before and after, and once in between on a part of it."""
    with create(tmp_path / "selfplay.db") as store:
        store.commit_evaluation(Evaluation(0, "add2", "full", BEFORE, outcomes="3100"))
        for number, measured in enumerate(STEPS, start=1):
            commit(store, number, measured)
            if number == 4:
                store.commit_evaluation(Evaluation(4, "add2", "interim", {"acc_t1": 0.99}, outcomes="33"))
        store.commit_evaluation(Evaluation(7, "add2", "full", AFTER, outcomes="3220"))
        yield store


def test_the_contract_of_summary_json(store: Store) -> None:
    found = summary(store)
    assert found["steps"] == 7
    assert found["tokens"] == {"computed": 776, "flat": 14076}  # 7 x 100 and 7 x 2000, and 76 proposals
    assert found["signal_share_thirds"] == [0.6, 0.3, 0.3]  # (0.5 + 0.7) / 2, (0.2 + 0.4) / 2, (0.1 + 0.2 + 0.6) / 3
    assert found["mixed_share_thirds"] == [0.3, 0.15, 0.15]
    assert found["challenger"] == {
        "valid_new_share_first_third": 0.3,  # 12 of 40 proposals: not the mean of 2/10 and 10/30
        "valid_new_share_last_third": 0.75,  # 12 of 16
        "trained_share_last_third": 0.8,  # 8 of 10 groups
    }
    assert found["frontier_thirds"] == [0, 0, 0]  # nothing was attempted
    assert {"seconds", "peak_memory_bytes"} < found.keys()


def test_before_and_after_are_the_whole_evaluations_at_the_ends(store: Store) -> None:
    found = summary(store)
    assert found["evaluation"] == {"before": {"add2": BEFORE | {"pass_at_8": 0.1235}}, "after": {"add2": AFTER}}
    # first tries 1000 -> 1110: +1/2 on average; second looks 1100 -> 1000: -1/4
    assert [found["change"]["add2"][turn][0] for turn in ("acc_t1", "acc_t2")] == [0.5, -0.25]
    mean, low, high = found["change"]["add2"]["acc_t1"]
    assert low < mean < high


def test_what_a_rewind_left_behind_is_not_counted(store: Store) -> None:
    store.rewind(6)
    commit(store, 7, metrics(0.9, proposals=2, valid=1, trained=10, own=1))
    found = summary(store)
    assert found["steps"] == 7
    assert found["signal_share_thirds"] == [0.6, 0.3, 0.4]
    assert found["challenger"]["valid_new_share_last_third"] == 0.9  # 9 of 10
    assert found["challenger"]["trained_share_last_third"] == 0.0909  # 1 of 11
    assert found["evaluation"]["after"] == {}, "step 7 is another one now, and is not evaluated yet"


def test_a_run_that_has_only_begun_has_a_summary(tmp_path: Path) -> None:
    with create(tmp_path / "selfplay.db") as store:
        store.commit_evaluation(Evaluation(0, "add2", "full", BEFORE, outcomes="3100"))
        found = summary(store)
    assert found["evaluation"] == {"before": {"add2": BEFORE | {"pass_at_8": 0.1235}}, "after": {}}
    assert (found["steps"], found["change"], found["signal_share_thirds"]) == (0, {}, [0.0, 0.0, 0.0])
    assert found["tokens"] == {"computed": 0, "flat": 0}
    assert set(found["challenger"].values()) == {0.0}


def test_small_sets_are_pooled_and_say_what_they_can_show(store: Store) -> None:
    """Case 12: of a set of 18 six must be lost before its interval leaves 0 out; of all sets together six of many."""
    store.commit_evaluation(Evaluation(0, "mul1", "full", BEFORE, outcomes="2" * 18))
    store.commit_evaluation(Evaluation(7, "mul1", "full", AFTER, outcomes="2" * 15 + "000"))
    found = summary(store)
    assert found["smallest_fall"] == {"add2": 1.0, "mul1": 0.3333}
    assert found["change"]["mul1"]["acc_t1"][0] == pytest.approx(-3 / 18, abs=1e-4)
    assert found["change"]["mul1"]["acc_t1"][2] > 0.0
    assert found["change_of_all"]["acc_t1"][0] == pytest.approx((2 - 3) / 22, abs=1e-4)
