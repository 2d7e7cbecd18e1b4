"""An evaluation that searches with critics, by hand: an engine and heads that answer from tables."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from scripted_roles import TableSampler, countdown, line_to, step_style

from roles.judging.failures import JudgeWatch
from roles.requests import Scored
from roles.search.critics import CriticWeights
from roles.search.mcts import SearchSettings
from roles.tree import Tree
from selfplay.engine.protocol import Draw, Question, TokenCount
from selfplay.evaluation.evaluator import Evaluator
from selfplay.evaluation.search import SearchEvaluation

PROBLEMS = [countdown("3 5 8: 16"), countdown("2 3 7: 42")]
SAID = {  # what is said behind a context, in this order, for steps and for whole answers
    "3 5 8: 16 =": (["3*5=15,", "3+5=8,"], ["3+5=8,8*8=64\n", "3*5=15,15+8=23\n", "3+5=8,8+8=16\n"]),
    "3 5 8: 16 =3+5=8,": (["8*8=64\n", "8+8=16\n"], []),
    "3 5 8: 16 =3*5=15,": (["15+8=23\n", "8*15=120\n"], []),
    "2 3 7: 42 =": (["2*3=6,", "2+3=5,"], ["2*3=6,6*7=42\n", "2*3=6,6*7=42\n", "2+3=5,5*7=35\n"]),
    "2 3 7: 42 =2*3=6,": (["6*7=42\n", "6+7=13\n"], []),
    "2 3 7: 42 =2+3=5,": (["5*7=35\n", "5+7=12\n"], []),
}
GOOD_HEADS = {"3+5=8,": 0.9, "3*5=15,": 0.2, "2*3=6,": 0.8, "2+3=5,": 0.1}  # the value of a step
BAD_HEADS = {step: 1.0 - value for step, value in GOOD_HEADS.items()}
WATCH = JudgeWatch(0.0, lambda line: None)


@dataclass(slots=True)
class TableEngine(TableSampler):
    """Says what the table has behind a context: a step where steps end a completion, else a whole answer."""

    searched: list[tuple[str, int]] = field(default_factory=list)  # (context, samples) of searches alone

    def said(self, line: str, draw: Draw, index: int) -> str:
        steps, answers = SAID[line]
        if index == 0 and "search" in draw.key:
            self.searched.append((line, draw.n))
        return (steps if "step" in draw.key else answers)[index % 3]


@dataclass(slots=True)
class TableHeads:
    """A value head that knows each step by its words; `asked` keeps the contexts that it was shown."""

    values: dict[str, float]
    asked: list[str] = field(default_factory=list)

    def __call__(self, tree: Tree, questions: Sequence[Question], count: TokenCount) -> list[Scored]:
        contexts = [line_to(tree, question.node) for question in questions]
        self.asked += contexts
        return [Scored(value=self.values[context.partition(" =")[2]], process=0.5) for context in contexts]


def evaluated(heads: TableHeads, engine: TableEngine, budget: int) -> tuple[dict[str, float], str]:
    """Metrics and `searches` of a full evaluation in which the value head alone guides the search."""
    settings = SearchSettings(
        node_budget=budget, token_budget=budget, at_once=1, min_first=2, exploration=0.0, rollouts=0,
        weights=CriticWeights(value=1.0, process=0.0, outcome=0.0), stop_when_right=True,
    )  # fmt: skip
    search = SearchEvaluation(settings, step_style(), merge=False, prune=False)
    found = Evaluator(
        judge_watch=WATCH,
        sampler=engine, encode=lambda text, after: [ord(c) for c in text], style=step_style().style,
        sets={"few": PROBLEMS}, turns=1, max_tokens=step_style().params.max_tokens, interim_size=1, pass_k=2,
        pass_size=2, search=search, score=heads,
    ).full(3, "few")  # fmt: skip
    return dict(found.metrics), found.searches


def test_good_heads_lead_a_search_to_the_right_answer() -> None:
    engine, heads = TableEngine(), TableHeads(GOOD_HEADS)
    metrics, searches = evaluated(heads, engine, budget=40)
    # search, 3 5 8: first steps of 7 and 6 tokens, behind the better one a wrong answer of 7 and the right one of 7, as
    # the 4th step. 2 3 7: 6 and 6, then the right answer of 7, the 3rd step, and a wrong one of 7 in the same wave.
    # Best of: an answer has 40 tokens at most, so 1 at first, of 13; then ceil(27 / 13) = 3: 13 + 13 + 15 + 13 and the
    # last one is right, beyond the budget; 13 x 4, the first one right. The vote: two alike of four are wrong, or right
    assert searches == "27/4/54/5/0 19/3/13/2/1"
    assert {name: metrics[name] for name in metrics if name.startswith(("search", "best", "vote"))} == {
        "search_acc": 1.0, "best_of_acc": 0.5, "vote_acc": 0.5, "search_tokens": (27 + 26) / 2,
        "best_of_tokens": (54 + 52) / 2, "best_of_n": 4.0, "search_reproducible": 1.0,
    }  # fmt: skip
    # the heads were asked about the first steps alone: what ends an answer is worth its verdict
    assert heads.asked == [
        "3 5 8: 16 =3*5=15,", "3 5 8: 16 =3+5=8,", "2 3 7: 42 =2*3=6,", "2 3 7: 42 =2+3=5,",
    ]  # fmt: skip
    assert engine.searched == [
        ("3 5 8: 16 =", 2), ("2 3 7: 42 =", 2), ("3 5 8: 16 =3+5=8,", 2), ("2 3 7: 42 =2*3=6,", 2),
    ]  # fmt: skip


def test_bad_heads_lead_it_astray_until_the_budget_is_spent() -> None:
    engine = TableEngine()
    metrics, searches = evaluated(TableHeads(BAD_HEADS), engine, budget=26)
    assert engine.searched[2:] == [("3 5 8: 16 =3*5=15,", 2), ("2 3 7: 42 =2+3=5,", 2)]
    assert searches == "-/-/-/-/0 -/-/13/2/1"
    assert metrics["search_acc"] == 0.0 and metrics["best_of_acc"] == 0.5
    assert metrics["search_tokens"] == (7 + 6 + 8 + 9 + 6 + 6 + 7 + 7) / 2
