"""`python -m selfplay.evaluate`: a run's own figures again, files, comparisons, and every wrong argument in a line."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from looking import Look

from selfplay import api
from selfplay.evaluate import main
from selfplay.evaluation.formats import outcomes_text, read_searches
from selfplay.machine.errors import DATA, NO_MODEL, USAGE
from selfplay.stats.intervals import mcnemar, paired_interval

Evaluate = Callable[..., tuple[int, str, str]]
DOMAIN = "few_problems:AnyEnds"  # whose judge takes about half of what a tiny model babbles for right
QUICK = ("run.threads=1", "solver.max_tokens=8")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> api.RunResult:
    """Two steps, a checkpoint after each, and its own evaluations with a search."""
    folder = tmp_path_factory.mktemp("runs")
    keys = [
        "configs/tiny.yaml", f"run.dir={folder}", "run.name=small", "run.threads=1", "run.steps=2", "seed=7",
        "run.checkpoint_every=1", f"domain={DOMAIN}", "evaluate.search_tokens=24", "evaluate.pass_size=20",
        "solver.problems=3", "challenger.source=none",
    ]  # fmt: skip
    return api.run(keys)


@pytest.fixture
def evaluate(look: Look) -> Evaluate:
    """The command in this process: (exit code, standard output, standard error)."""
    return partial(look, main=main)


@pytest.fixture
def questions(tmp_path: Path) -> Path:
    path = tmp_path / "questions.jsonl"
    path.write_text("".join(json.dumps({"question": f"{a} plus 1?", "answer": str(a + 1)}) + "\n" for a in range(6)))
    return path


@pytest.mark.parametrize(("named", "step"), [("@0", 0), ("", 2)])
def test_the_figures_of_a_runs_own_evaluation_come_again(run: api.RunResult, named: str, step: int) -> None:
    report = api.evaluate(
        f"{run.folder}{named}", DOMAIN, samples=4, keys=["evaluate.search_tokens=24", "run.threads=1"]
    )
    own = {each.set_name: each for each in run.evaluations if (each.step, each.kind) == (step, "full")}
    assert (report.model.step, len(report.model.sets)) == (step, len(own))
    for found in report.model.sets:
        stored = own[found.set_name.removeprefix("arithmetic:")]
        figures = stored.metrics
        said = outcomes_text((each.has_first_right, each.has_last_right) for each in found.problems)
        assert said == stored.outcomes and len(set(said)) > 1
        assert found.first_try == tuple(figures[f"acc_t1{end}"] for end in ("", "_low", "_high"))
        assert found.second_look == tuple(figures[f"acc_t2{end}"] for end in ("", "_low", "_high"))
        assert (found.fixed, found.broken) == (figures["i2c"], figures["c2i"])
        assert found.pass_at_k[4] == pytest.approx(tuple(figures[f"pass_at_4{end}"] for end in ("", "_low", "_high")))
        assert found.pass_at_k[1].value == pytest.approx(figures["pass_at_1"])
        spent = [(each.search_tokens, each.best_of_tokens) for each in found.problems]
        assert spent == [(each.search_tokens, each.best_of_tokens) for each in read_searches(stored.searches)]


def test_two_steps_of_a_run_are_compared_problem_by_problem(
    run: api.RunResult, evaluate: Evaluate, tmp_path: Path
) -> None:
    out = tmp_path / "outcomes.jsonl"
    code, said, heard = evaluate(
        "small", "--dir", run.folder.parent, "--set", f"{DOMAIN}:add1", "--against", "small@0", "--samples", 2,
        "--json", "--out", out, "run.threads=1",
    )  # fmt: skip
    assert code == 0 and "at step 2" in heard and "began with, tiny-llama" in heard
    report = json.loads(said)
    assert [(row["model"], row["step"]) for row in (report["model"], report["against"])] == [
        ("small", 2),
        ("small@0", 0),
    ]
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    first = {
        name: [row["turns"][0]["outcome"] == "CORRECT" for row in rows if row["model"] == name]
        for name in ("small", "small@0")
    }
    pairs = list(zip(*first.values(), strict=True))
    found = next(each for each in report["compared"] if each["figure"] == "first try")
    counts = [found["both"], found["only_first"], found["only_second"], found["neither"]]
    assert counts == [pairs.count(pair) for pair in ((True, True), (True, False), (False, True), (False, False))]
    assert found["difference"] == list(paired_interval(counts[1], counts[2], 6)) and sum(counts) == 6
    assert found["p_value"] == mcnemar(counts[1], counts[2])
    assert {row["num_samples"] for row in rows} == {2} and len(rows) == 12


def test_a_file_is_evaluated_whole_and_shown(questions: Path, evaluate: Evaluate) -> None:
    code, said, heard = evaluate("tiny-llama", "--set", questions, "--samples", 2, "--turns", 1, *QUICK)
    assert code == 0 and "questions.jsonl: 6 problems, greedy ..." in heard
    assert "first try, greedy" in said and "pass@2" in said and "second look" not in said
    assert evaluate("tiny-llama", "--set", questions, "--limit", 4, *QUICK, "--json")[1].count('"num_problems": 4') == 1


def test_a_file_of_one_question_is_enough(tmp_path: Path) -> None:
    (tmp_path / "one.jsonl").write_text('{"question": "1 + 1?", "answer": "2"}\n')
    [found] = api.evaluate("tiny-llama", str(tmp_path / "one.jsonl"), keys=QUICK).model.sets
    assert (found.set_name, found.num_problems, found.problems[0].answer) == ("one.jsonl", 1, "2")


@pytest.mark.parametrize(
    ("arguments", "code", "line"),
    [
        (["tiny-llama"], USAGE, "tiny-llama is a model: say what to evaluate it on, such as --set FILE.jsonl"),
        (["RUN@5"], USAGE, "no such checkpoint is kept. Steps that are: 0 (the start), 1, 2"),
        (["RUN"], USAGE, f"names code to run, domain={DOMAIN}: if that is yours, add --set {DOMAIN}"),
        (["nobody@3", "--set", "sums"], USAGE, "nobody@3: there is no run nobody"),
        (["./nowhere", "--set", "sums"], NO_MODEL, "model.name=./nowhere"),
        (["tiny-llama", "--set", "sums:add9"], USAGE, "--set sums:add9: the sets of sums are add1, add2, add3, add4"),
        (["tiny-llama", "--set", "sums:"], USAGE, "--set sums:: nothing stands behind the colon"),
        (["tiny-llama", "--set", "sums", "--against", "./nowhere"], NO_MODEL, "model.name=./nowhere"),
        (["tiny-llama", "--set", "gone.jsonl"], USAGE, "gone.jsonl cannot be read"),
        (["tiny-llama", "--set", "sums", "--option", "digits"], USAGE, "--option digits: give KEY=VALUE"),
        (["tiny-llama", "--set", "sums", "solver.turn=1"], USAGE, "did you mean solver.turns?"),
        (["tiny-llama", "--set", "sums", "domain=sums"], USAGE, "--set and --option name the problems"),
        (["tiny-llama", "--set", "sums", "--out", "x.csv"], USAGE, "give a file that ends in .jsonl or .parquet"),
        (["tiny-llama", "--set", "sums", "--out", "gone/x.jsonl"], USAGE, "its folder is not there"),
    ],
)
def test_a_wrong_argument_is_one_line(
    arguments: list[str], code: int, line: str, run: api.RunResult, evaluate: Evaluate
) -> None:
    found, said, heard = evaluate(*(each.replace("RUN", str(run.folder)) for each in arguments))
    assert (found, said) == (code, "") and line in heard
    assert heard.startswith("error: ") and heard.count("\n") == 1


def test_damaged_weights_are_passed_over_for_older_ones(run: api.RunResult, evaluate: Evaluate) -> None:
    masters = run.folder / "checkpoints" / "step_000002" / "trainer-master.safetensors"
    whole = masters.read_bytes()
    masters.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    try:
        arguments = ("--set", f"{DOMAIN}:add1", "--turns", 1, "run.threads=1")
        code, said, heard = evaluate(run.folder, *arguments, "--json")
        assert code == 0 and json.loads(said)["model"]["step"] == 1
        assert "passed over a checkpoint: checkpoints/step_000002/trainer-master.safetensors is damaged" in heard
        assert evaluate(f"{run.folder}@2", *arguments)[0] == DATA
    finally:
        masters.write_bytes(whole)
