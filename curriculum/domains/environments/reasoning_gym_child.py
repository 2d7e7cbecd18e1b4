"""Makes and scores problems of reasoning-gym. Run as a script: a line of JSON in, a line of JSON out
(curriculum/child.py).

Everything random in a problem is keyed: by the family's own `seed`, and, for the families that draw from the global
generators of this process, by the problem's number. Some families iterate over sets, whose order is the same in
every child (curriculum/child.py).
"""

import copy
import json
import random
import sys
import time
from dataclasses import fields, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

import numpy as np
from reasoning_gym.factory import CURRICULA, DATASETS

from curriculum.child import serve
from curriculum.error_lines import first_line

MEMORY = 2 * 2**30  # bytes, beyond what the libraries take
BLOCK = 64  # problems of one dataset: number n is problem n % BLOCK of the dataset whose seed is n - n % BLOCK higher
_BATCH_SECONDS = 1.0  # of making problems, after which those that are made are handed over
_SET_HERE = ("seed", "size")  # fields of every family's configuration that `domain_options.config` does not set


class RefusedError(Exception):
    """The family or its options will not do. One line that says what to do."""


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """{"do": "levels", ...} -> {"levels": those that can be drawn}; "entries" -> {"entries": ..., "next": number};
    "score" -> {"score": ...}, or {"changed": True} where another question is made. {"refused": a line} for each."""
    try:
        return {"levels": _levels, "entries": _entries, "score": _score}[request["do"]](request)
    except RefusedError as refusal:
        return {"refused": str(refusal)}


def _levels(request: dict[str, Any]) -> dict[str, Any]:
    """Every level up to `most` whose configuration the family accepts, and that differs from those below it."""
    family, options = request["family"], request["options"]
    if family not in DATASETS or family == "composite":  # which is made of others
        return {"families": sorted(set(DATASETS) - {"composite"})}
    curriculum = CURRICULA[family]() if family in CURRICULA else None
    highest = max((len(each.levels) for each in curriculum.attributes.values()), default=1) if curriculum else 1
    found: dict[str, int] = {}
    failure = ""
    for level in range(1, min(highest, request["most"]) + 1):
        try:
            found.setdefault(repr(_configuration(family, json.dumps(options), level, 0)), level)
        except (AssertionError, ValueError, TypeError) as error:
            failure = first_line(error)
    if not found:
        raise RefusedError(f"reasoning_gym's {family} refuses its configuration ({failure}): see domain_options.config")
    return {"levels": sorted(found.values())}


def _entries(request: dict[str, Any]) -> dict[str, Any]:
    """Problems from number `start` on: `count` of them, or as many as there is time for. A problem without an answer
    that its own judge calls right is left out."""
    made = []
    number, end = request["start"], time.process_time() + _BATCH_SECONDS
    for number in range(request["start"], request["start"] + request["count"]):
        dataset, entry = _entry(*_recipe(request), number)
        right = _right_answer(dataset, entry, request["correct_at"])
        if right is not None:
            made.append({"number": number, "question": entry["question"].strip(), "answer": right})
        if time.process_time() > end:
            break
    return {"entries": made, "next": number + 1}


def _score(request: dict[str, Any]) -> dict[str, Any]:
    """What the family's judge gives `given`. An answer that makes it fail gets nothing: the right one did not."""
    dataset, entry = _entry(*_recipe(request), request["number"])
    if entry["question"].strip() != request["question"]:
        return {"changed": True}
    try:
        return {"score": _scored(dataset, entry, request["given"])}
    except (Exception, MemoryError):  # of whatever kind: the judge is the library's, its input the model's
        return {"score": 0.0}


def _recipe(request: dict[str, Any]) -> tuple[str, str, int, int]:
    return request["family"], json.dumps(request["options"]), request["level"], request["seed"]


@lru_cache(maxsize=1024)
def _entry(family: str, options: str, level: int, seed: int, number: int) -> tuple[Any, dict[str, Any]]:
    """(the dataset, its problem): the same whatever was made before it."""
    _key_global_generators(f"{family}/{level}/{seed}/{number}")
    first = number - number % BLOCK
    dataset = _dataset(family, options, level, seed + first)
    _key_global_generators(f"{family}/{level}/{seed}/{number}")
    return dataset, dataset[number % BLOCK]


@lru_cache(maxsize=64)
def _dataset(family: str, options: str, level: int, seed: int) -> Any:
    return DATASETS[family][0](_configuration(family, options, level, seed))


def _configuration(family: str, options: str, level: int, seed: int) -> Any:
    """Every attribute of the family's curriculum at `level`, or at its highest; then the user's own values."""
    own = json.loads(options)
    wanted = {"seed": seed, "size": BLOCK}
    known = {field.name for field in fields(DATASETS[family][1])} - set(_SET_HERE)
    for key in own:
        if key not in known:
            raise RefusedError(
                f"domain_options.config.{key}: reasoning_gym's {family} has no such field; its fields: "
                + (", ".join(sorted(known)) or "none")
            )
    if family in CURRICULA:
        curriculum = CURRICULA[family]()
        curriculum.set_global_level(level - 1)
        made = replace(curriculum.generate_configuration(wanted), **own)
    else:
        made = DATASETS[family][1](**wanted, **own)
    if hasattr(made, "validate"):
        made.validate()
    return made


def _right_answer(dataset: Any, entry: dict[str, Any], correct_at: float) -> str | None:
    """The family's own answer, or where it has none an example in the metadata: the first that is judged right."""
    named = [value for key, value in sorted(entry["metadata"].items()) if "answer" in key or "solution" in key]
    for said in (entry["answer"], *named):
        text = said if isinstance(said, str) else json.dumps(said, default=str)
        try:
            if said is not None and text.strip() and _scored(dataset, entry, text.strip()) >= correct_at:
                return text.strip()
        except Exception:  # an example that the judge cannot read is none
            continue
    return None


def _scored(dataset: Any, entry: dict[str, Any], given: str) -> float:
    return float(dataset.score_answer(given, copy.deepcopy(entry)))


def _key_global_generators(key: str) -> None:
    random.seed(key)
    np.random.seed(random.getrandbits(32))


if __name__ == "__main__":
    serve(answer, MEMORY)
