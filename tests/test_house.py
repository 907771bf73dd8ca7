"""Rules of the code: imports run one way, heavy libraries stay in their packages, dependencies are declared once."""

import ast
import functools
import importlib.util
import json
import re
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import yaml

from hpc.cli import COMMANDS as COMMANDS_OF_NOISY

ROOT = Path(__file__).resolve().parent.parent
MAY_IMPORT = {
    "noisy": {"noisy"},
    "jobs": {"noisy", "jobs"},
    "hpc": {"noisy", "jobs", "hpc"},
    "analysis": {"noisy", "jobs", "analysis"},
}
API = ROOT / "hpc/api.py"  # the Python interface stands above the commands and the report


@functools.cache
def imported(path: Path) -> frozenset[str]:
    """Full names of all modules that a file imports, wherever in it."""
    return frozenset(imported_by(path.read_text(), path))


def imported_by(code: str, path: Path | str = "") -> set[str]:
    """Full names of all modules that code imports."""
    names = set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: relative import"
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def sources(room: str) -> list[Path]:
    found = sorted((ROOT / room).rglob("*.py"))
    assert found
    return found


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_imports_run_one_way(room: str) -> None:
    rooms = {*MAY_IMPORT, "tests", "benchmarks"}
    for path in sources(room):
        allowed = MAY_IMPORT[room] | ({"analysis"} if path == API else set())
        wrong = {name for name in imported(path) if name.split(".")[0] in rooms - allowed}
        assert not wrong, f"{path}: {wrong}"


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_every_module_is_named_where_contributors_look(room: str) -> None:
    (listed,) = re.findall(
        r"^## Where things are\n\n```\n(.*?)^```", (ROOT / "CONTRIBUTING.md").read_text(), re.DOTALL | re.MULTILINE
    )
    (part,) = re.findall(rf"^{room}/.*\n(?: .*\n)*", listed, re.MULTILINE)
    modules = {path.parent.name if path.stem == "__init__" else path.stem for path in sources(room)}
    assert modules <= set(re.findall(r"\w+", part))


@pytest.mark.parametrize(
    ("room", "forbidden"),
    [
        ("hpc", {"torch", "torchvision", "pandas", "matplotlib"}),
        ("analysis", {"torch", "torchvision", "submitit", "statsmodels"}),
        ("noisy", {"h5py", "yaml", "argparse", "pandas"}),
    ],
)
def test_libraries_stay_in_their_rooms(room: str, forbidden: set[str]) -> None:
    for path in sources(room):
        if path != API:  # it names their types; what it loads is tested below
            assert not {name.split(".")[0] for name in imported(path)} & forbidden, path


def test_what_draws_the_live_view_is_in_its_room() -> None:
    users = [path for room in MAY_IMPORT for path in sources(room) if "rich" in {name.split(".")[0] for name in imported(path)}]
    assert {path.parent.relative_to(ROOT).as_posix() for path in users if path != API} == {"hpc/execution/view"}


def test_yaml_is_read_in_one_file() -> None:
    readers = [path.name for room in MAY_IMPORT for path in sources(room) if "yaml" in imported(path)]
    assert readers == ["yaml_file.py"]


# The rooms of hpc/, each with those that it may import; the commands (hpc/*.py) may import all rooms.
ROOMS = {
    "request": {"request"},
    "planning": {"planning"},
    "state": {"planning", "state"},
    "execution": {"request", "planning", "state", "execution", "console"},
}
COMMANDS = ("cli", "submit", "status", "runs", "explain", "logs", "cancel", "doctor", "calibrate", "init", "redo")
SLURM = r"slurm|s(batch|queue|acct|acctmgr|control|info|cancel|run)\b|submitit|afterany|OUT_OF_MEMORY|NODE_FAIL|\bTIMEOUT\b"


def rooms_of(path: Path) -> set[str]:
    """The packages of hpc/ from which a file imports."""
    return {name.split(".")[1] for name in imported(path) if name.startswith("hpc.")}


@pytest.mark.parametrize("room", ROOMS)
def test_rooms_of_hpc_import_one_way(room: str) -> None:
    for path in sources(f"hpc/{room}"):
        assert not rooms_of(path) - ROOMS[room], path


def test_every_file_of_hpc_is_in_a_room_or_a_command() -> None:
    folders = {path.name for path in (ROOT / "hpc").iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert folders == set(ROOMS)
    assert {path.stem for path in (ROOT / "hpc").glob("*.py")} == {"__init__", "console", "api", *COMMANDS}


def test_nothing_imports_a_command() -> None:
    for path in sources("hpc"):
        assert path == API or not rooms_of(path) & set(COMMANDS), path
        assert path.name == "__init__.py" or not rooms_of(path) & {"api"}, path
    assert rooms_of(ROOT / "hpc/console.py") <= {"planning", "state"}


def test_planning_is_pure() -> None:
    """It computes: no file, no clock, no process, no scheduler."""
    allowed = {"hpc", "noisy", "numpy", "abc", "collections", "dataclasses", "enum", "functools", "itertools", "math", "typing"}
    for path in sources("hpc/planning"):
        names = imported(path)
        assert {name.split(".")[0] for name in names} <= allowed, path
        assert {".".join(name.split(".")[:2]) for name in names if name.startswith("noisy")} <= {
            "noisy.datasets",
            "noisy.runs",
            "noisy.spec",
        }, path
        calls = {
            node.func.id
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        }
        assert not calls & {"open", "print", "input", "eval", "exec", "__import__"}, path


def test_slurms_words_are_in_its_room() -> None:
    """Elsewhere a word of Slurm's is only where the executors are listed."""
    elsewhere = [path for path in sources("hpc") if "slurm" not in path.relative_to(ROOT).parts]
    speaking = {path.relative_to(ROOT).as_posix() for path in elsewhere if re.search(SLURM, path.read_text(), re.IGNORECASE)}
    assert speaking == {"hpc/execution/choice.py"}
    outside = [path for room in ("noisy", "analysis") for path in sources(room) if path.name != "__init__.py"]
    assert not [path for path in outside if re.search(SLURM, path.read_text(), re.IGNORECASE)]


def test_commands_start_without_torch() -> None:
    """In fact, not only by their own imports: a login node and a laptop must not pay for torch, nor wait for what draws."""
    assert with_libraries(EVERY_DAY + OTHERS, "torch", "torchvision", "sklearn", "rich") == {}


def test_what_is_asked_every_day_starts_without_heavy_libraries() -> None:
    heavy = ("torch", "sklearn", "pandas", "matplotlib", "scipy", "submitit", "jinja2", "rich")
    assert with_libraries(["hpc.cli"], *heavy, "numpy", "h5py", "yaml", "argcomplete") == {}
    assert with_libraries(EVERY_DAY, *heavy, "argcomplete") == {}


EVERY_DAY = [command.module for command in COMMANDS_OF_NOISY.values()]
OTHERS = ["jobs.worker", "jobs.pool"]
OTHERS += [f"analysis.{name}" for name in ("making", "campaigns", "packing", "crate", "checked", "merging")]


def with_libraries(modules: list[str], *libraries: str) -> dict[str, set[str]]:
    """Those of the modules that find some of the libraries loaded once they are imported, and which."""
    return {module: found for module in modules if (found := loaded()[module] & {*libraries})}


@functools.cache
def loaded() -> dict[str, set[str]]:
    """Each module, and all that is loaded once it is imported in a new process, after those before it."""
    modules = ["hpc.cli", *EVERY_DAY, *OTHERS]
    program = (
        f"import importlib, sys\nfor module in {modules}:\n    importlib.import_module(module)\n    print(module, *sys.modules)"
    )
    printed = subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return {line.split()[0]: {*line.split()} for line in printed.splitlines()}


@pytest.mark.parametrize("name", COMMANDS_OF_NOISY)
def test_every_command_has_the_shared_parser(name: str) -> None:
    """Without it, a shell that completes would execute the command."""
    module = importlib.util.find_spec(COMMANDS_OF_NOISY[name].module)
    assert module and module.origin
    assert "jobs.commandline.Parser" in imported(Path(module.origin))
    assert "ArgumentParser(" not in Path(module.origin).read_text()


def test_the_python_interface_loads_what_it_needs_and_no_more() -> None:
    """`import hpc` is for all commands, so it loads nothing; the interface loads the report's libraries when they are used."""
    program = (
        "import sys\n"
        "heavy = {'torch', 'pandas', 'matplotlib', 'analysis', 'rich', 'numpy', 'hpc.api'}\n"
        "import hpc\n"
        "print(*sorted(heavy & set(sys.modules)))\n"
        "hpc.Campaign\n"
        "print(*sorted(heavy & set(sys.modules)))"
    )
    printed = subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    assert printed.splitlines() == ["", "hpc.api numpy rich"]


def requirements(lines: list[str]) -> dict[str, str]:
    """name -> version bounds."""
    parsed = [re.fullmatch(r"([A-Za-z0-9-]+)(.*)", line.replace(" ", "")) for line in lines]
    return {match[1].lower().replace("pytorch-cpu", "torch"): match[2] for match in parsed if match}


def test_the_notebook_runs_from_the_extra_that_its_first_cell_names() -> None:
    text = (ROOT / "pyproject.toml").read_text()
    notebook = json.loads((ROOT / "analysis/analysis.ipynb").read_text())
    cells = ["".join(cell["source"]) for cell in notebook["cells"]]
    (extra,) = re.findall(r"pip install '\.\[(\w+)\]'", cells[0])
    listed = re.findall(rf"^(?:dependencies|{extra}) = \[.*?\n(.*?)^\]", text, re.DOTALL | re.MULTILINE)
    declared = {re.sub(r"[^\w-].*", "", name) for name in re.findall(r'^ +"([^"]+)"', "\n".join(listed), re.MULTILINE)}
    code = "\n".join(
        line
        for cell in notebook["cells"]
        if cell["cell_type"] == "code"
        for line in "".join(cell["source"]).splitlines()
        if line[:1] != "%"
    )
    modules = {name.split(".")[0] for name in imported_by(code)} - set(sys.stdlib_module_names) - set(MAY_IMPORT)
    assert modules <= declared
    assert {"ipykernel", "jupyterlab", "matplotlib"} <= declared  # its kernel, its editor, and %matplotlib


def test_environment_yml_is_in_step_with_pyproject() -> None:
    text = (ROOT / "pyproject.toml").read_text()
    listed = re.findall(r"^(?:dependencies|dev) = \[\n(.*?)^\]", text, re.DOTALL | re.MULTILINE)
    assert len(listed) == 2
    declared = requirements(re.findall(r'^ +"([^"]+)"', "\n".join(listed), re.MULTILINE))
    declared["python"] = re.search(r'requires-python = "(.*)"', text)[1]
    conda = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    assert conda.pop() == {"pip": ["--editable ."]}  # the command `noisy`
    assert requirements(conda) == declared | {"jupyter": "", "pip": ""}


def test_what_is_deprecated_is_an_error_here_and_not_inside_other_packages() -> None:
    said = functools.partial(warnings.warn_explicit, "old", DeprecationWarning, "file.py", 1)
    for module in (*MAY_IMPORT, "benchmarks.reference", "tests.test_house", __name__):
        with pytest.raises(DeprecationWarning, match="old"):
            said(module)
    for module in ("matplotlib", "torchvision.datasets", "noisyduck", "analysistools.jobs"):
        said(module)
    with pytest.raises(UserWarning, match="wrong"):
        warnings.warn_explicit("wrong", UserWarning, "file.py", 1, "matplotlib")


@pytest.mark.parametrize("name", ["report", "compare", "archive", "merged"])
def test_what_draws_needs_no_screen(name: str) -> None:
    """Whatever MPLBACKEND is: `tests/analysis/test_report.py` shows it for one of them."""
    lines = (ROOT / f"analysis/{name}.py").read_text().splitlines()
    place = lines.index("    with without_settings():")
    assert re.search(r"^        from analysis\.\w+ import run", lines[place + 1])
