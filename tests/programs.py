"""Small programs on PATH that replace a Slurm which fails, hangs or gives strange answers."""

import os
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def programs(folder: Path, **scripts: str) -> Iterator[None]:
    """Shell scripts of these names come first on PATH."""
    folder.mkdir(exist_ok=True)
    for name, text in scripts.items():
        (folder / name).write_text("#!/bin/bash\n" + text)
        (folder / name).chmod(0o755)
    before = os.environ["PATH"]
    os.environ["PATH"] = f"{folder}:{before}"
    try:
        yield
    finally:
        os.environ["PATH"] = before


def squeue(*rows: str) -> str:
    """The text of a squeue that lists `JOB|INDEX|STATE|REASON|NAME`, as hpc asks for it."""
    header = "ARRAY_JOB_ID|ARRAY_TASK_ID|STATE|REASON|NAME"
    return prints(*(f"noisy-row|{row}" for row in (header, *rows)))


def sacct(*rows: str) -> str:
    """The text of a sacct that knows `JOB|STATE|EXIT CODE|NODE`."""
    return prints("JobID|State|ExitCode|NodeList", *rows)


def prints(*lines: str) -> str:
    """The text of a program that prints lines."""
    return "".join(f"printf '%s\\n' {shlex.quote(line)}\n" for line in lines)
