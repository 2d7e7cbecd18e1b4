"""Arithmetic with small evaluation sets: a whole run of the loop in about a second."""

import hashlib
from collections.abc import Mapping, Sequence

from curriculum.domains.arithmetic import sets
from curriculum.domains.arithmetic.domain import ArithmeticDomain
from curriculum.domains.chains import ChainsDomain
from curriculum.domains.protocol import Statement
from store.records import Fate, Outcome, Problem

TRAINED = (  # a challenger whose proposals differ in worth, so that it is trained
    "challenger.source=self", "domain=few_problems:AnyText", "challenger.max_tokens=64", "challenger.proposals=8",
    "challenger.invalid_reward=-0.1",
)  # fmt: skip
DOZENS = {name: texts[:12] for name, texts in sets.candidates().items() if name in ("add1", "mul1")}


class FewProblems(ArithmeticDomain):
    """The first dozen members of two sets. The others are not even stated: that would be a third of a run's time."""

    def evaluation_sets(self) -> Mapping[str, Sequence[Statement]]:
        return {name: self._stated_all(texts) for name, texts in DOZENS.items()}


class AnyText(FewProblems):
    """Reads some sum out of half of what a tiny model's challenger babbles, so that its proposals differ in worth."""

    def parse(self, text: str) -> Statement | Fate:
        found = super().parse(text)
        if isinstance(found, Statement):
            return found
        digest = hashlib.sha256(text.encode()).digest()
        return Fate.INVALID if digest[0] & 1 else super().parse(f"{10 + digest[1] % 90} + {10 + digest[2] % 90}")


class AnyPaid(FewProblems):
    """As `AnyText`, with sums of a dozen numbers beside sums of two that are like each other. What a tiny model babbles
    ends soon, and is right about half of the time, so that pass rates differ."""

    stops = ("\n", *"abcdefghijklmnopqrstuvwxyz")

    def parse(self, text: str) -> Statement | Fate:
        found = super().parse(text)
        digest = hashlib.sha256(text.encode()).digest()
        if isinstance(found, Statement) or digest[0] & 1:
            return found if isinstance(found, Statement) else Fate.INVALID
        if digest[1] & 1:
            return super().parse(f"{10 + digest[2] % 8} + {20 + digest[3] % 8}")
        spelled = " + ".join(str(10 + byte % 4) for byte in digest[4:16])
        return Statement(spelled, spelled, family="dozen", level=9, answer="0", answer_source="drawn")

    def judge(self, problem: Problem, text: str) -> tuple[Outcome, str | None]:
        is_right = hashlib.sha256(f"{problem.canonical} {text}".encode()).digest()[0] & 1
        return (Outcome.CORRECT if is_right else Outcome.INCORRECT), text


class AnyBriefly(AnyPaid):
    """As `AnyPaid`, right more often, with instructions that leave room for skills in a tiny model, and with stops that
    skills do without."""

    stops = ("\n", *"!#$%&()*+,/;<=>?@[]^_`{|}~")
    solver_instruction = "Solve."
    challenger_instruction = "Pose."

    def judge(self, problem: Problem, text: str) -> tuple[Outcome, str | None]:
        is_right = hashlib.sha256(f"{problem.canonical} {text}".encode()).digest()[0] & 3
        return (Outcome.CORRECT if is_right else Outcome.INCORRECT), text


class AnySteps(FewProblems):
    """What a tiny model babbles as steps, right and wrong about as often, so that trees differ in worth."""

    step_ends = tuple("aeiouxyz0123456789")

    def judge(self, problem: Problem, text: str) -> tuple[Outcome, str | None]:
        is_right = hashlib.sha256(f"{problem.canonical} {text}".encode()).digest()[0] & 1
        return (Outcome.CORRECT if is_right else Outcome.INCORRECT), text


class AnyEnds(AnySteps):
    """As `AnySteps`, and what a tiny model babbles ends its answer soon, so that few are cut."""

    stops = ("\n", "\x02", *"abcdefghijklmnopqrstuvwxyz")
    step_ends = tuple("0123456789")


class Brief(FewProblems):
    """Right is what ends in time: of what a random model says about a fifth, and soon learned."""

    stops = ("\n", *"abcdefghijklmnopqrstuvwxyz")

    def judge(self, problem: Problem, text: str) -> tuple[Outcome, str | None]:
        return Outcome.CORRECT, text


class AnyJudged(AnySteps):
    """As `AnySteps`, with an example after which the random model tiny-gemma, asked whether an answer is right, says 1
    more often than 0, and either of them often enough."""

    solver_examples = (("a" * 20, "a"),)


class AnyVoted(FewProblems):
    """Reads 0, 1 or 2 out of whatever is said, which soon ends, so that first tries agree now and then."""

    stops = ("\n", *"abcdefghijklmnopqrstuvwxyz")

    def judge(self, problem: Problem, text: str) -> tuple[Outcome, str | None]:
        said, right = (hashlib.sha256(each.encode()).digest()[0] % 3 for each in (text, problem.canonical))
        return (Outcome.CORRECT if said == right else Outcome.INCORRECT), str(said)


class Rarely(ChainsDomain):
    """Chains, of which a quarter of what is babbled is right, so that many problems are too hard and some are not for
    ever."""

    stops = ("\n", *"abcdefghijklmnopqrstuvwxyz")

    def judge(self, problem: Problem, text: str) -> tuple[Outcome, str | None]:
        is_right = hashlib.sha256(f"{problem.canonical} {text}".encode()).digest()[0] < 64
        return (Outcome.CORRECT if is_right else Outcome.INCORRECT), text

    def evaluation_sets(self) -> Mapping[str, Sequence[Statement]]:
        return {}


class AnyLength(FewProblems):
    """Reads a sum of 1 to 256 ones out of whatever a tiny model's challenger babbles."""

    def parse(self, text: str) -> Statement | Fate:
        found = super().parse(text)
        if isinstance(found, Statement):
            return found
        ones = 1 + hashlib.sha256(text.encode()).digest()[0]
        spelled = " + ".join(["1"] * ones)
        return Statement(spelled, spelled, family="ones", level=1, answer=str(ones), answer_source="executed")
