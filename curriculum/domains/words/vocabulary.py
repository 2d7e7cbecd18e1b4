"""The words that a word problem is read by. They are few and stated: what is not in these tables means nothing here.

A number word counts like the digits; a constant may stand for its number, and need not. A cue says what kind of story
a text tells. All are in lower case.
"""

from collections.abc import Mapping


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


_UNITS = "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen"
_MORE_UNITS = "seventeen eighteen nineteen"
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"

UNITS: Mapping[str, int] = {word: i for i, word in enumerate(f"{_UNITS} {_MORE_UNITS}".split())}
TENS: Mapping[str, int] = {word: 10 * i for i, word in enumerate(_TENS.split(), start=2)}
LARGER = _set("hundred hundreds thousand thousands million millions billion")  # not read: no problem
CONSTANTS: Mapping[str, int] = {  # "one" is more often a pronoun than a number
    "one": 1,
    **dict.fromkeys(("twice", "double", "doubles", "doubled", "half", "halves", "pair", "pairs"), 2),
    **dict.fromkeys(("thrice", "triple", "triples", "tripled"), 3),
    "week": 7,
    **dict.fromkeys(("dozen", "dozens"), 12),
}

KINDS: Mapping[str, frozenset[str]] = {  # the first one that a text has a cue of is its kind; "have" without any
    "compare": _set("than fewer older younger longer shorter taller heavier difference"),
    "share": _set("share shares shared split splits divide divides divided equally"),
    "groups": _set("each every per apiece times twice double doubles thrice triple triples half halves"),
    "lose": _set(
        "give gives gave given away lose loses lost eat eats ate eaten sell sells sold left remain remains take takes"
        " took taken break breaks broke spend spends spent use uses used drop drops dropped fly flies flew leave leaves"
        " remove removes removed"
    ),
    "gain": _set(
        "more another buy buys bought get gets got find finds found receive receives received add adds added pick picks"
        " picked collect collects collected earn earns earned win wins won join joins joined come comes came arrive"
        " arrives arrived bake bakes baked make makes made"
    ),
    "total": _set("all total altogether together both combined"),
}

# What the text has to say for each operation, and which operation for what it says: by kinds of cues, any of them.
NEEDS: Mapping[str, frozenset[str]] = {
    "-": frozenset({"lose", "compare", "gain"}),  # "how many more does she need?"
    "*": frozenset({"groups"}),
    "/": frozenset({"share", "groups"}),
}
CALLS_FOR: Mapping[str, frozenset[str]] = {
    "lose": frozenset("-"),
    "share": frozenset("/"),
    "groups": frozenset("*/"),
}

ASKING = frozenset({"how", "what"})
# Two numbers with nothing but these between them are a sum, not a story.
SPOKEN_OPERATORS = _set("plus minus times multiplied divided by over and the sum of added to from subtracted less or")
# These speak of the task, not in the story.
META = _set("answer answers ignore instruction instructions prompt prompts program solver judge assistant output")
