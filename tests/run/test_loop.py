"""What only a whole run shows: that the configuration's numbers come to where they act."""

import signal
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from few_problems import AnyJudged
from journals import trained_labels
from run_server import Server

from selfplay.learn.batch import TrainBatch
from selfplay.learn.critic_batch import CriticBatch
from selfplay.machine.errors import OK
from selfplay.run.recovery import JOURNAL_FOLDER
from store.journal import read_journal
from store.records import Fate, Outcome, SearchNode
from store.store import Store


@pytest.mark.slow
def test_each_role_is_trained_at_the_temperature_that_it_spoke_at(server: Server, tmp_path: Path) -> None:
    ended = server.run(
        [
            "configs/tiny.yaml", "run.name=x", f"run.dir={tmp_path}", "run.threads=1", "run.steps=3",
            "run.checkpoint_every=1", "domain=few_problems:AnyText", "solver.problems=2", "solver.temperature=1.7",
            "challenger.temperature=0.6", "challenger.max_tokens=64", "challenger.proposals=8",
            "challenger.invalid_reward=-0.1", "curriculum.min_successes=1", "evaluate.pass_size=1", "evaluate.pass_k=2",
            "train.clip_high=0.3",
        ]
    )  # fmt: skip
    assert ended.code == OK, ended.output
    assert "train.clip_high=0.3 does nothing" in ended.output
    assert trained_labels(tmp_path / "x") == {"challenger", "solver/0", "solver/1"}
    with Store.open_readonly(tmp_path / "x" / "selfplay.db") as store:
        assert max(row.metrics["sampling/logp_diff/max"] for row in store.steps()[1:]) < 1e-4


STEPS = [
    "configs/tiny.yaml", "run.threads=1", "run.checkpoint_every=2", "domain=few_problems:AnySteps",
    "challenger.source=procedural", "solver.problems=3", "solver.turns=1", "solver.max_tokens=12",
    "curriculum.min_successes=1", "judge.rewards=[{part: verdict}]", "judge.search.when=every", "judge.search.nodes=8",
    "judge.critics.value=1.0", "judge.critics.process=1.0", "judge.credit.rule=tree", "evaluate.every=9",
    "evaluate.pass_size=2", "evaluate.pass_k=2", "evaluate.search_tokens=40",
]  # fmt: skip


def searched_run(server: Server, directory: Path, name: str, *more: str) -> None:
    ended = server.run([*STEPS, f"run.name={name}", f"run.dir={directory}", "run.steps=4", *more])
    assert ended.code == OK, ended.output


@pytest.mark.slow
def test_a_searched_run_that_is_killed_goes_on_bit_for_bit(server: Server, tmp_path: Path) -> None:
    searched_run(server, tmp_path, "whole")
    for number, point in enumerate(("wave.committed:9", "loop.updated:3", "checkpoint.renamed:1")):
        name = f"cut{number}"
        ended = server.run(
            [*STEPS, f"run.name={name}", f"run.dir={tmp_path}", "run.steps=4"], environment={"SELFPLAY_KILL_AT": point}
        )
        assert ended.code == -signal.SIGKILL, ended.output
        ended = server.run(["--resume", name, f"run.dir={tmp_path}"])
        assert ended.code == OK, ended.output
    found = []
    for name in ("whole", "cut0", "cut1", "cut2"):
        with Store.open_readonly(tmp_path / name / "selfplay.db") as store:
            found.append((store.table_digest(), [row.weights_digest for row in store.steps()]))
    assert found[1:] == [found[0]] * 3 and len(set(found[0][1])) == 5


def test_a_search_is_stored_and_its_critics_are_trained(server: Server, tmp_path: Path) -> None:
    searched_run(server, tmp_path, "x")
    with Store.open_readonly(tmp_path / "x" / "selfplay.db") as store:
        problems = [each.problem_id for step in store.history() for each in step.problems if step.step > 0]
        trees = {problem_id: store.search_nodes(problem_id) for problem_id in problems}
        metrics = [row.metrics for row in store.steps()[1:]]
        ends = [e for e in store.evaluations() if e.kind == "full"]
        journals = [(row.journal_file, row.journal_sha256) for row in store.steps()[1:]]
    assert all(tree for tree in trees.values()) and all(m["search/problems"] == 3 for m in metrics)
    nodes = [node for tree in trees.values() for of_step in tree.values() for node in of_step]
    assert any(node.value is not None and node.advantage for node in nodes)
    assert all("critic/loss" in m for m in metrics) and any("critic/value_ece" in m for m in metrics)
    kept = [read_journal(tmp_path / "x" / JOURNAL_FOLDER, *file) for file in journals if file[0] and file[1]]  # type: ignore[arg-type]
    assert kept and all(CriticBatch.from_arrays(journal.arrays) is not None for journal in kept)
    assert all(len(e.searches.split()) == 2 and 0.0 <= e.metrics["search_acc"] <= 1.0 for e in ends)


@pytest.mark.parametrize("more", [
    ("judge.search.method=monte_carlo", "judge.credit.rule=monte_carlo"),
    ("judge.search.method=n_ary", "judge.credit.rule=siblings", "judge.search.min_children=2"),
    ("judge.credit.rule=outcome", "train.imitation=best_path"),
])  # fmt: skip
def test_every_use_of_a_tree_trains(server: Server, tmp_path: Path, more: tuple[str, ...]) -> None:
    searched_run(server, tmp_path, "x", "seed=1", *more)  # with seed 0 nothing of this random model's teaches
    assert trained_labels(tmp_path / "x") == {"solver/0"}


def test_the_model_judges_where_it_is_told_to_and_meets_canaries(server: Server, tmp_path: Path) -> None:
    ended = server.run(
        [*SUMS, "run.name=x", f"run.dir={tmp_path}", "run.steps=3", "judge.source=model", "evaluate.every=3"]
    )
    assert ended.code == OK, ended.output
    with Store.open_readonly(tmp_path / "x" / "selfplay.db") as store:
        metrics = [row.metrics for row in store.steps()[1:]]
    assert all({"judge/agrees", "judge/false_positive_rate"} <= m.keys() for m in metrics)
    assert ["judge/canary_false_positive_rate" in m for m in metrics] == [True, False, True]
    assert 0.0 < metrics[0]["judge/canary_blocked_share"] < 1.0


JUDGED = [
    "judge.source=model", "model.name=tiny-gemma", "domain=few_problems:AnyJudged", "solver.max_tokens=60",
    "judge.search.nodes=24",
]  # fmt: skip


@pytest.mark.slow
def test_a_search_that_the_model_judges_trains_and_goes_on_bit_for_bit(server: Server, tmp_path: Path) -> None:
    searched_run(server, tmp_path, "whole", *JUDGED)
    said, metrics = verdicts_beside_the_domains(tmp_path / "whole", AnyJudged())
    # the model says yes to all that is not blocked, also to what the verifier says no to
    assert {(Outcome.CORRECT, Outcome.CORRECT), (Outcome.CORRECT, Outcome.INCORRECT)} <= said
    assert Outcome.INCORRECT not in {outcome for outcome, _ in said}
    assert all("search/agrees" in m and m["curriculum/signal_share"] > 0 for m in metrics)
    assert trained_labels(tmp_path / "whole") == {"solver/0"}

    searched = {}
    for name, point in (("cut0", "wave.committed:3"), ("cut1", "loop.updated:3")):
        ended = server.run(
            [*STEPS, *JUDGED, f"run.name={name}", f"run.dir={tmp_path}", "run.steps=4"],
            environment={"SELFPLAY_KILL_AT": point},
        )
        assert ended.code == -signal.SIGKILL, ended.output
        with Store.open_readonly(tmp_path / name / "selfplay.db") as store:
            waves = store.pending_waves(store.head().step + 1)
        searched[name] = [key for key in waves if key.startswith("judge/")]
        ended = server.run(["--resume", name, f"run.dir={tmp_path}"])
        assert ended.code == OK, ended.output
    assert 0 < len(searched["cut0"]) < len(searched["cut1"])  # the first one in the middle of a search
    found = []
    for name in ("whole", "cut0", "cut1"):
        with Store.open_readonly(tmp_path / name / "selfplay.db") as store:
            found.append((store.table_digest(), [row.weights_digest for row in store.steps()]))
    assert found[1:] == [found[0]] * 2 and len(set(found[0][1])) == 5


def verdicts_beside_the_domains(
    run_folder: Path, domain: AnyJudged
) -> tuple[set[tuple[Outcome, Outcome]], list[Mapping[str, float]]]:
    """(the stored verdict, the domain's) of every answer that a run's searches ended, cut ones left out; and the
    metrics of its steps."""
    with Store.open_readonly(run_folder / "selfplay.db") as store:
        trees = [(p, nodes) for p, _ in store.problems() for nodes in store.search_nodes(p.problem_id).values()]
        metrics = [row.metrics for row in store.steps()[1:]]
    ends = [(p, nodes, node) for p, nodes in trees for node in nodes if node.outcome not in (None, Outcome.TRUNCATED)]
    pairs = {(node.outcome, domain.judge(p, text_to(nodes, node).rstrip("\n"))[0]) for p, nodes, node in ends}
    return {(told, truth) for told, truth in pairs if told is not None}, metrics


def text_to(nodes: Sequence[SearchNode], node: SearchNode) -> str:
    """The whole answer that ends there."""
    return "" if node.parent is None else text_to(nodes, nodes[node.parent]) + node.text


SUMS = [
    "configs/tiny.yaml", "run.threads=1", "run.checkpoint_every=1", "run.keep_checkpoints=9", "domain=sums",
    "domain_options={min_digits: 1, max_digits: 2}", "challenger.source=procedural", "solver.problems=2",
    "curriculum.min_new_share=1.0", "curriculum.max_new_share=1.0", "curriculum.min_successes=1",
    "evaluate.pass_size=2", "evaluate.pass_k=2",
]  # fmt: skip
STAGED = ["seed=1", "train.stage_one.max_steps=2", "train.stage_one.kl_first=0.5", "train.stage_one.plateau_window=0"]


def batches(run_folder: Path) -> list[TrainBatch]:
    """What every step was trained on."""
    with Store.open_readonly(run_folder / "selfplay.db") as store:
        rows = [row for row in store.steps() if row.journal_file is not None and row.journal_sha256 is not None]
        files = [(row.journal_file or "", row.journal_sha256 or "") for row in rows]
    return [TrainBatch.from_arrays(read_journal(run_folder / JOURNAL_FOLDER, *file).arrays) for file in files]


def of_label(batch: TrainBatch, label: str, column: str) -> float:
    """Summed size of a column over a label's tokens."""
    rows = batch.labels == batch.label_names.index(label) if label in batch.label_names else []
    return float(abs(getattr(batch, column)[rows]).sum())


def test_stage_one_pays_second_looks_and_holds_first_tries(server: Server, tmp_path: Path) -> None:
    ended = server.run([*SUMS, *STAGED, "run.name=x", f"run.dir={tmp_path}", "run.steps=3"])
    assert ended.code == OK, ended.output
    first, _, last = batches(tmp_path / "x")
    assert (of_label(first, "solver/0", "counts"), of_label(first, "solver/0", "kl")) == (0.0, pytest.approx(0.5))
    assert of_label(first, "solver/1", "counts") > 0 and of_label(first, "solver/1", "kl") == 0.0
    assert of_label(last, "solver/0", "counts") > 0 and of_label(last, "solver/0", "kl") == 0.0
    with Store.open_readonly(tmp_path / "x" / "selfplay.db") as store:
        metrics = [row.metrics for row in store.steps()[1:]]
    assert [m["train/stage"] for m in metrics] == [1.0, 1.0, 2.0]
    assert metrics[0]["kl/solver/0"] == pytest.approx(0.0, abs=1e-6) and metrics[1]["kl/solver/0"] > 0
    assert "kl/solver/0" not in metrics[2]


@pytest.mark.slow
def test_a_staged_offline_run_goes_on_bit_for_bit(server: Server, tmp_path: Path) -> None:
    settings = [*SUMS, *STAGED, "solver.source=frozen", "evaluate.mechanism=true", f"run.dir={tmp_path}"]
    for name, steps in (("whole", 4), ("cut", 1)):
        ended = server.run([*settings, f"run.name={name}", f"run.steps={steps}"])
        assert ended.code == OK, ended.output
    ended = server.run(["--resume", "cut", f"run.dir={tmp_path}", "run.steps=4"])
    assert ended.code == OK, ended.output
    digests, versions, found = [], set(), []
    for name in ("whole", "cut"):
        with Store.open_readonly(tmp_path / name / "selfplay.db") as store:
            digests.append([(row.weights_digest, row.metrics.get("train/stage")) for row in store.steps()])
            problems = [summary.problem_id for step in store.history() for summary in step.problems]
            versions |= {attempt.last_version for each in problems for _, attempt in store.attempts(each)}
            found.append([e.metrics["fix_start"] for e in store.evaluations() if e.step == 4])
    assert digests[0] == digests[1] and len(set(digests[0])) == 5
    assert versions == {0}  # all was said by the start weights
    assert found[0] == found[1] != []


def test_reports_are_trained_stored_and_evaluated(server: Server, tmp_path: Path) -> None:
    ended = server.run(
        [
            *SUMS, "run.name=x", f"run.dir={tmp_path}", "run.steps=2", "solver.report=confidence",
            "judge.report_reward=brier", "evaluate.report=self_evaluation",
        ]
    )  # fmt: skip
    assert ended.code == OK, ended.output
    with Store.open_readonly(tmp_path / "x" / "selfplay.db") as store:
        problems = [each.problem_id for step in store.history() for each in step.problems]
        reports = [attempt.report for each in problems for _, attempt in store.attempts(each)]
        evaluations = store.evaluations()
    assert len(reports) == 16 and all(report is not None for report in reports)
    assert all(len(e.reports.split()) == len(e.outcomes) for e in evaluations if e.kind == "full")
    # a tiny model's reports cannot be read and its answers are all wrong: alike, so that nothing of them is pushed
    assert all(of_label(batch, "solver/report", "counts") == 0.0 for batch in batches(tmp_path / "x"))


LONG = [
    "configs/tiny.yaml", "run.threads=1", "run.steps=3", "domain=few_problems:AnyLength", "model.name=tiny-gpt2",
    "challenger.max_tokens=64", "evaluate.pass_size=1", "evaluate.pass_k=2",
]  # fmt: skip


@pytest.mark.parametrize("more", [("challenger.proposals=8",), ("judge.source=model", "solver.max_tokens=40")])
def test_an_invented_problem_that_the_model_cannot_read_whole_is_too_large(
    server: Server, tmp_path: Path, more: tuple[str, ...]
) -> None:
    """Case 53: problems longer than all known ones overran learned positions in the middle of a run."""
    ended = server.run([*LONG, "run.name=x", f"run.dir={tmp_path}", *more])
    assert ended.code == OK, ended.output
    with Store.open_readonly(tmp_path / "x" / "selfplay.db") as store:
        fates = [proposal.fate for _, proposal in store.proposals()]
        posed = [problem for problem, _ in store.problems() if problem.family == "ones"]
    assert Fate.TOO_LARGE in fates and posed
    assert max(len(problem.text) for problem in posed) < 1024 / 2


TRUNCATED = [
    "configs/tiny.yaml", "run.threads=1", "run.checkpoint_every=2", "run.steps=3", "domain=few_problems:AnyText",
    "solver.problems=3", "curriculum.min_successes=1", "solver.top_k=60", "solver.top_p=0.8", "solver.min_p=0.02",
    "challenger.top_k=90", "challenger.top_p=0.95", "challenger.min_p=0.01", "challenger.max_tokens=64",
    "challenger.proposals=8", "challenger.invalid_reward=-0.1", "train.kl_coef=0.1", "train.anchor=sampler",
    "policy.lora.r=2", "evaluate.every=9", "evaluate.pass_size=1", "evaluate.pass_k=2",
]  # fmt: skip


@pytest.mark.slow
def test_a_run_that_truncates_and_is_killed_goes_on_bit_for_bit(server: Server, tmp_path: Path) -> None:
    ended = server.run([*TRUNCATED, "run.name=whole", f"run.dir={tmp_path}"])
    assert ended.code == OK, ended.output
    arguments = [*TRUNCATED, "run.name=cut", f"run.dir={tmp_path}"]
    for point in ("wave.committed:5", "loop.updated:2", ""):  # while sampling, and with an update to be made again
        ended = server.run(arguments, environment={"SELFPLAY_KILL_AT": point} if point else None)
        assert ended.code == (-signal.SIGKILL if point else OK), ended.output
        arguments = ["--resume", "cut", f"run.dir={tmp_path}", "domain=few_problems:AnyText"]
    found = []
    for name in ("whole", "cut"):
        with Store.open_readonly(tmp_path / name / "selfplay.db") as store:
            found.append((store.table_digest(), [row.weights_digest for row in store.steps()]))
            rows = [row for row in store.steps() if row.step > 0]
    assert found[0] == found[1] and len(set(found[0][1])) == 4
    assert max(row.metrics["sampling/logp_diff/max"] for row in rows) < 1e-4
    assert trained_labels(tmp_path / "cut") == {"challenger", "solver/0", "solver/1"}
    for row in rows[-2:]:
        assert row.journal_file is not None and row.journal_sha256 is not None
        batch = TrainBatch.from_arrays(
            read_journal(tmp_path / "cut" / JOURNAL_FOLDER, row.journal_file, row.journal_sha256).arrays
        )
        assert batch.supports is not None and (batch.supports.rows >= 0).all()


BY_SEQUENCE = [
    "configs/tiny.yaml", "run.threads=1", "run.checkpoint_every=9", "run.steps=3", "domain=few_problems:AnyText",
    "solver.problems=3", "curriculum.min_successes=1", "solver.source=frozen",
    "train.importance_mode=sequence_truncate",
    "train.learning_rate=3e-3", "evaluate.every=9", "evaluate.pass_size=1", "evaluate.pass_k=2",
]  # fmt: skip


@pytest.mark.slow
def test_updates_weighed_by_completion_are_made_again_bit_for_bit(server: Server, tmp_path: Path) -> None:
    """The start weights sample, so that the policy is away from its sampler. A journal has what is weighed."""
    ended = server.run([*BY_SEQUENCE, "run.name=whole", f"run.dir={tmp_path}"])
    assert ended.code == OK, ended.output
    killed = server.run(
        [*BY_SEQUENCE, "run.name=cut", f"run.dir={tmp_path}"], environment={"SELFPLAY_KILL_AT": "loop.updated:3"}
    )
    assert killed.code == -signal.SIGKILL, killed.output
    ended = server.run(["--resume", "cut", f"run.dir={tmp_path}", "domain=few_problems:AnyText"])
    assert ended.code == OK, ended.output
    found = []
    for name in ("whole", "cut"):
        with Store.open_readonly(tmp_path / name / "selfplay.db") as store:
            found.append((store.table_digest(), [row.weights_digest for row in store.steps()]))
            figures = [row.metrics for row in store.steps() if row.step > 0]
    assert found[0] == found[1] and len(set(found[0][1])) == 4
    # solver and challenger are both in it, and the challenger's own words are the policy's
    assert figures[0]["sampling/importance/ess"] > 0.9999 > figures[-1]["sampling/importance/ess"]
    assert figures[0]["sampling/kl"] < 1e-6 < figures[-1]["sampling/kl"]
