"""Outcome files to curves: `inspect passk`, and what `evaluate --against` says of samples."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from looking import Look

from selfplay.evaluate import main as evaluate_main
from selfplay.machine.errors import DATA, USAGE


def write(path: Path, model: str, right: Mapping[str, int], samples: int = 8, name: str = "set") -> Path:
    with path.open("a") as file:
        for problem, count in right.items():
            row = {"model": model, "step": 0, "set": name, "problem_id": problem, "num_samples": samples}
            file.write(json.dumps(row | {"num_right": count, "text": "not read"}) + "\n")
    return path


def test_two_models_are_paired_by_problem_whatever_their_order(tmp_path: Path, look: Look) -> None:
    trained = write(tmp_path / "a.jsonl", "trained", {"p": 8, "q": 0, "r": 0})
    start = write(tmp_path / "b.jsonl", "start", {"r": 0, "q": 2, "p": 2})
    code, out, err = look("passk", trained, start, "--json")
    [found] = json.loads(out)["compared"]
    curves = found["curves"]
    assert (code, err) == (0, "")
    assert (found["first"], found["second"], found["problems"]) == ("trained", "start", 3)
    assert [at["k"] for at in curves["at"]] == [1, 2, 4, 8]
    assert [at["difference"][0] for at in curves["at"]] == pytest.approx([1 / 6, 1 / 42, -4 / 21, -1 / 3])
    assert [curves[f"solved_by_{who}"] for who in ("both", "first", "second", "neither")] == [1, 0, 1, 1]
    assert curves["overtaken_at"] == 3
    _, out, _ = look("passk", trained, start)
    assert "B is ahead from k = 3 on, of 1 to 8; of 3 problems both solved 1, only A 0, only B 1, neither 1" in out


@pytest.mark.parametrize("suffix", ["png", "svg"])
def test_curves_are_drawn(tmp_path: Path, look: Look, suffix: str) -> None:
    file = write(tmp_path / "a.jsonl", "$\x1b[31mtrained_$", {"p": 8, "q": 0})
    write(file, "start", {"p": 3, "q": 1})
    write(file, "start", {"x": 3}, name="other")
    code, _, err = look("passk", file, "-o", tmp_path / f"curves.{suffix}")
    drawn = (tmp_path / f"curves.{suffix}").read_bytes()
    assert (code, err) == (0, "") and len(drawn) > 5000 and b"\x1b[31m" not in drawn


def test_one_model_has_a_curve_too(tmp_path: Path, look: Look) -> None:
    _, out, _ = look("passk", write(tmp_path / "a.jsonl", "start", {"p": 4, "q": 0}), "--json")
    found = json.loads(out)
    assert found["compared"] == [] and found["models"][0]["pass@k"] == 0.25


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no samples in these files"),
        ("hello", "cannot be read"),
        ("[1]", "a row has no samples"),
        ('{"model": "m", "step": 0, "set": "s", "problem_id": "p", "turns": []}', "a row has no samples"),
        ('{"model": "m", "step": 0, "set": "s", "problem_id": "p", "num_samples": 4, "num_right": 5}', "no samples"),
        ('{"model": "m", "step": 0, "set": "s", "problem_id": "p", "num_samples": 1e9, "num_right": 5}', "no samples"),
    ],
)
def test_what_is_no_file_of_samples_is_one_line(tmp_path: Path, look: Look, text: str, words: str) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(text)
    code, out, err = look("passk", path)
    assert (code, out) == (DATA, "") and words in err and err.count("\n") == 1


def test_models_with_other_problems_or_samples_are_not_compared(tmp_path: Path, look: Look) -> None:
    one = write(tmp_path / "a.jsonl", "trained", {"p": 1})
    for other, words in (
        (write(tmp_path / "b.jsonl", "b", {"q": 1}), "different problems"),
        (write(tmp_path / "c.jsonl", "c", {"p": 1}, samples=9), "8 samples of trained and 9 of c"),
    ):
        code, _, err = look("passk", one, other)
        assert code == USAGE and words in err
    code, _, err = look("passk", one, one)
    assert code == DATA and "twice" in err
    code, _, err = look("passk", one, "-o", tmp_path / "a.bmp")
    assert code == USAGE and ".png" in err


def test_evaluate_says_the_same_of_two_models(tmp_path: Path, look: Look) -> None:
    """Two random models of one size on a domain whose judge takes half of what they babble."""
    out = tmp_path / "out.jsonl"
    asked = ("tiny-llama", "--against", "tiny-qwen3", "--set", "few_problems:AnyEnds", "--samples", 4, "--turns", 1)
    keys = ("run.threads=1", "solver.max_tokens=4", "model.dtype=float32")
    code, said, _ = look(*asked, *keys, "--out", out, "--json", main=evaluate_main)
    assert code == 0
    passing = json.loads(said)["passing"]
    assert passing and passing == json.loads(look("passk", out, "--json")[1])["compared"]
    at = {each["k"]: each for each in passing[0]["curves"]["at"]}
    assert at.keys() == {1, 2, 4} and 0 < at[4]["first"][0] <= 1
