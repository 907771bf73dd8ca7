"""What hpc.doctor checks everywhere: the file system of the results, and what a task gets."""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from hpc.console import Refused
from hpc.planning.workers import Resources
from hpc.state.scheduler import SchedulerError
from jobs.files import new_folder, publish
from jobs.manifest import ManifestError
from jobs.provenance import code_commit, machine
from noisy.data import DataError

OK, NOTE, PROBLEM = "ok", "note", "problem"
_OF_ONE_MACHINE = ("btrfs", "ext2", "ext3", "ext4", "overlay", "ramfs", "tmpfs", "xfs")  # kinds of file systems
_OTHER = "choose a folder on a file system of another kind, with --output-dir"
_MAKE_ROOM = "make room, or choose another --output-dir"
_LITTLE_MB, _FEW_MB, _FEW_FILES = 5_000, 200, 1_000  # of room
_LONG_S = 20  # importing torch then takes as long as a small task
_MEMORY_SLACK = 1.2  # a limit up to this much above what was asked for is still that limit, rounded


@dataclass(frozen=True)
class Line:
    """One finding. mark: OK, NOTE or PROBLEM; help: what to do; names: machine names in the text, which are private."""

    mark: str
    what: str
    found: str
    help: str = ""
    names: tuple[str, ...] = ()


class Check(NamedTuple):
    """A check: its name, the function that does it, and what to do if that function fails."""

    what: str
    lines: Callable[[], Iterable[Line]]
    help: str


def looked(checks: Iterable[Check]) -> Generator[Line, None, None]:
    """The lines of all checks. A check that fails gives a line with the problem, and the others go on."""
    for check in checks:
        try:
            yield from check.lines()
        except OSError as error:
            yield Line(PROBLEM, check.what, f"{error.filename or 'a file'}: {error.strerror}", check.help)
        except (Refused, SchedulerError, ManifestError, DataError, ImportError) as error:
            said = "; ".join([str(error), *getattr(error, "details", ())])
            yield Line(PROBLEM, check.what, " ".join(said.split()), check.help)


def checks(folder: Path, is_shared: bool) -> list[Check]:
    """The checks for every place. folder: that of the results, or the nearest one above it; is_shared: by several machines."""
    return [
        Check("versions", _versions, "install again: make setup"),
        Check("file system", lambda: [_kind(folder, is_shared)], _OTHER),
        Check("files", lambda: _files(folder), _OTHER),
        Check("room", lambda: _room(folder), _OTHER),
    ]


def _versions() -> Iterator[Line]:
    yield Line(OK, "versions", f"{machine()['versions']}, {os.uname().sysname} {os.uname().release}, code {code_commit()[:16]}")


def _kind(folder: Path, is_shared: bool) -> Line:
    """The kind of file system, by the longest mount point above the folder."""
    mounts = [line.split() for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    over = [mount for mount in mounts if folder.resolve().is_relative_to(mount[4])]
    longest = max(over, key=lambda mount: len(mount[4]))
    kind = longest[longest.index("-") + 1]
    if is_shared and kind in _OF_ONE_MACHINE:
        return Line(NOTE, "file system", f"{kind}: usually only this machine sees it; --run tries whether nodes do")
    return Line(OK, "file system", kind)


def _files(folder: Path) -> Iterator[Line]:
    """Try what jobs/files.py relies on, with its own functions."""
    with tempfile.TemporaryDirectory(prefix="doctor-", dir=folder) as temporary:
        file, claimed = Path(temporary) / "file", Path(temporary) / "claimed"
        started_s = time.monotonic()
        publish(file, b"old")
        publish(file, b"new")
        took_s = (time.monotonic() - started_s) / 2
        is_replaced = file.read_bytes() == b"new"
        yield Line(*((OK, "rename", "replaces a file") if is_replaced else (PROBLEM, "rename", "replaces no file", _OTHER)))
        slow = "" if took_s < 1 else "; slow: give each task fewer, longer runs"
        yield Line(NOTE if slow else OK, "write", f"a file is durable after {took_s * 1000:.0f} ms{slow}")
        yield _clock(file.stat().st_mtime - time.time())
        yield _claim(claimed)
        yield _folder_sync(folder)


def _claim(claimed: Path) -> Line:
    for content in (b"first", b"second"):
        try:
            with new_folder(claimed) as hidden:
                publish(hidden / "file", content)
        except FileExistsError:
            return Line(OK, "exclusive", "if two processes make one folder, one wins; locks and hard links are not needed")
    return Line(PROBLEM, "exclusive", "a folder can replace another: two submits at the same moment would mix", _OTHER)


def _folder_sync(folder: Path) -> Line:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        return Line(NOTE, "fsync", f"not for folders ({error.strerror}): a power loss may lose the newest files")
    finally:
        os.close(descriptor)
    return Line(OK, "fsync", "of files and folders")


def _clock(ahead_s: float) -> Line:
    found = f"the clock of the file system differs from ours by {abs(ahead_s):.1f} s"
    return Line(NOTE if abs(ahead_s) > 5 else OK, "clock", found)


def _room(folder: Path) -> Iterator[Line]:
    free_mb, free_files = shutil.disk_usage(folder).free / 1e6, os.statvfs(folder).f_favail
    yield room_line(free_mb, free_files if os.statvfs(folder).f_files else None)
    try:
        done = subprocess.run(["quota", "-q"], capture_output=True, text=True, check=False)
    except OSError:
        yield Line(NOTE, "quota", "unknown: no program `quota` answers; the site may have one of its own")
        return
    over, said = (" ".join(text.split()) for text in (done.stdout, done.stderr))
    if over:
        yield Line(PROBLEM, "quota", f"exceeded, according to `quota`: {over}", _MAKE_ROOM)
    else:
        yield Line(*((NOTE, "quota", f"unknown: {said}") if said else (OK, "quota", "none is exceeded, according to `quota`")))


def room_line(free_mb: float, free_files: int | None) -> Line:
    """A line that says whether there is enough room. free_files: None if the file system does not count them."""
    found = f"{free_mb / 1000:,.1f} GB" + ("" if free_files is None else f" and {free_files:,} files") + " are free"
    if free_mb < _FEW_MB or (free_files is not None and free_files < _FEW_FILES):
        return Line(PROBLEM, "room", found, _MAKE_ROOM)
    return Line(NOTE if free_mb < _LITTLE_MB else OK, "room", found)


def task_lines(probe: Mapping[str, Any], asked: Resources | None) -> Iterator[Line]:
    """Lines that compare what a task got (see jobs/probe.py) with what was asked for (None: nothing was asked for)."""
    node = (probe["node"],)
    times = f"python {probe['python']} after {probe['python_s']:.1f} s, torch {probe['torch']} {probe['torch_s']:.1f} s later"
    slow = "; slow: put the Python environment on a faster disk" if probe["torch_s"] > _LONG_S else ""
    yield Line(NOTE if slow else OK, "node", f"{probe['node']} sees the folder; {times}{slow}", names=node)
    if asked:
        yield from _of_resources(probe["cores"], probe["memory_limit_mb"], asked)
    free_mb = probe["scratch_mb"]
    yield Line(*((OK, "scratch", f"{free_mb / 1000:,.1f} GB free") if free_mb else (NOTE, "scratch", "none (TMPDIR, /tmp)")))


def _of_resources(cores: int, limit_mb: float | None, asked: Resources) -> Iterator[Line]:
    given = f"{cores} for a task that asks for {asked.cpus}"
    if cores < asked.cpus:
        yield Line(PROBLEM, "cores", given, "reduce cpu_threads_per_worker of the grid to the cores that a task gets")
    else:
        yield Line(NOTE if cores > asked.cpus else OK, "cores", given + "; tasks may use more" * (cores > asked.cpus))
    wanted = f"{asked.mem_mb} MB planned"
    if limit_mb and limit_mb < asked.mem_mb * 0.95:
        yield Line(PROBLEM, "memory", f"{wanted}, {limit_mb:.0f} MB allowed by a control group", "ask the site why")
    elif limit_mb and limit_mb <= asked.mem_mb * _MEMORY_SLACK + 10:
        yield Line(OK, "memory", f"{wanted}, {limit_mb:.0f} MB enforced by a control group")
    else:
        seen = f"a limit of {limit_mb:.0f} MB" if limit_mb else "no limit"
        yield Line(NOTE, "memory", f"{wanted}, {seen} in the task's control groups: perhaps not enforced")
