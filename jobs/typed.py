"""How the user can type a sub-command of `noisy`, in the form in which this process was started, and a path."""

import os
import shlex
import shutil
import sys
from pathlib import Path

_OTHERS = {
    "report": "analysis.report",
    "compare": "analysis.compare",
    "archive": "analysis.archive",
    "merge": "analysis.merged",
}


def typed(name: str) -> str:
    """The beginning of a command line: `noisy status`, `.venv/bin/noisy status` or `python -m hpc.status`."""
    main = getattr(sys.modules["__main__"], "__spec__", None)
    return form(name, main.name if main else "", sys.argv[0], sys.executable)


def form(name: str, module: str, program: str, python: str) -> str:
    """As `typed`. module: what `python -m` was given, empty if it was not called; program: sys.argv[0]; python: its path."""
    if module.split(".")[0] in ("hpc", "analysis"):
        called = f"{module} {name}" if module == "hpc.cli" else _OTHERS.get(name, f"hpc.{name}")
        return f"{_short('python', python)} -m {called}"
    own = program if os.path.basename(program) == "noisy" else str(Path(python).with_name("noisy"))
    if os.path.isfile(own):
        return f"{_short('noisy', own)} {name}"
    return f"noisy {name}" if shutil.which("noisy") else f"{_short('python', python)} -m hpc.cli {name}"


def _short(name: str, path: str) -> str:
    """The name of a program if a shell finds this program under it; else its path, from the current folder if it is below."""
    found, path = shutil.which(name), os.path.abspath(path)
    if found and os.path.abspath(found) == path:
        return name
    here = os.path.relpath(path)
    return shlex.quote(path if here.startswith("..") else here)


def quoted(path: Path) -> str:
    """A path, quoted for a shell, that no command takes for an option."""
    return shlex.quote(f"./{path}" if str(path).startswith("-") else str(path))
