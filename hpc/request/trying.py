"""Has the user's own files executed and tried out by another process (jobs/tryout.py), and watches that process.

An own file may loop forever, end its process or crash it. The answer then names the file and, if it is known, the line.
"""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from jobs.provenance import PROJECT_ROOT

LIMIT_S = 60  # for executing a file, and for trying a network
DATA_LIMIT_S = 3600  # for making a data set, which may be large or has to be fetched
_FIRST_NOTE_S = 5  # what takes longer is said, each time after twice the time
_LOOK_S = 0.5
_FRAME = re.compile(r'  File "(.*)", line (\d+) in ')  # of faulthandler


def tried(
    paths: Sequence[Path], contents: Sequence[bytes], request: dict[str, Any], limit_s: float = LIMIT_S
) -> dict[str, Any]:
    """The answer of jobs/tryout.py. What own files print goes to standard error.

    Args:
        request: as there, without `files` and limits.
    """
    files = [(str(path), content.decode("latin-1")) for path, content in zip(paths, contents, strict=True)]
    limits = {"limit_s": limit_s, "data_limit_s": max(limit_s, DATA_LIMIT_S)}
    with tempfile.TemporaryFile("w+") as asked, tempfile.TemporaryFile() as said:  # not pipes: an own file may leave processes
        json.dump(request | limits | {"files": files}, asked)
        asked.seek(0)
        command = [sys.executable, "-m", "jobs.tryout"]
        process = subprocess.Popen(command, cwd=PROJECT_ROOT, stdin=asked, stdout=said, start_new_session=True)
        status = _watched(process, said, paths)
        return answer_of(_text(said), status, paths)


def answer_of(said: str, status: int, paths: Sequence[Path]) -> dict[str, Any]:
    """The answer in the text that jobs/tryout.py wrote; what became of its process if there is none.

    Args:
        status: of the process, as subprocess has it; paths: of the files.
    """
    notes, others = _parted(said)
    if notes and isinstance(notes[-1], dict):
        return notes[-1]
    number, what, limit_s = notes[-1] if notes else (0, "", 0)
    if status < 0:
        ended = f"the process that executed it was killed by signal {-status} ({signal.strsignal(-status)})"
    elif others:  # the stack at the end of the time
        ended = f"not done after {limit_s:g} s; allowed: a file that does not wait or loop forever"
    else:
        ended = f"the process that executed it ended with status {status}"
    place = _place(others, paths) or paths[number].name
    return {"registered": {}, "own_data": "", "problems": [(number, f"{what}{place}: {ended}")]}


def _parted(said: str) -> tuple[list[Any], list[str]]:
    """The lines of jobs/tryout.py as values; the others, which are faulthandler's."""
    notes, others = list[Any](), list[str]()
    for line in said.splitlines():
        try:
            notes.append(json.loads(line))
        except ValueError:
            others.append(line)
    return notes, others


def _place(stack: Sequence[str], paths: Sequence[Path]) -> str:
    """Where own files are in faulthandler's stack: its first thread is the newest, and its first frame the innermost."""
    own = {str(path).encode("ascii", "backslashreplace").decode(): path.name for path in paths}
    found = ""
    is_new = True
    for line in stack:
        is_new = is_new or "hread 0x" in line
        if (match := _FRAME.match(line)) and match[1] in own and is_new:
            found, is_new = f"{own[match[1]]}, line {match[2]}", False
    return found


def _watched(process: subprocess.Popen, said: IO[bytes], paths: Sequence[Path]) -> int:
    """Wait for the process; say on standard error what takes long. Returns its status."""
    step, begun_s, next_s = None, time.monotonic(), float(_FIRST_NOTE_S)
    try:
        while True:
            try:
                return process.wait(_LOOK_S)
            except subprocess.TimeoutExpired:
                notes = [note for note in _parted(_text(said))[0] if isinstance(note, list)]
            if len(notes) != step:
                step, begun_s, next_s = len(notes), time.monotonic(), float(_FIRST_NOTE_S)
            elif notes and time.monotonic() - begun_s >= next_s:
                number, what, limit_s = notes[-1]
                print(
                    f"note: {what}{paths[number].name} has been executed for {next_s:g} s, at most {limit_s:g} s",
                    file=sys.stderr,
                )
                next_s *= 2
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # of an interrupted command; and what own files have started or forked
        process.wait()


def _text(file: IO[bytes]) -> str:
    """All of a file; its place stays where the other process writes."""
    return os.pread(file.fileno(), os.fstat(file.fileno()).st_size, 0).decode(errors="replace")
