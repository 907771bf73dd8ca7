"""Where a campaign's files are. They hold all of its state."""

import secrets
from dataclasses import dataclass
from pathlib import Path

from jobs.files import renew_listing
from jobs.manifest import ManifestError


@dataclass(frozen=True)
class Campaign:
    """One output directory."""

    folder: Path

    @property
    def grid(self) -> Path:
        """The grid as last submitted."""
        return self.folder / "grid.yaml"

    @property
    def manifest(self) -> Path:
        """All runs of the campaign."""
        return self.folder / "manifest.jsonl"

    @property
    def submissions(self) -> Path:
        """The folder with one subfolder per submission."""
        return self.folder / "submissions"

    @property
    def identity(self) -> Path:
        """The campaign's id. It appears together with the folder of the submissions; earlier versions wrote none."""
        return self.submissions / ".campaign"

    @property
    def shards(self) -> Path:
        """The folder of the shards."""
        return self.folder / "shards"

    @property
    def remembered(self) -> Path:
        """A cache of what the shards say (jobs/recorded.py); it may be removed."""
        return self.folder / ".recorded"

    def submission(self, number: int) -> Path:
        """The folder of one submission, counted from 1."""
        return self.submissions / f"{number:04d}"

    def tasks(self, number: int) -> Path:
        """The task file of one submission."""
        return self.submission(number) / "tasks.jsonl"

    def needs(self, number: int) -> Path:
        """What each task of one submission needs, for its workers."""
        return self.submission(number) / "needs.json"

    def cancelled(self, number: int) -> list[Path]:
        """The files that list cancelled run_ids of one submission, one a line. Each cancel writes its own file.

        Raises:
            ManifestError: the folder cannot be read.
        """
        return [path for path in listed(self.submission(number)) if path.match("cancelled*.txt")]

    def new_cancelled(self, number: int) -> Path:
        """A new name for one of these files."""
        return self.submission(number) / f"cancelled-{secrets.token_hex(4)}.txt"

    def outcomes(self, number: int) -> Path:
        """How tasks of one submission ended."""
        return self.submission(number) / "outcomes.jsonl"

    def log(self, number: int, task: int) -> Path:
        """What a task prints."""
        return self.submission(number) / "logs" / f"{task:05d}.log"

    def shard_paths(self, prefix: str = "", is_renewed: bool = False) -> list[Path]:
        """The shards whose name begins with `prefix`, in name order. Files still being written are hidden, and left out.

        Args:
            is_renewed: ask the server of a network file system again: the client's list may be a minute old.

        Raises:
            ManifestError: the folder cannot be read.
        """
        if is_renewed:
            renew_listing(self.shards)
        return [
            path
            for path in listed(self.shards)
            if path.suffix == ".h5" and not path.name.startswith(".") and path.name.startswith(prefix)
        ]


def listed(folder: Path) -> list[Path]:
    """What is in a folder, in name order; nothing if there is no such folder.

    Raises:
        ManifestError: the folder cannot be read, or is a link that leads nowhere.
    """
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        if isinstance(error, FileNotFoundError) and not folder.is_symlink():
            return []
        allowed = "allowed: a folder that you may read, on a disk that is mounted"
        raise ManifestError(f"{folder}: {error.strerror}; {allowed}") from error


def shard_prefix(submission: int, task: int, attempt: int | None = None) -> str:
    """The beginning of the names of a task's shards, or of one attempt's."""
    return f"{submission:04d}-{task:05d}-" + ("" if attempt is None else f"{attempt}-")
