"""What makes a task a problem: it can be executed, its output depends on every argument and is not the input again.

Each check is by execution on the task's own arguments and on others like them.
"""

from collections.abc import Iterator, Sequence

from curriculum.domains.python.execution import Failure, outputs_of
from curriculum.domains.python.tasks import Call, Task
from curriculum.domains.python.values import Value, is_plain, is_same, spelled
from store.records import Fate


def checked_outputs(task: Task, max_chars: int) -> list[Value] | Fate:
    """The outputs of the task's calls. TOO_LARGE for an output of more than `max_chars` characters. INVALID for a
    program that fails, is not deterministic, ignores an argument or gives its input back; for an abduction that the
    output it shows is an answer to; for an induction with one output for more than half of its calls."""
    variants = [list(_varied(task.calls[0], place)) for place in range(len(task.program.parameters))]
    others = [call for calls in variants for call in calls]
    found = outputs_of(task.program, [*task.calls, *others])
    if any(isinstance(each, Failure) for each in found[: len(task.calls)]):  # one call may end what all share
        found = [*outputs_of(task.program, task.calls), *found[len(task.calls) :]]
    outputs = [each for each in found[: len(task.calls)] if not isinstance(each, Failure)]
    if len(outputs) < len(task.calls):
        return Fate.INVALID
    if any(len(spelled(each)) > max_chars for each in outputs):
        return Fate.TOO_LARGE
    rest = iter(found[len(task.calls) :])
    for calls in variants:
        varied = [next(rest) for _ in calls]
        if all(isinstance(each, Failure) or is_same(each, outputs[0]) for each in varied):
            return Fate.INVALID  # the argument decides nothing
    if any(_is_copy(call, output) for call, output in zip(task.calls[:1], outputs, strict=False)):
        return Fate.INVALID
    if task.kind == "abduction" and _is_answered_by_its_output(task, outputs[0]):
        return Fate.INVALID
    if task.kind == "induction" and not _tells_apart(task.calls, outputs):
        return Fate.INVALID
    return outputs


def _is_copy(call: Call, output: Value) -> bool:
    return len(call) == 1 and is_same(call[0], output)


def _is_answered_by_its_output(task: Task, output: Value) -> bool:
    if len(task.program.parameters) > 1:
        return False
    again = outputs_of(task.program, [(output,)])[0]
    return not isinstance(again, Failure) and is_same(again, output)


def _tells_apart(calls: Sequence[Call], outputs: Sequence[Value]) -> bool:
    """Whether no call stands there twice, and no output in more than half of the places."""
    if len({spelled(call) for call in calls}) < len(calls):
        return False
    spellings = [spelled(each) for each in outputs]
    return all(2 * spellings.count(each) <= len(spellings) for each in spellings)


def _varied(call: Call, place: int) -> Iterator[Call]:
    """The call with other values of the same type in the place of one argument."""
    for value in _like(call[place]):
        if is_plain(value) and not is_same(value, call[place]):
            yield (*call[:place], value, *call[place + 1 :])


def _like(value: Value) -> list[Value]:
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int):
        return [value + 1, value + 2, 2 * value + 3, value - 1]
    if isinstance(value, float):
        return [value + 1.0, 2 * value + 0.5, -value]
    if isinstance(value, str):
        return [value + "b", value[::-1], value[1:], value.swapcase() + " a"]
    if type(value) in (list, tuple):
        return [value[::-1], value[1:], value + value[:1], value[:1]]
    if isinstance(value, dict):
        return [dict(list(value.items())[1:]), dict(list(value.items())[:1])]
    return [0]  # of None
