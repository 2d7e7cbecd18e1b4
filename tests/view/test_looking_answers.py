"""What inspect's tables, pictures and prompts say: that a reader is not misled by them (case 16)."""

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest
from store_samples import SEED, create, new_problem, step_commit

from curriculum.domains.abilities import ability
from curriculum.domains.loading import load_domain
from curriculum.domains.protocol import Prompted
from curriculum.settings import CurriculumSettings
from curriculum.tracking.difficulty import Tracker
from roles.prompts import PromptStyle
from selfplay.config.files import load, to_yaml
from selfplay.config.keys import Config
from selfplay.view.summary import summarise
from store.records import Attempt, Evaluation, Finish, Outcome, PassRate, StepHistory, Turn
from store.store import Store

Look = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run's folder in a folder of runs: two steps, the second with long answers."""
    folder = tmp_path / "runs" / "sample"
    long = Turn("9" * 5000, "9", Outcome.INCORRECT, Finish.LENGTH, 7, 0.0)
    with create(folder / "selfplay.db", config_yaml="run: {steps: 9}") as store:
        store.commit_step(step_commit(1))
        attempts = (Attempt("p-2", 0, (long, long), 1, 1),)
        store.commit_step(step_commit(2, attempts=attempts, search_nodes=(), pass_rates=(PassRate("p-2", 1, 3, 0),)))
    return folder


@pytest.mark.parametrize(
    ("name", "begins"), [("x.png", b"\x89PNG"), ("x.svg", b"<?xml"), ("x.pdf", b"%PDF"), ("x.PNG", b"\x89PNG")]
)
def test_a_plot_is_what_its_suffix_says(run: Path, look: Look, tmp_path: Path, name: str, begins: bytes) -> None:
    """Case 16."""
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        assert look("plot", run, "-o", tmp_path / folder / name)[0] == 0
    first, second = ((tmp_path / folder / name).read_bytes() for folder in ("a", "b"))
    assert first.startswith(begins) and first == second


def test_a_plot_of_an_unknown_suffix_is_one_line(run: Path, look: Look, tmp_path: Path) -> None:
    """Case 16."""
    code, out, err = look("plot", run, "-o", tmp_path / "x.docx")
    assert (code, out, err) == (2, "", "error: x.docx: a plot is written as .png, .svg, .pdf\n")
    assert not (tmp_path / "x.docx").exists()


def test_a_plot_says_what_was_run() -> None:
    """Case 16: no "self-play, no labelled data" over a control or over imitation."""
    from selfplay.view.picture import what_was_run

    plain_run = asdict(Config())
    assert what_was_run(plain_run) == "self-play on arithmetic"
    plain_run["domain"] = "my.module:Mine"
    plain_run["challenger"]["source"], plain_run["train"]["imitation"] = "procedural", "truth"
    assert what_was_run(plain_run) == "on my.module:Mine, challenger.source=procedural, train.imitation=truth"
    assert what_was_run({}) == "self-play on a domain that is not stored"


def test_the_seconds_of_a_run_are_the_summarys(run: Path, look: Look) -> None:
    """Case 16."""
    with Store.open(run / "selfplay.db") as store:
        store.add_incarnation("a machine")
        store.note_use(123.4, 1)
        assert summarise(store)["seconds"] == 123.4
    (row,) = json.loads(look("runs", "--dir", run.parent, "--json")[1])
    assert row["seconds"] == 123.4


def test_passes_at_k_are_shown_for_the_k_that_was_measured(run: Path, look: Look) -> None:
    """Case 16."""
    measured = {"acc_t1": 0.5, "acc_t1_low": 0.4, "acc_t1_high": 0.6, "pass_at_1": 0.25, "pass_at_16": 0.75}
    with Store.open(run / "selfplay.db") as store:
        store.commit_evaluation(Evaluation(2, "add2", "full", measured))
    (row,) = json.loads(look("status", run, "--json")[1])["evaluations"]
    assert (row["pass_k"], row["pass_at_k"]) == (16, 0.75)
    out = look("status", run)[1]
    assert "pass@16" in out and "pass@8" not in out


def test_a_family_is_told_in_whole_attempts_and_its_best_is_no_less_than_its_rate(run: Path, look: Look) -> None:
    """Case 16."""
    families = {row["family"]: row for row in json.loads(look("status", run, "--json")[1])["families"]}
    assert {name: (row["right"], row["tried"]) for name, row in families.items()} == {"d+d": (7, 7), "d+dd": (5, 11)}
    assert all(row["best_rate"] == 0 or row["best_rate"] >= row["rate"] for row in families.values())
    assert " 5/11 " in look("status", run)[1]


def test_a_best_rate_follows_a_rate_that_rises_with_its_neighbours() -> None:
    """Case 16: a family's rate moves with those of its level, also in steps that do not try it."""
    tracker = Tracker(CurriculumSettings())
    poor, good = new_problem(1, family="poor", level=2), new_problem(2, family="good", level=3)
    tracker.observe(StepHistory(0, 0, (poor, good), (), ()))
    tracker.observe(StepHistory(1, 1, (), (), (PassRate("p-1", 0, 8, 3),)))
    for step in range(2, 8):
        tracker.observe(StepHistory(step, step, (), (), (PassRate("p-2", step - 1, 8, 8),)))
    family = tracker.family("poor")
    assert family.rate > 0.5 and family.best_rate >= family.rate


def test_a_family_that_is_not_there_is_answered_with_those_that_are(run: Path, look: Look) -> None:
    """Case 16."""
    code, out, _ = look("problems", run, "--family", "xyz")
    assert (code, out) == (0, "no problem matches; the families are d+d, d+dd\n")
    assert json.loads(look("problems", run, "--family", "xyz", "--json")[1])["families"] == ["d+d", "d+dd"]


def test_a_table_without_rows_is_a_line(tmp_path: Path, look: Look) -> None:
    """Case 16, its kind: an empty answer is said."""
    create(tmp_path / "selfplay.db").close()
    assert "0 steps: none\n" in look("steps", tmp_path)[1]


def test_show_has_answers_whole_on_request(run: Path, look: Look) -> None:
    """Case 16."""
    whole = "".join(look("show", run, "p-2", "--full")[1].split())
    assert whole.count("9") >= 10_000, "two turns of 5,000 digits"
    assert "(5" in look("show", run, "p-2")[1] and "characters)" in look("show", run, "p-2")[1]


def test_show_has_the_prompt_as_the_model_reads_it(tmp_path: Path, look: Look) -> None:
    """Case 16."""
    config = load(None, ["prompts.style=few_shot"])
    create(tmp_path / "selfplay.db", config_yaml=to_yaml(config)).close()
    style = PromptStyle(ability(load_domain(config.domain, config.domain_options), Prompted))
    found = json.loads(look("show", tmp_path, "p-seed", "--prompt", "--json")[1])["prompt"]
    assert found == style.solver(SEED)
    assert all(line in look("show", tmp_path, "p-seed", "--prompt")[1].splitlines() for line in found.splitlines())


def test_a_prompt_runs_no_code_that_a_database_names(tmp_path: Path, look: Look) -> None:
    """Case 16: looking is safe also at a run of somebody else's."""
    config = load(None, ["domain=few_problems:FewProblems"])
    create(tmp_path / "selfplay.db", config_yaml=to_yaml(config)).close()
    code, _, err = look("show", tmp_path, "p-seed", "--prompt")
    assert code == 2 and "--domain few_problems:FewProblems" in err and err.count("\n") == 1
    assert look("show", tmp_path, "p-seed", "--prompt", "--domain", "few_problems:FewProblems")[0] == 0
