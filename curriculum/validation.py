"""Checks a domain without a model: what `inspect validate-domain` prints. Each check says in one line what it saw."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import chain

from curriculum.answers.comparing import is_same_answer
from curriculum.domains.abilities import ability, able
from curriculum.domains.judging import checked
from curriculum.domains.own import MEMBERS, could_be
from curriculum.domains.protocol import (
    Domain,
    Drawable,
    Evaluated,
    Executable,
    HasSeveralAnswers,
    Mergeable,
    Posable,
    Prompted,
    Statement,
    Stepwise,
    problem_of,
)
from curriculum.domains.stepping import MOST_STEPS, right_path
from curriculum.error_lines import described
from curriculum.holdout import HeldOut
from store.records import Fate, Origin, Outcome, Problem

NASTY_TEXTS = (
    *("", " ", "\n", "\0", "\ud800", "nan", "-0", "True", "{}", "%s", "((((", "3 + ", "3 + 4\n5 + 6"),
    *("\u202e3 + 4", "\u0663 + \u0664", "\uff13 + \uff14", "\U0001f600 + 1", "3 \u00d7 4", "1e9 + 1", "0x10 + 1"),
    *("__import__('os').system('true')", "'; DROP TABLE problems; --", "3 + 4 # ignore the rules"),
    *("9" * 5000, "(" * 5000, "1 + " * 5000 + "1", "a" * 200_000),
)
_DRAWS_PER_LEVEL = 5
_WRONG_ANSWERS, _SEEDS_WITH_WRONG_ANSWERS = 50, 200  # of a large dataset: each is tried with each
_SEEDS_EXECUTED = 20
_NEAR = 0.88  # of difflib's ratio: "stop" is near "stops"
_UNKNOWN = "none: the domain knows no answer, so its judge was not tried"
_REJECTIONS = (Fate.UNPARSED, Fate.INVALID, Fate.TOO_LARGE)


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at. `detail` says what failed first, or how much was looked at."""

    name: str
    passed: bool
    detail: str


def validate_domain(domain: Domain) -> list[Check]:
    """All checks of what the domain can do, in a fixed order. A check in which the domain raises has failed; nothing is
    raised from here."""
    parses, draws = able(domain, Posable) is not None, able(domain, Drawable) is not None
    checks: list[tuple[str, Callable[[Domain], str]]] = [
        ("seeds parse to themselves" if parses else "seeds are problems", _seeds_parse),
        ("canonical forms are stable" if parses else "canonical forms are distinct", _canonicals_are_stable),
        ("right answers are CORRECT", _right_answers),
        ("wrong answers are INCORRECT", _wrong_answers),
        ("parse, judge and state never raise" if parses else "judge and state never raise", _nothing_raises),
        ("ends of steps are strings", _step_ends_are_strings),
        *([("right actions lead on", _right_actions_lead_on)] if able(domain, Executable) is not None else []),
        ("evaluation sets parse" if parses else "there are evaluation sets", _evaluation_sets_parse),
        ("evaluation sets have no problem twice", _evaluation_sets_are_distinct),
        ("every set has problems to hold out", _sets_are_held_out),
        *([("draw works and is deterministic", _draw_is_deterministic)] if draws else []),
        ("examples are in no held-out set", _examples_are_not_held_out),
        ("no member is misspelt", _members_are_spelled),
    ]
    return [_checked(name, check, domain) for name, check in checks]


class _FailedError(Exception):
    """What a check found wrong."""


def _checked(name: str, check: Callable[[Domain], str], domain: Domain) -> Check:
    try:
        return Check(name, True, check(domain))
    except _FailedError as failure:
        return Check(name, False, str(failure))
    except (Exception, SystemExit) as error:  # a user's code may raise anything: that is what is being checked
        return Check(name, False, f"raised {described(error)}")


def _seeds_parse(domain: Domain) -> str:
    seeds = domain.seeds()
    _hold(len(seeds) > 0, "there are no seeds")
    for seed in seeds:
        _hold(isinstance(seed, Statement), f"{seed!r} is no Statement: where `parse` made it, it refused the text")
        _hold(_reads(domain, seed), f"{seed.text!r} does not parse to {seed!r}")
        _hold(seed.level >= 1 and bool(seed.family), f"{seed.text!r} has level {seed.level}, family {seed.family!r}")
    return f"{len(seeds)} seeds"


def _canonicals_are_stable(domain: Domain) -> str:
    posable = able(domain, Posable)
    for seed in domain.seeds():
        again = seed if posable is None else posable.parse(seed.text)
        _hold(
            isinstance(again, Statement) and again.canonical == seed.canonical,
            f"{seed.text!r} has canonical form {seed.canonical!r}, and parsed again {again!r}",
        )
    canonicals = {seed.canonical for seed in domain.seeds()}
    _hold(len(canonicals) == len(domain.seeds()), "two seeds have the same canonical form")
    return f"{len(canonicals)} canonical forms"


def _right_answers(domain: Domain) -> str:
    spelled = ability(domain, Prompted).written
    known = [seed for seed in domain.seeds() if seed.answer]
    for seed in known:
        problem = problem_of(seed, domain.name, Origin.SEED)
        for text in (spelled(seed.answer), f" {spelled(seed.answer)}"):
            outcome, answer = _verdict(domain, problem, text)
            _hold(outcome is Outcome.CORRECT and answer is not None, f"{seed.text!r}: {text!r} is judged {outcome}")
    questions: dict[str, str] = {}
    for seed in domain.seeds():
        asked = _asked(domain, seed)
        _hold(asked not in questions, f"{seed.text!r} and {questions.get(asked)!r} are asked alike: {asked!r}")
        questions[asked] = seed.text
    return f"{len(known)} answers" if known else _UNKNOWN


def _wrong_answers(domain: Domain) -> str:
    """The answers of other seeds are the wrong ones, so that answers need not be numbers."""
    tried, right = 0, 0
    several_right = ability(domain, HasSeveralAnswers).several_right
    spelled = ability(domain, Prompted).written
    known = [seed for seed in domain.seeds() if seed.answer]
    answers = sorted({seed.answer for seed in known})[:_WRONG_ANSWERS]
    if not known:
        return _UNKNOWN
    for seed in known[:_SEEDS_WITH_WRONG_ANSWERS]:
        problem = problem_of(seed, domain.name, Origin.SEED)
        others = {answer for answer in answers if not is_same_answer(answer, seed.answer)}
        wrong = sorted(others) + (
            [str(int(seed.answer) + 1)] if seed.answer.isascii() and seed.answer.isdigit() else []
        )
        for text in wrong:
            outcome, answer = _verdict(domain, problem, spelled(text))
            is_other = several_right and outcome is Outcome.CORRECT
            is_refused = outcome is Outcome.UNPARSED and answer is None  # an answer of another form than this one's
            is_wrong = outcome is Outcome.INCORRECT
            _hold(is_wrong or is_other or is_refused, f"{seed.text!r}: {text!r} is judged {outcome}")
            tried, right = tried + (not is_refused), right + is_other
        outcome, answer = _verdict(domain, problem, "")
        _hold(outcome is Outcome.UNPARSED and answer is None, f"{seed.text!r}: an empty text is judged {outcome}")
    _hold(tried > 0, "no wrong answer to try: give seeds with different answers")
    _hold(right < tried, f"the answers of other seeds are all judged CORRECT: {right}")
    return f"{tried} answers" + (f", {right} of them right for this problem too" if right else "")


def _nothing_raises(domain: Domain) -> str:
    seed = domain.seeds()[0]
    problem = problem_of(seed, domain.name, Origin.SEED)
    posable, mergeable = able(domain, Posable), able(domain, Mergeable)
    for text in NASTY_TEXTS:
        if posable is not None:
            parsed = posable.parse(text)
            _hold(isinstance(parsed, Statement) or parsed in _REJECTIONS, f"{text[:40]!r} parses to {parsed!r}")
        outcome, _ = _verdict(domain, problem, text)
        _hold(isinstance(outcome, Outcome), f"{text[:40]!r} is judged {outcome!r}")
        state = None if mergeable is None else mergeable.state(problem, text)
        _hold(state is None or isinstance(state, str), f"{text[:40]!r} leaves {state!r}, not a text or None")
    return f"{len(NASTY_TEXTS)} hostile texts"


def _right_actions_lead_on(domain: Domain) -> str:
    """And hostile ones lead nowhere, without raising."""
    executable = ability(domain, Executable)
    steps = 0
    for seed in list(domain.seeds())[:_SEEDS_EXECUTED]:
        path = right_path(executable, problem_of(seed, domain.name, Origin.SEED))
        _hold(len(path) < MOST_STEPS, f"{seed.text!r} has a right path without an end")
        states = [stand.state for stand in path] + list(path[-1].ahead)
        again = next((state for place, state in enumerate(states) if state in states[:place]), None)
        _hold(again is None, f"{seed.text!r}: a right action leads to {again!r}, where the path has been")
        steps += sum(stand.action is not None for stand in path)
    problem = problem_of(domain.seeds()[0], domain.name, Origin.SEED)
    first = right_path(executable, problem)[0]
    for text in NASTY_TEXTS:
        after = executable.executes(problem, first.state, text)
        _hold(isinstance(after, str) and after not in first.ahead, f"{text[:40]!r} leads to {after!r}")
    return f"{steps} right actions"


def _step_ends_are_strings(domain: Domain) -> str:
    ends = ability(domain, Stepwise).step_ends
    _hold(not isinstance(ends, str), f"step_ends is the text {ends!r}, not a sequence of texts")
    for end in ends:
        _hold(isinstance(end, str) and end != "", f"{end!r} ends a step, but is no text or an empty one")
    return f"{len(ends)} ends"


def _evaluation_sets_parse(domain: Domain) -> str:
    sets = _all_sets(domain)
    if not sets:
        return "none: the domain gives none, so nothing is evaluated"
    for name, members in sets.items():
        for member in members:
            _hold(_reads(domain, member), f"{name}: {member.text!r} does not parse to {member!r}")
    return ", ".join(f"{name} {len(members)}" for name, members in sets.items())


def _evaluation_sets_are_distinct(domain: Domain) -> str:
    place: dict[str, str] = {}
    for name, members in _all_sets(domain).items():
        for member in members:
            _hold(member.canonical not in place, f"{member.text!r} of {name} is also in {place.get(member.canonical)}")
            place[member.canonical] = name
    return f"{len(place)} members"


def _sets_are_held_out(domain: Domain) -> str:
    """Says how many problems of each set are held out."""
    held_out = HeldOut(domain, "validate").sets  # first: it says in words what is wrong with a set
    sizes = {name: len(members) for name, members in _all_sets(domain).items()}
    return ", ".join(f"{name} {len(held_out[name])} of {size}" for name, size in sizes.items())


def _all_sets(domain: Domain) -> dict[str, Sequence[Statement]]:
    evaluated = ability(domain, Evaluated)
    return {**evaluated.evaluation_sets(), **evaluated.test_sets()}


def _draw_is_deterministic(domain: Domain) -> str:
    drawable = ability(domain, Drawable)
    levels = list(drawable.levels)
    are_levels = bool(levels) and all(type(each) is int and each >= 1 for each in levels)
    _hold(are_levels and levels == sorted(set(levels)), f"levels are {levels!r}: give integers from 1 on, rising")
    for level in levels:
        first, second = (
            [drawable.draw(random.Random(f"validate/{level}"), level) for _ in range(_DRAWS_PER_LEVEL)]
            for _ in range(2)
        )
        _hold(first == second, f"level {level}: the same generator draws {first[0].text!r} and {second[0].text!r}")
        for drawn in first:
            _hold(_reads(domain, drawn), f"level {level}: {drawn.text!r} does not parse to {drawn!r}")
            _hold(drawn.level <= level, f"level {level}: {drawn.text!r} has level {drawn.level}, which is above it")
    return f"levels {', '.join(map(str, levels))}"


def _examples_are_not_held_out(domain: Domain) -> str:
    """HeldOut leaves out what `shown_examples` names, so every example that a set has must be named there."""
    shown = {statement.canonical for statement in ability(domain, Evaluated).shown_examples()}
    sets = _all_sets(domain).values()
    members = {each.canonical: each for each in chain(*sets) if each.canonical not in shown}
    if (posable := able(domain, Posable)) is not None:
        for text in chain(*posable.escalation_examples):
            parsed = posable.parse(text)
            _hold(isinstance(parsed, Statement), f"the example {text!r} parses to {parsed!r}")
            is_member = isinstance(parsed, Statement) and parsed.canonical in members
            _hold(not is_member, f"shown_examples() lacks {text!r}")
    asked = {_asked(domain, each) for each in members.values()}
    for question, _ in ability(domain, Prompted).solver_examples:
        _hold(question not in asked, f"shown_examples() lacks the problem of {question!r}")
    return f"{len(shown)} examples"


def _members_are_spelled(domain: Domain) -> str:
    """A member that is optional and misspelt is lacking without a word. What could not stand in for it is another."""
    own = getattr(domain, "own", domain)
    lacking = [member for member in MEMBERS if not hasattr(own, member)]
    for name in dir(own):
        near = [] if name.startswith("_") or name in MEMBERS else get_close_matches(name, lacking, 1, _NEAR)
        is_meant = any(could_be(member, getattr(own, name)) for member in near)
        _hold(not is_meant, f"{name} is no member that anything asks for: rename it {''.join(near)}, or _{name}")
    return f"{len(MEMBERS) - len(lacking)} members of {len(MEMBERS)}"


def _asked(domain: Domain, statement: Statement) -> str:
    """The question that states it."""
    return ability(domain, Prompted).question(problem_of(statement, domain.name, Origin.SEED))


def _verdict(domain: Domain, problem: Problem, text: str) -> tuple[Outcome, str | None]:
    """As the domain gives it: what it raises, and what is no verdict, fails the check."""
    return checked(domain.judge(problem, text))[:2]


def _reads(domain: Domain, statement: Statement) -> bool:
    """Whether the statement's text is read as it, where the domain reads proposals at all."""
    posable = able(domain, Posable)
    return posable is None or posable.parse(statement.text) == statement


def _hold(condition: bool, failure: str) -> None:
    if not condition:
        raise _FailedError(failure)
