"""A run folder from somebody else is data: what its database names is never run unless the user names it too."""

from pathlib import Path
from typing import Any

import pytest
from store_samples import create

from selfplay.arguments import Arguments, parse
from selfplay.config import files as configuration
from selfplay.config.keys import Config
from selfplay.machine.errors import DATA, USAGE, ConfigError, Refused


def foreign(tmp_path: Path, domain: str, options: dict[str, Any]) -> None:
    """A run folder whose stored configuration names `domain`."""
    config = Config(domain=domain, domain_options=options)
    config.run.name = "x"
    text = configuration.to_yaml(config)
    create(tmp_path / "x" / "selfplay.db", config_yaml=text, config_digest=configuration.digest(config)).close()


def test_a_stored_command_is_not_run(tmp_path: Path) -> None:
    """Case 38: `domain: subprocess:Popen` in a database ran a command at --resume."""
    mark = tmp_path / "ran"
    foreign(tmp_path, "subprocess:Popen", {"args": ["touch", str(mark)]})
    for more in ((), ("run.steps=3",)):
        with pytest.raises(Refused) as refusal:
            parse(["--resume", "x", f"run.dir={tmp_path}", *more])
        assert refusal.value.code == USAGE and not mark.exists()
        said = f"python -m selfplay.loop --resume x run.dir={tmp_path} domain=subprocess:Popen"
        assert said in str(refusal.value)
    with pytest.raises(ConfigError, match="domain cannot change on resume"):
        parse(["--resume", "x", f"run.dir={tmp_path}", "domain=few_problems:FewProblems"])


def test_a_domain_that_is_named_again_is_the_users_word(tmp_path: Path) -> None:
    """Case 38: what the refusal says to type goes on; a domain of ours needs no word."""
    foreign(tmp_path, "few_problems:FewProblems", {})
    named = parse(["--resume", "x", f"run.dir={tmp_path}", "domain=few_problems:FewProblems"])
    assert isinstance(named, Arguments) and named.config.domain == "few_problems:FewProblems"
    foreign(tmp_path / "ours", "arithmetic", {})
    assert isinstance(parse(["--resume", "x", f"run.dir={tmp_path / 'ours'}"]), Arguments)


def test_a_stored_environment_is_not_imported(tmp_path: Path) -> None:
    """The domain is ours, and one of its options names code."""
    foreign(tmp_path, "verifiers", {"environment": "os:system"})
    with pytest.raises(Refused, match=r"names code to run, domain_options\.environment=os:system") as refusal:
        parse(["--resume", "x", f"run.dir={tmp_path}"])
    said = f"python -m selfplay.loop --resume x run.dir={tmp_path} domain_options.environment=os:system"
    assert refusal.value.code == USAGE and said in str(refusal.value)
    foreign(tmp_path / "damaged", "verifiers", {"environment": "x:Y; touch z"})
    with pytest.raises(Refused, match="its database is damaged"):
        parse(["--resume", "x", f"run.dir={tmp_path / 'damaged'}"])


@pytest.mark.parametrize("domain", ["x:Y; touch z", "os:", "\x1b[2Jos:system", "a..b:C", "nothing"])
def test_a_stored_domain_that_is_no_path_is_offered_to_nobody(tmp_path: Path, domain: str) -> None:
    """Case 38: a line to copy must hold no command of somebody else's."""
    foreign(tmp_path, domain, {})
    with pytest.raises(Refused) as refusal:
        parse(["--resume", "x", f"run.dir={tmp_path}"])
    assert refusal.value.code == DATA and "--resume" not in str(refusal.value) and "\x1b" not in str(refusal.value)
