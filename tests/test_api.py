"""The Python API: what its page shows, the three kinds of configuration, and one class for what goes wrong."""

import re
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from curriculum.validation import validate_domain
from selfplay import api
from store.errors import SelfplayError

ROOT = Path(__file__).resolve().parent.parent
SMALL = {"model": {"name": "tiny-llama", "dtype": "float32"}, "domain": "sums", "run.threads": 1, "run.steps": 1}


def test_the_snippets_of_the_page_run_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    for snippet in re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "api.md").read_text(), flags=re.DOTALL):
        exec(compile(snippet, "docs/api.md", "exec"), names)
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("2 True ") and "sums:add1 0." in "\n".join(said)
    assert names["result"].folder == Path("runs/first")
    assert [each.num_problems for each in names["report"].model.sets] == [5, 5]
    assert all(check.passed for check in validate_domain(names["Parity"]()))
    with api.open_store("runs/first") as store:
        assert store.incarnations()[-1].note == "looked at by hand"


def test_a_domain_of_ones_own_is_checked_without_torch() -> None:
    """Records come from this module, and a mistake in a key is said before anything heavy is loaded."""
    code = "import sys; from selfplay.api import Outcome, Statement; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_a_mapping_is_a_configuration_and_a_thread_may_run_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Signals have handlers in the main thread alone. Nothing is printed."""
    keys = SMALL | {
        "run.dir": tmp_path, "run.name": "mapped", "solver": {"problems": 2, "group_size": 2, "max_tokens": 4},
        "challenger.source": "none", "evaluate": {"interim_size": 2, "pass_size": 2, "pass_k": 2},
        "domain_options": {"max_digits": 1},
    }  # fmt: skip
    found: list[api.RunResult] = []
    heard: list[str] = []
    thread = threading.Thread(target=lambda: found.append(api.run(keys, note=heard.append)))
    thread.start()
    thread.join()
    [result] = found
    assert (result.step, result.is_finished, result.folder) == (1, True, tmp_path / "mapped")
    assert result.weights is not None and (result.weights / "model.safetensors").is_file()
    assert {each.set_name for each in result.evaluations} == {"add1"}
    assert any(line.startswith("step   1/1") for line in heard) and capsys.readouterr().out == ""
    with pytest.raises(api.SelfplayError, match="mapped exists"):
        api.run(keys)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: api.run({"run.step": 1}), "did you mean run.steps?"),
        (lambda: api.run({"run": {"steps": "many"}}), "run.steps"),
        (lambda: api.run({"seed": object()}), "'seed': "),
        (lambda: api.run("run.steps=3"), "give a YAML file, a list of key=value, or a mapping"),
        (lambda: api.run(["nowhere.yaml"]), "nowhere.yaml: cannot be read"),
        (lambda: api.run({"domain": "geometry"}), 'domain "geometry"'),
        (lambda: api.resume("nowhere"), "there is no run in nowhere"),
        (lambda: api.evaluate("tiny-llama"), "say what to evaluate it on"),
        (lambda: api.load_policy("tiny-lama"), "did you mean tiny-llama?"),
        (lambda: api.open_store("nowhere").__enter__(), "nowhere"),
    ],
)
def test_what_goes_wrong_is_one_class_and_one_line(call, said: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(api.SelfplayError) as raised:
        call()
    assert said in str(raised.value) and "\n" not in str(raised.value)


def test_a_loaded_model_is_asked_in_another_way_but_not_loaded_in_another() -> None:
    loaded = api.load_policy("tiny-llama", {"run.threads": 1})
    keys = [{"solver": {"turns": turns, "max_tokens": 4}} for turns in (1, 2)]
    one, two = (api.evaluate(loaded, "sums:add1", limit=2, keys=each).model.sets[0] for each in keys)
    assert one.second_look is None and two.second_look is not None
    with pytest.raises(api.SelfplayError, match="give this to load_policy"):
        api.evaluate(loaded, "sums:add1", keys={"model.dtype": "float32"})


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: api.run(3), "a configuration is 3: it must be a mapping"),
        (lambda: api.evaluate("tiny-llama", "x.jsonl", keys="solver.turns=1"), "must be a mapping, or a list"),
        (lambda: api.evaluate(3, "x.jsonl"), "model is 3: it must be MODEL_OR_RUN"),
        (lambda: api.evaluate("tiny-llama", 3), "sets is 3"),
        (lambda: api.evaluate("tiny-llama", "x.jsonl", samples=-1), "samples is -1"),
        (lambda: api.evaluate("tiny-llama", "x.jsonl", limit=0), "limit is 0"),
        (lambda: api.evaluate("tiny-llama", "x.jsonl", options=[1]), "options is \\[1\\]"),
        (lambda: api.load_policy(None), "model is None"),
    ],
)
def test_a_call_with_something_of_another_kind_is_one_line(call: Any, words: str) -> None:
    with pytest.raises(SelfplayError, match=words):
        call()
