"""A command in this process."""

from collections.abc import Callable

import pytest

Look = Callable[..., tuple[int, str, str]]


def looker(capsys: pytest.CaptureFixture[str]) -> Look:
    """Runs a command of `inspect`, or of another `main`: (exit code, standard output, standard error)."""

    def look(*arguments: object, main: Callable[[list[str]], None] | None = None) -> tuple[int, str, str]:
        if main is None:
            from selfplay.inspect import main  # most tests need none of what it loads
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    return look
