"""A target set: what is near to an unsolved target and no longer than it is aimed well; nothing held out is one."""

from pathlib import Path

import pytest
from candidates import DOMAIN, problem

from curriculum.domains.likeness import alike, tokens_of
from curriculum.domains.seed_files import DomainError
from curriculum.domains.sums import SumsDomain
from curriculum.holdout import HeldOut
from curriculum.selection.aim import MOST_TARGETS, Targets, targets_of

HELD_OUT = HeldOut(DOMAIN, "key")


def test_an_evaluation_set_is_aimed_at_without_what_is_held_out_of_it() -> None:
    targets = targets_of("add2", DOMAIN, HELD_OUT)
    assert len(targets.problems) == MOST_TARGETS and {each.family[:5] for each in targets.problems} == {"dd+dd"}
    assert not any(HELD_OUT.contains(each.canonical) for each in targets.problems)
    assert targets_of("add2", DOMAIN, HELD_OUT).problems == targets.problems


def test_the_nearest_unsolved_target_counts_and_length_is_charged() -> None:
    targets = Targets((problem("34 + 15"), problem("5 * 7")), DOMAIN)
    both = targets.unsolved(lambda each: 0.3)
    assert both == targets.problems
    assert targets.aim(problem("27 + 61"), both) == 1.0
    assert targets.aim(problem("3 + 4"), both) == pytest.approx(5 / 7), "+d +d and +dd +dd"
    long = targets.aim(problem("27 + 61 + 12"), both)  # +dd +dd +dd: 7 of 11 characters, 6 of 9 tokens
    assert long == pytest.approx(7 / 11 * 6 / 9)
    left = targets.unsolved(lambda each: 0.95 if "*" in each.text else 0.3)
    assert left == targets.problems[:1] and targets.aim(problem("8 * 9"), left) < targets.aim(problem("8 * 9"), both)
    assert targets.unsolved(lambda each: 0.9) == () and targets.aim(problem("3 + 4"), ()) == 1.0


def test_a_domain_without_a_closeness_is_compared_by_tokens() -> None:
    domain = SumsDomain(2, 6)
    targets = targets_of(next(iter(domain.evaluation_sets())), domain, HeldOut(domain, "key"))
    one, other = targets.problems[:2]
    assert targets.domain.closeness(one, other) == alike(tokens_of(one.canonical), tokens_of(other.canonical))
    assert tokens_of("+38 x1 né") == ["+", "3", "8", "x", "1", "né"]
    assert alike([], []) == 1.0 and alike(["a"], []) == 0.0 and alike([*"+38"], [*"+39"]) == pytest.approx(2 / 3)


def test_a_file_is_aimed_at(tmp_path: Path) -> None:
    path = tmp_path / "targets.jsonl"
    path.write_text('{"text": "1 * 2 + 3"}\n\n{"text": "9 - 4"}\n')
    found = targets_of(str(path), DOMAIN, HELD_OUT)
    assert sorted(each.text for each in found.problems) == ["1 * 2 + 3", "9 - 4"]
    held_out = next(iter(HELD_OUT.sets["add2"]))
    path.write_text(f'{{"text": "{held_out.text}"}}\n{{"text": "9 - 4"}}\n')
    assert [each.text for each in targets_of(str(path), DOMAIN, HELD_OUT).problems] == ["9 - 4"]


@pytest.mark.parametrize(
    ("written", "said"),
    [
        (None, r"challenger\.aim=.*no such file or set: give one of add1, add2"),
        ("", r"challenger\.aim: .* has no problems"),
        ("34 + 15\n", r":1: not JSON"),
        ('{"text": "1 +"}\n', r":1: the domain rejects this problem as UNPARSED"),
        ("held out", "all of its problems are held out"),
    ],
)
def test_what_cannot_be_aimed_at_is_one_line(tmp_path: Path, written: str | None, said: str) -> None:
    path = tmp_path / "targets.jsonl"
    if written == "held out":
        written = f'{{"text": "{next(iter(HELD_OUT.sets["add2"])).text}"}}\n'
    if written is not None:
        path.write_text(written)
    with pytest.raises(DomainError, match=said) as refused:
        targets_of(str(path), DOMAIN, HELD_OUT)
    assert "\n" not in str(refused.value)


def test_a_test_set_is_refused() -> None:
    class WithTest(type(DOMAIN)):  # type: ignore[misc]
        def test_sets(self):  # type: ignore[no-untyped-def]
            return {"exam": [self.parse("77 + 88")]}

    domain = WithTest()
    with pytest.raises(DomainError, match="exam: this test set is held out whole"):
        targets_of("exam", domain, HeldOut(domain, "key"))
