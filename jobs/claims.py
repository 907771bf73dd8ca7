"""Claims: the workers of a submission divide its tasks among themselves, without a server and without locks.

A claim is a small file in the folder `claims` of the submission. Its name says what happened to a task:

    00007.0        the first generation: a worker holds the task and executes it; the content says which worker, and how long
    00007.0.back   that worker ended before all runs were done and gave the rest back; any worker may take it
    00007.0.failed that worker failed (no data, no GPU, a full disk); any worker may take it
    00007.0.left   the runs left were training when an earlier worker died; only a worker with more memory tries them again
    00007.1        another worker holds the task
    00007.done     all its runs have a record, or were cancelled

A claim is made with O_CREAT | O_EXCL, so one worker wins; its whole content is written at once. This is atomic on NFS (3 and
later), Lustre and GPFS, and needs no hard link and no lock. If an answer of the server is lost, the file is read: its token
says which worker made it. A file is empty if its worker died while making it.

A claim is a lease, which ends with the time limit of its worker's job. After that, or once its worker is known to be gone, any
worker may take the task, by making the next generation (jobs/taking.py has the rules).

Claims only save work; no guarantee depends on them. If they fail (a removed folder, a wrong clock, a worker that outlives its
lease), some runs are executed twice, but each counts once, because only shards say what is done.
"""

import contextlib
import errno
import json
import os
import secrets
import shutil
import time
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path

from jobs.files import publish
from jobs.process import Process
from jobs.reading import made, parse_json, read_regular
from jobs.standings import BACK, DONE, FAILED, LEFT

SCHEMA_VERSION = 1
LONGEST_S = 3600  # the shortest lease of a worker without a time limit
CLOCK_SKEW_S = 300  # largest difference of two machines' clocks; a lease counts as ended only this much later
_NOT_KNOWN = (errno.EEXIST, errno.ESTALE, errno.EIO, errno.ETIMEDOUT)  # then the file may have been made or written


@dataclass(frozen=True)
class Claim:
    """The contents of a claim.

    job: in the scheduler's notation, empty for a process without one; restart: how often the job was started before; begun,
    until: ISO 8601, UTC; mem_mb: the memory that the worker may use, in 10**6 bytes, 0 without a limit.
    """

    process: Process
    job: str
    restart: int
    begun: str
    until: str
    mem_mb: int = 0
    token: str = field(default_factory=lambda: secrets.token_hex(8))
    schema: int = SCHEMA_VERSION

    @classmethod
    def lasting(cls, lease_s: float, process: Process, job: str, restart: int, mem_mb: int, now_s: float) -> "Claim":
        """A new claim of this worker. now_s: the time in seconds since the epoch."""
        return cls(process, job, restart, _iso(now_s), _iso(now_s + lease_s), mem_mb)

    def line(self) -> bytes:
        """The contents of the claim's file."""
        return json.dumps({**vars(self), "process": vars(self.process)}).encode() + b"\n"

    def is_over(self, now_s: float) -> bool:
        """Whether the lease has ended, even if clocks differ by five minutes."""
        return now_s > datetime.fromisoformat(self.until).timestamp() + CLOCK_SKEW_S


class Claims:
    """The claims of one submission. longest_s: the longest time limit of its workers, for claims that cannot be read."""

    def __init__(self, submission: Path, longest_s: float) -> None:
        self._folder, self._finished, self._longest_s = submission / "claims", submission / "finished", longest_s

    @property
    def is_finished(self) -> bool:
        """Whether a worker saw that all tasks are done. Then there are no claims any more."""
        return self._finished.exists()

    def names(self) -> list[str]:
        """All names in the folder; none if there is no folder."""
        try:
            return os.listdir(self._folder)
        except FileNotFoundError:
            return []

    def take(self, task: int, generation: int, claim: Claim) -> bool:
        """Claim a task; False if another worker has or had this generation.

        Raises:
            OSError: a claim cannot be written here.
        """
        if not self._is_made(task, generation, claim):
            return False
        # The task may have been taken and ended since the folder was listed, and all names may have been removed since.
        ends = [self._named(task, generation, word) for word in (BACK, FAILED, LEFT, DONE)]
        if any(path.exists() for path in (*ends, self._finished)):
            with contextlib.suppress(OSError):
                os.unlink(self._path(task, generation))
            return False
        return True

    def _is_made(self, task: int, generation: int, claim: Claim) -> bool:
        """Make the file of this claim. Returns whether it is ours."""
        path, content = self._path(task, generation), claim.line()
        try:
            try:
                _create(path, content)
            except FileNotFoundError:  # for the first claim, or after somebody removed the folder
                if self.is_finished:
                    return False
                self._folder.mkdir(exist_ok=True)
                _create(path, content)
            return True
        except OSError as error:
            if error.errno not in _NOT_KNOWN:
                raise
            return self._is_ours(path, claim, error)

    def _is_ours(self, path: Path, claim: Claim, error: OSError) -> bool:
        """Whether a claim is ours although making its file failed with `error`."""
        try:
            return claim.token.encode() in read_regular(path)
        except FileNotFoundError:
            if error.errno == errno.EEXIST:  # it existed, and was renamed meanwhile
                return False
            raise error from None
        except OSError:
            return False

    def holder(self, task: int, generation: int) -> Claim | None:
        """The claim of the holder; None if it is gone. One that cannot be read has no owner and the longest possible lease."""
        path = self._path(task, generation)
        try:
            return _parse(read_regular(path))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, KeyError):
            return Claim.lasting(self._longest_s, NOBODY, "", 0, 0, _made_s(path))

    def mark(self, task: int, generation: int, word: str) -> None:
        """Record the result of a claimed task: BACK, FAILED, LEFT or DONE. If this fails, the lease ends by itself."""
        named = self._named(task, generation, word)
        with contextlib.suppress(OSError):
            try:
                os.rename(self._path(task, generation), named)
            except FileNotFoundError:  # another holder of the same claim was first, or somebody removed the folder
                if word == DONE:
                    named.touch()

    def finish(self) -> None:
        """Record that all tasks are done, and remove the claims. If this fails, the claims stay and do no harm."""
        with contextlib.suppress(OSError):
            if not self.is_finished:
                publish(self._finished, b"")
            shutil.rmtree(self._folder, ignore_errors=True)

    def _path(self, task: int, generation: int) -> Path:
        return self._folder / f"{task:05d}.{generation}"

    def _named(self, task: int, generation: int, word: str) -> Path:
        return self._folder / (f"{task:05d}.{DONE}" if word == DONE else f"{task:05d}.{generation}.{word}")


NOBODY = Process("", "", 0, None, "")


def _create(path: Path, content: bytes) -> None:
    """Make a file with this content, in one write.

    Raises:
        FileExistsError: the file exists.
        OSError: it cannot be written; a file that is known to be incomplete is removed.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        if os.write(descriptor, content) < len(content):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NOT_KNOWN:
            with contextlib.suppress(OSError):
                os.unlink(path)
        error.filename = str(path)
        raise
    finally:
        with contextlib.suppress(OSError):
            os.close(descriptor)


def _parse(content: bytes) -> Claim:
    """Read a claim from the contents of its file.

    Raises:
        ValueError, TypeError, KeyError: it is empty, torn, damaged, or of a newer version.
    """
    record = parse_json(content)
    if record["schema"] != SCHEMA_VERSION or not record["token"]:
        raise ValueError(f"schema {record['schema']}")
    claim = made(Claim, {**record, "process": made(Process, record["process"])})
    datetime.fromisoformat(claim.until).timestamp()
    return claim


def _made_s(path: Path) -> float:
    """When a file was made, by its server's clock, in seconds since the epoch; the current time if this cannot be read."""
    try:
        return path.stat().st_mtime
    except OSError:
        return time.time()


def _iso(now_s: float) -> str:
    return datetime.fromtimestamp(now_s, timezone.utc).isoformat(timespec="seconds")
