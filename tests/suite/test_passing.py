"""Outcome files to curves: `inspect passk`, and what `evaluate --against` says of samples."""

import json
import math
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from looking import Look
from updates import tiny_policy

from curriculum.domains.abilities import ability
from curriculum.domains.loading import load_domain
from curriculum.domains.protocol import Evaluated, problem_of
from roles.prompts import few_shot_style
from selfplay import api
from selfplay.evaluate import main as evaluate_main
from selfplay.machine.errors import DATA, USAGE
from selfplay.prompting.codec import Encoder
from store.records import Origin, Problem


def write(path: Path, model: str, right: Mapping[str, int], samples: int = 8, name: str = "set") -> Path:
    with path.open("a") as file:
        for problem, count in right.items():
            row = {"model": model, "step": 0, "set": name, "problem_id": problem, "num_samples": samples}
            file.write(json.dumps(row | {"num_right": count, "text": "not read"}) + "\n")
    return path


def problems(name: str) -> list[Problem]:
    domain = load_domain(name)
    sets = ability(domain, Evaluated).evaluation_sets().values()
    return [problem_of(each, domain.name, Origin.SEED) for members in sets for each in members]


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
    own, other = passing[0]["perplexity"]
    assert own > 1 and other > 1 and own != other
    assert f"{own:.3f} under A, {other:.3f} under B" in look("passk", out)[1]


def test_perplexity_is_that_of_plain_torch_under_the_other_model() -> None:
    """Each sample as a row of its own, behind the prompt that the other model is asked with."""
    keys = ["run.threads=1", "solver.max_tokens=5", "model.dtype=float32", "prompts.style=few_shot"]
    named = "few_problems:AnyEnds"
    report = api.evaluate("tiny-llama", named, samples=3, against="tiny-qwen3", keys=keys)
    assert report.against is not None
    style = few_shot_style(load_domain(named))
    for name, model in (("nats", tiny_policy("tiny-llama")), ("nats_against", tiny_policy("tiny-qwen3"))):
        total = found = 0.0
        for each in report.model.sets[0].problems[:3]:
            question = next(p for p in problems(named) if p.problem_id == each.problem_id)
            prompt = Encoder(model.tokenizer, model.head.weight.shape[0])(style.solver(question), None)
            for turn in each.sampled:
                row = torch.tensor([[*prompt, *turn.ids]])
                with torch.no_grad():
                    every = model.model(row).logits[0].float().log_softmax(-1)
                told = every[len(prompt) - 1 : -1].gather(1, torch.tensor(turn.ids)[:, None])
                total -= told.sum().item()
            found += getattr(each, name)
        assert found == pytest.approx(total, rel=1e-4)
    assert all(each.nats_against is None for each in report.against.sets[0].problems)


def test_perplexities_in_files_are_of_whole_sets_and_against_one_model(tmp_path: Path, look: Look) -> None:
    start = write(tmp_path / "b.jsonl", "start", {"p": 1, "q": 2})
    told = {"sampled_tokens": 10, "sampled_nats": 10 * math.log(2), "sampled_nats_against": 10 * math.log(8)}
    rows = [
        {"model": "trained", "step": 0, "set": "set", "problem_id": name, "num_samples": 8, "num_right": 3, **told}
        for name in "pq"
    ]

    def found(*given: dict[str, object]) -> object:
        path = tmp_path / "a.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in given))
        code, out, err = look("passk", path, start, "--json")
        return json.loads(out)["compared"][0]["perplexity"] if code == 0 else (code, err.count("\n"))

    assert found(*({**row, "against": "start"} for row in rows)) == pytest.approx([2.0, 8.0])
    assert found(*({**row, "against": "another"} for row in rows)) is None
    assert found({**rows[0], "against": "start"}, {**rows[1], "sampled_nats_against": None}) is None
    assert found({**rows[0], "against": "start", "sampled_nats": -1}, rows[1]) == (DATA, 1)
    assert found({**rows[0], "against": 7}, rows[1]) == (DATA, 1)
