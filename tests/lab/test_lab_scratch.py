"""Start models of the lab: their tokenizer, their traces, and that a seed makes one model."""

import dataclasses
import random
from pathlib import Path

import pytest

from curriculum.domains.abilities import ability
from curriculum.domains.protocol import Prompted, Statement
from curriculum.domains.sums import SumsDomain
from curriculum.holdout import HeldOut
from roles.prompts import PromptStyle
from selfplay.lab import scratch
from selfplay.lab.scratch import (
    StoppedStart,
    WarmStart,
    character_tokenizer,
    corrupted,
    start_model,
    traces_digest,
)
from selfplay.model.weights.loading import load_model

KEY = "selfplay-1"
OPTIONS = {"min_digits": 2, "max_digits": 2}
DOMAIN = SumsDomain(**OPTIONS)
SHORT = WarmStart(width=16, heads=2, iterations=4, batch=8, first_share=0.5, report="confidence")


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SELFPLAY_CACHE", str(tmp_path / "cache"))


def test_text_survives_the_tokenizer_and_words_of_prompts_are_one_token() -> None:
    tokenizer = character_tokenizer()
    text = "347 + 586 = 933\nRecheck: 347 + 586 = 933\nConfidence: 0.7\nRight: 1\n"
    ids = tokenizer.encode(text, add_special_tokens=False)
    assert tokenizer.decode(ids) == text
    assert len(ids) == 2 * 13 + 1 + 1 + 5 + 1 + 3
    assert all(tokenizer.decode([i]) in (*scratch.CHARACTERS, *scratch.WORDS) for i in ids)
    assert (
        tokenizer.decode(tokenizer.encode("3\u00e9\U0001f600", add_special_tokens=False), skip_special_tokens=True)
        == "3"
    )


def test_a_start_model_is_an_ordinary_folder_made_once_and_alike() -> None:
    said: list[str] = []
    folder = start_model("sums", OPTIONS, SHORT, 3, KEY, said.append)
    assert said and start_model("sums", OPTIONS, SHORT, 3, KEY, pytest.fail) == folder
    other = start_model("sums", OPTIONS, SHORT, 4, KEY, said.append)
    one, two = ((each / "model.safetensors").read_bytes() for each in (folder, other))
    for path in folder.iterdir():
        path.unlink()
    again = start_model("sums", OPTIONS, SHORT, 3, KEY, said.append)
    assert (again / "model.safetensors").read_bytes() == one != two
    assert load_model(str(folder), "float32").model.num_parameters() < scratch.MAX_PARAMETERS


def test_a_start_model_of_other_traces_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    before = start_model("sums", OPTIONS, SHORT, 3, KEY, lambda line: None)
    draw, report = SumsDomain.draw, PromptStyle.report

    def mirrored(self: SumsDomain, rng: random.Random, level: int) -> Statement:
        statement = draw(self, rng, level)
        return dataclasses.replace(statement, text=" + ".join(reversed(statement.text.split(" + "))))

    with monkeypatch.context() as changed:  # as if the domain's code had been edited
        changed.setattr(SumsDomain, "draw", mirrored)
        after = start_model("sums", OPTIONS, SHORT, 3, KEY, lambda line: None)
    with monkeypatch.context() as changed:  # said in whole traces only, which come late in a training
        changed.setattr(PromptStyle, "report", lambda *given: report(*given) + " ")
        reworded = start_model("sums", OPTIONS, SHORT, 3, KEY, lambda line: None)
    assert len({before, after, reworded}) == 3
    assert start_model("sums", OPTIONS, SHORT, 3, KEY, pytest.fail) == before


def test_traces_are_known_by_what_they_say_and_by_nothing_that_is_said_elsewhere() -> None:
    known = traces_digest(DOMAIN, SHORT, 3, KEY)
    assert traces_digest(SumsDomain(**OPTIONS), SHORT, 3, KEY) == known
    longer = dataclasses.replace(SHORT, iterations=400, batch=4, learning_rate=1.0, layers=2)
    assert traces_digest(DOMAIN, longer, 3, KEY) == known  # the cache's key has the settings themselves
    others = [
        traces_digest(DOMAIN, SHORT, 4, KEY),
        traces_digest(SumsDomain(min_digits=2, max_digits=3), SHORT, 3, KEY),
        traces_digest(DOMAIN, dataclasses.replace(SHORT, report="none"), 3, KEY),
        traces_digest(DOMAIN, dataclasses.replace(SHORT, corrupted_share=0.4), 3, KEY),
    ]
    assert len({known, *others}) == 5


def test_training_stops_when_the_loss_is_low_enough() -> None:
    """A model that knows nothing begins near ln 102 = 4.6: five is reached at once, zero never."""
    lengths = []
    for until_loss in (5.0, 0.0):
        said: list[str] = []
        settings = StoppedStart(width=16, heads=2, iterations=4, batch=8, until_loss=until_loss)
        start_model("sums", OPTIONS, settings, 3, KEY, said.append)
        lengths.append(said[-1].split("  ")[0])
    assert lengths == ["warm start 1/4", "warm start 4/4"]


def test_how_others_are_made_is_spelled_as_before() -> None:
    """Rows of cells hold a digest of this text."""
    assert repr(WarmStart(layers=2, turns=1)) == (
        "WarmStart(layers=2, width=128, heads=8, iterations=1000, batch=128, learning_rate=0.003, turns=1, "
        "first_share=0.75, corrupted_share=0.5, report='none')"
    )


def test_a_start_model_has_seen_none_of_the_problems_that_its_run_holds_out() -> None:
    """D5: another `evaluate.holdout_key` is another start model, and its traces leave other problems out."""
    assert traces_digest(DOMAIN, SHORT, 3, "another") != traces_digest(DOMAIN, SHORT, 3, KEY)
    held_out, tokenizer = HeldOut(DOMAIN, "another"), character_tokenizer()
    seen = 0
    for ids, _ in scratch._batches(DOMAIN, dataclasses.replace(SHORT, iterations=20), 3, "another", tokenizer):
        for text in tokenizer.batch_decode(ids):
            statement = DOMAIN.parse(text.partition(" =")[0])
            assert not held_out.contains(statement.canonical)  # type: ignore[union-attr]
            seen += HeldOut(DOMAIN, KEY).contains(statement.canonical)  # type: ignore[union-attr]
    assert seen > 0  # those of the default key are no other run's concern


def test_a_model_that_is_too_large_is_refused() -> None:
    with pytest.raises(ValueError, match="at most 1,000,000 parameters"):
        start_model("sums", OPTIONS, WarmStart(layers=6, width=256), 0, KEY, print)


def test_traces_are_right_where_they_are_learned_and_never_of_held_out_problems() -> None:
    held_out, style, rng = HeldOut(DOMAIN, KEY), PromptStyle(ability(DOMAIN, Prompted)), random.Random(1)
    wrong = 0
    for _ in range(200):
        trace = scratch._trace(DOMAIN, held_out, style, SHORT, rng, is_short=False)
        question, first, recheck, second, asked, stated = (text for text, _ in trace)
        statement = DOMAIN.parse(question.removesuffix(" ="))
        assert not held_out.contains(statement.canonical)  # type: ignore[union-attr]
        assert (recheck, asked) == (f"Recheck: {question}", "Confidence:")
        assert int(second) == sum(map(int, question.removesuffix(" =").split(" + ")))
        assert [is_said for _, is_said in trace] == [False, first == second, False, True, False, True]
        assert 0.0 <= float(stated) <= 1.0
        wrong += first != second
    assert 70 < wrong < 130  # corrupted_share is one half


def test_a_corrupted_answer_differs_in_one_digit_and_stays_a_number() -> None:
    rng = random.Random(2)
    for answer in ("933", "10", "7"):
        for _ in range(50):
            other = corrupted(answer, rng)
            assert len(other) == len(answer) and sum(a != b for a, b in zip(answer, other, strict=True)) == 1
            assert not other.startswith("0")
