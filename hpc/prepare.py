"""A campaign's files before anything is planned: the data set, the folders, the manifest, the grid."""

import sys
from pathlib import Path

from hpc.grid import Grid
from jobs.campaign import Campaign
from jobs.files import publish
from jobs.manifest import Header, ManifestError, read_header, read_manifest, write_manifest
from jobs.provenance import code_commit
from jobs.shard import Shard, read_shards
from noisy.data import stage


def prepare(campaign: Campaign, grid: Grid, runs: dict[str, str], data_dir: Path) -> Header:
    """Stage the data set and write what is new; a campaign that exists is extended, and keeps its id.

    Args:
        runs: run_id -> canonical JSON of every run of the grid.

    Raises:
        DataError: the data set is missing and cannot be had.
        OSError: the campaign's folder cannot be written.
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


def campaign_id(campaign: Campaign) -> str:
    """The id of the campaign in a folder: by its manifest, or else by its shards, which outlive it; empty if it is new."""
    try:
        return read_header(campaign.manifest).campaign
    except ManifestError:
        shards = (shard for shard in read_shards(campaign.shard_paths(), "") if isinstance(shard, Shard))
        return next((str(shard.attributes["campaign"]) for shard in shards), "")


def _extend(campaign: Campaign, runs: dict[str, str]) -> Header:
    try:
        manifest = read_manifest(campaign.manifest)
    except ManifestError as error:
        print(f"warning: {error}; it is written anew", file=sys.stderr)
        return write_manifest(campaign.manifest, runs, code_commit(), _readable_header(campaign), campaign_id(campaign))
    if manifest.runs.keys() == runs.keys():
        return manifest.header
    n_new, n_gone = len(runs.keys() - manifest.runs.keys()), len(manifest.runs.keys() - runs.keys())
    print(f"The grid changed: {n_new} runs more, {n_gone} no longer in it (their results are kept, and left out of reports).")
    return write_manifest(campaign.manifest, runs, code_commit(), manifest.header)


def _readable_header(campaign: Campaign) -> Header | None:
    try:
        return read_header(campaign.manifest)
    except ManifestError:
        campaign.manifest.replace(campaign.manifest.with_suffix(".damaged"))
        return None
