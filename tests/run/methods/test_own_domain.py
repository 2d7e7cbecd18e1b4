"""A domain of the user's own, from the command line, with a test set of the user's own, whole."""

import json
import re
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path

import pytest
from few_problems import FewProblems
from own_domains import OnlyTestSet, OwnTestSet
from run_server import Server

from curriculum.domains.arithmetic.domain import ArithmeticDomain
from curriculum.domains.datasets.domain import DatasetDomain
from curriculum.domains.protocol import Statement
from curriculum.domains.seed_files import DomainError
from curriculum.holdout import HeldOut
from curriculum.validation import validate_domain
from selfplay.config.files import load, resumed, to_yaml
from selfplay.machine.errors import ConfigError
from store.store import Store

SHORT = (
    "run.name=x", "run.threads=1", "run.steps=1", "solver.problems=2", "solver.max_tokens=4", "evaluate.pass_size=1",
    "evaluate.pass_k=2",
)  # fmt: skip
DEFAULT = Path(__file__).resolve().parents[3] / "configs" / "default.yaml"


class SeedsAsTestSet(OnlyTestSet):
    """Seeds and test set from one file."""

    def test_sets(self) -> Mapping[str, Sequence[Statement]]:
        return {"mine": tuple(islice(self.seeds(), 5))}


class SeedsAsEvaluationSet(FewProblems):
    """The same, where a hash would choose among them."""

    def evaluation_sets(self) -> Mapping[str, Sequence[Statement]]:
        return {"mine": tuple(islice(self.seeds(), 5))}


@pytest.mark.parametrize(
    ("overrides", "options"),
    [
        (["domain=my_package.my_module:MyDomain"], {}),
        (["domain=my_package.my_module:MyDomain", "domain_options.path=x"], {"path": "x"}),
        (["domain_options={}"], {}),
        (["domain=arithmetic"], {"max_value": 1000}),
        (["domain_options.max_level=3"], {"max_value": 1000, "max_level": 3}),
    ],
)
def test_options_belong_to_the_domain_they_were_written_for(overrides: list[str], options: dict[str, object]) -> None:
    """Case 13: the default job's `domain_options` leaked into a domain named on the command line."""
    assert load(DEFAULT, overrides).domain_options == options


def test_a_files_domain_starts_without_the_defaults_options(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("domain: chains\ndomain_options: {terms: 3}\n")
    assert load(file, ["domain_options.terms=4"]).domain_options == {"terms": 4}
    assert load(file, ["domain=sums"]).domain_options == {}


def test_options_cannot_be_cleared_on_resume() -> None:
    stored = to_yaml(load(DEFAULT, []))
    assert resumed(stored, ["domain=arithmetic"]).domain_options == {"max_value": 1000}
    with pytest.raises(ConfigError, match="domain_options cannot change on resume"):
        resumed(stored, ["domain_options={}"])


def test_a_test_set_is_held_out_whole() -> None:
    """Case 14: of a test set of five of one's own two were evaluated, and the rest might be trained on."""
    domain = OwnTestSet()
    held_out = HeldOut(domain, "selfplay-1")
    mine = domain.test_sets()["mine"]
    assert {each.canonical for each in held_out.sets["mine"]} == {each.canonical for each in mine}
    assert all(held_out.contains(each.canonical) for each in mine)
    assert held_out.sets["add1"] == HeldOut(FewProblems(), "selfplay-1").sets["add1"]
    assert list(HeldOut(OnlyTestSet(), "selfplay-1").sets) == ["mine"]
    assert [check.detail for check in validate_domain(domain) if not check.passed] == []
    shares = {check.name: check.detail for check in validate_domain(domain)}
    assert shares["every set has problems to hold out"] == "add1 6 of 12, mul1 6 of 12, mine 5 of 5"


@pytest.mark.parametrize(
    ("domain", "words"),
    [
        (SeedsAsTestSet(), "of test set mine, .* and 2 more are seeds"),
        (SeedsAsEvaluationSet(), "mine has nothing to hold"),
    ],
)
def test_what_leaves_a_set_empty_is_an_error(domain: ArithmeticDomain, words: str) -> None:
    """Case 14: the table said 0.00 -> 0.00 [+0.00, +0.00] of a set without members, and validate-domain passed."""
    with pytest.raises(DomainError, match=words):
        HeldOut(domain, "selfplay-1")
    assert [check.name for check in validate_domain(domain) if not check.passed] == [
        "every set has problems to hold out"
    ]


def test_two_sets_of_one_name_are_refused() -> None:
    class Twice(OwnTestSet):
        def evaluation_sets(self) -> Mapping[str, Sequence[Statement]]:
            return {"mine": super().evaluation_sets()["add1"]}

    with pytest.raises(DomainError, match="mine is a test set and an evaluation set"):
        HeldOut(Twice(), "selfplay-1")


def test_an_answer_that_was_changed_in_a_domains_file_is_said_on_resume(server: Server, tmp_path: Path) -> None:
    """Case 15: changing an answer in a domain's data file and resuming gave no notice."""
    answers = tmp_path / "answers.txt"
    answers.write_text("7")
    options = ("domain=own_domains:OwnAnswers", f"run.dir={tmp_path}/runs")
    first = server.run(["configs/tiny.yaml", *SHORT, f"domain_options.path={answers}", *options])
    assert first.code == 0, first.output
    again = server.run(["--resume", "x", "run.steps=2", *options])
    assert again.code == 0 and "this run began with" not in again.output and "other members" not in again.output
    answers.write_text("8")
    changed = server.run(["--resume", "x", "run.steps=3", *options])
    assert changed.code == 0, changed.output
    assert (
        "1 have another answer, such as " in changed.output and ": '7' then, '8' now. The run keeps" in changed.output
    )
    assert "held-out set mine has other members than at the run's start" in changed.output


def test_held_out_problems_that_were_practised_are_said_on_resume(server: Server, tmp_path: Path) -> None:
    """Rows that are removed from a dataset's file make its share hold out others, which the run has practised."""
    rows = [json.dumps({"question": f"What is {n} + {n}?", "answer": str(2 * n)}) for n in range(20)]
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(rows))
    options = ("domain=dataset", f"domain_options.path={path}", "challenger.source=none", f"run.dir={tmp_path}/runs")
    first = server.run(["configs/tiny.yaml", *SHORT, *options])
    assert first.code == 0 and "ALARM     held-out" not in first.output, first.output
    held_out = {each.text for each in DatasetDomain(str(path)).test_sets()["test"]}
    path.write_text("\n".join(row for row in rows if json.loads(row)["question"] not in held_out))
    again = server.run(["--resume", "x", "run.steps=2", f"run.dir={tmp_path}/runs"])
    assert again.code == 0, again.output
    assert "ALARM     held-out set test: this run practises 3 of its 3 problems, such as 'What is" in again.output


class FileAsTestSet(OnlyTestSet):
    """A test set read from a file that may not be there."""

    def test_sets(self) -> Mapping[str, Sequence[Statement]]:
        return {"mine": [self._read(line) for line in Path("/nonexistent/mine.txt").read_text().split()]}

    def _read(self, line: str) -> Statement:
        return self.parse(line)  # type: ignore[return-value]  # a newcomer's slip, as in RefusedAsTestSet


class RefusedAsTestSet(OnlyTestSet):
    """A test set with a text that `parse` refuses."""

    def test_sets(self) -> Mapping[str, Sequence[Statement]]:
        return {"mine": [self.parse("50 + 41"), self.parse("nonsense")]}  # type: ignore[list-item]


class RefusedAsSeed(OnlyTestSet):
    """The same among the seeds."""

    def seeds(self) -> Sequence[Statement]:
        return [*super().seeds(), self.parse("nonsense")]  # type: ignore[list-item]


@pytest.mark.parametrize(
    ("domain", "words"),
    [
        (FileAsTestSet(), "its problems cannot be read .*mine.txt"),
        (RefusedAsTestSet(), "test set mine, member 1 .*UNPARSED"),
        (RefusedAsSeed(), "seeds, member .*UNPARSED"),
    ],
)
def test_a_domains_own_slips_are_one_line(domain: ArithmeticDomain, words: str) -> None:
    """Cases 13, 42: a file that is not there and a text that `parse` refuses ended in tracebacks."""
    with pytest.raises(DomainError, match=words):
        HeldOut(domain, "selfplay-1")
    failed = {check.name: check.detail for check in validate_domain(domain) if not check.passed}
    assert re.search(words, failed["every set has problems to hold out"])


def test_a_run_makes_a_domain_and_a_reward_once(server: Server, tmp_path: Path) -> None:
    """A domain may read a large file, or ask a hub for one."""
    made = tmp_path / "made"
    own = ["domain=own_domains:Made", f"judge.rewards=[{{part: verdict}}, {{part: 'own_rewards:Made', path: {made}}}]"]
    arguments = ["configs/tiny.yaml", *SHORT, *own, f"domain_options.path={made}", f"run.dir={tmp_path}"]
    done = server.run(arguments)
    assert done.code == 0, done.output
    assert made.read_text() == "domain\nreward\n"
    resumed = server.run(["--resume", "x", f"run.dir={tmp_path}", *own, "run.steps=2"])
    assert resumed.code == 0, resumed.output
    assert made.read_text() == 2 * "domain\nreward\n"


def test_what_a_judge_fails_on_is_left_out_and_said(server: Server, tmp_path: Path) -> None:
    options = ["domain=own_domains:Failing", f"run.dir={tmp_path}", "judge.rewards=[{part: verdict}]", "run.steps=2"]
    few = server.run(["configs/tiny.yaml", *SHORT, *options, "domain_options.letters=a", "judge.max_error_share=1.0"])
    assert few.code == 0, few.output
    assert few.output.count("nobody could judge it: the domain's judge: LookupError: no a") == 1
    with Store.open_readonly(tmp_path / "x" / "selfplay.db") as store:
        assert sum(row.metrics["judge/unjudged"] for row in store.steps()[1:]) > 0


def test_a_judge_that_fails_too_often_stops_the_run_with_its_error(server: Server, tmp_path: Path) -> None:
    options = ["domain=own_domains:Failing", f"run.dir={tmp_path}", "judge.max_error_share=0"]
    ended = server.run(["configs/tiny.yaml", *SHORT, *options, "domain_options.letters=abcdefghijklmnopqrstuvwxyz"])
    assert ended.code == 2, ended.output
    assert "answers could not be judged (the domain's judge: LookupError: no a" in ended.output
    assert "Traceback" not in ended.output
