"""The repository's documents are true: what they name exists, versions agree, and no registry's address is written."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import version
from pathlib import Path

import click
import pytest
from packaging.requirements import Requirement

import artfs
from artfs.cli.main import cli
from tested_elsewhere import TESTED_ELSEWHERE

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
DOCUMENTS = sorted(file for folder in (ROOT, ROOT / "docs") for file in folder.glob("*.md"))
PINNED = dict(
    line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if line and line[0] != "#"
)


def text_files() -> list[Path]:
    """Return what belongs to the repository: what git tracks or would, or all files where this is no clone."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
        files = [ROOT / name for name in listed if name]
    except (OSError, subprocess.CalledProcessError):
        kept = ("fs", "store", "tests", "scripts", "examples", "docs", ".ci")
        files = [file for folder in kept for file in (ROOT / folder).rglob("*") if "__pycache__" not in file.parts]
        files += [file for file in ROOT.iterdir() if file.is_file()]
    return [file for file in files if file.is_file() and b"\0" not in file.read_bytes()]


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def code_of(document: Path) -> str:
    """Return the code in a document: blocks, fenced or indented, and spans."""
    text = document.read_text()
    blocks = re.findall(r"^```\w*\n(.*?)^```", text, re.MULTILINE | re.DOTALL) + re.findall(
        r"^    .*", text, re.MULTILINE
    )
    return "\n".join([*blocks, *re.findall(r"`([^`\n]+)`", text)])


STILTED = (
    r"anew",
    r"nobody|somebody|whoever|whosoever",
    r"(is|are|was|were|be) (told|said)",
    r"by (itself|themselves) (goes?|go on)|goes? by (itself|themselves)",
    r"what it came of|came of (it|what)",
    r"is not to be had|cannot be had",
    r"beside (it|them|the|artfs)",
    r"rooms?|storeys?|lodgers?|house",
)
"""Words and phrases that plain technical English does not need; CONTRIBUTING.md asks for that."""


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_documents_are_in_plain_english(document: Path) -> None:
    """No document has one of the phrases that documents of this repository once had and readers stumbled over."""
    phrases = re.compile(rf"\b({'|'.join(STILTED)})\b", re.IGNORECASE)
    stilted = [line for line in document.read_text().splitlines() if phrases.search(line)]
    assert stilted == []


def test_the_tests_that_the_threat_model_names_exist() -> None:
    """Each statement of what an attacker cannot do names tests, and each of them is there."""
    section = (ROOT / "SECURITY.md").read_text().partition("## Threat model")[2].partition("\n## ")[0]
    statements = section.partition("| who | cannot | test |")[2].strip().splitlines()[1:]
    assert len(statements) > 20
    for statement in statements:
        named = re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", statement)
        assert named, f"no test shows: {statement}"
        for file, test in named:
            is_there = re.search(rf"^(async )?def {test}\(", (ROOT / file).read_text(), re.MULTILINE)
            assert is_there, f"{file} lacks {test}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_commands_in_documents_exist(document: Path) -> None:
    """Every `artfs COMMAND` and option of it that a document shows is one that the program has."""
    for name, rest in re.findall(r"(?<!import )\bartfs ([a-z]+)\b([^\n|]*)", code_of(document)):
        command = cli.commands.get(name)
        assert command is not None, f"there is no command 'artfs {name}'"
        known = {option for parameter in command.params for option in parameter.opts}
        if not isinstance(command, click.Group):
            assert set(re.findall(r"(?<=\s)--[a-z-]+", rest)) <= known | {"--help"}, (
                f"an option in 'artfs {name}{rest}'"
            )


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_files_in_documents_exist(document: Path) -> None:
    """Every relative link leads somewhere, and every script that is named is there and can be run."""
    text = document.read_text()
    for target in re.findall(r"\]\((?!https?:)([^)#]+)[^)]*\)", text):
        assert (document.parent / target).exists(), target
    for script in re.findall(r"`(scripts/[a-z_./]+)", text) + re.findall(r"^    (scripts/[a-z]+)", text, re.MULTILINE):
        assert os.access(ROOT / script, os.X_OK), script


SOURCES = (ROOT / "store/artstore", ROOT / "fs/artfs")


def modules_named(document: Path) -> set[str]:
    """Return the paths of modules, packages and files in a document's spans of code: `changes/putting`, `rows/`."""
    return set(re.findall(r"`([a-z_]+(?:/[a-z_]+)+(?:/|\.(?:py|json))?|[a-z_]+/|[a-z_]+\.py)`", document.read_text()))


@pytest.mark.parametrize("name", ["ARCHITECTURE.md", "docs/adding.md"])
def test_modules_in_documents_exist(name: str) -> None:
    """Every path of a module or package that a document for developers names leads to one."""
    named = modules_named(ROOT / name)
    assert len(named) > 20
    for path in sorted(named):
        places = [folder / path for folder in (*SOURCES, ROOT)]
        assert any(place.exists() or place.with_suffix(".py").exists() for place in places), path


def test_the_architecture_shows_the_layout() -> None:
    """The layout in ARCHITECTURE.md is what the two source folders hold; its layers are the contract's."""
    text = (ROOT / "ARCHITECTURE.md").read_text()
    layout = re.search(r"^## Layout\n+```text\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert layout is not None
    shown: dict[str, set[str]] = {}
    folder = ""
    for line in layout[1].splitlines():
        name = line.split()[0]
        if line.startswith(" "):
            shown[folder].add(name)
        else:
            folder = name.rstrip("/")
            shown[folder] = set()
    for source in SOURCES:
        present = {file.name for file in source.glob("[!_]*.py")} | {
            f"{package.parent.name}/" for package in source.glob("*/__init__.py")
        }
        assert shown[str(source.relative_to(ROOT))] == present
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (layers,) = [contract["layers"] for contract in contracts if contract.get("exhaustive")]
    assert "\n".join(f"    {layer}" for layer in layers) in text


def test_every_command_is_in_the_readme() -> None:
    """The README's table names all commands but the rare ones of the group `artifact`."""
    named = set(re.findall(r"`artfs ([a-z]+)", (ROOT / "README.md").read_text()))
    assert set(cli.commands) - {"artifact"} <= named


def test_readme_tour_is_the_quickstart() -> None:
    """The README shows the same `artfs` commands, in the same order, as the tour that the quickstart runs."""
    shown = [line.split("#")[0].strip() for line in code_of(ROOT / "README.md").splitlines()]
    tour = re.findall(r"""^run ["'](artfs .*)["']$""", (ROOT / "examples/quickstart/tour.sh").read_text(), re.MULTILINE)
    assert len(tour) > 5
    places = [shown.index(command) for command in tour]
    assert places == sorted(places)


def test_versions_agree() -> None:
    """The package, where the build reads the version, what is installed, and the changelog name the same one."""
    assert PROJECT["dynamic"] == ["version"]
    newest = re.search(r"^## \[?(?:Unreleased\] )?(\d+\.\d+\.\d+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert newest is not None
    assert newest[1] == artfs.__version__ == version("artfs")


def test_constraints_satisfy_the_project() -> None:
    """Every dependency is pinned by name and version alone, and the pin is within the bounds."""
    declared = PROJECT["dependencies"] + [each for extra in PROJECT["optional-dependencies"].values() for each in extra]
    pinned = {normal(name): version for name, version in PINNED.items()}
    for requirement in map(Requirement, declared):
        if requirement.name != "artfs":
            assert requirement.specifier.contains(pinned[normal(requirement.name)]), requirement


def test_no_registry_address_is_written() -> None:
    """No file of the repository names a package registry's host."""
    hosts = ("pypi" + r"\.org", "python" + "hosted", "deb" + r"\.debian", "archive" + r"\.ubuntu", "npm" + "js")
    for file in text_files():
        found = re.search("|".join(hosts), file.read_text(errors="replace"))
        assert not found, f"{file.relative_to(ROOT)}: {found and found[0]}"


LONGEST_FILE, LONGEST_FUNCTION = 500, 60
LONG_FILES = {
    "tests/crash/recount.py": "recounts every table by brute force, independently of the engine",
    "tests/store/deletion_states.py": "one state machine: hypothesis needs its rules in one class",
}
LONG_FUNCTIONS = {
    "fs/artfs/tracking/active_run.py:init": "its parameters are those of wandb.init, one a line",
}


def python_files() -> list[Path]:
    """Return the Python files that the limits of CONTRIBUTING.md hold for: not the programs that users have written."""
    kept = ("fs/", "store/", "scripts/", "tests/", "examples/")
    names = {file: str(file.relative_to(ROOT)) for file in text_files() if file.suffix == ".py"}
    return [file for file, name in names.items() if name.startswith(kept) and "corpora/guide" not in name]


def test_files_are_short() -> None:
    """No file has more than 500 lines, except those that are named with a reason."""
    long = {str(file.relative_to(ROOT)) for file in python_files() if len(file.read_text().splitlines()) > LONGEST_FILE}
    assert long == set(LONG_FILES)


def test_functions_are_short() -> None:
    """No function has more than 60 lines, except those that are named with a reason."""
    long = set()
    for file in python_files():
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                assert node.end_lineno is not None
                if node.end_lineno - node.lineno + 1 > LONGEST_FUNCTION:
                    long.add(f"{file.relative_to(ROOT)}:{node.name}")
    assert long == set(LONG_FUNCTIONS)


COMMANDS_AND_DAEMONS = ("artfs/cli/", "artfs/mount/")


def test_the_library_does_not_print() -> None:
    """What a program imports writes to neither stdout nor stderr: it returns, raises or logs."""
    printing = []
    for source in SOURCES:
        for module in source.rglob("*.py"):
            name = str(module.relative_to(source.parent))
            for node in ast.walk(ast.parse(module.read_text())):
                is_print = isinstance(node, ast.Name) and node.id == "print"
                is_stream = isinstance(node, ast.Attribute) and ast.unparse(node) in ("sys.stdout", "sys.stderr")
                if (is_print or is_stream) and not name.startswith(COMMANDS_AND_DAEMONS):
                    printing.append(f"{name}:{node.lineno}")
    assert printing == []


LONGEST_MESSAGE = 200


def literal(node: ast.expr) -> str:
    """Return the text of an expression that does not depend on names; of two alternatives, the longer one."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else ""
    if isinstance(node, ast.JoinedStr):
        return "".join(literal(part) for part in node.values)
    if isinstance(node, ast.BinOp):
        return literal(node.left) + literal(node.right)
    return max(literal(node.body), literal(node.orelse), key=len) if isinstance(node, ast.IfExp) else ""


def test_messages_are_short() -> None:
    """The sentence of an error and its hint have at most 200 characters, without the names in them."""
    long = []
    for module in (module for source in SOURCES for module in source.rglob("*.py")):
        for node in ast.walk(ast.parse(module.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id.endswith("Error"):
                texts = [*node.args[:1], *(keyword.value for keyword in node.keywords if keyword.arg == "hint")]
                if sum(len(literal(each)) for each in texts) > LONGEST_MESSAGE:
                    long.append(f"{module.relative_to(ROOT)}:{node.lineno}")
    assert long == []


def test_modules_are_named_by_nouns() -> None:
    """No module or package is a place for leftovers."""
    leftovers = {"utils", "util", "helpers", "helper_functions", "common", "misc"}
    assert not [file for file in python_files() if file.stem in leftovers or file.parent.name in leftovers]


def test_every_module_has_a_test_module() -> None:
    """`tests` mirrors the two packages module by module, except for those that are named with a reason."""
    untested = set()
    for source, tests in zip(SOURCES, (ROOT / "tests/store", ROOT / "tests/fs"), strict=True):
        for module in source.rglob("[!_]*.py"):
            place = module.relative_to(source)
            if not (tests / place.with_name(f"test_{place.name}")).exists():
                untested.add(str(module.relative_to(source.parent).with_suffix("")))
    named = [module for modules in TESTED_ELSEWHERE.values() for module in modules]
    assert untested == set(named) and len(named) == len(set(named))
    assert [test for test in TESTED_ELSEWHERE if not (ROOT / test).is_file()] == []


@pytest.mark.fuse
def test_the_tour_runs(tmp_path: Path) -> None:
    """The quickstart's tour ends well: more and better labels classify better, and nothing is left behind."""
    tour = subprocess.run(
        [ROOT / "examples/quickstart/tour.sh"],
        env={**os.environ, "TMPDIR": str(tmp_path), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert tour.returncode == 0, tour.stdout + tour.stderr
    first, second = map(float, re.findall(r"^accuracy ([\d.]+)% on 597 test images", tour.stdout, re.MULTILINE))
    assert first < second
    assert "the test images are the same in both" in tour.stdout
    assert re.search(r"^/\S+/mnt/digits/v1$", tour.stdout, re.MULTILINE)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("script", sorted((ROOT / "scripts").glob("*")), ids=lambda script: script.name)
def test_scripts_are_valid_shell(script: Path) -> None:
    """Every entry point can be run and parses."""
    if script.is_file():
        assert os.access(script, os.X_OK) == (script.suffix == "")
        subprocess.run(["bash", "-n", script], check=True)


def test_wheel_holds_both_packages(tmp_path: Path) -> None:
    """A built wheel has the daemon, the engine, their type markers and the command, and no tests."""
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    [wheel] = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names}
    assert tops == {"artfs", "artstore", f"artfs-{artfs.__version__}.dist-info"}
    assert {"artfs/py.typed", "artstore/py.typed", "artfs/cli/main.py"} <= set(names)
