"""What is printed: all of it through one gate, nothing of it obeyed by a terminal, and nobody has to read it.

Cases 40 and 52.
"""

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from run_server import ENVIRONMENT, ROOT, Ended, Server

from selfplay.config.keys import Config
from selfplay.config.shown import shown_settings
from selfplay.machine.errors import DISK, OK, USAGE
from selfplay.machine.exits import clear_errors
from selfplay.machine.outlet import Outlet, complain, gate, spelled, tell
from selfplay.view.progress import Progress
from selfplay.view.terminal import say, say_json, say_table, say_tree
from store.sealing import seal_all
from store.store import Store

PACKAGES = ("selfplay", "roles", "curriculum", "store")
GATES = {"selfplay/machine/outlet.py", "selfplay/view/terminal.py"}
TINY = ("configs/tiny.yaml", "run.name=x", "run.threads=1", "run.steps=2", "domain=few_problems:FewProblems",
        "evaluate.pass_size=1", "evaluate.pass_k=2", "logging.transcript_every=1")  # fmt: skip
HOSTILE = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202e:skull: [red]red[/red]"
SPELLED = r"\x1b]0;owned\x07\x1b[2J\x9b31m\u202e:skull: [red]red[/red]"


def test_nothing_prints_but_through_the_gate() -> None:
    """Every way that Python, click and rich have of printing is used in two files alone. (Case 40: a list of paths.)"""
    found = []
    for path in (p for package in PACKAGES for p in sorted((ROOT / package).rglob("*.py"))):
        name = path.relative_to(ROOT).as_posix()
        if name in GATES:
            continue
        found += [f"{name}:{node.lineno} {what}" for node, what in printed(ast.parse(path.read_text()))]
    assert [each for each in found if "isatty" not in each] == []


def printed(tree: ast.AST) -> Iterator[tuple[Any, str]]:
    """(where, what) of each use of a stream or of something that writes to one."""
    inner = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    for node in ast.walk(tree):
        spelling = ast.unparse(node) if isinstance(node, ast.Attribute | ast.Name) else ""
        if id(node) not in inner and (
            spelling in ("print", "typer.echo", "typer.secho", "click.echo", "os.write", "Console", "pprint", "input")
            or spelling.startswith(("sys.stdout", "sys.stderr", "sys.__std", "logging.", "rich."))
        ):
            parent_is_type = spelling == "Console" and not is_called(tree, node)
            if not parent_is_type:
                yield node, spelling


def is_called(tree: ast.AST, name: ast.AST) -> bool:
    return any(isinstance(node, ast.Call) and node.func is name for node in ast.walk(tree))


def test_the_search_for_ways_to_print_finds_them() -> None:
    lines = (
        "print(1)",
        "sys.stdout.write('')",
        "typer.echo('')",
        "Console()",
        "os.write(1, b'')",
        "f(file=sys.stderr)",
    )
    assert [[what for _, what in printed(ast.parse(line))] for line in lines] == [
        ["print"], ["sys.stdout.write"], ["typer.echo"], ["Console"], ["os.write"], ["sys.stderr"],
    ]  # fmt: skip


def test_foreign_text_is_spelled_on_every_path(capsys: pytest.CaptureFixture[str]) -> None:
    """Each function that prints, and print itself where a library uses it."""
    console = StringIO()
    progress = Progress(shown_settings(Config()), Console(file=console, force_terminal=True))
    for speak in (
        lambda: say(HOSTILE),
        lambda: say_table([{HOSTILE: HOSTILE}], HOSTILE),
        lambda: say_tree(0, lambda _: HOSTILE, lambda _: []),
        lambda: tell(HOSTILE),
        lambda: complain(HOSTILE),
        lambda: print(HOSTILE),
        lambda: print(HOSTILE, file=sys.stderr),
        lambda: progress.note(HOSTILE),
    ):
        with gate():
            speak()
        ended = capsys.readouterr()
        shown = ended.out + ended.err + console.getvalue()
        assert SPELLED in shown.replace("\n", ""), shown
        assert all(c.isprintable() or c == "\n" for c in shown), shown
        console.truncate(console.seek(0))


def test_an_error_line_and_a_traceback_are_spelled(capsys: pytest.CaptureFixture[str]) -> None:
    from selfplay.machine.errors import Refused

    with pytest.raises(SystemExit) as end, clear_errors():
        raise Refused(HOSTILE, USAGE)
    assert end.value.code == USAGE and capsys.readouterr().err == f"error: {SPELLED}\n"
    with pytest.raises(SystemExit), clear_errors():
        raise Refused("x" * 100_000 + " do this", USAGE)
    assert len(line := capsys.readouterr().err) < 2100 and line.endswith(" do this\n")
    code = f"from selfplay.machine.exits import clear_errors\nwith clear_errors(): raise RuntimeError({HOSTILE!r})"
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 1 and f"RuntimeError: {SPELLED}" in ended.stderr


def test_json_is_not_touched(capsys: pytest.CaptureFixture[str]) -> None:
    with gate():
        say_json({"said": HOSTILE})
    assert json.loads(capsys.readouterr().out) == {"said": HOSTILE}


def test_layout_and_progress_bars_keep_their_effect() -> None:
    stream = StringIO()
    Outlet(stream).write("\r50%|  \ta\nb\rc")
    assert stream.getvalue() == "\r50%|  \ta\nb\\rc"
    assert spelled("é 漢 ok") == "é 漢 ok"


def test_an_encoding_without_the_character(tmp_path: Path) -> None:
    for encoding, shown in (("ascii", rb"\xe9 -> ~ \u6f22 \udcff"), ("latin-1", b"\xe9 -> ~ \\u6f22 \\udcff")):
        with (tmp_path / "out").open("w", encoding=encoding) as file:
            Outlet(file).write("é → … 漢 \udcff")
        assert (tmp_path / "out").read_bytes() == shown


FAULTS = ("the reader of the output is gone", "the terminal is gone", "no room for the output", "an ASCII terminal",
          "no standard output")  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_a_run_ends_as_ever_when_nobody_can_read_it(server: Server, tmp_path: Path, fault: str) -> None:
    """Case 52: the exit code is the run's own, and all that it would have said is in the summary."""
    ended = server.run([*TINY, f"run.dir={tmp_path}"], fault=fault)
    assert ended.code == OK, ended.output
    assert "Traceback" not in ended.output
    assert json.loads((tmp_path / "x" / "summary.json").read_text())["steps"] == 2
    assert ("add1" in ended.output and "->" in ended.output) == (fault == "an ASCII terminal")


@pytest.fixture(scope="module")
def finished(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose database calls itself and a set of held-out problems by hostile names."""
    directory = tmp_path_factory.mktemp("finished")
    assert server.run([*TINY, f"run.dir={directory}"]).code == OK
    with Store.open(directory / "x" / "selfplay.db") as store, store._writing() as connection:
        connection.exec_driver_sql("UPDATE runs SET name = ?", (HOSTILE,))
        connection.exec_driver_sql("UPDATE evaluations SET set_name = ? WHERE set_name = 'add1'", (HOSTILE,))
        seal_all(connection)  # seals tell accidents: whoever writes such rows can seal them too
    return directory


def inspected(server: Server, finished: Path, *arguments: str, fault: str = "") -> Ended:
    environment = {"PYTHONWARNINGS": "always"}
    return server.run([*arguments, "--dir", str(finished)], environment, fault=fault, program="selfplay.inspect")


def test_a_reader_who_has_seen_enough_is_no_error(finished: Path) -> None:
    """Case 52: as `ls | head -1` ends."""
    line = f"set -o pipefail; {sys.executable} -m selfplay.inspect problems x --dir {finished} --json | head -c 1"
    ended = subprocess.run(["bash", "-c", line], cwd=ROOT, env=ENVIRONMENT, capture_output=True, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (OK, b"{", b"")


def test_an_answer_that_finds_no_room_is_one(server: Server, finished: Path) -> None:
    assert inspected(server, finished, "status", "x", fault="the reader of the output is gone").code == OK
    ended = inspected(server, finished, "status", "x", fault="no room for the output")
    assert ended.code == DISK
    assert ended.output.startswith("error: standard output cannot be written (No space")


def test_looking_on_an_ascii_terminal(server: Server, finished: Path) -> None:
    """Case 40: output that is not UTF-8."""
    for command in ("status", "lineage"):
        ended = inspected(server, finished, command, "x", fault="an ASCII terminal")
        assert ended.code == OK and ended.output.isascii() and "Traceback" not in ended.output
        assert (SPELLED in ended.output) == (command == "status")


def test_a_hostile_database_is_plotted_without_its_escapes(server: Server, finished: Path) -> None:
    """Case 40: in the picture's text and in what is said of it; matplotlib warns of characters that it cannot draw."""
    ended = inspected(server, finished, "plot", "x")
    assert ended.code == OK
    assert "\x1b" not in ended.output and "Glyph" not in ended.output
