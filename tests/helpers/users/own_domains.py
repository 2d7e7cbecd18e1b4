"""Domains of a user's own: the arithmetic of few_problems.py with test sets, seeds and answers of the user's."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from few_problems import FewProblems

from curriculum.domains.protocol import Statement
from store.records import Outcome, Problem


class OwnTestSet(FewProblems):
    """Five problems of the user's own beside a sample of two of ours."""

    def test_sets(self) -> Mapping[str, Sequence[Statement]]:
        found = [self.parse(f"{n} + 41") for n in range(50, 55)]
        return {"mine": [each for each in found if isinstance(each, Statement)]}


class OnlyTestSet(OwnTestSet):
    """Nothing but the user's own."""

    def evaluation_sets(self) -> Mapping[str, Sequence[Statement]]:
        return {}


class NothingHeldOut(FewProblems):
    """Seeds and a judge, and no set to evaluate."""

    def evaluation_sets(self) -> Mapping[str, Sequence[Statement]]:
        return {}


class OwnAnswers(OnlyTestSet):
    """The answers of a seed and of a test problem stand in a file."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self.answer = Path(path).read_text()

    def seeds(self) -> Sequence[Statement]:
        first, *others = super().seeds()
        return (replace(first, answer=self.answer), *others)

    def test_sets(self) -> Mapping[str, Sequence[Statement]]:
        return {"mine": tuple(replace(each, answer=self.answer) for each in super().test_sets()["mine"])}


class Failing(FewProblems):
    """Its judge fails on every answer that has one of these letters."""

    def __init__(self, letters: str) -> None:
        super().__init__()
        self.letters = letters

    def judge(self, problem: Problem, text: str) -> tuple[Outcome, str | None]:
        if any(letter in text for letter in self.letters):
            raise LookupError(f"no {self.letters[0]}, please")
        return super().judge(problem, text)


class Made(FewProblems):
    """Writes into a file that it was made, as one would see it that reads a large one."""

    def __init__(self, path: str) -> None:
        super().__init__()
        with Path(path).open("a") as file:
            file.write("domain\n")
