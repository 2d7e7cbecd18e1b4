"""The commands, from wherever they are typed. Case 18."""

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from run_server import ROOT

from selfplay import inspect
from selfplay.arguments import Arguments, parse
from selfplay.config.files import CHANGEABLE_ON_RESUME, FIXED_ON_RESUME
from selfplay.config.shipped import configuration_file
from selfplay.machine import errors
from selfplay.machine.errors import OK, USAGE


def test_the_package_tells_what_there_is_to_run(tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    for arguments, code in (((), OK), (("--help",), OK), (("nonsense",), USAGE)):
        command = [sys.executable, "-m", "selfplay", *arguments]
        ended = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert (ended.returncode, "Traceback" in ended.stderr) == (code, False)
        assert all(f"selfplay.{each}" in ended.stdout for each in ("loop", "inspect", "evaluate", "lab")) == (
            code == OK
        )
    assert ended.stderr == "error: nonsense is nothing that python -m selfplay runs; see python -m selfplay --help\n"


def test_help_names_every_exit_code_and_all_that_may_change_on_resume(capsys: pytest.CaptureFixture[str]) -> None:
    assert parse(["--help"]) is None
    said = capsys.readouterr().out
    assert all(len(line) <= 120 for line in said.splitlines())
    on_resume = said[said.index("On resume") : said.index("A domain or")]
    assert all(key in on_resume for key in (*CHANGEABLE_ON_RESUME, *FIXED_ON_RESUME))
    codes = {str(value) for name, value in vars(errors).items() if name.isupper() and isinstance(value, int)}
    assert len(codes) >= 13
    assert codes == set(re.findall(r"\b\d+\b", said[said.index("Exit codes:") :]))
    page = (ROOT / "docs" / "durability.md").read_text().partition("## Exit codes")[2]
    assert codes == {code for row in re.findall(r"^\| ([\d, ]+) \|", page, re.MULTILINE) for code in row.split(", ")}


def test_the_default_job_is_found_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = parse([])
    assert isinstance(found, Arguments) and found.config.run.name == "default-seed0"
    assert found.config.domain_options == {"max_value": 1000}
    tiny = parse(["configs/tiny.yaml"])
    assert isinstance(tiny, Arguments) and tiny.config.model.name == "tiny-llama"


def test_a_file_that_happens_to_lie_there_is_not_the_default_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "configs").mkdir()
    for name in ("default", "tiny"):
        (tmp_path / "configs" / f"{name}.yaml").write_text("seed: 77")
    found, named = parse([]), parse(["configs/tiny.yaml"])
    assert isinstance(found, Arguments) and found.config.seed == 0
    assert isinstance(named, Arguments) and named.config.seed == 77, "a file that is named is taken as it is"
    assert configuration_file("configs/../pyproject.toml") == Path("configs/../pyproject.toml")


def test_an_installed_package_has_the_files_that_it_names() -> None:
    """What a wheel is told to hold; selfplay/config/shipped.py looks there first."""
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert wheel["force-include"] == {"configs": "selfplay/configs"}
    assert {"default.yaml", "tiny.yaml"} <= {path.name for path in (ROOT / "configs").iterdir()}


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("domain_options.max_digits=2",), OK, "add1 100, add2 8100"),
        (("domain_options.max_digits=99",), USAGE, "error: domain_options: sums needs 1 <= min_digits <= max_digits"),
        (("domain_options.digits=2",), USAGE, "error: domain_options.digits: domain sums has no such option"),
        (("seed=3",), USAGE, "error: 'seed=3': a domain takes domain_options.key=value and nothing else"),
    ],
)
def test_a_domain_is_checked_with_its_options(
    arguments: tuple[str, ...], code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        inspect.main(["validate-domain", "sums", *arguments, "--json"])
    shown = capsys.readouterr()
    assert end.value.code == code
    if code == OK:
        details = {row["check"]: row["detail"] for row in json.loads(shown.out)}
        assert "add2" in details["evaluation sets parse"] and "add3" not in details["evaluation sets parse"]
    else:
        assert shown.err.startswith(said)
