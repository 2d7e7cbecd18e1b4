"""Tasksets of the verifiers package as domains: judged by their own rewards, in another process, or refused by name."""

import importlib.util

import pytest
from run_server import USERS

from curriculum.domains.environments.verifiers import VerifiersDomain
from curriculum.domains.loading import code_named, load_domain
from curriculum.domains.protocol import problem_of
from curriculum.domains.seed_files import DomainError
from curriculum.validation import validate_domain
from roles.prompts import few_shot_style
from store.records import Origin, Outcome

DOUBLING = "verifiers_tasksets:Doubling"


@pytest.fixture(autouse=True)
def _in_the_folder_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    if importlib.util.find_spec("verifiers") is None:  # not imported: this process never does
        pytest.skip("the extra verifiers is not installed")
    monkeypatch.chdir(USERS)


def test_a_taskset_is_judged_by_its_rewards() -> None:
    domain = VerifiersDomain(DOUBLING, examples=2)
    problem = problem_of(domain.seeds()[0], domain.name, Origin.SEED)
    right = problem.answer
    for text, outcome, score in (
        (f"It is \\boxed{{{right}}}", Outcome.CORRECT, 1.0),
        ("\\boxed{7}", Outcome.INCORRECT, 0.25),
        (right, Outcome.INCORRECT, 0.0),
    ):
        assert domain.judge(problem, text) == (outcome, text, score, "")
    assert domain.judge(problem, " ").outcome is Outcome.UNPARSED
    assert domain.written("3") == "\\boxed{3}"  # the form that its rewards read
    assert "Question: Double 10.\nAnswer: \\boxed{20}\n" in few_shot_style(domain).solver(problem)


def test_a_taskset_passes_every_check() -> None:
    domain = load_domain("verifiers", {"environment": DOUBLING, "config": {"split": "train"}})
    assert not [check for check in validate_domain(domain) if not check.passed]


def test_splits_are_kept() -> None:
    domain = VerifiersDomain(DOUBLING, test_config={"split": "test"})
    held_out = [each.text for each in domain.test_sets()["test"]]
    assert held_out == [f"Double {n}." for n in range(28, 34)]
    assert [each.text for each in domain.seeds()] == [f"Double {n}." for n in range(10, 28)]  # 28 and 29 are held out
    test = problem_of(domain.test_sets()["test"][0], domain.name, Origin.PROCEDURAL)
    assert domain.judge(test, "\\boxed{56}").outcome is Outcome.CORRECT


def test_rewards_that_fail_are_no_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    domain = VerifiersDomain(DOUBLING)
    problem = problem_of(domain.seeds()[0], domain.name, Origin.SEED)
    with pytest.raises(DomainError, match="network"):
        domain.judge(problem, "network")
    with pytest.raises(DomainError, match="has another train task"):
        VerifiersDomain(DOUBLING, config={"split": "test"}).judge(problem, "20")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("OfTools", "gives its model tools"),
        ("OfPrepared", r"prepares its tasks in a runtime \(setup\)"),
        ("OfRuntime", r"rewards that look into a runtime \(wrote_a_file\)"),
        ("OfStateful", "keeps state between turns"),
        ("OfStopping", "have several turns"),
        ("OfUnrewarded", "has no reward"),
        ("OfContainer", "needs a container"),
        ("OfNoPrompt", "simulated user"),
        ("OfTurns", "begins with user, assistant, user"),
        ("Nothing", "cannot be imported"),
        ("Data", "is no verifiers.v1 Taskset"),
    ],
)
def test_what_cannot_be_played_is_refused_by_name(name: str, reason: str) -> None:
    with pytest.raises(DomainError, match=reason) as failure:
        VerifiersDomain(f"verifiers_tasksets:{name}")
    assert "\n" not in str(failure.value)


def test_wrong_options_are_one_line() -> None:
    with pytest.raises(DomainError, match="its own: split"):
        VerifiersDomain(DOUBLING, config={"spilt": "train"})
    with pytest.raises(DomainError, match="limit is 0"):
        VerifiersDomain(DOUBLING, limit=0)


def test_an_environment_is_code_to_be_named_again() -> None:
    assert code_named("verifiers", {"environment": DOUBLING}) == f"domain_options.environment={DOUBLING}"
    assert code_named("reasoning_gym", {"family": "gcd"}) == ""
