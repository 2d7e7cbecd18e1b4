"""Loads a taskset of the verifiers package and scores completions by its rewards. Run as a script: a line of JSON in, a
line of JSON out (curriculum/child.py). What this project cannot run is refused in one line before a task is read.
"""

import asyncio
import importlib
import inspect
import json
import random
import socket
import sys
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

import verifiers.v1 as vf

from curriculum.answers.forms import written
from curriculum.answers.reading import AnswerRule
from curriculum.child import serve
from curriculum.error_lines import described

FORMS: tuple[AnswerRule, ...] = ("text", "boxed", "tag", "hashes")  # that rewards may read, plainest first
MEMORY = 4 * 2**30  # bytes, beyond what the libraries take
LONGEST_TEXT = 20_000  # characters of a prompt
WAIT = 20.0  # seconds of wall time for all rewards of a completion


class RefusedError(Exception):
    """The environment will not do. One line that says why."""


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """{"do": "load", ...} -> {"tasks": how many, "full": the highest reward, "form": how an answer is written};
    "tasks" -> {"tasks": ..., "next": index}; "score" -> {"reward": ...}, or {"changed": True} where another task stands
    there. {"refused": a line} for each."""
    if (folder := request["folder"]) not in sys.path:
        sys.path.insert(1, folder)
    try:
        return {"load": _load, "tasks": _tasks, "score": _score}[request["do"]](request)
    except RefusedError as refusal:
        return {"refused": str(refusal)}


def _load(request: dict[str, Any]) -> dict[str, Any]:
    tasks = _taskset(*_named(request))
    weights = [getattr(each, "_vf_weight", 1.0) for each in tasks[0].hooks("reward")]
    full = sum(weight for weight in weights if weight > 0)
    return {"tasks": len(tasks), "full": full, "form": _form(tasks[0], request["answer_field"], full)}


def _tasks(request: dict[str, Any]) -> dict[str, Any]:
    tasks = _taskset(*_named(request))
    start, stop = request["start"], request["start"] + request["count"]
    return {
        "tasks": [
            {"index": start + place, "prompt": _prompt(task), "answer": _known_answer(task, request["answer_field"])}
            for place, task in enumerate(tasks[start:stop])
        ]
    }


def _score(request: dict[str, Any]) -> dict[str, Any]:
    tasks = _taskset(*_named(request))
    if request["index"] >= len(tasks) or _prompt(tasks[request["index"]]) != request["prompt"]:
        return {"changed": True}
    return {"reward": _reward(tasks[request["index"]], request["given"])}


def _named(request: dict[str, Any]) -> tuple[str, str, int]:
    return request["environment"], json.dumps(request["options"], sort_keys=True), request["limit"]


@lru_cache(maxsize=8)
def _taskset(environment: str, options: str, limit: int) -> tuple[Any, ...]:
    """The environment's tasks, `limit` at most. RefusedError for what this project cannot run."""
    random.seed(f"{environment}/{options}")
    kind = _class_of(environment)
    made = kind(_configuration(kind, environment, json.loads(options)))
    if kind.toolsets(made.config):
        raise RefusedError(f"{environment} gives its model tools: only environments without tools can be played")
    tasks = tuple(islice(made, limit))
    if not tasks:
        raise RefusedError(f"{environment} has no tasks with these options")
    _require_plain(environment, tasks[0])
    for task in tasks:
        _require_single_turn(environment, task)
    return tasks


def _class_of(environment: str) -> type[Any]:
    """module:Taskset by its path, or what an installed environment of this name exports."""
    module_name, _, name = environment.partition(":")
    try:
        module = importlib.import_module(module_name) if name else vf.import_taskset(module_name)
        kind = getattr(module, name) if name else _exported(module, vf.Taskset)
    except (ImportError, AttributeError) as error:
        raise RefusedError(
            f"domain_options.environment={environment} cannot be imported ({described(error)}): give module:Taskset, "
            "or the name of an installed environment"
        ) from None
    if not (isinstance(kind, type) and issubclass(kind, vf.Taskset)):
        raise RefusedError(f"domain_options.environment={environment} is no verifiers.v1 Taskset")
    if (env := _exported(module, vf.Env)) is not None and not issubclass(env, vf.SingleAgentEnv):
        raise RefusedError(f"{environment} runs its tasks by {env.__name__}: only single-turn tasks can be played")
    return kind


def _exported(module: Any, base: type[Any]) -> Any:
    found = [getattr(module, name, None) for name in getattr(module, "__all__", ())]
    return next((each for each in found if isinstance(each, type) and issubclass(each, base)), None)


def _configuration(kind: type[Any], environment: str, options: dict[str, Any]) -> Any:
    config_type = inspect.signature(kind.__init__).parameters["config"].annotation
    for base in getattr(kind, "__orig_bases__", ()):
        for argument in getattr(base, "__args__", ()):
            if isinstance(argument, type) and issubclass(argument, vf.TasksetConfig):
                config_type = argument
    if not (isinstance(config_type, type) and issubclass(config_type, vf.TasksetConfig)):
        config_type = vf.TasksetConfig
    try:
        return config_type(**options)
    except ValueError as error:  # pydantic's
        fields = ", ".join(name for name in config_type.model_fields if name not in vf.TasksetConfig.model_fields)
        raise RefusedError(
            f"domain_options.config: {environment} takes other options ({described(error)}); its own: "
            + (fields or "none")
        ) from None


def _require_plain(environment: str, task: Any) -> None:
    """Refuses what needs more than one completion and what it says."""
    kind = type(task)
    overridden = [name for name in ("setup", "finalize", "stage_verifier") if getattr(kind, name) is not _plain(name)]
    rewards = task.hooks("reward")
    in_runtime = [each.__name__ for each in rewards if _needs_runtime(each)]
    why = {
        "gives its model tools": bool(kind.toolsets(task.config)),
        "needs a container": kind.NEEDS_CONTAINER or task.data.image is not None,
        f"prepares its tasks in a runtime ({', '.join(overridden)})": bool(overridden),
        "asks a judge model over the network": bool(task.config.judges),
        f"has rewards that look into a runtime ({', '.join(in_runtime)})": bool(in_runtime),
        "keeps state between turns": vf.State is not _state_of(kind),
        "ends conversations by rules of its own, so they have several turns": bool(task.hooks("stop")),
        "has no reward": not rewards,
    }
    for reason, holds in why.items():
        if holds:
            raise RefusedError(
                f"{environment} {reason}: only single-turn tasks whose rewards need the reply alone will do"
            )


def _require_single_turn(environment: str, task: Any) -> None:
    prompt = task.data.prompt
    roles = [] if isinstance(prompt, str) or prompt is None else [message.role for message in prompt]
    if prompt is None or roles not in ([], ["user"], ["system", "user"]):
        said = "is opened by a simulated user" if prompt is None else f"begins with {', '.join(roles)}"
        raise RefusedError(f"{environment}, task {task.data.idx}: the conversation {said}; one prompt is needed")
    if not isinstance(prompt, str) and any(
        not isinstance(message.content, str) and any(part.type != "text" for part in message.content)
        for message in prompt
    ):
        raise RefusedError(f"{environment}, task {task.data.idx}: its prompt has an image, and only text can be asked")
    text = _prompt(task)
    if not text or len(text) > LONGEST_TEXT or "\0" in text:
        raise RefusedError(
            f"{environment}, task {task.data.idx}: its prompt has {len(text):,} characters, or a NUL; from 1 to "
            f"{LONGEST_TEXT:,} are taken"
        )


def _plain(name: str) -> Any:
    return getattr(vf.Task, name)


def _needs_runtime(reward: Any) -> bool:
    parameter = inspect.signature(reward).parameters.get("runtime")
    return parameter is not None and parameter.default is inspect.Parameter.empty


def _state_of(kind: type[Any]) -> type[Any]:
    for base in (each for cls in kind.__mro__ for each in getattr(cls, "__orig_bases__", ())):
        for argument in getattr(base, "__args__", ()):
            if isinstance(argument, type) and issubclass(argument, vf.State):
                return argument
    return vf.State


def _prompt(task: Any) -> str:
    system = [task.data.system_prompt] if task.data.system_prompt else []
    return "\n\n".join([*system, task.data.prompt_text]).strip()


def _known_answer(task: Any, field: str) -> str:
    """What the task's data hold as its answer; "" where they hold none."""
    said = getattr(task.data, field, None)
    return str(said).strip() if isinstance(said, str | int | float) and not isinstance(said, bool) else ""


def _form(task: Any, field: str, full: float) -> str:
    """The first form in which the task's own answer gets the full reward; "" where none does."""
    known = _known_answer(task, field)
    if known:
        for form in FORMS:
            try:
                if _reward(task, written(known, form)) >= full > 0:
                    return form
            except Exception:  # a reward may read one form only
                continue
    return ""


def _reward(task: Any, given: str) -> float:
    """The weighted sum of the task's rewards for a conversation of its prompt and this reply."""
    trace = vf.Trace(
        task=vf.TraceTask(type=type(task).__name__, data=task.data, key=task.key, hash=task.hash),
        state=vf.State(),
        agent=vf.AgentInfo(config=vf.AgentConfig(), name="selfplay", trainable=True),
    )
    prompt = task.data.prompt
    asked = [vf.UserMessage(content=prompt)] if isinstance(prompt, str) else list(prompt)
    if task.data.system_prompt:
        asked = [vf.SystemMessage(content=task.data.system_prompt), *asked]
    said = [*asked, vf.AssistantMessage(content=given)]
    trace.nodes = [
        vf.MessageNode(parent=place - 1 if place else None, message=message, sampled=place == len(said) - 1)
        for place, message in enumerate(said)
    ]
    trace.root_reply, trace.is_completed, trace.ok = given, True, True
    random.seed(f"{task.key}/{given}")
    connect, socket.socket.connect = socket.socket.connect, _refuse_network  # type: ignore[method-assign]
    try:
        asyncio.run(asyncio.wait_for(task.score(trace), WAIT))
    except TimeoutError:
        raise ValueError(f"its rewards take more than {WAIT:g} s") from None
    finally:
        socket.socket.connect = connect  # type: ignore[method-assign]
    return float(trace.reward)


def _refuse_network(*_: object) -> None:
    """In place of every connection while rewards run: a verdict depends on the reply, and on nothing else."""
    raise PermissionError("its rewards use the network")


if __name__ == "__main__":
    serve(answer, MEMORY)
