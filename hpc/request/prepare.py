"""Prepare a campaign's files: the data set, the folders, the manifest and the grid."""

import errno
import os
import sys
from pathlib import Path

from hpc.request.grid import Grid
from jobs.campaign import Campaign
from jobs.extensions import keep_copies
from jobs.files import make_folder, named, new_folder, publish
from jobs.manifest import Header, ManifestError, MissingError, NewerError, new_id, read_header, read_manifest, write_manifest
from jobs.provenance import code_commit
from jobs.reading import read_regular
from jobs.recorded import read_recorded
from jobs.taskfile import campaign_of
from noisy.runs import Runs

_LONGEST_INSIDE = 100  # bytes of the longest path inside a campaign's folder


def prepare(campaign: Campaign, grid: Grid, runs: Runs, data_dir: Path) -> Header:
    """Stage the data set, keep copies of the user's own files, and `begin` the campaign.

    Raises:
        DataError: the data set is missing and cannot be downloaded, or differs from the published one.
        OSError, NewerError: as in `begin`.
    """
    grid.own.stage(grid.dataset, data_dir)
    keep_copies(campaign, ((file.path.name, file.content) for file in grid.own.files))
    return begin(campaign, grid.text, runs)


def begin(campaign: Campaign, grid_text: str, runs: Runs) -> Header:
    """Write the files of a new campaign durably, or extend an existing campaign, which keeps its id.

    Args:
        runs: all runs of the grid.

    Raises:
        OSError: the campaign's folder cannot be read or written. Existing files are not changed.
        NewerError: a newer version of the code wrote the manifest.
    """
    make_folder(campaign.shards)
    header = _extend(campaign, runs, _settled_id(campaign))
    publish(campaign.grid, grid_text.encode())
    return header


def check_folder(folder: Path, is_written: bool) -> None:
    """Check, before anything is written, that the campaign's folder exists or can be made.

    Args:
        is_written: whether the command will write into it.

    Raises:
        OSError: the folder cannot be made, read or written.
    """
    folder = folder.absolute()
    there = next(each for each in (folder, *folder.parents) if os.path.lexists(each))
    if not there.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, "not a folder; allowed for output_dir: a folder, or a new name", str(there))
    if is_written and not os.access(there, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(there))
    most = {name: os.pathconf(there, name) for name in ("PC_NAME_MAX", "PC_PATH_MAX")}
    longest = max((len(os.fsencode(part)) for part in folder.relative_to(there).parts), default=0)
    if longest > most["PC_NAME_MAX"] or len(os.fsencode(folder)) + _LONGEST_INSIDE > most["PC_PATH_MAX"]:
        in_all = most["PC_PATH_MAX"] - _LONGEST_INSIDE
        allowed = f"allowed: names of at most {most['PC_NAME_MAX']} bytes, and a path of at most {in_all}"
        raise OSError(errno.ENAMETOOLONG, f"too long for output_dir; {allowed}", str(folder))


def campaign_id(campaign: Campaign) -> str:
    """The id of the campaign in a folder; empty if it is new.

    It is read from the manifest. Without a manifest, it is read from the submissions or the shards.

    Raises:
        OSError: a file cannot be read.
        NewerError: a newer version of the code wrote the manifest.
    """
    try:
        return read_header(campaign.manifest).campaign
    except NewerError:
        raise
    except ManifestError:
        return _id_without_manifest(campaign)


def _id_without_manifest(campaign: Campaign) -> str:
    try:
        with named(campaign.identity):
            its_id = read_regular(campaign.identity).decode(errors="replace")
    except FileNotFoundError:
        its_id = ""
    if its_id.isalnum():
        return its_id
    of_submissions = map(campaign_of, sorted(campaign.submissions.glob("*/tasks.jsonl")))
    of_shards = (source.attributes.get("campaign", "") for source in read_recorded(campaign, "").sources)
    return next(filter(None, [*of_submissions, *of_shards]), "")


def _settled_id(campaign: Campaign) -> str:
    """The campaign's id. If two submits begin a campaign at the same moment, both use the id that was written first."""
    its_id = campaign_id(campaign)
    if its_id and campaign.submissions.is_dir():
        return its_id
    try:
        with new_folder(campaign.submissions) as folder:
            publish(folder / campaign.identity.name, (its_id or new_id()).encode())
    except FileExistsError:
        if not campaign_id(campaign):  # every file with the id is damaged
            publish(campaign.identity, new_id().encode())
    return campaign_id(campaign)


def _extend(campaign: Campaign, runs: Runs, its_id: str) -> Header:
    try:
        manifest = read_manifest(campaign.manifest)
    except MissingError:
        return write_manifest(campaign.manifest, runs, code_commit(), campaign=its_id)
    except NewerError:
        raise
    except ManifestError as error:
        print(f"warning: {error}; it is written again", file=sys.stderr)
        return write_manifest(campaign.manifest, runs, code_commit(), _readable_header(campaign), its_id)
    if len(manifest.runs) == len(runs) and (manifest.runs.places_of(runs.run_id) >= 0).all():
        return manifest.header
    return write_manifest(campaign.manifest, runs, code_commit(), manifest.header)


def _readable_header(campaign: Campaign) -> Header | None:
    try:
        return read_header(campaign.manifest)
    except ManifestError:
        campaign.manifest.replace(campaign.manifest.with_suffix(".damaged"))
        return None
