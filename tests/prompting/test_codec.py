"""From prompts to ids and back: what begins a context, what continues one, what is read of it, and where it ends."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from odd_models import bytewise, piecewise, with_bos
from scripted_roles import DOMAIN, problem

from curriculum.domains.abilities import ability
from curriculum.domains.protocol import Prompted
from roles.judging.groups import verdict
from roles.prompts import PromptStyle, few_shot_style
from roles.requests import Sampled, SamplingParams
from roles.tree import ROOT, Tree
from selfplay.engine.protocol import Draw
from selfplay.engine.sampling import Speaker
from selfplay.lab.scratch import character_tokenizer
from selfplay.machine.errors import ModelError
from selfplay.model.weights.loading import load_model
from selfplay.model.weights.tiny import ByteTokenizer
from selfplay.prompting.codec import Encoder, beginning, ends, following, leading, stop_tokens, text_of
from store.records import Completion, Finish, Outcome

SPECIAL = ["<bos>", "<eos>", "<end>"]


@pytest.fixture(scope="module")
def default() -> Any:
    return load_model("smollm2-135m", "bfloat16").tokenizer


def test_a_context_begins_with_what_the_tokenizer_puts_in_front_and_nothing_behind() -> None:
    """Case 26."""
    tokenizer = with_bos(bytewise(SPECIAL, "<eos>"), eos="<eos>")
    bos, plain = tokenizer.convert_tokens_to_ids("<bos>"), tokenizer.encode("1 + 1 =", add_special_tokens=False)
    assert leading(tokenizer) == (bos,)
    assert beginning(tokenizer, "1 + 1 =") == [bos, *plain]
    assert beginning(tokenizer, "<bos>1 + 1 =") == [bos, *plain]  # a chat template brought it
    assert following(tokenizer, "1 + 1 =", bos) == plain
    encode = Encoder(tokenizer, 1000)
    assert (encode("1 + 1 =", None), encode("1 + 1 =", bos)) == ([bos, *plain], plain)


def test_the_default_model_begins_with_its_prompt_and_reads_a_text_alike_everywhere(default: Any) -> None:
    """Case 26: its bits are what they were."""
    style, asked = PromptStyle(ability(DOMAIN, Prompted)), problem("23 + 45")
    first = Completion((1,), (0.0,), " 67\n", Finish.STOP, 0, 0)
    for tokenizer in (default, ByteTokenizer(), character_tokenizer()):
        assert leading(tokenizer) == ()
        for text in (style.solver(asked), style.challenger(asked), style.recheck(asked, first), ""):
            plain = tokenizer.encode(text, add_special_tokens=False)
            assert beginning(tokenizer, text) == following(tokenizer, text, 5) == plain
            assert plain == ([] if not text else tokenizer.encode(text, add_special_tokens=True))


@pytest.mark.parametrize("scheme", ["always", "first", "never"])
def test_a_text_that_continues_is_read_as_it_is_read_in_the_whole(scheme: str) -> None:
    """Case 48: the second look began with a stray space."""
    tokenizer = piecewise(SPECIAL, "<eos>", scheme=scheme)
    for before, text in [("5 + 3 = 8\n", "Recheck: 5"), ("user<end>", "\nyes"), ("user<end>", "x")]:
        whole = tokenizer.encode(before + text, add_special_tokens=False)
        start = tokenizer.encode(before, add_special_tokens=False)
        assert following(tokenizer, text, start[-1]) == whole[len(start) :], (before, text)
    space, *digits = (tokenizer.convert_tokens_to_ids(t) for t in "▁10")  # what a model judge compares
    assert [following(tokenizer, text, space) for text in "10"] == [[digit] for digit in digits]


def test_a_prompt_that_the_model_has_no_embedding_for_is_one_line() -> None:
    """Case 53."""
    tokenizer = bytewise(SPECIAL, "<eos>")
    assert Encoder(tokenizer, 256)("plain", None)
    with pytest.raises(ModelError, match="reads '<end>' of a prompt as token 258, and the model has 258 of them"):
        Encoder(tokenizer, 258)("a<end>", None)


def speak(tokenizer: Any, ids: Sequence[int], stop: tuple[str, ...] = ("\n",), room: int = 50) -> Completion:
    """What comes of a completion that says `ids`."""
    tree = Tree()
    draw = Draw(tree.extend(ROOT, [0]), 1, SamplingParams(1.0, room, stop), ("x",), "solver/0")
    given = Completion(tuple(ids), (0.0,) * len(ids), "", Finish.LENGTH, 0, 0)
    speaker = Speaker(draw, np.zeros(room), tokenizer, draw.node, given)
    while speaker.finish is None and len(speaker.ids) < len(ids):
        speaker.say(tree)
    speaker.finish = speaker.finish or Finish.LENGTH
    return speaker.sampled(0).completion


def test_the_judge_sees_special_tokens() -> None:
    """Case 47."""
    tokenizer = bytewise(["<|im_start|>", *SPECIAL], "<eos>")
    for text in ("<|im_start|> 6 <bos> 8\n", " 6<bos>8\n", "<bos>68<eos>", "6<end>8<eos>"):
        found = speak(tokenizer, tokenizer.encode(text, add_special_tokens=False))
        assert found.finish is Finish.STOP
        assert found.text == text.removesuffix("<eos>")
        assert verdict(problem("23 + 45"), Sampled(0, found), DOMAIN, few_shot_style(DOMAIN).visible)[:2] == (
            Outcome.UNPARSED,
            None,
        )
    for text in (" 68\n", " 68<eos>"):
        found = speak(tokenizer, tokenizer.encode(text, add_special_tokens=False))
        assert verdict(problem("23 + 45"), Sampled(0, found), DOMAIN, few_shot_style(DOMAIN).visible)[:2] == (
            Outcome.CORRECT,
            "68",
        )


def test_only_the_token_that_ended_it_is_left_out(default: Any) -> None:
    """Case 47."""
    end, start = (default.convert_tokens_to_ids(t) for t in ("<|im_end|>", "<|im_start|>"))
    plain = default.encode(" 68\n", add_special_tokens=False)
    stops = stop_tokens(default, ("\n",))
    assert text_of(default, plain, stops) == " 68\n"
    assert text_of(default, [*plain[:-1], end], stops) == " 68"
    assert text_of(default, [*plain[:-1], start], stops) == " 68<|im_start|>"  # cut by length


def test_an_id_without_a_text_is_seen() -> None:
    """Case 47, of the rows that an embedding has beyond its tokenizer."""
    tokenizer = bytewise(SPECIAL, "<eos>")
    assert text_of(tokenizer, [*tokenizer.encode("6"), 5000, *tokenizer.encode("8\n")], ()) == "6\ufffd8\n"


@pytest.mark.parametrize("stop", ["END", "</a>", "\u00e9\u00e9"])
def test_a_stop_string_of_several_tokens_ends_a_completion(stop: str) -> None:
    """Case 48."""
    tokenizer = bytewise(SPECIAL, "<eos>")
    ids = tokenizer.encode(f" 68{stop}and more", add_special_tokens=False)
    found = speak(tokenizer, ids, (stop,))
    assert (found.finish, found.text) == (Finish.STOP, f" 68{stop}")
    assert PromptStyle(ability(DOMAIN, Prompted), stop=(stop,)).visible(found.text) == " 68"
    assert speak(tokenizer, tokenizer.encode(f" 6{stop[:-1]} 8", add_special_tokens=False), (stop,)).finish is (
        Finish.LENGTH
    )


def test_a_stop_of_one_token_ends_at_once_and_a_line_end_cannot_span_tokens(default: Any) -> None:
    ids = default.encode("<|im_end|>", add_special_tokens=False)
    assert ends(default, ids, ("<|im_end|>",)) and len(ids) == 1
    assert not any(ends(default, [i], ("\n",)) for i in default.encode(" 68 = ;", add_special_tokens=False))
