"""Stories to draw from: a text with slots, and the program that goes with it.

What is `is_kept_back` appears in evaluation sets alone, so that a set is not answered by knowing the texts and things
of the seeds, of the examples and of the control without a challenger.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Template:
    """`text` has the slots {a}, {b}, {c} of numbers, each once, in any order, and {name}, {other} and {things};
    `program` has the numbers' slots."""

    text: str
    program: str
    is_kept_back: bool = False

    @property
    def num_operations(self) -> int:
        """1 or 2."""
        return self.program.count("{") - 1


NAMES = ("Tom", "Anna", "Ben", "Lucy", "Sam", "Mia", "Jack", "Nora")
THINGS = ("apples", "books", "pens", "marbles", "cards", "eggs", "shells", "stamps")
KEPT_BACK_NAMES = ("Olga", "Peter", "Ravi", "Zoe")
KEPT_BACK_THINGS = ("buttons", "cookies", "tickets", "lemons")

TEMPLATES = (
    Template("{name} has {a} {things} and buys {b} more. How many {things} does {name} have?", "{a} + {b}"),
    Template("There are {a} red {things} and {b} blue {things} in a box. How many {things} are there?", "{a} + {b}"),
    Template("{name} has {a} {things} and gives away {b}. How many {things} are left?", "{a} - {b}"),
    Template(
        "{name} has {a} {things} and {other} has {b}. How many {things} does {name} have more than {other}?",
        "{a} - {b}",
    ),
    Template("There are {a} boxes with {b} {things} in each box. How many {things} are there?", "{a} * {b}"),
    Template("{a} {things} are shared equally by {b} children. How many {things} does a child get?", "{a} / {b}"),
    Template(
        "{name} has {a} {things}, buys {b} more and gives away {c}. How many {things} are left?", "{a} + {b} - {c}"
    ),
    Template(
        "There are {a} red {things}, {b} blue {things} and {c} green {things}. How many {things} are there?",
        "{a} + {b} + {c}",
    ),
    Template(
        "There are {a} boxes with {b} {things} in each box. {name} takes {c} away. How many {things} are left?",
        "{a} * {b} - {c}",
    ),
    Template(
        "{name} has {a} {things} and buys {b} bags with {c} {things} in each bag. How many {things} does {name} have?",
        "{a} + {b} * {c}",
    ),
    Template(
        "{name} picks {a} {things} in the morning and {b} {things} at noon. How many {things} does {name} pick?",
        "{a} + {b}",
        is_kept_back=True,
    ),
    Template(
        "A shop has {a} {things} and sells {b} of them. How many {things} remain?", "{a} - {b}", is_kept_back=True
    ),
    Template("Every child has {a} {things}. How many {things} do {b} children have?", "{a} * {b}", is_kept_back=True),
    Template(
        "{name} had {a} {things}, lost {b} and then found {c}. How many {things} does {name} have?",
        "{a} - {b} + {c}",
        is_kept_back=True,
    ),
    Template(
        "{a} red {things} and {b} blue {things} are shared equally by {c} children. How many does a child get?",
        "({a} + {b}) / {c}",
        is_kept_back=True,
    ),
)
