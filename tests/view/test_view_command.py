"""`python -m selfplay.view` finds what is meant; what is wrong is one line, also where its extra is not there."""

import sys
from pathlib import Path

import pytest
from store_samples import copy_new

from selfplay.machine.run_folder import DATABASE
from selfplay.view.__main__ import INSTALL, found, main
from selfplay.view.page.library import Library


def test_a_run_by_its_folder_and_a_folder_of_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "runs" / "x").mkdir(parents=True)
    copy_new(tmp_path / "runs" / "x" / DATABASE)
    monkeypatch.chdir(tmp_path)
    assert found("runs/x") == (Library(tmp_path / "runs"), "/runs/x") == found("x")
    assert found("runs") == (Library(Path("runs")), "/") == found("")
    assert found("")[0].names() == ["x"]


@pytest.mark.parametrize("arguments", [["nobody"], []])
def test_no_such_run_is_one_line(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    (line,) = capsys.readouterr().err.splitlines()
    assert ended.value.code == 2 and "there is no run" in line


@pytest.mark.timeout(60)  # one that is not refused would serve
@pytest.mark.parametrize("package", ["jinja2", "plotly", "starlette", "uvicorn"])
def test_without_its_extra_it_names_the_command_that_installs_it(
    package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in [name for name in sys.modules if name.startswith(("selfplay.view.page.", f"{package}."))]:
        monkeypatch.delitem(sys.modules, name)
    for name in ("jinja2", "plotly", "starlette", "uvicorn"):  # where only one is missing, and where all are
        if name == package or not _is_there(name):
            monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(SystemExit) as ended:
        main([str(tmp_path)])
    (line,) = capsys.readouterr().err.splitlines()
    assert ended.value.code == 2 and line.endswith(INSTALL)


def _is_there(name: str) -> bool:
    try:
        __import__(name)
    except ImportError:
        return False
    return True
