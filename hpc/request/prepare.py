"""A campaign's files before anything is planned: the data set, the folders, the manifest, the grid."""

import errno
import os
import sys
from pathlib import Path

from hpc.request.grid import Grid
from jobs.campaign import Campaign
from jobs.files import publish
from jobs.manifest import Header, ManifestError, NewerError, read_header, read_manifest, write_manifest
from jobs.provenance import code_commit
from jobs.recorded import read_recorded
from noisy.data import stage
from noisy.runs import Runs

_LONGEST_INSIDE = 100  # bytes of the longest path below a campaign's folder


def prepare(campaign: Campaign, grid: Grid, runs: Runs, data_dir: Path) -> Header:
    """Stage the data set and write what is new; a campaign that exists is extended, and keeps its id.

    Args:
        runs: all runs of the grid.

    Raises:
        DataError: the data set is missing and cannot be had.
        OSError: the campaign's folder cannot be written.
        NewerError: a newer version of the code wrote the manifest.
    """
    stage(grid.dataset, data_dir)
    campaign.shards.mkdir(parents=True, exist_ok=True)
    campaign.submissions.mkdir(exist_ok=True)
    try:
        header = write_manifest(campaign.manifest, runs, code_commit(), campaign=campaign_id(campaign))
    except FileExistsError:
        header = _extend(campaign, runs)
    publish(campaign.grid, grid.text.encode())
    return header


def check_folder(folder: Path, is_written: bool) -> None:
    """Check that the campaign's folder is there or can be made, before anything is written.

    Args:
        is_written: whether the command is going to write into it.

    Raises:
        OSError: it cannot.
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
        allowed = f"allowed: names of {most['PC_NAME_MAX']} bytes, {most['PC_PATH_MAX'] - _LONGEST_INSIDE} in all"
        raise OSError(errno.ENAMETOOLONG, f"too long for output_dir; {allowed}", str(folder))


def campaign_id(campaign: Campaign) -> str:
    """The id of the campaign in a folder: by its manifest, or else by its shards, which outlive it; empty if it is new."""
    try:
        return read_header(campaign.manifest).campaign
    except NewerError:
        raise
    except ManifestError:
        sources = read_recorded(campaign, "").sources
        return next((source.attributes["campaign"] for source in sources if source.attributes), "")


def _extend(campaign: Campaign, runs: Runs) -> Header:
    try:
        manifest = read_manifest(campaign.manifest)
    except NewerError:
        raise
    except ManifestError as error:
        print(f"warning: {error}; it is written anew", file=sys.stderr)
        return write_manifest(campaign.manifest, runs, code_commit(), _readable_header(campaign), campaign_id(campaign))
    if len(manifest.runs) == len(runs) and (manifest.runs.places_of(runs.run_id) >= 0).all():
        return manifest.header
    return write_manifest(campaign.manifest, runs, code_commit(), manifest.header)


def _readable_header(campaign: Campaign) -> Header | None:
    try:
        return read_header(campaign.manifest)
    except ManifestError:
        campaign.manifest.replace(campaign.manifest.with_suffix(".damaged"))
        return None
