"""Running the project's commands: in this process, or as a user does, as processes."""

import contextlib
import importlib
import io
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TOO_LARGE = [350_000]  # 1.1 GB of weights, and as much of gradients and of each moment: the machine has that, a worker may not
_HANGS_S = 300  # a command that takes longer


def start(module: str, *arguments: object) -> subprocess.Popen:
    """Start `python -m module arguments`; output and errors are piped as text.

    It can be interrupted, also where these tests cannot: a shell's background processes ignore SIGINT, and theirs do.
    """
    command = [sys.executable, "-m", module, *map(str, arguments)]
    return subprocess.Popen(
        command,
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def run(module: str, *arguments: object) -> subprocess.CompletedProcess:
    """Run `python -m module arguments` to its end."""
    process = start(module, *arguments)
    out, err = process.communicate(timeout=_HANGS_S)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def call(module: str, *arguments: object) -> subprocess.CompletedProcess:
    """As `run`, but in this process: no other Python has to start. What the command itself starts are real processes."""
    main, out, err = importlib.import_module(module).main, io.StringIO(), io.StringIO()
    handlers = {number: signal.getsignal(number) for number in (signal.SIGALRM, signal.SIGINT, signal.SIGHUP, signal.SIGTERM)}
    stdin, sys.stdin = sys.stdin, None
    signal.signal(signal.SIGALRM, _hangs)
    signal.alarm(_HANGS_S)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            main([*map(str, arguments)])
    except SystemExit as ended:
        assert isinstance(ended.code, int)
        return subprocess.CompletedProcess([module, *arguments], ended.code, out.getvalue(), err.getvalue())
    finally:
        signal.alarm(0)
        for number, handler in handlers.items():
            signal.signal(number, handler)
        sys.stdin = stdin
    raise AssertionError(f"{module}: no exit status")


def _hangs(*_: object) -> None:
    raise AssertionError("it hangs")


def noisy_program(folder: Path) -> Path:
    """A program `noisy` in this folder, as an installation makes it."""
    folder.mkdir(exist_ok=True)
    program = folder / "noisy"
    code = f"import sys; sys.argv[0] = '{program}'; from hpc.cli import main; main()"
    program.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -c "{code}" "$@"\n')
    program.chmod(0o755)
    return program


def submit(grid: Path, output_dir: Path, data_dir: Path, *options: object) -> subprocess.CompletedProcess:
    """Call hpc.submit locally on a campaign in `output_dir`; its workers are real processes. Nothing is measured first."""
    return call(*submit_command(grid, output_dir, data_dir), *options)


def submit_command(grid: Path, output_dir: Path, data_dir: Path) -> tuple[object, ...]:
    """The module and arguments of a local submit."""
    places = ("--grid", grid, "--output-dir", output_dir, "--data-dir", data_dir)
    return ("hpc.submit", *places, "--executor", "local", "--no-calibrate")


@contextlib.contextmanager
def little_memory() -> Iterator[None]:
    """Processes that are started in this block get little memory."""
    before = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (1_000_000_000, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, before)
