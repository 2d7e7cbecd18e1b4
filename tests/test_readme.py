"""README.md keeps what it says: its domain passes every check."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def test_the_domain_of_the_readme_passes_every_check(tmp_path: Path) -> None:
    """By README's own command, in a folder that holds the snippet alone."""
    (snippet,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), flags=re.DOTALL)
    (tmp_path / "letters.py").write_text(snippet)
    command = [sys.executable, "-m", "selfplay.inspect", "validate-domain", "letters:Letters", "--json"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert all(check["passed"] for check in json.loads(done.stdout))
