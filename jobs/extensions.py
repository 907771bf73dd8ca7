"""The campaign's copies of the user's own files (noisy/extend.py), `extensions/DIGEST_NAME`. Workers execute these copies.

So an edit of the file under way changes nothing: it makes other runs, with another digest.
"""

import contextlib
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from jobs.campaign import Campaign, listed
from jobs.files import make_folder, publish
from jobs.manifest import ManifestError
from jobs.reading import brief, read_regular
from noisy.runs import Runs
from noisy.spec import digest_of

_NOT_IN_NAMES = re.compile(r"[^\w.+ -]")
_LONGEST = 50  # characters of a name, of up to 4 bytes each


def copy_name(name: str, content: bytes) -> str:
    """The name of the copy of a file, which all systems and archives allow. A copy of a copy has the same name."""
    digest = digest_of(content)
    return name if name.startswith(f"{digest}_") else f"{digest}_{_NOT_IN_NAMES.sub('_', name)[-_LONGEST:]}"


def keep_copies(campaign: Campaign, files: Iterable[tuple[str, bytes]]) -> None:
    """Write the copies that are not there yet, or that are damaged. files: names and contents.

    Raises:
        OSError: they cannot be written.
    """
    for name, content in files:
        path = campaign.extensions / copy_name(name, content)
        with contextlib.suppress(OSError):
            if read_regular(path) == content:
                continue
        make_folder(campaign.extensions)
        publish(path, content)


def load_copies(campaign: Campaign, runs: Runs) -> None:
    """Execute the copies that these runs need, if this process did not do so before.

    Raises:
        ManifestError: a copy is missing or was changed.
        ExtensionError: it cannot be executed here.
    """
    digests = _needed(runs)
    if not digests:
        return
    from noisy.extend import load  # here, not above: it loads torch

    for digest in digests:
        path, content = _copy(campaign, digest)
        load(content, str(path))


def intact_copies(campaign: Campaign, runs: Runs) -> tuple[list[tuple[str, bytes]], list[str]]:
    """Names and contents of the copies that are as they were written; a line for each other one that these runs need."""
    found, problems = list[tuple[str, bytes]](), list[str]()
    for path in listed(campaign.extensions):
        with contextlib.suppress(OSError):
            content = read_regular(path)
            if path.name.startswith(f"{digest_of(content)}_"):
                found.append((path.name, content))
    for digest in _needed(runs):
        try:
            _copy(campaign, digest)
        except ManifestError as error:
            problems.append(str(error))
    return found, problems


def _needed(runs: Runs) -> list[str]:
    """The digests of the own files that these runs need."""
    return sorted({digest for of_cell in runs.by_cell(lambda run: run.extensions) for digest in of_cell.split("+")} - {""})


def _copy(campaign: Campaign, digest: str) -> tuple[Path, bytes]:
    problem = f"{campaign.extensions}: no file {digest}_*"
    for path in _named(campaign, digest):
        try:
            content = read_regular(path)
        except OSError as error:
            problem = f"{path}: cannot be read ({brief(error)})"
            continue
        if digest_of(content) == digest:
            return path, content
        problem = f"{path}: was changed: its digest is {digest_of(content)}"
    raise ManifestError(f"{problem}; submit the grid again to write it again")


def _named(campaign: Campaign, digest: str) -> Iterator[Path]:
    return (path for path in listed(campaign.extensions) if path.name.startswith(f"{digest}_"))
