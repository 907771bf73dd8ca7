"""docs/session.md shows a whole campaign: a shell executes each line that starts with `$ `, and its answer is compared."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests import commands

PAGE = (commands.ROOT / "docs/session.md").read_text()
FOLDER = "/home/ada/noise"  # where the page's shell is
STEPS = [
    typed.partition("\n")[::2]
    for block in re.findall(r"^```console\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    for typed in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]
]
_PROGRESS = re.compile(r"^(\d+ of \d+ runs done, 0 failed(; last: .*)?\n)+", re.MULTILINE)  # a line every 15 s, and at the end
_VARIES = {  # on other machines, or at another time
    r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\dZ?": "DATE",
    r"[\d.]+ +(CPU s|CPU hours|hours|s|min)\b": "TIME",
    r"[\d.]+ [MG]B\b": "SIZE",
    r"\(([\d.]+|TIME) to ([\d.]+|TIME)\)": "(RANGE)",
    r"(?<=-)[0-9a-f]{6}(?=-p00\.h5)": "TOKEN",
    r"(?<=, on )\S+(?=, finished)": "HOST",
    r"^ +device cpu, (.|\n)*?(?=\n +shards/)": "MACHINE",
    r"\d+(?= of 355\))": "N",
    r"^tasks +\d+, \d+ at a time": "tasks N",  # by costs that were measured
    r"(?<!=) *\b[01]\.\d{3,6}\b": " SCORE",  # accuracies and losses: rounding differs by processor
}


def masked(answer: str) -> str:
    """What is the same on every machine."""
    answer = _PROGRESS.sub("PROGRESS\n", answer)
    for varies, name in _VARIES.items():
        answer = re.sub(varies, name, answer, flags=re.MULTILINE)
    return answer


def scores(answer: str) -> list[float]:
    """Its accuracies and losses, in order."""
    return [float(found) for found in re.findall(r"(?:accuracy |loss |  ok +)([01]\.\d+)", _PROGRESS.sub("", answer))]


def test_the_session_goes_from_init_to_the_check_of_an_archive() -> None:
    typed = [command for command, _ in STEPS]
    assert typed[0] == "noisy init" and "noisy archive --check" in typed[-1]
    assert {command.split()[1] for command in typed} >= {
        *("init", "submit", "status", "runs", "explain", "logs", "redo", "report", "merge", "archive")
    }


def test_a_mask_hides_no_name_and_no_count() -> None:
    said = "12 of 18 runs: run fda0787dc14bec95 p=0.6, accuracy 0.7972 in 0.1 CPU s (0.33 to 1.2)"
    assert masked(said) == "12 of 18 runs: run fda0787dc14bec95 p=0.6, accuracy SCORE in TIME (RANGE)"


def test_each_line_answers_what_the_page_says(tmp_path: Path, digits_dir: Path) -> None:
    folder = tmp_path / "noise"
    folder.mkdir()
    program = commands.noisy_program(tmp_path / "bin")
    environment = {**os.environ, "PATH": f"{program.parent}{os.pathsep}{os.environ['PATH']}"}
    environment.pop("NOISY_DATA_DIR", None)
    answers = []
    for command, expected in STEPS:
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert (done.returncode != 0) == expected.startswith("error: "), done.stdout
        if command.endswith("--dry-run"):
            shutil.copytree(digits_dir, folder / "data")  # scikit-learn, from which the next line would take them, is slow
        answers.append(done.stdout.replace(str(folder), FOLDER))
    shown = "".join(f"$ {command}\n{answer}" for (command, _), answer in zip(STEPS, answers, strict=True))
    assert masked(shown) == masked("".join(f"$ {command}\n{expected}" for command, expected in STEPS))
    assert scores("".join(answers)) == pytest.approx(scores("".join(expected for _, expected in STEPS)), abs=0.1)
