"""Solver and challenger, driven by a scripted engine of strings: what they ask for and what is made of it."""

from scripted_roles import DOMAIN, PARAMS, ScriptedEngine, problem

from curriculum.domains.abilities import ability
from curriculum.domains.protocol import Prompted
from roles.challenger import propose
from roles.judging.groups import JudgeSettings, judge_group, pass_rate
from roles.prompts import PromptStyle
from roles.solver import SolverSettings, attempt
from store.records import Outcome, PassRate

STYLE = PromptStyle(ability(DOMAIN, Prompted))
PROBLEM = problem("23 + 45")
SCRIPT = {"solver/0": [" 68\n", " 67\n", " 68\n"], "solver/1": [" 68\n", " 68\n", " 69\n"]}


def test_a_scripted_game_of_two_turns() -> None:
    engine = ScriptedEngine(SCRIPT)
    solved = engine.drive(attempt(PROBLEM, STYLE, SolverSettings(3, 2, PARAMS), step=7))

    first, *looks = engine.asked
    name = PROBLEM.problem_id
    assert (first.parent, first.prompt, first.n) == (None, STYLE.solver(PROBLEM), 3)
    assert (first.key, first.label) == (("solver", 7, name, 0), "solver/0")
    assert [(s.prompt, s.n, s.label) for s in looks] == [("Recheck: 23 + 45 =", 1, "solver/1")] * 3
    assert [s.key for s in looks] == [("solver", 7, name, 1, i) for i in range(3)]
    assert [s.parent for s in looks] == [turns[0].node for turns in solved.attempts]
    assert all(s.params == PARAMS for s in engine.asked)

    said = [[engine.text_to(s.node).removeprefix(STYLE.solver(PROBLEM)) for s in turns] for turns in solved.attempts]
    assert said == [
        [" 68\n", " 68\nRecheck: 23 + 45 = 68\n"],
        [" 67\n", " 67\nRecheck: 23 + 45 = 68\n"],
        [" 68\n", " 68\nRecheck: 23 + 45 = 69\n"],
    ]

    group = judge_group(solved, STYLE.domain, STYLE.visible, JudgeSettings(), step=7)
    right, wrong = Outcome.CORRECT, Outcome.INCORRECT
    said_of = [[turn.outcome for turn in attempt.turns] for attempt in group.attempts]
    assert said_of == [[right, right], [wrong, right], [right, wrong]]
    assert [a.rewards() for a in group.judged] == [(1.0, 1.0), (0.0, 1.0), (1.0, 0.0)]
    assert [[t.answer for t in a.turns] for a in group.attempts] == [["68", "68"], ["67", "68"], ["68", "69"]]
    assert pass_rate(group, policy_version=6) == PassRate(name, 6, 3, 2, kept=1, broken=1, fixed=1, missed=0)


def test_attempts_that_said_the_same_share_their_nodes_in_the_tree() -> None:
    engine = ScriptedEngine(SCRIPT)
    solved = engine.drive(attempt(PROBLEM, STYLE, SolverSettings(3, 2, PARAMS), step=7))
    firsts = [turns[0].node for turns in solved.attempts]
    assert firsts[0] == firsts[2] != firsts[1]
    # prompt; " 6", "8\n", "7\n"; the second look's prompt twice; " 6" twice; "8\n" twice and "9\n"
    prompts = len(STYLE.solver(PROBLEM)) + 2 * len("Recheck: 23 + 45 =")
    assert len(engine.tree) == prompts + (2 + 2 + 2) + (2 + 2 + 2) + (2 + 2)


def test_one_turn_asks_once_and_group_size_can_be_raised_for_one_problem() -> None:
    engine = ScriptedEngine({"solver/0": [" 1\n", " 2\n", " 3\n", " 4\n"]})
    solved = engine.drive(attempt(PROBLEM, STYLE, SolverSettings(2, 1, PARAMS), 1, group_size=4))
    assert [s.n for s in engine.asked] == [4]
    assert [len(turns) for turns in solved.attempts] == [1, 1, 1, 1]


def test_every_further_turn_continues_the_one_before() -> None:
    engine = ScriptedEngine({"solver/0": [" 1\n"], "solver/1": [" 2"], "solver/2": [" 3\n"]})
    solved = engine.drive(attempt(PROBLEM, STYLE, SolverSettings(1, 3, PARAMS), 1))
    [turns] = solved.attempts
    asked = "Recheck: 23 + 45 ="
    assert engine.text_to(turns[2].node) == f"{STYLE.solver(PROBLEM)} 1\n{asked} 2\n{asked} 3\n"


def test_no_two_requests_of_a_run_share_a_key() -> None:
    keys = []
    for role in ("solver", "evaluation"):
        for step in (1, 2):
            for each in (PROBLEM, problem("3 + 4")):
                engine = ScriptedEngine(SCRIPT)
                engine.drive(attempt(each, STYLE, SolverSettings(3, 2, PARAMS, role), step))
                keys += [s.key for s in engine.asked]
    for group in (0, 1):  # the same parent may be asked twice in a step
        engine = ScriptedEngine({"challenger": [" 1\n"]})
        engine.drive(propose(PROBLEM, group, STYLE, 1, PARAMS, 1))
        keys += [s.key for s in engine.asked]
    assert len(set(keys)) == len(keys) == 2 * 2 * 2 * 4 + 2


def test_the_challenger_asks_once_for_a_group_of_proposals() -> None:
    engine = ScriptedEngine({"challenger": [" 23 + 145\n", " 99 * 2\n"]})
    proposed = engine.drive(propose(PROBLEM, 3, STYLE, 2, PARAMS, step=5))
    [asked] = engine.asked
    assert (asked.parent, asked.prompt, asked.n) == (None, STYLE.challenger(PROBLEM), 2)
    assert (asked.key, asked.label) == (("challenger", 5, 3, PROBLEM.problem_id), "challenger")
    assert (proposed.group, proposed.parent) == (3, PROBLEM)
    assert [s.completion.text for s in proposed.proposals] == [" 23 + 145\n", " 99 * 2\n"]
