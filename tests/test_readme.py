"""What the README says to type exists."""

import functools
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from tests import commands

README = (commands.ROOT / "README.md").read_text()
COMMANDS = sorted(set(re.findall(r"^python -m [^#\n]*[^#\s]", README, re.MULTILINE)))


def test_there_are_commands() -> None:
    assert len(COMMANDS) >= 8


@functools.cache
def usage_of(module: str) -> subprocess.CompletedProcess:
    return commands.run(module, "--help")


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_and_its_options_exist(command: str) -> None:
    module, *arguments = shlex.split(command)[2:]
    usage = usage_of(module)
    assert usage.returncode == 0, usage.stderr
    for option in (argument for argument in arguments if argument.startswith("--")):
        assert re.search(rf"{option}\b", usage.stdout), f"{module} has no {option}"


def test_make_targets_exist() -> None:
    makefile = (commands.ROOT / "Makefile").read_text()
    for target in set(re.findall(r"`?make ([a-z-]+)", README)):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_files_exist() -> None:
    for name in re.findall(r"`((?:grids|benchmarks|analysis|docs)/[\w.]+)`|\((docs/[\w.]+)\)", README):
        assert (commands.ROOT / Path("".join(name))).exists(), name
