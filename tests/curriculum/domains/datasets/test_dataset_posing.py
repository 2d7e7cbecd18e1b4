"""Questions that a challenger poses in a file's own form: what is one, what its label is, and what the gates see."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from curriculum.domains.abilities import ability, able
from curriculum.domains.datasets.domain import DatasetDomain
from curriculum.domains.protocol import Posable, Statement, problem_of
from curriculum.domains.seed_files import DomainError
from curriculum.holdout import HeldOut
from curriculum.selection.admission import triage
from curriculum.validation import validate_domain
from roles.prompts import few_shot_style
from selfplay.config.files import load
from selfplay.config.needs import require_abilities
from store.records import Fate, Finish, Origin, Outcome, Problem

PLAIN = [{"question": f"Ann has {n} pens.\nShe buys 4. How many now?", "answer": str(n + 4)} for n in range(1, 21)]
PROGRAMS = [
    {"question": f"Ann has {n} pens and buys 4. How many now?", "code": f"answer = {n} + 4"} for n in range(1, 11)
] + [
    {"question": f"Bo sleeps {n} hours and runs {n} more. How many minutes?", "code": f"a = {n} + {n}\na * 60"}
    for n in range(2, 12)
]  # fmt: skip
NEW = "Eve has 30 pens and loses 5. How many now?"


def loaded(folder: Path, rows: Sequence[Mapping[str, Any]], **options: Any) -> DatasetDomain:
    path = folder / "rows.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    return DatasetDomain(str(path), **({"posed": True} | options))


def parent(domain: DatasetDomain, place: int = 0) -> Problem:
    return problem_of(domain.seeds()[place], domain.name, Origin.SEED)


def fate_of(domain: DatasetDomain, text: str, known: Sequence[str] = (), place: int = 0) -> Fate:
    held_out = HeldOut(domain, "selfplay-1")
    asked = ability(domain, Posable)
    return triage(parent(domain, place), text, Finish.STOP, asked, known.__contains__, held_out, set())[0]


@pytest.mark.parametrize("options", [{}, {"examples": 4}, {"pairs": 0}])
@pytest.mark.parametrize("rows", [PLAIN, PROGRAMS])
def test_a_posed_dataset_passes_every_check(
    tmp_path: Path, rows: Sequence[Mapping[str, Any]], options: dict[str, Any]
) -> None:
    domain = loaded(tmp_path, rows, **options)
    assert able(domain, Posable) is not None and [check for check in validate_domain(domain) if not check.passed] == []


def test_a_question_without_a_program_has_no_answer(tmp_path: Path) -> None:
    domain = loaded(tmp_path, PLAIN)
    found = domain.parse(f"  {NEW} ")
    assert isinstance(found, Statement) and (found.text, found.answer, found.answer_source) == (NEW, "", "none")
    posed = problem_of(found, domain.name, Origin.CHALLENGER)
    assert domain.judge(posed, "that is 25") == (Outcome.UNJUDGED, "25")
    assert domain.judge(posed, "many") == (Outcome.UNPARSED, None)
    assert domain.question(posed) == f"Question: {NEW}\nAnswer:"


def test_a_program_is_executed_for_the_label_and_not_shown(tmp_path: Path) -> None:
    domain = loaded(tmp_path, PROGRAMS)
    found = domain.parse(f"{NEW} | left=30-5; answer=left+5-5")
    assert isinstance(found, Statement) and (found.answer, found.answer_source, found.level) == ("25", "executed", 3)
    assert found.text == f"{NEW} | left = 30 - 5; answer = left + 5 - 5"
    assert domain.parse(found.text) == found
    posed = problem_of(found, domain.name, Origin.CHALLENGER)
    assert domain.judge(posed, "25")[0] is Outcome.CORRECT and domain.judge(posed, "26")[0] is Outcome.INCORRECT
    assert domain.question(posed) == f"Question: {NEW}\nAnswer:"


@pytest.mark.parametrize(
    ("text", "fate"),
    [
        ("", Fate.UNPARSED),
        (" ?", Fate.UNPARSED),
        ("Eve has 30 pens", Fate.UNPARSED),  # no row ends in a letter
        (f"{NEW}\n{NEW}", Fate.UNPARSED),
        (f"{NEW}\u2028{NEW}", Fate.UNPARSED),
        (f"\u202e{NEW}", Fate.UNPARSED),
        ("a\0b?", Fate.UNPARSED),
        ("\ud800?", Fate.UNPARSED),
        ("a" * 400 + "?", Fate.TOO_LARGE),
        ("a" * 200_000, Fate.TOO_LARGE),
        ("What is 3? Answer: 3. And 4?", Fate.INVALID),
        ("What is 3? harder: What is 4?", Fate.INVALID),
    ],
)
def test_what_is_no_question_is_rejected_by_name(tmp_path: Path, text: str, fate: Fate) -> None:
    assert loaded(tmp_path, PLAIN).parse(text) is fate
    assert loaded(tmp_path, PROGRAMS).parse(f"{text} | 3 + 4" if text else text) is fate


@pytest.mark.parametrize(
    ("program", "fate"),
    [
        ("", Fate.UNPARSED),
        (" | 3 +", Fate.UNPARSED),
        (" | 30 - 5 | 25", Fate.UNPARSED),
        (" | 25", Fate.INVALID),  # computes nothing
        (" | 30 / 0", Fate.INVALID),
        (" | 30 - 7", Fate.INVALID),  # the question names no 7
        (" | (30 - 5) * 60", Fate.ACCEPTED),  # rows use a 60 that they do not name
        (" | (30 - 5) * 1000", Fate.INVALID),
        (" | 30 + 30", Fate.INVALID),  # all rows use every number that they name, and the 5 is not used
        (" | 30 - 5 + 5", Fate.INVALID),  # no row names its answer
        (" | '30' + 'five'", Fate.INVALID),  # the answers of the file are numbers
        (" | x = 30 - 5", Fate.INVALID),
        (" | while 30 - 5: pass", Fate.INVALID),
        (" | def solution(): return 30 - 5", Fate.ACCEPTED),
        (" | import os; os.system('true') + 30 - 5", Fate.INVALID),
        (" | 30 - 5" + " + 30" * 80, Fate.TOO_LARGE),
    ],
)
def test_what_is_no_program_of_it_is_rejected_by_name(tmp_path: Path, program: str, fate: Fate) -> None:
    assert fate_of(loaded(tmp_path, PROGRAMS), NEW + program) is fate


@pytest.mark.parametrize(("rows", "program"), [(PLAIN, ""), (PROGRAMS, " | 2 + 4")])
def test_the_gates_see_what_the_file_has(tmp_path: Path, rows: Sequence[Mapping[str, Any]], program: str) -> None:
    domain = loaded(tmp_path, rows, examples=2)
    known = [problem_of(each, domain.name, Origin.SEED).problem_id for each in domain.seeds()]
    held_out = domain.test_sets()["test"][0].text.partition(" | ")[0]
    for text in (held_out, held_out.upper(), held_out.replace(".", "  !").replace(" how", "  HOW")):
        assert fate_of(domain, f"{text}{program}", known) is Fate.HELD_OUT
    assert fate_of(domain, domain.seeds()[1].text.lower(), known) is Fate.DUPLICATE
    assert fate_of(domain, domain.seeds()[0].text.replace("?", " ?"), known) is Fate.TRIVIAL_EDIT
    shown = domain.solver_examples[0][0].removeprefix("Question: ").removesuffix("\nAnswer:")
    assert fate_of(domain, f"{shown}{program}", known) is Fate.INVALID, "the solver is told its answer"


def test_what_more_than_a_rare_row_does_a_proposal_may(tmp_path: Path) -> None:
    rows = [
        {"question": f"Of {n} cats 3 are black, 4 red and 7 old. How many are black or red?", "code": "3 + 4"}
        for n in (12, 13)
    ]
    for written in ("30 + 30", "30 - 5 + 5"):  # a number that is not used, an answer that is named
        assert fate_of(loaded(tmp_path, [*PROGRAMS, rows[0]]), f"{NEW} | {written}") is Fate.INVALID
        assert fate_of(loaded(tmp_path, [*PROGRAMS, *rows]), f"{NEW} | {written}") is Fate.ACCEPTED


def test_the_parents_program_in_other_words_is_nothing_new(tmp_path: Path) -> None:
    domain = loaded(tmp_path, PROGRAMS)
    numbers, program = [n for n in domain.seeds()[0].text if n.isdigit()], domain.seeds()[0].text.partition(" | ")[2]
    assert fate_of(domain, f"Eve has {numbers[0]} cats, {numbers[1]} dogs. How many? | {program}") is Fate.TRIVIAL_EDIT
    assert fate_of(domain, f"Eve has {numbers[0]} cats. How many? | {numbers[0]} + {numbers[0]}") is Fate.ACCEPTED


def test_a_proposal_has_the_family_and_level_of_the_row_most_like_it(tmp_path: Path) -> None:
    rows = [row | {"type": "pens", "level": "Level 2"} for row in PLAIN] + [
        {"question": f"What rhymes with {word}?", "answer": "3", "type": "rhymes", "level": 5}
        for word in ("cat", "hat", "tree", "hound", "mouse", "star", "moon", "lake")
    ]
    domain = loaded(tmp_path, rows)
    found = [domain.parse(text) for text in (NEW, "What rhymes with house?")]
    assert [(each.family, each.level) for each in found if isinstance(each, Statement)] == [("pens", 2), ("rhymes", 5)]


def test_the_challenger_is_shown_pairs_of_rows(tmp_path: Path) -> None:
    domain = loaded(tmp_path, PROGRAMS, pairs=3, examples=2)
    texts = {each.text: each.level for each in domain.seeds()}
    assert len(domain.escalation_examples) == 3
    assert all(texts[easy] <= texts[hard] and easy[:3] == hard[:3] for easy, hard in domain.escalation_examples[:2])
    levels = [row | {"level": 1 + n % 3} for n, row in enumerate(PROGRAMS)]
    graded = loaded(tmp_path, levels, pairs=3)
    texts = {each.text: each.level for each in graded.seeds()}
    assert [(texts[easy], texts[hard]) for easy, hard in graded.escalation_examples] == [(1, 2), (2, 3), (1, 2)]
    prompt = few_shot_style(domain).challenger(parent(domain))
    assert prompt.count(" | ") == 7 and prompt.endswith(f"Easy: {domain.seeds()[0].text}\nHarder:")
    alike = loaded(tmp_path, PLAIN, pairs=2)
    assert len({text for pair in alike.escalation_examples for text in pair}) == 4
    assert all("\n" not in text for pair in alike.escalation_examples for text in pair)
    assert loaded(tmp_path, PLAIN[:4], pairs=9).escalation_examples


def test_a_program_of_several_lines_is_practised_and_not_shown(tmp_path: Path) -> None:
    loop = {"question": "What is 1 + 2 + 3?", "code": "total = 0\nfor i in range(4):\n    total += i\ntotal"}
    domain = loaded(tmp_path, [*PROGRAMS, loop], test_share=0.01)
    found = next(each for each in domain.seeds() if "2 + 3" in each.text)
    assert (found.text, found.answer) == ("What is 1 + 2 + 3?", "6") and domain.parse(found.text) == found


@pytest.mark.parametrize(
    ("row", "options", "words"),
    [
        ({"choices": ["x", "y"], "answer": "x"}, {}, "rows.jsonl:1: it has choices, which domain_options.posed=true"),
        ({"question": "a | b?", "program": "3"}, {}, "rows.jsonl:1: the question has ' | ' in it"),
        ({"question": "a? |", "program": "3"}, {}, "rows.jsonl:1: the question has ' | ' in it"),
        ({"answer": "3"}, {"posed": "yes"}, "domain_options.posed is 'yes': it must be true or false"),
        ({"answer": "3"}, {"pairs": -1}, "domain_options.pairs is -1: it must be an integer from 0 to 32"),
        ({"answer": "3"}, {"max_chars": 0}, "domain_options.max_chars is 0: it must be an integer from 10"),
    ],
)
def test_what_cannot_be_posed_is_one_line(
    tmp_path: Path, row: dict[str, Any], options: dict[str, Any], words: str
) -> None:
    with pytest.raises(DomainError, match=words) as caught:
        loaded(tmp_path, [{"question": "a?"} | row], **options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("source", ["self", "frozen"])
def test_a_verifier_is_refused_where_nobody_knows_the_answer(tmp_path: Path, source: str) -> None:
    def config(judge: str) -> Any:
        return load(None, [f"challenger.source={source}", f"judge.source={judge}"])

    plain = loaded(tmp_path, PLAIN)
    with pytest.raises(DomainError, match=f"{source} poses: .*Set judge.source=majority or judge.source=model"):
        require_abilities(config("verifier"), plain)
    require_abilities(config("majority"), plain)
    require_abilities(config("model"), plain)
    require_abilities(load(None, ["challenger.source=none"]), plain)
    require_abilities(config("verifier"), loaded(tmp_path, PROGRAMS))
    with pytest.raises(DomainError, match=r"parse\(text\), which dataset lacks: set domain_options.posed=true"):
        require_abilities(config("majority"), loaded(tmp_path, PLAIN, posed=False))


def test_all_rows_may_be_kept_for_evaluation(tmp_path: Path) -> None:
    domain = loaded(tmp_path, PROGRAMS, test_share=1.0)
    assert len(domain.test_sets()["test"]) == 20 and able(domain, Posable) is None
