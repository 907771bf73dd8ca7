"""The paths of a campaign's files. All state of a campaign is in them."""

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
        """The grid file of the last submission."""
        return self.folder / "grid.yaml"

    @property
    def manifest(self) -> Path:
        """All runs of the campaign."""
        return self.folder / "manifest.jsonl"

    @property
    def extensions(self) -> Path:
        """The folder of the copies of the user's own files (jobs/extensions.py)."""
        return self.folder / "extensions"

    @property
    def submissions(self) -> Path:
        """The folder with one subfolder per submission."""
        return self.folder / "submissions"

    @property
    def identity(self) -> Path:
        """The file with the campaign's id. It appears together with its folder; earlier versions did not write it."""
        return self.submissions / ".campaign"

    @property
    def shards(self) -> Path:
        """The folder of the shards."""
        return self.folder / "shards"

    def replaced(self, number: int) -> Path:
        """The shards as they were before the redo that began with this submission replaced records of them."""
        return self.folder / "replaced" / f"{number:04d}"

    def replaced_paths(self) -> list[Path]:
        """Each shard as it was before any redo replaced records of it, in name order.

        Raises:
            ManifestError: a folder cannot be read.
        """
        first: dict[str, Path] = {}
        for folder in listed(self.folder / "replaced"):
            for path in listed(folder):
                if path.suffix == ".h5" and not path.name.startswith("."):
                    first.setdefault(path.name, path)
        return [first[name] for name in sorted(first)]

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
        """The file that tells workers what each task of one submission needs."""
        return self.submission(number) / "needs.json"

    def cancelled(self, number: int) -> list[Path]:
        """The files that list cancelled run_ids of one submission, one a line. Each cancel writes its own file.

        Raises:
            ManifestError: the folder cannot be read.
        """
        return [path for path in listed(self.submission(number)) if path.match("cancelled*.txt")]

    def new_cancelled(self, number: int) -> Path:
        """A new path for a list of cancelled runs."""
        return self.submission(number) / f"cancelled-{secrets.token_hex(4)}.txt"

    def outcomes(self, number: int) -> Path:
        """The file that says how tasks of one submission ended."""
        return self.submission(number) / "outcomes.jsonl"

    def log(self, number: int, task: int) -> Path:
        """The log of a task."""
        return self.submission(number) / "logs" / f"{task:05d}.log"

    def shard_paths(self, prefix: str = "", is_renewed: bool = False) -> list[Path]:
        """The shards whose names begin with `prefix`, in name order. Hidden files, which are still being written, are left out.

        Args:
            is_renewed: ask the server of a network file system again, because the client's list may be a minute old.

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
    """The files and folders in a folder, in name order; none if there is no such folder.

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
