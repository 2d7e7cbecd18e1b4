"""Skills in a run: both sides write with scripted words, prompts show them, a killed run goes on bit for bit."""

import json
import signal
from pathlib import Path
from typing import Any

import pytest
from looking import Look
from run_server import Ended, Server
from scripted_skills import ASKED, SMALL, SPOKEN

from store.records import RoundOutcome, Side
from store.store import Store

KILLED = -signal.SIGKILL
WRITTEN, UNPARSED = RoundOutcome.WRITTEN, RoundOutcome.UNPARSED


def start(server: Server, directory: Path, *more: str, fault: str = SPOKEN, **environment: str) -> Ended:
    ended = server.run([*SMALL, f"run.dir={directory}", *more], environment=environment, fault=fault)
    assert ended.code in (0, KILLED), ended.output
    return ended


def result(directory: Path) -> tuple[str, list[str]]:
    with Store.open_readonly(directory / "x" / "selfplay.db") as store:
        return store.table_digest(), [row.weights_digest for row in store.steps()]


def asked(directory: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (directory / "asked.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def whole(server: Server, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Ended]:
    directory = tmp_path_factory.mktemp("whole")
    return directory, start(server, directory, **{ASKED: str(directory / "asked.jsonl")})


def test_both_sides_write_add_and_merge_and_what_cannot_be_read_is_counted(whole: tuple[Path, Ended]) -> None:
    directory, ended = whole
    with Store.open_readonly(directory / "x" / "selfplay.db") as store:
        rounds, steps = store.skill_rounds(), store.steps(after=0)
        tries = {step: store.tries(step, step) for step in range(1, 5)}
    outcomes = {(step, each.side): each.outcome for step, each in rounds}
    challengers = [outcomes[step, Side.CHALLENGER] for step in (2, 3, 4, 5)]
    assert challengers == [WRITTEN, UNPARSED, UNPARSED, WRITTEN]
    assert [outcomes[step, Side.SOLVER] for step in (2, 3, 4, 5)] == [WRITTEN, WRITTEN, WRITTEN, UNPARSED]
    newest = {each.side: each.written for _, each in rounds if each.written is not None}
    assert [(skill.name, skill.body, skill.since) for skill in newest[Side.SOLVER].skills] == [
        ("one", "solver third", 3), ("two", "solver second", 2),
    ]  # fmt: skip
    assert [(skill.body, skill.since) for skill in newest[Side.CHALLENGER].skills] == [("challenger fifth", 2)]
    for step, each in rounds:  # of what the step before has tried, and never of one problem for both
        ids = {problem.problem_id for problem, _ in tries[step - 1]}
        assert 1 <= len(each.cases) <= 2 and set(each.cases) <= ids
    for step in (2, 3, 4, 5):
        one, other = (set(each.cases) for at, each in rounds if at == step)
        assert not one & other
    figures = [row.metrics for row in steps]
    assert [row["skills/rounds"] for row in figures] == [0, 2, 2, 2, 2]
    assert [row.get("skills/written") for row in figures] == [None, 2, 1, 1, 1]
    assert [row["skills/version_solver"] for row in figures] == [0, 1, 2, 3, 3]
    assert [row.get("skills/shown_solver") for row in figures] == [None, 1, 2, 2, 2]
    assert figures[1]["skills/tokens_solver"] == len("- one: solver first")
    assert "skills    solver version 2: one, two" in ended.output


def test_each_side_is_shown_its_own_set_and_cases_alone(whole: tuple[Path, Ended]) -> None:
    directory, _ = whole
    seen = asked(directory)
    steps = {"solver": set(), "challenger": set()}  # type: dict[str, set[int]]
    for row in seen:
        of_solver = "solver/" in row["label"] or "SOLVER" in row["key"]
        own, others = ("solver", "challenger") if of_solver else ("challenger", "solver")
        assert f"{others} f" not in row["prompt"] and f"{others} s" not in row["prompt"], row
        if "one: " in row["prompt"] and row["key"][0] == own:
            steps[own].add(row["key"][1])
    assert steps == {"solver": {2, 3, 4, 5}, "challenger": {2, 3, 4, 5}}
    third = next(row["prompt"] for row in seen if row["key"][:2] == ["solver", 3])
    assert "Skills:\n- one: solver first\n- two: solver second\n" in third
    with Store.open_readonly(directory / "x" / "selfplay.db") as store:
        texts = {problem.problem_id: problem.text for problem, _ in store.problems()}
        rounds = {(step, each.side.value): each.cases for step, each in store.skill_rounds()}
    for row in seen:
        if row["label"] == "skills/propose":
            _, step, side, _ = row["key"]
            other = "SOLVER" if side == "CHALLENGER" else "CHALLENGER"
            assert all(f'- "{texts[each]}"' in row["prompt"] for each in rounds[step, side])
            assert not any(f'- "{texts[each]}"' in row["prompt"] for each in rounds[step, other])


def test_evaluations_show_the_solvers_set_by_key(whole: tuple[Path, Ended], server: Server, tmp_path: Path) -> None:
    def at_the_end(directory: Path) -> list[str]:
        return [row["prompt"] for row in asked(directory) if row["key"][:2] == ["evaluation", 5]]

    assert at_the_end(whole[0]) and all("one: solver third" in prompt for prompt in at_the_end(whole[0]))
    start(server, tmp_path, "skills.evaluate=false", **{ASKED: str(tmp_path / "asked.jsonl")})
    assert at_the_end(tmp_path) and not any("Skills:" in prompt for prompt in at_the_end(tmp_path))
    assert result(tmp_path)[1] == result(whole[0])[1]


@pytest.mark.slow
def test_a_killed_run_goes_on_bit_for_bit(whole: tuple[Path, Ended], server: Server, tmp_path: Path) -> None:
    """Killed behind the proposers' wave, behind the generators', within the step and behind its commit."""
    start(server, tmp_path, SELFPLAY_KILL_AT="wave.committed:3")
    for point in ("wave.committed:1", "loop.rolled_out:1", "loop.committed:1", "wave.inserted:1", "loop.updated:1"):
        ended = server.run(
            ["--resume", "x", f"run.dir={tmp_path}"], environment={"SELFPLAY_KILL_AT": point}, fault=SPOKEN
        )
        assert ended.code == KILLED, ended.output
    ended = server.run(["--resume", "x", f"run.dir={tmp_path}"], fault=SPOKEN)
    assert ended.code == 0, ended.output
    assert result(tmp_path) == result(whole[0])


def test_a_rewound_run_has_the_sets_of_its_checkpoint(server: Server, tmp_path: Path) -> None:
    start(server, tmp_path, SELFPLAY_KILL_AT="loop.committed:3")
    ended = server.run(["--resume", "x", f"run.dir={tmp_path}", "resume.mode=rewind", "run.steps=2"], fault=SPOKEN)
    assert ended.code == 0, ended.output
    with Store.open_readonly(tmp_path / "x" / "selfplay.db") as store:
        assert {step for step, _ in store.skill_rounds()} == {2}


def test_a_model_that_cannot_write_leaves_the_run_as_it_is(server: Server, tmp_path: Path) -> None:
    """A random model keeps to no form: each round is counted, and nothing else of the run moves."""
    for name, key in (("on", "skills.every=2"), ("off", "skills.every=0")):
        start(server, tmp_path / name, key, fault="")
    assert result(tmp_path / "on")[1] == result(tmp_path / "off")[1]
    with Store.open_readonly(tmp_path / "on" / "x" / "selfplay.db") as store:
        rounds = store.skill_rounds()
        assert {step for step, _ in rounds} == {3, 5} and all(each.written is None for _, each in rounds)
        assert {each.outcome for _, each in rounds} <= {UNPARSED, RoundOutcome.TRUNCATED}
    with Store.open_readonly(tmp_path / "off" / "x" / "selfplay.db") as store:
        assert store.skill_rounds() == [] and "skills/rounds" not in store.head().metrics


@pytest.mark.slow
def test_skills_that_leave_no_room_are_left_out_and_that_is_said(server: Server, tmp_path: Path) -> None:
    """A model of 1,024 positions, and answers that leave room for one of two skills."""
    ended = start(server, tmp_path, "solver.max_tokens=934", "run.steps=3")
    assert "skills    step 3: the 1 oldest of the solver's are not shown" in ended.output
    with Store.open_readonly(tmp_path / "x" / "selfplay.db") as store:
        figures = store.head().metrics
    assert (figures["skills/shown_solver"], figures["skills/left_out_solver"]) == (1, 1)


PICKING = ("skills.pick=true", "probes.size=4", "run.steps=6")


@pytest.mark.slow
def test_probes_pick_the_solvers_set_and_a_killed_run_picks_the_same(
    server: Server, tmp_path: Path, look: Look
) -> None:
    """Scripted sets and a random model: versions differ by little, so the newest of equal ones is mostly shown; what is
    shown is what the rows say, and what the next round begins with."""
    start(server, tmp_path / "whole", *PICKING, **{ASKED: str(tmp_path / "asked.jsonl")})
    start(server, tmp_path / "cut", *PICKING, SELFPLAY_KILL_AT="loop.rolled_out:4")
    ended = server.run(["--resume", "x", f"run.dir={tmp_path / 'cut'}"], fault=SPOKEN)
    assert ended.code == 0 and result(tmp_path / "cut") == result(tmp_path / "whole"), ended.output
    with Store.open_readonly(tmp_path / "whole" / "x" / "selfplay.db") as store:
        picks, rounds, steps = store.skill_picks(), store.skill_rounds(), store.steps(after=0)
    written = [step for step, each in rounds if each.side is Side.SOLVER and each.written is not None]
    assert sorted({step for step, _ in picks}) == written and {each.version for _, each in picks} >= {0, 1}
    used = {step: each for step, each in picks if each.used_as is not None}
    for step, best in used.items():
        rows = [each for at, each in picks if at == step]
        assert best.product == max(each.product for each in rows) and best.hard + best.easy > 0
        assert steps[step - 1].metrics["skills/version_solver"] == best.used_as
    code, output, _ = look("skills", str(tmp_path / "whole" / "x"))
    assert code == 0 and "shown from then on" in output


def test_inspect_shows_sets_and_rounds(whole: tuple[Path, Ended], look: Look) -> None:
    folder = str(whole[0] / "x")
    code, output, _ = look("skills", folder, "--json")
    found = json.loads(output)
    assert code == 0 and [each["side"] for each in found["sets"]] == ["CHALLENGER", "SOLVER"]
    assert found["sets"][1] == {
        "side": "SOLVER", "version": 3, "skills": [
            {"name": "one", "body": "solver third", "since_step": 4},
            {"name": "two", "body": "solver second", "since_step": 3},
        ],
    }  # fmt: skip
    assert [each["outcome"] for each in found["rounds"] if each["side"] == "CHALLENGER"] == [
        "WRITTEN", "UNPARSED", "UNPARSED", "WRITTEN",
    ]  # fmt: skip
    code, output, _ = look("skills", folder)
    assert code == 0 and "solver third" in output and "challenger, version 2: 1 skills" in output
