"""The list of deliberate faults stays true: every fault still fits its place, every guard exists, the page names all.

That each guard really turns red takes minutes: `pytest -m slow tests/test_faults.py`, or `python scripts/faults.py`.
"""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parent.parent


def script() -> ModuleType:
    """scripts/faults.py, which is in no package, and stands beside the list that it reads."""
    sys.path.insert(0, str(ROOT / "scripts"))
    spec = importlib.util.spec_from_file_location("faults", ROOT / "scripts" / "faults.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["faults"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


FAULTS = script()


@pytest.mark.parametrize("fault", FAULTS.FAULTS, ids=lambda fault: fault.name)
def test_every_fault_fits_and_its_guard_is_there(fault: "FAULTS.Fault") -> None:  # type: ignore[name-defined]
    path = FAULTS.place(fault, ROOT)
    source = path.read_text()
    spoilt = source.replace(fault.old, fault.new)
    assert spoilt != source
    compile(spoilt, str(path), "exec")  # red must mean wrong, not unreadable
    assert FAULTS.guard(fault, ROOT)


def test_a_fault_whose_place_or_guard_has_gone_is_said(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="stands 0 times"):
        FAULTS.place(FAULTS.FAULTS[0], tmp_path)
    with pytest.raises(ValueError, match="0 files have a test"):
        FAULTS.guard(FAULTS.FAULTS[0], tmp_path)


def test_the_page_lists_every_fault_with_its_guard() -> None:
    rows = re.findall(
        r"^\| ([^|`]+?) \| [^|]+ \| `([^`]+)` \|$", (ROOT / "docs" / "faults.md").read_text(), re.MULTILINE
    )
    listed = {name: guard for name, guard in rows}
    assert listed == {fault.name: fault.guard for fault in FAULTS.FAULTS}


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_every_fault_turns_its_guard_red() -> None:
    done = subprocess.run([sys.executable, "scripts/faults.py"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
