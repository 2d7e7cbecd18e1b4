"""The arithmetic domain: syntax, canonical form, families, levels, verdicts, sets; and loading and checking domains."""

import random
import re
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curriculum.domains.arithmetic.domain import ArithmeticDomain
from curriculum.domains.loading import load_domain
from curriculum.domains.protocol import Statement, problem_id_of, problem_of
from curriculum.domains.seed_files import DomainError
from curriculum.validation import validate_domain
from store.records import Fate, Origin, Outcome, Problem

DOMAIN = ArithmeticDomain()


def statement(text: str) -> Statement:
    parsed = DOMAIN.parse(text)
    assert isinstance(parsed, Statement), (text, parsed)
    return parsed


def problem(text: str) -> Problem:
    return problem_of(statement(text), "arithmetic", Origin.CHALLENGER)


def test_a_statement_in_full() -> None:
    assert statement(" 47+38 ") == Statement("47 + 38", "+38 +47", "dd+dd c1", 3, "85", "executed")


@pytest.mark.parametrize(
    ("text", "fate"),
    [
        ("", Fate.UNPARSED),
        ("3 x 4", Fate.UNPARSED),
        ("3 \u00d7 4", Fate.UNPARSED),
        ("07 + 1", Fate.UNPARSED),
        ("3 + -4", Fate.UNPARSED),
        ("-3 + 4", Fate.UNPARSED),
        ("(3 + 4)", Fate.UNPARSED),
        ("3 + 4 =", Fate.UNPARSED),
        ("3 + 4\n5 + 6", Fate.UNPARSED),
        ("3 + 4\n", Fate.UNPARSED),
        ("3 4", Fate.UNPARSED),
        ("٣ + ٤", Fate.UNPARSED),
        ("3 ** 4", Fate.UNPARSED),
        ("8 / 2", Fate.UNPARSED),
        ("17", Fate.INVALID),
        ("3 - 5", Fate.INVALID),
        ("1 - 2 * 3 + 4", Fate.INVALID),
        ("1234 + 1", Fate.TOO_LARGE),
        ("1 + 2 + 3 + 4 + 5", Fate.TOO_LARGE),
        ("999 * 999 * 2", Fate.TOO_LARGE),
        ("1+" * 50_000 + "1", Fate.TOO_LARGE),
    ],
)
def test_rejections_have_their_names(text: str, fate: Fate) -> None:
    assert DOMAIN.parse(text) is fate


def test_the_value_limit_is_exact() -> None:
    small = ArithmeticDomain(max_value=100)
    assert isinstance(small.parse("98 + 1"), Statement)
    assert small.parse("98 + 2") is Fate.TOO_LARGE


@given(st.text(max_size=200) | st.text(alphabet="0123456789 +-*=\n", max_size=60))
@settings(max_examples=200, deadline=None)
def test_parse_and_judge_never_raise(text: str) -> None:
    assert isinstance(DOMAIN.parse(text), Statement | Fate)
    assert DOMAIN.judge(problem("3 + 4"), text)[0] in (Outcome.CORRECT, Outcome.INCORRECT, Outcome.UNPARSED)


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("3 + 5 - 2", "+3 +5 -2"),
        ("5 - 2 + 3", "+3 +5 -2"),
        ("10 + 9", "+9 +10"),
        ("4 * 3", "+3*4"),
        ("9 - 4 * 2", "+9 -2*4"),
        ("7 + 3 * 2", "+2*3 +7"),
        ("9 - 4", "+9 -4"),
    ],
)
def test_canonical_forms(text: str, canonical: str) -> None:
    assert statement(text).canonical == canonical


operands = st.integers(min_value=0, max_value=999)


@given(st.lists(operands, min_size=2, max_size=4), st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_reordered_sums_and_products_are_the_same_problem(numbers: list[int], rng: random.Random) -> None:
    shuffled = rng.sample(numbers, len(numbers))
    for operator in (" + ", " * "):
        first, second = (DOMAIN.parse(operator.join(map(str, order))) for order in (numbers, shuffled))
        assert isinstance(first, Statement) == isinstance(second, Statement)
        if isinstance(first, Statement) and isinstance(second, Statement):
            same = (first.canonical, first.family, first.level, first.answer)
            assert same == (second.canonical, second.family, second.level, second.answer)
            assert DOMAIN.parse(first.text) == first


@given(st.lists(operands, min_size=2, max_size=3), st.lists(operands, min_size=2, max_size=3))
@settings(max_examples=60, deadline=None)
def test_equal_canonical_forms_have_equal_answers(left: list[int], right: list[int]) -> None:
    first, second = statement(" + ".join(map(str, left))), statement(" + ".join(map(str, right)))
    assert (first.canonical == second.canonical) == (sorted(left) == sorted(right))


@pytest.mark.parametrize(
    ("text", "family", "level"),
    [
        ("3 + 4", "d+d", 1),
        ("5 + 42", "dd+d", 2),
        ("5 + 47", "dd+d c1", 2),
        ("47 + 31", "dd+dd", 3),
        ("64 + 62", "dd+dd c1", 3),
        ("78 + 96", "dd+dd c2", 3),
        ("7 - 3", "d-d", 2),
        ("47 - 38", "dd-dd c1", 4),
        ("100 - 1", "ddd-d c2", 4),
        ("9 + 8 - 7", "d+d-d c1", 4),
        ("99 * 99 + 99", "dd*dd+dd", 10),
        ("3 * 4", "d*d", 2),
        ("4 * 13", "dd*d", 4),
        ("12 * 13", "dd*dd", 7),
        ("1 + 2 + 3", "d+d+d", 3),
        ("8 - 3 + 2", "d+d-d", 4),
        ("2 + 3 * 4", "d*d+d", 4),
        ("100 + 200", "ddd+ddd", 5),
    ],
)
def test_families_and_levels(text: str, family: str, level: int) -> None:
    assert (statement(text).family, statement(text).level) == (family, level)


@pytest.mark.parametrize(
    ("parent", "child", "trivial"),
    [
        ("3 + 4", "4 + 3", True),
        ("3 + 4", "3 + 4 + 0", True),
        ("3 + 4", "4 + 3 * 1", True),
        ("3 + 4", "3 + 4 - 0", True),
        ("3 + 4 + 0", "3 + 4", True),
        ("3 + 4", "3 + 5", False),
        ("3 + 4", "3 + 4 + 1", False),
        ("3 + 4", "3 * 4", False),
        ("3 + 4", "3 + 4 * 0", False),
    ],
)
def test_trivial_edits(parent: str, child: str, trivial: bool) -> None:
    assert DOMAIN.is_trivial_edit(problem(parent), statement(child)) is trivial


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("68", (Outcome.CORRECT, "68")),
        (" 68 ", (Outcome.CORRECT, "68")),
        ("67", (Outcome.INCORRECT, "67")),
        ("-68", (Outcome.INCORRECT, "-68")),
        ("068", (Outcome.UNPARSED, None)),
        ("-0", (Outcome.UNPARSED, None)),
        ("68.0", (Outcome.UNPARSED, None)),
        ("68 69", (Outcome.UNPARSED, None)),
        ("= 68", (Outcome.UNPARSED, None)),
        ("٦٨", (Outcome.UNPARSED, None)),
        ("", (Outcome.UNPARSED, None)),
        ("9" * 5000, (Outcome.UNPARSED, None)),
    ],
)
def test_verdicts(text: str, verdict: tuple[Outcome, str | None]) -> None:
    assert DOMAIN.judge(problem("23 + 45"), text) == verdict


def test_the_verdict_is_from_executing_the_expression_not_from_the_stored_answer() -> None:
    asked = problem("23 + 45")
    mistold = Problem(asked.problem_id, "arithmetic", "23 + 46", "", "", 1, "68", "seed", Origin.SEED)
    assert DOMAIN.judge(mistold, "69") == (Outcome.CORRECT, "69")


def test_what_the_sandbox_cannot_run_is_unjudged() -> None:
    broken = Problem("0", "arithmetic", "23 +", "", "", 1, "23", "seed", Origin.SEED)
    assert DOMAIN.judge(broken, "23") == (Outcome.UNJUDGED, "23")


def test_an_observation_says_on_which_side_a_number_is() -> None:
    seen = {text: DOMAIN.observation(problem("3 + 4"), text) for text in (" -7", " 7", " 8", " seven")}
    assert seen == {" -7": "too low", " 7": "equal", " 8": "too high", " seven": "no number"}


def test_the_question_shows_the_problem() -> None:
    assert DOMAIN.question(problem("23+45")) == "23 + 45 ="


def test_problem_ids_depend_on_domain_and_canonical_form_alone() -> None:
    assert problem("3 + 4").problem_id == problem("4 + 3").problem_id == problem_id_of("arithmetic", "+3 +4")
    assert problem("3 + 4").problem_id != problem_id_of("other", "+3 +4")
    assert problem_id_of("arithmetic", "+3 +4") == "1fbb5fdd706eccdb"


def test_examples_are_right() -> None:
    for question, answer in DOMAIN.solver_examples:
        assert statement(question.removesuffix(" =")).answer == answer
    for easy, harder in DOMAIN.escalation_examples:
        assert statement(harder).level >= statement(easy).level
    assert len(DOMAIN.shown_examples()) == len(DOMAIN.solver_examples) + 2 * len(DOMAIN.escalation_examples)


def test_evaluation_sets_have_every_member_once() -> None:
    sizes = {name: len(members) for name, members in DOMAIN.evaluation_sets().items()}
    # 10*11/2; 90*91/2; pairs a >= b of 90; 220 sums and what is left of a+b-c and a-b-c; 8*9/2
    assert sizes == {"add1": 55, "add2": 4095, "sub2": 4095, "three": _num_three(), "mul1": 36}
    texts = [member.text.split(" + ") for member in DOMAIN.evaluation_sets()["add2"]]
    smaller_first = sum(int(a) < int(b) for a, b in texts)
    assert 0.4 < smaller_first / len(texts) < 0.6


def _num_three() -> int:
    digits = range(10)
    sums = {tuple(sorted((a, b, c))) for a in digits for b in digits for c in digits}
    one_minus = {(tuple(sorted((a, b))), c) for a in digits for b in digits for c in digits if a + b >= c}
    two_minus = {(a, tuple(sorted((b, c)))) for a in digits for b in digits for c in digits if a >= b + c}
    return len(sums) + len(one_minus) + len(two_minus)


@given(st.integers(min_value=1, max_value=40), st.integers())
@settings(max_examples=40, deadline=None)
def test_draws_are_valid_and_deterministic(level: int, seed: int) -> None:
    drawn = DOMAIN.draw(random.Random(seed), level)
    assert drawn == DOMAIN.draw(random.Random(seed), level) == DOMAIN.parse(drawn.text)
    assert drawn.level == level or level > 15
    assert drawn.level <= level


def test_draws_can_be_limited_to_shapes_and_nothing_else_is() -> None:
    limited = ArithmeticDomain(max_operands=2, max_digits=2, drawn_shapes=["dd+dd", "dd-dd"])
    assert list(limited.levels) == [3, 4]
    for level, form in ((3, r"[1-9][0-9] \+ [1-9][0-9]"), (4, r"[1-9][0-9] - [1-9][0-9]"), (9, r"\d\d - \d\d")):
        drawn = {limited.draw(random.Random(seed), level).text for seed in range(200)}
        assert len(drawn) > 150 and all(re.fullmatch(form, text) for text in drawn)
    with pytest.raises(ValueError, match="levels start at 3"):
        limited.draw(random.Random(0), 2)
    every = ArithmeticDomain(max_operands=2, max_digits=2)
    assert limited.parse("3 * 4") == every.parse("3 * 4") and limited.seeds() == every.seeds()
    assert limited.evaluation_sets() == every.evaluation_sets()


def test_a_users_seeds_are_read(tmp_path: Path) -> None:
    path = tmp_path / "seeds.jsonl"
    path.write_text('{"text": "1+2"}\n\n{"text": "9 - 3"}\n')
    assert [seed.text for seed in ArithmeticDomain(seeds_path=str(path)).seeds()] == ["1 + 2", "9 - 3"]


def test_evaluation_sets_beyond_the_limits_are_left_out() -> None:
    assert set(ArithmeticDomain(max_operands=2, max_digits=1).evaluation_sets()) == {"add1", "mul1"}


def test_shipped_seeds_beyond_the_limits_are_left_out_and_a_users_own_are_not(tmp_path: Path) -> None:
    every, smaller = ArithmeticDomain().seeds(), ArithmeticDomain(max_operands=2, max_digits=1).seeds()
    assert {seed.text for seed in every} - {seed.text for seed in smaller} == {"2 + 3 + 4", "8 - 3 + 2"}
    path = tmp_path / "seeds.jsonl"
    path.write_text('{"text": "2 + 3 + 4"}')
    with pytest.raises(DomainError, match=":1: the domain rejects this problem as TOO_LARGE"):
        ArithmeticDomain(max_operands=2, seeds_path=str(path)).seeds()


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("", "no problems"),
        ("nonsense", ":1: not JSON"),
        ('{"text": "1 + 2"}\n{"text": "2 + 1"}', ":2: the same problem"),
        ('{"text": "1 - 2"}', ":1: the domain rejects this problem as INVALID"),
        ('{"text": 3}', ":1: a seed is"),
        ('{"text": "1 + 2", "answer": "4"}', ":1: a seed is"),
    ],
)
def test_bad_seed_files_are_one_clear_line(tmp_path: Path, content: str, complaint: str) -> None:
    path = tmp_path / "seeds.jsonl"
    path.write_text(content)
    with pytest.raises(DomainError, match=complaint) as raised:
        ArithmeticDomain(seeds_path=str(path)).seeds()
    assert "\n" not in str(raised.value)


class EchoDomain(ArithmeticDomain):
    """A domain of a user's own, found by dotted path."""

    name = "echo"


class MuteDomain:
    """Lacks everything but a name."""

    name = "mute"


class CredulousDomain(ArithmeticDomain):
    """Believes every answer, and lets one example out of its list."""

    def judge(self, problem: Problem, text: str) -> tuple[Outcome, str | None]:
        return Outcome.CORRECT, text

    def shown_examples(self) -> Sequence[Statement]:
        return super().shown_examples()[1:]


class HastyDomain(ArithmeticDomain):
    """Its `state` is no text for some texts."""

    def state(self, problem: Problem, text: str) -> str | None:
        return None if text.isascii() else text.split()  # type: ignore[return-value]


class FragileDomain(ArithmeticDomain):
    """Its `state` raises on some texts."""

    def state(self, problem: Problem, text: str) -> str | None:
        return text.split()[0]


class EndlessDomain(ArithmeticDomain):
    """Steps end with nothing."""

    step_ends = (",", "")


class LooseDomain(ArithmeticDomain):
    """One text in place of a sequence of texts."""

    step_ends = ", "


def test_domains_are_loaded_by_name_and_by_path() -> None:
    assert load_domain("arithmetic", {"max_digits": 2}).parse("100 + 1") is Fate.TOO_LARGE
    assert load_domain(f"{__name__}:EchoDomain").name == "echo"


@pytest.mark.parametrize(
    ("name", "options", "complaint"),
    [
        ("algebra", {}, "my_package.my_module:MyDomain"),
        ("no_such_package:Domain", {}, "cannot import no_such_package"),
        (f"{__name__}:Missing", {}, "has no class Missing"),
        (f"{__name__}:MuteDomain", {}, r"lacks seeds\(\), judge\(problem, text\)"),
        ("arithmetic", {"max_digit": 2}, "max_digit"),
        ("arithmetic", {"max_digits": 0}, "from 1 to 9"),
        (
            "arithmetic",
            {"max_operands": 2, "max_digits": 1, "drawn_shapes": ["dd+dd"]},
            r"'dd\+dd' is none of the 3 shapes",
        ),
        ("arithmetic", {"drawn_shapes": "dd+dd"}, "must be a list"),
    ],
)
def test_a_domain_that_cannot_be_used_is_one_clear_line(name: str, options: dict[str, object], complaint: str) -> None:
    with pytest.raises(DomainError, match=complaint) as raised:
        load_domain(name, options)
    assert "\n" not in str(raised.value)


def test_validate_domain_passes_ours_and_names_what_is_wrong_with_another() -> None:
    assert [check for check in validate_domain(DOMAIN) if not check.passed] == []
    failed = {check.name for check in validate_domain(CredulousDomain()) if not check.passed}
    assert failed == {"wrong answers are INCORRECT", "examples are in no held-out set"}


@pytest.mark.parametrize(
    ("domain", "check", "detail"),
    [
        (HastyDomain(), "parse, judge and state never raise", "not a text or None"),
        (FragileDomain(), "parse, judge and state never raise", "raised IndexError"),
        (EndlessDomain(), "ends of steps are strings", "'' ends a step"),
        (LooseDomain(), "ends of steps are strings", "is the text ', '"),
    ],
)
def test_validate_domain_sees_what_a_search_could_not_use(domain: ArithmeticDomain, check: str, detail: str) -> None:
    [failed] = [each for each in validate_domain(domain) if not each.passed]
    assert failed.name == check and detail in failed.detail
