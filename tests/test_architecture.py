"""The shape of the code: folders, the one arrow of imports, no torch below selfplay, nothing that runs data."""

import ast
import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import curriculum
import roles
import selfplay
import store
from curriculum.domains.loading import DOMAINS

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = {package.__name__: package for package in (selfplay, roles, curriculum, store)}


def kept(folder: Path) -> Iterator[Path]:
    """What is in a folder and is no cache of compiled code."""
    return (path for path in folder.rglob("*.*") if path.suffix != ".pyc")


SOURCES = sorted(path for name in PACKAGES for path in (ROOT / name).rglob("*.py"))
MAX_FILES = 16  # of a folder: with more of them nobody finds anything
DOCUMENTS = [ROOT / "README.md", ROOT / "ARCHITECTURE.md", *sorted((ROOT / "docs").rglob("*.md"))]
CITING = [
    *SOURCES,
    *(path for name in ("configs", "scripts", "benchmarks") for path in sorted(kept(ROOT / name))),
    *(path for kind in ("*.md", "*.toml", "*.py") for path in sorted((ROOT / "engines" / "vllm").glob(kind))),
]
FILES = [
    ROOT / "pyproject.toml",
    *DOCUMENTS,
    *CITING,
    *(path for name in ("docs", "tests") for path in kept(ROOT / name)),
]
OPTIONS = {option for domain in DOMAINS.values() for option in inspect.signature(domain).parameters}  # type: ignore[arg-type]
PICKLES = {"pickle", "cPickle", "dill", "marshal", "shelve", "cloudpickle", "joblib"}


def label(path: Path) -> str:
    return str(path.relative_to(ROOT))


def imported(tree: ast.AST) -> Iterator[str]:
    """The first name of everything that is imported, wherever it stands."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.split(".")[0]


def calls(tree: ast.AST) -> Iterator[str]:
    """Called names: `eval`, `torch.load`, but of a method on a value only what can be read off the source."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func)


def links(text: str) -> list[str]:
    """Where the relative links of a Markdown text lead, without their anchors."""
    found = re.findall(r"\]\(([^)\s]+)\)", text)
    return [link.partition("#")[0] for link in found if not re.match(r"[a-z]+:|#", link)]


def named_files(text: str) -> list[str]:
    """Whatever looks like the path of a file in a folder, or is called a document: `store/records.py`, README.md."""
    bare = re.sub(r"[a-z]+://\S+", "", text)
    return re.findall(r"(?<![\w/.<>*~-])(?:(?:[\w.-]+/)+[\w.-]+\.(?:py|md|yaml|toml|png)|[\w-]+\.md)\b", bare)


def unsafe(source: str) -> list[str]:
    """What in a source could run data as code."""
    tree = ast.parse(source)
    found = [name for name in imported(tree) if name in PICKLES]
    forbidden = {"eval", "exec", "compile", "__import__", "torch.load", "yaml.load", "yaml.unsafe_load", "os.system"}
    return found + [name for name in calls(tree) if name in forbidden]


@pytest.mark.parametrize("path", SOURCES, ids=label)
def test_no_data_is_run_as_code(path: Path) -> None:
    assert unsafe(path.read_text()) == []


@pytest.mark.parametrize(
    "line",
    [
        "eval('1')",
        "exec(x)",
        "import pickle",
        "from dill import loads",
        "torch.load(f)",
        "yaml.load(f)",
        "os.system(x)",
    ],
)
def test_the_check_itself_finds(line: str) -> None:
    assert unsafe(f"import torch, yaml, os\ndef f(x):\n    {line}\n")


def test_the_check_itself_lets_a_model_be_put_to_eval() -> None:
    assert unsafe("model.eval()\nre.compile('a')\n") == []


@pytest.mark.parametrize("path", [path for path in SOURCES if not path.is_relative_to(ROOT / "selfplay")], ids=label)
def test_no_torch_below_selfplay(path: Path) -> None:
    found = set(imported(ast.parse(path.read_text())))
    assert not found & {"torch", "transformers", "peft", "selfplay", "omegaconf"}


def test_roles_curriculum_and_store_run_without_torch() -> None:
    names = [f"{label(p)[:-3].replace('/', '.')}" for p in SOURCES if p.name != "__init__.py"]
    scripts = tuple(f"curriculum.domains.environments.{each}_child" for each in ("reasoning_gym", "verifiers"))
    modules = [n for n in names if not n.startswith(("selfplay.", "store.migrations", *scripts))]  # of optional extras
    code = f"import sys, {', '.join(modules)}; sys.exit(bool({{'torch', 'transformers'}} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_the_import_contracts_hold() -> None:
    code = "import sys; from importlinter.application.use_cases import lint_imports;"
    code += "import importlinter.cli; sys.exit(not lint_imports(cache_dir=None))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    kept = re.search(r"(\d+) kept, 0 broken", done.stdout)
    assert (
        kept is not None
        and int(kept[1]) == (ROOT / "pyproject.toml").read_text().count("[[tool.importlinter.contracts]]") > 5
    )


@pytest.mark.parametrize("name", PACKAGES)
def test_the_code_under_test_is_this_checkouts(name: str) -> None:
    assert Path(str(PACKAGES[name].__file__)).resolve().parent == ROOT / name


def test_every_test_that_the_documents_name_is_there() -> None:
    defined = {
        name for path in (ROOT / "tests").rglob("test_*.py") for name in re.findall(r"def (test_\w+)", path.read_text())
    }
    files = {path.stem for path in (ROOT / "tests").rglob("test_*.py")}
    for path in DOCUMENTS:
        named = set(re.findall(r"\b(test_[a-z0-9_]+)\b", path.read_text()))
        assert named <= defined | files | OPTIONS, f"{path.name}: {sorted(named - defined - files - OPTIONS)}"


@pytest.mark.parametrize("path", DOCUMENTS, ids=label)
def test_every_link_of_a_document_leads_somewhere(path: Path) -> None:
    assert [link for link in links(path.read_text()) if not (path.parent / link).exists()] == []


@pytest.mark.parametrize("path", [*DOCUMENTS, *CITING], ids=label)
def test_every_file_that_a_document_or_the_code_names_is_there(path: Path) -> None:
    """From the root or the document, or as the end of a path: `attention/plan.py` where a room is described."""
    ends = "\n".join(f"/{label(each)}" for each in FILES) + "\n"
    named = [name.removeprefix("../").removeprefix("../") for name in named_files(path.read_text())]
    assert [name for name in named if f"/{name}\n" not in ends and not (path.parent / name).exists()] == []


def test_the_checks_of_documents_find_what_is_not_there() -> None:
    text = (
        "[a](a/gone.md) [b](https://x.org/y.md) [c](#here) [d](../d.md#part) `a/b.py`, tests/c.yaml, runs/<name>/d.md"
    )
    assert links(text) == ["a/gone.md", "../d.md"]
    assert named_files(f"{text} `e.md` e.py") == ["a/gone.md", "../d.md", "a/b.py", "tests/c.yaml", "e.md"]


@pytest.mark.parametrize("folder", sorted({path.parent for path in SOURCES}), ids=label)
def test_a_folder_can_be_taken_in_at_a_glance(folder: Path) -> None:
    assert len([path for path in folder.glob("*.py") if path.name != "__init__.py"]) <= MAX_FILES
