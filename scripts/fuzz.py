"""Throws texts at every domain that comes with the project: each has to become a problem or be rejected by name.

    python scripts/fuzz.py 100000               that many proposals, shared among the domains; some minutes
    python scripts/fuzz.py 5000 --domain python --seed 7

A text is a problem or an answer of the domain with some characters changed, parts of two of them joined, tokens of the
domain's own texts in a random order, or random Unicode. Each is given to `parse`, and to `judge`, `observation`,
`state` and `fails` as an answer to a problem. What raises, or gives something without a name, is printed with the seed
and the number that make it again, and the exit code is 1. The last lines count what became of the texts.
"""

import json
import random
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import typer

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from curriculum.domains.abilities import ability, able  # noqa: E402
from curriculum.domains.judging import checked  # noqa: E402
from curriculum.domains.loading import DOMAINS, load_domain  # noqa: E402
from curriculum.domains.protocol import (  # noqa: E402
    Domain,
    Drawable,
    Mergeable,
    Observable,
    Posable,
    Prompted,
    Prunable,
    Statement,
    problem_of,
)
from curriculum.domains.seed_files import DomainError  # noqa: E402
from store.records import Fate, Origin, Outcome, Problem  # noqa: E402

_DRAWN = 60  # problems whose texts are changed, beside the seeds
SLOW = 5.0  # seconds for one text: more is reported
_REJECTED = (Fate.UNPARSED, Fate.INVALID, Fate.TOO_LARGE)
_TOKEN = re.compile(r"[A-Za-z]+|[0-9]+|\s+|.", re.DOTALL)
_PIECES = (
    *("", " ", "\n", "\0", "\\", "'", '"', "(", ")", "[", "]", "{", "}", ":", ";", ",", ".", "=", "==", "?", "#", "-"),
    *("9" * 40, "0", "-0", "1e999", "nan", "None", "True", "lambda x:", "f(", "x", "**", "<<", "*", "// 0", "% 0"),
    *("[::-1]", "while True:", "for i in range(10 ** 9)", "import os", "__class__", "eval", "\ud800", "\u202e"),
    *("\u0663", "\uff13", "\U0001f600", "\u00b2", "e\u0301", "<answer>", "\\boxed{", "####", "<|im_end|>"),
)  # fmt: skip


@dataclass(slots=True)
class Report:
    """What became of the texts. `faults`: one line for each text that a domain did not take as it must."""

    fates: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)


def fuzz(domain: Domain, count: int, seed: int) -> Report:
    """`count` texts, each made by a generator of its own: the n-th is the same whatever else is asked."""
    report, asked = Report(), ability(domain, Prompted).question
    problems = [problem_of(each, domain.name, Origin.SEED) for each in [*domain.seeds()][:200]]
    drawn: list[str] = []
    if (drawable := able(domain, Drawable)) is not None:
        rng = random.Random(f"fuzz/{domain.name}/{seed}")
        drawn = [drawable.draw(rng, rng.choice(list(drawable.levels))).text for _ in range(_DRAWN)]
    texts = sorted({*drawn, *(each for one in problems for each in (one.text, one.answer, asked(one)))})
    for n in range(count):
        rng = random.Random(f"fuzz/{domain.name}/{seed}/{n}")
        text = _text(rng, texts)
        start = time.monotonic()
        try:
            wrong = _parsed(domain, text, report) or _answered(domain, rng.choice(problems), text, report)
        except Exception as error:  # what must not happen is what is looked for
            wrong = f"raised {type(error).__name__}: {error}"
        if not wrong and time.monotonic() - start > SLOW:
            wrong = f"took {time.monotonic() - start:.1f} s"
        if wrong:
            report.faults.append(f"{domain.name} seed {seed} text {n}, {ascii(text)[:200]}: {wrong}")
    return report


def loaded(name: str, folder: Path) -> Domain | None:
    """The domain without options; None for one that cannot be made without, or whose library is not installed."""
    options: dict[str, object] = {}
    if name == "dataset":
        path = folder / "questions.jsonl"
        rows = [{"question": f"How much is {a} + 2?", "program": f"answer = {a} + 2"} for a in range(40)]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        options = {"path": str(path), "posed": True}
    try:
        return load_domain(name, options)
    except DomainError:
        return None


def _parsed(domain: Domain, text: str, report: Report) -> str:
    posable = able(domain, Posable)
    if posable is None:
        return ""
    found = posable.parse(text)
    report.fates[found.name if isinstance(found, Fate) else "problem"] += 1
    if isinstance(found, Fate):
        return "" if found in _REJECTED else f"parsed as {found!r}"
    if not isinstance(found, Statement) or found.level < 1 or not found.family or not found.answer:
        return f"parsed as {found!r}"
    again = posable.parse(found.text)
    if again != found:
        return f"is {found!r}, and parsed again {again!r}"
    answer = ability(domain, Prompted).written(found.answer)
    outcome = checked(domain.judge(problem_of(found, domain.name, Origin.CHALLENGER), answer))[0]
    return "" if outcome is Outcome.CORRECT else f"is {found!r}, whose own answer is {outcome}"


def _answered(domain: Domain, problem: Problem, text: str, report: Report) -> str:
    outcome = checked(domain.judge(problem, text))[0]
    report.outcomes[outcome.name] += 1
    observable, mergeable, prunable = able(domain, Observable), able(domain, Mergeable), able(domain, Prunable)
    if observable is not None and not isinstance(observable.observation(problem, text), str):
        return "is observed as no text"
    if mergeable is not None:
        mergeable.state(problem, text)
    if prunable is not None:
        prunable.fails(problem, text)
    return "" if outcome in (Outcome.CORRECT, Outcome.INCORRECT, Outcome.UNPARSED) else f"is {outcome} as an answer"


def _text(rng: random.Random, texts: Sequence[str]) -> str:
    kind = rng.randrange(6)
    text = rng.choice(texts)
    if kind == 0:  # some characters changed
        for _ in range(rng.randint(1, 4)):
            at, piece = rng.randint(0, len(text)), rng.choice(_PIECES)
            text = text[:at] + piece + text[at + rng.randint(0, 2) :]
        return text
    if kind == 1:  # parts of two
        other = rng.choice(texts)
        return text[: rng.randint(0, len(text))] + other[rng.randint(0, len(other)) :]
    if kind == 2:  # another number or word in a place
        tokens, others = _TOKEN.findall(text) or [""], _TOKEN.findall(rng.choice(texts)) or [""]
        for _ in range(rng.randint(1, 2)):
            tokens[rng.randrange(len(tokens))] = rng.choice(others)
        return "".join(tokens)
    if kind == 3:  # another number in the place of each number
        return re.sub("[0-9]+", lambda found: str(rng.randrange(10 ** rng.randint(1, 3))), text)
    if kind == 4:  # the domain's words in any order
        words = [token for each in rng.sample(list(texts), min(3, len(texts))) for token in _TOKEN.findall(each)]
        return "".join(rng.choice(words or [""]) for _ in range(rng.randint(1, 30)))
    return "".join(
        chr(rng.randrange(0x110000)) if rng.random() < 0.3 else rng.choice(_PIECES) for _ in range(rng.randint(0, 40))
    )


def main(
    count: Annotated[int, typer.Argument(help="texts, in all")] = 10_000,
    domain: Annotated[str, typer.Option(help="one domain; without it all")] = "",
    seed: int = 0,
) -> None:
    """Exit code 1 where a text was not taken as it must be."""
    names = [domain] if domain else list(DOMAINS)
    faults = 0
    with tempfile.TemporaryDirectory(prefix="selfplay-fuzz-") as folder:
        made = {name: loaded(name, Path(folder)) for name in names}
        playable = {name: each for name, each in made.items() if each is not None}
        for name in sorted(made.keys() - playable.keys()):
            print(f"{name}: left out, as it is not made without options")
        for name, each in playable.items():
            report = fuzz(each, count // len(playable), seed)
            print(f"{name}: proposals {dict(report.fates)}, answers {dict(report.outcomes)}", flush=True)
            for fault in report.faults[:20]:
                print(f"  {fault}")
            faults += len(report.faults)
    print(f"{faults} faults")
    raise typer.Exit(1 if faults else 0)


if __name__ == "__main__":
    typer.run(main)
