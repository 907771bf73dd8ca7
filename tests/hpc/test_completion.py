"""What real shells offer after TAB: sub-commands, options, filters and run_ids. Shells that are missing are skipped."""

import os
import pty
import re
import select
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from hpc.cli import COMMANDS
from jobs.campaign import Campaign
from jobs.completion import candidates
from jobs.manifest import read_manifest
from tests import commands

pytestmark = pytest.mark.slow
_HANGS_S = 60
INTERACTIVE = {  # how a shell is started, and the line that makes it complete
    "bash": (["bash", "--norc", "--noprofile", "-i"], 'eval "$(noisy --completion bash)"'),
    "zsh": (["zsh", "-f", "-i"], 'autoload -Uz compinit; compinit -u -D; eval "$(noisy --completion zsh)"'),
}
CASES = [  # typed before TAB, what then stands there or is listed
    ("noisy stat", "noisy status "),
    ("noisy runs activation=ta", "activation=tanh"),
    ("noisy cancel p=0.5 model_t", "model_type="),
    ("noisy report --no-fig", "--no-figures"),
]


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment in which `noisy` is a program, as after an installation."""
    folder = commands.noisy_program(tmp_path_factory.mktemp("bin")).parent
    return {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}", "TERM": "dumb", "PS1": "> ", "HOME": str(folder)}


@pytest.mark.parametrize(("typed", "expected"), CASES)
@pytest.mark.parametrize("shell", INTERACTIVE)
def test_a_shell_completes(shell: str, typed: str, expected: str, finished: Campaign, environment: dict[str, str]) -> None:
    if not shutil.which(shell):
        pytest.skip(f"no {shell} here")
    command, line = INTERACTIVE[shell]
    with Terminal(command, finished.folder, environment) as terminal:
        terminal.write(f"{line}; echo rea''dy\n")
        terminal.wait(lambda text: "ready" in text)
        terminal.write(f"{typed}\t")
        terminal.wait(lambda text: expected in text)


@pytest.mark.parametrize(("typed", "expected"), CASES)
def test_fish_completes(typed: str, expected: str, finished: Campaign, environment: dict[str, str]) -> None:
    if not shutil.which("fish"):
        pytest.skip("no fish here")
    program = f"noisy --completion fish | source; complete --do-complete '{typed}'"
    done = subprocess.run(
        ["fish", "--no-config", "-c", program], cwd=finished.folder, env=environment, capture_output=True, text=True
    )
    assert [line.split("\t")[0].strip() for line in done.stdout.splitlines()] == [expected.split()[-1]], done.stderr


class Terminal:
    """A program on a terminal of its own."""

    def __init__(self, command: list[str], folder: Path, environment: dict[str, str]) -> None:
        self._pid, self._fd = pty.fork()
        if not self._pid:
            os.chdir(folder)
            os.execvpe(command[0], command, environment)
        self._text = ""

    def __enter__(self) -> "Terminal":
        return self

    def __exit__(self, *_: object) -> None:
        os.kill(self._pid, signal.SIGKILL)
        os.close(self._fd)
        os.waitpid(self._pid, 0)

    def write(self, text: str) -> None:
        os.write(self._fd, text.encode())

    def wait(self, is_there: Callable[[str], bool]) -> None:
        """Read until something is on the screen."""
        until_s = time.monotonic() + _HANGS_S
        while not is_there(self._text):
            assert time.monotonic() < until_s, self._text
            if select.select([self._fd], [], [], 1)[0]:
                self._text += re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", os.read(self._fd, 65536).decode(errors="replace"))


def test_what_is_offered(finished: Campaign, tmp_path: Path) -> None:
    ids = read_manifest(finished.manifest).runs.ids()
    others = {"status": ("ok", "failed"), "cpu_s": ()}

    def offered(prefix: str, *takes: str) -> list[str]:
        return candidates(prefix, finished.folder, takes or ("FILTER",), others)

    assert offered("s") == ["seed=", "status="]
    assert offered("activation=") == ["activation=relu", "activation=tanh"]
    assert offered("activation!=relu,t") == ["activation!=relu,tanh"]
    assert offered("status=o") == ["status=ok"]
    assert offered("p<0.") == ["p<0.0", "p<0.5"]
    assert offered("cpu_s=") == offered("nothing=") == []
    assert offered(ids[3][:5], "RUN_ID") == [ids[3]]
    assert sorted(offered("run_id=")) == sorted(f"run_id={run_id}" for run_id in ids)
    assert candidates("p", tmp_path, ("FILTER",), {}) == []
    (tmp_path / "manifest.jsonl").write_bytes(finished.manifest.read_bytes()[:-30])
    assert candidates("activation=", tmp_path, ("FILTER",), {}) == []  # a damaged manifest breaks no command line


def test_the_code_for_a_shell_is_printed() -> None:
    for shell in ("bash", "zsh", "fish"):
        shown = commands.call("hpc.cli", "--completion", shell)
        assert shown.returncode == 0 and "noisy" in shown.stdout
    assert set(COMMANDS) & set(shown.stdout.split()) == set()  # it asks when TAB is pressed
    refused = commands.call("hpc.cli", "--completion", "zhs")
    assert (refused.returncode, refused.stderr) == (
        2,
        "error: --completion needs the name of one shell (meant: zsh?); allowed: bash, zsh, fish\n",
    )
