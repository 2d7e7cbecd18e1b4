"""docs/domains.md builds a domain step by step: each step passes every check, and does what the page says."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from capabilities import CAPABILITIES

from curriculum.domains.abilities import members_of
from curriculum.domains.loading import load_domain
from curriculum.domains.protocol import Domain, problem_of
from curriculum.validation import validate_domain
from roles.prompts import few_shot_style
from selfplay import api
from store.records import Fate, Origin

PAGE = Path(__file__).resolve().parent.parent / "docs" / "domains.md"
SNIPPETS = re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)
ADDED = ["judge", "evaluation_sets", "question", "parse", "draw"]  # by each step
SMALL = {
    "model.name": "tiny-llama", "domain": "clock:Clock", "run.steps": 1, "run.threads": 1, "solver.problems": 2,
    "solver.max_tokens": 4, "challenger.targets": 2, "challenger.proposals": 2, "challenger.max_tokens": 4,
    "evaluate.interim_size": 2, "evaluate.pass_size": 2, "evaluate.pass_k": 2, "prompts.style": "few_shot",
}  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    sys.modules.pop("clock", None)


def after(step: int, folder: Path) -> Domain:
    """The domain as it is behind a step, 1 to 5: the members of later snippets go to the end of the class."""
    (folder / "clock.py").write_text("\n".join(SNIPPETS[:step]))
    return load_domain("clock:Clock")


@pytest.mark.parametrize("step", range(1, len(ADDED) + 1))
def test_every_step_is_a_domain(folder: Path, step: int) -> None:
    domain = after(step, folder)
    assert [check.detail for check in validate_domain(domain) if not check.passed] == []
    assert [hasattr(domain, member) for member in ADDED] == [place < step for place in range(len(ADDED))]


def test_the_table_has_every_member_under_its_capability_and_the_keys_that_need_it() -> None:
    rows = re.findall(r"^\| (?:`(\w+)`:[^|]*)?\|([^|]*)\|([^|]*)\|[^|]*\|$", PAGE.read_text(), flags=re.MULTILINE)
    members: dict[str, set[tuple[str, bool]]] = {}
    keys: dict[str, list[str]] = {}
    name = ""
    for first, needed_by, cell in rows:
        name = first or name
        members.setdefault(name, set()).update((each, bool(bold)) for bold, each in re.findall(r"(\*\*)?`(\w+)`", cell))
        keys.setdefault(name, []).extend(re.findall(r"`([\w.]+=\w+)`", needed_by))
    for each in CAPABILITIES:
        own = [member for member in members_of(each) if member not in members_of(Domain)]
        assert members[each.__name__] == {(member, member in each.__abstractmethods__) for member in own}
        said = " ".join(each.__doc__.split())
        assert keys[each.__name__] == ([] if "No key needs it" in said else re.findall(r"`([\w.]+=\w+)`", said))


def test_the_whole_is_short_and_right(folder: Path) -> None:
    posed = "".join(SNIPPETS[:4])
    assert len(SNIPPETS) == len(ADDED) and len([line for line in posed.splitlines() if line.strip()]) < 30
    domain = after(len(SNIPPETS), folder)
    found = domain.parse("23:50 plus 15 minutes")
    assert not isinstance(found, Fate) and (found.answer, found.family, found.level) == ("0:05", "next hour", 2)
    assert domain.parse("24:00 plus 5 minutes") is Fate.UNPARSED
    problem = problem_of(found, domain.name, Origin.SEED)
    prompt = few_shot_style(domain).solver(problem)
    assert "6:20 plus 15 minutes = 6:35\n" in prompt and prompt.endswith("\n23:50 plus 15 minutes =")


def test_it_is_played_from_its_first_step_on(folder: Path) -> None:
    after(1, folder)
    with pytest.raises(api.SelfplayError, match=r"parse\(text\)"):
        api.run(SMALL | {"run.name": "posed"})
    assert api.run(SMALL | {"run.name": "seeds", "challenger.source": "none"}).evaluations == ()


def test_in_the_end_a_model_poses_its_problems(folder: Path) -> None:
    after(len(SNIPPETS), folder)
    result = api.run(SMALL)
    with api.open_store(result.folder) as store:
        assert sum(store.fate_counts().values()) == 4
    assert {each.set_name for each in result.evaluations} == {"quarters"}
