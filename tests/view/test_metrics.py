"""The table of figures: what runs write is what it has, the page shows it, and every reader's name is in it."""

import importlib.util
from collections.abc import Sequence
from pathlib import Path

import pytest
from run_server import Server
from scripted_skills import SMALL, SPOKEN

from selfplay import metrics
from selfplay.machine.errors import OK
from selfplay.stats.calibration import calibration_metrics
from store.records import Fate
from store.store import Store

PAGE = Path(__file__).resolve().parents[2] / "docs" / "metrics.md"
TINY = [
    "configs/tiny.yaml", "run.threads=1", "run.checkpoint_every=9", "curriculum.min_successes=1", "train.kl_coef=0.1",
    "train.step_kl=0.01", "evaluate.every=9", "evaluate.pass_size=2", "evaluate.pass_k=2",
]  # fmt: skip
SEARCHING = [
    "run.steps=1", "domain=few_problems:AnyJudged", "model.name=tiny-gemma", "challenger.source=procedural",
    "solver.problems=3", "solver.turns=1", "solver.max_tokens=16", "judge.source=model",
    "judge.rewards=[{part: verdict}]",
    "judge.search.when=every", "judge.search.nodes=8", "judge.critics.value=1.0", "judge.critics.process=1.0",
    "judge.critics.held_out=0.5", "judge.credit.rule=tree", "evaluate.search_tokens=40",
]  # fmt: skip
LOOKING = [
    "run.steps=2", "domain=few_problems:AnyText", "solver.problems=2", "solver.report=confidence",
    "judge.report_reward=brier", "evaluate.mechanism=true", "evaluate.report=confidence", "train.clip_cov=0.05",
    "train.clip_cov_low=0", "guards.rechecks=2", "train.experience.world_model=1", "train.experience.reflection=1",
]  # fmt: skip
VOTING = [
    "run.steps=1", "domain=few_problems:AnyVoted", "challenger.source=procedural", "solver.turns=1",
    "solver.max_tokens=24", "solver.temperature=1.0", "judge.source=majority",
]  # fmt: skip
HAS_DATASKETCH = importlib.util.find_spec("datasketch") is not None  # an extra, which novelty needs
PAYING = [
    "run.steps=2", "domain=few_problems:AnyPaid", "challenger.source=self", "policy.lora.r=2",
    "policy.lora.per_role=true", "solver.problems=6", "solver.turns=1",
    "challenger.proposals=8", "judge.rewards=[{part: verdict}]", "challenger.aim=add1", "challenger.learned_credit=8",
    "challenger.gate=strict", f"challenger.novelty={0.5 if HAS_DATASKETCH else 0}",
]  # fmt: skip
WRITING = [each for each in SMALL if "=" in each]
RESCUING = [
    "run.steps=6", "domain=few_problems:Rarely", "challenger.source=procedural", "solver.problems=8",
    "solver.group_size=2", "solver.turns=1", "judge.rewards=[{part: verdict}]", "curriculum.rescue=hint",
    "curriculum.rescue_share=0.5",
]  # fmt: skip
OF_AN_EXTRA: set[str] = set() if HAS_DATASKETCH else {metrics.CHALLENGER_NOVELTY}
ON_A_GPU = {metrics.DEVICE_PEAK}
OF_READ_REPORTS = set(metrics.REPORT_FIGURE.values())  # a tiny model's cannot be read: see the test below


@pytest.fixture(scope="module")
def written(server: Server, tmp_path_factory: pytest.TempPathFactory) -> tuple[set[str], set[str]]:
    """The names that six tiny runs with everything on have stored: of steps, and of evaluations."""
    directory, of_steps, of_evaluations = tmp_path_factory.mktemp("runs"), set(), set()
    runs = {"searching": SEARCHING, "looking": LOOKING, "voting": VOTING, "paying": PAYING, "rescuing": RESCUING}
    runs |= {"writing": WRITING}
    for name, settings in runs.items():
        fault = SPOKEN if name == "writing" else ""
        ended = server.run([*TINY, *settings, f"run.name={name}", f"run.dir={directory}"], fault=fault)
        assert ended.code == OK, ended.output
        with Store.open_readonly(directory / name / "selfplay.db") as store:
            of_steps |= {figure for row in store.steps() for figure in row.metrics}
            of_evaluations |= {figure for each in store.evaluations() for figure in each.metrics}
    return of_steps, of_evaluations


def unknown(names: set[str], table: Sequence[metrics.Metric]) -> set[str]:
    return {name for name in names if not any(metric.matches(name) for metric in table)}


def never_written(names: set[str], table: Sequence[metrics.Metric]) -> set[str]:
    return {metric.name for metric in table if not any(metric.matches(name) for name in names)}


@pytest.mark.slow
def test_a_run_writes_no_figure_that_the_table_lacks(written: tuple[set[str], set[str]]) -> None:
    of_steps, of_evaluations = written
    assert unknown(of_steps, metrics.STEP_METRICS) == set()
    assert unknown(of_evaluations, metrics.EVALUATION_METRICS) == set()


def test_the_table_has_no_figure_that_is_never_written(written: tuple[set[str], set[str]]) -> None:
    of_steps, of_evaluations = written
    assert never_written(of_steps, metrics.STEP_METRICS) == ON_A_GPU | OF_AN_EXTRA
    assert never_written(of_evaluations, metrics.EVALUATION_METRICS) == OF_READ_REPORTS
    assert metrics.REPORT_FIGURE.keys() == calibration_metrics([True, False], [0.9, 0.2]).keys()


def test_the_page_shows_the_table() -> None:
    text = PAGE.read_text()
    assert metrics.page(text) == text, "python -m selfplay.metrics docs/metrics.md writes it anew"
    assert "| `challenger/<fate>` | count |" in text and "| `acc_t1`, `_low`, `_high` | share |" in text
    with pytest.raises(ValueError, match="no place for steps"):
        metrics.page("# Another page\n")


def test_names_are_found_whole_or_by_their_pattern() -> None:
    assert metrics.metric_of("challenger/too_large").name == metrics.FATE_COUNT
    assert metrics.metric_of("challenger/reward").name == metrics.CHALLENGER_REWARD
    assert metrics.metric_of("acc_t1_low").name == metrics.ACC_T1
    assert metrics.metric_of("pass_at_16_high").name == metrics.PASS_AT_K
    assert metrics.metric_of("kl/solver/0").name == metrics.KL
    assert metrics.fate_count(Fate.TOO_LARGE) == "challenger/too_large"
    for name in ("solver/pas_rate", "challenger/lost", "n_low", "pass_at_k", "search/branching_x"):
        with pytest.raises(ValueError, match=f"'{name}' is no figure"):
            metrics.metric_of(name)


def test_a_figure_is_printed_in_its_format_and_a_missing_one_as_a_dash() -> None:
    figures = {"solver/pass_rate": 0.256, "reward/mean": 0.5, "challenger/accepted": 3.0, "lr": 1e-5, "entropy": None}
    assert metrics.shown(figures, metrics.PASS_RATE) == "0.26"
    assert metrics.shown(figures, metrics.REWARD_MEAN) == "+0.50"
    assert metrics.shown(figures, metrics.fate_count(Fate.ACCEPTED)) == "3"
    assert metrics.shown(figures, metrics.LEARNING_RATE) == "1.0e-05"
    assert metrics.shown(figures, metrics.ENTROPY) == metrics.shown(figures, metrics.VALID_NEW) == "-"
