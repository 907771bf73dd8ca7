"""Small programs on PATH that stand for a Slurm which fails, hangs or answers oddly."""

import os
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
