"""A campaign's files before anything is planned: the data set, the folders, the manifest, the grid."""

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
    n_new = int((manifest.runs.places_of(runs.run_id) < 0).sum())
    n_gone = int((runs.places_of(manifest.runs.run_id) < 0).sum())
    if not (n_new or n_gone):
        return manifest.header
    print(f"The grid changed: {n_new} runs added, {n_gone} removed (their results are kept, and left out of reports).")
    return write_manifest(campaign.manifest, runs, code_commit(), manifest.header)


def _readable_header(campaign: Campaign) -> Header | None:
    try:
        return read_header(campaign.manifest)
    except ManifestError:
        campaign.manifest.replace(campaign.manifest.with_suffix(".damaged"))
        return None
