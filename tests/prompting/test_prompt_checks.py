"""What is found out before a run has a folder: that an answer can be ended, and that conversations fit in."""

from dataclasses import replace
from typing import Any

import pytest
from odd_models import bytewise, odd_model, piecewise
from scripted_roles import DOMAIN, problem
from tokenizers import normalizers

from curriculum.domains.abilities import ability
from curriculum.domains.protocol import Prompted
from roles.prompts import PromptStyle
from roles.requests import SamplingParams
from roles.solver import SolverSettings
from selfplay.machine.errors import ModelError
from selfplay.model.positions import learned_positions, positions
from selfplay.model.weights.loading import load_model
from selfplay.model.weights.tiny import ByteTokenizer, tiny_model
from selfplay.prompting.checks import check_stops
from selfplay.prompting.codec import Encoder
from selfplay.prompting.room import Room, check_room

ASKED = problem("23 + 45")
STYLE, SAID = PromptStyle(ability(DOMAIN, Prompted)), SamplingParams(1.0, 8, ("\n",))


def checked(tokenizer: Any, *stop: str) -> None:
    check_stops(PromptStyle(ability(DOMAIN, Prompted), stop=stop), Encoder(tokenizer, 100_000), [ASKED], "mine")


def checked_room(model: Any, room: Room, problems: Any, border: int | None, name: str, say: Any) -> int | None:
    return check_room(room, problems, positions(model), learned_positions(model) is not None, border, None, name, say)


def test_tokenizers_that_can_end_an_answer_pass() -> None:
    special = ["<eos>", "<end>"]
    for tokenizer in (ByteTokenizer(), bytewise(special, "<eos>"), piecewise(special, "<eos>")):
        checked(tokenizer, "\n")
    checked(bytewise(special, "<eos>"), "<end>")
    checked(bytewise(special, "<eos>"), "END")  # of three tokens
    checked(load_model("smollm2-135m", "bfloat16").tokenizer, "\n")


def test_a_tokenizer_whose_line_end_is_a_space_is_refused() -> None:
    """Case 48."""
    tokenizer = bytewise(["<eos>"], "<eos>")
    tokenizer.backend_tokenizer.normalizer = normalizers.Replace("\n", " ")
    with pytest.raises(ModelError, match=r"cannot end an answer: '\\n' behind '68' .* use prompts.style=chat or"):
        checked(tokenizer, "\n")


def room(model: Any, max_tokens: int, turns: int = 2, border: int | None = None) -> list[str]:
    lines: list[str] = []
    solver = SolverSettings(2, turns, SamplingParams(1.0, max_tokens, ("\n",)))
    encode = Encoder(ByteTokenizer(), 257)
    conversations = Room(STYLE, encode, solver, SAID)
    checked_room(model, conversations, [ASKED], border, "mine", lines.append)
    return lines


def test_a_conversation_beyond_learned_positions_is_refused_and_beyond_computed_ones_is_said() -> None:
    """Case 53."""
    assert room(tiny_model("tiny-gpt2"), 50) == room(tiny_model("tiny-llama"), 50) == []
    with pytest.raises(ModelError, match=r"mine: it has 1024 positions, and a conversation takes up to 2\d\d\d: lower"):
        room(tiny_model("tiny-gpt2"), 1000)
    [line] = room(tiny_model("tiny-llama"), 1000)
    assert line.startswith("mine was made for 1024 positions, and a conversation may take 2")
    assert room(tiny_model("tiny-llama"), 700, turns=1) == []


def test_what_is_invented_later_goes_no_further_than_known_problems_need() -> None:
    """One problem of 19,000 characters, which a domain's sampler drew, took 15 GB."""
    short = Room(STYLE, Encoder(ByteTokenizer(), 257), SolverSettings(2, 2, SAID), SAID)
    long = replace(ASKED, text="1 + " * 5000)
    model = tiny_model("tiny-llama")
    limit = checked_room(model, short, [ASKED], None, "mine", print)
    assert limit == 1024 and not replace(short, limit=limit).fits(long)
    grown = checked_room(model, short, [ASKED, replace(ASKED, text="1 + " * 500)], None, "mine", print)
    assert grown is not None and grown > 1024


def test_an_answer_that_is_told_may_be_longer_than_one_that_is_sampled() -> None:
    """D3: `train.imitation=truth` trains the domain's answer in the place of a second look."""
    params, encode = SamplingParams(1.0, 100, ("\n",)), Encoder(ByteTokenizer(), 257)
    long = replace(ASKED, answer="6" * 400)

    def needed(turns: int, is_told: bool) -> int:
        return Room(STYLE, encode, SolverSettings(2, turns, params), SAID, is_told=is_told).needed(long)

    assert needed(2, True) == needed(2, False) - 100 + len(STYLE.completion(long.answer))
    assert needed(1, True) == needed(1, False)  # a first try is never told


def test_a_conversation_that_could_cross_a_border_of_rotary_scaling_is_refused() -> None:
    """Case 21c."""
    assert room(tiny_model("tiny-llama"), 50, border=500) == []
    with pytest.raises(ModelError, match=r"mine: its rotary scaling .* longer than 150 tokens, and .*: lower solver"):
        room(tiny_model("tiny-llama"), 50, border=150)


def test_a_conversation_beyond_what_the_sampler_takes_is_refused() -> None:
    """A process of its own is started for contexts of a length that cannot change."""
    short = Room(STYLE, Encoder(ByteTokenizer(), 257), SolverSettings(2, 2, SAID), SAID)
    needed, lines = short.needed(ASKED), list[str]()
    for limit in (None, 50, 1024):
        assert check_room(short, [ASKED], limit, False, None, needed, "mine", lines.append) == needed
        with pytest.raises(ModelError, match=rf"up to {needed - 1} tokens .* takes up to {needed}: raise engine.cont"):
            check_room(short, [ASKED], limit, False, None, needed - 1, "mine", lines.append)
    assert check_room(short, [ASKED], None, False, None, None, "mine", lines.append) is None


def test_which_positions_are_rows_of_a_table() -> None:
    assert learned_positions(tiny_model("tiny-gpt2")) == 1024
    assert {learned_positions(tiny_model(name)) for name in ("tiny-llama", "tiny-qwen3", "tiny-gemma")} == {None}
    assert learned_positions(odd_model("gptj")) == 2048  # sinusoids in a buffer
