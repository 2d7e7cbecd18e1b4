"""A domain that is a user's code, as a run uses it: what its members do wrong is a DomainError, one line that names
the member. Only what `judge` does is left as it is: an answer that nobody can judge ends no run
(curriculum/domains/judging.py).

Members that the domain lacks stay lacking: curriculum/domains/protocol.py says what holds then.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import islice
from typing import Any

from curriculum.answers.formats import MOST_FORMATS, is_format_name
from curriculum.domains import protocol
from curriculum.domains.abilities import members_of, parameters_of
from curriculum.domains.protocol import Domain, Statement, Verdict
from curriculum.domains.seed_files import DomainError
from curriculum.own_code import result_of, within
from store.encoding import is_storable
from store.records import Fate, Outcome, Problem

MOST_STATEMENTS = 1_000_000  # of seeds, or of a set: a generator may have no end
LONGEST_TEXT = 20_000  # characters of a problem or an answer
LONGEST_NAME = 64  # characters of a family or of a set's name
MOST_FEATURES = 1_000
MOST_LEVEL = 1_000_000  # a level is a size that is reasoned with as a number, and stored in 64 bits
REJECTIONS = (Fate.UNPARSED, Fate.INVALID, Fate.TOO_LARGE)
_SHOWN = 80  # characters of a wrong value
_LACKING = object()  # in the place of a member that is not there


class OwnDomain:
    """`own`, a user's object, called `label` where something is wrong with it. Its judge may take `judge_seconds` > 0
    for an answer, and then raises TimeoutError; None: no limit. Raises DomainError for a member of another kind."""

    def __init__(self, own: Any, label: str, judge_seconds: float | None) -> None:
        self.own, self.label, self.judge_seconds = own, label, judge_seconds
        for member in (*METHODS, "judge"):
            found = self._asked(member, partial(getattr, own, member, _LACKING))
            if found is not _LACKING and (fault := _fault_of_method(member, found)):
                raise self._wrong(member, fault)
        for member in VALUES:
            hasattr(self, member)  # reading it checks it

    def __getattr__(self, member: str) -> Any:
        own = self.__dict__["own"]
        found = self._asked(member, lambda: getattr(own, member), passing=(AttributeError,))
        if member in METHODS:
            return partial(self._called, member, found)
        return self._asked(member, lambda: VALUES[member](found)) if member in VALUES else found

    def judge(self, problem: Problem, text: str) -> Verdict | tuple[Outcome, str | None]:
        """The verdict of the user's domain, and whatever its judge raises."""
        judge, seconds = self.own.judge, self.judge_seconds
        verdict = judge(problem, text) if seconds is None else within(seconds, lambda: judge(problem, text))
        return verdict  # type: ignore[no-any-return]  # checked where it is used

    def _called(self, member: str, method: Callable[..., Any], *arguments: Any) -> Any:
        return self._asked(f"{member}()", lambda: METHODS[member](method(*arguments)))

    def _asked(self, what: str, call: Callable[[], Any], passing: tuple[type[Exception], ...] = ()) -> Any:
        try:
            given, failure = result_of(call, (DomainError, _WrongError, *passing))
        except _WrongError as error:
            raise self._wrong(what, str(error)) from None
        if failure:
            raise self._wrong(what, f"raised {failure}")
        return given

    def _wrong(self, what: str, how: str) -> DomainError:
        return DomainError(f"domain {self.label}: {what} {how}")


class _WrongError(Exception):
    """What is wrong with a value, as the end of a line."""


def _fault_of_method(member: str, found: Any) -> str:
    """What keeps `found` from being called as the member is, as the end of a line; "" where nothing does."""
    given = _PARAMETERS[member]
    wanted = f"must be a method: def {member}({', '.join(['self', *given])})"
    if not callable(found):
        return f"is {_shown(found)}, and {wanted}"
    if inspect.iscoroutinefunction(found):
        return f"is async, and {wanted}"
    try:
        inspect.signature(found).bind(*given)
    except (TypeError, ValueError) as error:
        if isinstance(error, TypeError) or inspect.ismethod(found):  # another callable need not tell what it takes
            return f"cannot be called as it will be ({error}), and {wanted}"
    return ""


def could_be(member: str, found: Any) -> bool:
    """Whether `found` could be the member: a method that takes what it is given, or a value where that is one."""
    return not _fault_of_method(member, found) if member in METHODS else member in VALUES and not callable(found)


def fault_of(statement: Statement) -> str:
    """What of a statement no store or prompt can hold, as the end of a line; "" where nothing is wrong."""
    for name, most, least in (("text", LONGEST_TEXT, 1), ("canonical", LONGEST_TEXT, 1), ("answer", LONGEST_TEXT, 0),
                              ("family", LONGEST_NAME, 1), ("answer_source", LONGEST_NAME, 0)):  # fmt: skip
        value = getattr(statement, name)
        if not isinstance(value, str):
            return f"has the {name} {_shown(value)}, which is no text"
        if not least <= len(value.strip()) or len(value) > most:
            return f"has a {name} of {len(value):,} characters: give it {least} to {most:,} that are not blank"
        if not is_storable(value):
            return f"has the {name} {_shown(value)}, with a NUL or half of a surrogate pair"
    if type(statement.level) is not int or not 1 <= statement.level <= MOST_LEVEL:
        return f"has the level {_shown(statement.level)}: give an integer from 1 to {MOST_LEVEL:,}"
    return ""


def _statements(given: Any) -> list[Statement]:
    found = list(islice(given, MOST_STATEMENTS + 1))
    if len(found) > MOST_STATEMENTS:
        raise _WrongError(f"gave more than {MOST_STATEMENTS:,} problems")
    for place, each in enumerate(found):
        if not isinstance(each, Statement):
            raise _WrongError(
                f"gave {_shown(each)} as member {place} (the first is 0), which is not a Statement: where `parse` made "
                "it, it refused the text"
            )
        if fault := fault_of(each):
            raise _WrongError(f"gave {_shown(each.text)} as member {place} (the first is 0), which {fault}")
    return found


def _sets(given: Any) -> Mapping[str, Sequence[Statement]]:
    if not isinstance(given, Mapping):
        raise _WrongError(f"gave {_shown(given)}: give names with their problems, such as {{'mine': [...]}}")
    for name in given:
        if not isinstance(name, str) or not name.isprintable() or not 1 <= len(name) <= LONGEST_NAME:
            raise _WrongError(f"gave the name {_shown(name)}: a set's has 1 to {LONGEST_NAME} printable characters")
    return {name: _statements(members) for name, members in given.items()}


def _drawn(given: Any) -> Statement:
    return _statements([given])[0]


def _parsed(given: Any) -> Statement | Fate:
    """What cannot be stored is the fault of the text that a model wrote, not of the domain."""
    if isinstance(given, Statement):
        if isinstance(given.text, str) and isinstance(given.canonical, str) and fault_of(given):
            is_long = max(len(given.text), len(given.canonical)) > LONGEST_TEXT
            return Fate.TOO_LARGE if is_long else Fate.INVALID
        return _drawn(given)
    if not isinstance(given, Fate) or given not in REJECTIONS:
        raise _WrongError(f"gave {_shown(given)}: give a Statement, or one of {', '.join(REJECTIONS)}")
    return given


def _text(given: Any) -> str:
    if not isinstance(given, str) or not is_storable(given):
        raise _WrongError(f"gave {_shown(given)}, which is no text that can be written down")
    return given


def _asked_text(given: Any) -> str:
    if not _text(given).strip():
        raise _WrongError(f"gave {_shown(given)}, which is no text to ask")
    return given  # type: ignore[no-any-return]


def _text_or_none(given: Any) -> str | None:
    return None if given is None else _text(given)


def _anything(given: Any) -> Any:
    return given


def _value_text(given: Any) -> str:
    if not isinstance(given, str) or not is_storable(given):
        raise _WrongError(f"is {_shown(given)}, and must be a text")
    return given


def _texts(given: Any) -> Sequence[str]:
    if not isinstance(given, list | tuple) or not all(isinstance(each, str) and each for each in given):
        raise _WrongError(f"is {_shown(given)}, and must be a list of texts, none empty, such as ['\\n']")
    return given


def _hints(given: Any) -> Sequence[str]:
    if not isinstance(given, list | tuple) or not all(isinstance(each, str) and is_storable(each) for each in given):
        raise _WrongError(f"gave {_shown(given)}: give a list of texts, the one that tells least first")
    return given


def _told(given: Any) -> Sequence[Sequence[Statement]]:
    if not isinstance(given, list | tuple):
        raise _WrongError(f"gave {_shown(given)}: give a list of problems for each hint")
    return [_statements(each) for each in given]


def _format_names(given: Any) -> Sequence[str]:
    names = given if isinstance(given, list | tuple) else []
    if not all(map(is_format_name, names)) or not 1 <= len(set(names)) == len(names) <= MOST_FORMATS:
        raise _WrongError(
            f"is {_shown(given)}, and must be a list of up to {MOST_FORMATS} different names of small letters, digits "
            "and underscores, such as ['code', 'words']"
        )
    return names


def _checked_again(given: Any) -> tuple[bool | None, str]:
    is_pair = isinstance(given, tuple) and len(given) == 2 and isinstance(given[1], str) and is_storable(given[1])
    if not is_pair or (given[0] is not None and type(given[0]) is not bool):
        raise _WrongError(f"gave {_shown(given)}: give True, False or None with a text, such as (True, 'by division')")
    return given  # type: ignore[no-any-return]


def _share(given: Any) -> float:
    is_number = isinstance(given, int | float) and type(given) is not bool
    if not is_number or not 0 <= given <= 1:
        raise _WrongError(f"gave {_shown(given)}: give a number from 0 to 1")
    return float(given)


def _features(given: Any) -> Mapping[str, float]:
    is_named = isinstance(given, Mapping) and all(
        isinstance(name, str) and isinstance(value, int | float) for name, value in given.items()
    )
    if not is_named or len(given) > MOST_FEATURES:
        raise _WrongError(f"gave {_shown(given)}: give up to {MOST_FEATURES} numbers by name, such as {{'carries': 1}}")
    return given  # type: ignore[no-any-return]


def _pairs(given: Any) -> Sequence[tuple[str, str]]:
    pairs = given if isinstance(given, list | tuple) else [()]
    if not all(isinstance(p, list | tuple) and len(p) == 2 and all(isinstance(t, str) for t in p) for p in pairs):
        raise _WrongError(f"is {_shown(given)}, and must be a list of pairs of texts, such as [('1 + 2 =', '3')]")
    return given  # type: ignore[no-any-return]


def _levels(given: Any) -> Sequence[int]:
    are_levels = isinstance(given, Sequence) and all(type(each) is int and 1 <= each <= MOST_LEVEL for each in given)
    if not are_levels or not given or list(given) != sorted(set(given)):
        raise _WrongError(f"is {_shown(given)}, and must be a list of integers from 1 to {MOST_LEVEL:,}, rising")
    return given  # type: ignore[no-any-return]


def _flag(given: Any) -> bool:
    if type(given) is not bool:
        raise _WrongError(f"is {_shown(given)}, and must be True or False")
    return given


def _options(given: Any) -> Mapping[str, str]:
    if not isinstance(given, Mapping) or not all(isinstance(text, str) for pair in given.items() for text in pair):
        raise _WrongError(
            f"is {_shown(given)}, and must name options by member, such as {{'parse': 'domain_options.x=1'}}"
        )
    return given


def _shown(value: object) -> str:
    said, failure = result_of(lambda: repr(value))
    text = failure if said is None else said
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]} ... (cut here)"


METHODS: Mapping[str, Callable[[Any], Any]] = {  # what may come of a method, as it is then used
    "seeds": _statements,
    "shown_examples": _statements,
    "evaluation_sets": _sets,
    "test_sets": _sets,
    "parse": _parsed,
    "draw": _drawn,
    "question": _asked_text,
    "written": _text,
    "observation": _text,
    "state": _text_or_none,
    "fails": _anything,
    "is_good": _anything,
    "is_trivial_edit": _anything,
    "same_answer": _anything,
    "signature": _text,
    "closeness": _share,
    "features": _features,
    "format_of": _text,
    "check_again": _checked_again,
    "hints": _hints,
    "told": _told,
    "easier": _statements,
    "executes": _text,
    "begins": _asked_text,
    "expert": _text_or_none,
}
VALUES: Mapping[str, Callable[[Any], Any]] = {  # members that are no methods
    "stops": _texts,
    "step_ends": _texts,
    "solver_examples": _pairs,
    "escalation_examples": _pairs,
    "solver_instruction": _value_text,
    "recheck_instruction": _value_text,
    "challenger_instruction": _value_text,
    "levels": _levels,
    "leaves_answers_open": _flag,
    "several_right": _flag,
    "formats": _format_names,
    "by_option": _options,
    "reflection_examples": _pairs,
}
MEMBERS = ("name", "judge", *METHODS, *VALUES)  # everything that anything asks a domain for
_PARAMETERS: Mapping[str, Sequence[str]] = {  # what a method is given, without self
    member: parameters_of(each, member)
    for each in vars(protocol).values()
    if Domain in getattr(each, "__mro__", ())
    for member in members_of(each)
    if member in METHODS or member == "judge"
}
