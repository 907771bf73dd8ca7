"""A campaign's files before anything is planned: the data set, the folders, the manifest, the grid."""

import sys
from pathlib import Path

from hpc.grid import Grid
from jobs.campaign import Campaign
from jobs.files import publish
from jobs.manifest import Header, ManifestError, read_header, read_manifest, write_manifest
from jobs.provenance import code_commit
from noisy.data import stage


def prepare(campaign: Campaign, grid: Grid, runs: dict[str, str], data_dir: Path) -> Header:
    """Stage the data set and write what is new; a campaign that exists is extended, and keeps its id.

    Args:
        runs: run_id -> canonical JSON of every run of the grid.

    Raises:
        DataError: the data set is missing and cannot be had.
        ManifestError: there is a manifest that this version cannot extend.
        OSError: the campaign's folder cannot be written.
    """
    stage(grid.dataset, data_dir)
    campaign.shards.mkdir(parents=True, exist_ok=True)
    campaign.submissions.mkdir(exist_ok=True)
    try:
        header = write_manifest(campaign.manifest, runs, code_commit())
    except FileExistsError:
        header = _extend(campaign, runs)
    publish(campaign.grid, grid.text.encode())
    return header


def _extend(campaign: Campaign, runs: dict[str, str]) -> Header:
    header = read_header(campaign.manifest)
    try:
        known = read_manifest(campaign.manifest).runs
    except ManifestError as error:
        print(f"warning: {error}; it is written anew", file=sys.stderr)
        return write_manifest(campaign.manifest, runs, code_commit(), previous=header)
    if known.keys() == runs.keys():
        return header
    n_new, n_gone = len(runs.keys() - known.keys()), len(known.keys() - runs.keys())
    print(f"The grid changed: {n_new} runs more, {n_gone} no longer in it (their results are kept, and left out of reports).")
    return write_manifest(campaign.manifest, runs, code_commit(), previous=header)
