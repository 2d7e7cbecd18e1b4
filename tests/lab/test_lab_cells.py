"""A cell is an ordinary run that leaves a row; done ones are not run again, cut ones go on."""

from dataclasses import replace
from pathlib import Path

import pytest

from selfplay.config.keys import Config
from selfplay.lab.afterwards import Afterwards
from selfplay.lab.cells import Cell, base_digest, finished, run_cell
from selfplay.lab.experiments.experiment import Arm, Column, Experiment
from selfplay.lab.experiments.registry import EXPERIMENTS
from selfplay.lab.rows import read_rows
from selfplay.lab.scratch import WarmStart
from selfplay.lab.verdict.criteria import Criterion
from selfplay.lab.verdict.measures import delta, of
from selfplay.machine.errors import ConfigError, Refused

BASE = """\
domain: sums
domain_options: {min_digits: 1, max_digits: 2}
model: {dtype: float32}
run: {steps: 2, checkpoint_every: 1, threads: 1}
challenger: {source: procedural}
curriculum: {min_new_share: 1.0, max_new_share: 1.0, min_successes: 1}
solver: {problems: 2, group_size: 4, temperature: 1.0}
judge: {rewards: [{part: random}]}
evaluate: {every: 1, size: 12, interim_size: 4, pass_k: 2, pass_size: 4, mechanism: true}
"""


@pytest.fixture
def experiment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Experiment:
    monkeypatch.setenv("SELFPLAY_CACHE", str(tmp_path / "cache"))
    base = tmp_path / "base.yaml"
    base.write_text(BASE)
    criterion = Criterion("delta", "Delta", 0.0, ">=", of("plain", delta))
    return Experiment(
        name="small", title="", claim="", base_config=str(base), criteria=(criterion,), control=criterion,
        arms={"plain": Arm(), "offline": Arm(("solver.source=frozen",))}, smallest_effect=0.1,
        columns=(Column("Delta", delta),), warm_start=WarmStart(width=16, heads=2, iterations=2, batch=4),
    )  # fmt: skip


def test_a_cell_leaves_a_row_of_its_run(experiment: Experiment, tmp_path: Path) -> None:
    cell, rows = Cell(experiment, "offline", 5, tmp_path / "runs"), tmp_path / "rows"
    assert not finished(cell, rows)
    row = run_cell(cell, lambda line: None, "abc1234", rows)
    assert row is not None and finished(cell, rows)
    assert [each.to_json() for each in read_rows(rows / "small")] == [row.to_json()]
    assert (row.arm, row.seed, row.steps, row.commit) == ("offline", 5, 2, "abc1234")
    assert row.config[0].startswith(str(tmp_path / "base.yaml@")) and row.config[1:] == ("solver.source=frozen",)
    assert set(row.end) == {"add1", "add2"} and len(row.outcomes["add1"]["end"]) == row.end["add1"]["n"]
    assert row.end["add1"]["thousand_tokens"] == pytest.approx(2 * row.end["add1"]["tokens/sampled"] / 1000)
    assert [step for step, _ in row.series["add1"]["fix_own"]] == [0, 1, 2]
    assert row.end["add1"]["first_over_80"] in (1, 2, 3) and 0 <= row.end["add1"]["foretold_coverage"] <= 1
    assert "picked_step" not in row.end["add1"]  # it has no probes
    assert "step   2/2" in (tmp_path / "runs" / "small" / "offline-seed5.log").read_text()


@pytest.mark.slow
def test_a_row_has_the_accuracy_of_the_weights_that_probes_picked(experiment: Experiment, tmp_path: Path) -> None:
    arms = {"watched": Arm(("probes.size=2", "judge.rewards=[{part: verdict}]"))}
    row = run_cell(Cell(replace(experiment, arms=arms), "watched", 0, tmp_path / "runs"), print, "abc1234", tmp_path)
    assert row is not None
    for name, end in row.end.items():
        picked = [accuracy for step, accuracy in row.series[name]["acc_t1"] if step == end["picked_step"]]
        assert picked[-1] == pytest.approx(end["picked_acc_t1"])
    assert 0 <= row.end["add1"]["signal_run"] <= 1 and 0 <= row.end["add1"]["median_rate"] <= 1


@pytest.mark.slow
def test_arms_of_a_seed_evaluate_their_start_model_once(experiment: Experiment, tmp_path: Path) -> None:
    """What the second arm takes over is what it would have found itself; other seeds' and other keys' it does not."""
    runs, rows = tmp_path / "runs", tmp_path / "rows"
    plain = run_cell(Cell(experiment, "plain", 5, runs), lambda line: None, "abc1234", rows)
    taken = run_cell(Cell(experiment, "offline", 5, runs), lambda line: None, "abc1234", rows)
    alone = run_cell(Cell(experiment, "offline", 5, tmp_path / "alone"), lambda line: None, "abc1234", rows)
    assert plain is not None and taken is not None and alone is not None
    assert replace(taken, seconds=0.0) == replace(alone, seconds=0.0)
    assert taken.start == plain.start and taken.end != plain.end
    assert "evaluated by plain-seed5" in (runs / "small" / "offline-seed5.log").read_text()
    run_cell(Cell(experiment, "offline", 6, runs), lambda line: None, "abc1234", rows)
    less = replace(experiment, arms={"less": Arm(("evaluate.sets=[add2]", "evaluate.size=7"))})
    row = run_cell(Cell(less, "less", 5, runs), lambda line: None, "abc1234", rows)
    assert row is not None and {name: len(each["end"]) for name, each in row.outcomes.items()} == {"add2": 7}
    for name in ("offline-seed6", "less-seed5"):
        assert "evaluated by" not in (runs / "small" / f"{name}.log").read_text()


@pytest.mark.slow
def test_what_is_measured_of_a_run_that_is_done(experiment: Experiment, tmp_path: Path) -> None:
    """Samples of start and end, perplexities and what became of the weights; a subnetwork of one arm trains another."""
    short = ("evaluate.size=6", "evaluate.mechanism=false")
    arms = {"plain": Arm(short), "masked": Arm((*short, "train.learning_rate=1e-3"), mask_of="plain")}
    wanted = replace(experiment, arms=arms, seeds=(5, 6, 7), afterwards=Afterwards(samples=4, audits=True))
    assert base_digest(wanted) != base_digest(experiment)
    runs, rows = tmp_path / "runs", tmp_path / "rows"
    with pytest.raises(Refused, match="run the arm whose parameters are to be trained first"):
        run_cell(Cell(wanted, "masked", 5, runs), lambda line: None, "abc1234", rows)
    done = [run_cell(Cell(wanted, "plain", seed, runs), lambda line: None, "abc1234", rows) for seed in (5, 6)]
    masked = run_cell(Cell(wanted, "masked", 5, runs), lambda line: None, "abc1234", rows)
    assert masked is not None and None not in done
    first, second = (row for row in done if row is not None)
    assert {name: len(text["end"].split()) for name, text in first.samples.items()} == {
        name: len(text["end"]) for name, text in first.outcomes.items()
    }
    assert masked.samples["add1"]["start"] == first.samples["add1"]["start"]  # of one seed, drawn once
    assert masked.samples["add1"]["end"].split()[0].endswith("/4")
    end, other, part = first.end["add1"], second.end["add1"], masked.end["add1"]
    assert end["perplexity"] > 1 and end["perplexity_at_start"] > 1
    assert 0 < end["changed_bf16"] <= 1 and 0 < end["rank_fp32"] <= 1 and end["moved"] > 0
    assert "overlap" not in end and "overlap" not in other  # each seed has a start of its own
    assert 0 < part["changed_bf16"] <= end["changed_bf16"]
    assert read_rows(rows / "small")[1].to_json() == first.to_json()


def test_a_set_that_is_not_there_is_named(experiment: Experiment, tmp_path: Path) -> None:
    wrong = replace(experiment, arms={"wrong": Arm(("evaluate.sets=[add2, mul9]",))})
    with pytest.raises(ConfigError, match="there is no set mul9; those of this domain: add1, add2"):
        run_cell(Cell(wrong, "wrong", 0, tmp_path), lambda line: None, "abc1234", tmp_path)


@pytest.mark.slow
def test_settings_of_another_day_are_noticed(experiment: Experiment, tmp_path: Path) -> None:
    cell, rows = Cell(experiment, "plain", 0, tmp_path / "runs"), tmp_path / "rows"
    run_cell(cell, lambda line: None, "abc1234", rows)
    changed = Cell(
        replace(experiment, arms={"plain": Arm(("train.learning_rate=1e-3",))}), "plain", 0, tmp_path / "runs"
    )
    assert finished(cell, rows) and not finished(changed, rows)
    with pytest.raises(Refused, match="made with other settings: delete it"):
        run_cell(changed, lambda line: None, "abc1234", rows)


def test_a_cell_is_named_by_what_its_base_file_comes_to(experiment: Experiment, tmp_path: Path) -> None:
    """Not by its words: what a comment or a default that is written down changes is nothing."""
    base = Path(experiment.base_config)
    first = base_digest(experiment)
    base.write_text(f"# another comment\n{BASE}train: {{grad_clip: {Config().train.grad_clip}}}\n")
    assert base_digest(experiment) == first
    base.write_text(f"{BASE}train: {{grad_clip: 0.5}}\n")
    assert base_digest(experiment) != first
    base.write_text(BASE)
    assert base_digest(replace(experiment, warm_start=WarmStart(width=32))) != first


@pytest.mark.slow
def test_a_finished_run_without_its_row_is_not_run_again(experiment: Experiment, tmp_path: Path) -> None:
    """Nor one that notes its precision when it begins."""
    arms = {"plain": Arm(("model.dtype=auto",))}
    cell, rows = Cell(replace(experiment, arms=arms), "plain", 0, tmp_path / "runs"), tmp_path / "rows"
    first = run_cell(cell, lambda line: None, "abc1234", rows)
    again = run_cell(cell, lambda line: None, "abc1234", tmp_path / "elsewhere")
    assert first is not None and again is not None
    assert (first.outcomes, first.series, first.seconds) == (again.outcomes, again.series, again.seconds)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_the_shipped_experiments_have_arms_that_load(name: str) -> None:
    from selfplay.config.files import load

    experiment = EXPERIMENTS[name]
    loaded = [(load(Path(experiment.base_config), each.overrides), each.mask_of) for each in experiment.arms.values()]
    assert len({str(each) for each in loaded}) == len(loaded)  # no two arms are the same
    assert len(experiment.seeds) >= 3
