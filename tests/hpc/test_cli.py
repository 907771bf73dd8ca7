"""`noisy`: one command that can be guessed, and that costs little to start."""

import re
import shlex

import pytest

from hpc.cli import COMMANDS
from tests import commands

_EXAMPLES = [(name, example) for name, command in COMMANDS.items() for example in command.examples]


def test_the_help_fits_a_screen_and_shows_a_campaign() -> None:
    shown = commands.call("hpc.cli", "--help")
    lines = shown.stdout.splitlines()
    assert (shown.returncode, shown.stderr) == (0, "")
    assert len(lines) <= 24 and max(map(len, lines)) <= 80
    campaign = [line.split()[1] for line in lines if line.startswith("  noisy ")]
    assert len(campaign) == 4 and {"submit", "report"} <= set(campaign) <= set(COMMANDS)
    assert [line.split()[0] for line in lines if re.match(r"  (?!noisy)\w", line)] == list(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_each_help_ends_with_two_examples(name: str) -> None:
    shown = commands.call("hpc.cli", name, "--help")
    assert (shown.returncode, shown.stderr) == (0, "")
    first, *examples = shown.stdout.splitlines()[-3:]
    assert first == "examples:"
    assert examples == [f"  noisy {name} {example}".rstrip() for example in COMMANDS[name].examples]


@pytest.mark.parametrize(("name", "example"), _EXAMPLES)
def test_examples_name_options_that_exist(name: str, example: str) -> None:
    shown = commands.call("hpc.cli", name, "--help").stdout
    for option in (word for word in shlex.split(example) if word.startswith("--")):
        assert re.search(rf"{option}\b", shown), f"{name} has no {option}"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("statsu", "no command 'statsu' (meant: status?); allowed: init, submit, "),
        ("x", "no command 'x'; allowed: init, submit, "),
    ],
)
def test_an_unknown_command_names_the_one_that_is_meant(name: str, said: str) -> None:
    shown = commands.call("hpc.cli", name)
    assert (shown.returncode, shown.stdout) == (2, "")
    assert shown.stderr.startswith(f"error: {said}")


def test_a_command_ends_with_its_own_status() -> None:
    assert commands.call("hpc.cli", "status", "--output-dir", "/nowhere").returncode == 2
    assert commands.call("hpc.cli", "doctor", "--nothing").returncode == 2
